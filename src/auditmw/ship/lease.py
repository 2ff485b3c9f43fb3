"""One shipper per target: the process that holds a flock on DIR/ship/<name>/lock.

The lock belongs to the open file and ends with the process, however that ends (flock(2)). A shipper that was stopped
(SIGSTOP, a frozen container) keeps it; `take_over` puts a new file in the place of the old one, and the old leader sees
that its file is gone. A forked child lets go of its copy of the descriptor: it would keep the lock for a dead parent.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from auditmw.journal.forks import renew_after_fork
from auditmw.journal.smallfile import FILE_MODE, hand_over

LOCK = "lock"
_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


def is_leased(folder: Path) -> bool:
    """Return whether a process, of any container, leads; True where one cannot ask."""
    try:
        fd = os.open(folder / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


class Lease:
    """The lease on one target's folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK
        self._fd = -1
        renew_after_fork(self)

    def acquire(self, *, take_over: bool = False) -> bool:
        """Return whether this process leads now. `take_over`: also when another one does. Raises OSError."""
        self.release()
        path = self._path.with_name(f".{LOCK}.{os.getpid()}") if take_over else self._path
        fd = os.open(path, _OPEN, FILE_MODE)
        try:
            hand_over(fd, FILE_MODE, path.parent)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if take_over:
                os.replace(path, self._path)
        except BlockingIOError:
            os.close(fd)
            return False
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        if self.is_held():
            return True
        self.release()  # another one took over between the two calls
        return False

    def is_held(self) -> bool:
        """Return whether this process leads still: nobody took over."""
        if self._fd == -1:
            return False
        try:
            return os.path.samestat(os.fstat(self._fd), os.lstat(self._path))
        except OSError:
            return False

    def release(self) -> None:
        """Let the next one lead."""
        fd, self._fd = self._fd, -1
        if fd != -1:
            with contextlib.suppress(OSError):
                os.close(fd)

    def renew_in_child(self) -> None:
        """Let go of the descriptor that a forked child inherited; the parent keeps the lock."""
        self.release()

    def __del__(self) -> None:
        self.release()
