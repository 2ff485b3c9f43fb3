"""GELF 1.1: every message keeps the rules of Graylog's specification."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given

from auditmw.formats.gelf import FIELDS, HEADER, GelfFormat
from event_table import SAMPLES, every_event, same
from random_events import SCHEMA, THOROUGH, events

GELF = GelfFormat()
OWN = {"version", "host", "short_message", "full_message", "timestamp", "level"}
NAME = re.compile(r"_[\w.-]*")
MOST_BYTES = 32_766


def rendered(event: dict[str, Any]) -> dict[str, Any]:
    return json.loads(GELF.render(event))


def check(event: dict[str, Any]) -> None:
    """The rules of the GELF payload specification, and what Graylog drops or refuses."""
    message = rendered(event)
    assert message["version"] == "1.1"
    assert isinstance(message["host"], str)
    assert message["host"]
    assert message["short_message"].strip() or event.get("message"), "Graylog refuses an empty short_message"
    assert type(message["timestamp"]) is float
    assert 0 <= message["level"] <= 7
    for name, value in message.items():
        if name not in OWN:
            assert NAME.fullmatch(name)
            assert name != "_id"
            assert type(value) in (str, int, float), f"{name}: Graylog drops {value!r}"
            assert len(str(value).encode()) <= MOST_BYTES
    assert same(json.loads(message["full_message"]), event)


def test_every_event_there_is_keeps_the_rules():
    for _, event in every_event():
        check(event)


@THOROUGH
@given(events())
def test_every_valid_event_keeps_the_rules(event):
    check(event)


def test_every_field_of_the_schema_can_be_searched_for():
    whole = {"schema", "source.raw_b64"} | set(HEADER)  # in full_message alone, or by GELF's own names
    assert set(leaves(SCHEMA)) - set(FIELDS) - whole == set()


def leaves(schema: dict[str, Any], path: str = "") -> list[str]:
    """The dotted paths of all fields; what the application or the wire decides on is one."""
    if path in ("meta", "upstream", "target", "filter", "trace.remote") or not schema.get("properties"):
        return [path]
    names = schema["properties"]
    return [leaf for name in names for leaf in leaves(names[name], f"{path}.{name}".lstrip("."))]


def test_a_request_in_gelf():
    message = rendered(SAMPLES["1-wsgi-request"])
    assert message["host"] == "web-1"
    assert message["short_message"] == "Search persons"
    assert message["timestamp"] == 1795206011.874123
    assert message["level"] == 6
    assert message["_event_id"] == "01a1fa9d-dbe2-76b9-a3e2-bda43d201f24"
    assert message["_http_response_status_code"] == 200
    assert message["_actor_authenticated"] == "true"
    assert message["_actor_roles"] == '["hr_admin","reader"]'
    assert message["_results"] == '{"count":2,"ids":[11,12]}'


@pytest.mark.parametrize(
    ("sample", "fields", "short_message"),
    [
        pytest.param("5-import-nginx-extended", {}, "GET /u/plain 200", id="a request"),
        pytest.param("3-file-uploaded", {"message": "", "url": {"path": "/a"}}, "file_uploaded", id="another event"),
        pytest.param("5-import-nginx-extended", {"http": {}, "url": None}, "http_request", id="nothing known"),
    ],
)
def test_without_a_message_the_event_is_told_in_short(sample, fields, short_message):
    assert rendered(SAMPLES[sample] | fields)["short_message"] == short_message


def test_what_is_too_long_for_the_index_is_in_the_full_message_alone():
    event = SAMPLES["3-file-uploaded"] | {"data": {"fits": "x"}, "results": "x" * (MOST_BYTES + 1)}
    message = rendered(event)
    assert message["_data"] == '{"fits":"x"}'
    assert "_results" not in message
    assert same(GELF.parse(GELF.render(event)), event)
    assert rendered(event | {"results": "x" * MOST_BYTES})["_results"] == "x" * MOST_BYTES
