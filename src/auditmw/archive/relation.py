"""The SQL of what a query reads: parts, live lines and cut-off requests as one relation, each event once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from itertools import product
from typing import NamedTuple

from auditmw.archive.columns import NAMES
from auditmw.archive.manifest import Part
from auditmw.archive.packing import unpack
from auditmw.archive.sql import parquet
from auditmw.archive.states import VISIBLE
from auditmw.archive.versions import Tables

_UNPACKED = f"{unpack('packed')} AS body"


class Bounds(NamedTuple):
    """A range of time, naive UTC: from `since` on and before `until`; None is no bound."""

    since: datetime | None
    until: datetime | None

    @classmethod
    def of(cls, since: datetime | None, until: datetime | None) -> Bounds:
        """Return the range for times that are aware, or naive and in UTC."""
        return cls(_naive(since), _naive(until))

    def overlaps(self, first: datetime | None, last: datetime | None) -> bool:
        """Return whether events from `first` to `last`, both included, may be in the range; None is no time."""
        if first is None or last is None:
            return self.since is None and self.until is None
        return (self.since is None or last >= self.since) and (self.until is None or first < self.until)

    def covers(self, first: datetime | None, last: datetime | None) -> bool:
        """Return whether all of them surely are."""
        if first is None or last is None:
            return self.overlaps(first, last)
        return (self.since is None or first >= self.since) and (self.until is None or last < self.until)

    def conditions(self) -> list[str]:
        """Return SQL conditions."""
        bounds = ((">=", self.since), ("<", self.until))
        return [f"\"time\" {sign} TIMESTAMP '{time.isoformat(sep=' ')}'" for sign, time in bounds if time is not None]


def relation(
    parts: Sequence[tuple[str, Part]], bounds: Bounds, tables: Tables, *, live: bool, columns: Collection[str]
) -> str:
    """Return SQL, in parentheses, of the events in these parts, each with its path, and, if `live`, in the tables."""
    # The fewer, the sooner DuckDB has planned a statement.
    names = [f'"{name}"' for name in NAMES if name in columns]
    in_tables = ", ".join(names)
    in_files = ", ".join(_UNPACKED if name == '"body"' else name for name in names)
    asked = [(path, part) for path, part in parts if bounds.overlaps(part.first, part.last)]
    branches = []
    # Without conditions, DuckDB counts from the footers of the files.
    for inside, intents in product((True, False), (False, True)):
        some = [
            path
            for path, part in asked
            if bounds.covers(part.first, part.last) is inside and bool(part.states) is intents
        ]
        if some:
            conditions = [] if inside else bounds.conditions()
            conditions += [VISIBLE] if intents else []
            branches.append(f"SELECT {in_files} FROM {parquet(some)}{_where(conditions)}")
    if live:
        arrived = [VISIBLE, f"arrival <= {tables.arrival}", *bounds.conditions()]
        branches.append(f"SELECT {in_tables} FROM {tables.live}{_where(arrived)}")
        branches.append(f"SELECT {in_tables} FROM {tables.cut_off}{_where(bounds.conditions())}")
    nothing = f"SELECT {in_tables} FROM {tables.live} LIMIT 0"
    return f"({' UNION ALL '.join(branches) or nothing})"


def _where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _naive(moment: datetime | None) -> datetime | None:
    return moment if moment is None or moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
