"""The tables that `auditmw ship` fills, as they are at one moment."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from auditmw.archive.columns import NAMES
from auditmw.archive.view import Missing, PartFile
from auditmw.clickhouse.connection import Connection
from auditmw.clickhouse.values import Row, time_text
from auditmw.query.store import StoreError
from auditmw.ship.targets.clickhouse.schema import EPOCH, Place

_TIMELESS = "timeless"
_EPOCH = datetime(1970, 1, 1)
_FIRST_MONTH = 197001  # where the events without a time are
_LOOK_SECONDS = 30.0


class ClickHouseView:
    """What was stored by now, each event once, until the connection has other work. For one thread at a time.

    What is stored later has a later `stored`, by the server's clock, and is left out before FINAL chooses one row of a
    key: so what was there stays. An INSERT that was under way may still appear, as its rows got their time before it
    was done. `has_older`: whether there may be rows from before version 2, which have no `text`: free text is looked
    for in their whole `body`.
    """

    live = 0
    missing: tuple[Missing, ...] = ()

    def __init__(self, connection: Connection, place: Place, *, has_older: bool) -> None:
        self._connection = connection
        self._table = f"`{place.table}`"
        self._text = "coalesce(t.text, t.body)" if has_older else "t.text"
        self.parts, self._cut = self._look()
        self.interrupt = connection.interrupt

    def relation(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        parts: Iterable[PartFile] | None = None,
        live: bool = True,
        columns: Collection[str] = NAMES,
    ) -> str:
        """Return SQL that stands where a table does, as `StoreView.relation` says; it also has the column `stored`."""
        conditions = [f"t.time {sign} {_literal(bound)}" for sign, bound in ((">=", since), ("<", until)) if bound]
        if conditions:
            conditions.append(f"t.time > {EPOCH}")
        if parts is not None:
            conditions.append(_within(parts))
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        found = ", ".join(self._column(name) for name in NAMES if name in columns)
        # Qualified, as some names are also those of what is made of the column.
        source = f"{self._table} AS t FINAL PREWHERE t.stored <= {_literal(self._cut)}"
        return f"(SELECT {found}, t.stored AS stored FROM {source}{where})"

    def run(self, sql: str, parameters: Mapping[str, object], *, seconds: float) -> list[Row]:
        """Return the rows of a statement. Raises as `StoreView.run` does."""
        return self._connection.run(sql, parameters, seconds=seconds)

    def check(self) -> list[Missing]:
        """Return nothing: the server itself knows its files."""
        return []

    def _column(self, name: str) -> str:
        if name == "time":
            return f"nullIf(t.time, {EPOCH}) AS time"
        if name == "minute":
            return f"if(t.time = {EPOCH}, NULL, toDateTime64(t.minute, 6, 'UTC')) AS minute"
        if name == "text":
            return f"nullIf({self._text}, '') AS text"
        return f't."{name}" AS "{name}"'

    def _look(self) -> tuple[tuple[PartFile, ...], datetime]:
        """Return the months with events, and the moment: what the server answers without reading any row."""
        sql = f"""SELECT toUInt32(0) AS month, toUInt64(0) AS events, now64(6, 'UTC') AS first, now64(6, 'UTC') AS last
            UNION ALL SELECT toYYYYMM(time) AS month, count() AS events, min(time) AS first, max(time) AS last
            FROM {self._table} GROUP BY month"""
        found = self.run(sql, {}, seconds=_LOOK_SECONDS)
        cut = [first for month, _, first, _ in found if month == 0]
        if len(cut) != 1:
            raise StoreError(f"expected one moment and months, not {len(cut)} moments")
        parts = [PartFile(str(month), rows, 0, first, last) for month, rows, first, last in found if month]
        if any(part.first == _EPOCH for part in parts):
            parts = [part for part in parts if part.first != _EPOCH] + self._parts_of_first_month()
        return tuple(sorted(parts, key=lambda part: part.last or datetime.min, reverse=True)), cut[0]

    def _parts_of_first_month(self) -> list[PartFile]:
        sql = f"""SELECT time = {EPOCH} AS is_timeless, count(), min(time), max(time) FROM {self._table}
            WHERE toYYYYMM(time) = {_FIRST_MONTH} GROUP BY is_timeless"""
        return [
            PartFile(_TIMELESS, rows, 0, None, None)
            if is_timeless
            else PartFile(str(_FIRST_MONTH), rows, 0, first, last)
            for is_timeless, rows, first, last in self.run(sql, {}, seconds=_LOOK_SECONDS)
        ]


def _within(parts: Iterable[PartFile]) -> str:
    """Return SQL: whether an event is in one of the parts."""
    paths = [part.path for part in parts]
    months = [path for path in paths if path != _TIMELESS]
    ways = [f"t.time > {EPOCH} AND toYYYYMM(t.time) IN ({', '.join(months)})"] if months else []
    ways += [f"t.time = {EPOCH}"] if _TIMELESS in paths else []
    return f"({' OR '.join(ways) or 'false'})"


def _literal(moment: datetime) -> str:
    return f"toDateTime64('{time_text(moment)}', 6, 'UTC')"
