"""What is shipped at a time: a batch, and where its reader is before, within and after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from auditmw.journal.cursor import Block, Cursor, Place, Position
from auditmw.ship.batch import Batch, Entry


class Track:
    """Where a reader is with one writer: a Position that moves, and is not made anew for each line.

    `base`: where it was when something else than the offset and the number changed. `offset`: at which one it is.
    """

    __slots__ = ("_seq", "base", "offset", "writer")

    def __init__(self, writer: str, at: Position) -> None:
        self.writer = writer
        self._begin(at)

    def _begin(self, at: Position) -> None:
        self.base, self.offset, self._seq = at, at.offset, at.seq

    @property
    def position(self) -> Position:
        """Where it is."""
        return self.base._replace(offset=self.offset, seq=self._seq)

    @property
    def held(self) -> Mapping[str, Place]:
        """The intent records that are held."""
        return self.base.held

    def move(self, file: str, offset: int) -> None:
        """Go to a place without reading lines."""
        self._begin(self.position._replace(file=file, offset=offset))

    def passes(self, file: str, end: int, seq: int) -> bool:
        """Go behind a line; return whether it is the first of its number."""
        if seq == self._seq + 1 and file == self.base.file:
            self.offset, self._seq = end, seq
            return True
        at, is_new = self.position.after(file, end, seq)
        self._begin(at)
        return is_new

    def hold(self, ident: str, place: Place) -> None:
        """Hold an intent record."""
        self._begin(self.position.holding(ident, place))

    def release(self, ident: str) -> None:
        """Hold an intent record no more."""
        self._begin(self.position.without(ident))


@dataclass
class Portion:
    """A batch, where its writer is after each of its entries, and the cursor after all of it.

    The batch may be empty: then there was only what is not shipped. After an entry its writer is where `bases` says,
    but at its `offsets`, and at the entry's number. `is_full`: there may be more to read already.
    """

    batch: Batch
    bases: Sequence[Position]
    offsets: Sequence[int]
    before: Cursor
    after: Cursor
    blocks: tuple[Block, ...]
    is_full: bool = False

    def onto(self, cursor: Cursor) -> Portion:
        """Return it as it is after this cursor, which differs from `before` in its counts only."""
        gained = {kind: number - self.before.counts.get(kind, 0) for kind, number in cursor.counts.items()}
        return replace(self, before=cursor, after=self.after.counting(gained))

    def cursor_at(self, position: int) -> Cursor:
        """Return the cursor of a reader that has what is before this position, and nothing else."""
        if position >= len(self.batch):
            return self.after
        last = {self.batch[at].writer: at for at in range(position)}
        moved = {writer: self._position_after(at) for writer, at in last.items()}
        return replace(self.before, writers={**self.before.writers, **moved}, pending=())

    def _position_after(self, at: int) -> Position:
        base = self.bases[at]
        return base._replace(offset=self.offsets[at], seq=max(base.seq, self.batch[at].seq))


@dataclass
class Taken:
    """What was taken so far for one portion, and of the writer that is being read."""

    events: int
    bytes: int
    entries: list[Entry] = field(default_factory=list)
    bases: list[Position] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    is_full: bool = False
    begun: int = 0  # how many entries there were before this writer's
    share_events: int = 0  # never more than `events` and `bytes`
    share_bytes: int = 0

    def begin(self, writers: int) -> None:
        """Share what is left among so many writers, of which the next one is read now."""
        self.begun = len(self.entries)
        self.share_events = -(-self.events // writers)
        self.share_bytes = -(-self.bytes // writers)

    def has_room(self, size: int) -> bool:
        """Whether an event of this size still goes in; the first one always does."""
        if (self.share_events > 0 and size <= self.share_bytes) or not self.entries:
            return True
        if len(self.entries) == self.begun and self.events > 0 and size <= self.bytes:
            return True
        self.is_full = True
        return False

    def add(self, entry: Entry, track: Track) -> None:
        """Take an event, after which its writer is there."""
        size = len(entry.body)
        self.entries.append(entry)
        self.bases.append(track.base)
        self.offsets.append(track.offset)
        self.events -= 1
        self.share_events -= 1
        self.bytes -= size
        self.share_bytes -= size
