"""Traefik's default log: where its values go, and that lines come back byte for byte."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from auditmw.formats.detection import detect
from auditmw.formats.line import LineError
from auditmw.formats.lines.escapes import GO
from auditmw.formats.registry import format_named
from auditmw.formats.traefik_common import TraefikCommonFormat
from hostile_lines import ADDRESSES, ASCII, VALUES, imported

FORMAT = TraefikCommonFormat()
LINE = (
    b'192.0.2.7 - alice [20/Nov/2026:20:20:11 +0000] "GET /x?y=1 HTTP/2.0" 404 19 "https://a.test/" "curl/8.5" '
    b'7 "web@docker" "http://10.0.0.5:80" 1250ms'
)
NOTHING = b'- - - [20/Nov/2026:20:20:11 +0000] "- - -" - - "-" "-" - "-" "-" 0ms'


def test_every_value_goes_where_it_belongs(check_event):
    event = FORMAT.parse(LINE)
    check_event(imported(event))
    assert (event["start"], event["timestamp"]) == ("2026-11-20T20:20:11.000000Z", "2026-11-20T20:20:12.250000Z")
    assert (event["duration_ns"], event["source"]["time_basis"]) == (1_250_000_000, "start")
    assert event["client"] == {"address": "192.0.2.7", "origin": "log"}
    assert event["actor"] == {"name": "alice"}
    assert event["http"] == {
        "version": "2.0",
        "request": {
            "method": "GET",
            "target": "/x?y=1",
            "referrer": "https://a.test/",
            "user_agent": "curl/8.5",
        },
        "response": {"status_code": 404, "body_size": 19},
    }
    assert event["url"] == {"path": "/x", "query": "y=1"}
    assert event["outcome"] == {"result": "failure", "reason": "http_404"}
    assert event["upstream"] == [{"address": "10.0.0.5:80"}]
    assert event["source"]["fields"] == {"RequestCount": "7", "RouterName": "web@docker"}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        pytest.param(b" alice ", b" - ", {}, id="nobody"),
        pytest.param(b" alice ", b" Alice B. ", {"actor": {"name": "Alice B."}}, id="a user with a space"),
        pytest.param(b" alice ", b" DOM\\alice ", {"actor": {"name": "DOM\\alice"}}, id="a user with a backslash"),
        pytest.param(
            b"192.0.2.7", b"203.0.113.9, 10.1.1.1", {"client": {"forwarded": ["203.0.113.9", "10.1.1.1"]}}, id="a chain"
        ),
        pytest.param(
            b"192.0.2.7", b"203.0.113.9,10.1.1.1", {"client": {"forwarded": ["203.0.113.9", "10.1.1.1"]}}, id="commas"
        ),
        pytest.param(b"192.0.2.7", b"2001:db8::1", {"client": {"address": "2001:db8::1", "origin": "log"}}, id="IPv6"),
        pytest.param(
            b" 404 19 ", b" 0 0 ", {"outcome": {"result": "unknown", "reason": "no_response"}}, id="no answer"
        ),
        pytest.param(b"?y=1", b"?y=\\x41", {"url": {"path": "/x", "query": "y=\\x41"}}, id="no escape in the request"),
        pytest.param(b"/x?y=1", b"/caf\xc3\xa9", {"url": {"path": "/caf%C3%A9"}}, id="UTF-8 in the request"),
        pytest.param(b"?y=1", b"?y=\xff", {"url": {"path": "/x", "query": "y=\\xFF"}}, id="bytes in the request"),
        pytest.param(b"http://10.0.0.5:80", b"h2c://10.0.0.5:80/x", {}, id="another kind of server"),
        pytest.param(b" HTTP/2.0", b" http", {}, id="no request line"),
        pytest.param(b"+0000", b"-0900", {"start": "2026-11-21T05:20:11.000000Z"}, id="local time"),
        pytest.param(b" 19 ", b" 019 ", {}, id="a number as Go does not write it"),
    ],
)
def test_a_line_that_says_something_else_comes_back_too(check_event, old, new, told):
    line = LINE.replace(old, new)
    assert line != LINE
    event = FORMAT.parse(line)
    check_event(imported(event))
    assert FORMAT.render(event) == line
    assert {key: event[key] for key in told} == told


def test_a_line_of_nothing_is_an_event_with_a_time(check_event):
    event = FORMAT.parse(NOTHING)
    check_event(imported(event))
    assert event["timestamp"] == "2026-11-20T20:20:11.000000Z"
    assert FORMAT.render(event) == NOTHING


@pytest.mark.parametrize(
    ("logged", "meant"),
    [
        (b'say \\"hi\\"', 'say "hi"'),
        (b"\\\\x41", "\\x41"),
        (b"\\a\\b\\f\\n\\r\\t\\v\\x00\\x7f", "\a\b\f\n\r\t\v\x00\x7f"),
        (b"\\u200b\\U000e0001\\u00a0", "\u200b\U000e0001\u00a0"),
        ("é日😀".encode(), "é日😀"),
    ],
    ids=["quotes", "backslash", "controls", "invisible", "printable"],
)
def test_quoted_values_are_what_go_makes_of_them(check_event, logged, meant):
    line = LINE.replace(b"curl/8.5", logged)
    event = FORMAT.parse(line)
    check_event(imported(event))
    assert event["http"]["request"]["user_agent"] == meant
    assert FORMAT.render(event) == line


@given(raw=st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace")))
@example(b"\xed\xa0\x80")
@example(b"\\udc80\\U00110000\\Uffffffff")
def test_what_go_escapes_comes_back(raw):
    quoted = GO.encode(raw)
    assert GO.decode(quoted.decode()) == raw
    assert quoted.decode().isprintable()


# A user agent that is a dash is none; and in old lines with a quote nothing tells where a referrer ends.
QUOTED = VALUES.filter(bool).map(GO.encode)
WORDS = (
    ASCII.filter(bool).map(lambda text: text.translate(None, b' "[\\,')).filter(lambda text: text not in (b"", b"-"))
)


@settings(deadline=None)
@given(
    address=ADDRESSES,
    user=WORDS | st.just(b"-"),
    path=WORDS,
    numbers=st.tuples(*[st.integers(0, 10**12)] * 3),
    status=st.integers(100, 999),
    quoted=st.tuples(*[QUOTED | st.just(b"-")] * 4),
)
def test_any_line_that_traefik_can_write_comes_back(check_event, address, user, path, numbers, status, quoted):
    size, count, took = numbers
    line = b'%s - %s [20/Nov/2026:20:20:11 +0000] "GET /%s HTTP/1.1" %d %d "%s" "%s" %d "%s" "%s" %dms' % (
        *(address, user, path, status, size, quoted[0], quoted[1], count, quoted[2], quoted[3], took),
    )
    event = FORMAT.parse(line)
    check_event(imported(event))
    assert FORMAT.render(event) == line


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        pytest.param(b'"curl/8.5"', b'"foo " bar"', {"user_agent": 'foo " bar'}, id="a quote in the user agent"),
        pytest.param(b'"curl/8.5"', b'"a" "b\\""', {"user_agent": 'a" "b\\"'}, id="quotes and a backslash"),
        pytest.param(b'"https://a.test/"', b"-", {"user_agent": "curl/8.5"}, id="no quotes around no referrer"),
        pytest.param(b'"http://10.0.0.5:80"', b"-", {"user_agent": "curl/8.5"}, id="nor around no server"),
        pytest.param(b"y=1", b'y="1', {"target": '/x?y="1'}, id="a quote in the request"),
    ],
)
def test_lines_from_before_values_were_escaped_are_read(check_event, old, new, told):
    event = FORMAT.parse(LINE.replace(old, new))
    check_event(imported(event))
    assert {key: event["http"]["request"][key] for key in told} == told
    assert (event["duration_ns"], event["source"]["fields"]["RouterName"]) == (1_250_000_000, "web@docker")
    again = FORMAT.parse(FORMAT.render(event))
    assert again["http"] == event["http"]


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(LINE[:-2], id="cut off within the duration"),
        pytest.param(LINE.rsplit(b" ", 4)[0], id="the combined format"),
        pytest.param(LINE.replace(b"20/Nov", b"31/Nov"), id="no such day"),
        pytest.param(b"garbage", id="garbage"),
    ],
)
def test_what_is_no_line_of_traefik_is_refused(line):
    with pytest.raises(LineError):
        FORMAT.parse(line)


def test_a_log_of_traefik_is_recognised():
    found = detect([LINE, NOTHING, LINE.replace(b'"curl/8.5"', b'"a " b"')])
    assert found.format.name == "traefik:clf"
    assert found.why == "traefik:clf: 3 of the first 3 lines are as Traefik writes them unless told otherwise"


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        ((LINE,), "traefik:clf"),
        ((b"", LINE), "traefik:clf"),
        ((b'{"level":"info"}', LINE), "traefik:json"),
        ((), "traefik:json"),
    ],
    ids=["text", "a blank line first", "JSON", "nothing known"],
)
def test_the_short_name_stands_for_what_the_lines_are(lines, name):
    assert format_named("Traefik", lines=lines).name == name
    assert format_named("caddy", lines=lines).name == "caddy:json"


def test_a_line_feed_in_a_user_is_not_one_in_the_line():
    event = FORMAT.parse(LINE)
    event["actor"]["name"] = "a\nb\r"
    assert b" - a\\nb\\r [" in FORMAT.render(event)


def test_only_requests_are_lines():
    with pytest.raises(LineError, match="http_request"):
        FORMAT.render({**FORMAT.parse(LINE), "event": "login"})
