"""The event as bytes: ids, times, and what happens to values that JSON cannot carry."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import os
import re
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditmw.event import MAX_EVENT_BYTES, SCHEMA, Notes, encode, new_id, plain, timestamp, timestamps, wire_text

MOMENT_NS = 1_795_265_400_000_000_000


def event(**fields: Any) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "id": new_id(MOMENT_NS),
        "timestamp": timestamp(MOMENT_NS),
        "event": "file_uploaded",
        "level": "info",
        "severity": 9,
        "outcome": {"result": "success"},
        "trace": {"trace_id": "1" * 32, "span_id": "2" * 16},
        "service": {"name": "shop"},
        "source": {"kind": "app", "format": "auditmw"},
        **fields,
    }


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        pytest.param(0, "1970-01-01T00:00:00.000000Z", id="epoch"),
        pytest.param(MOMENT_NS, "2026-11-21T12:50:00.000000Z", id="no fraction still has six digits"),
        pytest.param(MOMENT_NS + 999, "2026-11-21T12:50:00.000000Z", id="below a microsecond"),
        pytest.param(MOMENT_NS + 1_000, "2026-11-21T12:50:00.000001Z", id="one microsecond"),
        pytest.param(MOMENT_NS - 1, "2026-11-21T12:49:59.999999Z", id="just before the second"),
        pytest.param(1_709_164_800_123_456_789, "2024-02-29T00:00:00.123456Z", id="leap day"),
    ],
)
def test_a_timestamp_has_six_digits_and_utc(time_ns, text):
    assert timestamp(time_ns) == text


@given(st.integers(0, 4_102_444_800_000_000_000))
def test_a_timestamp_reads_back_to_the_microsecond(time_ns):
    read = datetime.datetime.fromisoformat(timestamp(time_ns))
    assert (read - datetime.datetime.fromtimestamp(0, datetime.UTC)) // datetime.timedelta(
        microseconds=1
    ) == time_ns // 1000


@given(st.integers(10**18, 4_102_444_800_000_000_000), st.integers(0, 10**11))
def test_the_timestamps_of_end_and_start_are_those_of_the_two_moments(end_ns, duration_ns):
    assert timestamps(end_ns, duration_ns) == (timestamp(end_ns), timestamp(end_ns - duration_ns))


def test_ids_are_uuids_of_version_7_that_differ_and_carry_the_time():
    ids = [new_id(MOMENT_NS + n * 250_000) for n in range(20_000)]
    assert len(set(ids)) == len(ids)
    assert {uuid.UUID(id).version for id in ids} == {7}
    assert {uuid.UUID(id).variant for id in ids} == {uuid.RFC_4122}
    assert uuid.UUID(ids[0]).int >> 80 == MOMENT_NS // 1_000_000


def test_ids_of_one_millisecond_differ():
    ids = {new_id(MOMENT_NS) for _ in range(4_000)}
    assert len(ids) == 4_000


def test_a_forked_child_makes_other_ids():
    new_id(MOMENT_NS)
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writable, "".join(new_id(MOMENT_NS) for _ in range(50)).encode())
        os._exit(0)
    os.close(writable)
    os.waitpid(child, 0)
    theirs = os.read(readable, 36 * 50).decode()
    os.close(readable)
    ours = {new_id(MOMENT_NS)[-16:] for _ in range(50)}
    assert len(theirs) == 36 * 50
    assert not ours & set(re.findall(r".{20}(.{16})", theirs))


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    secret: object = None


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no")


class Model:  # as pydantic has it
    def model_dump(self) -> dict[str, Any]:
        return {"name": "m"}


@pytest.mark.parametrize(
    ("value", "written", "noted"),
    [
        pytest.param(2**64, "18446744073709551616", "truncated", id="above 64 bits"),
        pytest.param(-(2**63) - 1, "-9223372036854775809", "truncated", id="below 64 bits"),
        pytest.param(2**64 - 1, 2**64 - 1, None, id="largest exact integer"),
        pytest.param(float("nan"), "nan", "truncated", id="NaN"),
        pytest.param(float("-inf"), "-inf", "truncated", id="infinity"),
        pytest.param("\ud800x", "\\ud800x", "escaped", id="lone surrogate"),
        pytest.param(b"caf\xc3\xa9", "café", None, id="bytes that are UTF-8"),
        pytest.param(b"\xff\\", "\\xff\\x5C", "escaped", id="bytes that are not"),
        pytest.param({1, 2}, [1, 2], None, id="set"),
        pytest.param((1, "a"), [1, "a"], None, id="tuple"),
        pytest.param({1: "a", None: "b"}, {"1": "a", "None": "b"}, None, id="keys that are not text"),
        pytest.param(decimal.Decimal("1.10"), "1.10", None, id="decimal"),
        pytest.param(uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005", None, id="uuid"),
        pytest.param(datetime.date(2026, 11, 21), "2026-11-21", None, id="date"),
        pytest.param(Colour.RED, "red", None, id="enum"),
        pytest.param(Point(1), {"x": 1, "secret": None}, None, id="dataclass"),
        pytest.param(Model(), {"name": "m"}, None, id="pydantic model"),
        pytest.param(Unprintable(), "<test_event.Unprintable>", "truncated", id="object whose str raises"),
        pytest.param(True, True, None, id="bool stays"),
    ],
)
def test_plain_makes_json_of_anything_and_says_what_changed(value, written, noted):
    notes = Notes()
    assert plain(value, "/data", notes) == written
    changed = {name: getattr(notes, name) for name in ("truncated", "escaped") if getattr(notes, name)}
    assert changed == ({noted: ["/data"]} if noted else {})


def test_plain_copies_so_that_later_changes_do_not_reach_the_event():
    mine = {"list": [1]}
    copy = plain(mine, "/data", Notes())
    mine["list"].append(2)
    assert copy == {"list": [1]}


def test_a_cycle_ends_at_32_levels():
    loop: dict[str, Any] = {}
    loop["self"] = loop
    notes = Notes()
    depth, value = 0, plain(loop, "/data", notes)
    while value is not None:
        depth, value = depth + 1, value["self"]
    assert depth == 32
    assert notes.truncated == ["/data" + "/self" * 32]


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"data": {"deep": json.loads("[" * 400 + "]" * 400)}}, id="400 levels"),
        pytest.param({"data": {"s": "\ud800"}}, id="surrogate"),
        pytest.param({"data": {"n": 2**70}}, id="large integer"),
        pytest.param({"data": {str(n): "x" * 20 for n in range(10_000)}}, id="10,000 keys"),
        pytest.param({"data": {"s": "x" * 1_000_000}}, id="a string of a million characters"),
        pytest.param({"message": "é" * 100_000}, id="a long message"),
        pytest.param({"results": list(range(100_000))}, id="a long list"),
        pytest.param({"data": {"~/": Unprintable()}}, id="an object under a key with ~ and /"),
        pytest.param({"target": {"type": "x", "attributes": {"a": ["y" * 9_000] * 50}}}, id="large attributes"),
        pytest.param({"error": {"type": "E", "stacktrace": "z" * 200_000}}, id="a long traceback"),
    ],
)
def test_whatever_it_holds_an_event_is_written_valid_and_not_too_long(fields, check_event):
    line = encode(event(**fields))
    assert len(line) <= MAX_EVENT_BYTES
    assert b"\n" not in line
    written = check_event(json.loads(line))
    assert written["event"] == "file_uploaded"
    assert written["meta"]


def test_a_small_event_is_written_as_it_is(check_event):
    mine = event(data={"a": [1, 2.5, None, "é"]})
    assert json.loads(encode(mine)) == mine
    check_event(mine)


def test_a_long_event_within_the_limits_is_written_as_it_is(check_event):
    mine = event(data={"text": ["x" * 1_000] * 20})
    assert json.loads(encode(mine)) == mine


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.characters(categories=["Cs"]),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(st.text() | st.integers(), children, max_size=4)
        | st.tuples(children, children)
    ),
    max_leaves=20,
)


@settings(max_examples=500)
@given(anything)
def test_any_value_of_an_application_can_be_written(check_event, value):
    notes = Notes()
    data = plain({"value": value}, "/data", notes)
    check_event(json.loads(encode(notes.written_into(event(data=data)))))


@settings(max_examples=300)
@given(anything)
def test_encode_alone_never_fails(value):
    assert json.loads(encode({**event(), "data": {"value": value}}))["schema"] == SCHEMA


@pytest.mark.parametrize(
    ("raw", "text", "escaped"),
    [
        pytest.param("plain", "plain", False, id="ASCII"),
        pytest.param("caf\xc3\xa9", "café", False, id="UTF-8 read as latin-1"),
        pytest.param("caf\xe9", "caf\\xE9", True, id="latin-1"),
        pytest.param("\xff\\\n", "\\xFF\\x5C\\x0A", True, id="backslash and newline are escaped with the rest"),
    ],
)
def test_text_of_the_wire_is_utf_8_or_escaped_as_nginx_does(raw, text, escaped):
    assert wire_text(raw) == (text, escaped)


def test_times_need_no_clock_of_ours():
    assert timestamp(time.time_ns())[:4] >= "2026"


def test_ids_differ_between_threads_that_renew_at_once():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            lots = list(pool.map(lambda _: [new_id(MOMENT_NS) for _ in range(20_000)], range(8)))
    finally:
        sys.setswitchinterval(before)
    ids = [id for lot in lots for id in lot]
    assert len(set(ids)) == len(ids)
