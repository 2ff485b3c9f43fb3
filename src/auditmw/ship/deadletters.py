"""Events that a target will never take: set aside in DIR/ship/<name>/dead.jsonl, and sent again on request.

1. One line per event: `{"time":...,"target":...,"reason":...,"batch":...,"writer":...,"seq":...,"event":{...}}`, the
   event to the byte as it was to be sent. A line is on stable storage before the cursor passes its event.
2. The events that are sent again are first moved to `dead.sending.jsonl`, which goes when all of them were settled. So
   an interruption repeats some of them, and loses none.
3. A line that is torn, because the disk was full, is passed over and counted: its event is still in the journal, as the
   cursor did not pass it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import orjson

from auditmw.journal.smallfile import FILE_MODE, hand_over, sync
from auditmw.parsing import parse_event
from auditmw.ship.batch import Entry, identified

DEAD, SENDING = "dead.jsonl", "dead.sending.jsonl"
_EVENT = b',"event":'
_APPEND = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC

Key = tuple[str, int]
"""The writer and the number of an event's line."""


class Letter(NamedTuple):
    """A dead letter: the event as it was to be sent, the token of its batch, and why it is here."""

    entry: Entry
    batch: str
    reason: str


def _utc_now() -> datetime:
    return datetime.now(UTC)


class DeadLetters:
    """The dead letters in a target's folder. `target`: its URL as it may be shown."""

    def __init__(self, folder: Path, target: str, now: Callable[[], datetime] = _utc_now) -> None:
        self._folder = folder
        self._target = target
        self._now = now

    def append(self, entry: Entry, reason: str, batch: str) -> None:
        """Set an event aside, durably. Raises OSError; then it is not."""
        told = {
            "time": self._now().isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "target": self._target,
            "reason": reason,
            "batch": batch,
            "writer": entry.writer,
            "seq": entry.seq,
        }
        line = json.dumps(told, separators=(",", ":")).encode()[:-1] + _EVENT + entry.body + b"}\n"
        fd = self._locked(DEAD)
        try:
            end = os.fstat(fd).st_size
            if end and os.pread(fd, 1, end - 1) != b"\n":  # a line that was torn
                line = b"\n" + line
            written = os.write(fd, line)
            if written != len(line):
                os.ftruncate(fd, end)
                raise OSError(f"took only {written} of {len(line)} bytes of a dead letter")
            os.fsync(fd)
        finally:
            os.close(fd)
        if not end:
            sync(self._folder)

    def keys(self, wanted: Callable[[Letter], bool]) -> set[Key]:
        """Return which events are dead letters, of those that are wanted."""
        found = filter(wanted, self._read(self._folder / DEAD))
        return {(letter.entry.writer, letter.entry.seq) for letter in found}

    def __len__(self) -> int:
        return sum(1 for name in (SENDING, DEAD) for _ in _lines(self._folder / name))

    def letters(self) -> Iterator[Letter]:
        """Yield all, the oldest first."""
        for name in (SENDING, DEAD):
            yield from self._read(self._folder / name)

    @contextlib.contextmanager
    def sending(self) -> Iterator[Iterator[Letter]]:
        """Yield the dead letters that are there now, to be sent again; they go when the `with` statement ends well.

        What an earlier, interrupted call had moved aside comes first, and then nothing else. Raises BlockingIOError
        when another process sends them.
        """
        path = self._folder / SENDING
        if not path.exists():
            self._move_aside(path)
        if not path.exists():
            yield iter(())
            return
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                said = "another process is sending the dead letters"
                raise BlockingIOError(error.errno, said, str(path)) from None
            yield self._read(path)
            os.unlink(path)
            sync(self._folder)
        finally:
            os.close(fd)

    def _move_aside(self, path: Path) -> None:
        if not (self._folder / DEAD).exists():
            return
        fd = self._locked(DEAD)
        try:
            os.rename(self._folder / DEAD, path)
            sync(self._folder)
        finally:
            os.close(fd)

    def _locked(self, name: str) -> int:
        """Open a file of this name, and see to it that nobody else moves it."""
        path = self._folder / name
        while True:
            fd = os.open(path, _APPEND, FILE_MODE)
            try:
                hand_over(fd, FILE_MODE, self._folder)
                fcntl.flock(fd, fcntl.LOCK_EX)
                if path.exists() and os.path.samestat(os.fstat(fd), os.stat(path)):
                    return fd
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)  # it was moved aside a moment ago

    def _read(self, path: Path) -> Iterator[Letter]:
        for line in _lines(path):
            head, _, tail = line.partition(_EVENT)
            with contextlib.suppress(ValueError, KeyError, TypeError):
                told, body = orjson.loads(head + b"}"), tail[: tail.rindex(b"}")]
                event, (writer, seq) = parse_event(body), (told["writer"], told["seq"])
                entry = Entry(writer, seq, identified(event, writer, seq), body, body)
                yield Letter(entry, told["batch"], told["reason"])


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from (line for line in file if line != b"\n")
    except FileNotFoundError:
        return
