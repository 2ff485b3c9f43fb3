"""One event as one line: aligned, complete, and nothing in it that a terminal would act on."""

import io
import json
import unicodedata
from datetime import UTC

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from auditmw.cli.lines import EventLines, duration_text
from auditmw.cli.printable import printable, printable_json

REQUEST = {
    "schema": "auditmw.event/1.0",
    "timestamp": "2026-11-20T20:20:11.874123Z",
    "duration_ns": 11_083_412,
    "event": "http_request",
    "level": "info",
    "severity": 9,
    "outcome": {"result": "success"},
    "trace": {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "00f067aa0ba902b7"},
    "actor": {"id": "alice@example.com", "type": "user"},
    "client": {"address": "100.123.123.123"},
    "http": {"request": {"method": "GET"}, "response": {"status_code": 200}},
    "url": {"path": "/api/persons", "query": "name=jan"},
    "source": {"kind": "middleware"},
}
UPLOADED = {
    "timestamp": "2026-11-20T20:20:11.871000Z",
    "event": "file_uploaded",
    "level": "info",
    "outcome": {"result": "success"},
    "actor": {"id": "42"},
    "client": {"address": "192.168.1.1"},
    "http": {"request": {"method": "POST"}},
    "target": {"type": "file", "name": "example.txt", "attributes": {"size": 12345}},
    "data": {"content_type": "text/plain", "empty": "", "none": None, "yes": True, "many": [1], "two": "a b"},
    "source": {"kind": "app"},
}
FAILED = REQUEST | {
    "level": "error",
    "outcome": {"result": "failure", "reason": "exception"},
    "http": {"request": {"method": "POST"}, "response": {}},
    "error": {"type": "builtins.OSError", "message": "[Errno 28] No space left on device"},
}
HOSTILE = "\x1b[2J\x1b]0;title\x07\r\n\x00\x7f\x85\x9b31m\u202eexe.txt\u2066\u200b\u2028\ufeff\U000e0041"


def plain(event, width=None):
    return EventLines(UTC, width)(event).plain


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        pytest.param(
            REQUEST,
            "2026-11-20 20:20:11.874 INFO  200 GET    /api/persons?name=jan                     "
            "alice@example.com  100.123.123.123  11.1ms 0af76519",
            id="request",
        ),
        pytest.param(
            UPLOADED,
            "2026-11-20 20:20:11.871 INFO   •  file_uploaded file example.txt                   "
            "42                 192.168.1.1             -        "
            "size=12345 content_type=text/plain empty='' none=null yes=true many=[…] two='a b'",
            id="application event",
        ),
        pytest.param(
            FAILED,
            "2026-11-20 20:20:11.874 ERROR --- POST   /api/persons?name=jan                     "
            "alice@example.com  100.123.123.123  11.1ms 0af76519 OSError: [Errno 28] No space left on device",
            id="exception",
        ),
        pytest.param(
            REQUEST | {"outcome": {"result": "pending"}, "http": {"request": {"method": "GET"}}, "message": "began"},
            "2026-11-20 20:20:11.874 INFO  ... GET    /api/persons?name=jan                     "
            "alice@example.com  100.123.123.123  11.1ms 0af76519 began",
            id="intent",
        ),
    ],
)
def test_an_event_reads_as_one_aligned_line(event, expected):
    assert plain(event, width=160) == expected


@pytest.mark.parametrize("width", [80, 100, 119, 120, 140, 200])
def test_columns_stand_at_the_same_place_whatever_the_path_and_the_user_are(width):
    long = REQUEST | {
        "url": {"path": "/漢字" * 50},
        "actor": {"id": "x" * 300},
        "client": {"address": "2001:db8::" + "1" * 50},
    }
    short = REQUEST | {"url": {"path": "/"}, "actor": {"type": "anonymous"}}
    lines = [plain(event, width) for event in (REQUEST, long, short)]
    assert len({cell_len(line[: line.index("0af76519")]) for line in lines}) == 1


@pytest.mark.parametrize("width", [80, 120, 200])
def test_a_line_without_a_message_fits_the_terminal(width):
    assert cell_len(plain(REQUEST | {"url": {"path": "/" + "p" * 500}}, width)) <= width


def test_a_narrow_terminal_shows_neither_date_nor_client():
    line = plain(REQUEST, 100)
    assert line.startswith("20:20:11.874 ")
    assert "100.123.123.123" not in line


def test_without_a_terminal_nothing_but_the_message_is_shortened():
    line = plain(REQUEST | {"url": {"path": "/" + "p" * 500}, "message": "m" * 5000})
    assert "/" + "p" * 500 in line
    assert line.endswith("m" * 399 + "…")


@pytest.mark.parametrize(
    "field", ["message", "event", "level", "timestamp", "path", "method", "user", "client", "trace", "error", "data"]
)
@pytest.mark.parametrize("width", [80, 160, None])
def test_no_field_can_reach_the_terminal_raw(field, width):
    paths = {
        "path": ("url", "path"),
        "method": ("http", "request", "method"),
        "user": ("actor", "id"),
        "client": ("client", "address"),
        "trace": ("trace", "trace_id"),
    }
    event = json.loads(json.dumps(REQUEST | {"level": "error"}))
    if field in paths:
        *parents, last = paths[field]
        place = event
        for name in parents:
            place = place[name]
        place[last] = HOSTILE
    elif field == "error":
        event["error"] = {"type": HOSTILE, "message": HOSTILE}
    elif field == "data":
        event["data"] = {HOSTILE: HOSTILE}
    else:
        event[field] = HOSTILE
    for source in ("middleware", "app"):
        written = io.StringIO()
        Console(file=written, width=width or 500, color_system=None).print(
            EventLines(UTC, width)(event | {"source": {"kind": source}}), soft_wrap=True
        )
        assert {char for char in written.getvalue() if not char.isprintable()} == {"\n"}
        assert written.getvalue().count("\n") == 1


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=4,
)
FIELDS = [
    (),
    *((name,) for name in (*REQUEST, "error", "data", "target")),
    ("http", "request"),
    ("http", "response"),
    ("error", "type"),
]


@given(st.sampled_from(FIELDS), st.sampled_from([REQUEST, UPLOADED, FAILED]), JSON)
def test_an_event_of_any_shape_gives_one_printable_line(path, event, value):
    for name in reversed(path[1:]):
        value = {name: value}
    damaged = event | {path[0]: value} if path else value if isinstance(value, dict) else {}
    assert plain(damaged, 160).isprintable()


@given(st.text())
def test_printable_text_has_each_character_as_it_is_or_as_its_escape(text):
    assert printable(text) == "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
    assert printable(text).isprintable()


@given(JSON)
def test_json_for_a_terminal_is_the_same_value_in_printable_characters(value):
    raw = orjson.dumps(value).decode()
    assert json.loads(printable_json(raw)) == json.loads(raw)
    assert printable_json(raw).isprintable()


def test_what_counts_as_hostile_covers_every_control_and_format_character():
    harmful = {chr(n) for n in range(0x110000) if unicodedata.category(chr(n)) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    assert all(char not in printable(f"a{char}b") for char in harmful)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0µs"),
        (310_400, "310µs"),
        (999_999, "999µs"),
        (11_083_412, "11.1ms"),
        (999_949_999, "999.9ms"),
        (999_999_999, "1.00s"),
        (99_999_999_999, "100.00s"),
        (725_000_000_000, "12m05s"),
        (10_920_000_000_000, "3h02m"),
    ],
)
def test_durations_are_short(nanoseconds, text):
    assert duration_text(nanoseconds) == text
