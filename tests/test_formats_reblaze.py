"""Lines of Reblaze, with the regular expression of its own documentation as the judge of how they are split."""

import base64
import json
import pickle
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from auditmw.formats.line import LineError
from auditmw.formats.reblaze import NAMES, ReblazeFormat, split
from hostile_lines import REQUESTS, SECONDS, SIZES, STATUSES, VALUES, imported, lines_of, nginx_default
from reblaze_expression import ORACLE

FORMAT = ReblazeFormat()
(LINE,) = lines_of("reblaze-line.txt")
UNQUOTED = {"remote_addr", "timestamp", "status", "bytes_sent", "request_time"}
QUOTED = [name for name in NAMES if name not in UNQUOTED | {"method", "request", "proto_version", "anything_else"}]


def written(values, *, request=None, rest="", space=" "):
    """A line of these values, each as it stands there."""
    request = request or " ".join(values[name] for name in ("method", "request", "proto_version"))
    before = [values[name] for name in ("remote_addr", "timestamp", "status", "bytes_sent")] + [f'"{request}"']
    after = [values[name] if name in UNQUOTED else f'"{values[name]}"' for name in NAMES[7:-1]]
    return space.join([*before, *after]) + rest


SEED = split(LINE.decode())
TOKENS = st.text(st.characters(exclude_categories=["Z", "Cc", "Cs"]), min_size=1, max_size=8).filter(
    lambda text: not re.search(r"\s", text)
)
INSIDE = st.sampled_from(["-", "", "0", "1", " HTTP/1.1", 'x HTTP/1.1" "0']) | st.text(
    st.characters(exclude_characters='\n"', exclude_categories=["Cs"]), max_size=12
)
ANYTHING = st.sampled_from(["", "\r", ' "x" 1', ' HTTP/1.1" "0"']) | st.text(
    st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=12
)
SPACES = st.sampled_from([" ", " ", " ", "\t", "\xa0"])
# Mostly what has a shape, sometimes a value of another field: the oracle has no opinion on what is in a field.
FIELDS = {
    name: st.just(SEED[name]) | (TOKENS if name in UNQUOTED | {"method"} else INSIDE)
    for name in NAMES
    if name != "anything_else"
}
FIELDS["proto_version"] = st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/2", "", "http/1.1"])
FIELDS["request"] = st.sampled_from(["/", "/a b", '/a"b', '/" HTTP/1.1" "0', ""]) | INSIDE
LINES = st.builds(written, st.fixed_dictionaries(FIELDS), rest=ANYTHING, space=SPACES)


@settings(deadline=None)
@given(LINES)
@example(LINE.decode())
@example(LINE.decode() + LINE.decode()[60:])
def test_every_line_that_the_documented_expression_matches_is_split_as_it_does(line):
    match = ORACLE.match(line)
    if match:
        assert split(line) == dict(zip(NAMES, match.groups(), strict=True))


@settings(deadline=None)
@given(LINES)
def test_whatever_is_split_is_a_valid_event_and_says_the_same_when_it_is_rendered(check_event, line):
    found = split(line)
    if found is None or not line.strip():
        return
    event = FORMAT.parse(line.encode())
    check_event(imported(event))
    if "truncated" not in event.get("meta", {}):
        assert FORMAT.parse(FORMAT.render(event)) == event


TYPED = {
    "timestamp": SECONDS,
    "status": STATUSES,
    "bytes_sent": SIZES,
    "request": REQUESTS.filter(bool).filter(lambda value: value != b"-"),
    "request_time": SECONDS,
    "upstream_addr": st.sampled_from([b"-", b"8.8.8.8:443", b"8.8.8.8:443, 9.9.9.9:443"]),
    "upstream_response_time": st.sampled_from([b"-", b"0.418", b"0.001, 0.418", b"x"]),
    "upstream_status": st.sampled_from([b"-", b"200", b"502, 200", b"-, 200"]),
    "organization": st.sampled_from([b"-", b"", b"AS1", b"AS0 x", b"AS01 x", b"AS1 ", b"Some name"]) | VALUES,
    "blocked": st.sampled_from([b"0", b"1", b"-"]),
    "host": st.sampled_from([b"-", b"h", b"H:80", b"[::1]:8080"]) | VALUES,
    "request_headers": st.sampled_from([b"-", b"", b"%%%", b"e30=", base64.b64encode(b"[1]")]),
}


@settings(deadline=None)
@given(
    st.fixed_dictionaries(dict.fromkeys(QUOTED, VALUES) | TYPED),
    st.sampled_from([b"", b' "new" 1', b"\r", b" \xff"]),
)
def test_any_line_of_escaped_values_comes_back_byte_for_byte(check_event, values, rest):
    text = {name: value if name in UNQUOTED else nginx_default(value) for name, value in values.items()}
    text |= {"remote_addr": b"1.2.3.4", "request_headers": values["request_headers"]}
    line = b'%s %s %s %s "%s" ' % tuple(
        text[n] for n in ("remote_addr", "timestamp", "status", "bytes_sent", "request")
    )
    line += b" ".join(text[n] if n in UNQUOTED else b'"%s"' % text[n] for n in NAMES[7:-1]) + rest
    event = FORMAT.parse(line)
    check_event(imported(event))
    if values["request_headers"] != b"e30=":  # an empty object says no more than "-"
        assert FORMAT.render(event) == line


def test_the_documented_line_is_a_valid_event_and_comes_back_byte_for_byte(check_event):
    event = check_event(imported(FORMAT.parse(LINE)))
    assert FORMAT.render(event) == LINE


def test_the_fields_of_the_documented_line_go_where_the_schema_has_them():
    event = FORMAT.parse(LINE)
    fields = event["source"].pop("fields")
    headers, body = event["http"]["request"].pop("headers"), event["http"]["request"].pop("body")
    assert event == {
        "schema": "auditmw.event/1.0",
        "timestamp": "2016-06-09T08:43:23.223000Z",
        "start": "2016-06-09T08:43:22.494000Z",
        "duration_ns": 729_000_000,
        "event": "http_request",
        "level": "info",
        "severity": 9,
        "category": "web",
        "action": "create",
        "outcome": {"result": "success"},
        "request_id": "foobar-rbzr131343635343631383032ce9df9a6a90fa3bc",
        "session": {"id": "83d90abb12608623ea23442273249146"},
        "client": {
            "address": "15.14.13.12",
            "origin": "log",
            "geo": {"country_name": "Singapore", "city_name": "SG"},
            "as": {"number": 4773, "organization": "MobileOne Ltd. Mobile/Internet Service Provider Singapore"},
        },
        "server": {"address": "secure.foobar.com", "hostname": "foobar-rbzr1"},
        "http": {
            "version": "1.1",
            "request": {
                "method": "POST",
                "target": "/payment_service_api/get_all_payment_methods.json",
                "user_agent": "REEBONZ 5.2.2 rv:3 (iPhone; iPhone OS 9.3.2; en_SG)",
                "content_type": "application/x-www-form-urlencoded; charset=utf-8",
                "size": 466,
                "body_size": 144,
            },
            "response": {
                "status_code": 200,
                "size": 3158,
                "headers": {
                    "cache-control": ["max-age=0, private, must-revalidate"],
                    "content-type": ["text/html; charset=utf-8"],
                },
                "content_type": "text/html; charset=utf-8",
            },
        },
        "url": {"host": "secure.foobar.com", "path": "/payment_service_api/get_all_payment_methods.json"},
        "tls": {"version": "TLSv1.2", "cipher": "ECDHE-RSA-AES128-GCM-SHA256"},
        "upstream": [{"address": "8.12.40.38:443", "status_code": 200, "duration_ns": 418_000_000}],
        "source": {"kind": "import", "format": "reblaze", "time_basis": "end"},
    }
    assert list(headers) == [
        *("host", "x-newrelic-id", "content-type", "connection", "content-length", "accept-encoding", "user-agent"),
    ]
    assert body["drupal_uid"] == "5245816"
    assert fields == {
        **dict.fromkeys(("blocked", "is_human", "is_cloud", "is_tor", "is_vpn", "is_anonymizer", "is_proxy"), "0"),
        **dict.fromkeys(("captured_vector", "cookie", "sent_http_expires", "cookie_rbzid", "browsersig"), "-"),
        "block_reason": "",
        "cache_status": "-",
        "anything_else": "",
        "post_request_body_place": "6",
    }


REQUEST_LINE = SEED["method"] + " " + SEED["request"] + " " + SEED["proto_version"]


@pytest.mark.parametrize(
    ("request_line", "expected"),
    [
        pytest.param("GET /a HTTP/2", ("GET", "/a", "2"), id="HTTP/2"),
        pytest.param("GET /a HTTP/2.0", ("GET", "/a", "2.0"), id="HTTP/2.0"),
        pytest.param('GET /a"b HTTP/1.1', ("GET", '/a"b', "1.1"), id="a quote"),
        pytest.param("GET /a b HTTP/1.1", ("GET", "/a b", "1.1"), id="a space"),
        pytest.param("-", None, id="none"),
        pytest.param("", None, id="empty"),
        pytest.param("\\x16\\x03\\x01", None, id="TLS"),
    ],
)
def test_requests_that_the_documented_expression_does_not_know_are_read(check_event, request_line, expected):
    line = LINE.decode().replace(REQUEST_LINE, request_line).encode()
    event = check_event(imported(FORMAT.parse(line)))
    http = event["http"]
    request = http["request"]
    found = (request["method"], request["target"], http["version"]) if "method" in request else None
    assert found == expected
    if '"' not in request_line:
        assert FORMAT.render(event) == line
    assert event["http"]["response"]["status_code"] == 200


def test_fields_that_are_added_on_the_right_are_kept():
    event = FORMAT.parse(LINE + b' "new" 17')
    assert event["source"]["fields"]["anything_else"] == ' "new" 17'
    assert FORMAT.render(event) == LINE + b' "new" 17'


def test_a_carriage_return_stays_with_what_is_on_the_right():
    assert FORMAT.parse(LINE + b"\r")["source"]["fields"]["anything_else"] == "\r"


def with_headers(raw):
    return LINE.replace(SEED["request_headers"].encode(), base64.b64encode(raw))


@pytest.mark.parametrize(
    ("raw", "headers", "body"),
    [
        pytest.param(b'{"a":"b"}', {"a": ["b"]}, None, id="no body"),
        pytest.param(b'{"post_request_body":{"a":[1,null]}}', None, {"a": [1, None]}, id="body alone"),
        pytest.param(b'{"post_request_body":"text","a":"b"}', {"a": ["b"]}, "text", id="text body first"),
        pytest.param(b'{"A":"1","a":"2"}', {"a": ["1", "2"]}, None, id="names in two cases"),
        pytest.param(b'{"a":1,"b":{"c":[]}}', {"a": ["1"], "b": ['{"c":[]}']}, None, id="values that are no text"),
        pytest.param(b'{"a":"\xff\\\\"}', {"a": ["\\xFF\\x5C"]}, None, id="not UTF-8"),
        pytest.param(b'{"b\xff":"x","a":"y"}', {"a": ["y"]}, None, id="a name that is none"),
        pytest.param(b'{"post_request_body":{"k\xff":["\xfe"]}}', None, {"k\\xFF": ["\\xFE"]}, id="body not UTF-8"),
    ],
)
def test_headers_and_body_are_decoded(check_event, raw, headers, body):
    event = check_event(imported(FORMAT.parse(with_headers(raw))))
    request = event["http"]["request"]
    assert (request.get("headers"), request.get("body")) == (headers, body)
    assert "request_headers" not in event["source"]["fields"]
    assert ("meta" in event) == (b"\xff" in raw and b"b\xff" not in raw)
    assert FORMAT.parse(FORMAT.render(event))["http"]["request"].get("body") == body


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[1]",
        b"{",
        b"null",
        b'{"a":' * 2000,
        b'{"a":"\xff' * 2000,
        b'{"post_request_body":' + b"[" * 2000 + b"]" * 2000 + b"}",
    ],
    ids=["empty", "list", "torn", "null", "deep", "deep and not UTF-8", "deep body"],
)
def test_headers_that_cannot_be_decoded_are_kept_as_they_are(check_event, raw):
    line = with_headers(raw)
    event = check_event(imported(FORMAT.parse(line)))
    assert "headers" not in event["http"]["request"]
    if len(raw) < 100:
        assert event["source"]["fields"]["request_headers"] == base64.b64encode(raw).decode()
        assert FORMAT.render(event) == line


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "b", "host", "content-length", "post_request_body"]), st.text(max_size=9)))
def test_headers_come_back_in_their_order_as_reblaze_writes_them(headers):
    raw = json.dumps(headers, ensure_ascii=False, separators=(",", ":")).replace("/", "\\/").encode()
    line = with_headers(raw)
    if headers:
        assert FORMAT.render(FORMAT.parse(line)) == line


def test_a_blocked_request_failed_whatever_its_status():
    line = LINE.replace(b'HTTP/1.1" "0" "0" ""', b'HTTP/1.1" "1" "0" "ACL: Tor"')
    event = FORMAT.parse(line)
    assert event["outcome"] == {"result": "failure", "reason": "ACL: Tor"}
    assert event["level"] == "warning"
    assert FORMAT.render(event) == line
    denied = FORMAT.parse(LINE.replace(b'HTTP/1.1" "0" "0" ""', b'HTTP/1.1" "1" "0" ""'))
    assert denied["outcome"]["reason"] == "denied"


@pytest.mark.parametrize("line", [b"garbage", LINE[:200], LINE.replace(b'"', b"'")], ids=["garbage", "torn", "quotes"])
def test_other_lines_are_refused(line):
    with pytest.raises(LineError, match="not a line of reblaze: expected 42 fields, not "):
        FORMAT.parse(line)


def test_blank_lines_hold_nothing_and_instances_can_be_pickled():
    assert FORMAT.parse(b" \r") is None
    assert pickle.loads(pickle.dumps(FORMAT)).parse(LINE) == FORMAT.parse(LINE)


def test_only_http_requests_have_a_line():
    with pytest.raises(LineError, match="not 'file_uploaded'"):
        FORMAT.render({"event": "file_uploaded"})
