"""Caddy's JSON log: what Caddy 2.6.2 wrote to all kinds of requests, and what newer ones add."""

import json
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditmw.formats.caddy import CaddyFormat
from auditmw.formats.detection import detect
from auditmw.formats.line import LineError

LINES = Path(__file__).with_name("data").joinpath("caddy-2.6.2.json.log").read_bytes().splitlines()
PLAIN = json.loads(LINES[0])


def parsed(line):
    """The event of a line, which must be valid once the importer has been there."""
    return CaddyFormat().parse(line if isinstance(line, bytes) else json.dumps(line).encode())


def valid(check_event, event):
    return check_event(
        {**event, "id": "01a1fa9d-d878-8a11-9c2f-5d0f3c1b2a99", "observed": "2026-11-20T21:00:00.000000Z"}
    )


@pytest.mark.parametrize("line", LINES, ids=[json.loads(line)["request"]["uri"] for line in LINES])
def test_a_real_line_is_a_valid_event_and_comes_back_equal(check_event, line):
    event = parsed(line)
    valid(check_event, event)
    assert json.loads(CaddyFormat().render(event)) == json.loads(line)


def test_a_line_whose_headers_stand_in_their_order_comes_back_byte_for_byte():
    assert CaddyFormat().render(parsed(LINES[0])) == LINES[0]


def test_every_member_goes_where_it_belongs():
    event = parsed(LINES[0])
    assert event["timestamp"] == "2026-11-21T15:54:19.019461Z"
    assert event["duration_ns"] == 38_998
    assert event["start"] == "2026-11-21T15:54:19.019422Z"
    assert event["client"] == {"address": "127.0.0.1", "origin": "log", "port": 51416}
    assert event["url"] == {
        "host": "127.0.0.1",
        "port": 18080,
        "path": "/plain",
        "query": "user=2343&utm_source=ads",
    }
    request, response = event["http"]["request"], event["http"]["response"]
    assert (event["http"]["version"], request["method"]) == ("1.1", "GET")
    assert request["target"] == "/plain?user=2343&utm_source=ads"
    assert request["user_agent"] == "Mozilla/5.0 (X11; Linux x86_64)"
    assert request["referrer"] == "https://example.com/posts"
    assert (response["status_code"], response["body_size"]) == (200, 5)
    assert response["content_type"] == "text/plain; charset=utf-8"
    assert (event["outcome"], event["level"]) == ({"result": "success"}, "info")
    assert event["source"]["time_basis"] == "end"
    assert event["source"]["fields"] == {"logger": "http.log.access.log0", "ts": "1795276459.0194614"}


def test_tls_is_told_by_the_names_that_people_know():
    event = parsed(LINES[9])
    assert event["tls"] == {"version": "TLSv1.3", "cipher": "TLS_AES_128_GCM_SHA256", "server_name": "localhost"}
    assert event["http"]["version"] == "2.0"


def test_a_status_of_zero_says_that_nothing_was_sent():
    event = parsed(LINES[-1])
    assert event["outcome"] == {"result": "unknown", "reason": "no_response"}
    assert "status_code" not in event["http"]["response"]


def test_a_client_that_caddy_was_told_of_is_not_its_peer():
    line = json.loads(LINES[0])
    line["request"]["client_ip"] = "203.0.113.9"
    line["bytes_read"] = 17
    line["user_id"] = "alice"
    event = parsed(line)
    assert event["client"] == {
        "peer_address": "127.0.0.1",
        "peer_port": 51416,
        "address": "203.0.113.9",
        "origin": "log",
    }
    assert event["http"]["request"]["body_size"] == 17
    assert event["actor"] == {"id": "alice"}
    assert json.loads(CaddyFormat().render(event)) == line


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"ts": "2026-11-20T20:20:11.5Z"}, id="another format of times"),
        pytest.param({"ts": "2026-11-20T21:20:11+01:00"}, id="with an offset"),
        pytest.param({"duration": "38.998µs"}, id="a duration as text"),
        pytest.param({"duration": 1.5e-05}, id="a duration with an exponent"),
        pytest.param({"status": "200"}, id="a status as text"),
        pytest.param({"size": -1}, id="no size"),
        pytest.param({"tenant": {"id": 7, "tags": ["a", 1.0, None, True], "": {}}}, id="fields of log_append"),
        pytest.param({"a.b": {"c%2Ed": 1}, "200": "[]", "text": "false"}, id="odd names, text that looks like JSON"),
        pytest.param({"level": "debug", "msg": "handled request, or not"}, id="another level and message"),
    ],
)
def test_what_has_no_home_comes_back_too(check_event, changes):
    line = {**PLAIN, **changes}
    event = parsed(line)
    valid(check_event, event)
    assert json.loads(CaddyFormat().render(event)) == line


values = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(), st.text(max_size=9)),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=8,
)


@given(
    more=st.dictionaries(st.text(max_size=5), values, max_size=4), name=st.text(min_size=1, max_size=9), value=st.text()
)
def test_whatever_else_is_in_a_line_comes_back(check_event, more, name, value):
    line = {**more, **PLAIN, "request": {**PLAIN["request"], "headers": {"User-Agent": ["x"], name: [value]}}}
    line = json.loads(json.dumps(line))
    event = parsed(line)
    valid(check_event, event)
    assert json.loads(CaddyFormat().render(event)) == line


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"", id="blank"),
        pytest.param(b" \r", id="spaces"),
        pytest.param(
            b'{"level":"info","ts":1795276456.09,"logger":"tls.obtain","msg":"releasing lock"}',
            id="of another logger",
        ),
        pytest.param(b'{"level":"info","ts":1795276456.09,"msg":"serving initial configuration"}', id="of no logger"),
    ],
)
def test_a_line_about_no_request_makes_no_event(line):
    assert CaddyFormat().parse(line) is None


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"127.0.0.1 - - [...]", id="no JSON"),
        pytest.param(b'["a"]', id="no object"),
        pytest.param(LINES[0][:-1], id="cut off"),
        pytest.param(LINES[0].replace(b"Mozilla", b"\xff"), id="not UTF-8"),
        pytest.param(b'{"time":"2026-11-20T20:20:11+00:00","status":200}', id="JSON of somebody else"),
        pytest.param(b"[" * 100_000, id="nested without end"),
        pytest.param(LINES[0].replace(b"1795276459.0194614", b'"lately"'), id="no time"),
        pytest.param(LINES[0].replace(b"1795276459.0194614", b"1e300"), id="no such time"),
    ],
)
def test_what_is_no_line_of_caddy_is_refused(line):
    with pytest.raises(LineError):
        CaddyFormat().parse(line)


def test_an_event_of_the_application_has_no_line():
    with pytest.raises(LineError, match="expected an http_request"):
        CaddyFormat().render({"event": "file_uploaded"})


def test_a_log_of_caddy_is_recognised():
    assert detect(LINES).format.name == "caddy:json"


def test_no_line_is_a_header():
    assert not CaddyFormat().is_header(LINES[0])


def test_an_event_that_the_middleware_wrote_has_a_line_too():
    event = orjson.loads(
        b'{"event":"http_request","timestamp":"2026-11-20T20:20:11.000000Z","http":{"request":{"method":"GET"},'
        b'"response":{"status_code":500}},"url":{"path":"/a","query":"b=c"},"source":{"kind":"middleware"}}'
    )
    line = json.loads(CaddyFormat().render(event))
    assert (line["ts"], line["status"], line["level"]) == (1795206011, 500, "error")
    assert line["request"] == {"method": "GET", "uri": "/a?b=c"}
