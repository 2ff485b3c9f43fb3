"""Traefik's JSON log: where its members go, and that they come back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditmw.formats.detection import detect
from auditmw.formats.line import LineError
from auditmw.formats.traefik import TraefikFormat

# As Traefik 3 writes it with all its fields: the keys of pkg/middlewares/accesslog/logdata.go, sorted by logrus.
LINE = {
    "ClientAddr": "192.0.2.7:55232",
    "ClientHost": "192.0.2.7",
    "ClientPort": "55232",
    "ClientUsername": "-",
    "DownstreamContentSize": 19,
    "DownstreamStatus": 404,
    "Duration": 123456,
    "GzipRatio": 0,
    "OriginContentSize": 19,
    "OriginDuration": 98765,
    "OriginStatus": 404,
    "Overhead": 24691,
    "RequestAddr": "app.test",
    "RequestContentSize": 0,
    "RequestCount": 7,
    "RequestHost": "app.test",
    "RequestMethod": "GET",
    "RequestPath": "/x?y=1",
    "RequestPort": "-",
    "RequestProtocol": "HTTP/2.0",
    "RequestScheme": "https",
    "RetryAttempts": 0,
    "RouterName": "web@docker",
    "ServiceAddr": "10.0.0.5:80",
    "ServiceName": "web@docker",
    "ServiceURL": "http://10.0.0.5:80",
    "SpanId": "00f067aa0ba902b7",
    "StartLocal": "2026-11-20T21:20:11.123456789+01:00",
    "StartUTC": "2026-11-20T20:20:11.123456789Z",
    "TLSCipher": "TLS_AES_128_GCM_SHA256",
    "TLSVersion": "1.3",
    "TraceId": "4bf92f3577b34da6a3ce929d0e0e4736",
    "downstream_Content-Type": "text/plain",
    "entryPointName": "websecure",
    "level": "info",
    "msg": "",
    "request_Referer": "https://a.test/",
    "request_User-Agent": "curl/7.88.1",
    "request_X-Two": "1,2",
    "time": "2026-11-20T21:20:11+01:00",
}


def parsed(line):
    return TraefikFormat().parse(line if isinstance(line, bytes) else json.dumps(line).encode())


def back(event):
    return json.loads(TraefikFormat().render(event))


def valid(check_event, event):
    return check_event(
        {**event, "id": "01a1fa9d-d878-8a11-9c2f-5d0f3c1b2a99", "observed": "2026-11-20T21:00:00.000000Z"}
    )


def test_a_line_is_a_valid_event_and_comes_back_equal(check_event):
    event = parsed(LINE)
    valid(check_event, event)
    assert back(event) == LINE


def test_every_member_goes_where_it_belongs():
    event = parsed(LINE)
    assert event["start"] == "2026-11-20T20:20:11.123456Z"
    assert event["timestamp"] == "2026-11-20T20:20:11.123579Z"  # the end: 123,456 ns later
    assert (event["duration_ns"], event["source"]["time_basis"]) == (123_456, "start")
    assert event["client"] == {
        "peer_address": "192.0.2.7",
        "peer_port": 55232,
        "address": "192.0.2.7",
        "origin": "log",
    }
    assert event["url"] == {"scheme": "https", "host": "app.test", "path": "/x", "query": "y=1"}
    assert event["http"]["version"] == "2.0"
    assert event["http"]["response"]["status_code"] == 404
    assert event["http"]["response"]["content_type"] == "text/plain"
    assert event["http"]["request"]["user_agent"] == "curl/7.88.1"
    assert event["http"]["request"]["referrer"] == "https://a.test/"
    assert event["http"]["request"]["headers"]["x-two"] == ["1,2"]
    assert event["upstream"] == [{"address": "10.0.0.5:80", "status_code": 404, "duration_ns": 98765}]
    assert event["tls"] == {"version": "TLSv1.3", "cipher": "TLS_AES_128_GCM_SHA256"}
    assert event["trace"] == {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7"}
    assert "actor" not in event
    assert event["source"]["fields"]["RouterName"] == "web@docker"
    assert not {"ClientUsername", "RequestHost", "RequestPort", "ClientPort", "level", "msg"} & set(
        event["source"]["fields"]
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"ClientUsername": "alice"}, {"actor": {"name": "alice"}}, id="user"),
        pytest.param(
            {"ClientHost": "203.0.113.9, 10.1.1.1"},
            {
                "client": {
                    "peer_address": "192.0.2.7",
                    "peer_port": 55232,
                    "address": "192.0.2.7",
                    "origin": "log",
                    "forwarded": ["203.0.113.9", "10.1.1.1"],
                }
            },
            id="a chain that anybody can claim is not the client",
        ),
        pytest.param(
            {"ClientAddr": "[2001:db8::1]:443", "ClientHost": "2001:db8::1", "ClientPort": "443"},
            {"client": {"peer_address": "2001:db8::1", "peer_port": 443, "address": "2001:db8::1", "origin": "log"}},
            id="IPv6",
        ),
        pytest.param(
            {"RequestAddr": "app.test:8443", "RequestPort": "8443"},
            {"url": {"scheme": "https", "host": "app.test", "port": 8443, "path": "/x", "query": "y=1"}},
            id="a port",
        ),
        pytest.param(
            {"DownstreamStatus": 0}, {"outcome": {"result": "unknown", "reason": "no_response"}}, id="no answer"
        ),
        pytest.param({"ClientAddr": "@", "ClientHost": "@", "ClientPort": "-"}, {}, id="a unix socket"),
        pytest.param({"StartUTC": "2026-11-20T20:20:11Z"}, {}, id="no decimals"),
        pytest.param({"Duration": "1ms", "OriginStatus": 0, "TLSVersion": ""}, {}, id="what has no such shape"),
        pytest.param({"request_x-odd": "1", "request_a.b": "2", "tags": ["a", {"b": 1.50}]}, {}, id="odd names"),
    ],
)
def test_a_line_that_says_something_else_comes_back_too(check_event, changes, told):
    line = {**LINE, **changes}
    event = parsed(line)
    valid(check_event, event)
    assert back(event) == line
    assert {key: event[key] for key in told} == told


def test_the_newer_names_of_the_trace_are_known():
    line = {key: value for key, value in LINE.items() if key not in ("TraceId", "SpanId")}
    line |= {"trace_id": LINE["TraceId"], "span_id": LINE["SpanId"]}
    event = parsed(line)
    assert event["trace"]["trace_id"] == LINE["TraceId"]
    assert back(event) == line


@pytest.mark.parametrize("names", [("trace_id", "span_id"), ("TraceId", "SpanId")], ids=["new", "old"])
def test_a_span_without_its_trace_is_kept_as_a_field(check_event, names):
    line = {key: value for key, value in LINE.items() if key not in ("TraceId", "SpanId")}
    line |= {names[0]: "0" * 32, names[1]: LINE["SpanId"]}
    event = parsed(line)
    valid(check_event, event)
    assert back(event) == line


def test_the_local_time_will_do_where_the_other_was_dropped():
    line = {key: value for key, value in LINE.items() if key != "StartUTC"}
    assert parsed(line)["start"] == "2026-11-20T20:20:11.123456Z"


@given(
    changes=st.dictionaries(st.sampled_from(sorted(LINE)), st.one_of(st.text(), st.integers(), st.none()), max_size=5)
)
def test_whatever_the_members_say_the_line_is_refused_or_comes_back(check_event, changes):
    line = {**LINE, **changes}
    try:
        event = parsed(line)
    except LineError:
        assert {"StartUTC", "StartLocal"} & set(changes)
    else:
        valid(check_event, event)
        assert back(event) == line


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"", id="blank"),
        pytest.param(
            b'{"level":"info","msg":"Configuration loaded","time":"2026-11-20T20:20:11Z"}', id="about Traefik"
        ),
    ],
)
def test_a_line_about_no_request_makes_no_event(line):
    assert TraefikFormat().parse(line) is None


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"192.0.2.7 - - [...]", id="no JSON"),
        pytest.param(b'{"status":200}', id="JSON of somebody else"),
        pytest.param(json.dumps({**LINE, "StartUTC": "soon", "StartLocal": "later"}).encode(), id="no time"),
    ],
)
def test_what_is_no_line_of_traefik_is_refused(line):
    with pytest.raises(LineError):
        TraefikFormat().parse(line)


def test_a_log_of_traefik_is_recognised():
    assert detect([json.dumps(LINE).encode()]).format.name == "traefik:json"
