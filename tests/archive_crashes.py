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

from archive_events import DAY, NO_GRACE, archived, body, pending, write_file
from auditmw.archive.archiver import archive
from auditmw.archive.retention import prune

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


def archiving(directory: Path) -> Callable[[], object]:
    """A first archive step: two days, two writers, an intent, a damaged line, a line that stands twice."""
    write_file(directory, "a", 1, [body(1), pending(2), body(3, at=DAY - timedelta(days=1))])
    write_file(directory, "a", 2, [body(3, at=DAY - timedelta(days=1)), body(2)], seq=3)
    file = write_file(directory, "b", 1, [body(4), body(5)])
    file.write_bytes(file.read_bytes() + b"rubbish\n")
    return lambda: archived(directory)


def merging(directory: Path) -> Callable[[], object]:
    """A step that merges parts and archives a file, and deletes what it supersedes."""
    write_file(directory, "a", 1, [body(1), pending(2)])
    archived(directory)
    write_file(directory, "a", 2, [body(2), body(3)], seq=3)
    archived(directory, target_bytes=1)
    write_file(directory, "b", 1, [body(4), body(5)])
    archived(directory, target_bytes=1)
    return lambda: archived(directory)


def sweeping(directory: Path) -> Callable[[], object]:
    """A step that only deletes what was superseded before."""
    write_file(directory, "a", 1, [body(1), body(2)])
    write_file(directory, "b", 1, [body(4), body(5)])
    archive(directory, now=lambda: DAY, batch_bytes=1, target_bytes=1)
    return lambda: archived(directory)


def pruning(directory: Path) -> Callable[[], object]:
    """A step that prunes the day before; it is no loss when those events are gone."""
    write_file(directory, "a", 1, [body(3, at=DAY - timedelta(days=1))])
    archived(directory)
    write_file(directory, "b", 1, [body(4), body(5)])
    archived(directory)
    return lambda: prune(directory, timedelta(days=30, hours=12), now=lambda: DAY + timedelta(days=30), grace=NO_GRACE)


SCENARIOS = {made.__name__: made for made in (archiving, merging, sweeping, pruning)}
LIMIT = 500


def main() -> None:
    """Run the scenario again and again, each time in a process that is killed at the next call."""
    directory, name = Path(sys.argv[1]), sys.argv[2]
    for at in range(1, LIMIT):
        work = directory / str(at)
        child = os.fork()  # before this process has any thread
        if child == 0:
            step = SCENARIOS[name](work)
            with cut_off(at, lambda: os.kill(os.getpid(), 9)):
                step()
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            shutil.rmtree(work)
            return


if __name__ == "__main__":
    main()
