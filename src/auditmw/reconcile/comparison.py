"""Which events of an audit directory a target does not have, and how many it has that the directory has not.

1. Events are compared by their ids, of the archive and of the journal, each day of theirs (UTC) by itself.
2. The cursor is read first, then the directory, then the target is asked. So an event that the cursor has passed, and
   the target does not have, is missing; one that it has not passed is on its way.
3. A target that knows writers is asked first how many events it has of each, and the directory is read after that: what
   it has more was deleted here (prune), or was never here.
4. In memory: one portion of ids, and what DuckDB may take; the rest is in its temporary files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from auditmw.archive.snapshot import Snapshot
from auditmw.journal import Damage, journal_files, writer_of
from auditmw.journal.cursor import CURSOR, SHIP, Cursor, load
from auditmw.ship.deadletters import DeadLetters, Key
from auditmw.ship.status import last_told
from auditmw.ship.target import Inventory, Mention

AT_ONCE = 10_000
MOST_RUNS = 1_000
MISSING, WAITING, DEAD = "missing", "waiting", "dead"

_ID = "coalesce(nullif(id, ''), writer || '-' || seq)"  # as it is shipped
_TAKE = """INSERT INTO absent SELECT unnest($writers), unnest($seqs), unnest($ids), unnest($days), unnest($places),
    unnest($fates)"""
_RUNS = f"""
    SELECT day, writer, min(seq), max(seq), count(*), min(id) FROM (
        SELECT *, place - row_number() OVER (PARTITION BY day, writer ORDER BY place) AS run
        FROM absent WHERE fate = '{MISSING}'
    ) GROUP BY day, writer, run ORDER BY day NULLS LAST, writer, min(seq) LIMIT {MOST_RUNS + 1}
"""


class NothingShippedError(LookupError):
    """Nothing was shipped under this name: the message says what was."""


class Day(NamedTuple):
    """One day's events, None for those without a time: how many are in the directory, and of those not in the target.

    `waiting` are on their way, `dead` were rejected and set aside, `missing` should be there.
    """

    day: date | None
    events: int
    waiting: int
    dead: int
    missing: int


class Run(NamedTuple):
    """Missing events of one writer and day between which none is there: from line `first` to `last` of the journal."""

    day: date | None
    writer: str
    first: int
    last: int
    events: int
    first_id: str


@dataclass(frozen=True)
class Difference:
    """What came of a comparison. `more`: how many events the target has beyond the directory's; None if not asked.

    `runs`: at most 1,000; `has_more_runs` says whether there are others. `unreadable`: what could not be compared.
    """

    days: tuple[Day, ...]
    runs: tuple[Run, ...]
    has_more_runs: bool
    more: int | None
    unreadable: tuple[str, ...]

    def total(self, what: str) -> int:
        """Return the sum of the days' `events`, `waiting`, `dead` or `missing`."""
        return sum(getattr(day, what) for day in self.days)


class Comparison:
    """Compares the directory with the target whose shipper's folder is DIR/ship/<name>.

    To be used in a `with` statement. `since`, `until`: only events with since <= time < until. Raises
    NothingShippedError, CursorError, OSError.
    """

    def __init__(
        self,
        directory: Path,
        target: Inventory,
        name: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> None:
        cursor = load(directory / SHIP / name / CURSOR)
        if cursor is None:
            raise NothingShippedError(_unknown(directory, name))
        self._dead = {
            (letter.entry.writer, letter.entry.seq) for letter in DeadLetters(directory / SHIP / name, "").letters()
        }
        self._journeys = _Journeys(directory, cursor, self._dead)
        self._target = target
        self._since, self._until = since, until
        self._open = ExitStack()
        self._damaged: list[str] = []
        self._snapshot = self._open.enter_context(Snapshot(directory, archive_bytes=None, on_damage=self._note))
        self._places: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def difference(self) -> Difference:
        """Ask the target. Raises ShipError, ArchiveError, duckdb.Error."""
        counts = self._counts() if self._since is None and self._until is None else None
        self._view = self._open.enter_context(self._snapshot.view())
        self._connection = self._view.connection
        self._connection.execute(
            "CREATE TEMP TABLE absent (writer VARCHAR, seq BIGINT, id VARCHAR, day DATE, place BIGINT, fate VARCHAR)"
        )
        events: Counter[date | None] = Counter()
        by_writer: Counter[str] = Counter()
        for portion in self._portions():
            events.update(row.day for row in portion)
            by_writer.update(row.writer for row in portion)
            self._take(portion)
        runs = [Run(*row) for row in self._connection.execute(_RUNS).fetchall()]
        more = None if counts is None else self._more(counts, by_writer)
        unreadable = tuple(f"{each.file}: {each.reason}" for each in self._view.missing)
        return Difference(
            self._days(events), tuple(runs[:MOST_RUNS]), len(runs) > MOST_RUNS, more, (*unreadable, *self._damaged)
        )

    def missing(self) -> Iterator[tuple[str, int, bytes]]:
        """Yield the writer, the number and the JSON of each event that is missing, after `difference`."""
        relation = self._view.relation(self._since, self._until)
        found = self._connection.execute(
            f"""SELECT r.writer, r.seq, r.body FROM {relation} r
            SEMI JOIN (SELECT * FROM absent WHERE fate = '{MISSING}') m ON r.writer = m.writer AND r.seq = m.seq
            ORDER BY r.writer, r.seq"""
        )
        while rows := found.fetchmany(AT_ONCE // 10):
            yield from ((writer, seq, body.encode()) for writer, seq, body in rows)

    def _note(self, damage: Damage) -> None:
        if len(self._damaged) < MOST_RUNS:
            self._damaged.append(f"{damage.file} at {damage.offset}: {damage.reason}")

    def _counts(self) -> Mapping[str, int]:
        with self._snapshot.view() as view:
            rows = view.connection.execute(f"SELECT DISTINCT writer FROM {view.relation()}").fetchall()
        return self._target.counts([writer for (writer,) in rows])

    def _portions(self) -> Iterator[list[_Row]]:
        cursor = self._connection.cursor()
        relation = self._view.relation(self._since, self._until)
        found = cursor.execute(f'SELECT writer, seq, {_ID}, "time" FROM {relation}')
        while rows := found.fetchmany(AT_ONCE):
            yield [_Row(*row) for row in rows]

    def _take(self, portion: Sequence[_Row]) -> None:
        """Keep which of a portion's events the target does not have."""
        absent = self._target.absent([Mention(row.id, row.time) for row in portion])
        taken: dict[str, list[Any]] = {name: [] for name in ("writers", "seqs", "ids", "days", "places", "fates")}
        for row in portion:
            self._places[row.writer] += 1
            if row.id in absent:
                values = (row.writer, row.seq, row.id, row.day, self._places[row.writer], self._journeys.fate(row))
                for name, value in zip(taken, values, strict=True):
                    taken[name].append(value)
        if taken["ids"]:
            self._connection.execute(_TAKE, taken)

    def _days(self, events: Counter[date | None]) -> tuple[Day, ...]:
        rows = self._connection.execute("SELECT day, fate, count(*) FROM absent GROUP BY ALL").fetchall()
        fates = {(day, fate): count for day, fate, count in rows}
        ordered = sorted(events, key=lambda day: (day is None, day or date.min))
        return tuple(
            Day(day, events[day], *(fates.get((day, fate), 0) for fate in (WAITING, DEAD, MISSING))) for day in ordered
        )

    def _more(self, counts: Mapping[str, int], events: Counter[str]) -> int:
        lacking = dict(self._connection.execute("SELECT writer, count(*) FROM absent GROUP BY writer").fetchall())
        here = {writer: count - lacking.get(writer, 0) for writer, count in events.items()}
        if "" in counts:
            here = {"": sum(here.values())}
        return sum(max(0, count - here.get(writer, 0)) for writer, count in counts.items())


class _Row(NamedTuple):
    writer: str
    seq: int
    id: str
    time: datetime | None

    @property
    def day(self) -> date | None:
        return None if self.time is None else self.time.date()


def _unknown(directory: Path, name: str) -> str:
    """Return what to say of a name under which nothing was shipped."""
    told = [last_told(path.parent) for path in sorted((directory / SHIP).glob(f"*/{CURSOR}"))]
    known = ", ".join(f"{each.target or 'a target'} as {each.name}" for each in told)
    if not known:
        return f"nothing was shipped from {directory} yet: `auditmw ship` comes first"
    return (
        f"nothing was shipped from {directory} as {name}, but to {known}: give the URL exactly as it was given to "
        "ship, or its --name"
    )


class _Journeys:
    """How far events are on their way."""

    def __init__(self, directory: Path, cursor: Cursor, dead: set[Key]) -> None:
        self._writers = cursor.writers
        self._present = {writer_of(file) for file in journal_files(directory)}
        self._dead = dead

    def fate(self, row: _Row) -> str:
        """Return what is the matter with an event that is not in the target."""
        if (row.writer, row.seq) in self._dead:
            return DEAD
        at = self._writers.get(row.writer)
        if at is None:  # a writer without a file is behind the cursor, or was archived before there was one
            return WAITING if row.writer in self._present else MISSING
        passed = row.seq <= at.seq and row.id not in at.held and not any(a <= row.seq <= b for a, b in at.missing)
        return MISSING if passed else WAITING
