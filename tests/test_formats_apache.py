"""Access logs of Apache httpd, with apachelogs as a second opinion."""

import pickle
import re
import sys
from collections import Counter
from datetime import UTC

import apachelogs
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from auditmw.formats.apache import COMBINED, COMMON, VHOST_COMBINED, ApacheFormat, apache_format
from auditmw.formats.line import FormatError, LineError
from auditmw.formats.lines.apache_other import OtherApacheFormat
from auditmw.formats.lines.times import as_clf
from hostile_lines import CLF_TIMES, MAYBE, REQUESTS, STATUSES, VALUES, apache, combined, imported, lines_of

PRINTABLE = re.compile("%([2-6][0-9A-F]|7[0-9A-E])", re.IGNORECASE)
FORMAT = ApacheFormat(COMBINED)
ORACLE = apachelogs.LogParser(COMBINED, encoding="bytes")
LINE = b'192.0.2.1 - - [20/Nov/2026:20:20:11 +0000] "GET /a?b=c HTTP/1.1" 200 12 "-" "curl/8"'
# `%b` has no 0, and Apache escapes a user as any other value.
LINES = combined(apache, REQUESTS.filter(bool)).filter(lambda line: b'" 000 0 ' not in line and b" 0 " not in line)


def test_ten_thousand_real_lines_become_valid_events_and_come_back_byte_for_byte(event_validator):
    lines = lines_of("apache_combined_10k.log.gz")
    assert len(lines) == 10_000
    different = []
    for number, line in enumerate(lines):
        event = FORMAT.parse(line)
        if number % 50 == 0 or b"\\" in line:
            assert list(event_validator.iter_errors(imported(event))) == []
        assert event == FORMAT.parse_any(line)
        if FORMAT.render(event) != line:
            different.append((line, event))
    ((line, event),) = different  # the one that ends within its user agent
    assert FORMAT.render(event) == line + b'"'
    assert event["meta"] == {"truncated": ["/http/request/user_agent"]}


def test_real_lines_say_what_apachelogs_reads_in_them():
    for line in lines_of("apache_combined_10k.log.gz")[::25]:
        event, entry = FORMAT.parse(line), ORACLE.parse(line.decode())
        assert event["timestamp"] == entry.request_time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000000Z")
        response = event["http"]["response"]
        assert (response["status_code"], response["body_size"]) == (entry.final_status, entry.bytes_sent or 0)
        assert event["client"]["address"].encode() == entry.remote_host
        agent = entry.headers_in["User-Agent"]
        assert event["http"]["request"].get("user_agent") == (None if agent is None else agent.decode())


@pytest.mark.parametrize(
    ("column", "counted"),
    [
        pytest.param(lambda words: words[8], lambda event: str(event["http"]["response"]["status_code"]), id="status"),
        pytest.param(lambda words: words[0], lambda event: event["client"]["address"], id="client"),
        pytest.param(lambda words: words[3][1:15], lambda event: as_clf(event["timestamp"])[:14], id="hour"),
        pytest.param(
            lambda words: words[6].partition("?")[0],
            lambda event: event["http"]["request"]["target"].partition("?")[0],
            id="path as it was sent",
        ),
        # As the middleware writes it, with what is printable decoded: imported or not, a page has one path.
        pytest.param(
            lambda words: PRINTABLE.sub(lambda match: chr(int(match[1], 16)), words[6].partition("?")[0]),
            lambda event: event["url"]["path"],
            id="path",
        ),
    ],
)
def test_the_counts_of_real_lines_are_those_of_their_columns(column, counted):
    lines = lines_of("apache_combined_10k.log.gz")
    expected = Counter(column(line.decode().split(" ")) for line in lines)
    assert Counter(counted(FORMAT.parse(line)) for line in lines) == expected


@settings(deadline=None)
@given(LINES)
def test_any_line_that_apache_can_write_comes_back_byte_for_byte(check_event, line):
    event = FORMAT.parse(line)
    check_event(imported(event))
    assert FORMAT.render(event) == line
    assert event == FORMAT.parse_any(line)


@settings(deadline=None)
@given(LINES)
def test_values_have_the_bytes_that_apachelogs_finds(line):
    try:
        entry = ORACLE.parse(line.decode("latin-1"))
    except (apachelogs.InvalidEntryError, ValueError):
        assume(False)
    request = FORMAT.parse(line)["http"].get("request", {})
    for name, header in (("user_agent", "User-Agent"), ("referrer", "Referer")):
        value = entry.headers_in[header]
        if value is None:
            assert name not in request
        elif name in request and "\\" not in request[name]:
            assert request[name].encode() == value


@settings(deadline=None)
@given(MAYBE, MAYBE, CLF_TIMES, STATUSES, st.integers(0, 10**9), VALUES)
def test_other_formats_of_known_directives_come_back_byte_for_byte(check_event, user, header, at, status, took, cookie):
    parser = apache_format('%v:%p %a %u %t "%m %U%q %H" %>s %O %I %D "%{X-Forwarded-For}i" "%{A}C" "%{X-Userid}o"')
    line = b'h.test:443 192.0.2.1 %s [%s] "GET /a%%20b?c HTTP/1.1" %s 17 18 %d "%s" "%s" "%s"' % (
        *(apache(user), at, status, took, apache(header), apache(cookie), apache(user)),
    )
    event = parser.parse(line)
    check_event(imported(event))
    assert parser.render(event) == line


def test_the_time_is_the_beginning_and_the_event_has_the_end_too():
    event = ApacheFormat(f"{COMBINED} %D").parse(LINE + b" 1500000")
    assert (event["start"], event["timestamp"]) == ("2026-11-20T20:20:11.000000Z", "2026-11-20T20:20:12.500000Z")
    assert event["source"]["time_basis"] == "start"
    assert event["duration_ns"] == 1_500_000_000


def test_without_a_duration_the_timestamp_is_that_of_the_line():
    event = FORMAT.parse(LINE)
    assert event["timestamp"] == "2026-11-20T20:20:11.000000Z"
    assert "start" not in event
    assert event["source"]["time_basis"] == "start"


@pytest.mark.parametrize(
    ("logged", "body_size"), [(b"-", 0), (b"0", 0), (b"12", 12)], ids=["as Apache has it", "as others do", "some"]
)
def test_no_bytes_are_a_dash(logged, body_size):
    line = LINE.replace(b" 12 ", b" %s " % logged)
    event = FORMAT.parse(line)
    assert event["http"]["response"]["body_size"] == body_size
    assert FORMAT.render(event) == line


@pytest.mark.parametrize(
    ("directive", "logged", "expected"),
    [
        pytest.param("%T", "3", {"duration_ns": 3_000_000_000}, id="seconds"),
        pytest.param("%{ms}T", "3", {"duration_ns": 3_000_000}, id="milliseconds"),
        pytest.param("%T/%D", "3/3000001", {"duration_ns": 3_000_001_000}, id="the finer of two"),
        pytest.param("%{msec}t", "1795206011874", {"timestamp": "2026-11-20T20:20:11.874000Z"}, id="epoch"),
        pytest.param("%{c}a", "10.0.0.1", {"client": {"peer_address": "10.0.0.1"}}, id="peer"),
        pytest.param("%{SSL_PROTOCOL}x", "TLSv1.3", {"tls": {"version": "TLSv1.3"}}, id="TLS"),
        pytest.param("%{UNIQUE_ID}e", "aB@-", {"request_id": "aB@-"}, id="unique id"),
        pytest.param("%{X-Sessionid}o", "s", {"session": {"id": "s"}}, id="session"),
        pytest.param("%400,501{User-Agent}i", "-", {}, id="only for some"),
        pytest.param("%%%s", "%404", {"outcome": {"result": "failure", "reason": "http_404"}}, id="a percent sign"),
    ],
)
def test_a_directive_means_its_field(directive, logged, expected):
    parser = apache_format(f"%h {directive}")
    event = parser.parse(f"192.0.2.1 {logged}".encode())
    assert {name: event[name] for name in expected} | {"client": event["client"]} == {
        **expected,
        "client": {"address": "192.0.2.1", "origin": "log", **expected.get("client", {})},
    }
    assert parser.render(event) == f"192.0.2.1 {logged}".encode()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (COMMON, "apache:common"),
        (VHOST_COMBINED, "apache:vhost_combined"),
        ('LogFormat "%h %l %u %t \\"%r\\" %>s %b" mine', "apache:mine"),
        ('%h \\"%r\\"', "apache:custom"),
    ],
)
def test_a_log_format_is_taken_as_it_stands_in_a_configuration(text, name):
    parser = apache_format(text)
    assert parser.name == name
    assert pickle.loads(pickle.dumps(parser)).log_format == parser.log_format


OTHER = 'LogFormat "%{%Y-%m-%d %H:%M:%S}t %h \\"%r\\" %>s %D \\"%{X-Userid}o\\"" dated'


def test_what_only_apachelogs_knows_is_read_by_it(check_event):
    parser = pickle.loads(pickle.dumps(apache_format(OTHER)))
    assert isinstance(parser, OtherApacheFormat)
    event = parser.parse(b'2026-11-20 20:20:11 192.0.2.1 "GET /a?\\xff HTTP/1.1" 200 1500 "bob"')
    check_event(imported(event))
    assert (event["start"], event["timestamp"]) == ("2026-11-20T20:20:11.000000Z", "2026-11-20T20:20:11.001500Z")
    assert event["actor"] == {"id": "bob"}
    assert event["url"] == {"path": "/a", "query": "\\xFF"}
    assert event["meta"]["escaped"] == ["/http/request/target", "/url/query"]
    assert parser.parse(b"  ") is None
    with pytest.raises(LineError, match="not a line of apache:dated"):
        parser.parse(b"garbage")
    with pytest.raises(LineError, match="cannot be written"):
        parser.render(event)


def test_without_apachelogs_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "apachelogs", None)
    with pytest.raises(FormatError, match=r"pip install 'auditmw\[import\]'"):
        apache_format(OTHER)
    assert apache_format(COMBINED).parse(LINE) is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("nothing", "expected a LogFormat with directives", id="none"),
        pytest.param("%h %{x}Z", "unknown directive", id="unknown to both"),
        pytest.param("%h%u", "nothing stands between %h and %u", id="two that touch"),
    ],
)
def test_a_log_format_of_which_no_line_could_be_read_is_refused(text, message):
    with pytest.raises(FormatError, match=message):
        apache_format(text)
