"""Access logs of nginx: every line that it can write becomes an event, and that line again."""

import json
import pickle
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from auditmw.cli.nginx_config import render as nginx_config
from auditmw.formats.line import FormatError, LineError
from auditmw.formats.lines.nginx_conf import format_of, log_formats
from auditmw.formats.lines.nginx_descriptions import COMBINED, EXTENDED, JSON
from auditmw.formats.nginx import NginxFormat, with_keys
from auditmw.formats.registry import format_named
from auditmw.formats.typographic import TypographicFormat
from hostile_lines import (
    ADDRESSES,
    CLF_TIMES,
    DATA,
    MAYBE,
    REQUESTS,
    SECONDS,
    SIZES,
    STATUSES,
    VALUES,
    combined,
    configured,
    imported,
    lines_of,
    nginx_default,
    nginx_json,
)

CACHE = (
    '$request $status cache=$upstream_cache_status up="$upstream_addr" '
    'userid="$upstream_http_x_userid" sent="$sent_http_x_userid"'
)
RETRY = (
    '{"a":"$upstream_addr","s":"$upstream_status","rt":"$upstream_response_time","ct":"$upstream_connect_time",'
    '"ht":"$upstream_header_time","uid":"$upstream_http_x_userid","status":$status,"xff":"$http_x_forwarded_for",'
    '"ra":"$remote_addr","realip":"$realip_remote_addr","proxy":"$proxy_protocol_addr","ssl":"$ssl_protocol",'
    '"rid":"$request_id","cookie":"$http_cookie","tl":"$time_local","pipe":"$pipe","conn":$connection,'
    '"creq":$connection_requests,"cl":"$content_length","grp":"$grp"}'
)
REAL = {
    "combined": NginxFormat(COMBINED),
    "extended": NginxFormat(configured("extended"), "nginx:extended"),
    "json": NginxFormat(configured("j"), escape="json"),
    "cache": NginxFormat(CACHE),
    "upstream-retry.json": NginxFormat(RETRY, escape="json"),
    "typographic-quotes": TypographicFormat(),
}
COMBINED_LINE = b'192.0.2.1 - - [20/Nov/2026:20:20:11 +0000] "GET /a?b=c HTTP/1.1" 200 12 "-" "curl/8"'
FORMAT = NginxFormat(COMBINED)
LINES = combined(nginx_default, REQUESTS)


def real_lines():
    return [(name, line) for name in REAL for line in lines_of(f"nginx/nginx-1.22.1.{name}.log")]


@pytest.mark.parametrize("name", REAL)
def test_every_line_of_a_real_nginx_is_a_valid_event_and_rendered_back_byte_for_byte(name, check_event):
    parser = REAL[name]
    lines = lines_of(f"nginx/nginx-1.22.1.{name}.log")
    for line in lines:
        event = parser.parse(line)
        check_event(imported(event))
        if "LLLL" not in line.decode("latin-1"):  # an X-Userid of 3,000 characters, which the schema cuts
            assert parser.render(event) == line
        else:
            assert event["meta"]["truncated"] == ["/actor/id"]
    assert len(lines) == {"cache": 6, "upstream-retry.json": 2, "typographic-quotes": 2}.get(name, 52)


def test_the_fields_of_a_line_go_where_the_schema_has_them():
    line = lines_of("nginx/nginx-1.22.1.extended.log")[0]
    assert REAL["extended"].parse(line) == {
        "schema": "auditmw.event/1.0",
        "timestamp": "2026-11-20T20:20:11.000000Z",
        "event": "http_request",
        "level": "info",
        "severity": 9,
        "category": "web",
        "action": "read",
        "outcome": {"result": "success"},
        "actor": {"id": "alice@example.com"},
        "session": {"id": "4f23b99ce5c298065aeaac569b3a22854a00eb2"},
        "client": {"address": "127.0.0.1", "origin": "log"},
        "http": {
            "version": "1.1",
            "request": {
                "method": "GET",
                "target": "/u/plain?user=2343&utm_source=ads",
                "user_agent": "Mozilla/5.0 (X11; Linux x86_64)",
                "referrer": "https://example.com/posts",
            },
            "response": {"status_code": 200, "body_size": 12},
        },
        "url": {"path": "/u/plain", "query": "user=2343&utm_source=ads"},
        "source": {"kind": "import", "format": "nginx:extended", "time_basis": "end"},
    }


def test_the_json_log_says_when_a_request_began_and_who_was_asked_for_it():
    event = REAL["json"].parse(lines_of("nginx/nginx-1.22.1.json.log")[0])
    assert (event["start"], event["timestamp"]) == ("2026-11-20T20:20:11.863000Z", "2026-11-20T20:20:11.874000Z")
    assert event["duration_ns"] == 11_000_000
    assert event["upstream"] == [{"address": "127.0.0.1:35327", "status_code": 200, "duration_ns": 11_000_000}]
    assert event["request_id"] == "85a06c90788800c9b2c9898e6f94d3df"
    assert event["url"] == {
        "scheme": "http",
        "host": "app.test",
        "path": "/u/plain",
        "query": "user=2343&utm_source=ads",
    }
    assert "fields" not in event["source"]  # what is said twice is kept once


def test_two_servers_that_were_tried_are_two_upstreams():
    event = REAL["upstream-retry.json"].parse(lines_of("nginx/nginx-1.22.1.upstream-retry.json.log")[1])
    assert [server["status_code"] for server in event["upstream"]] == [502, 200]
    assert [server["address"] for server in event["upstream"]] == ["127.0.0.1:1", "127.0.0.1:35327"]


@settings(deadline=None)
@given(LINES)
@example(b'1.1.1.1 - x [01/Jan/2000:00:00:00 +0000] [20/Nov/2026:20:20:11 +0000] "" 400 0 "" ""')
@example(b'unix: -  [20/Nov/2026:20:20:11 -0330] "GET /a HTTP/0.9" 000 0 "-" "-"')
def test_any_line_that_nginx_can_write_comes_back_byte_for_byte(check_event, line):
    event = FORMAT.parse(line)
    check_event(imported(event))
    assert FORMAT.render(event) == line


@settings(deadline=None)
@given(LINES | combined(nginx_default, st.just(b"GET /a?b HTTP/1.1")))
def test_the_fast_way_reads_a_line_as_the_general_way_does(line):
    assert FORMAT.parse(line) == FORMAT.parse_any(line)


@settings(deadline=None)
@given(LINES, MAYBE, MAYBE, st.sampled_from([b"-", b"MISS", b"HIT", b"STALE", b"BYPASS"]))
def test_any_extended_line_comes_back_and_a_cache_names_nobody(check_event, line, user, session, cache):
    parser = NginxFormat(f'{EXTENDED} cache="$upstream_cache_status"')
    line += b' userid="%s" sessionid="%s" cache="%s"' % (nginx_default(user), nginx_default(session), cache)
    event = parser.parse(line)
    check_event(imported(event))
    assert parser.render(event) == line
    assert ("session" in event) == (bool(session) and cache not in (b"HIT", b"STALE"))


JSON_VALUES = {
    "time": CLF_TIMES,
    "addr": ADDRESSES,
    "user": VALUES,
    "request": REQUESTS,
    "uri": VALUES,
    "status": STATUSES,
    "size": SIZES | st.just(b""),
    "took": SECONDS | st.just(b""),
    "up": st.sampled_from([b"", b"a:1", b"a:1, b:2", b"a:1, b:2 : unix:/x", b"-"]),
    "up_status": st.sampled_from([b"", b"200", b"502, 200", b"-, 200 : 201", b"-"]),
    "xff": st.sampled_from([b"", b"1.2.3.4", b"1.2.3.4, unknown", b"1.2.3.4,5.6.7.8", b"\xff, x", b", "]),
    "agent": VALUES,
    "userid": VALUES,
    "x": VALUES,
    "y": VALUES,
}
JSON_FORMAT = NginxFormat(
    '{"time":"$time_local","addr":"$remote_addr","user":"$remote_user","request":"$request","uri":"$uri",'
    '"status":$status,"size":$body_bytes_sent,"took":$request_time,"up":"$upstream_addr","up_status":"$upstream_status",'
    '"xff":"$http_x_forwarded_for","agent":"$http_user_agent","userid":"$sent_http_x_userid","x":"$http_x_y","y":"$y"}',
    escape="json",
)


@settings(deadline=None)
@given(st.fixed_dictionaries(JSON_VALUES))
def test_any_json_line_that_nginx_can_write_comes_back_byte_for_byte(check_event, values):
    bare = ("status", "size", "took")
    members = (
        b'"%s":%s' % (key.encode(), values[key] if key in bare else b'"%s"' % nginx_json(values[key]))
        for key in JSON_VALUES
    )
    line = b"{" + b",".join(members) + b"}"
    event = JSON_FORMAT.parse(line)
    check_event(imported(event))
    assert JSON_FORMAT.render(event) == line


NAMES = ["remote_addr", "time_iso8601", "msec", "request_method", "request_uri", "args", "host", "http_host", "scheme"]
NAMES += ["http_x_a", "sent_http_cache_control", "foo", "ssl_protocol", "upstream_response_time", "bytes_sent"]


@settings(deadline=None)
@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=8, unique=True), st.data())
def test_any_log_format_of_quoted_variables_comes_back_byte_for_byte(check_event, names, data):
    shaped = {"time_iso8601": b"2026-11-20T20:20:11+02:00", "msec": b"1795206011.874", "bytes_sent": b"17"}
    values = {name: shaped.get(name) or data.draw(VALUES) for name in names}
    parser = NginxFormat(" | ".join(f'{name}="${name}"' for name in names))
    line = b" | ".join(b'%s="%s"' % (name.encode(), nginx_default(value)) for name, value in values.items())
    event = parser.parse(line)
    check_event(imported(event))
    assert parser.render(event) == line


def test_what_is_between_quotes_may_hold_quotes_when_nothing_is_escaped():
    parser = NginxFormat(COMBINED, escape="none")
    line = COMBINED_LINE.replace(b"curl/8", 'say "hi" \\x22 é'.encode())
    event = parser.parse(line)
    assert event["http"]["request"]["user_agent"] == 'say "hi" \\x22 é'
    assert parser.render(event) == line


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        pytest.param('userid="u" sessionid="s"', {"actor": {"id": "u"}, "session": {"id": "s"}}, id="as printed"),
        pytest.param('userid="u" sessid="s"', {"actor": {"id": "u"}, "session": {"id": "s"}}, id="sessid"),
        pytest.param('sessid="s"', {"session": {"id": "s"}}, id="session alone"),
        pytest.param('userid="-" sessionid="-"', {}, id="nobody"),
        pytest.param('userid="u" rt=0.012', {"actor": {"id": "u"}, "fields": {"rt": "0.012"}}, id="unknown label"),
        pytest.param('userid="u" "x" y', {"actor": {"id": "u"}, "fields": {"anything_else": ' "x" y'}}, id="no label"),
        pytest.param('userid=""', {"fields": {"upstream_http_x_userid": ""}}, id="an empty user is none"),
        pytest.param(
            'userid="u" sessionid="s" cache="HIT"',
            {"fields": {"upstream_http_x_userid": "u", "upstream_http_x_sessionid": "s"}},
            id="whoever filled the cache",
        ),
        pytest.param('userid="u" cache="MISS"', {"actor": {"id": "u"}}, id="not from the cache"),
        pytest.param('userid="u" upstream_addr="-"', {"fields": {"upstream_http_x_userid": "u"}}, id="no upstream"),
    ],
)
@pytest.mark.parametrize("parser", [NginxFormat(COMBINED), NginxFormat(EXTENDED)], ids=["combined", "extended"])
def test_what_has_labels_after_the_combined_part_is_understood(parser, tail, expected):
    event = parser.parse(COMBINED_LINE + b" " + tail.encode())
    found = {"actor": event.get("actor"), "session": event.get("session"), "fields": event["source"].get("fields")}
    assert {name: value for name, value in found.items() if value} == expected


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(b"", b"", id="nothing"),
        pytest.param(b' 200 12 "-" "curl/8"', b"", id="torn"),
        pytest.param(b' "curl/8"', b"", id="torn between values"),
        pytest.param(b"200", b"20", id="status of two digits"),
        pytest.param(b"20/Nov", b"31/Feb", id="a day that is none"),
        pytest.param(b"+0000", b"+9900", id="an offset that is none"),
        pytest.param(b"20/Nov/2026", b"01/Jan/0001", id="before the year 1 in UTC"),
        pytest.param(b"12", b"twelve", id="size"),
        pytest.param(b" -", b" x", id="identity"),
    ],
)
def test_what_is_not_of_the_format_is_refused_with_what_was_expected(old, new):
    line = COMBINED_LINE.replace(old, new, 1).replace(b"0001:20:20:11 +0000", b"0001:20:20:11 +2300")
    if not old:
        line = b"garbage"
    with pytest.raises(LineError, match=r"expected .*, not "):
        FORMAT.parse(line)


def test_a_refusal_names_the_part_and_where_it_stands():
    with pytest.raises(
        LineError, match=r"not a line of nginx:combined: expected status after character 65, not 'OK 12"
    ):
        FORMAT.parse(COMBINED_LINE.replace(b"200", b"OK"))


@pytest.mark.parametrize("line", [b"", b" ", b"\r", b"\t \r"], ids=repr)
def test_a_blank_line_holds_no_event(line):
    assert FORMAT.parse(line) is None


def test_a_carriage_return_at_the_end_is_no_part_of_the_line():
    assert FORMAT.parse(COMBINED_LINE + b"\r") == FORMAT.parse(COMBINED_LINE)


def test_a_line_that_ends_within_its_last_value_is_kept_and_marked():
    event = FORMAT.parse(COMBINED_LINE[:-3])
    assert event["http"]["request"]["user_agent"] == "curl"
    assert event["meta"] == {"truncated": ["/http/request/user_agent"]}


def test_a_line_that_ends_within_a_session_is_refused_because_half_of_it_would_be_another():
    with pytest.raises(LineError):
        NginxFormat(EXTENDED).parse(COMBINED_LINE + b' userid="u" sessionid="4f2')


@pytest.mark.parametrize(
    ("status", "result", "reason", "level"),
    [
        (200, "success", None, "info"),
        (304, "success", None, "info"),
        (404, "failure", "http_404", "warning"),
        (499, "unknown", "client_disconnected", "warning"),
        (502, "failure", "http_502", "error"),
        (0, "unknown", "no_response", "warning"),
    ],
)
def test_the_status_tells_the_outcome(status, result, reason, level):
    event = FORMAT.parse(COMBINED_LINE.replace(b" 200 ", b" %03d " % status))
    assert event["outcome"] == {"result": result, **({"reason": reason} if reason else {})}
    assert event["level"] == level


@pytest.mark.parametrize(
    ("request_line", "expected"),
    [
        pytest.param("GET /a%20b?c HTTP/1.1", {"path": "/a b", "query": "c"}, id="a space is readable"),
        pytest.param("GET /%C3%A9%41%00 HTTP/1.1", {"path": "/%C3%A9A%00"}, id="what is not ASCII stays encoded"),
        pytest.param(r"GET /\xC3\xA9 HTTP/1.1", {"path": "/%C3%A9"}, id="raw bytes are encoded"),
        pytest.param(r"GET /\xFF?\xFE HTTP/1.1", {"path": "/%FF", "query": r"\xFE"}, id="bytes that are no text"),
        pytest.param(
            "GET http://u:p@Evil.Test:81/x?y HTTP/1.1",
            {"scheme": "http", "host": "evil.test", "port": 81, "path": "/x", "query": "y"},
            id="absolute",
        ),
        pytest.param(
            "GET http://h HTTP/1.1", {"scheme": "http", "host": "h", "path": "/"}, id="absolute without a path"
        ),
        pytest.param("CONNECT h:443 HTTP/1.1", {"host": "h", "port": 443}, id="authority"),
        pytest.param("OPTIONS * HTTP/1.1", {"path": "*"}, id="asterisk"),
        pytest.param("GET /pl ain?a=b c HTTP/1.1", {"path": "/pl ain", "query": "a=b c"}, id="spaces"),
        pytest.param(r"\x16\x03\x01", None, id="TLS"),
        pytest.param("-", None, id="nothing"),
    ],
)
def test_the_url_of_a_request(request_line, expected):
    event = FORMAT.parse(COMBINED_LINE.replace(b"GET /a?b=c HTTP/1.1", request_line.encode()))
    assert event.get("url") == expected


@pytest.mark.parametrize(
    ("zone", "moment"),
    [("+0530", "2026-11-20T14:50:11.000000Z"), ("-0330", "2026-11-20T23:50:11.000000Z")],
)
def test_local_time_becomes_utc_and_is_kept_as_it_was(zone, moment):
    line = COMBINED_LINE.replace(b"+0000", zone.encode())
    event = FORMAT.parse(line)
    assert event["timestamp"] == moment
    assert event["source"]["fields"] == {"time_local": f"20/Nov/2026:20:20:11 {zone}"}
    assert FORMAT.render(event) == line


def test_only_the_texts_that_have_an_escape_in_them_are_named():
    line = COMBINED_LINE.replace(b"/a?b=c", rb"http://h/a?\xFF").replace(b"curl/8", rb"Zo\xC3\xAB")
    event = FORMAT.parse(line)
    assert event["http"]["request"]["user_agent"] == "Zoë"
    assert event["meta"] == {"escaped": ["/http/request/target", "/url/query"]}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("bytes_sent", "007"),
        ("upstream_response_time", "0.4"),
        ("upstream_response_time", "0.400 : 0.100"),
        ("request_time", "00.400"),
        ("http_x_forwarded_for", "192.0.2.1,192.0.2.2"),
        ("http_host", "EXAMPLE.test:080"),
        ("time_iso8601", "2026-11-20T20:20:11+02:00"),
        ("remote_port", "70000"),
    ],
)
def test_what_would_not_come_back_the_same_is_kept_as_it_was(name, text):
    parser = NginxFormat(f'{name}="${name}"')
    event = parser.parse(f'{name}="{text}"'.encode())
    assert event["source"]["fields"] == {name: text}
    assert parser.render(event) == f'{name}="{text}"'.encode()


def test_a_line_without_a_time_leaves_it_to_the_importer():
    event = REAL["cache"].parse(lines_of("nginx/nginx-1.22.1.cache.log")[0])
    assert "timestamp" not in event
    assert event["source"]["time_basis"] == "unknown"


def test_a_traceparent_that_a_client_sent_is_a_claim():
    event = REAL["json"].parse(lines_of("nginx/nginx-1.22.1.json.log")[-1])
    assert event["trace"] == {"remote": {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331"}}


@pytest.mark.parametrize(
    ("logged", "user"),
    [("caf%C3%A9", "café"), ("a%2Cb", "a,b"), ("%2D", "-"), ("plain@x", "plain@x"), ("%FF", "%FF"), ("100%", "100%")],
)
def test_a_user_that_the_middleware_encoded_is_decoded_when_asked_for(logged, user):
    line = COMBINED_LINE + f' userid="{logged}" sessionid="-"'.encode()
    parser = NginxFormat(EXTENDED, decode_userid=True)
    event = parser.parse(line)
    assert event["actor"]["id"] == user
    assert parser.render(event) == line
    assert NginxFormat(EXTENDED).parse(line)["actor"]["id"] == logged


def test_long_values_are_cut_and_named(check_event):
    line = COMBINED_LINE.replace(b"/a", b"/" + b"a" * 9000).replace(b"curl/8", b"c" * 3000)
    event = check_event(imported(FORMAT.parse(line)))
    assert len(event["http"]["request"]["user_agent"]) == 2048
    assert set(event["meta"]["truncated"]) >= {"/http/request/target", "/http/request/user_agent", "/url/path"}


def test_json_with_other_keys_in_another_order_is_read_by_its_keys():
    parser = NginxFormat(JSON, escape="json")
    line = b'{"status": 404, "foo": {"a": [1]}, "remote_addr": "192.0.2.1", "time_local": "20/Nov/2026:20:20:11 +0000",'
    line += b' "method": "POST", "request_uri": "/x?y", "request_time": , "b": null, "bytes": 12}'
    event = parser.parse(line)
    assert event["timestamp"] == "2026-11-20T20:20:11.000000Z"
    assert event["http"] == {
        "request": {"method": "POST", "target": "/x?y"},
        "response": {"status_code": 404, "body_size": 12},
    }
    assert event["source"]["fields"] == {"foo": '{"a":[1]}'}


def test_keys_of_json_can_be_given():
    keys = {"time_local": "tl", "remote_addr": "ra", "status": "s", "upstream_http_x_userid": "uid"}
    event = with_keys(keys).parse(b'{"uid":"u","tl":"20/Nov/2026:20:20:11 +0000","ra":"192.0.2.1","s":200,"k":"v"}')
    assert (event["actor"], event["client"]["address"]) == ({"id": "u"}, "192.0.2.1")
    assert event["source"]["fields"] == {"k": "v"}


@pytest.mark.parametrize(
    ("log_format", "message"),
    [
        pytest.param("no variables", "expected a log_format with variables", id="none"),
        pytest.param("$remote_addr$host", "nothing stands between remote_addr and host", id="two that touch"),
        pytest.param("$bytes_sent$body_bytes_sent", "nothing stands between", id="two numbers that touch"),
    ],
)
def test_a_log_format_of_which_no_line_could_be_read_is_refused(log_format, message):
    with pytest.raises(FormatError, match=message):
        NginxFormat(log_format)


def test_numbers_of_a_known_length_may_touch_the_next_one():
    parser = NginxFormat("$time_local$status$body_bytes_sent $host")
    event = parser.parse(b"20/Nov/2026:20:20:11 +000020012 h")
    assert event["http"]["response"] == {"status_code": 200, "body_size": 12}


@pytest.mark.parametrize("parser", REAL.values(), ids=REAL)
def test_a_format_can_be_pickled(parser):
    again = pickle.loads(pickle.dumps(parser))
    for line in [line for name, line in real_lines() if REAL[name] is parser]:
        assert again.parse(line) == parser.parse(line)


def test_only_http_requests_have_a_line():
    with pytest.raises(LineError, match="not 'file_uploaded'"):
        FORMAT.render({"event": "file_uploaded"})


def test_an_event_of_the_middleware_becomes_a_line():
    event = {
        "event": "http_request",
        "timestamp": "2026-11-20T20:20:11.987654Z",
        "duration_ns": 1_234_567,
        "client": {"address": "192.0.2.1"},
        "actor": {"id": "é"},
        "http": {"version": "2", "request": {"method": "GET"}, "response": {"status_code": 200}},
        "url": {"path": "/a", "query": "b"},
    }
    parser = NginxFormat(f'{EXTENDED} rt="$request_time"')
    assert parser.render(event) == (
        b'192.0.2.1 - - [20/Nov/2026:20:20:11 +0000] "GET /a?b HTTP/2" 200 - "-" "-" '
        b'userid="\\xC3\\xA9" sessionid="-" rt="0.001"'
    )


def test_the_formats_of_an_nginx_conf_are_read(tmp_path):
    (tmp_path / "formats.conf").write_text((DATA / "nginx/log_formats.conf").read_text())
    main = tmp_path / "nginx.conf"
    main.write_text("events {}\nhttp {\n  include formats.conf; # a comment\n  access_log /x extended;\n}\n")
    described = log_formats(main)
    assert set(described) == {"combined", "extended", "j"}
    assert described["extended"].log_format == configured("extended")
    line = lines_of("nginx/nginx-1.22.1.json.log")[3]
    parser = format_of(main, "j")
    assert parser.name == "nginx:j"
    assert parser.render(parser.parse(line)) == line
    assert format_named(f"{main}:extended").log_format == EXTENDED


@pytest.mark.parametrize("text", ["/nowhere/nginx.conf", "/nowhere/nginx.conf:main"])
def test_a_configuration_that_cannot_be_read_is_an_error(text):
    with pytest.raises(FormatError, match=r"cannot read /nowhere/nginx.conf: .*No such file or directory"):
        format_named(text)


def test_a_format_that_the_configuration_does_not_name_is_an_error_that_says_which_it_does(tmp_path):
    (tmp_path / "n.conf").write_text("log_format a '$host'; log_format b '$uri';")
    with pytest.raises(FormatError, match=r"expected one of the formats .*combined, a, b.*, not 'c'"):
        format_of(tmp_path / "n.conf", "c")
    with pytest.raises(FormatError, match="not ''"):
        format_of(tmp_path / "n.conf")


def test_without_crossplane_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "crossplane", None)
    with pytest.raises(FormatError, match=r"pip install 'auditmw\[import\]'"):
        log_formats("nginx.conf")


def test_what_auditmw_tells_nginx_to_log_is_read_and_rendered_back(tmp_path, check_event):
    (tmp_path / "auditmw.conf").write_text(nginx_config(upstream="127.0.0.1:8000", json_log=True))
    text = format_of(tmp_path / "auditmw.conf", "extended", decode_userid=True)
    line = COMBINED_LINE + (
        b' userid="caf%C3%A9" sessionid="u1.k1.x" cache="-" request_id="85a06c90788800c9b2c9898e6f94d3df" '
        b'request_time="0.011" upstream_time="0.010"'
    )
    event = check_event(imported(text.parse(line)))
    assert text.render(event) == line
    assert (event["actor"]["id"], event["duration_ns"]) == ("café", 11_000_000)
    as_json = format_of(tmp_path / "auditmw.conf", "auditmw_json", decode_userid=True)
    values = dict.fromkeys(json.loads(as_json.log_format), "") | {
        "time_iso8601": "2026-11-20T20:20:11+00:00",
        "msec": "1795206011.874",
        "status": "200",
        "userid": "caf%C3%A9",
        "upstream_addr": "127.0.0.1:8000",
        "request_uri": "/a",
    }
    line = json.dumps(values, separators=(",", ":")).encode()
    event = check_event(imported(as_json.parse(line)))
    assert as_json.render(event) == line
    assert (event["timestamp"], event["actor"]) == ("2026-11-20T20:20:11.874000Z", {"id": "café"})


@pytest.mark.parametrize(
    "line",
    [
        '100.1.2.3 — — [10/Apr/2020:13:07:13 +0000] “GET /a?b HTTP/1.1” 200 75612 “ https://r/" “UA x” '
        "userid=”a@b.com “ sessid=”4f23”",
        "‘100.1.2.3—-[10/Apr/2020:13:07:13 +0000]“GET /a?b HTTP/1.1”‘‘20075612“https://r/”‘‘“UA x”‘‘userid=”a@b.com”"
        "sessionid=”4f23”’",
    ],
    ids=["as a page shows it", "as nginx writes it"],
)
def test_lines_with_typographic_quotes_are_read(check_event, line):
    event = check_event(imported(TypographicFormat().parse(line.encode())))
    assert event["http"]["response"] == {"status_code": 200, "body_size": 75612}
    assert event["http"]["request"] == {
        "method": "GET",
        "target": "/a?b",
        "referrer": "https://r/",
        "user_agent": "UA x",
    }
    assert (event["actor"], event["session"]) == ({"id": "a@b.com"}, {"id": "4f23"})


def test_importing_the_formats_needs_no_extra():
    code = "import sys; sys.modules.update(crossplane=None, apachelogs=None); import auditmw.formats.detection"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
