"""Events as rows of a table, of DuckDB or of ClickHouse: what a query's SQL is asked of in tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import duckdb
import orjson

from auditmw.archive.projection import rows
from auditmw.query.language import Query
from auditmw.query.language.predicate import predicate
from auditmw.query.relation import named


class Events(Protocol):
    """A table of events."""

    def fill(self, events: Sequence[dict[str, Any]]) -> None:
        """Have these events, and no others."""

    def found(self, query: Query) -> list[int]:
        """The places in that list of the events that the query asks for."""


class DuckEvents:
    """Rows as the archive has them."""

    def __init__(self) -> None:
        self._connection = duckdb.connect(config={"threads": 1})

    def fill(self, events: Sequence[dict[str, Any]]) -> None:
        bodies = [orjson.dumps(event).decode() for event in events]
        lines = "(SELECT 'writer' AS writer, generate_subscripts(?, 1) - 1 AS seq, unnest(?) AS body)"
        self._connection.execute(f"CREATE OR REPLACE TABLE events AS {rows(lines, packed=False)}", [bodies, bodies])

    def found(self, query: Query) -> list[int]:
        sql, params = predicate(query)
        found = self._connection.execute(f"SELECT seq FROM events WHERE {sql} ORDER BY seq", params).fetchall()
        return [number for (number,) in found]


class ClickHouseEvents:
    """Rows as `auditmw ship` makes them."""

    def fill(self, events: Sequence[dict[str, Any]]) -> None:
        from clickhouse_table import ClickHouseTable
        from query_table import Row

        self._table = ClickHouseTable([Row("writer", seq, event) for seq, event in enumerate(events)], 1_000)

    def found(self, query: Query) -> list[int]:
        sql, params = named(predicate(query, self._table.dialect), "_")
        found = self._table.run(f"SELECT seq FROM {self._table.relation()} WHERE {sql} ORDER BY seq", params, seconds=9)
        return [number for (number,) in found]
