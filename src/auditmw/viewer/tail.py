"""What was written since the last look: the journal from a position on, which travels with the client.

A position says when it was taken and how long each journal file was that was written to in the minute before. So any
process can go on from it, and none keeps anything. Of a file that is not in it:

1. Nothing is new when it was last written to before the position was taken.
2. All of it is new when its writer, or its number, began after that.
3. Else its writer had been silent for a minute: new is what has a time since then.

Intent records are left out; of a request that died with its process the journal's readers tell.
"""

from __future__ import annotations

import base64
import os
import re
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from auditmw.journal.intents import is_pending, may_be_pending
from auditmw.journal.layout import journal_files, writer_of
from auditmw.journal.reader import FileReader, Line
from auditmw.parsing import parse_event
from auditmw.query import Entry, Scope, parse
from auditmw.query.cursor import Key
from auditmw.viewer.asking import Ask
from auditmw.viewer.refusals import Refusal, asked

AT_MOST = 200
MAX_BYTES = 4 * 1024 * 1024  # that are read in one look
_WINDOW_SECONDS = 60.0
_MAX_FILES = 400
_MAX_POSITION = 65_536  # bytes, unpacked
_STARTED = re.compile(r"([0-9a-f]{12})[0-9a-f]{8}")  # a writer's name: the milliseconds at which it started, and chance


class News(NamedTuple):
    """What came, oldest first. `behind`: how many more came, and are left out; `skipped`: some were not even read."""

    entries: tuple[Entry, ...]
    cursor: str
    behind: int
    skipped: bool


class Position(NamedTuple):
    """A moment, in seconds since 1970, and the lengths of files by then."""

    taken: float
    offsets: Mapping[str, int]

    def __str__(self) -> str:
        packed = zlib.compress(orjson.dumps([self.taken, self.offsets]))
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")

    @classmethod
    def read(cls, text: str) -> Position:
        """Return the position that a text is; refuses any other text."""
        try:
            packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            taken, offsets = orjson.loads(zlib.decompressobj().decompress(packed, _MAX_POSITION))
            if not isinstance(taken, float) or not all(type(at) is int and 0 <= at < 2**63 for at in offsets.values()):
                raise TypeError("expected a moment and lengths")
        except (ValueError, TypeError, AttributeError, zlib.error) as error:
            raise Refusal(400, f"expected a cursor that a tail gave, not {text[:80]!r}", parameter="cursor") from error
        return cls(taken, offsets)


def position(directory: Path, clock: Callable[[], float] = time.time) -> Position:
    """Return the end of the journal as it is now."""
    taken, offsets = clock(), dict[str, int]()
    for file, _, modified in _files(directory):
        if modified >= taken - _WINDOW_SECONDS:
            reader = FileReader(file)
            reader.skip_to_end()
            offsets[file.name] = reader.offset
    return Position(taken, _newest(offsets))


def news(
    directory: Path,
    since: Position,
    wanted: Callable[[Mapping[str, Any]], bool],
    clock: Callable[[], float] = time.time,
) -> News:
    """Return the events that were written since a position was taken, and that are wanted."""
    taken, offsets, found = clock(), dict[str, int](), list[tuple[Key, bytes]]()
    left, skipped = MAX_BYTES, False
    for file, size, modified in _files(directory):
        begin = _begin(file, size, modified, since)
        if begin is None:
            continue
        offset, earliest = begin
        if size - offset > left:
            offset, skipped = _line_after(file, size - left), skipped or not earliest
        reader = FileReader(file, offset=offset)
        found += _found(reader, earliest, wanted)
        left = max(0, left - (reader.offset - offset))
        if modified >= taken - _WINDOW_SECONDS or reader.offset < size:
            offsets[file.name] = reader.offset
    found.sort(key=lambda item: (item[0].time is not None, item[0]))
    entries = tuple(Entry(*item) for item in found[-AT_MOST:])
    return News(entries, str(Position(taken, _newest(offsets))), max(0, len(found) - AT_MOST), skipped)


def _begin(file: Path, size: int, modified: float, since: Position) -> tuple[int, str] | None:
    """Return from where on a file is to be read, and from which time on its events count; None when nothing is new."""
    known = since.offsets.get(file.name)
    if known is not None:
        return (known, "") if known < size else (size, "")
    if modified < since.taken - 1:
        return None
    writer = writer_of(file)
    started = _STARTED.fullmatch(writer)
    if started and int(started[1], 16) / 1000 >= since.taken:
        return 0, ""
    if any(name.startswith(f"{writer}.") and name < file.name for name in since.offsets):
        return 0, ""
    try:
        earliest = datetime.fromtimestamp(since.taken, UTC) - timedelta(seconds=_WINDOW_SECONDS)
    except (ValueError, OverflowError, OSError):
        return None
    return 0, f"{earliest:%Y-%m-%dT%H:%M:%S}"


def _found(
    reader: FileReader, earliest: str, wanted: Callable[[Mapping[str, Any]], bool]
) -> Iterator[tuple[Key, bytes]]:
    for line in reader.lines():
        event = _event(line)
        if event is None:
            continue
        stamp = event.get("timestamp")
        stamp = stamp if isinstance(stamp, str) else ""
        if stamp >= earliest and wanted(event):
            yield Key(_moment(stamp), writer_of(line.file), line.seq), line.body


def _event(line: Line) -> dict[str, Any] | None:
    try:
        event = parse_event(line.body)
    except ValueError:
        return None
    return None if may_be_pending(line.body) and is_pending(event) else event


def _moment(stamp: str) -> datetime | None:
    try:
        return datetime.fromisoformat(stamp).astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None


def _files(directory: Path) -> Iterator[tuple[Path, int, float]]:
    """Yield the journal files with their lengths and when they were last written to."""
    for file in journal_files(directory):
        try:
            status = os.stat(file)
        except OSError:
            continue
        yield file, status.st_size, status.st_mtime


def _newest(offsets: dict[str, int]) -> dict[str, int]:
    """Return so many that a position stays small: those of the writers that started last."""
    return dict(sorted(offsets.items())[-_MAX_FILES:])


def _line_after(file: Path, offset: int) -> int:
    """Return where the first line begins at or after a place in a file."""
    if offset <= 0:
        return 0
    with open(file, "rb") as opened:
        opened.seek(offset - 1)
        opened.readline()
        return opened.tell()


def came(ask: Ask) -> Any:
    """Return what came since a cursor; without one, the cursor of now."""
    ask.viewed("tail", q=ask.parameters.text("q"))
    return look(ask, ask.parameters.text("cursor"))


def look(ask: Ask, cursor: str | None) -> News:
    """Return what came since a cursor, of what the viewer may see and the query finds."""
    directory = ask.shared.place.directory
    if directory is None:
        return _look_at_a_database(ask, cursor)
    query, restriction = ask.parameters.query(), ask.viewer.restriction
    if cursor is None:
        return News((), str(asked(lambda: position(directory))), 0, False)
    allowed = None if restriction is None else parse(restriction) if isinstance(restriction, str) else restriction

    def wanted(event: Mapping[str, Any]) -> bool:
        return (allowed is None or allowed.matches(event)) and query.matches(event)

    since = Position.read(cursor)
    return asked(lambda: news(directory, since, wanted))


def _look_at_a_database(ask: Ask, cursor: str | None) -> News:
    """Return the same of a table: its position is a mark, which has numbers of events by writer."""
    from auditmw.clickhouse import arrivals

    if cursor is None:
        return News((), str(Position(*ask.answer(arrivals.mark))), 0, False)
    since = arrivals.Mark(*Position.read(cursor))
    came = ask.answer(arrivals.arrived, Scope(ask.parameters.query()), since, limit=AT_MOST)
    return News(came.entries, str(Position(*came.mark)), came.behind, False)
