"""How many bytes the journal of a directory may have, of all its writers together, and what gives way then.

1. Who writes looks at most once a second, so the quota may be exceeded by what is written in a second, and by the final
   events of those requests that have an intent record: what was let in is told to its end.
2. When it is full nothing is written until there is room again: the archive and the shippers make some. Or, on request,
   the oldest files go that nobody writes any more: first those that every shipper has passed, then the others, whose
   events are counted, each once, and told.
3. A writer that finds it full begins another file, an empty one: the last one could not be archived otherwise.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from auditmw.journal.cursor import Cursor, cursors, held_files
from auditmw.journal.error import JournalError
from auditmw.journal.intents import is_pending
from auditmw.journal.layout import is_live, journal_files, writer_of
from auditmw.journal.reader import FileReader

GAP_EVENT = b'"auditmw.gap"'


class Dropped(NamedTuple):
    """So many events that not every shipper had went with their files; the times (RFC 3339) of the first and last."""

    events: int
    first: str
    last: str


class Quota:
    """At most `max_bytes`; with `drop_oldest`, at the cost of the oldest events. `on_dropped` hears of those."""

    def __init__(self, max_bytes: int, *, drop_oldest: bool = False) -> None:
        if not isinstance(max_bytes, int) or max_bytes < 1:
            raise ValueError(f"expected a quota of 1 byte or more, not {max_bytes!r}")
        self.max_bytes = max_bytes
        self.on_dropped: Callable[[Dropped], object] = lambda dropped: None
        self.drop_oldest = drop_oldest

    def check(self, directory: str) -> JournalError | None:
        """Return None when there is room, also when it was just made, and otherwise the error that says there is none.

        A directory that cannot be looked at has room: writing will say what is wrong with it.
        """
        try:
            sizes = {file: size for file in journal_files(directory) if (size := _size(file))}
            used = sum(sizes.values())
            if used >= self.max_bytes and self.drop_oldest:
                used -= self._make_room(directory, sizes, used)
        except OSError:
            return None
        if used < self.max_bytes:
            return None
        return JournalError(errno.EDQUOT, f"the journal has {used} bytes, and its quota is {self.max_bytes}", directory)

    def _make_room(self, directory: str, sizes: dict[Path, int], used: int) -> int:
        """Remove files until there is room; return how many bytes they had."""
        held, freed = held_files(directory), 0
        found = list(cursors(directory).values())
        for file in sorted(sizes, key=lambda file: (file.name in held, _time(file), file.name)):
            if used - freed < self.max_bytes:
                break
            if not is_live(file):
                freed += self._remove(file, sizes[file], found)
        return freed

    def _remove(self, file: Path, size: int, found: list[Cursor | None]) -> int:
        offsets = [_passed(cursor, file, size) for cursor in found]
        lost = _events(file, min(offsets, default=0))
        try:
            os.unlink(file)
        except OSError:  # another process was first, and counts
            return 0
        if lost.events:
            self.on_dropped(lost)
        return size


def _passed(cursor: Cursor | None, file: Path, size: int) -> int:
    """Return up to which offset of a file a shipper came."""
    at = None if cursor is None else cursor.writers.get(writer_of(file))
    if at is None:
        return 0
    return size if at.has_passed(file.name, size) else at.offset if at.file == file.name else 0


def _events(file: Path, offset: int) -> Dropped:
    """Return how many events a file has behind an offset; those that a gap event tells of go with it, and count."""
    total = Dropped(0, "", "")
    first, last = b"", b""
    for line in FileReader(file, offset=offset).lines():
        if b'"pending"' in line.body or GAP_EVENT in line.body:
            special = _special(line.body)
            if special is not None:
                total = _sum(total, special)
                continue
        total = total._replace(events=total.events + 1)
        first, last = first or line.body, line.body
    return _sum(total, Dropped(0, _stamp(first), _stamp(last)))


def _special(body: bytes) -> Dropped | None:
    """Return what an intent record (nothing) or a gap event stands for; None for any other event."""
    with contextlib.suppress(ValueError, RecursionError, AttributeError, TypeError, KeyError):
        event = json.loads(body)
        if is_pending(event):
            return Dropped(0, "", "")
        if event["event"] == "auditmw.gap":
            data = event["data"]
            return Dropped(int(data["count"]), str(data["first"]), str(data["last"]))
    return None


def _sum(one: Dropped, other: Dropped) -> Dropped:
    firsts = [stamp for stamp in (one.first, other.first) if stamp]
    return Dropped(one.events + other.events, min(firsts, default=""), max(one.last, other.last))


def _stamp(body: bytes) -> str:
    with contextlib.suppress(ValueError, RecursionError, TypeError, KeyError):
        return str(json.loads(body)["timestamp"])
    return ""


def _size(file: Path) -> int:
    try:
        return os.stat(file).st_size
    except OSError:
        return 0


def _time(file: Path) -> float:
    try:
        return os.stat(file).st_mtime
    except OSError:
        return 0.0
