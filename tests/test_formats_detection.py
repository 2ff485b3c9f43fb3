"""What an input is, told from its first lines."""

import pickle

import pytest

from auditmw.formats.detection import detect
from auditmw.formats.line import FormatError
from hostile_lines import lines_of

COMBINED = b'192.0.2.1 - - [20/Nov/2026:20:20:11 +0000] "GET /a?b=c HTTP/1.1" 200 12 "-" "curl/8"'
COMMON = COMBINED[:-13]
CADDY = (
    b'{"level":"info","ts":1795206011.874,"logger":"http.log.access","msg":"handled request","request":{"remote_ip":'
    b'"192.0.2.1","proto":"HTTP/2.0","method":"GET","host":"h","uri":"/","headers":{}},"duration":0.01,"size":5,"status":200}'
)
TRAEFIK = (
    b'{"ClientHost":"192.0.2.1","DownstreamStatus":200,"Duration":1000,"RequestMethod":"GET","RequestPath":"/",'
    b'"StartUTC":"2026-11-20T20:20:11.5Z","level":"info","msg":"","time":"2026-11-20T20:20:12Z"}'
)
W3C = [b"#Version: 1.0", b"#Fields: date time c-ip", b"2026-11-20 20:20:11 192.0.2.1"]


@pytest.mark.parametrize(
    ("file", "name", "why"),
    [
        (
            "nginx/nginx-1.22.1.combined.log",
            "nginx:combined",
            "52 of the first 52 lines are combined, 10 as",
        ),
        ("nginx/nginx-1.22.1.extended.log", "nginx:extended", "52 of the first 52 lines are nginx's, as by log_format"),
        ("nginx/nginx-1.22.1.json.log", "nginx:json", "52 of the first 52 lines have keys for time_iso8601, msec,"),
        ("nginx/nginx-1.22.1.upstream-retry.json.log", "nginx:json", "2 of the first 2 lines have keys for status"),
        (
            "nginx/nginx-1.22.1.typographic-quotes.log",
            "nginx:typographic",
            "2 of the first 2 lines are nginx's, with",
        ),
        ("apache_combined_10k.log.gz", "apache:combined", "100 of the first 100 lines are combined, 3 as only Apache"),
        ("reblaze-line.txt", "reblaze", "1 of the first 1 lines have the 42 fields of Reblaze"),
    ],
)
def test_real_logs_are_recognised_and_every_line_is_read(file, name, why):
    lines = lines_of(file)
    detection = detect(lines)
    assert detection.format.name == name
    assert detection.why.startswith(f"{name}: {why}")
    parser = pickle.loads(pickle.dumps(detection.format))
    events = [parser.parse(line) for line in lines]
    assert None not in events
    assert (
        sum(parser.render(event) != line for event, line in zip(events, lines, strict=True)) <= 1
    )  # a long or torn one


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        pytest.param([COMBINED], "nginx:combined", id="combined"),
        pytest.param([COMBINED + b' "192.0.2.7, 10.0.0.1"'], "nginx:main", id="main"),
        pytest.param([COMBINED + b' userid="u" sessid="s"'], "nginx:extended", id="sessid"),
        pytest.param([COMBINED.replace(b" 12 ", b" - ")], "apache:combined", id="no size"),
        pytest.param([COMBINED.replace(b"curl", b'say \\"hi\\"')], "apache:combined", id="quotes as Apache has them"),
        pytest.param([COMBINED.replace(b"curl", b"\\x22hi\\x22")], "nginx:combined", id="quotes as nginx has them"),
        pytest.param([b"h.test:443 " + COMBINED], "apache:vhost_combined", id="virtual host"),
        pytest.param([COMMON], "apache:common", id="common"),
        pytest.param([CADDY], "caddy:json", id="Caddy"),
        pytest.param([TRAEFIK], "traefik:json", id="Traefik"),
        pytest.param(W3C, "w3c", id="W3C"),
        pytest.param([b'{"audit": {"http_request": null, "type": "INFO"}}'], "datapunt:0.4", id="DataPunt"),
        pytest.param([b"", b"\r", COMBINED], "nginx:combined", id="blank lines first"),
        pytest.param([COMBINED, b"garbage", COMBINED], "nginx:combined", id="one line is something else"),
        pytest.param([b'{"time":"2026-11-20T20:20:11+00:00","status":200}'], "nginx:json", id="two known keys"),
    ],
)
def test_lines_are_recognised(lines, name):
    detection = detect(lines)
    assert detection.format.name == name
    assert detection.why.startswith(f"{name}: ")


def test_labels_at_the_right_become_variables():
    line = COMBINED + b' userid="u" sessid="s" cache="MISS" rt=0.012 upstream_time="0.011" request_id="abc"'
    parser = detect([line]).format
    event = parser.parse(line)
    assert (event["actor"], event["session"], event["request_id"]) == ({"id": "u"}, {"id": "s"}, "abc")
    assert event["source"]["fields"] == {"rt": "0.012"}
    assert parser.render(event) == line


def test_when_nothing_tells_the_servers_apart_it_says_so():
    assert "which nothing tells from Apache's: name that if it is" in detect([COMBINED]).why


def test_typographic_quotes_come_with_advice():
    detection = detect(lines_of("nginx/nginx-1.22.1.typographic-quotes.log"))
    assert detection.advice.startswith("your log_format has typographic quotes: ")
    assert detect([COMBINED]).advice is None


def test_users_are_decoded_when_asked_for():
    lines = [COMBINED + b' userid="caf%C3%A9" sessionid="s"']
    assert detect(lines, decode_userid=True).format.parse(lines[0])["actor"] == {"id": "café"}
    assert detect(lines).format.parse(lines[0])["actor"] == {"id": "caf%C3%A9"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        pytest.param([], "no line of up to 65536 bytes is in it", id="empty"),
        pytest.param([b"", b" "], "no line of up to 65536 bytes is in it", id="blank"),
        pytest.param([b"x" * 70_000], "no line of up to 65536 bytes is in it", id="too long"),
        pytest.param([b"garbage"], "no known format reads most of the first lines, such as b'garbage'", id="garbage"),
        pytest.param([b"\x00\x01\xff"], "no known format", id="binary"),
        pytest.param([b"\x1f\x8b\x08\x00"], "no known format", id="compressed"),
        pytest.param([COMBINED, b"a", b"b"], "no known format", id="mostly something else"),
        pytest.param([b'{"foo":1,"bar":2}'], "nothing tells what these keys of JSON mean", id="other JSON"),
        pytest.param([b'{"foo":'], "expected JSON, as the first line begins like it", id="torn JSON"),
        pytest.param([b'{"schema":"auditmw.event/1.0","id":"x"}'], "these lines are events of auditmw", id="journal"),
    ],
)
def test_what_is_no_known_log_is_an_error_that_says_what_was_seen(lines, message):
    with pytest.raises(FormatError, match=message):
        detect(lines)
