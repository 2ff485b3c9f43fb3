"""The formats that lose nothing: every event comes back the same, to the types of its numbers."""

from __future__ import annotations

import contextlib
import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditmw.formats import RECORD_FORMATS, record_format
from auditmw.formats.mapping import TEXT, Field, Mapping
from auditmw.formats.record import PROTOBUF, LosslessFormat, RecordError
from conftest import is_module
from event_table import SAMPLES, every_event, same
from random_events import THOROUGH, events, objects

NAMES = ("ecs", "ocsf", "otlp", "otlp:protobuf", "cloudevents", "syslog", "gelf")
FORMATS: dict[str, Any] = {
    name: record_format(name) for name in NAMES if name != "otlp:protobuf" or is_module("opentelemetry.proto")
}
RENDERED = st.deferred(
    lambda: st.sampled_from([(each, each.render(event)) for each in FORMATS.values() for event in SAMPLES.values()])
)


@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.needs("opentelemetry.proto") if name == "otlp:protobuf" else ())
        for name in NAMES
    ]
)
def chosen(request: pytest.FixtureRequest) -> Any:
    return FORMATS[request.param]


def check(chosen: Any, event: dict[str, Any]) -> None:
    before = copy.deepcopy(event)
    record = chosen.render(event)
    assert same(event, before), f"{chosen.name} changed the event that it was given"
    assert same(chosen.parse(record), event), f"{chosen.name}: {record!r}"
    assert chosen.media_type == PROTOBUF or b"\n" not in record, "a record of text is one line"


def test_each_is_known_as_what_loses_nothing(chosen):
    assert isinstance(chosen, LosslessFormat)
    assert chosen.name in RECORD_FORMATS


@pytest.mark.parametrize("event", SAMPLES.values(), ids=SAMPLES.keys())
def test_a_sample_comes_back(chosen, event):
    check(chosen, event)


def test_what_the_scenarios_write_comes_back(chosen):
    found = every_event()
    assert len({event["event"] for _, event in found}) > 5
    for name, event in found:
        try:
            check(chosen, event)
        except Exception as error:
            raise AssertionError(f"the event of {name!r}") from error


@THOROUGH
@given(events())
def test_every_valid_event_comes_back_from_every_format(event):
    for each in FORMATS.values():
        check(each, event)


@THOROUGH
@given(objects())
def test_any_json_object_comes_back_whatever_it_has_in_the_places_of_an_event(event):
    event["timestamp"] = "2026-11-20T20:20:11.874123Z"  # the one thing that OCSF must have
    for each in FORMATS.values():
        check(each, event)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(2**64 - 1, id="an integer beyond 63 bits"),
        pytest.param(-(2**63), id="the least integer"),
        pytest.param(1.0, id="a float that is whole"),
        pytest.param(-0.0, id="minus zero"),
        pytest.param(True, id="true"),
        pytest.param(None, id="null"),
        pytest.param([], id="an empty list"),
        pytest.param({}, id="an empty object"),
        pytest.param({"": {"a.b": [None, {}]}}, id="empty names"),
        pytest.param('\x00\x1f\x7f\x85\u2028]"\\', id="control characters"),
    ],
)
def test_a_value_of_the_application_keeps_its_type(chosen, value):
    check(chosen, SAMPLES["3-file-uploaded"] | {"data": {"value": value}})


@pytest.mark.parametrize("levels", [20, 24, 31, 60])
@pytest.mark.parametrize("around", [lambda value: {"k": value}, lambda value: [value]], ids=["objects", "lists"])
def test_nesting_as_deep_as_an_event_may_be_and_deeper_comes_back(chosen, levels, around):
    value: Any = "leaf"
    for _ in range(levels):
        value = around(value)
    check(chosen, SAMPLES["3-file-uploaded"] | {"data": {"value": value}})


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"level": "", "message": "", "event": "", "schema": "", "id": ""}, id="empty texts"),
        pytest.param({"severity": 0, "duration_ns": 0, "trace": {"flags": 0}}, id="zeros"),
        pytest.param({"timestamp": "1970-01-01T00:00:00.000000Z"}, id="the first moment"),
        pytest.param({"http": {"response": {"size": 2**64 - 1, "body_size": -(2**63)}}}, id="large numbers"),
        pytest.param({"client": {"port": True, "address": 1}, "severity": 9.0}, id="other types"),
        pytest.param({"start": "2026-02-30T00:00:00.000000Z", "observed": "yesterday"}, id="moments that are none"),
        pytest.param(
            {"http": {"request": {"headers": {"a": [], "b": "c"}}, "response": {"headers": {}}}}, id="headers"
        ),
    ],
)
def test_a_value_that_a_standard_could_not_say_comes_back(chosen, fields):
    check(chosen, SAMPLES["1-wsgi-request"] | fields)


@pytest.mark.parametrize("pointer", ["client", "http", "actor", "trace", "outcome", "meta"])
@pytest.mark.parametrize("value", [{}, [], "text", 7, None], ids=repr)
def test_a_part_that_is_not_what_it_should_be_comes_back(chosen, pointer, value):
    check(chosen, SAMPLES["1-wsgi-request"] | {pointer: value})


FOREIGN = {
    "nothing": b"",
    "no JSON": b"\xff\x00{",
    "a list": b"[]",
    "a number": b"12",
    "an object of others": b'{"message": "hello", "level": 6}',
    "half": b'{"auditmw": {"schema"',
    "null": b'{"auditmw": null, "unmapped": null, "data": null, "full_message": null, "resourceLogs": null}',
    "wrong types": b'{"unmapped": {"auditmw": 1}, "data": [], "full_message": "[]", "resourceLogs": [{"a": 3}]}',
    "old syslog": b"<34>Oct 11 22:14:15 mymachine su: 'su root' failed",
    "syslog of others": b"<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - 'su root' failed",
}


@pytest.mark.parametrize("record", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_record_of_another_program_is_refused_by_what_was_expected(chosen, record):
    with pytest.raises(RecordError, match=r"^expected "):
        chosen.parse(record)


@THOROUGH
@given(rendered=RENDERED, place=st.integers(0, 6_000), byte=st.integers(0, 255))
def test_a_damaged_record_is_an_event_or_a_clear_error(rendered, place, byte):
    chosen, record = rendered
    damaged = bytearray(record)
    damaged[place % len(record)] = byte
    with contextlib.suppress(RecordError):
        assert type(chosen.parse(bytes(damaged))) is dict


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, object()], ids=["bytes", "set", "object"])
def test_an_event_that_is_not_plain_json_is_refused(chosen, value):
    with pytest.raises(RecordError, match="expected"):
        chosen.render(SAMPLES["3-file-uploaded"] | {"data": {"value": value}})


@pytest.mark.parametrize("name", ["ecs", "ocsf", "cloudevents", "gelf"])
def test_what_a_pipeline_added_to_a_record_is_ignored(name):
    event = SAMPLES["1-wsgi-request"]
    record = json.loads(FORMATS[name].render(event))
    record |= {"@version": "1", "tags": ["a"], "agent": {"type": "filebeat"}, "_extra": "x", "enrichments": []}
    assert same(FORMATS[name].parse(json.dumps(record).encode()), event)


def test_a_table_with_two_fields_in_one_place_is_refused():
    with pytest.raises(ValueError, match="two fields have the place x"):
        Mapping([Field("a", "x", TEXT), Field("b", "x", TEXT)])
