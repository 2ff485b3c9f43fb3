"""One process at a time imports an input into an audit directory: two at once would cut it differently.

The lock of an input is one byte of the file `DIR/import.lock`, at the place that its first line's digest tells; nothing
is ever written to it. The kernel lets go of it when the process ends, however it ends (fcntl(2), record locks).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections import Counter
from typing import Self

LOCK = "import.lock"
_DIGITS = 15  # of the digest: an offset has 63 bits


class InputLocks:
    """The locks that this process holds in one audit directory, which must exist. Raises OSError when it cannot."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        # One descriptor for all: closing any descriptor of the file would let go of all locks that the process has.
        path = os.path.join(directory, LOCK)
        self._held: Counter[str] = Counter()
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)

    def acquire(self, anchor: str, *, wait: bool) -> bool:
        """Take the lock of the input with this anchor; return whether we have it. True where there are no locks."""
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, int(anchor[:_DIGITS], 16))
        except (BlockingIOError, PermissionError):
            return False
        except OSError:  # a file system without locks: importing matters more
            pass
        self._held[anchor] += 1
        return True

    def release(self, anchor: str) -> None:
        """Let go of it, once for each time that it was taken."""
        self._held[anchor] -= 1
        if self._held[anchor] > 0:
            return
        with contextlib.suppress(OSError):
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, int(anchor[:_DIGITS], 16))

    def close(self) -> None:
        """Let go of all."""
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
