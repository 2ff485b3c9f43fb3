"""Events on a stream in a format that the operator chose; what has no line there is written as JSON, never lost."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys

import orjson
import pytest
import structlog
from werkzeug.test import Client

import auditmw
from auditmw.formats import RECORD_FORMATS, record_format, structlog_format
from auditmw.testing import assert_valid

BINARY = "otlp:protobuf"
TEXT_FORMATS = [name for name in RECORD_FORMATS if name != BINARY]


def app(environ, start_response):
    auditmw.identify("alice", session="s-1")
    if environ["PATH_INFO"] == "/raise":
        raise ValueError("no")
    if environ["PATH_INFO"] == "/record":
        auditmw.record("file_uploaded", target={"type": "file", "name": "a\nb"}, size=5)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def served(path, chosen, **options):
    """The lines that one request writes, and the audit's health."""
    stream = io.BytesIO()
    audit = auditmw.Audit(stream, service="shop", format=chosen, **options)
    client = Client(auditmw.WSGIAudit(app, audit))
    here = {"REMOTE_ADDR": "127.0.0.1"}
    if path == "/raise":
        with pytest.raises(ValueError, match="no"):
            client.get(path, environ_base=here)
    else:
        assert client.get(path, environ_base=here).status_code == 200
    written = stream.getvalue()
    assert not written or written.endswith(b"\n")
    return written.splitlines(), audit.health()


@pytest.mark.parametrize("path", ["/", "/raise"])
@pytest.mark.parametrize("name", TEXT_FORMATS)
def test_a_request_is_one_line_in_the_format(name, path):
    lines, health = served(path, name)
    assert len(lines) == 1
    assert health["counts"] == {}
    parse = getattr(record_format(name), "parse", None)
    if parse is not None:
        event = parse(lines[0])
        assert_valid(event)
        assert event["actor"]["id"] == "alice"
    else:
        assert path.encode() in lines[0]


def test_without_a_format_it_is_the_events_own_json():
    (plain,), _ = served("/", None)
    (native,), _ = served("/", "native")
    assert orjson.loads(plain).keys() == orjson.loads(native).keys()


def test_an_event_that_the_format_has_no_line_for_is_written_as_json_and_counted():
    lines, health = served("/record", "nginx:extended")
    event = assert_valid_line(lines[0])
    assert event["event"] == "file_uploaded"
    assert lines[1].startswith(b"127.0.0.1 - - [")
    assert b'"GET /record HTTP/1.1" 200 5' in lines[1]
    assert health["counts"] == {"format_errors": 1}
    assert health["status"] == "degraded"
    assert "requests alone, not for 'file_uploaded'" in health["last"]["format_errors"]


def assert_valid_line(line):
    event = json.loads(line)
    assert_valid(event)
    return event


def fails(logger, method, line):
    raise RuntimeError("out of order")


class Odd:
    """A format of somebody's own, with a mistake in it."""

    name = "odd"
    media_type = "text/plain"

    def __init__(self, record):
        self.record = record

    def render(self, event):
        event.clear()
        return self.record


@pytest.mark.parametrize(
    "chosen",
    [
        pytest.param(structlog_format([fails]), id="raises"),
        pytest.param(structlog_format([lambda *line: line[2]]), id="does not render"),
        pytest.param(structlog_format([structlog.testing.LogCapture()]), id="drops the event"),
        pytest.param(Odd(b"two\nlines"), id="two lines"),
        pytest.param(Odd("text"), id="text"),
        pytest.param(Odd(None), id="nothing"),
        pytest.param(Odd(b""), id="an empty line"),
    ],
)
def test_a_format_that_fails_costs_no_event_and_no_request(chosen):
    lines, health = served("/record", chosen)
    assert [assert_valid_line(line)["event"] for line in lines] == ["file_uploaded", "http_request"]
    assert health["counts"] == {"format_errors": 2}


def test_an_event_that_is_too_large_is_cut_before_the_format_sees_it():
    stream = io.BytesIO()
    audit = auditmw.Audit(stream, service="shop", format="native")
    auditmw.record(
        "looked", audit=audit, big={"x" * 10: "y" * 60_000, "z": ["w" * 8_000] * 20, "odd": object(), "n": 2**99}
    )
    event = assert_valid_line(stream.getvalue())
    assert len(stream.getvalue()) <= 65_537
    assert event["meta"]["truncated"]


def test_the_gap_after_a_lost_event_has_the_format_too():
    class Failing(io.BytesIO):
        broken = True

        def write(self, data):
            if self.broken:
                raise OSError(28, "No space left on device")
            return super().write(data)

    stream = Failing()
    audit = auditmw.Audit(stream, service="shop", format="console")
    auditmw.record("one", audit=audit)
    stream.broken = False
    auditmw.record("two", audit=audit)
    lines = stream.getvalue().decode().splitlines()
    assert [line.split("] ")[1].split()[0] for line in lines] == ["two", "auditmw.gap"]


def test_an_intent_record_has_a_line_of_its_own():
    lines, _ = served("/", "datapunt:0.4", intent=True)
    assert [json.loads(line)["audit"]["http_response"] is None for line in lines] == [True, False]


@pytest.mark.parametrize("name", ["esc", "", None, 7, ["ecs"]], ids=repr)
def test_a_name_that_no_format_has_is_refused_with_those_that_there_are(name):
    with pytest.raises(
        ValueError, match=rf"expected one of native, .* as the format of events, not {re.escape(repr(name))}"
    ):
        record_format(name)


@pytest.mark.parametrize(
    ("chosen", "error", "message"),
    [
        pytest.param("esc", ValueError, "expected one of native, .* as the format of events, not 'esc'", id="unknown"),
        pytest.param("", ValueError, "not ''", id="empty"),
        pytest.param(7, TypeError, "expected format to be the name of a format or a RecordFormat, not 7", id="number"),
        pytest.param(orjson.dumps, TypeError, "auditmw.formats.structlog_format makes one", id="function"),
        pytest.param([fails], TypeError, "structlog_format makes one of a list of processors", id="processors"),
    ],
)
def test_what_is_no_format_is_refused_at_construction(chosen, error, message):
    with pytest.raises(error, match=message):
        auditmw.Audit(io.BytesIO(), service="shop", format=chosen)


@pytest.mark.needs("opentelemetry.proto")
def test_a_binary_format_is_refused_at_construction():
    for chosen in (BINARY, record_format(BINARY)):
        with pytest.raises(ValueError, match=f"expected a format of text for a stream of lines, not '{BINARY}'"):
            auditmw.Audit(io.BytesIO(), service="shop", format=chosen)


def test_nobody_is_told_to_install_a_package_for_a_format_that_no_stream_takes():
    refused = f"""
import io, sys
sys.modules["google.protobuf"] = None
import auditmw
try:
    auditmw.Audit(io.BytesIO(), service="shop", format="{BINARY}")
except ValueError as error:
    print(error)
try:
    auditmw.formats.record_format("{BINARY}")
except ModuleNotFoundError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", refused], capture_output=True, text=True, check=True).stdout
    stream, elsewhere = said.splitlines()
    assert stream.startswith("expected a format of text for a stream of lines")
    assert elsewhere == f"the format {BINARY} needs opentelemetry-proto: pip install 'auditmw[otlp]'"


@pytest.mark.parametrize(
    "chosen", ["ecs", "native", "esc", structlog_format([print])], ids=["ecs", "native", "esc", "own"]
)
def test_a_directory_has_no_format(tmp_path, chosen):
    with pytest.raises(ValueError, match=r"expected no format for a directory, not .*: queries.* --format NAME"):
        auditmw.Audit(tmp_path / "audit", service="shop", format=chosen)
    assert not (tmp_path / "audit").exists()


def test_formats_are_loaded_only_when_one_is_asked_for():
    code = (
        "import sys, auditmw; auditmw.Audit(sys.stdout.buffer, service='shop'); before = set(sys.modules); "
        "auditmw.Audit(sys.stdout.buffer, service='shop', format='native'); "
        "print(any(n.startswith('auditmw.formats') for n in before), 'auditmw.formats.native' in sys.modules, "
        "'auditmw.formats.ecs' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["False", "True", "False"]
