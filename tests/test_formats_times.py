"""Leap seconds, in every way in which logs write a time."""

import pytest

from auditmw.formats.detection import detect
from auditmw.formats.line import LineError
from auditmw.formats.lines.times import any_time, clf_time, iso_time
from auditmw.formats.registry import format_named
from auditmw.formats.w3c import W3cFormat

LAST_MOMENT = "2016-12-31T23:59:59.999999Z"
LINE = b'192.0.2.1 - - [31/Dec/2016:23:59:60 +0000] "GET / HTTP/1.1" 200 12 "-" "curl/8"'


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        pytest.param("31/Dec/2016:23:59:60 +0000", LAST_MOMENT, id="common log format"),
        pytest.param("01/Jan/2017:00:59:60 +0100", LAST_MOMENT, id="east"),
        pytest.param("31/Dec/2016:15:59:60 -0800", LAST_MOMENT, id="west"),
        pytest.param("2016-12-31T23:59:60Z", LAST_MOMENT, id="ISO"),
        pytest.param("2016-12-31 23:59:60", LAST_MOMENT, id="ISO without a zone"),
        pytest.param("2016-12-31T23:59:60.75Z", LAST_MOMENT, id="in the midst of it"),
        pytest.param("1990-12-31T15:59:60-08:00", "1990-12-31T23:59:59.999999Z", id="as in RFC 3339"),
        pytest.param("2015-06-30T23:59:60Z", "2015-06-30T23:59:59.999999Z", id="in June"),
        pytest.param("2016-12-31T23:59:59.999999Z", LAST_MOMENT, id="the moment before"),
    ],
)
def test_a_leap_second_is_the_last_moment_before_it(text, moment):
    assert any_time(text) == moment


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("31/Dec/2016:23:58:60 +0000", id="another minute"),
        pytest.param("31/Dec/2016:23:59:60 +0100", id="another minute in UTC"),
        pytest.param("30/Dec/2016:23:59:60 +0000", id="another day"),
        pytest.param("31/Dec/2016:23:59:61 +0000", id="a second one"),
        pytest.param("2016-12-31T12:00:60Z", id="ISO, another minute"),
        pytest.param("2016-12-30T23:59:60Z", id="ISO, another day"),
        pytest.param("2016-12-31T23:59:61Z", id="ISO, a second one"),
    ],
)
def test_where_none_can_be_it_is_no_time(text):
    with pytest.raises(ValueError, match=r"expected|second"):
        any_time(text)


def test_it_is_told_what_a_leap_second_is():
    with pytest.raises(ValueError, match="23:59:60 UTC on the last day of a month"):
        clf_time("31/Dec/2016:12:00:60 +0000")
    with pytest.raises(ValueError, match="23:59:60 UTC on the last day of a month"):
        iso_time("2016-12-31T12:00:60Z")


@pytest.mark.parametrize(
    ("name", "line"),
    [
        pytest.param("nginx:combined", LINE, id="nginx"),
        pytest.param("apache:combined", LINE, id="Apache"),
        pytest.param("apache:common", LINE[:-13], id="common"),
        pytest.param("apache:vhost_combined", b"h.test:443 " + LINE, id="virtual host"),
        pytest.param("traefik:clf", LINE + b' 7 "web" "http://10.0.0.5:80" 0ms', id="Traefik"),
        pytest.param(
            '[$time_iso8601] "$request" $status', b'[2016-12-31T23:59:60+00:00] "GET / HTTP/1.1" 200', id="ISO"
        ),
    ],
)
def test_a_line_of_a_leap_second_comes_back(check_event, name, line):
    parser = format_named(name)
    event = parser.parse(line)
    assert (event["timestamp"], event["source"]["time_basis"] != "unknown") == (LAST_MOMENT, True)
    assert parser.render(event) == line


def test_a_w3c_log_may_have_one():
    parser = W3cFormat()
    parser.parse(b"#Fields: date time c-ip sc-status")
    assert parser.parse(b"2016-12-31 23:59:60 192.0.2.1 200")["timestamp"] == LAST_MOMENT


def test_json_logs_may_have_one():
    line = (
        b'{"ClientHost":"192.0.2.1","DownstreamStatus":200,"Duration":0,"RequestMethod":"GET","RequestPath":"/",'
        b'"StartUTC":"2016-12-31T23:59:60.5Z","level":"info","msg":"","time":"2017-01-01T00:00:00Z"}'
    )
    assert format_named("traefik").parse(line)["timestamp"] == LAST_MOMENT


def test_a_time_that_does_not_exist_is_still_refused():
    with pytest.raises(LineError):
        format_named("combined").parse(LINE.replace(b"31/Dec", b"30/Dec"))
    assert detect([LINE]).format.name == "nginx:combined"
