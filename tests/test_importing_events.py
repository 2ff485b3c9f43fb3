"""The event of a line: what only the importer knows of it, and what must not be written."""

import base64
import hashlib
import json
import pickle
import re
import uuid

import orjson
import pytest

from auditmw.event import MAX_EVENT_BYTES
from auditmw.formats.registry import format_named
from auditmw.importing.chunks import MAX_LINE_BYTES, Chunk
from auditmw.importing.events import EventSource, Origin, Tally, body_of
from auditmw.importing.redaction import EventRedactor
from auditmw.journal.spans import Span
from auditmw.redact import Redactor
from auditmw.shapes import REDACTED
from log_lines import REBLAZE, Plain, combined

ORIGIN = Origin("access.log", "0123456789abcdef")


def chunk_of(*lines, start=0, line=1, end=b"\n"):
    data = b"\n".join(lines) + end
    return Chunk(Span("0" * 16, "1" * 16, start, start + len(data)), line, data)


def events_of(*lines, parser=None, keep_raw="if-clean", origin=ORIGIN, tally=None, keys=(), **place):
    source = EventSource(EventRedactor(Redactor(keys=keys)), keep_raw)
    chunk = chunk_of(*lines, **place)
    return list(source.events(chunk, parser or format_named("combined"), origin, tally or Tally()))


def event_of(line, **options):
    (event,) = events_of(line, **options)
    return event


# --- where it came from


def test_the_members_of_an_event_stand_in_the_order_of_the_schema_s_samples(check_event):
    event = check_event(event_of(combined(1)))
    assert list(event)[:5] == ["schema", "id", "timestamp", "observed", "event"]
    assert list(event["source"]) == ["kind", "format", "file", "line", "offset", "time_basis", "raw", "raw_sha256"]


def test_every_line_tells_its_file_number_offset_and_digest():
    lines = [combined(1), b"", combined(2)]
    first, second = events_of(*lines, start=1000, line=50)
    assert first["source"]["file"] == "access.log"
    assert [event["source"]["line"] for event in (first, second)] == [50, 52]
    assert [event["source"]["offset"] for event in (first, second)] == [1000, 1000 + len(lines[0]) + 2]
    assert second["source"]["raw"] == lines[2].decode()
    assert second["source"]["raw_sha256"] == hashlib.sha256(lines[2]).hexdigest()


def test_the_last_line_may_have_no_end():
    assert [event["source"]["line"] for event in events_of(combined(1), combined(2), end=b"")] == [1, 2]


# --- ids


def test_the_id_is_what_its_docstring_says():
    event = event_of(combined(1), start=77)
    found = uuid.UUID(event["id"])
    assert found.version == 8
    assert found.variant == uuid.RFC_4122
    assert found.int >> 80 == 1795206012000  # milliseconds of 2026-11-20T20:20:12Z
    said = hashlib.sha256(combined(1) + b"\nnginx:combined 0123456789abcdef 77").hexdigest()
    digits = event["id"].replace("-", "")
    assert digits[13:16] == said[:3]
    assert digits[17:20] + digits[20:] == said[4:7] + said[7:19]


def test_the_id_is_the_same_whenever_and_however_the_line_is_cut():
    (alone,) = events_of(combined(2), start=len(combined(1)) + 1, line=2)
    assert events_of(combined(1), combined(2))[1]["id"] == alone["id"]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"start": 1}, id="another offset"),
        pytest.param({"origin": ORIGIN._replace(anchor="f" * 16)}, id="another input"),
        pytest.param({"parser": format_named("apache:combined")}, id="another format"),
    ],
)
def test_an_equal_line_elsewhere_has_another_id(other):
    assert event_of(combined(1), **other)["id"] != event_of(combined(1))["id"]


def test_the_name_of_the_file_is_not_in_the_id():
    assert event_of(combined(1), origin=ORIGIN._replace(file="access.log.1"))["id"] == event_of(combined(1))["id"]


def test_a_line_without_a_time_gets_the_moment_at_which_it_was_read(check_event):
    parser = format_named("$remote_addr $status")
    event = check_event(event_of(b"192.0.2.1 200", parser=parser))
    assert event["timestamp"] == event["observed"]
    assert event["source"]["time_basis"] == "unknown"
    assert event["id"].startswith("00000000-0000-8")
    assert event["id"] == event_of(b"192.0.2.1 200", parser=parser)["id"]


def test_a_time_before_1970_has_an_id_too(check_event):
    line = combined(1).replace(b"/Nov/2026", b"/Nov/1066")
    assert check_event(event_of(line))["id"].startswith("00000000-0000-8")


# --- the raw line


SECRET = combined(1, target="/login?password=hunter2")


@pytest.mark.parametrize(
    ("keep_raw", "line", "kept"),
    [
        pytest.param("if-clean", combined(1), True, id="clean"),
        pytest.param("if-clean", SECRET, False, id="redacted"),
        pytest.param("never", combined(1), False, id="never"),
        pytest.param("always", SECRET, True, id="always"),
    ],
)
def test_the_raw_line_is_kept_when_that_is_wanted(check_event, keep_raw, line, kept):
    event = check_event(event_of(line, keep_raw=keep_raw))
    assert ("raw" in event["source"]) is kept
    assert event["source"]["raw_sha256"] == hashlib.sha256(line).hexdigest()


def test_a_line_that_is_not_utf_8_is_kept_in_base64(check_event):
    line = combined(1).replace(b"Mozilla", b"\xff\xfeMozilla")
    source = check_event(event_of(line))["source"]
    assert base64.b64decode(source["raw_b64"]) == line
    assert "raw" not in source


# --- redaction


def test_redaction_names_the_places_and_takes_the_secret_out_of_all_of_them(check_event):
    event = check_event(event_of(SECRET))
    assert event["http"]["request"]["target"] == f"/login?password={REDACTED}"
    assert event["url"]["query"] == f"password={REDACTED}"
    assert event["meta"]["redacted"] == ["/http/request/target", "/url/query"]
    assert "hunter2" not in json.dumps(event)


HEADERS = {
    "host": "shop.test",
    "cookie": "sid=c00kie",
    "x-two": "2",
    "post_request_body": {"pin": "1234", "lang": "en"},
}
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"


def with_field(name, value):
    """A line of JSON with one more key."""
    return json.dumps({"time": "2026-11-20T20:20:11+00:00", "remote_addr": "192.0.2.1", "status": 200, name: value})


@pytest.mark.parametrize(
    ("line", "log_format", "secret", "places"),
    [
        pytest.param(
            combined(1, referrer="https://a.test/?token=s3cret"),
            "",
            "s3cret",
            ["/http/request/referrer"],
            id="referrer",
        ),
        pytest.param(combined(1, agent=f"tool/1 {JWT}"), "", JWT, ["/http/request/user_agent"], id="user agent"),
        pytest.param(
            combined(1, target="/a;jsessionid=s3cret"), "", "s3cret", ["/http/request/target", "/url/path"], id="path"
        ),
        pytest.param(
            combined(1, target="/a%3Bjsessionid=s3cret"),
            "",
            "s3cret",
            ["/http/request/target", "/url/path"],
            id="encoded",
        ),
        pytest.param(combined(1, user=JWT), "", JWT, ["/actor/name"], id="user"),
        pytest.param(combined(1) + b' api_key="s3cret"', "", "s3cret", ["/source/fields/api_key"], id="own field"),
        pytest.param(
            with_field("request_body", "a=1&password=s3cret"),
            "nginx:json",
            "s3cret",
            ["/source/fields/request_body"],
            id="form",
        ),
        pytest.param(
            with_field("body", '{"user":{"password":"s3cret"}}'),
            "nginx:json",
            "s3cret",
            ["/source/fields/body"],
            id="json",
        ),
        pytest.param(
            with_field("http_x_api_key", "s3cret"),
            "nginx:json",
            "s3cret",
            ["/http/request/headers/x-api-key"],
            id="header",
        ),
        pytest.param(
            REBLAZE.format(headers=base64.b64encode(json.dumps(HEADERS).encode()).decode()),
            "reblaze",
            "c00kie",
            ["/http/request/headers/cookie", "/http/request/body/pin"],
            id="headers and body",
        ),
        pytest.param(
            '127.0.0.1 [20/Nov/2026:20:20:11 +0000] "GET /x HTTP/1.1" 200 "sid=s3cret-c00kie"',
            '$remote_addr [$time_local] "$request" $status "$sent_http_set_cookie"',
            "c00kie",
            ["/http/response/headers/set-cookie"],
            id="a header of the response, and nothing else",
        ),
        pytest.param(
            '{"audit": {"filter": {"object": "person", "kwargs": {"pin": "s3cret-pin"}}, '
            '"results": {"password": "s3cret-pin"}}}',
            "datapunt:0.4",
            "s3cret-pin",
            ["/filter/kwargs/pin", "/results/password"],
            id="filter and results",
        ),
    ],
)
def test_what_is_known_as_a_secret_is_not_written(check_event, line, log_format, secret, places):
    line = line.encode() if isinstance(line, str) else line
    parser = format_named(log_format or "extended")
    event = check_event(event_of(line, parser=parser))
    assert secret not in body_of(event).decode()
    assert set(places) <= set(event["meta"]["redacted"])
    assert "raw" not in event["source"]


@pytest.mark.parametrize("value", ["-", "", "0"])
def test_a_field_that_says_nothing_is_no_secret(value):
    event = Plain().parse(b"1")
    event["source"]["fields"] = {"cookie": value}
    assert EventRedactor(Redactor())(event) is (value == "0")


def test_further_names_of_secrets_count():
    line = combined(1, target="/a?badge=007")
    assert "007" in json.dumps(event_of(line))
    assert "007" not in json.dumps(event_of(line, keys=["badge"]))


def test_what_may_stand_is_remembered_within_bounds():
    redact = EventRedactor(Redactor())
    parser = format_named("combined")
    for number in range(40_000):
        redact(parser.parse(combined(1, agent=f"agent/{number}", referrer=f"https://a.test/{number}")))
    assert len(redact.harmless) < 17_000


def test_a_part_that_events_share_is_never_changed():
    shared = {"address": JWT, "origin": "log"}
    redact = EventRedactor(Redactor())
    for _ in range(2):
        event = {**Plain().parse(b"1"), "client": shared}
        assert redact(event)
        assert event["client"]["address"] == REDACTED
    assert shared["address"] == JWT


def test_an_event_of_simple_texts_is_judged_as_one_with_everything():
    """The fast way and the full way agree, whatever is in the line."""
    fast, full = EventRedactor(Redactor()), EventRedactor(Redactor())
    full._is_harmless = lambda event: False
    parser = format_named("extended")
    for line in (
        combined(1),
        SECRET,
        combined(1, agent="+1 (555) 4111 1111 1111 1111"),
        combined(1, target="/%2e?a;b=c&code=1&state=2"),
        combined(1, user="alice@example.com", ip="unix:"),
        combined(1, target="http://user:pw@a.test/x?y"),
        combined(1) + b' userid="alice" sessionid="s"',
    ):
        one, other = parser.parse(line), parser.parse(line)
        assert fast(one) == full(other)
        assert one == other


# --- what is no event


def test_lines_that_are_not_of_the_format_are_rejected_with_number_offset_and_reason():
    tally = Tally()
    good = events_of(b"1", b"two", b"", b"#3", b"4", b"bug", parser=Plain(), tally=tally, start=100, line=10)
    assert [event["url"]["path"] for event in good] == ["/1", "/12"]
    assert (tally.events, tally.ignored) == (2, 2)
    assert [(reject.line, reject.offset, reject.raw) for reject in tally.rejects] == [
        (11, 102, b"two"),
        (15, 112, b"bug"),
    ]
    assert tally.rejects[0].reason == "expected a number, not b'two'"
    assert tally.rejects[1].reason.startswith("KeyError")


def test_a_line_that_is_too_long_is_rejected():
    tally = Tally()
    assert events_of(b"1" * (MAX_LINE_BYTES + 1), b"2", parser=Plain(), tally=tally)[0]["source"]["line"] == 2
    assert tally.rejects[0].reason == f"expected a line of at most {MAX_LINE_BYTES} bytes, not {MAX_LINE_BYTES + 1}"


# --- within the limits of the schema


@pytest.mark.parametrize("size", [1_000, 2_000, 5_000, 60_000, 200_000, 900_000])
@pytest.mark.parametrize("part", ["agent", "target", "referrer"])
def test_an_event_of_a_long_line_fits_the_schema(check_event, size, part):
    event = event_of(combined(1, **{part: "/" + "x" * size}))
    body = body_of(event)
    assert len(body) <= MAX_EVENT_BYTES
    found = check_event(orjson.loads(body))
    raw = found["source"].get("raw")
    assert raw is None or hashlib.sha256(raw.encode()).hexdigest() == found["source"]["raw_sha256"]
    if size <= 5_000:
        assert raw is not None
    assert re.fullmatch("[0-9a-f]{64}", found["source"]["raw_sha256"])


def test_an_event_that_json_cannot_carry_is_made_plain(check_event):
    event = event_of(combined(1))
    event["url"]["path"] = "/\ud800"
    assert check_event(orjson.loads(body_of(event)))["meta"]["escaped"] == ["/url/path"]


def test_formats_can_be_sent_to_other_processes():
    for name in ("combined", "extended", "nginx:json", "apache:combined", "reblaze", "caddy", "traefik", "w3c"):
        parser = format_named(name)
        assert pickle.loads(pickle.dumps(parser)).name == parser.name
