"""`auditmw query` and `tail` with `--format`: records for other programs, and what is said where there are none."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading

import orjson
import pytest
from click.testing import CliRunner

from auditmw.cli.program import program
from auditmw.formats import RECORD_FORMATS, record_format
from auditmw.formats.record import framed
from auditmw.journal import Journal
from event_table import SAMPLES

COMMANDS = [pytest.param(["query", "--limit", "0"], id="query"), pytest.param(["tail", "--limit", "0"], id="tail")]
BINARY, ACCESS_LOGS = "otlp:protobuf", ("nginx:combined", "nginx:extended", "reblaze")
EVENTS = sorted(SAMPLES.values(), key=lambda event: event["timestamp"])
REQUESTS = [event for event in EVENTS if event["event"] == "http_request"]
HOSTILE = "\x1b]0;owned\x07\x1b[2J\r\nforged line \u202egpj.exe\x9b1m\x7f"


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """The samples, in a journal."""
    return written(tmp_path_factory.mktemp("audit"), *EVENTS)


def written(directory, *events):
    journal = Journal(directory, durability="os", rotate_bytes=1 << 24, rotate_seconds=3600)
    for event in events:
        journal.append(orjson.dumps(event))
    journal.close()
    return directory


def run(command, directory, *arguments):
    name, *options = command
    return CliRunner().invoke(program, [name, str(directory), *options, *arguments])


def records(name, events):
    """What a file of these records holds."""
    chosen = record_format(name)
    return b"".join(framed(chosen.render(event), chosen.media_type) for event in events)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", [name for name in RECORD_FORMATS if name not in (BINARY, *ACCESS_LOGS)])
def test_each_event_is_one_record_in_the_order_of_time(directory, command, name):
    result = run(command, directory, "--format", name)
    assert result.exit_code == 0
    assert result.stdout_bytes == records(name, EVENTS)
    assert result.stderr == ""


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", ACCESS_LOGS)
def test_what_has_no_record_is_left_out_and_told(directory, command, name):
    result = run(command, directory, "--format", name)
    assert result.stdout_bytes == records(name, REQUESTS)
    assert result.exit_code == 1
    left_out = len(EVENTS) - len(REQUESTS)
    assert f"{left_out} events were left out, for which {name} has no record: an access log has lines" in result.stderr
    whole = run(command, directory, "event:http_request", "--format", name)
    assert (whole.stdout_bytes, whole.exit_code, whole.stderr) == (result.stdout_bytes, 0, "")


def test_one_event_that_is_left_out_is_one_event(directory):
    assert "1 event was left out" in run(["query"], directory, "event:file_uploaded", "--format", "reblaze").stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_a_format_that_fails_costs_its_record_and_no_other(directory, command, monkeypatch):
    chosen = type(record_format("native"))
    render = chosen.render

    def fails_once(self, event):
        if event["event"] == "file_uploaded":
            raise ZeroDivisionError("a mistake in the format")
        return render(self, event)

    monkeypatch.setattr(chosen, "render", fails_once)
    result = run(command, directory, "--format", "native")
    assert len(result.stdout_bytes.splitlines()) == len(EVENTS) - 1
    assert (result.exit_code, "a mistake in the format" in result.stderr) == (1, True)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["--format", "esc"], ["'esc'", *RECORD_FORMATS], id="unknown name"),
        pytest.param(["--format", ""], ["not ''", "native"], id="empty name"),
        *(
            pytest.param(["--format", "ecs", "-o", form], ["--format ecs and -o", "give one of them"], id=form)
            for form in ("table", "csv", "json", "ndjson")
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_written(directory, command, arguments, said):
    result = run(command, directory, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    told = " ".join(result.stderr.split())
    assert [text for text in said if text not in told] == []


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.needs("opentelemetry.proto")
def test_binary_records_have_their_length_before_them_and_are_not_for_terminals(directory, command):
    result = run(command, directory, "--format", BINARY)
    chosen, rest, found = record_format(BINARY), result.stdout_bytes, []
    while rest:
        length, shift = 0, 0
        while True:
            byte, rest = rest[0], rest[1:]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        found.append(chosen.parse(rest[:length]))
        rest = rest[length:]
    assert found == EVENTS
    code, shown = on_a_terminal(*command[:1], directory, "--format", BINARY)
    assert code == 2
    assert "is binary and no text for a terminal" in " ".join(shown.split())


def on_a_terminal(*arguments):
    """The exit code of a command whose output is a terminal, and all that it shows."""
    controller, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "dumb", "COLUMNS": "200"}
    command = [sys.executable, "-m", "auditmw", *map(str, arguments)]
    with subprocess.Popen(command, stdout=terminal, stderr=terminal, env=environment) as child:
        os.close(terminal)
        shown = b""
        try:
            while part := os.read(controller, 65536):
                shown += part
        except OSError:  # EIO: the other end was closed
            pass
        code = child.wait(30)
    os.close(controller)
    return code, shown.decode()


@pytest.mark.parametrize("name", ["native", "ecs", "syslog", "nginx:combined", "console"])
def test_a_terminal_never_gets_what_a_client_sent_raw(tmp_path, name):
    event = SAMPLES["1-wsgi-request"]
    http = {**event["http"], "request": {**event["http"]["request"], "user_agent": HOSTILE, "target": f"/{HOSTILE}"}}
    written(tmp_path, {**event, "http": http, "message": HOSTILE, "data": {HOSTILE: HOSTILE}})
    code, shown = on_a_terminal("query", tmp_path, "--format", name)
    assert code == 0
    assert {char for char in shown if not char.isprintable()} <= {"\r", "\n"}
    assert shown.count("\n") == 1
    if name == "native":
        assert json.loads(shown)["message"] == HOSTILE


def test_following_goes_on_in_the_format(tmp_path):
    written(tmp_path, EVENTS[0])
    command = [sys.executable, "-m", "auditmw", "tail", str(tmp_path), "-f", "--format", "console"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        late = threading.Timer(30, child.kill)
        late.start()
        try:
            assert child.stdout.readline() == records("console", EVENTS[:1])
            written(tmp_path, EVENTS[1])
            assert child.stdout.readline() == records("console", EVENTS[1:2])
        finally:
            late.cancel()
            child.kill()


def test_the_names_of_formats_are_completed():
    result = CliRunner().invoke(
        program,
        [],
        prog_name="auditmw",
        env={"_AUDITMW_COMPLETE": "bash_complete", "COMP_WORDS": "auditmw query DIR --format ngi", "COMP_CWORD": "4"},
    )
    assert result.stdout.split() == ["plain,nginx:combined", "plain,nginx:extended"]
