"""A question under way: a view of the archive, a deadline, and how far the answer has come."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import NamedTuple

from auditmw.archive.snapshot import Missing, PartFile
from auditmw.query import relation
from auditmw.query.cursor import Key
from auditmw.query.deadline import Deadline
from auditmw.query.language.dialect import Dialect
from auditmw.query.language.predicate import Predicate
from auditmw.query.partial import Partial, QueryError, Reason
from auditmw.query.scope import Scope
from auditmw.query.slices import TIMELESS, Slice, newest, slices
from auditmw.query.store import OutOfMemoryError, Parameters, StatementInterruptedError, StoreView
from auditmw.query.store import Row as Row

_MICROSECOND = timedelta(microseconds=1)
_MOST_KEYS = 4_000  # that one statement asks for: a list that is bound is at most 128 KiB over HTTP


class Effort(Enum):
    """How much of its events a question tries to answer at once, and how much of its time may have passed by then."""

    ALL = 1.0, 0.75
    NEWEST = 0.125, 1.0
    NOTHING = 0.0, 1.0

    def __init__(self, share: float, time: float) -> None:
        self.share = share
        self.time = time


class TooMuchError(Exception):
    """What a question wants at once does not fit: the engine asks again for less."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class Asked(NamedTuple):
    """What is the same however often an answer begins anew. `since` and `until` are naive, in UTC.

    `world`: what every event matches that there is for whoever asks; None is all events. `lookup`: the part of
    `predicate` by which files tell fast where nothing matches, if it has one.
    """

    scope: Scope
    since: datetime | None
    until: datetime | None
    predicate: Predicate
    errors: tuple[QueryError, ...]
    stitched: bool
    slice_rows: int
    deadline: Deadline
    dialect: Dialect
    world: Predicate | None = None
    lookup: Predicate | None = None


class Question:
    """One question: a scope, a view of the archive, and a deadline.

    `sql` begins with SELECT or WITH, names the relation `events`, and takes parameters by name (`$limit`); names that
    begin with an underscore are the engine's. Values are bound, never spliced. What is not plain SQL it says in the
    words of `dialect`. Rows are as `store.Row` says.
    """

    def __init__(self, asked: Asked, view: StoreView, effort: Effort, narrowed_by: Reason | None) -> None:
        self.scope = asked.scope
        self.dialect = asked.dialect
        self._asked = asked
        self._view = view
        self._effort = effort
        self._ended_by = narrowed_by
        self.ended = False  # for good: a statement that was interrupted leaves the view's transaction useless
        self._under_way = False
        self.covered: Slice | None = Slice(asked.since, asked.until)
        if effort is Effort.NEWEST:
            self.covered = newest(view.parts, Slice(asked.since, asked.until), share=effort.share)
        elif effort is Effort.NOTHING:
            self.covered = None
        self._covered_before = self.covered

    def in_time(self) -> AbstractContextManager[None]:
        """Return a context in which statements are interrupted when the time is over."""
        return self._asked.deadline.enforced(self._view.interrupt)

    def whole(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        """Answer from all events of the scope at once: for what depends on their order (funnels, retention).

        When the limit comes first, `answer` is called again, for the newest part of the events (`partial.covered_from`
        says from when on), and when not even that fits, a last time, for none: then the list is empty and no SQL runs.
        So all calls of `whole` in one answer speak of the same events.
        """
        if self._effort is Effort.NOTHING:
            return []
        rows = self._over(self.covered, sql, parameters, self._effort.time) if self.covered else None
        if rows is None:
            raise TooMuchError(self._ended_by or self._asked.deadline.reason)
        return rows

    def each(
        self,
        sql: str,
        parameters: Parameters | None = None,
        *,
        within: Slice | None = None,
        oldest_first: bool = False,
        first_rows: int | None = None,
    ) -> Generator[list[Row]]:
        """Answer slice by slice, newest first: for what can be added up (counts, histograms).

        Ends early at the limit. The slices are disjoint in time; a session or a user may have events in several. Events
        without a time are the oldest, in a slice of their own. `within`: only of this part of the scope. `first_rows`:
        about how many events the first slice has. Who has enough before the end closes the generator
        (contextlib.closing).
        """
        if self.covered is None:
            return
        whole = self.covered if within is None else self.covered.cut(within)
        pieces = self._slices(whole, first_rows, oldest_first)
        self.covered, self._under_way = None, True
        try:
            for piece in pieces:
                rows = self._over(piece, sql, parameters)
                if rows is None:
                    return
                self._covered_before = self.covered
                self.covered = _grown(self.covered, piece, whole, oldest_first)
                yield rows
            self._finish(whole)
        except GeneratorExit:
            self._finish(whole)
        finally:
            self._under_way = False

    def _slices(self, whole: Slice, first_rows: int | None, oldest_first: bool) -> list[Slice]:
        view = self._view
        timeless = self.covered == Slice(None, None) and (view.live or any(part.first is None for part in view.parts))
        if whole.timeless:
            return [TIMELESS] if timeless else []
        rows = self._asked.slice_rows
        first = max(1, min(rows // 8 if first_rows is None else first_rows, rows))
        timed = slices(view.parts, whole, first_rows=first, rows=rows, oldest_first=oldest_first)
        if not timeless or timed == [self.covered]:
            return timed
        return [TIMELESS, *timed] if oldest_first else [*timed, TIMELESS]

    def _finish(self, whole: Slice) -> None:
        if not self.ended:
            self.covered = whole

    @property
    def lookup(self) -> Predicate | None:
        """The part of the query by which files tell fast where nothing matches; None when it has no such part."""
        return self._asked.lookup

    def bodies(self, keys: Sequence[Key], lookup: Predicate | None = None) -> dict[Key, str] | None:
        """Return the bodies of the events with these keys; None when the limit comes first.

        `lookup`: what holds for them, and of the scope's events between them for hardly any others. Where `each` looks
        for few events in many, asking for their bodies afterwards reads much less of the files. When the limit comes,
        the slice that `each` gave last counts as not looked at.
        """
        wanted, found = set(keys), dict[Key, str]()
        timed = [key for key in keys if key.time is not None]
        timeless = [key for key in keys if key.time is None]
        for some in (*_batches(timed), *_batches(timeless)):
            rows = self._bodies_of(some, lookup)
            if rows is None:
                self.covered = self._covered_before
                return None
            found |= {key: body for *values, body in rows if (key := Key(*values)) in wanted}
        return found

    def _bodies_of(self, keys: Sequence[Key], lookup: Predicate | None) -> list[Row] | None:
        """Return key and body of these events, and of some others: all have a time, or none has."""
        times = sorted({key.time for key in keys if key.time is not None})
        piece = Slice(times[0], times[-1] + _MICROSECOND) if times else TIMELESS
        if lookup is not None:
            condition, values = relation.named(lookup, "_l")
            sql = f"SELECT time, writer, seq, body FROM events WHERE {condition}"
            return self._over(piece, sql, values, parts=self._parts_at(times))
        at_times, bound = self.dialect.among("time", times, "time") if times else ("TRUE", {})
        with_numbers, numbers = self.dialect.among("seq", sorted({key.seq for key in keys}), "seq")
        source = relation.source(self._view, piece, "body", self._parts_at(times))
        sql = f"SELECT time, writer, seq, body FROM {source} WHERE {at_times} AND {with_numbers}"
        return self._run(sql, bound | numbers)

    def _parts_at(self, times: Sequence[datetime]) -> list[PartFile]:
        """Return the parts in whose time one of these sorted times is."""

        def has_one(part: PartFile) -> bool:
            if part.first is None or part.last is None:
                return False
            return bisect_left(times, part.first) < bisect_right(times, part.last)

        return [part for part in self._view.parts if has_one(part)]

    def span(self) -> tuple[datetime, datetime] | None:
        """Return from when on and before when the scope's events are, matching or not; None when there are none.

        The bounds of the scope, and where it has none, the first and the last event that is there.
        """
        since, until = self._asked.since, self._asked.until
        if since is None or until is None:
            firsts, lasts = ([moment for moment in each if moment] for each in zip(*self._ends(), strict=True))
            if not firsts:
                return None
            since = min(firsts) if since is None else since
            until = max(*lasts, since) + _MICROSECOND if until is None else until
        return since.replace(tzinfo=UTC), until.replace(tzinfo=UTC)

    def _ends(self) -> list[Row]:
        """Return first and last times of events, of which the earliest and the latest are those of all."""
        if self._asked.world is not None:  # the files also speak of events that are not there for whoever asks
            clause, bound = relation.all_events(self._view, Slice(None, None), self._asked.world, self.dialect)
            return self._run(f"{clause} SELECT min(time), max(time) FROM _world", bound) or [(None, None)]
        live = self._run(f"SELECT min(time), max(time) FROM {self._view.relation(parts=())}", {}) or [(None, None)]
        return [*((part.first, part.last) for part in self._view.parts), *live]

    @property
    def partial(self) -> Partial | None:
        """What the answers given so far do not cover; None when they are whole."""
        missing = tuple(part for part in self._view.missing if self._concerns(part))
        reasons: list[Reason] = ["under way"] if self._under_way else []
        reasons += [self._ended_by] if self._ended_by else []
        reasons += ["damage"] if missing else []
        reasons += ["query"] if self._asked.errors else []
        if not reasons:
            return None
        end = self._asked.until or datetime.now(UTC)
        covered = self.covered or Slice(end, end)
        if self._asked.world is not None:
            missing = ()  # how much of it concerns whoever asks cannot be known; that there is damage is told
        return Partial(tuple(reasons), _aware(covered.since), _aware(covered.until), missing, self._asked.errors)

    def _concerns(self, part: Missing) -> bool:
        if part.first is None or part.last is None:
            return True
        return Slice(self._asked.since, self._asked.until).overlaps(part.first, part.last)

    def _over(
        self,
        piece: Slice,
        sql: str,
        parameters: Parameters | None,
        time: float = 1.0,
        parts: Sequence[PartFile] | None = None,
    ) -> list[Row] | None:
        """Return the rows of a statement over the events of a slice; in `parts` only."""
        asked = self._asked
        clause, bound = relation.events(
            self._view,
            piece,
            asked.predicate,
            self.dialect,
            asked.world,
            stitched=asked.stitched,
            sql=sql,
            parts=parts,
        )
        text = f"{clause}, {sql.removeprefix('WITH ')}" if sql.startswith("WITH ") else f"{clause} {sql}"
        return self._run(text, {**bound, **(parameters or {})}, time)

    def _run(self, sql: str, parameters: Parameters, time: float = 1.0) -> list[Row] | None:
        """Return the rows of a statement; None, and `_ended_by` why, when it had to end before."""
        deadline = self._asked.deadline
        deadline.allow(time)
        if self.ended or deadline.passed:
            self.ended, self._ended_by = True, self._ended_by or deadline.reason
            return None
        try:
            return self._view.run(sql, parameters, seconds=deadline.left_seconds)
        except StatementInterruptedError:
            self.ended, self._ended_by = True, deadline.reason
        except OutOfMemoryError:
            self.ended, self._ended_by = True, "memory"
        return None


def _grown(covered: Slice | None, piece: Slice, whole: Slice, oldest_first: bool) -> Slice:
    """Return what is covered now that one more slice is; the first of all times stands for events without one."""
    if piece.timeless:
        return Slice(None, datetime.min) if covered is None else Slice(None, covered.until)
    if oldest_first:
        return Slice(whole.since, piece.until)
    return Slice(piece.since or datetime.min, whole.until)


def _batches(keys: Sequence[Key]) -> Iterator[Sequence[Key]]:
    return (keys[first : first + _MOST_KEYS] for first in range(0, len(keys), _MOST_KEYS))


def _aware(moment: datetime | None) -> datetime | None:
    return moment and moment.replace(tzinfo=UTC)
