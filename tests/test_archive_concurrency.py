"""Eight processes write, four read, one archives and is killed again and again: every view has every event once."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import archive_processes
from archive_events import archived, journal, parquet, seen
from journal_tools import wait_until

WRITERS, READERS, EVENTS = 8, 4, 400
SECONDS = 120


def start(role, *arguments):
    program = Path(archive_processes.__file__)
    command = [sys.executable, str(program), role, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=program.parent)


def end(process):
    process.kill()
    process.communicate()


def test_every_view_has_every_event_once_while_an_archiver_is_killed_again_and_again(tmp_path):
    directory, stop = tmp_path / "audit", tmp_path / "stop"
    directory.mkdir()
    chance = random.Random(1)
    writers = [start("write", directory, EVENTS) for _ in range(WRITERS)]
    readers = [start("read", directory, stop) for _ in range(READERS)]
    kills, archiver = 0, start("archive", directory)
    try:
        deadline = time.monotonic() + SECONDS
        while any(writer.poll() is None for writer in writers) and time.monotonic() < deadline:
            # As long as it takes to load DuckDB, and a random part of a step.
            pause = time.monotonic() + 0.4 + chance.random()
            wait_until(lambda: time.monotonic() > pause)  # noqa: B023
            archiver.send_signal(signal.SIGKILL)
            _, said = archiver.communicate()
            assert (archiver.returncode, said) == (-signal.SIGKILL, "")
            kills, archiver = kills + 1, start("archive", directory)
        wait_until(lambda: not journal(directory), SECONDS)  # it gets through in the end
        stop.touch()
        for process in [*writers, *readers]:
            out, said = process.communicate(timeout=SECONDS)
            assert (process.returncode, said) == (0, "")
            assert process in writers or int(out) > 3
    finally:
        for process in [archiver, *writers, *readers]:
            end(process)
    assert kills > 3
    assert parquet(directory) != []
    archived(directory)
    events = [json.loads(body) for _, _, body in seen(directory)]
    counted = Counter((event["writer"], event["id"]) for event in events)
    assert len(counted) == len(events) == WRITERS * EVENTS
