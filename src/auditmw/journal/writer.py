"""The journal of one process: every event is one line in the process's own append-only file.

1. When `append` returns, the kernel has the whole line: it survives the death of the process, however it comes.
2. When `sync` returns and durability is "disk", all that was appended before is on stable storage, as far as the
   device keeps its word: it survives the death of the machine. One thread syncs for all that wait.
3. When `append` raises JournalError, the event is in no file as far as the kernel tells, and the next call tries again.
   Numbers (`seq`) go up by one for every line written, over all files of a writer; a lost event uses none up.
4. A file that had any error is abandoned and never written again, least of all synced again: after a failed fsync the
   kernel may call pages clean that never reached the disk (PostgreSQL wiki, "Fsync Errors"). The event goes to a new
   file, once; with it go all lines not known to be on disk, which are kept in memory until they are. So a line may
   stand in two files of a writer, byte for byte.
5. A file is full by size or age. The old file stays, locked and in use, until the new one holds a line. A file that was
   removed or moved away is noticed within a second of the next event and replaced; what it held went with it.
6. Constructing does no I/O. There is no thread, and no lock shared with another process.
7. A forked child is a new writer with a new file. It lets go of the parent's file without the parent noticing.
8. A signal handler may append and sync in the middle of an append or a sync of its own thread. It finds the journal
   busy, and writes to a second one, with a writer and files of its own.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from auditmw.journal.error import JournalError
from auditmw.journal.forks import renew_after_fork
from auditmw.journal.frame import seal
from auditmw.journal.livefile import LiveFile, short_write
from auditmw.journal.quota import Quota

_UPKEEP_SECONDS = 1.0
_AT_ONCE = float("-inf")
_IDLE, _APPENDING = 0, -1
_NO_FILE = -1  # as a descriptor: a write to it fails, and after a failed write the event goes to a new file

# How much is kept in memory for rule 4. A disk that has not taken this much takes no more.
_MAX_UNSYNCED_BYTES = 16 * 1024 * 1024


class Journal:
    """Appends events to `directory`/journal. Safe for threads, greenlets, forks and signal handlers.

    `durability`: what `sync` waits for: "os" for nothing, "disk" for stable storage.
    `rotate_bytes`, `rotate_seconds`: a new file is begun when the current one is that large or that old.
    `clock`: seconds that never go back. `quota`: when it is full, `append` raises JournalError until there is room.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        durability: Literal["os", "disk"] = "os",
        rotate_bytes: int = 16 * 1024 * 1024,
        rotate_seconds: float = 3600.0,
        clock: Callable[[], float] = time.monotonic,
        quota: Quota | None = None,
    ) -> None:
        if durability not in ("os", "disk"):
            raise ValueError(f"expected durability 'os' or 'disk', not {durability!r}")
        for option, value in (("rotate_bytes", rotate_bytes), ("rotate_seconds", rotate_seconds)):
            if not isinstance(value, (int, float)) or not value > 0:
                raise ValueError(f"expected {option} above 0, not {value!r}")
        # Absolute, because a daemon changes its working directory after it was configured.
        self._directory = os.path.abspath(os.fsdecode(directory))
        self._disk = durability == "disk"
        self._rotate_bytes = rotate_bytes
        self._rotate_seconds = rotate_seconds
        self._clock = clock
        self._quota = quota
        self._begin()
        renew_after_fork(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._busy = _IDLE  # or _APPENDING, or the thread that syncs; who finds its own thread busy is a signal handler
        self._second: Journal | None = None  # for rule 8
        self._synced_or_failed = threading.Condition(self._lock)
        self._writer = new_writer_id()
        self._file: LiveFile | None = None  # the last one opened; locked until the next one holds a line
        self._fd = _NO_FILE  # its descriptor, unless the next event is to go to a new file
        self._seq = 0
        self._bytes = 0
        self._number = 0  # of the last file
        self._opened_at = 0.0
        self._begun_at = 0  # the value of _bytes at which the file was empty
        self._rotate_at = 0  # the value of _bytes at which the file is full
        self._upkeep_at = _AT_ONCE
        self._full: JournalError | None = None  # the quota's word, a second old at most
        self._unsynced: list[bytes] = []  # the lines of rule 4
        self._unsynced_bytes = 0
        self._synced_seq = 0
        self._no_sync_until = _AT_ONCE
        self._counts = {"opened": 0, "rotated": 0, "abandoned": 0, "vanished": 0}
        self._last_error: JournalError | None = None
        self._last_error_at: float | None = None

    def renew_in_child(self) -> None:
        """Start as a new writer in a forked child; the parent's file, lock and numbers stay the parent's."""
        self._close_file()
        self._begin()

    @property
    def quota(self) -> Quota | None:
        """The quota, if there is one."""
        return self._quota

    @property
    def writer(self) -> str:
        """The name that this process's files begin with."""
        return self._writer

    @property
    def path(self) -> Path | None:
        """The file that is being written, if any."""
        file = self._file
        return None if file is None or self._fd == _NO_FILE else Path(file.path)

    def append(self, body: bytes, *, is_promised: bool = False) -> None:
        """Write one event, a JSON object of at least one member without a raw line feed.

        `is_promised`: also when the quota is full, as its intent record is there.

        Raises JournalError when it could not be written, ValueError when `body` is no such thing.
        """
        with self._lock:
            if self._busy != _IDLE and self._is_interrupted():
                return self._aside().append(body, is_promised=is_promised)
            if self._clock() >= self._upkeep_at:
                self._upkeep()
            if self._full is not None and not is_promised:
                raise self._note(self._full, self._directory)
            before = self._busy
            self._busy = _APPENDING
            try:
                seq, failure = self._seq + 1, None
                line = seal(body, seq)
                size = len(line)
                # A signal handler may raise SystemExit wherever CPython looks for signals: after calls and on backward
                # jumps. So the number is used up first, and nothing can come between that and the write.
                self._seq = seq
                try:
                    written = os.write(self._fd, line)
                except OSError as error:
                    written, failure = 0, error
                if written != size:
                    self._write_elsewhere(line, written, failure)
                self._bytes += size
                if self._bytes >= self._rotate_at:
                    self._upkeep_at = _AT_ONCE
                if self._disk:
                    self._hold(line)
            finally:
                self._busy = before

    def sync(self) -> None:
        """Wait until all that was appended is on stable storage, if durability is "disk". Raises JournalError."""
        if not self._disk:
            return
        with self._lock:
            if self._is_interrupted():
                self._aside().sync()
            else:
                self._sync_up_to(self._seq)

    def close(self) -> None:
        """Let go of the file; a later `append` would begin another. Raises JournalError as `sync` does."""
        try:
            self.sync()
        finally:
            with self._lock:
                self._close_file()
            if self._second is not None:
                self._second.close()

    def stats(self) -> dict[str, Any]:
        """Return what this process has written, in this writer's life: counts, bytes, the last error. Never waits."""
        path = self.path
        return {
            "writer": self._writer,
            "directory": self._directory,
            "file": None if path is None else str(path),
            "seq": self._seq,
            "bytes": self._bytes,
            **{f"files_{what}": count for what, count in self._counts.items()},
            "last_error": None if self._last_error is None else str(self._last_error),
            "last_error_at": self._last_error_at,  # seconds since the epoch
        }

    # What follows is called with the lock held.

    def _is_interrupted(self) -> bool:
        """Whether this thread is in a signal handler, below an append or a sync of its own."""
        return self._busy in (_APPENDING, threading.get_ident())

    def _aside(self) -> Journal:
        """Return the journal for those who come in the middle of something."""
        if self._second is None:
            self._second = Journal(
                self._directory,
                durability="disk" if self._disk else "os",
                rotate_bytes=self._rotate_bytes,
                rotate_seconds=self._rotate_seconds,
                clock=self._clock,
                quota=self._quota,
            )
        return self._second

    def _upkeep(self) -> None:
        """Before an event, once a second or when something is full: see to it that the event has a place to go."""
        if self._unsynced_bytes >= _MAX_UNSYNCED_BYTES:
            self._sync_up_to(self._seq)
        now = self._clock()
        self._upkeep_at = now + _UPKEEP_SECONDS
        if self._quota is not None:
            self._look_for_room(self._quota)
        file = self._file
        if file is None or self._fd == _NO_FILE:
            return
        if not file.is_in_place():
            self._counts["vanished"] += 1
            self._leave(file, OSError(errno.ENOENT, "was removed or moved away while it was written"))
        elif self._is_full(now) and not self._unsynced:
            self._fd = _NO_FILE

    def _look_for_room(self, quota: Quota) -> None:
        before, self._busy = self._busy, _APPENDING
        try:
            self._full = quota.check(self._directory)
            holds_something = self._fd != _NO_FILE and self._bytes != self._begun_at and not self._unsynced
            if self._full is not None and holds_something:
                self._open()
                self._full = quota.check(self._directory)
        except OSError as error:  # then this file stays, and takes no more
            self._note(error, self._directory)
        finally:
            self._busy = before

    def _is_full(self, now: float) -> bool:
        return self._bytes >= self._rotate_at or now - self._opened_at >= self._rotate_seconds

    def _leave(self, file: LiveFile, error: OSError) -> None:
        """Write to this file no more. It stays locked until the next one is open: the writer still lives."""
        file.sound = False
        self._fd = _NO_FILE
        self._note(error, file.path)

    def _abandon(self, file: LiveFile, error: OSError) -> None:
        self._counts["abandoned"] += 1
        self._leave(file, error)

    def _note(self, error: OSError, path: str) -> JournalError:
        self._last_error = JournalError.of(error, path)
        self._last_error_at = time.time()
        return self._last_error

    def _write_elsewhere(self, line: bytes, torn: int, failure: OSError | None) -> None:
        """After a failed write, of which the file took `torn` bytes: write the line to a new file."""
        file = self._file
        if file is not None and self._fd != _NO_FILE:
            file.cut(torn)
            self._abandon(file, failure or short_write(torn, line))
        try:
            self._open(line)
        except OSError as error:
            noted = self._note(error, self._directory)
            if not self._resume(line):
                self._seq -= 1
                raise noted from error

    def _open(self, line: bytes = b"") -> None:
        """Begin a new file with the un-synced lines and `line`. When it raises, nothing has changed."""
        file = LiveFile.create(self._directory, self._writer, self._number + 1, durable=self._disk)
        try:
            file.fill(b"".join((*self._unsynced, line)))
        except BaseException:
            file.discard()
            raise
        old, self._file, self._fd, self._number = self._file, file, file.fd, file.number
        self._counts["opened"] += 1
        if old is not None:
            self._counts["rotated"] += old.sound
            old.close()
        self._opened_at = self._clock()
        self._upkeep_at = self._opened_at + _UPKEEP_SECONDS
        self._begun_at = self._bytes
        self._rotate_at = self._bytes + self._rotate_bytes
        self._bytes += self._unsynced_bytes

    def _resume(self, line: bytes) -> bool:
        """Go on with a full file when there can be no new one (too many open files, say); try again an eighth later."""
        file = self._file
        if file is None or not file.sound:
            return False
        try:
            file.append(line)
        except OSError as error:
            self._abandon(file, error)
            return False
        self._fd = file.fd
        self._rotate_at = self._bytes + len(line) + self._rotate_bytes // 8
        return True

    def _close_file(self) -> None:
        file, self._file, self._fd = self._file, None, _NO_FILE
        if file is not None:
            file.close()

    def _hold(self, line: bytes) -> None:
        """Keep a line until it is known to be on disk."""
        self._unsynced.append(line)
        self._unsynced_bytes += len(line)
        if self._unsynced_bytes >= _MAX_UNSYNCED_BYTES:
            self._upkeep_at = _AT_ONCE

    def _sync_up_to(self, wanted: int) -> None:
        failures, done = 0, self._synced_or_failed
        while self._synced_seq < min(wanted, self._seq):  # it is less than wanted in a child forked meanwhile
            if self._busy != _IDLE:  # another thread syncs; what it began with may not include our lines
                done.wait()
                continue
            if failures > 1:
                self._no_sync_until = self._clock() + _UPKEEP_SECONDS
            if self._clock() < self._no_sync_until:  # let not every request wait for a disk that just failed
                raise self._again()
            self._busy = threading.get_ident()
            try:
                failures += not self._flush()
            finally:
                self._busy = _IDLE
                done.notify_all()

    def _flush(self) -> bool:
        """Sync the file once and forget the lines that are on disk now; False when there was an error."""
        if self._fd == _NO_FILE:
            try:
                self._open()
            except OSError as error:
                self._note(error, self._directory)
                return False
        file, count, last = self._file, len(self._unsynced), self._seq
        assert file is not None  # noqa: S101 - there is a descriptor
        full = self._is_full(self._clock())
        failure = self._fdatasync(file, alone=full)
        if file is not self._file or self._fd == _NO_FILE:
            return True  # somebody left or closed the file meanwhile, so the lines go, or went, to the next one
        if failure is not None:
            self._abandon(file, failure)
            return False
        self._synced_seq = last
        self._unsynced_bytes -= sum(map(len, self._unsynced[:count]))
        del self._unsynced[:count]
        if full:
            self._fd = _NO_FILE
        return True

    def _fdatasync(self, file: LiveFile, *, alone: bool) -> OSError | None:
        """Sync the file while other threads append to it, or keep them waiting if `alone`."""
        lock, failure = self._lock, None
        if not alone:
            lock.release()
        try:
            os.fdatasync(file.fd)
        except OSError as error:
            failure = error
        finally:
            if not alone:
                lock.acquire()
        return failure

    def _again(self) -> JournalError:
        """Return the last error anew, for one more thread."""
        last = self._last_error
        if last is None:
            return JournalError(errno.EIO, "the disk does not take what was written", self._directory)
        return JournalError(last.errno, last.strerror, last.filename)


def new_writer_id() -> str:
    """Return a name that sorts by time and that no other process, fork or instance has: 48 bits of ms, 32 random."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(4).hex()}"
