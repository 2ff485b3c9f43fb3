"""Access logs made of any event: lines that nginx's and Reblaze's readers take, and that say what happened."""

from __future__ import annotations

import copy
import re

import apachelogs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditmw.formats import record_format
from auditmw.formats.line import LineError
from auditmw.formats.nginx import NginxFormat
from auditmw.formats.reblaze import NAMES, ReblazeFormat
from auditmw.formats.registry import format_named
from event_table import SAMPLES, every_event
from hostile_lines import lines_of
from random_events import THOROUGH, events
from reblaze_expression import ORACLE

NGINX = ("nginx:combined", "nginx:extended")
FORMATS = {name: record_format(name) for name in (*NGINX, "reblaze")}
READERS = {name: format_named(name) for name in FORMATS}
# What a reader of nginx's combined format may rely on: ngx_http_log_module, escape=default.
COMBINED = re.compile(
    rb'(\S+) - ([^"]*) \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\] '
    rb'"([^"]*)" (\d{3}) (\d+) "([^"]*)" "([^"]*)"(.*)'
)
EXTENDED_TAIL = re.compile(rb' userid="[^"]*" sessionid="[^"]*"')
REQUEST = {
    "schema": "auditmw.event/1.0",
    "timestamp": "2026-11-20T20:20:11.987654Z",
    "event": "http_request",
    "level": "info",
    "outcome": {"result": "success"},
    "client": {"address": "192.0.2.1"},
    "http": {"version": "1.1", "request": {"method": "GET"}, "response": {"status_code": 200, "body_size": 5}},
    "url": {"path": "/a"},
    "source": {"kind": "middleware", "format": "wsgi"},
}


def request(**changes):
    """A request whose parts are replaced; None takes one away."""
    return {name: part for name, part in {**REQUEST, **changes}.items() if part is not None}


def rendered(name, event):
    """The line, or None where the format says that it has none."""
    try:
        return FORMATS[name].render(event)
    except LineError:
        return None


def check_lines(event):
    """Every line that is made can be read; each request that has ended has one, and nothing else. Returns Reblaze's."""
    before = copy.deepcopy(event)
    is_request = event["event"] == "http_request" and event["outcome"]["result"] != "pending"
    for name in NGINX:
        line = rendered(name, event)
        assert (line is not None) == is_request
        if line is None:
            continue
        match = COMBINED.fullmatch(line)
        assert match, line
        assert line.isascii()
        assert EXTENDED_TAIL.fullmatch(match[8]) if name == "nginx:extended" else match[8] == b""
        assert READERS[name].parse(line)["event"] == "http_request"
    line = rendered("reblaze", event)
    assert line is None or is_request
    if line is not None:
        assert ORACLE.fullmatch(line.decode("ascii")), line
        assert READERS["reblaze"].parse(line)["event"] == "http_request"
    assert event == before
    return line


@THOROUGH
@given(events(), st.integers(0, 3))
def test_any_event_is_a_line_that_readers_take_or_no_line(event, among):
    if among:  # most of them
        event = {"http": {}, **event, "event": "http_request"}
    if event["source"].get("format") in FORMATS:  # which only an event can say that such a line was read into
        event = {**event, "source": {**event["source"], "format": "nginx:json"}}
    line = check_lines(event)
    request = event.get("http", {}).get("request", {})
    whole = request.get("method") and (request.get("target") or event.get("url", {}).get("path"))
    if event["event"] == "http_request" and event["outcome"]["result"] != "pending" and whole:
        assert line is not None


def test_every_event_of_the_scenario_table_and_of_the_samples_is_a_line_that_readers_take_or_no_line():
    lines = 0
    for name, event in every_event():
        line = check_lines(event)
        assert (line is not None) == (event["event"] == "http_request" and event["outcome"]["result"] != "pending"), (
            name
        )
        lines += line is not None
    assert lines > 100


def test_an_imported_event_is_its_own_line_again():
    (line,) = lines_of("reblaze-line.txt")
    assert record_format("reblaze").render(ReblazeFormat().parse(line)) == line
    for line in lines_of("nginx/nginx-1.22.1.extended.log"):
        event = format_named("nginx:extended").parse(line)
        if "truncated" not in event.get("meta", {}):
            assert record_format("nginx:extended").render(event) == line


def test_what_nginx_logged_in_one_format_reads_in_another_as_nginx_would_have_logged_it():
    for line in lines_of("nginx/nginx-1.22.1.extended.log"):
        event = READERS["nginx:extended"].parse(line)
        if "truncated" not in event.get("meta", {}):  # a request of a thousand escapes
            assert FORMATS["nginx:combined"].render(event) == line.rpartition(b" userid=")[0]


def test_a_parser_of_others_reads_the_combined_lines_of_every_scenario():
    parser = apachelogs.LogParser(apachelogs.COMBINED)
    for name, event in every_event():
        line = rendered("nginx:combined", event)
        if line is not None:
            entry = parser.parse(line.decode())
            status = event["http"].get("response", {}).get("status_code")
            assert entry.final_status == (status or entry.final_status), name
            assert entry.request_line.startswith(event["http"]["request"]["method"])


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        pytest.param({}, '192.0.2.1 - - [20/Nov/2026:20:20:11 +0000] "GET /a HTTP/1.1" 200 5 "-" "-"', id="plain"),
        pytest.param({"client": {"address": "1.2.3.4, 10.0.0.1"}}, "1.2.3.4 - ", id="a whole X-Forwarded-For"),
        pytest.param({"client": {}}, "- - - [", id="no address"),
        pytest.param({"client": {"address": '" '}}, "- - - [", id="no address, but characters"),
        pytest.param({"url": {"path": "/a b", "query": "c=d"}}, '"GET /a%20b?c=d HTTP/1.1"', id="a space"),
        pytest.param({"url": {"path": "/a?b#c"}}, '"GET /a%3Fb%23c HTTP/1.1"', id="a question mark in the path"),
        pytest.param({"url": {"path": "/%C3%A9"}}, '"GET /%C3%A9 HTTP/1.1"', id="encoded already"),
        pytest.param({"url": {"path": '/"\n'}}, '"GET /%22%0A HTTP/1.1"', id="what a line cannot hold"),
        pytest.param({"url": {}}, '"-" 200 5', id="no path"),
        pytest.param({"http": {"request": {"method": "GET"}, "version": "2"}}, "HTTP/2.0", id="HTTP/2"),
        pytest.param({"http": {"request": {"method": "GET"}, "version": "3"}}, "HTTP/3.0", id="HTTP/3"),
        pytest.param({"http": {"request": {"method": "GET"}}}, 'HTTP/1.1" 000 0 ', id="nothing sent"),
        pytest.param({"http": {"response": {"status_code": 204, "size": 90}}}, " 204 90 ", id="only the whole size"),
        pytest.param(
            {"http": {"request": {"method": "GET"}}, "error": {"type": "ValueError"}}, ' 500 0 "-"', id="exception"
        ),
        pytest.param(
            {"http": {}, "outcome": {"result": "unknown", "reason": "client_disconnected"}}, " 499 0 ", id="client gone"
        ),
        pytest.param(
            {"actor": {"id": "alice", "name": "Alice"}, "session": {"id": "s1"}},
            '192.0.2.1 - Alice [20/Nov/2026:20:20:11 +0000] "GET /a HTTP/1.1" 200 5 "-" "-" userid="alice" '
            'sessionid="s1"',
            id="user and session",
        ),
        pytest.param(
            {"source": {"kind": "import", "format": "apache:combined", "fields": {"remote_user": "x", "status": "?"}}},
            '192.0.2.1 - - [20/Nov/2026:20:20:11 +0000] "GET /a HTTP/1.1" 200 5',
            id="fields of another format",
        ),
    ],
)
def test_what_the_middleware_knows_is_what_nginx_would_have_logged(changes, line):
    event = request(**changes)
    before = repr(event)
    assert line in record_format("nginx:extended").render(event).decode()
    assert repr(event) == before


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, {"method": "GET", "request": "/a", "proto_version": "HTTP/1.1", "blocked": "0"}, id="plain"),
        pytest.param(
            {"url": {"path": '/"x"', "query": 'y="z"'}},
            {"request": "/%22x%22?y=\\x22z\\x22", "uri": "/\\x22x\\x22"},
            id="quotes",
        ),
        pytest.param(
            {"http": {"version": "2", "request": {"method": "PUT"}}}, {"proto_version": "HTTP/2.0"}, id="HTTP/2"
        ),
        pytest.param(
            {"http": {"version": "0.9", "request": {"method": "GET"}}},
            {"request": "/a", "proto_version": "HTTP/0.9"},
            id="HTTP/0.9",
        ),
        pytest.param(
            {"outcome": {"result": "failure", "reason": "denied"}},
            {"blocked": "1", "block_reason": "denied"},
            id="denied",
        ),
        pytest.param(
            {"outcome": {"result": "failure", "reason": "http_404"}},
            {"blocked": "0", "block_reason": "http_404"},
            id="reason",
        ),
        pytest.param(
            {"duration_ns": 1_234_567_890}, {"request_time": "1.234", "timestamp": "1795206011.987"}, id="times"
        ),
    ],
)
def test_what_the_middleware_knows_stands_in_the_fields_of_reblaze(changes, expected):
    line = record_format("reblaze").render(request(**changes)).decode()
    found = dict(zip(NAMES, ORACLE.fullmatch(line).groups(), strict=True))
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize("name", [*NGINX, "reblaze"])
@pytest.mark.parametrize(
    ("event", "message"),
    [
        pytest.param({"event": "file_uploaded"}, "lines for requests alone, not for 'file_uploaded'", id="other event"),
        pytest.param(request(outcome={"result": "pending"}), "requests that have ended", id="intent record"),
    ],
)
def test_what_has_no_line_is_refused_with_the_reason(name, event, message):
    with pytest.raises(LineError, match=message):
        record_format(name).render(event)


@pytest.mark.parametrize("http", [{}, {"request": {"user_agent": "x"}}], ids=["nothing", "no method"])
def test_reblaze_has_no_line_without_a_method(http):
    with pytest.raises(LineError, match="with a method and a target"):
        record_format("reblaze").render(request(http=http))


def test_a_line_for_the_extended_format_is_read_by_a_format_that_nginx_was_told():
    event = NginxFormat(
        '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" '
        '"$http_user_agent" userid="$upstream_http_x_userid" sessionid="$upstream_http_x_sessionid"'
    ).parse(record_format("nginx:extended").render(SAMPLES["1-wsgi-request"]))
    assert event["actor"]["id"] == "alice@example.com"
    assert event["session"]["id"] == SAMPLES["1-wsgi-request"]["session"]["id"]
    assert event["http"]["response"] == {"status_code": 200, "body_size": 75612}
