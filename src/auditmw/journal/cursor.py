"""How far a reader of a journal came: a file that is the reader's word on what may be deleted.

1. A cursor is in `DIR/ship/<name>/cursor.json`. It is on stable storage before the reader relies on it, whole or not at
   all, with a CRC-32. A damaged one is set aside, and the reader begins with the oldest file: doubles, and no loss.
2. It belongs to one journal: `DIR/ship/journal-id` says which, and the cursor of another one is refused.
3. Journal files that a cursor has not passed are held (`held_files`): nobody deletes them. A cursor that cannot be
   read, and a reader's folder that has none yet, holds all files.
4. Per writer it knows the next line, the numbers that are missing so far (a line may come in a later file, writer.py,
   rule 4), and where the intent records are whose final events have not come (intents.py).
5. `pending` is where the batch ends that is under way, so that it comes again as it was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from auditmw.journal import smallfile
from auditmw.journal.layout import journal_files, sort_key, writer_of

SHIP = "ship"
CURSOR = "cursor.json"
JOURNAL_ID = "journal-id"
VERSION = 1

# Files that somebody forged can have a gap at every line.
_MAX_GAPS = 100

Place = tuple[str, int]
"""A file's name and an offset in it."""


class CursorError(Exception):
    """A cursor that cannot be used: the message says why, and what to do."""


class DamagedCursorError(CursorError):
    """The file is not what was written."""


class Position(NamedTuple):
    """Where a reader is with one writer: at `offset` of `file`, after the line number `seq` (0: before the first).

    `missing`: the numbers before it that were not seen, as first and last. `held`: intent records by id.
    """

    file: str = ""
    offset: int = 0
    seq: int = 0
    missing: tuple[tuple[int, int], ...] = ()
    held: Mapping[str, Place] = {}

    def after(self, file: str, offset: int, seq: int) -> tuple[Position, bool]:
        """Return where it is after a line that ends at `offset`, and whether that line is the first of its number."""
        if self.seq in (0, seq - 1):  # what came before the first file is somewhere else by now
            return Position(file, offset, seq, self.missing, self.held), True
        if seq > self.seq:
            missing = _bounded((*self.missing, (self.seq + 1, seq - 1)))
            return Position(file, offset, seq, missing, self.held), True
        gap = next((gap for gap in self.missing if gap[0] <= seq <= gap[1]), None)
        moved = self._replace(file=file, offset=offset)
        if gap is None:
            return moved, False
        parts = [part for part in ((gap[0], seq - 1), (seq + 1, gap[1])) if part[0] <= part[1]]
        at = self.missing.index(gap)
        return moved._replace(missing=(*self.missing[:at], *parts, *self.missing[at + 1 :])), True

    def holding(self, ident: str, place: Place) -> Position:
        """Return it with one more intent record."""
        return self._replace(held={**self.held, ident: place})

    def without(self, ident: str) -> Position:
        """Return it without an intent record."""
        if ident not in self.held:
            return self
        return self._replace(held={other: place for other, place in self.held.items() if other != ident})

    def has_passed(self, file: str, size: int) -> bool:
        """Whether nothing of a file, which nobody writes any more, is needed by now."""
        if any(place[0] == file for place in self.held.values()):
            return False
        if file == self.file:
            return self.offset >= size
        return bool(self.file) and sort_key(file) < sort_key(self.file)


class Block(NamedTuple):
    """What a batch has of one writer: all up to a place, and so many of its intent records that were cut off."""

    writer: str
    file: str
    offset: int
    cut_off: int = 0


@dataclass(frozen=True)
class Cursor:
    """How far a reader came in the journal `journal`.

    `epoch` goes up with every reader that takes over. `counts` what came of the events so far, by kind.
    """

    journal: str
    epoch: int = 0
    writers: Mapping[str, Position] = field(default_factory=dict)
    pending: tuple[Block, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)

    def counting(self, counts: Mapping[str, int]) -> Cursor:
        """Return it with these counts added."""
        return replace(self, counts={**self.counts, **{k: self.counts.get(k, 0) + n for k, n in counts.items() if n}})

    def encode(self) -> bytes:
        """Return it as one JSON object with a checksum."""
        told: dict[str, Any] = {
            "auditmw_cursor": VERSION,
            "journal": self.journal,
            "epoch": self.epoch,
            "counts": dict(self.counts),
            "pending": [list(block) for block in self.pending],
            "writers": {
                writer: [at.file, at.offset, at.seq, at.missing, dict(at.held)] for writer, at in self.writers.items()
            },
        }
        head = json.dumps(told, separators=(",", ":")).encode()[:-1]
        return head + b',"crc":"%08x"}\n' % crc32(head)

    @classmethod
    def decode(cls, data: bytes, *, source: str) -> Cursor:
        """Return the cursor that was encoded; `source` is where it was found, for the error.

        Raises DamagedCursorError, and CursorError for one of a later version of auditmw.
        """
        told = _checked(data, source)
        version = told.get("auditmw_cursor")
        if version != VERSION:
            raise CursorError(
                f"expected a cursor of version {VERSION} in {source}, not {version!r}: a later auditmw wrote it. Use "
                "that one; nothing is lost meanwhile, the journal's files are kept"
            )
        try:
            return cls(
                journal=str(told["journal"]),
                epoch=int(told["epoch"]),
                counts={str(kind): int(number) for kind, number in told["counts"].items()},
                pending=tuple(Block(*block) for block in told["pending"]),
                writers={str(writer): _position(*at) for writer, at in told["writers"].items()},
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DamagedCursorError(f"{source} is no cursor: {error!r}") from error


def _bounded(gaps: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """Join the first two gaps when there are too many: a line from between them may come twice, but none is lost."""
    if len(gaps) <= _MAX_GAPS:
        return gaps
    return (gaps[0][0], gaps[1][1]), *gaps[2:]


def _checked(data: bytes, source: str) -> dict[str, Any]:
    head, tail = data[:-19], data[-19:]
    if tail != b',"crc":"%08x"}\n' % crc32(head):
        raise DamagedCursorError(f"{source} is damaged: its checksum is wrong ({len(data)} bytes)")
    try:
        told = json.loads(head + b"}")
    except (ValueError, RecursionError) as error:
        raise DamagedCursorError(f"{source} is no cursor: {error}") from error
    return told if isinstance(told, dict) else {}


def _position(file: str, offset: int, seq: int, missing: list[list[int]], held: Mapping[str, list[Any]]) -> Position:
    gaps = tuple((int(first), int(last)) for first, last in missing)
    return Position(str(file), int(offset), int(seq), gaps, {str(i): (str(f), int(o)) for i, (f, o) in held.items()})


def load(path: Path) -> Cursor | None:
    """Return the cursor in a file, None when there is none. Raises CursorError, OSError."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    return Cursor.decode(data, source=str(path))


def save(path: Path, cursor: Cursor) -> None:
    """Make this the cursor, durably. Raises OSError; then the old one is there, or the new one."""
    smallfile.replace(path, cursor.encode())


def set_aside(path: Path) -> Path:
    """Move a damaged cursor to a name that says so, and return that."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    os.rename(path, aside)
    return aside


def journal_id(directory: Path) -> str:
    """Return the random name of a journal, made and kept in DIR/ship at the first call. Raises OSError."""
    folder = directory / SHIP
    smallfile.make_folder(folder)
    path = folder / JOURNAL_ID
    while True:
        try:
            found = path.read_text("ascii").strip()
        except FileNotFoundError:
            found = ""
        if found:
            return found
        draft = folder / f".{JOURNAL_ID}.{os.getpid()}.{os.urandom(4).hex()}"
        smallfile.write(draft, os.urandom(16).hex().encode() + b"\n")
        try:
            os.link(draft, path)  # unless another process was first
            smallfile.sync(folder)
        except FileExistsError:
            pass
        finally:
            os.unlink(draft)


def cursors(directory: str | os.PathLike[str]) -> dict[str, Cursor | None]:
    """Return the cursors in DIR/ship by name; None for one that cannot be read, or is not there yet."""
    try:
        with os.scandir(Path(directory) / SHIP) as entries:
            folders = sorted(e.name for e in entries if e.is_dir(follow_symlinks=False) and not e.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {name: _readable(Path(directory) / SHIP / name / CURSOR) for name in folders}


def _readable(path: Path) -> Cursor | None:
    try:
        return load(path)
    except (CursorError, OSError):
        return None


def held_files(directory: str | os.PathLike[str]) -> frozenset[str]:
    """Return the names of the journal files that somebody has not shipped yet, and that must not be deleted.

    All of them when DIR/ship cannot be looked at. Raises FileNotFoundError when there is no such directory.
    """
    try:
        found = list(cursors(directory).values())
    except OSError:
        found = [None]
    if not found:
        return frozenset()
    files = journal_files(directory)
    return frozenset(file.name for file in files if any(_holds(cursor, file) for cursor in found))


def _holds(cursor: Cursor | None, file: Path) -> bool:
    try:
        size = os.stat(file).st_size
    except FileNotFoundError:
        return False
    if cursor is None:
        return True
    at = cursor.writers.get(writer_of(file))
    return size > 0 if at is None else not at.has_passed(file.name, size)
