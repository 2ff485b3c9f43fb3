"""A feed as what a shipper ships: from a stream straight into a target, without an audit directory between them.

1. The cursor has, of each track, the number of the last message that the target has durably, and where the batch ends
   that is under way. So a batch that was cut off comes again as it was: with the same events and the same token.
2. What the cursor has passed is acknowledged, when it is saved, for others to see; where to begin is known from the
   cursor alone.
3. A message that is no event is set aside, durably, before the cursor passes it (aside.py). Messages that were gone
   before they could be collected are told by an `auditmw.gap` event in their place, the same one if it comes again.
4. In memory: the batch that is under way, the next one, and what of a third has come.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import orjson

from auditmw.collect.aside import Aside
from auditmw.collect.events import ForeignError, gap_before, nanoseconds, parsed, time_of
from auditmw.collect.feed import Feed, Message
from auditmw.collect.progress import lag_of
from auditmw.event import timestamp
from auditmw.formats.record import Event, RecordError
from auditmw.journal.cursor import Block, Cursor, Position
from auditmw.journal.reader import OnDamage
from auditmw.ship.batch import Batch, Entry
from auditmw.ship.portion import Portion
from auditmw.ship.source import Render
from auditmw.ship.status import Lag
from auditmw.ship.target import RetryableError, ShipError

_START = Position()
_READ_SECONDS = 0.5
_MOST_QUIET_READS = 60

_log = logging.getLogger("auditmw.collect")


class FeedOrigin:
    """What `feed` has, for one target.

    `folder`: where the targets' folders are. `name`, `stream`: the feed's URL as the name of a folder, and without
    secrets. `every_seconds`: how long messages wait for others to share a batch with; `once`: they do not, and what is
    there now comes without fail. `clock`: seconds that never go back; `now_ns`: the time.
    """

    kind = "stream"

    def __init__(
        self,
        feed: Feed,
        folder: Path,
        *,
        name: str,
        stream: str,
        every_seconds: float,
        once: bool = False,
        clock: Callable[[], float] = time.monotonic,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.folder, self.stream = folder, stream
        self._feed, self._name = feed, name
        self._every_seconds = 0.0 if once else every_seconds
        self._once, self._clock, self._now_ns = once, clock, now_ns
        self._reader: FeedReader | None = None

    def identity(self) -> str:
        """Return what the stream is called."""
        return self._name

    def open(
        self, folder: Path, *, max_events: int, max_bytes: int, render: Render | None, on_damage: OnDamage
    ) -> FeedReader:
        """Return a reader; it connects when it is asked."""
        self._reader = FeedReader(
            self._feed,
            Aside(folder),
            folder,
            stream=self.stream,
            max_events=max_events,
            max_bytes=max_bytes,
            render=render,
            every_seconds=self._every_seconds,
            once=self._once,
            clock=self._clock,
            now_ns=self._now_ns,
        )
        return self._reader

    def lag(self) -> Lag:
        """Return how many messages the target does not have, and how old the oldest of them is."""
        return Lag() if self._reader is None else self._reader.lag()

    def settled(self, cursor: Cursor) -> None:
        """Acknowledge what the target has."""
        if self._reader is not None:
            self._reader.settle(cursor)

    def close(self) -> None:
        """Close the connection."""
        self._feed.close()


@dataclass
class _Taken:
    """What was made of some messages of a portion."""

    entries: list[Entry] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    foreign: list[tuple[Message, str]] = field(default_factory=list)


class FeedReader:
    """Reads a feed for a shipper. `folder`: where what is no event is set aside; the rest as of FeedOrigin."""

    def __init__(
        self,
        feed: Feed,
        aside: Aside,
        folder: Path,
        *,
        stream: str,
        max_events: int,
        max_bytes: int,
        render: Render | None,
        every_seconds: float,
        once: bool,
        clock: Callable[[], float],
        now_ns: Callable[[], int],
    ) -> None:
        self.unreadable: dict[str, str] = {}  # nothing ever is: a stream has no files
        self._feed, self._aside, self._folder, self._stream = feed, aside, folder, stream
        self._max_events, self._max_bytes, self._render = max_events, max_bytes, render
        self._every_seconds, self._once, self._clock, self._now_ns = every_seconds, once, clock, now_ns
        self._handed: dict[str, int] | None = None  # up to where messages were handed over; None without a connection
        self._acknowledged: dict[str, int] = {}
        self._come: dict[str, int] = {}  # the last message of each track that was read
        self._gathered: list[Message] = []  # that came, and were not handed over
        self._gathered_bytes = 0
        self._since = 0.0
        self._under_way: list[Message] = []
        self._last: Message | None = None

    def next(self, cursor: Cursor) -> Portion | None:
        """Return what comes after the cursor; None while too little has come."""
        positions = _positions(cursor)
        try:
            if positions != self._handed:
                self._begin(positions)
            self._gather(self._is_room)
        except ShipError:
            self._handed = None
            raise
        return self._portion(cursor, self._share()) if self._is_due() else None

    def again(self, cursor: Cursor) -> Portion:
        """Return the messages up to where the batch that is pending ends."""
        ends = {block.writer: block.offset for block in cursor.pending}
        self._begin(_positions(cursor))
        try:
            self._gather(lambda: any(self._come.get(track, 0) < end for track, end in ends.items()), patient=True)
        except ShipError:
            self._handed = None
            raise
        come = self._gathered
        self._keep([message for message in come if message.number > ends.get(message.track, 0)])
        return self._portion(cursor, [each for each in come if each.number <= ends.get(each.track, 0)], ends)

    def settle(self, cursor: Cursor) -> None:
        """Acknowledge what the cursor has passed. It is for others to know: a failure shows at the next read."""
        positions = _positions(cursor)
        self._under_way = [each for each in self._under_way if each.number > positions.get(each.track, 0)]
        new = {track: number for track, number in positions.items() if number != self._acknowledged.get(track)}
        if not new or self._handed is None:
            return
        try:
            self._feed.acknowledge(new)
            self._acknowledged = positions
        except ShipError:
            self._handed = None

    def lag(self) -> Lag:
        """Return what the target does not have."""
        waiting = len(self._under_way) + len(self._gathered) + self._feed.left()
        oldest = next(iter((*self._under_way[:1], *self._gathered[:1])), self._last)
        return lag_of(waiting, oldest, self._now_ns())

    def _begin(self, positions: dict[str, int]) -> None:
        """Connect, and begin behind these positions."""
        self._handed = None
        self._keep([])
        self._come = {}
        self._feed.connect()
        self._feed.begin(lambda track: positions.get(track, 0))
        self._handed = self._acknowledged = positions

    def _keep(self, messages: list[Message]) -> None:
        """Have these wait."""
        self._gathered, self._gathered_bytes = messages, sum(len(message.body) for message in messages)
        self._since = self._clock()

    def _gather(self, wanted: Callable[[], bool], *, patient: bool = False) -> None:
        """Take what comes while it is `wanted`, up to what is there now.

        With `patient`, or once: what is there and does not come is waited for; raises RetryableError in the end.
        """
        quiet = 0
        while wanted():
            messages = self._feed.read(self._max_events, _READ_SECONDS)
            if messages and not self._gathered:
                self._since = self._clock()
            self._gathered += messages
            self._gathered_bytes += sum(len(message.body) for message in messages)
            self._come |= {message.track: message.number for message in messages}
            quiet = 0 if messages else quiet + 1
            if self._feed.is_at_end() or (quiet and not self._once and not patient):
                return
            if quiet >= _MOST_QUIET_READS:
                raise RetryableError(f"{self._stream} has more messages, but does not hand them out")

    def _is_room(self) -> bool:
        """Whether one batch has room for more than has come."""
        return len(self._gathered) < self._max_events and self._gathered_bytes < self._max_bytes

    def _is_due(self) -> bool:
        return bool(self._gathered) and (not self._is_room() or self._clock() >= self._since + self._every_seconds)

    def _share(self) -> list[Message]:
        """Take what goes into one batch."""
        size = count = 0
        for message in self._gathered[: self._max_events]:
            size += len(message.body)
            if count and size > self._max_bytes:
                break
            count += 1
        some, rest = self._gathered[:count], self._gathered[count:]
        since = self._since
        self._keep(rest)
        self._since = since
        return some

    def _portion(self, cursor: Cursor, messages: list[Message], ends: Mapping[str, int] | None = None) -> Portion:
        """Make a portion; raises OSError when what is no event cannot be set aside."""
        messages.sort(key=lambda message: message.track)  # each track stays in order
        taken = _Taken()
        for message in messages:
            self._take(message, taken)
        taken.counts["set_aside"] += len(taken.foreign)
        self._set_aside(taken.foreign)
        ends = ends or {message.track: message.number for message in messages}
        moved = {track: Position("", end, end) for track, end in ends.items()}
        after = replace(cursor, writers={**cursor.writers, **moved}, pending=()).counting(taken.counts)
        blocks = tuple(Block(track, "", end) for track, end in ends.items())
        self._handed = _positions(after)
        self._under_way = self._under_way + messages
        self._last = messages[-1] if messages else self._last
        may_be_more = bool(self._gathered) or not self._feed.is_at_end()
        numbers = [entry.seq for entry in taken.entries]
        return Portion(Batch(taken.entries), [_START] * len(numbers), numbers, cursor, after, blocks, may_be_more)

    def _take(self, message: Message, taken: _Taken) -> None:
        try:
            body, event = parsed(message.body)
        except ForeignError as error:
            taken.foreign.append((message, str(error)))
            body, event = b"", {}
        if message.missing:
            self._tell_gap(message, event, taken)
        if event:
            self._add(Entry(message.track, message.number, event["id"], body, body), event, taken)

    def _tell_gap(self, message: Message, event: Mapping[str, object], taken: _Taken) -> None:
        moment = time_of(dict(event))
        body = gap_before(message, self._stream, nanoseconds(moment) if moment else self._now_ns())
        gap = orjson.loads(body)
        _log.error("auditmw: %d messages were gone from %s before they were collected", message.missing, self._stream)
        taken.counts["missing"] += message.missing
        self._add(Entry(message.track, message.number - 1, gap["id"], body, body), gap, taken)

    def _add(self, entry: Entry, event: Event, taken: _Taken) -> None:
        if self._render is not None:
            try:
                entry = entry._replace(record=self._render(entry, event))
            except RecordError:
                taken.counts["left_out"] += 1
                return
        taken.entries.append(entry)

    def _set_aside(self, foreign: Sequence[tuple[Message, str]]) -> None:
        new = self._aside.keep(foreign, timestamp(self._now_ns()))
        if new:
            where, why = self._folder, foreign[-1][1]
            _log.warning(
                "auditmw: %d messages of %s are no events, and were set aside in %s: %s", new, self._stream, where, why
            )


def _positions(cursor: Cursor) -> dict[str, int]:
    return {track: at.seq for track, at in cursor.writers.items()}
