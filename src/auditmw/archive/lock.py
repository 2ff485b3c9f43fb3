"""One leader at a time: the process that holds a flock on DIR/archive/lock."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from auditmw.archive import durable
from auditmw.archive.layout import Layout

_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_PAUSE_SECONDS = 0.05


@contextmanager
def leadership(layout: Layout, *, wait_seconds: float = 0.0) -> Iterator[bool]:
    """Yield whether this process leads; it does until the `with` statement, or the process, ends.

    Makes DIR/archive. `wait_seconds`: how long to wait for another leader to end. Raises OSError where the archive
    cannot be written or locked.
    """
    os.stat(layout.directory)
    durable.make_folder(layout.archive)
    if layout.archive.is_symlink():
        raise OSError(errno.ELOOP, "is a symbolic link; make the audit directory itself the link", str(layout.archive))
    new = not layout.lock.exists()
    fd = os.open(layout.lock, _OPEN, durable.FILE_MODE)
    try:
        if new:
            durable.hand_over(fd, durable.FILE_MODE, layout.archive)
        yield _locked(fd, time.monotonic() + wait_seconds)
    finally:
        os.close(fd)


def _locked(fd: int, deadline: float) -> bool:
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_PAUSE_SECONDS)
        else:
            return True
