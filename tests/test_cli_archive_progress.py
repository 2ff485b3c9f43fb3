"""A question that archives first what was waiting says so on a terminal, and leaves nothing of that there."""

import os
import pty
import subprocess
import sys

import pytest

from archive_events import body, parquet, write_file
from auditmw.archive import ArchiveError
from auditmw.query import Engine, count

# The command itself, but for what is a backlog: anything.
PROGRAM = """
import runpy, sys
from auditmw.query.engine import Engine
Engine.__init__.__kwdefaults__["archive_bytes"] = 0
sys.argv = ["auditmw", *sys.argv[1:]]
runpy.run_module("auditmw", run_name="__main__")
"""


@pytest.fixture
def backlog(tmp_path):
    """A directory in which events wait to be archived."""
    for number in range(6):
        write_file(tmp_path, f"w{number}", 1, [body(n) for n in range(number * 100, number * 100 + 100)])
    return tmp_path


def test_an_engine_tells_how_far_it_is_and_when_it_is_over(tmp_path):
    for number in range(3):
        write_file(tmp_path, f"w{number}", 1, [body(number)])
    told = []
    engine = Engine(tmp_path, archive_bytes=0, on_archiving=told.append)
    assert count(engine).value == 3
    assert (told[0].files, told[0].of_files, told[0].rows) == (0, 3, 0)
    assert (told[-2].files, told[-2].rows) == (3, 3)
    assert told[-1] is None
    told.clear()
    assert count(engine).value == 3
    assert told == []
    engine.close()


def test_it_is_over_also_when_it_failed(tmp_path, monkeypatch):
    def fails(directory, **options):
        raise ArchiveError("no space left")

    write_file(tmp_path, "w", 1, [body(1)])
    monkeypatch.setattr("auditmw.archive.snapshot.archive", fails)
    told = []
    engine = Engine(tmp_path, archive_bytes=0, on_archiving=told.append)
    assert count(engine).value == 1
    assert told == [None]
    engine.close()


def run(directory, *arguments, errors):
    command = [sys.executable, "-c", PROGRAM, "count", str(directory), *arguments]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=environment, text=True)


def on_a_terminal(directory, *arguments):
    """What a command writes, and what a terminal as its standard error shows."""
    controller, terminal = pty.openpty()
    with run(directory, *arguments, errors=terminal) as child:
        os.close(terminal)
        shown = b""
        try:
            while part := os.read(controller, 65536):
                shown += part
        except OSError:  # EIO: the other end was closed
            pass
        written = child.stdout.read()
        assert child.wait(60) == 0
    os.close(controller)
    return written, shown.decode()


def test_a_terminal_shows_the_bar(backlog):
    written, shown = on_a_terminal(backlog)
    assert '"value":600' in written
    assert "archiving" in shown
    assert "files" in shown
    assert parquet(backlog)
    written, shown = on_a_terminal(backlog)
    assert '"value":600' in written
    assert shown == ""


def test_quiet_is_quiet(backlog):
    written, shown = on_a_terminal(backlog, "--quiet")
    assert '"value":600' in written
    assert shown == ""
    assert parquet(backlog)


def test_a_pipe_gets_nothing_of_it(backlog):
    with run(backlog, errors=subprocess.PIPE) as child:
        written, shown = child.communicate(timeout=60)
    assert '"value":600' in written
    assert shown == ""
    assert parquet(backlog)
