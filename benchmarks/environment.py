"""Where a measurement was made, and where its files may lie."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import os
import platform
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

MEMORY_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs", "devtmpfs"})


def describe(packages: Iterable[str], directory: str | os.PathLike[str] | None = None) -> list[str]:
    """Return the lines that every table ends with: date, Python, machine, file system, versions."""
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    lines = [
        f"date      {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
        f"python    {platform.python_implementation()} {platform.python_version()}",
        f"machine   {len(os.sched_getaffinity(0))} of {os.cpu_count()} CPUs, {_cpu_model()}, "
        f"{platform.system()} {platform.release()}, load {load}",
    ]
    if directory is not None:
        lines.append(f"files     {file_system(directory)}")
    lines.append("versions  " + ", ".join(_versions(packages)))
    return lines


def file_system(path: str | os.PathLike[str]) -> str:
    """Return the type of the file system that holds ``path``, as /proc/mounts names it."""
    wanted, best, kind = os.path.realpath(path) + "/", "", "unknown"
    with open("/proc/mounts", encoding="utf-8", errors="replace") as mounts:
        for line in mounts:
            _, point, found, *_ = line.split(" ")
            if wanted.startswith(point.rstrip("/") + "/") and len(point) >= len(best):
                best, kind = point, found
    return kind


@contextlib.contextmanager
def directory_on_disk(parent: str | None = None) -> Iterator[Path]:
    """Make a directory on a file system that has a disk behind it, and remove it afterwards.

    Args:
        parent: where to make it; by default the temporary directory, or /var/tmp or the working directory where
            the temporary directory is memory.

    Raises:
        SystemExit: every candidate is memory, so that a write would measure nothing.
    """
    candidates = [parent] if parent else [tempfile.gettempdir(), "/var/tmp", os.getcwd()]
    for candidate in candidates:
        if os.path.isdir(candidate) and file_system(candidate) not in MEMORY_FILE_SYSTEMS:
            made = Path(tempfile.mkdtemp(prefix="auditmw-bench-", dir=candidate))
            try:
                yield made
            finally:
                shutil.rmtree(made, ignore_errors=True)
            return
    raise SystemExit(f"expected a directory on a disk, not in memory: {', '.join(candidates)}; name one with --dir")


def _cpu_model() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as info:
        for line in info:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _versions(packages: Iterable[str]) -> Iterator[str]:
    for package in sorted(set(packages), key=str.lower):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            yield f"{package} {importlib.metadata.version(package)}"
