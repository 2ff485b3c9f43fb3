"""Cuts an archive step off at its k-th call to the operating system: as a program, by killing itself; or with an error.

python archive_crashes.py DIRECTORY SCENARIO   makes DIRECTORY/1, /2, ... : the scenario, killed at call 1, 2, ...
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import deposits
from archive_events import DAY, NO_GRACE, archived, body, pending, write_file
from auditmw.archive.archiver import archive
from auditmw.archive.retention import prune
from log_lines import combined

CALLS = ("open", "replace", "rename", "unlink", "mkdir", "rmdir", "fsync", "chmod")
"""What changes files, or makes a change durable. (What DuckDB writes by itself is nothing until it is renamed.)"""


@contextmanager
def cut_off(at: int, end: Callable[[], Any]) -> Iterator[list[int]]:
    """Call `end` instead of the call number `at`. The list counts the calls."""
    real = {name: getattr(os, name) for name in CALLS}
    count = [0]

    def watched(name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            count[0] += 1
            if count[0] == at:
                end()
            return real[name](*args, **kwargs)

        return call

    for name in CALLS:
        setattr(os, name, watched(name))
    try:
        yield count
    finally:
        for name in CALLS:
            setattr(os, name, real[name])


def raise_error() -> None:
    """End like a disk that fails."""
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def two_writers(directory: Path) -> None:
    """Nothing archived: two days, two writers, an intent, a damaged line, a line that stands twice."""
    write_file(directory, "a", 1, [body(1), pending(2), body(3, at=DAY - timedelta(days=1))])
    write_file(directory, "a", 2, [body(3, at=DAY - timedelta(days=1)), body(2)], seq=3)
    file = write_file(directory, "b", 1, [body(4), body(5)])
    file.write_bytes(file.read_bytes() + b"rubbish\n")


def small_parts(directory: Path) -> None:
    """Small parts, in one of which an intent is open that another settles, and a file that is not archived."""
    write_file(directory, "a", 1, [body(1), pending(2)])
    archived(directory)
    write_file(directory, "a", 2, [body(2), body(3)], seq=3)
    archived(directory, target_bytes=1)
    write_file(directory, "b", 1, [body(4), body(5)])


def superseded_files(directory: Path) -> None:
    """Everything archived, and the journal files still there."""
    write_file(directory, "a", 1, [body(1), body(2)])
    write_file(directory, "b", 1, [body(4), body(5)])
    archive(directory, now=lambda: DAY, target_bytes=1)


def two_days(directory: Path) -> None:
    """A part of the day before, and one of the day."""
    write_file(directory, "a", 1, [body(3, at=DAY - timedelta(days=1))])
    write_file(directory, "b", 1, [body(4), body(5)])
    archived(directory)


def prune_a_day(directory: Path) -> None:
    """Prune the day before; it is no loss when those events are gone."""
    prune(directory, timedelta(days=30, hours=12), now=lambda: DAY + timedelta(days=30), grace=NO_GRACE)


def rows_of_a_log(directory: Path) -> None:
    """Rows of two days, in two chunks, with a line beside them that is no row."""
    lines = [combined(1), combined(2, agent="B\u00fccher"), combined(3), combined(4)]
    lines[2] = lines[2].replace(b"20/Nov", b"19/Nov")
    deposits.prepare(directory, b"".join(line + b"\n" for line in lines), chunk_bytes=256)


SCENARIOS: dict[str, tuple[Callable[[Path], object], Callable[[Path], object]]] = {
    "archiving": (two_writers, archived),
    "archiving and merging": (small_parts, archived),
    "deleting": (superseded_files, archived),
    "pruning": (two_days, prune_a_day),
    "depositing": (rows_of_a_log, deposits.take),
}
"""What is there before, and the step that is cut off."""

LIMIT = 500


def in_a_process(task: Callable[[], object]) -> int:
    """Run the task in a child, forked before this process has any thread; return how it ended."""
    child = os.fork()
    if child == 0:
        task()
        os._exit(0)
    return os.waitpid(child, 0)[1]


def main() -> None:
    """Run the step again and again, each time in a process that is killed at the next call."""
    directory, (prepare, step) = Path(sys.argv[1]), SCENARIOS[sys.argv[2]]
    template = directory / "0"
    in_a_process(lambda: prepare(template))
    for at in range(1, LIMIT):
        work = directory / str(at)
        shutil.copytree(template, work)

        def killed() -> None:
            with cut_off(at, lambda: os.kill(os.getpid(), 9)):  # noqa: B023
                step(work)  # noqa: B023

        if in_a_process(killed) == 0:
            break
    shutil.rmtree(work)
    shutil.rmtree(template)


if __name__ == "__main__":
    main()
