"""Events a page at a time, newest or oldest first; and all of them, page by page."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from contextlib import closing
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args

from auditmw.parsing import parse_event
from auditmw.query.cursor import Key, from_cursor, to_cursor
from auditmw.query.engine import Engine
from auditmw.query.language.predicate import LOOKED_UP, Predicate
from auditmw.query.partial import Partial
from auditmw.query.question import Question
from auditmw.query.scope import EVERYTHING, Scope
from auditmw.query.slices import TIMELESS, Slice

Order = Literal["newest", "oldest"]

PAGE_LIMIT = 10_000
FIRST_ROWS = 20_000
FIRST_LOOKED_UP = 5_000_000  # where most files tell fast that nothing is in them
_MICROSECOND = timedelta(microseconds=1)


class Entry(NamedTuple):
    """One event of a page: its key, and its JSON as it was written."""

    key: Key
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        """The event, parsed anew each time; None where a number is none, and not deeper than 200 levels."""
        return parse_event(self.body)

    @property
    def cursor(self) -> str:
        """The place of this event, for `after` and `before`."""
        return to_cursor(self.key)


class Page(NamedTuple):
    """Some events in the order that was asked for.

    `next` is the cursor to go on with behind them; None when there are no more. Where the time limit ended the search
    it goes on from there, so that a page may be short or empty and still have a next one. `previous` is the cursor to
    ask for what comes before them, also later, when there may be newer ones; None when nothing was ever there.
    """

    entries: tuple[Entry, ...]
    next: str | None
    previous: str | None
    partial: Partial | None


def page(
    engine: Engine,
    scope: Scope = EVERYTHING,
    *,
    order: Order = "newest",
    after: str | None = None,
    before: str | None = None,
    limit: int = 100,
    time_limit_seconds: float | None = None,
    token: Hashable = None,
) -> Page:
    """Return up to `limit` events of the scope: the first ones, or those right after or right before a cursor.

    The order is by time, and of events at the same time by writer and number: pages do not overlap, and leave out
    nothing that was there when the first one was asked for. Raises ValueError for a cursor that no page gave, and for a
    limit that is not from 1 to 10,000.
    """
    paging = Paging.checked(order, after, before, limit)
    return engine.ask(paging.page, scope, time_limit_seconds=time_limit_seconds, token=token)


def pages(
    engine: Engine, scope: Scope = EVERYTHING, *, order: Order = "oldest", limit: int = 2_000, token: Hashable = None
) -> Iterator[Page]:
    """Yield all events of the scope, page by page, in bounded memory: for exports.

    The time limit holds for each page, and a page that it cut short is gone on with in the next one. Ends early when it
    is cancelled, which the last page says. Raises TimeoutError when the limit is too short to get on at all.
    """
    cursor = None
    while True:
        got = page(engine, scope, order=order, after=cursor, limit=limit, token=token)
        stopped = got.partial is not None and "cancelled" in got.partial.reasons
        if not stopped and not got.entries and got.partial and got.next in {cursor, None} and _ended(got.partial):
            raise TimeoutError(f"not even a part of the events could be searched: {', '.join(got.partial.reasons)}")
        yield got
        if stopped or got.next is None:
            return
        cursor = got.next


def _ended(partial: Partial) -> bool:
    return "time limit" in partial.reasons or "memory" in partial.reasons


class Source(NamedTuple):
    """What a search looks through: SQL of a relation with `time`, `writer`, `seq`, made of `events`, and what it binds.

    `lookup`: as `Question.lookup`, of what the SQL adds to the query. `first_rows`: among about how many events to look
    first; None is as the query and `lookup` have it.
    """

    sql: str = "events"
    parameters: Mapping[str, object] = MappingProxyType({})
    lookup: Predicate | None = None
    first_rows: int | None = None

    @classmethod
    def of(cls, column: str, value: object, first_rows: int | None = None) -> Source:
        """Return the events with this value in a column of the archive."""
        lookup = Predicate(f'"{column}" = ?', (value,)) if column in LOOKED_UP else None
        return cls(f'(SELECT * FROM events WHERE "{column}" = $value)', {"value": value}, lookup, first_rows)


EVENTS = Source()


class Paging(NamedTuple):
    """Which page is asked for. `limit`: of its events."""

    order: Order
    after: str | None
    before: str | None
    limit: int

    @classmethod
    def checked(cls, order: Order, after: str | None, before: str | None, limit: int) -> Paging:
        """Return it. Raises ValueError where it makes no sense."""
        if order not in get_args(Order):
            raise ValueError(f"expected newest or oldest, not {order!r}")
        if not 1 <= limit <= PAGE_LIMIT:
            raise ValueError(f"expected a limit from 1 to {PAGE_LIMIT:,}, not {limit!r}")
        if after is not None and before is not None:
            raise ValueError("expected one cursor, after or before, not both")
        for cursor in (after, before):
            if cursor is not None:
                from_cursor(cursor)
        return cls(order, after, before, limit)

    def page(self, question: Question, source: Source = EVENTS) -> Page:
        """Return the page; of `source`."""
        cursor = self.after if self.before is None else self.before
        descending = (self.order == "newest") == (self.before is None)
        place = None if cursor is None else from_cursor(cursor)
        entries, onward = Search(place, descending, self.limit, source).run(question)
        if self.before is None:
            return Page(tuple(entries), onward, entries[0].cursor if entries else self.after, question.partial)
        entries.reverse()
        behind = entries[-1].cursor if entries else self.before
        ahead = onward or (entries[0].cursor if entries else self.before)
        return Page(tuple(entries), behind, ahead, question.partial)


class Search(NamedTuple):
    """Looks for the events behind a place in the order, as far as a limit."""

    place: Key | None
    descending: bool
    limit: int
    source: Source = EVENTS

    def run(self, question: Question) -> tuple[list[Entry], str | None]:
        """Return the entries, and the cursor to go on with when there are more or the search was ended."""
        found: list[Entry] = []
        lookup = self.source.lookup or question.lookup
        first_rows = self.source.first_rows or (FIRST_ROWS if lookup is None else FIRST_LOOKED_UP)
        slices = question.each(
            self._sql(),
            self._bound(),
            within=self._within(),
            oldest_first=not self.descending,
            first_rows=max(first_rows, 2 * self.limit),
        )
        with closing(slices):
            for rows in slices:
                keys = [Key(*row) for row in rows[: self.limit + 1 - len(found)]]
                bodies = question.bodies(keys, lookup)
                if bodies is None:
                    break
                found += [Entry(key, bodies[key].encode()) for key in keys if key in bodies]
                if len(found) > self.limit:
                    del found[self.limit :]
                    return found, found[-1].cursor
        return found, self._onward(question)

    def _onward(self, question: Question) -> str | None:
        """Return the cursor of where the search was ended; None when it was not."""
        if not question.ended:
            return None
        covered = question.covered
        if covered is None:
            return None if self.place is None else to_cursor(self.place)
        moment = covered.since if self.descending else covered.until
        return to_cursor(Key(moment or datetime.min, "", -1))

    def _within(self) -> Slice | None:
        if self.place is None:
            return None
        if self.place.time is None:
            return TIMELESS if self.descending else None
        if not self.descending:
            return Slice(self.place.time, None)
        at_the_same_time = self.place.writer != "" and self.place.time < datetime.max
        return Slice(None, self.place.time + _MICROSECOND if at_the_same_time else self.place.time)

    def _sql(self) -> str:
        way, than = ("DESC", "<") if self.descending else ("ASC NULLS FIRST", ">")
        behind = "TRUE"
        if self.place is not None:
            tie = f"(writer {than} $writer OR (writer = $writer AND seq {than} $seq))"
            if self.place.time is None:
                behind = f"(time IS NULL AND {tie})" if self.descending else f"(time IS NOT NULL OR {tie})"
            else:
                behind = f"(time {than} $time OR (time = $time AND {tie}){' OR time IS NULL' * self.descending})"
        return f"""SELECT time, writer, seq FROM {self.source.sql} WHERE {behind}
            ORDER BY time {way}, writer {way}, seq {way} LIMIT $limit"""

    def _bound(self) -> dict[str, object]:
        place = {} if self.place is None else {"writer": self.place.writer, "seq": self.place.seq}
        if self.place is not None and self.place.time is not None:
            place["time"] = self.place.time
        return {**place, **self.source.parameters, "limit": self.limit + 1}
