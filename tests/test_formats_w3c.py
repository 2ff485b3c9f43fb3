"""W3C extended logs: their fields as `#Fields:` names them, wherever it stands."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditmw.formats.detection import detect
from auditmw.formats.line import LineError
from auditmw.formats.w3c import W3cFormat

IIS = b"""\
#Software: Microsoft Internet Information Services 10.0
#Version: 1.0
#Date: 2026-11-20 20:20:00
#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) \
sc-status sc-substatus sc-win32-status time-taken
2026-11-20 20:20:11 10.0.0.4 GET /shop/caf%C3%A9 user=2343&x=y 443 CORP\\alice 192.0.2.7 \
Mozilla/5.0+(Windows+NT+10.0;+Win64;+x64) https://example.com/posts?a+b 200 0 0 109
2026-11-20 20:20:12 10.0.0.4 POST / - 443 - 2001:db8::1 - - 500 19 64 0
"""
# The example of the documentation of CloudFront's standard logs, as far as its fields go.
CLOUDFRONT = b"""\
#Version: 1.0
#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent) \
cs-uri-query cs(Cookie) x-edge-result-type x-edge-request-id x-host-header cs-protocol cs-bytes time-taken \
cs-protocol-version c-port
2019-12-04\t21:02:31\tLAX1\t392\t192.0.2.100\tGET\td111111abcdef8.cloudfront.net\t/index.html\t200\t-\t\
Mozilla/5.0%20(Windows%20NT%2010.0;%20Win64;%20x64)\t-\t-\tHit\tSOX4xwn4XV6Q4rgb7XiVGOHms_BGlTAC4KyHmureZmBNrjGdRLiNIQ==\t\
shop.example\thttps\t23\t0.001\tHTTP/2.0\t11040
"""


def parsed(log, parser=None):
    """The events of a log's lines."""
    parser = parser or W3cFormat()
    return [event for line in log.splitlines() if (event := parser.parse(line)) is not None]


def rendered(log):
    """The lines of a log, parsed and written again."""
    parser = W3cFormat()
    return [parser.render(event) for line in log.splitlines() if (event := parser.parse(line)) is not None]


def lines(log):
    return [line for line in log.splitlines() if not line.startswith(b"#")]


def valid(check_event, event):
    return check_event(
        {**event, "id": "01a1fa9d-d878-8a11-9c2f-5d0f3c1b2a99", "observed": "2026-11-20T21:00:00.000000Z"}
    )


@pytest.mark.parametrize("log", [IIS, CLOUDFRONT], ids=["iis", "cloudfront"])
def test_lines_are_valid_events_and_come_back_byte_for_byte(check_event, log):
    for event in parsed(log):
        valid(check_event, event)
    assert rendered(log) == lines(log)


def test_every_field_of_iis_goes_where_it_belongs():
    first, second = parsed(IIS)
    assert (first["timestamp"], first["start"]) == ("2026-11-20T20:20:11.000000Z", "2026-11-20T20:20:10.891000Z")
    assert (first["duration_ns"], first["source"]["time_basis"]) == (109_000_000, "end")
    assert first["server"] == {"address": "10.0.0.4", "port": 443}
    assert first["client"] == {"address": "192.0.2.7", "origin": "log"}
    assert first["actor"] == {"name": "CORP\\alice"}
    assert first["url"] == {"path": "/shop/caf%C3%A9", "query": "user=2343&x=y"}
    assert first["http"]["request"]["user_agent"] == "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
    assert first["http"]["request"]["referrer"] == "https://example.com/posts?a+b"
    assert first["source"]["fields"] == {"sc-substatus": "0", "sc-win32-status": "0"}
    assert second["outcome"] == {"result": "failure", "reason": "http_500"}
    assert "actor" not in second


def test_every_field_of_cloudfront_goes_where_it_belongs():
    (event,) = parsed(CLOUDFRONT)
    assert event["duration_ns"] == 1_000_000
    assert event["url"] == {"scheme": "https", "host": "shop.example", "path": "/index.html"}
    assert event["server"] == {"address": "d111111abcdef8.cloudfront.net"}
    assert event["http"]["request"]["user_agent"] == "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
    assert event["http"]["response"] == {"size": 392, "status_code": 200, "cache_status": "Hit"}
    assert event["client"] == {"address": "192.0.2.100", "origin": "log", "port": 11040}


def test_fields_are_read_again_wherever_they_stand():
    log = (
        IIS
        + b"#Fields: date time c-ip sc-status cs(Cookie)\n2026-11-20 21:00:00 192.0.2.8 404 sid=abc;+x=y\n"
        + (b"#Fields: c-ip date time\n192.0.2.9 2026-11-20 21:00:01\n")
    )
    third, fourth = parsed(log)[2:]
    assert third["client"]["address"] == "192.0.2.8"
    assert third["http"]["request"]["headers"] == {"cookie": ["sid=abc; x=y"]}
    assert fourth["client"]["address"] == "192.0.2.9"


def test_what_the_directives_said_goes_with_the_format_to_another_process():
    parser = W3cFormat()
    for line in IIS.splitlines()[:4]:
        assert parser.is_header(line)
        assert parser.parse(line) is None
    again = pickle.loads(pickle.dumps(parser))
    assert again.parse(IIS.splitlines()[4]) == parser.parse(IIS.splitlines()[4])
    assert again.render(parsed(IIS)[0]) == IIS.splitlines()[4]


@pytest.mark.parametrize(
    ("log", "seconds"),
    [
        pytest.param(b"#Fields: date time time-taken\n2026-11-20 20:20:11 2\n", 2.0, id="seconds by the specification"),
        pytest.param(b"#Fields: date time time-taken\n2026-11-20 20:20:11 0.25\n", 0.25, id="with decimals"),
        pytest.param(
            b"#Software: Microsoft IIS\n#Fields: date time time-taken\n2026-11-20 20:20:11 250\n",
            0.25,
            id="IIS says so",
        ),
        pytest.param(
            b"#Fields: date time sc-win32-status time-taken\n2026-11-20 20:20:11 0 250\n", 0.25, id="its fields say so"
        ),
    ],
)
def test_how_long_it_took_is_in_the_unit_of_the_server(log, seconds):
    (event,) = parsed(log)
    assert event["duration_ns"] == seconds * 10**9
    assert rendered(log) == lines(log) or seconds == 2.0


@pytest.mark.parametrize(
    ("log", "timestamp"),
    [
        pytest.param(
            b"#Date: 2026-11-21 00:00:00\n#Fields: time c-ip\n00:00:01 192.0.2.8\n",
            "2026-11-21T00:00:01.000000Z",
            id="the date of the directive",
        ),
        pytest.param(
            b"#Fields: date time\n2026-11-20 20:20:11.25\n", "2026-11-20T20:20:11.250000Z", id="with decimals"
        ),
        pytest.param(b"#Fields: c-ip sc-status\n192.0.2.8 200\n", None, id="no time at all"),
    ],
)
def test_when_it_was_is_told_as_far_as_the_fields_go(log, timestamp):
    (event,) = parsed(log)
    assert event.get("timestamp") == timestamp
    assert event["source"]["time_basis"] == ("end" if timestamp else "unknown")
    assert rendered(log) == lines(log)


def test_quoted_text_is_one_value():
    log = b'#Fields: date time cs-uri-stem cs(User-Agent)\n2026-11-20 20:20:11 /a "an ""odd"" agent"\n'
    (event,) = parsed(log)
    assert event["http"]["request"]["user_agent"] == 'an "odd" agent'
    assert rendered(log) == lines(log)


def test_lines_of_windows_and_what_a_crash_leaves_are_read():
    log = b"\xef\xbb\xbf" + IIS.replace(b"\n", b"\r\n") + b"\0" * 100 + b"\r\n"
    assert parsed(log) == parsed(IIS)


def test_a_plus_that_was_none_is_not_told_apart_but_comes_back():
    log = b"#Software: Microsoft\n#Fields: date time cs(User-Agent)\n2026-11-20 20:20:11 a+b++c\n"
    assert parsed(log)[0]["http"]["request"]["user_agent"] == "a b  c"
    assert rendered(log) == lines(log)


@pytest.mark.parametrize(
    "agent", [b"a%2520b", b"a%zzb", b"%C3%A9", b"%FF", b"a%22b", b"a%41b", b"~"], ids=lambda agent: agent.decode()
)
def test_what_cloudfront_encoded_comes_back_as_it_was(agent):
    log = CLOUDFRONT.replace(b"Mozilla/5.0%20(Windows%20NT%2010.0;%20Win64;%20x64)", agent)
    assert rendered(log) == lines(log)


def test_bytes_that_are_not_utf_8_come_back(check_event):
    log = IIS.replace(b"CORP\\alice", b"CORP\\al\xefce")
    valid(check_event, parsed(log)[0])
    assert rendered(log) == lines(log)


names = st.sampled_from(
    [
        "c-ip",
        "cs-method",
        "cs-uri-stem",
        "cs-uri-query",
        "sc-status",
        "sc-bytes",
        "cs(User-Agent)",
        "cs(Cookie)",
        "x-own",
    ]
)
words = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x2FF, exclude_characters='"\x7f'), min_size=1, max_size=9
)


@given(fields=st.lists(names, min_size=1, max_size=9), data=st.data(), software=st.sampled_from(["", "Microsoft IIS"]))
def test_whatever_the_values_are_the_line_comes_back(check_event, fields, data, software):
    values = [data.draw(words) for _ in fields]
    line = " ".join(["2026-11-20", "20:20:11", *values]).encode()
    log = f"#Software: {software}\n#Fields: date time {' '.join(fields)}\n".encode()
    parser = W3cFormat()
    for header in log.splitlines():
        parser.parse(header)
    event = parser.parse(line)
    if event is not None:
        valid(check_event, event)
        assert parser.render(event) == line


@pytest.mark.parametrize(
    ("log", "message"),
    [
        pytest.param(b"2026-11-20 20:20:11 192.0.2.7\n", "expected #Fields: before the first line", id="no fields"),
        pytest.param(
            IIS + b"2026-11-20 20:20:11 too few\n", "expected 15 values, as #Fields: says, not 4", id="too few"
        ),
        pytest.param(b"#Fields: date time\n2026-13-20 20:20:11\n", "expected date and time as", id="no such day"),
        pytest.param(b"#Fields: time c-ip\n20:20:11 192.0.2.7\n", "expected date and time as", id="no day"),
    ],
)
def test_what_the_fields_do_not_say_is_refused(log, message):
    with pytest.raises(LineError, match=message):
        parsed(log)


@pytest.mark.parametrize("line", [b"", b"  ", b"\0\0\0\r", b"#Remark: anything", b"# no directive"])
def test_a_line_without_an_event_makes_none(line):
    assert W3cFormat().parse(line) is None


def test_without_fields_nothing_can_be_written():
    with pytest.raises(LineError, match="expected an http_request and the names of the fields"):
        W3cFormat().render(parsed(IIS)[0])
    with pytest.raises(LineError, match="file_uploaded"):
        W3cFormat("date time").render({"event": "file_uploaded"})


def test_a_w3c_log_is_recognised():
    assert detect(IIS.splitlines()).format.name == "w3c"
