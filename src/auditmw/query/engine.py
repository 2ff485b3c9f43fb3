"""The engine: asks questions of a store of events, each over one exact view of it and within a time limit.

1. A question is about the events of a `Scope`: those that match a query, in a range of time.
2. SQL sees them as the relation `events`, with the columns of archive/columns.py and `bot`, `text`, `writer`, `seq`,
   `state`, `body`, and `person`. `time` is a TIMESTAMP in UTC. Each event is there once, with its outcome known by now.
3. A question reads slices of time, newest first; only Parquet files that overlap them are opened.
4. What does not fit into the time limit or the memory is told in the result's `partial`; nothing is raised for it.

    def count(engine: Engine, scope: Scope) -> Count:
        def answer(question: Question) -> Count:
            total = sum(rows[0][0] for rows in question.each("SELECT count(*) FROM events"))
            return Count(total, question.partial)

        return engine.ask(answer, scope)
"""

from __future__ import annotations

import copy
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias, TypeVar

from auditmw.archive.archiving import Progress
from auditmw.journal.reader import OnDamage
from auditmw.query.deadline import Deadline
from auditmw.query.directory import DirectoryStore
from auditmw.query.language import Query, parse
from auditmw.query.language.dialect import Dialect
from auditmw.query.language.predicate import Predicate, lookup, predicate
from auditmw.query.partial import Reason
from auditmw.query.question import Asked, Effort, Question, TooMuchError
from auditmw.query.scope import EVERYTHING, Scope
from auditmw.query.store import StaleViewError, Store, StoreError, StoreView

T = TypeVar("T")
Answer: TypeAlias = Callable[[Question], T]

_PORTION = 0.5  # of the time that is left, for one of several answers


class Engine:
    """Asks questions of one audit directory, or of another store. Threads may share it.

    `time_limit_seconds` holds for a question that brings none of its own; `slice_rows` is how many events a question
    looks at between two looks at the clock. `clock` counts seconds.

    The others are of a directory only. `threads` and `memory_bytes` are DuckDB's, for all questions together.
    `on_damage` hears of damaged places in journal files, which are left out. `archive_bytes`: as `Snapshot` has it;
    what is waiting in closed journal files beyond that is archived first. `on_archiving` hears how far that is, and
    None when it is over.
    """

    def __init__(
        self,
        place: str | os.PathLike[str] | Store,
        *,
        time_limit_seconds: float = 10.0,
        threads: int = 2,
        memory_bytes: int = 512 * 1024 * 1024,
        slice_rows: int = 5_000_000,
        clock: Callable[[], float] = time.monotonic,
        on_damage: OnDamage | None = None,
        archive_bytes: int | None = 64 * 1024 * 1024,
        on_archiving: Callable[[Progress | None], None] | None = None,
    ) -> None:
        self._store: Store
        if isinstance(place, str | os.PathLike):
            self._store = DirectoryStore(
                place,
                threads=threads,
                memory_bytes=memory_bytes,
                on_damage=on_damage,
                archive_bytes=archive_bytes,
                on_archiving=on_archiving,
            )
        else:
            self._store = place
        self._time_limit_seconds = time_limit_seconds
        self._slice_rows = slice_rows
        self._clock = clock
        self._lock = threading.Lock()
        self._deadlines: dict[Hashable, set[Deadline]] = {}
        self._restriction: Query | str | None = None

    def restricted_to(self, query: Query | str) -> Engine:
        """Return an engine to which there are no events but those that match, whatever it is asked.

        It is this engine otherwise: its limits, its memory, its tokens; closing one closes both. A query that is text
        is read anew for every question, so that `time:-7d..` moves on. Raises ValueError for a query that is empty or
        has errors, as it would let through what it was to keep back.
        """
        parsed = parse(query) if isinstance(query, str) else query
        if parsed.errors:
            raise ValueError(f"a restriction cannot have errors: {parsed.errors[0].message}, in {parsed.text!r}")
        if parsed.tree is None:
            raise ValueError("expected a query that some events match; a restriction cannot be empty")
        if self._restriction is not None:
            raise ValueError("expected an engine without a restriction: put both into one query")
        restricted = copy.copy(self)
        restricted._restriction = query
        return restricted

    def ask(
        self,
        answer: Answer[T],
        scope: Scope = EVERYTHING,
        *,
        stitched: bool = False,
        time_limit_seconds: float | None = None,
        token: Hashable = None,
    ) -> T:
        """Return what `answer` makes of the question. It may be called several times, and keeps no results outside.

        `stitched`: `person` also says to whom an anonymous event belongs (stitching.py); else `person` is `user`.
        `token`: any value by which another thread may `cancel` it. Raises ValueError for times without a zone,
        FileNotFoundError when there is no such directory or it is no audit directory.
        """
        (only,) = self.ask_each([answer], scope, stitched=stitched, time_limit_seconds=time_limit_seconds, token=token)
        return only

    def ask_each(
        self,
        answers: Sequence[Answer[T]],
        scope: Scope = EVERYTHING,
        *,
        stitched: bool = False,
        time_limit_seconds: float | None = None,
        token: Hashable = None,
    ) -> list[T]:
        """Return what each of the `answers` makes of the same question, as `ask` does it.

        The time is shared: each may use half of what those before it left, so that a slow one does not take it all.
        They see the same view, but for those that come after one that had to end.
        """
        limit = self._time_limit_seconds if time_limit_seconds is None else time_limit_seconds
        deadlines = [Deadline(self._clock) for _ in answers]
        prepared = [self._prepared(scope, stitched, deadline) for deadline in deadlines]
        pending = deque(zip(prepared, answers, strict=True))
        found: list[T] = []

        def portion_seconds() -> float:
            return (limit - deadlines[0].elapsed_seconds) * (1.0 if len(pending) == 1 else _PORTION)

        with self._under_way(token, deadlines):
            while pending:
                self._answer_from_one_view(pending, found, portion_seconds)
        return found

    def cancel(self, token: Hashable) -> bool:
        """End all questions that were asked with this token, from any thread; return whether there were any.

        What they have found until then is their answer, with "cancelled" in `partial.reasons`.
        """
        with self._lock:
            found = tuple(self._deadlines.get(token, ()))
        for deadline in found:
            deadline.cancel()
        return bool(found)

    @property
    def dialect(self) -> Dialect:
        """How the store's SQL says what plain SQL has no words for."""
        return self._store.dialect

    @property
    def archive_error(self) -> Exception | None:
        """Why the last question could not archive what was waiting; it was answered all the same."""
        return self._store.archive_error

    def close(self) -> None:
        """Let go of memory and temporary files."""
        self._store.close()

    def _prepared(self, scope: Scope, stitched: bool, deadline: Deadline) -> Asked:
        query = scope.parsed()
        since, until = scope.bounds(query)
        asked, errors = predicate(query, self.dialect), tuple(query.errors)
        known = self._world(), lookup(query, self.dialect)
        return Asked(scope, since, until, asked, errors, stitched, self._slice_rows, deadline, self.dialect, *known)

    def _world(self) -> Predicate | None:
        """Return what holds for every event that there is."""
        if self._restriction is None:
            return None
        restriction = self._restriction
        return predicate(parse(restriction) if isinstance(restriction, str) else restriction, self.dialect)

    @contextmanager
    def _under_way(self, token: Hashable, deadlines: Sequence[Deadline]) -> Iterator[None]:
        """Let the deadlines be cancelled by their token while the block runs."""
        with self._lock:
            self._deadlines.setdefault(token, set()).update(deadlines)
        try:
            yield
        finally:
            with self._lock:
                self._deadlines[token].difference_update(deadlines)
                if not self._deadlines[token]:
                    del self._deadlines[token]

    def _answer_from_one_view(
        self, pending: deque[tuple[Asked, Answer[T]]], found: list[T], portion_seconds: Callable[[], float]
    ) -> None:
        """Answer what is pending, up to the first one that does not fit; that one as far as it does."""
        try:
            with self._store.view() as view:
                while pending:
                    asked, answer = pending[0]
                    asked.deadline.begin(portion_seconds())
                    found.append(_answered(answer, Question(asked, view, Effort.ALL, None), view))
                    pending.popleft()
        except TooMuchError as stopped:
            found.append(self._answer_for_less(*pending.popleft(), stopped.reason))
        except StaleViewError:
            pass

    def _answer_for_less(self, asked: Asked, answer: Answer[T], reason: Reason) -> T:
        effort = Effort.NEWEST
        while True:
            try:
                with self._store.view() as view:
                    return _answered(answer, Question(asked, view, effort, reason), view)
            except TooMuchError as stopped:
                effort, reason = Effort.NOTHING, stopped.reason
            except StaleViewError:
                pass


def _answered(answer: Answer[T], question: Question, view: StoreView) -> T:
    try:
        with question.in_time():
            return answer(question)
    except StoreError as error:
        if view.check():
            raise StaleViewError("some of what was read is damaged") from error
        raise
