"""A command with all its processes: how long it takes, how much CPU time and how much memory."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

SAMPLE_SECONDS = 0.02
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Run(NamedTuple):
    """What a command took.

    Attributes:
        seconds: wall time.
        cpu_seconds: user and system time of all its processes.
        peak_bytes: the most resident memory that all its processes had at one time, sampled every 20 ms. Pages that
            several share count for each of them.
        output: what it wrote to stdout and stderr.
        code: its exit status.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    output: str
    code: int


def run(
    command: Sequence[str | os.PathLike[str]], *, output: Path, environment: Mapping[str, str] | None = None
) -> Run:
    """Run a command to its end; its output goes through the file ``output``."""
    with open(output, "w+b") as out:
        before, began = os.times(), time.perf_counter()
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment
        )
        peak = 0
        while process.poll() is None:
            peak = max(peak, resident_bytes(process.pid))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(SAMPLE_SECONDS)
        seconds, after = time.perf_counter() - began, os.times()
        out.seek(0)
        text = out.read().decode(errors="replace")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Run(seconds, cpu, peak, text, process.returncode)


def resident_bytes(pid: int) -> int:
    """The resident memory of a process and of all that descend from it; what has ended meanwhile has none."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as statm:
            pages = int(statm.read().split()[1])
        tasks = os.listdir(f"/proc/{pid}/task")
    except (OSError, IndexError):
        return 0
    children = []
    for task in tasks:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as listed:
            children += map(int, listed.read().split())
    return pages * _PAGE_BYTES + sum(map(resident_bytes, children))
