"""`auditmw tail`: which events it shows, in which form, what it says about damage, and how it ends."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from auditmw.cli.events import newest
from auditmw.cli.program import program
from auditmw.journal import Journal
from auditmw.query.moments import parse_moment
from servers import poll

NOW = datetime(2026, 11, 20, 20, 20, 0, tzinfo=UTC)
COMMAND = [sys.executable, "-m", "auditmw", "tail"]


def event(number, **more):
    moment = (NOW + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "schema": "auditmw.event/1.0",
        "id": f"01a1fa9d-dbe2-76b9-a3e2-{number:012x}",
        "timestamp": moment,
        "event": "http_request",
        "level": "info",
        "severity": 9,
        "outcome": {"result": "success"},
        "http": {"request": {"method": "GET"}, "response": {"status_code": 200}},
        "url": {"path": f"/page/{number}"},
        "source": {"kind": "middleware", "format": "wsgi"},
        **more,
    }


def journal(directory, rotate_bytes=1 << 24):
    return Journal(directory, durability="os", rotate_bytes=rotate_bytes, rotate_seconds=3600)


def write(directory, *events, rotate_bytes=1 << 24):
    """A writer of its own that writes the events and ends; returns what it wrote, without the frame."""
    written = journal(directory, rotate_bytes)
    bodies = [orjson.dumps(one) for one in events]
    for body in bodies:
        written.append(body)
    written.close()
    return bodies


@contextmanager
def started(command, **options):
    """A child process that is gone at the end, whatever happened."""
    with subprocess.Popen(command, **options) as child:
        try:
            yield child
        finally:
            child.kill()


def tail(*arguments, **options):
    return CliRunner().invoke(program, ["tail", *map(str, arguments)], **options)


def shown(result):
    """The pages in the output, whatever its form."""
    return [
        int(word.split("/page/")[1].split()[0].split('"')[0]) for word in result.stdout.splitlines() if "/page/" in word
    ]


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "audit"


# --- which events


def test_the_newest_events_come_oldest_first_and_it_says_that_there_are_more(directory):
    write(directory, *map(event, range(40)))
    result = tail(directory)
    assert shown(result) == list(range(10, 40))
    assert result.exit_code == 0
    assert "newest 30 events" in result.stderr
    assert "--limit 0" in result.stderr


@pytest.mark.parametrize("limit", [40, 41, 0])
def test_nothing_is_said_when_nothing_was_cut(directory, limit):
    write(directory, *map(event, range(40)))
    result = tail(directory, "--limit", limit)
    assert shown(result) == list(range(40))
    assert result.stderr == ""


def test_quiet_says_nothing_about_a_cut(directory):
    write(directory, *map(event, range(40)))
    assert tail(directory, "-q").stderr == ""


def test_the_events_of_several_writers_and_files_come_in_time_order(directory):
    write(directory, *map(event, range(0, 60, 3)), rotate_bytes=4096)
    write(directory, *map(event, range(1, 60, 3)), rotate_bytes=4096)
    write(directory, *map(event, range(2, 60, 3)))
    assert len(list((directory / "journal").iterdir())) == 5
    assert shown(tail(directory, "--limit", 7)) == list(range(53, 60))
    assert shown(tail(directory, "--limit", 0)) == list(range(60))


def test_files_that_cannot_hold_the_newest_events_are_not_read(directory):
    write(directory, *map(event, range(10)))
    (old,) = (directory / "journal").iterdir()
    old.write_bytes(b"rubbish\n" + old.read_bytes())
    os.utime(old, (0, NOW.timestamp() - 3600))
    write(directory, *(event(number + 3600) for number in range(10)))
    result = tail(directory, "--limit", 5)
    assert shown(result) == list(range(3605, 3610))
    assert (result.exit_code, tail(directory, "--limit", 15).exit_code) == (0, 1)


def test_a_request_that_began_and_ended_is_shown_once(directory):
    began = event(1, outcome={"result": "pending"})
    write(directory, began, event(2, id=began["id"]), event(3))
    assert shown(tail(directory)) == [2, 3]
    assert shown(tail(directory, "--limit", 1)) == [3]


def test_pending_events_do_not_count(directory):
    pairs = [
        (event(number, outcome={"result": "pending"}), event(number + 1, id=event(number)["id"]))
        for number in range(1, 21, 2)
    ]
    write(directory, event(0), *(one for pair in pairs for one in pair))
    assert shown(tail(directory, "--limit", 5)) == [12, 14, 16, 18, 20]


def test_a_request_whose_process_died_is_shown_as_such(directory):
    write(directory, event(1, outcome={"result": "pending"}))
    (line,) = tail(directory).stdout.splitlines()
    assert json.loads(line)["outcome"] == {"result": "unknown", "reason": "process_died"}


@pytest.mark.parametrize(
    ("since", "expected"), [("2026-11-20T20:20:35Z", [35, 36, 37, 38, 39]), ("2026-11-20T21:20:38+01:00", [38, 39])]
)
def test_since_shows_only_what_came_since(directory, since, expected):
    write(directory, *map(event, range(40)))
    assert shown(tail(directory, "--since", since)) == expected


def test_since_and_limit_both_hold(directory):
    write(directory, *map(event, range(40)))
    result = tail(directory, "--since", "2026-11-20T20:20:10Z", "--limit", 3)
    assert shown(result) == [37, 38, 39]
    assert "newest 3" in result.stderr


def test_no_events_is_said_and_is_no_error(directory):
    directory.mkdir()
    result = tail(directory, "--since", "5m")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "No events" in result.stderr


def test_who_gives_the_journal_folder_is_told_the_audit_directory(directory):
    write(directory, event(1))
    assert str(directory) in tail(directory / "journal").stderr.replace("\n", "")


def test_an_event_whose_time_is_no_time_is_shown(directory):
    write(directory, event(1, timestamp="yesterday"), event(2))
    assert shown(tail(directory, "--limit", 1)) in ([1], [2])
    assert sorted(shown(tail(directory))) == [1, 2]


# --- in which form


def test_into_a_pipe_each_event_is_exactly_what_was_written(directory):
    odd = event(1, data={"b": 1, "a": [1.0, 1e300, None], "text": "é\u202e\x7f\u2028 \\u001b"}, url={"path": "/page/1"})
    bodies = write(directory, odd, event(2))
    assert tail(directory).stdout_bytes == b"".join(body + b"\n" for body in bodies)
    assert subprocess.run([*COMMAND, directory], capture_output=True, timeout=60).stdout.splitlines() == bodies


def test_bytes_that_json_could_spell_otherwise_are_kept(directory):
    body = (
        b'{"timestamp" : "2026-11-20T20:20:11.000000Z", "n":1.50e3,"big":123456789012345678901234567890,"a":"\\u0041"}'
    )
    live = journal(directory)
    live.append(body)
    live.close()
    assert tail(directory).stdout_bytes == body + b"\n"


def test_json_is_one_array(directory):
    assert json.loads(tail(directory_of(directory, []), "-o", "json").stdout) == []
    bodies = write(directory, event(1), event(2))
    assert json.loads(tail(directory, "-o", "json").stdout) == list(map(json.loads, bodies))


def directory_of(directory, events):
    directory.mkdir(exist_ok=True)
    if events:
        write(directory, *events)
    return directory


def test_human_lines_can_be_asked_for_in_a_zone(directory):
    write(directory, event(1))
    for zone, time_shown in (("UTC", "20:20:01.000"), ("Asia/Tokyo", "05:20:01.000")):
        result = tail(directory, "-o", "table", "-z", zone)
        assert time_shown in result.stdout
        assert "\x1b" not in result.stdout


HOSTILE = "\x1b]0;owned\x07\x1b[2J\r\nforged line \u202egpj.exe\x9b1m\x7f"


@pytest.mark.parametrize("form", ["auto", "table", "ndjson"])
def test_a_terminal_never_gets_what_a_client_sent_raw(directory, form):
    write(
        directory, event(1, url={"path": f"/page/1{HOSTILE}"}, message=HOSTILE, level="error", data={HOSTILE: HOSTILE})
    )
    written = on_a_terminal(directory, "-o", form, TERM="dumb")
    assert {char for char in written if not char.isprintable()} <= {"\r", "\n"}
    assert written.count("\n") == 1
    if form == "ndjson":
        assert json.loads(written)["message"] == HOSTILE


@pytest.mark.parametrize(
    ("env", "arguments", "coloured"),
    [
        pytest.param({"TERM": "xterm"}, [], True, id="colours"),
        pytest.param({"TERM": "dumb"}, [], False, id="dumb terminal"),
        pytest.param({"TERM": "xterm", "NO_COLOR": "1"}, [], False, id="NO_COLOR"),
        pytest.param({"TERM": "xterm"}, ["--no-color"], False, id="--no-color"),
    ],
)
def test_a_terminal_gets_coloured_lines_unless_somebody_objects(directory, env, arguments, coloured):
    write(directory, event(1))
    written = on_a_terminal(directory, *arguments, **env)
    assert ("\x1b[" in written) == coloured
    assert "GET    /page/1" in written


def on_a_terminal(directory, *arguments, **env):
    """What the command writes when its stdout is a terminal of 160 columns."""
    controller, terminal = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    with started(
        [*COMMAND, directory, *arguments],
        stdout=terminal,
        stderr=subprocess.DEVNULL,
        env={**environment, "COLUMNS": "160", **env},
    ) as child:
        os.close(terminal)
        written = b""
        while select.select([controller], [], [], 30)[0]:
            try:
                part = os.read(controller, 65536)
            except OSError:  # EIO: the other end was closed
                break
            if not part:
                break
            written += part
        assert child.wait(20) == 0
    os.close(controller)
    return written.decode()


# --- damage


def test_damage_is_reported_with_file_and_offset_and_ends_with_one(directory):
    bodies = write(directory, *map(event, range(5)))
    (file,) = (directory / "journal").iterdir()
    lines = file.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"/page/2", b"/page/X")
    file.write_bytes(b"".join(lines) + b'{"torn')
    result = tail(directory)
    assert result.stdout_bytes.splitlines() == [*bodies[:2], *bodies[3:]]
    assert result.exit_code == 1
    told = result.stderr.replace("\n", "")
    assert f"{file}: {len(lines[2])} bytes at offset {sum(map(len, lines[:2]))}: bad checksum" in told
    assert f"{file}: 6 bytes at offset {sum(map(len, lines))}: torn tail" in told
    assert str(directory / "quarantine") in told


def test_damage_is_reported_even_if_quiet(directory):
    write(directory, event(1))
    (file,) = (directory / "journal").iterdir()
    file.write_bytes(b"rubbish\n" + file.read_bytes())
    result = tail(directory, "-q")
    assert result.stderr != ""
    assert (result.exit_code, shown(result)) == (1, [1])


def test_what_cannot_be_read_ends_with_three(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "nothing", tmp_path / "file"):
        result = tail(path)
        assert result.exit_code == 3
        assert str(path) in result.stderr.replace("\n", "")
        assert result.stdout == ""


def test_following_into_an_array_is_refused(directory):
    assert tail(directory, "-f", "-o", "json").exit_code == 2


# --- following


class Following:
    """`auditmw tail -f` as its own process, read line by line."""

    def __init__(self, directory, *arguments):
        self.child = subprocess.Popen(
            [*COMMAND, directory, "-f", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.lines = []
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        for line in self.child.stdout:
            self.lines.append(line.rstrip(b"\n"))

    def pages(self, count):
        poll(lambda: len(self.lines) >= count, f"{count} events, not {self.lines}")
        return [int(json.loads(line)["url"]["path"].split("/")[2]) for line in self.lines]

    def end(self):
        self.child.send_signal(signal.SIGINT)
        try:
            self.child.wait(20)
        finally:
            self.child.kill()
        self.thread.join(20)
        self.child.stdout.close()
        with self.child.stderr:
            return self.child.returncode, self.child.stderr.read().decode()


def test_following_shows_what_is_there_and_what_comes_each_once(directory):
    live = journal(directory)
    written = [orjson.dumps(event(number)) for number in range(12)]
    for body in written[:4]:
        live.append(body)
    following = Following(directory, "--limit", "3")
    assert following.pages(3) == [1, 2, 3]
    for body in written[4:8]:
        live.append(body)
    assert following.pages(7) == [1, 2, 3, 4, 5, 6, 7]
    other = journal(directory)  # a new process of the app
    for body in written[8:10]:
        other.append(body)
    assert following.pages(9)[7:] == [8, 9]
    live.append(written[10])
    assert following.pages(10)[9:] == [10]
    assert following.lines == written[1:11]
    code, errors = following.end()
    assert code == 0
    assert "Traceback" not in errors
    live.close()
    other.close()


def test_following_goes_on_over_a_rotation(directory):
    live = journal(directory, rotate_bytes=4096)
    live.append(orjson.dumps(event(0)))
    following = Following(directory)
    assert following.pages(1) == [0]
    for number in range(1, 60):
        live.append(orjson.dumps(event(number)))
    assert following.pages(60) == list(range(60))
    assert len(list((directory / "journal").iterdir())) > 2
    assert following.end()[0] == 0
    live.close()


def test_following_shows_recent_events_once_though_they_are_found_twice(directory):
    live = journal(directory)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    for number in range(3):
        live.append(orjson.dumps(event(number, timestamp=now)))
    following = Following(directory)
    assert following.pages(3) == [0, 1, 2]
    live.append(orjson.dumps(event(3, timestamp=now)))
    assert following.pages(4) == [0, 1, 2, 3]
    assert following.end()[0] == 0
    live.close()


def test_what_comes_between_looking_and_following_is_shown_once(directory, monkeypatch):
    live = journal(directory)
    live.append(orjson.dumps(event(1)))
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    polls = iter(range(3))

    def late(*arguments):
        live.append(orjson.dumps(event(2, timestamp=now)))
        return newest(*arguments)

    def wait(output, seconds):
        if next(polls, None) is None:
            raise KeyboardInterrupt

    monkeypatch.setattr("auditmw.cli.tail.newest", late)
    monkeypatch.setattr("auditmw.cli.output.Output.wait", wait)
    result = tail(directory, "-f")
    live.close()
    assert (result.exit_code, shown(result)) == (0, [1, 2])


def test_following_an_empty_directory_waits_for_its_first_event(directory):
    directory.mkdir()
    following = Following(directory)
    live = journal(directory)
    live.append(orjson.dumps(event(7)))
    assert following.pages(1) == [7]
    live.close()
    assert following.end()[0] == 0


def test_damage_that_comes_while_following_ends_with_one(directory):
    live = journal(directory)
    live.append(orjson.dumps(event(1)))
    following = Following(directory)
    assert following.pages(1) == [1]
    (file,) = (directory / "journal").iterdir()
    with file.open("ab") as broken:
        broken.write(b"rubbish\n")
    live.append(orjson.dumps(event(2)))
    assert following.pages(2) == [1, 2]
    code, errors = following.end()
    assert code == 1
    assert "rubbish" not in errors
    assert file.name in errors
    live.close()


@pytest.mark.parametrize("follow", [[], ["-f"]], ids=["tail", "tail -f"])
def test_a_closed_pipe_ends_it_quietly(directory, follow):
    write(directory, *map(event, range(2000)))
    with started(
        [*COMMAND, directory, "--limit", "0", *follow], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        child.stdout.readline()
        child.stdout.close()
        began = time.monotonic()
        assert child.wait(20) == 0
        assert child.stderr.read() == b""
    assert time.monotonic() - began < 10


def test_following_ends_when_the_reader_is_gone_though_nothing_comes(directory):
    write(directory, event(1))
    with started([*COMMAND, directory, "-f"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        child.stdout.readline()
        child.stdout.close()
        assert child.wait(20) == 0
        assert child.stderr.read() == b""


# --- times


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5m", NOW - timedelta(minutes=5)),
        ("1h30m", NOW - timedelta(minutes=90)),
        ("now-2d", NOW - timedelta(days=2)),
        ("1w", NOW - timedelta(weeks=1)),
        ("250ms", NOW - timedelta(milliseconds=250)),
        ("2026-11-20T20:20:11Z", NOW + timedelta(seconds=11)),
        ("2026-11-20T21:20:11.5+01:00", NOW + timedelta(seconds=11.5)),
    ],
)
def test_since_reads_spans_and_times(text, expected):
    assert parse_moment(text, NOW) == expected


@pytest.mark.parametrize(
    "text",
    ["", "5", "m", "-5m", "5 m", "now-", "5m-", "٥m", "yesterday", "5y", "999999999w", "2026-13-01", "5m\n"],
)
def test_since_says_what_it_expected(text):
    with pytest.raises(ValueError, match="expected 5m, 1h30m"):
        parse_moment(text, NOW)


@given(st.text(max_size=20) | st.from_regex(r"(now-)?([0-9]{1,12}(ms|s|m|h|d|w)){1,4}", fullmatch=True))
def test_since_is_a_moment_or_a_clear_error(text):
    try:
        assert parse_moment(text, NOW).tzinfo is not None
    except ValueError as raised:
        error = raised
    else:
        return
    assert "expected 5m" in str(error)


@pytest.mark.parametrize("zone", ["Nowhere/Land", "../../etc/passwd", "", "Europe"])
def test_an_unknown_zone_is_a_usage_error(directory, zone):
    directory.mkdir()
    result = tail(directory, "-z", zone)
    assert result.exit_code == 2
    assert "expected local, UTC or a zone" in result.stderr


def test_the_newest_are_counted_once_where_a_copy_of_a_file_was_restored_beside_it(directory):
    write(directory, *map(event, range(27)))
    (original,) = (directory / "journal").glob("*.jsonl")
    (directory / "journal" / "00000000000000000000.000001.jsonl").write_bytes(original.read_bytes())
    assert shown(tail(directory, "--limit", 25)) == list(range(2, 27))
