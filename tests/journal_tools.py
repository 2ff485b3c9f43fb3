"""What the journal's tests share: events to write, faults to inject, and a way to wait."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from auditmw.journal import Damage, Line, read_lines

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a tmpfs, which needs root")


def body(number: int, size: int = 0) -> bytes:
    """An event that says which one it is."""
    event = {"n": number, "pad": "x" * size} if size else {"n": number}
    return json.dumps(event, separators=(",", ":")).encode()


def numbers(directory: Path, **options: Any) -> list[int]:
    """Which events of `body` are in a directory, by writer and file; any damage is a failure."""
    return [json.loads(line.body)["n"] for line in sound_lines(directory, **options)]


def sound_lines(directory: Path, **options: Any) -> list[Line]:
    """All lines of a directory, of which none may be damaged."""
    damages: list[Damage] = []
    lines = list(read_lines(directory, on_damage=damages.append, **options))
    assert damages == []
    return lines


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Failing:
    """Takes the place of an `os` function: the calls whose numbers (from 1) are in `at` fail, the others go through.

    A `short` write takes half of the bytes instead.
    """

    def __init__(self, function: Callable[..., Any], at: Any, *, error: int = errno.EIO, short: bool = False) -> None:
        self.function = function
        self.at = at
        self.error = error
        self.short = short
        self.calls = 0

    def __call__(self, fd: Any, *args: Any, **kwargs: Any) -> Any:
        if fd == -1:  # the journal has no file, and goes to a new one
            return self.function(fd, *args)
        self.calls += 1
        if self.calls not in self.at:
            return self.function(fd, *args, **kwargs)
        if self.short:
            return self.function(fd, args[0][: len(args[0]) // 2])
        raise OSError(self.error, os.strerror(self.error))


def wait_until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Return as soon as the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def run_script(script: str, *args: object, seconds: float = 60.0) -> str:
    """Run a Python program of its own and return what it printed; it must end well."""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, args)], capture_output=True, text=True, timeout=seconds, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def tmpfs(path: Path, options: str) -> Iterator[Path]:
    """A file system of its own at `path`."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)
