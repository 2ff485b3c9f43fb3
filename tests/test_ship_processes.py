"""`auditmw ship` as real processes: killed again and again, stopped and overtaken, asked to end."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from auditmw.journal import Journal
from auditmw.journal.cursor import load
from auditmw.ship.status import statuses
from journal_tools import wait_until
from ship_conformance import body, ident, idents, write_events

COMMAND = [sys.executable, "-m", "auditmw", "ship"]
KILLS = 8


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "audit"
    path.mkdir()
    return path


def start(directory, out, *options):
    command = [*COMMAND, str(directory), "--to", f"file://{out}", "--name", "out", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(process, number=signal.SIGTERM):
    process.send_signal(number)
    try:
        return process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()


def ids(out):
    """The ids of what is in the file, beside lines that were torn by a kill."""
    found = []
    for line in out.read_bytes().split(b"\n")[:-1] if out.exists() else []:
        with contextlib.suppress(ValueError):
            found.append(json.loads(line)["id"])
    return found


def test_killed_again_and_again_it_sends_every_event_in_order(directory, tmp_path):
    out, chance = tmp_path / "out.ndjson", random.Random(7)
    journals = [Journal(directory, rotate_bytes=20_000) for _ in range(2)]
    written: list[list[str]] = [[], []]
    number = 0
    for _ in range(KILLS):
        process = start(directory, out)
        deadline = time.monotonic() + chance.uniform(0.4, 1.4)
        while time.monotonic() < deadline:
            for journal, mine in zip(journals, written, strict=True):
                number += 1
                journal.append(body(number))
                mine.append(ident(number))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.002)
        end(process, signal.SIGKILL)
    for journal in journals:
        journal.close()
    last = start(directory, out, "--once")
    _, said = last.communicate(timeout=120)
    assert last.returncode == 0, said
    found = list(dict.fromkeys(ids(out)))
    for mine in written:
        wanted = set(mine)
        assert [name for name in found if name in wanted] == mine
    assert len(found) == number > 100
    assert statuses(directory)[0].lag.events == 0


def test_a_shipper_that_was_stopped_is_overtaken_and_ends_when_it_wakes_up(directory, tmp_path):
    out = tmp_path / "out.ndjson"
    write_events(directory, [body(n) for n in range(1, 11)])
    stopped = start(directory, out)
    try:
        wait_until(lambda: out.exists() and len(ids(out)) == 10)
        wait_until(lambda: statuses(directory)[0].state == "idle")
        stopped.send_signal(signal.SIGSTOP)
        write_events(directory, [body(n) for n in range(11, 21)])
        waiting = start(directory, out, "--once")
        waiting.communicate(timeout=60)
        assert waiting.returncode == 1  # another one leads
        second = start(directory, out, "--once", "--take-over")
        second.communicate(timeout=60)
        assert second.returncode == 0
        stopped.send_signal(signal.SIGCONT)
        _, said = stopped.communicate(timeout=60)
    finally:
        stopped.kill()
        stopped.wait()
    assert stopped.returncode == 3
    assert "another shipper has taken over" in said
    assert ids(out) == idents(1, 20)
    assert load(directory / "ship" / "out" / "cursor.json").epoch == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_ends_it_well_and_the_next_one_leads_at_once(directory, tmp_path, number):
    out = tmp_path / "out.ndjson"
    write_events(directory, [body(1)])
    first = start(directory, out)
    wait_until(lambda: ids(out) == [ident(1)])
    standby = start(directory, out)
    wait_until(lambda: os.listdir(f"/proc/{standby.pid}/task")[1:] != [])
    end(first, number)
    assert first.returncode == 0
    write_events(directory, [body(2)])
    wait_until(lambda: ids(out) == [ident(1), ident(2)])
    end(standby)
    assert standby.returncode == 0
