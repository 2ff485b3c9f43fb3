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
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from auditmw.formats.record import Event, RecordError
from auditmw.journal import Damage, FileReader, Line, dead_writers, is_live, journal_files, writer_of
from auditmw.journal.cursor import Block, Cursor, Place, Position
from auditmw.journal.events import NOT_JSON
from auditmw.journal.intents import cut_off, is_pending
from auditmw.journal.layout import JOURNAL, sort_key
from auditmw.journal.reader import UNREADABLE, OnDamage, damage_handler
from auditmw.parsing import parse_event
from auditmw.ship.batch import Batch, Entry, identified
from auditmw.ship.portion import Portion, Taken, Track

LIST_AGAIN_SECONDS = 1.0
ASK_FOR_THE_DEAD_SECONDS = 5.0

Render = Callable[[Entry, Event], bytes]
"""Makes an event's record; raises RecordError where there is none. The entry's `record` is its body as yet."""


class Source:
    """Reads the journal of `directory` for one target.

    `render`: makes the records; an event for which there is none is left out, and counted.
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
        taken = Taken(self._max_events, self._max_bytes)
        positions = {}
        for block in cursor.pending:
            track = Track(block.writer, cursor.writers.get(block.writer, Position()))
            self._read_block(block, track, taken)
            positions[block.writer] = track.position
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
        taken = Taken(self._max_events, self._max_bytes)
        positions: dict[str, Position] = {}
        blocks: list[Block] = []
        for at, writer in enumerate(writers):
            if taken.events < 1 or taken.bytes < 1:
                break
            before = cursor.writers.get(writer, Position())
            taken.begin(len(writers) - at)
            track = Track(writer, before)
            cut = self._read(track, taken)
            if (after := track.position) != before:
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
        self, cursor: Cursor, taken: Taken, positions: Mapping[str, Position], blocks: tuple[Block, ...]
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
        return Portion(
            Batch(taken.entries), taken.bases, taken.offsets, cursor, after, blocks, taken.is_full or taken.events < 1
        )

    def _read(self, track: Track, taken: Taken) -> int:
        """Take what is new of a writer; return how many intent records were cut off."""
        files, begun = self._files[track.writer], track.position.file
        for number, file in enumerate(files):
            if begun and sort_key(file.name) < sort_key(begun):
                continue
            if not self._read_file(file, track, taken):
                return 0
            last = number == len(files) - 1
            if not last and is_live(file):  # it may still grow: its writer could not open the next one
                return 0
            if not last and not self._read_file(file, track, taken):  # what came before the lock's end
                return 0
        return self._cut_off(track, taken) if track.writer in self._dead else 0

    def _read_file(self, file: Path, track: Track, taken: Taken) -> bool:
        """Take the lines of a file; return whether these were all."""
        name, reader = file.name, self._reader(file, track)
        for line in reader.lines():
            if not taken.has_room(len(line.body)):
                track.move(name, line.offset)  # behind any damage before it
                return False
            self._take(line, name, reader.offset, track, taken)
        at = track.position
        if self._is_unreadable(file, at.offset if at.file == name else 0):
            return False
        track.move(name, reader.offset)
        return True

    def _reader(self, file: Path, track: Track) -> FileReader:
        at = track.position
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

    def _take(self, line: Line, name: str, end: int, track: Track, taken: Taken) -> None:
        """Take a line of the file `name`, or pass over it."""
        body = line.body
        if not track.passes(name, end, line.seq):
            return
        try:
            event = parse_event(body)
        except ValueError:
            self._aside(Damage(line.file, line.offset, end - line.offset, NOT_JSON))
            return
        if is_pending(event):
            track.hold(event["id"], (name, line.offset))
            return
        if track.held:
            track.release(str(event.get("id")))
        self._add(line.seq, body, event, track, taken)

    def _add(self, seq: int, body: bytes, event: Event, track: Track, taken: Taken) -> None:
        entry = Entry(track.writer, seq, identified(event, track.writer, seq), body, body)
        if self._render is not None:
            try:
                entry = Entry(entry.writer, seq, entry.id, body, self._render(entry, event))
            except RecordError:
                taken.counts["left_out"] += 1
                return
        taken.add(entry, track)

    def _cut_off(self, track: Track, taken: Taken, exactly: int | None = None) -> int:
        """Take the intent records of a writer that is gone: those for which there is room, or `exactly` so many."""
        count = 0
        for ident, place in list(track.held.items())[:exactly]:
            line = self._line_at(place)
            if line is not None and exactly is None and not taken.has_room(len(line.body)):
                break
            count += 1
            track.release(ident)
            if line is None:
                taken.counts["missing"] += 1
                continue
            event = cut_off(parse_event(line.body))
            self._add(line.seq, _as_json(event), event, track, taken)
        return count

    def _line_at(self, place: Place) -> Line | None:
        """Return the line at a place, if it is still there."""
        name, offset = place
        lines = FileReader(self._directory / JOURNAL / name, offset=offset).lines()
        line = next(lines, None)
        return line if line is not None and line.offset == offset else None

    def _read_block(self, block: Block, track: Track, taken: Taken) -> None:
        """Take again what a batch had of a writer."""
        begun, end = track.position.file, sort_key(block.file)
        for file in self._files.get(block.writer, []):
            if (not begun or sort_key(file.name) >= sort_key(begun)) and sort_key(file.name) <= end:
                self._read_up_to(file, block, track, taken)
        track.move(block.file, block.offset)
        self._cut_off(track, taken, exactly=block.cut_off)

    def _read_up_to(self, file: Path, block: Block, track: Track, taken: Taken) -> None:
        name, reader = file.name, self._reader(file, track)
        for line in reader.lines():
            if name == block.file and line.offset >= block.offset:
                return
            self._take(line, name, reader.offset, track, taken)


def _missing(at: Position) -> int:
    return sum(last - first + 1 for first, last in at.missing)


def _as_json(event: Event) -> bytes:
    """Return an event that is no line of the journal as queries give it."""
    try:
        return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(event, separators=(",", ":")).encode()
