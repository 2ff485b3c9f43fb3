"""The lines of a journal after a cursor, as batches.

1. Each writer's lines come in order, and the writers in turns. A line that stands in two files comes once.
2. An intent record is not shipped; it comes, cut off as queries show it, when its writer is gone without a final event.
3. Damaged lines are counted, told, and copied to DIR/quarantine; what is sound goes on. Of a file that cannot be read
   (permissions, a disk that fails) nothing is passed over: its writer waits, the others go on.
4. A batch that was cut off comes again as it was: the cursor says where it ends.
5. One batch is in memory, and one chunk of a file.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

import orjson

from auditmw.formats.record import Event
from auditmw.journal import Damage, FileReader, Line, dead_writers, is_live, journal_files, writer_of
from auditmw.journal.cursor import Block, Cursor, Place, Position
from auditmw.journal.events import NOT_JSON
from auditmw.journal.intents import cut_off, is_pending
from auditmw.journal.layout import JOURNAL, sort_key
from auditmw.journal.reader import UNREADABLE, OnDamage, damage_handler
from auditmw.ship.batch import Batch, Entry

LIST_AGAIN_SECONDS = 1.0
ASK_FOR_THE_DEAD_SECONDS = 5.0

Render = Callable[[Event, bytes], bytes]


class NoRecordError(ValueError):
    """The format has no record for an event."""


@dataclass
class Portion:
    """A batch, where its writer is after each of its entries, and the cursor after all of it.

    The batch may be empty: then there was only what is not shipped.
    """

    batch: Batch
    steps: tuple[Position, ...]
    before: Cursor
    after: Cursor
    blocks: tuple[Block, ...]

    def cursor_at(self, position: int) -> Cursor:
        """Return the cursor of a reader that has what is before this position, and nothing else."""
        if position >= len(self.batch):
            return self.after
        moved = {self.batch[at].writer: self.steps[at] for at in range(position)}
        return replace(self.before, writers={**self.before.writers, **moved}, pending=())


@dataclass
class _Taken:
    """What was taken so far for one portion, and of the writer that is being read."""

    events: int
    bytes: int
    entries: list[Entry] = field(default_factory=list)
    steps: list[Position] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    begun: int = 0  # how many entries there were before this writer's
    share_events: int = 0
    share_bytes: int = 0

    def begin(self, writers: int) -> None:
        """Share what is left among so many writers, of which the next one is read now."""
        self.begun = len(self.entries)
        self.share_events = -(-self.events // writers)
        self.share_bytes = -(-self.bytes // writers)

    def has_room(self, size: int) -> bool:
        """Whether an event of this size still goes in; the first one always does."""
        if not self.entries:
            return True
        if self.events < 1 or size > self.bytes:
            return False
        return len(self.entries) == self.begun or (self.share_events > 0 and size <= self.share_bytes)

    def add(self, entry: Entry, after: Position) -> None:
        """Take an event."""
        self.entries.append(entry)
        self.steps.append(after)
        self.events -= 1
        self.share_events -= 1
        self.bytes -= len(entry.body)
        self.share_bytes -= len(entry.body)


class Source:
    """Reads the journal of `directory` for one target.

    `render`: makes an event's record; raises NoRecordError where there is none: such an event is left out, and counted.
    `clock`: seconds that never go back. `on_damage` hears of what cannot be read.
    """

    def __init__(
        self,
        directory: Path,
        *,
        max_events: int,
        max_bytes: int,
        render: Render | None = None,
        on_damage: OnDamage | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._render = render
        self._tell = on_damage or (lambda damage: None)
        self._clock = clock
        self._files: dict[str, list[Path]] = {}
        self._listed_at = self._asked_at = float("-inf")
        self._dead: frozenset[str] = frozenset()
        self._last = ""  # the writer that was served last
        self._damages: list[Damage] = []
        self._aside = damage_handler(directory, lambda damage: self._damages.append(damage))
        self.unreadable: dict[str, str] = {}  # writers that wait, and why

    def next(self, cursor: Cursor) -> Portion | None:
        """Return what comes after the cursor; None when there is nothing now. Raises OSError for the directory."""
        if self._clock() >= self._listed_at + LIST_AGAIN_SECONDS:
            self._list(cursor)
            return self._portion(cursor)
        portion = self._portion(cursor)
        if portion is None:
            self._list(cursor)
            portion = self._portion(cursor)
        return portion

    def again(self, cursor: Cursor) -> Portion:
        """Return the batch that the cursor has as pending, with which a reader was cut off."""
        self._list(cursor)
        self._damages.clear()
        taken = _Taken(self._max_events, self._max_bytes)
        positions = {}
        for block in cursor.pending:
            positions[block.writer] = self._read_block(block, cursor.writers.get(block.writer, Position()), taken)
        return self._finished(cursor, taken, positions, cursor.pending)

    def _list(self, cursor: Cursor) -> None:
        """Look which files and which writers there are."""
        now = self._clock()
        if now >= self._asked_at + ASK_FOR_THE_DEAD_SECONDS and any(at.held for at in cursor.writers.values()):
            self._dead, self._asked_at = dead_writers(self._directory), now
        elif now >= self._asked_at + ASK_FOR_THE_DEAD_SECONDS:
            self._dead = frozenset()
        files = journal_files(self._directory)  # after the dead were asked for: what they wrote is there
        self._files = {writer: list(group) for writer, group in groupby(files, writer_of)}
        self._listed_at = now

    def _portion(self, cursor: Cursor) -> Portion | None:
        self._damages.clear()
        writers = [writer for writer in self._in_turn() if self._has_news(writer, cursor.writers.get(writer))]
        taken = _Taken(self._max_events, self._max_bytes)
        positions: dict[str, Position] = {}
        blocks: list[Block] = []
        for at, writer in enumerate(writers):
            if taken.events < 1 or taken.bytes < 1:
                break
            before = cursor.writers.get(writer, Position())
            taken.begin(len(writers) - at)
            after, cut = self._read(writer, before, taken)
            if after != before:
                positions[writer] = after
                blocks.append(Block(writer, after.file, after.offset, cut))
                self._last = writer
        if not positions:
            return None
        return self._finished(cursor, taken, positions, tuple(blocks))

    def _in_turn(self) -> list[str]:
        writers = sorted(self._files)
        return [w for w in writers if w > self._last] + [w for w in writers if w <= self._last]

    def _has_news(self, writer: str, at: Position | None) -> bool:
        last = self._files[writer][-1]
        if at is None or at.file != last.name:
            return True
        if at.held and writer in self._dead:
            return True
        try:
            return os.stat(last).st_size != at.offset
        except OSError:
            return False

    def _finished(
        self, cursor: Cursor, taken: _Taken, positions: Mapping[str, Position], blocks: tuple[Block, ...]
    ) -> Portion:
        writers = {**cursor.writers, **positions}
        if self._files:  # a folder that is not mounted has no files either
            gone = [writer for writer in writers if writer not in self._files]
            taken.counts["missing"] += sum(_missing(writers.pop(writer)) for writer in gone)
        taken.counts["damaged"] += len(self._damages)
        for damage in self._damages:
            self._tell(damage)
        self._damages.clear()
        after = replace(cursor, writers=writers, pending=()).counting(taken.counts)
        return Portion(Batch(taken.entries), tuple(taken.steps), cursor, after, blocks)

    def _read(self, writer: str, at: Position, taken: _Taken) -> tuple[Position, int]:
        """Take what is new of a writer; return where it is then, and how many intent records were cut off."""
        files = self._files[writer]
        for number, file in enumerate(files):
            if at.file and sort_key(file.name) < sort_key(at.file):
                continue
            at, ended = self._read_file(file, at, taken)
            if not ended:
                return at, 0
            last = number == len(files) - 1
            if not last and is_live(file):  # it may still grow: its writer could not open the next one
                return at, 0
            if not last:  # what came between the last read and the lock's end
                at, ended = self._read_file(file, at, taken)
                if not ended:
                    return at, 0
        return self._cut_off(writer, at, taken) if writer in self._dead else (at, 0)

    def _read_file(self, file: Path, at: Position, taken: _Taken) -> tuple[Position, bool]:
        """Take the lines of a file; return where it is then, and whether that is the end."""
        reader = self._reader(file, at)
        for line in reader.lines():
            if not taken.has_room(len(line.body)):
                return at._replace(file=file.name, offset=line.offset), False  # behind any damage before it
            at = self._take(line, reader.offset, at, taken)
        if self._is_unreadable(file, at.offset if at.file == file.name else 0):
            return at, False
        return at._replace(file=file.name, offset=reader.offset), True

    def _reader(self, file: Path, at: Position) -> FileReader:
        return FileReader(file, offset=at.offset if file.name == at.file else 0, on_damage=self._aside)

    def _is_unreadable(self, file: Path, offset: int) -> bool:
        """Whether the file that was just read cannot be, from `offset` on; then its writer waits."""
        writer = writer_of(file)
        if not self._damages or not self._damages[-1].reason.startswith(UNREADABLE):
            self.unreadable.pop(writer, None)
            return False
        self.unreadable[writer] = f"{file}: {self._damages[-1].reason}"
        self._damages = [each for each in self._damages if each.file != file or each.offset < offset]
        return True

    def _take(self, line: Line, end: int, at: Position, taken: _Taken) -> Position:
        """Take a line, or pass over it; return where its writer is after it."""
        at, new = at.after(line.file.name, end, line.seq)
        if not new:
            return at
        try:
            event = parsed(line.body)
        except (ValueError, RecursionError):
            self._aside(Damage(line.file, line.offset, end - line.offset, NOT_JSON))
            return at
        if is_pending(event):
            return at.holding(event["id"], (line.file.name, line.offset))
        at = at.without(str(event.get("id")))
        writer = writer_of(line.file)
        self._add(Entry(writer, line.seq, identified(event, writer, line.seq), line.body, event, line.body), at, taken)
        return at

    def _add(self, entry: Entry, at: Position, taken: _Taken) -> None:
        if self._render is not None:
            try:
                entry = entry._replace(record=self._render(entry.event, entry.body))
            except NoRecordError:
                taken.counts["left_out"] += 1
                return
        taken.add(entry, at)

    def _cut_off(self, writer: str, at: Position, taken: _Taken, exactly: int | None = None) -> tuple[Position, int]:
        """Take the intent records of a writer that is gone: those for which there is room, or `exactly` so many."""
        count = 0
        for ident, place in list(at.held.items())[:exactly]:
            line = self._line_at(place)
            if line is not None and exactly is None and not taken.has_room(len(line.body)):
                break
            count += 1
            at = at.without(ident)
            if line is None:
                taken.counts["missing"] += 1
                continue
            event = cut_off(parsed(line.body))
            body = _as_json(event)
            self._add(Entry(writer, line.seq, identified(event, writer, line.seq), body, event, body), at, taken)
        return at, count

    def _line_at(self, place: Place) -> Line | None:
        """Return the line at a place, if it is still there."""
        name, offset = place
        lines = FileReader(self._directory / JOURNAL / name, offset=offset).lines()
        line = next(lines, None)
        return line if line is not None and line.offset == offset else None

    def _read_block(self, block: Block, at: Position, taken: _Taken) -> Position:
        """Take again what a batch had of a writer."""
        end = sort_key(block.file)
        for file in self._files.get(block.writer, []):
            if (not at.file or sort_key(file.name) >= sort_key(at.file)) and sort_key(file.name) <= end:
                at = self._read_up_to(file, block, at, taken)
        at = at._replace(file=block.file, offset=block.offset)
        return self._cut_off(block.writer, at, taken, exactly=block.cut_off)[0]

    def _read_up_to(self, file: Path, block: Block, at: Position, taken: _Taken) -> Position:
        reader = self._reader(file, at)
        for line in reader.lines():
            if file.name == block.file and line.offset >= block.offset:
                return at
            at = self._take(line, reader.offset, at, taken)
        return at


def _missing(at: Position) -> int:
    return sum(last - first + 1 for first, last in at.missing)


def identified(event: Event, writer: str, seq: int) -> str:
    """Return the id of an event; of one that has none, one that says which line it is."""
    ident = event.get("id")
    return ident if isinstance(ident, str) and ident else f"{writer}-{seq}"


def parsed(body: bytes) -> Event:
    """Return an event; the library of the standard takes what orjson does not, such as half of a surrogate pair."""
    try:
        event = orjson.loads(body)
    except ValueError:
        event = json.loads(body)
    if not isinstance(event, dict):
        raise ValueError("not an object")  # noqa: TRY004 - as what is no JSON
    return event


def _as_json(event: Event) -> bytes:
    """Return an event that is no line of the journal as queries give it."""
    try:
        return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(event, separators=(",", ":")).encode()
