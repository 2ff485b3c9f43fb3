"""A table for each month of events, made before the first event of it comes.

1. An id that begins with a time (UUID versions 7 and 8, RFC 9562) belongs to that month. Every other id, and one whose
   month is far from now, is in `events_other`.
2. A month's table is filled with what `events_other` has of it before it becomes a partition, so it can be made late.
3. Shipping does not wait for it: where a table cannot be made, events go to `events_other`, and it is tried again.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import psycopg
from psycopg import Connection, sql
from psycopg.rows import TupleRow

from auditmw.ship.targets.postgres.schema import has_table, lock_tables

TRY_AGAIN_SECONDS = 600.0
_FIRST_YEAR = 2000
_UUID_LENGTH = 36
_NAME = re.compile(r"events_(\d{4})_(\d{2})\Z")
_PREFIX = re.compile(r"[0-9a-f]{8}\Z")  # of a time in milliseconds: 65.536 seconds
_log = logging.getLogger("auditmw.ship")


class Month(NamedTuple):
    """A month of UTC."""

    year: int
    month: int

    @classmethod
    def of(cls, time: datetime) -> Month:
        """Return the month that a time is in."""
        return cls(time.year, time.month)

    @property
    def next(self) -> Month:
        """The month after it."""
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    @property
    def first_id(self) -> str:
        """Where its ids begin."""
        milliseconds = int(datetime(self.year, self.month, 1, tzinfo=UTC).timestamp()) * 1000
        digits = f"{milliseconds:012x}"
        return f"{digits[:8]}-{digits[8:]}"

    @property
    def table(self) -> str:
        """The name of its table."""
        return f"events_{self.year:04d}_{self.month:02d}"


def months_of(ids: Iterable[str]) -> set[Month]:
    """Return the months that ids belong to, as far as they begin with a time."""
    prefixes = {ident[:8] for ident in ids if len(ident) == _UUID_LENGTH and ident[14] in "78"}
    months = set()
    for prefix in prefixes:
        if _PREFIX.match(prefix):
            first = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(prefix, 16) << 16)
            months |= {Month.of(first), Month.of(first + timedelta(milliseconds=0xFFFF))}
    return months


class Partitions:
    """The months that have tables, as far as one connection knows.

    `now`: the time, aware. `ahead`: for how many months after this one there are to be tables.
    """

    def __init__(self, schema: str, ahead: int, now: Callable[[], datetime]) -> None:
        self._schema = schema
        self._ahead = ahead
        self._now = now
        self._known: set[Month] = set()
        self._failed: dict[Month, datetime] = {}

    def load(self, connection: Connection[TupleRow]) -> None:
        """Look which there are. Raises psycopg.Error."""
        table = sql.Identifier(self._schema, "events").as_string(connection)
        rows = connection.execute(
            "SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = %s::regclass", (table,)
        ).fetchall()
        found = (_NAME.match(name) for (name,) in rows)
        self._known = {Month(int(match[1]), int(match[2])) for match in found if match}
        self._failed.clear()

    def ensure(self, connection: Connection[TupleRow], ids: Iterable[str]) -> None:
        """Make the tables for these ids and the months to come. Raises psycopg.Error when the connection is broken."""
        now = self._now()
        for month in sorted(self._wanted(ids, now) - self._known):
            if month in self._failed and (now - self._failed[month]).total_seconds() < TRY_AGAIN_SECONDS:
                continue
            try:
                self._make(connection, month)
                self._known.add(month)
            except psycopg.Error as error:
                if connection.broken:
                    raise
                self._failed[month] = now
                _log.warning("auditmw: cannot make %s, its events go to events_other: %s", month.table, error)

    def _wanted(self, ids: Iterable[str], now: datetime) -> set[Month]:
        last = this = Month.of(now)
        coming = {this}
        for _ in range(self._ahead):
            last = last.next
            coming.add(last)
        latest = max(last, Month(this.year + 1, this.month))
        return coming | {month for month in months_of(ids) if Month(_FIRST_YEAR, 1) <= month <= latest}

    def _make(self, connection: Connection[TupleRow], month: Month) -> None:
        names = {
            "events": sql.Identifier(self._schema, "events"),
            "other": sql.Identifier(self._schema, "events_other"),
            "table": sql.Identifier(self._schema, month.table),
            "first": sql.Literal(month.first_id),
            "end": sql.Literal(month.next.first_id),
        }
        with connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '2s'")
            lock_tables(connection)
            if has_table(connection, self._schema, month.table):  # made by another, or taken off by the operator
                return
            for statement in _STEPS:
                connection.execute(sql.SQL(statement).format(**names))


_STEPS = (
    "CREATE TABLE {table} (LIKE {events} INCLUDING ALL)",
    "WITH moved AS (DELETE FROM {other} WHERE id >= {first} AND id < {end} RETURNING *) "
    "INSERT INTO {table} SELECT * FROM moved",
    "ALTER TABLE {events} ATTACH PARTITION {table} FOR VALUES FROM ({first}) TO ({end})",
)
