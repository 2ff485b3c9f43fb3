"""Lines for people, lines of a team's own structlog processors, and the event's own JSON."""

from __future__ import annotations

import copy
import json

import pytest
import structlog
from hypothesis import given

from auditmw.formats import record_format, structlog_format
from auditmw.formats.console import ConsoleFormat
from auditmw.formats.record import LosslessFormat, RecordError
from event_table import SAMPLES, every_event, same
from random_events import THOROUGH, events

CONSOLE, NATIVE = record_format("console"), record_format("native")
COLORED = ConsoleFormat(colors=True)
TEAMS = structlog_format([structlog.processors.JSONRenderer(sort_keys=True)])
LOGFMT = structlog_format(
    [structlog.processors.LogfmtRenderer(bool_as_flag=False)], name="logfmt", media_type="text/plain"
)
UPLOADED = SAMPLES["3-file-uploaded"]


def check(event):
    before = copy.deepcopy(event)
    line = CONSOLE.render(event).decode()
    assert line.isprintable(), line  # no line feed, no escape sequence: one line, whatever the event holds
    assert event["event"] in line
    assert "\n" not in COLORED.render(event).decode()
    assert same(json.loads(TEAMS.render(event)), event)
    assert same(NATIVE.parse(NATIVE.render(event)), event)
    assert event == before


@THOROUGH
@given(events())
def test_any_event_is_one_line_and_stays_as_it_is(event):
    check(event)


def test_every_event_of_the_scenario_table_and_of_the_samples_is_one_line():
    for _, event in every_event():
        check(event)


# ------------------------------------------------------------------------------------------------------------ console


@pytest.mark.parametrize(
    ("event", "line"),
    [
        pytest.param(
            SAMPLES["1-wsgi-request"],
            "2026-11-20T20:20:11.874123Z [info     ] http_request                   method=GET "
            "path='/api/persons?name=jan&token=REDACTED' status=200 ms=11.083 user=alice@example.com "
            "session=s1.k2.mfrggzdfmztwq2lknnwg23tpoa client=100.123.123.123 service=people-api "
            "trace=0af7651916cd43dd8448eb211c80319c request=85a06c90788800c9b2c9898e6f94d3df message='Search persons' "
            "filter={'object': 'person', 'fields': ['name'], 'terms': ['jan']} results={'count': 2, 'ids': [11, 12]}",
            id="request",
        ),
        pytest.param(
            SAMPLES["2-asgi-exception"],
            "2026-11-20T20:20:15.042000Z [error    ] http_request                   method=POST path=/upload ms=31.5 "
            "client=2001:db8::17 service=files trace=5b8efff798038103d269b633813fc60c "
            "request=01a1fa9d-e822-7cc1-8000-3b9aca001122 reason=exception message='POST /upload raised OSError' "
            "error='builtins.OSError: [Errno 28] No space left on device'",
            id="exception",
        ),
        pytest.param(
            {"timestamp": "t", "level": "loud", "event": "e\x1b[2J", "message": 'a\n"b', "data": {"\x1b": "\u202e"}},
            r"""t [loud     ] 'e\x1b[2J'                     message='a\n"b' data={'\x1b': '\u202e'}""",
            id="hostile",
        ),
        pytest.param({}, "- [-        ] -", id="nothing"),
    ],
)
def test_the_console_line_has_what_people_look_for(event, line):
    assert CONSOLE.render(event).decode() == line


def test_the_console_line_has_colours_where_they_are_wanted():
    assert b"\x1b[" in COLORED.render(UPLOADED)


# ---------------------------------------------------------------------------------------------- processors of the team


def test_each_processor_is_called_as_structlog_does_and_the_last_one_renders():
    calls = []

    def add_team(logger, method, line):
        calls.append((logger, method))
        line["http"]["request"].clear()  # its own copy
        return {"team": "checkout", **line}

    chosen = structlog_format([add_team, structlog.processors.EventRenamer("msg"), structlog.processors.JSONRenderer()])
    line = json.loads(chosen.render(UPLOADED))
    assert (line["team"], line["msg"], line["timestamp"]) == ("checkout", "file_uploaded", UPLOADED["timestamp"])
    assert line["http"] == {"request": {}}
    assert UPLOADED["http"]["request"]
    assert calls == [(None, "info")]
    assert not isinstance(chosen, LosslessFormat)


@pytest.mark.parametrize(
    ("processors", "rendered"),
    [
        pytest.param([lambda logger, method, line: b"bytes"], b"bytes", id="bytes"),
        pytest.param([lambda logger, method, line: "\ud800"], rb"\ud800", id="half a character"),
        pytest.param(
            [
                lambda logger, method, line: {"event": line["event"], "path": "/a b", "n": 1},
                structlog.processors.LogfmtRenderer(),
            ],
            b'event=file_uploaded path="/a b" n=1',
            id="logfmt",
        ),
    ],
)
def test_text_and_bytes_are_records(processors, rendered):
    assert structlog_format(processors).render(UPLOADED) == rendered


def drop(logger, method, line):
    raise structlog.DropEvent


@pytest.mark.parametrize(
    ("processors", "message"),
    [
        pytest.param(
            [lambda *line: line[2]], "expected the last processor of structlog to return text, not dict", id="dict"
        ),
        pytest.param([lambda *line: None], "not NoneType", id="nothing"),
        pytest.param([structlog.stdlib.render_to_log_kwargs], "is it a renderer", id="for the standard library"),
        pytest.param([drop], "drop dropped the event", id="dropped"),
        pytest.param([lambda *line: "a\nb"], "expected one line from the processors", id="two lines"),
    ],
)
def test_what_is_no_line_is_refused_with_the_reason(processors, message):
    with pytest.raises(RecordError, match=message):
        structlog_format(processors).render(UPLOADED)


@pytest.mark.parametrize(
    ("processors", "message"),
    [
        pytest.param([], "expected a list of structlog processors, the last one a renderer, not \\[\\]", id="none"),
        pytest.param("json", "expected a list .*, not 'json'", id="a name"),
        pytest.param(print, "expected a list", id="a processor alone"),
        pytest.param([print, 7], "expected structlog processors, which are callables, not 7", id="a number"),
    ],
)
def test_what_are_no_processors_is_refused_at_once(processors, message):
    with pytest.raises(TypeError, match=message):
        structlog_format(processors)


# ------------------------------------------------------------------------------------------------------------- native


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b"", "expected an event"),
        (b"[]", "expected an event, a JSON object"),
        (b"{}", "expected an event whose schema is auditmw.event/1.N, not None"),
        (b'{"schema":"auditmw.event/2.0"}', "not 'auditmw.event/2.0'"),
        (b"\xff", "expected an event"),
    ],
)
def test_what_is_no_event_is_refused_with_what_came(record, message):
    with pytest.raises(RecordError, match=message):
        NATIVE.parse(record)


def test_a_value_that_json_cannot_carry_is_refused():
    with pytest.raises(RecordError, match="plain JSON"):
        NATIVE.render({"data": object()})
