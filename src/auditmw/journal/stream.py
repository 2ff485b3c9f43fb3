"""Events as lines on a stream, for containers whose standard output somebody collects.

1. When `append` returns, the stream took the whole line and was flushed; whether anybody keeps it is not ours to know.
2. Lines carry neither `seq` nor `crc`: nobody recovers a pipe. When a line was cut short, the next one begins with a
   line feed, so that only the cut one is broken.
3. A pipe that several processes share keeps lines of at most PIPE_BUF (4096 on Linux) bytes whole (pipe(7)).
4. A stream that does not take a line in time makes `append` raise JournalError, like one that is closed or broken.
"""

from __future__ import annotations

import errno
import io
import select
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

from auditmw.journal.error import JournalError
from auditmw.journal.forks import renew_after_fork
from auditmw.journal.writer import new_writer_id

# How long a full pipe in non-blocking mode may keep an event waiting.
_PATIENCE_SECONDS = 1.0


class StreamJournal:
    """Appends events to `stream`, a binary stream such as `sys.stdout.buffer`; used like a Journal."""

    def __init__(self, stream: BinaryIO) -> None:
        if isinstance(stream, io.TextIOBase) or not callable(getattr(stream, "write", None)):  # type: ignore[unreachable]
            raise TypeError(f"expected a binary stream, such as sys.stdout.buffer, not {stream!r}")
        self._stream = stream
        name = getattr(stream, "name", None)
        self._name = None if name is None else str(name)
        self._begin()
        renew_after_fork(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._writer = new_writer_id()
        self._seq = 0
        self._bytes = 0
        self._torn = False
        self._last_error: JournalError | None = None
        self._last_error_at: float | None = None

    def renew_in_child(self) -> None:
        """Start as a new writer in a forked child: the lock may belong to a thread that the child does not have."""
        self._begin()

    @property
    def writer(self) -> str:
        """The name of this process's part of the stream."""
        return self._writer

    @property
    def path(self) -> Path | None:
        """None: a stream is no file that could be read back."""
        return None

    def append(self, body: bytes) -> None:
        """Write one event, without its line feed, and flush. Raises JournalError when that cannot be done."""
        with self._lock:
            line = b"\n%b\n" % body if self._torn else body + b"\n"
            try:
                self._write(line)
            except OSError as error:
                raise self._note(error) from error
            except (ValueError, TypeError) as error:  # closed; or text, or no descriptor to wait for
                raise self._note(OSError(errno.EBADF, str(error))) from error
            self._seq += 1
            self._bytes += len(line)

    def sync(self) -> None:
        """Do nothing: a stream cannot be synced."""

    def close(self) -> None:
        """Do nothing: the stream is its owner's."""

    def stats(self) -> dict[str, Any]:
        """Return what was written in this writer's life: counts, bytes, the last error. Never waits."""
        return {
            "writer": self._writer,
            "file": self._name,
            "seq": self._seq,
            "bytes": self._bytes,
            "last_error": None if self._last_error is None else str(self._last_error),
            "last_error_at": self._last_error_at,  # seconds since the epoch
        }

    def _write(self, line: bytes) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        rest = line
        while rest:
            try:
                taken = self._stream.write(rest)
            except BlockingIOError as error:
                taken = getattr(error, "characters_written", 0)  # raw streams of others do not set it
            self._torn = self._torn or bool(taken)
            rest = rest[taken or 0 :]
            if rest and not taken:  # a raw stream says None, a buffered one nothing written
                self._wait(deadline)
        self._flush(deadline)
        self._torn = False

    def _flush(self, deadline: float) -> None:
        flush = getattr(self._stream, "flush", None)
        while flush is not None:
            try:
                flush()
                return
            except BlockingIOError:
                self._wait(deadline)

    def _wait(self, deadline: float) -> None:
        """Wait until the stream takes more. Raises TimeoutError when it does not in time."""
        patience_ms = 1000 * (deadline - time.monotonic())
        writable = select.poll()
        writable.register(self._stream, select.POLLOUT)
        if patience_ms <= 0 or not writable.poll(patience_ms):
            raise TimeoutError(errno.ETIMEDOUT, f"took no whole line within {_PATIENCE_SECONDS:g} seconds")

    def _note(self, error: OSError) -> JournalError:
        self._last_error = JournalError.of(error, self._name)
        self._last_error_at = time.time()
        return self._last_error
