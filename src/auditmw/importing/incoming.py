"""The folder of an import, for what is on its way into the archive: DIR/incoming/<process>.<random>.

While an import runs its folder is locked. One that nobody locks belongs to a process that died, and the next import
takes it away; what is in it was not imported.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from pathlib import Path

from auditmw.archive.layout import Layout

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Incoming:
    """A new folder in the audit directory, which must exist; `close` removes it. Raises OSError."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        parent = Layout(directory).incoming
        with contextlib.suppress(FileExistsError):
            parent.mkdir(mode=0o750)
        _remove_abandoned(parent)
        self._parent = parent
        self.folder, self._fd = _create(parent)

    def close(self) -> None:
        """Remove the folder, and what is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._fd)
        with contextlib.suppress(OSError):  # another import has one there
            self._parent.rmdir()


def _create(parent: Path) -> tuple[Path, int]:
    while True:
        folder = parent / f"{os.getpid()}.{os.urandom(4).hex()}"
        parent.mkdir(mode=0o750, exist_ok=True)
        folder.mkdir(mode=0o700)
        with contextlib.suppress(FileNotFoundError):  # somebody took it, before it was locked, for an abandoned one
            fd = os.open(folder, _OPEN)
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(fd, fcntl.LOCK_EX)
            if folder.exists():
                return folder, fd
            os.close(fd)


def _remove_abandoned(parent: Path) -> None:
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in list(entries):
            with contextlib.suppress(OSError):
                _remove_if_abandoned(entry.path)


def _remove_if_abandoned(folder: str) -> None:
    fd = os.open(folder, _OPEN)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
    finally:
        os.close(fd)
