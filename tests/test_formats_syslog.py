"""RFC 5424: a real rsyslogd understands every message, and each is what the grammar of §6 says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given

from auditmw.formats.syslog import PARAMETERS, SyslogFormat
from event_table import SAMPLES, every_event, same
from random_events import THOROUGH, events
from syslog_server import Rsyslog

SYSLOG = SyslogFormat()
PRINTABLE = "[!-~]"
GRAMMAR = re.compile(
    rf"<(?P<pri>\d{{1,3}})>1 (?P<time>-|\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{6}}Z) (?P<host>{PRINTABLE}{{1,255}}) "
    rf"(?P<application>{PRINTABLE}{{1,48}}) (?P<process>{PRINTABLE}{{1,128}}) (?P<id>{PRINTABLE}{{1,32}}) "
    r'\[(?P<sd_id>[!#-<>-\\^-~]{1,32})(?P<parameters>(?: [!#-<>-\\^-~]{1,32}="(?:[^"\\\]]|\\["\\\]])*")*)\] '
    r"(?P<message>.*)"
)
PARAMETER = re.compile(r' ([^=]+)="((?:[^"\\\]]|\\["\\\]])*)"')


def parsed(message: bytes) -> dict[str, Any]:
    """The parts of a message by the grammar, the structured data as a dict."""
    match = GRAMMAR.fullmatch(message.decode())
    assert match, message
    found = match.groupdict()
    parameters = PARAMETER.findall(found["parameters"])
    found["parameters"] = {name: re.sub(r'\\(["\\\]])', r"\1", value) for name, value in parameters}
    return found


def check(event: dict[str, Any]) -> None:
    message = SYSLOG.render(event)
    found = parsed(message)
    assert found["message"].isascii()
    assert found["message"].isprintable()
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", message.decode()), "a control character"
    assert same(json.loads(found["message"]), event)
    assert set(found["parameters"]) <= set(PARAMETERS.values())


def test_every_event_there_is_is_a_message_of_the_grammar():
    for _, event in every_event():
        check(event)


@THOROUGH
@given(events())
def test_every_valid_event_is_a_message_of_the_grammar(event):
    check(event)


@pytest.fixture(scope="module")
def rsyslog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rsyslog]:
    with Rsyslog(tmp_path_factory.mktemp("rsyslog")) as server:
        yield server


def as_understood(event: dict[str, Any]) -> dict[str, Any]:
    """What a receiver has to understand, by the grammar above."""
    found = parsed(SYSLOG.render(event))
    pri = int(found["pri"])
    return {
        "facility": str(pri // 8),
        "severity": str(pri % 8),
        "host": found["host"],
        "application": found["application"],
        "message_id": found["id"],
        "message": found["message"],
        "version": "1",
    }


@pytest.mark.needs("rsyslogd")
def test_rsyslog_understands_every_event_there_is(rsyslog):
    found = [event for _, event in every_event()]
    received = rsyslog.understood(map(SYSLOG.render, found))
    for event, each in zip(found, received, strict=True):
        assert each | as_understood(event) == each
        assert same(json.loads(each["message"]), event)
        assert each["time"].replace("+00:00", "Z") == event["timestamp"]


@pytest.mark.needs("rsyslogd")
@THOROUGH
@given(event=events())
def test_rsyslog_understands_every_valid_event(rsyslog, event):
    (received,) = rsyslog.understood([SYSLOG.render(event)])
    assert received | as_understood(event) == received
    assert same(json.loads(received["message"]), event)
    assert received["structured_data"] in SYSLOG.render(event).decode()


@pytest.mark.needs("rsyslogd")
def test_rsyslog_takes_the_longest_event_there_may_be(rsyslog):
    event = SAMPLES["3-file-uploaded"] | {"data": {"text": "é" * 10_900}}
    (received,) = rsyslog.understood([SYSLOG.render(event)])
    assert same(json.loads(received["message"]), event)


def test_a_request_as_a_message():
    assert SYSLOG.render(SAMPLES["1-wsgi-request"]).startswith(
        b"<110>1 2026-11-20T20:20:11.874123Z web-1 people-api - http_request "
        b'[auditmw@32473 id="01a1fa9d-dbe2-76b9-a3e2-bda43d201f24" event="http_request" outcome="success" '
        b'trace="0af7651916cd43dd8448eb211c80319c" span="00f067aa0ba902b7" request="85a06c90788800c9b2c9898e6f94d3df" '
        b'user="alice@example.com" session="s1.k2.mfrggzdfmztwq2lknnwg23tpoa" ip="100.123.123.123" method="GET" '
        b'path="/api/persons" status="200"] {"schema":'
    )


@pytest.mark.parametrize(
    ("level", "severity"), [("debug", 7), ("info", 6), ("warning", 4), ("error", 3), ("critical", 2), (None, 5)]
)
def test_levels_are_severities_of_the_facility_for_audits(level, severity):
    assert parsed(SYSLOG.render(SAMPLES["3-file-uploaded"] | {"level": level}))["pri"] == str(13 * 8 + severity)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param('/a"b]c\\d', '/a"b]c\\d', id="what the grammar escapes"),
        pytest.param("/a\nb\x7f", "/a\\x0Ab\\x7F", id="control characters as nginx writes them"),
        pytest.param("/é/😀", "/é/😀", id="UTF-8"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_a_parameter_says_what_the_field_says(path, expected):
    message = SYSLOG.render(SAMPLES["1-wsgi-request"] | {"url": {"path": path}})
    assert parsed(message)["parameters"]["path"] == expected


def test_what_the_header_cannot_say_is_replaced_or_cut():
    event = SAMPLES["3-file-uploaded"] | {
        "event": "a" * 40,
        "service": {"name": "my shop é" + "x" * 60, "host": "h\n" + "h" * 300},
    }
    found = parsed(SYSLOG.render(event))
    assert found["id"] == "a" * 32
    assert found["application"] == "my_shop__" + "x" * 39
    assert found["host"] == "h_" + "h" * 253
    assert found["parameters"]["event"] == "a" * 40


def test_the_enterprise_number_and_the_facility_can_be_chosen():
    message = SyslogFormat(enterprise_number=12345, facility=16).render(SAMPLES["3-file-uploaded"])
    assert message.startswith(b"<134>1 ")
    assert parsed(message)["sd_id"] == "auditmw@12345"
    assert same(SYSLOG.parse(message), SAMPLES["3-file-uploaded"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        pytest.param({"enterprise_number": -1}, "a private enterprise number, such as 32473, not -1", id="negative"),
        pytest.param({"enterprise_number": "32473"}, "such as 32473, not '32473'", id="text"),
        pytest.param({"facility": 24}, "a facility from 0 to 23, not 24", id="facility"),
    ],
)
def test_a_number_that_is_none_is_refused(options, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        SyslogFormat(**options)
