"""The state of a row: how intent records and final events of different parts belong together.

1. `final`: nearly every row. A query sees it.
2. A pending event (journal/intents.py) is `closed` when its final event was archived with it or before; no query sees
   it. Else it is `open`: its request may still be running, or its process died.
3. `late`: a final event whose pending one was archived before it, as `open`. A query sees it, and so that the other is
   settled.
4. So a query sees the rows that are `final` or `late`, and those `open` ones without a `late` one whose writer is gone.
   Merging makes an `open` row and its `late` one `closed` and `final`, when they meet.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from auditmw.archive.layout import Layout
from auditmw.archive.manifest import Manifest, Part
from auditmw.archive.projection import CLOSED, FINAL, LATE, OPEN
from auditmw.archive.sql import parquet

VISIBLE = f"state IN ('{FINAL}', '{LATE}')"
"""SQL: whether a row is an event for every query."""


def settle(connection: duckdb.DuckDBPyConnection, layout: Layout, table: str, manifest: Manifest) -> None:
    """Give the rows of `table`, which are to be archived next, their states. Raises duckdb.Error.

    Before, a pending event is `open` and every other is `final`.
    """
    _close(connection, table, f"SELECT writer, id FROM {table} WHERE state = '{FINAL}'")
    waiting = [part for part in manifest.parts if part.states.get(OPEN)]
    if waiting:
        writers = f"writer IN (SELECT DISTINCT writer FROM {table})"
        pending = f"SELECT writer, id FROM {_read(layout, waiting)} WHERE state = '{OPEN}' AND {writers}"
        connection.execute(
            f"UPDATE {table} SET state = '{LATE}' WHERE state = '{FINAL}' AND (writer, id) IN ({pending})"
        )
    if _overtaken(connection, table, manifest):
        ids = f"id IN (SELECT id FROM {table} WHERE state = '{OPEN}')"
        _close(connection, table, f"SELECT writer, id FROM {_read(layout, manifest.parts)} WHERE {VISIBLE} AND {ids}")


def _close(connection: duckdb.DuckDBPyConnection, table: str, finals: str) -> None:
    """Make the open rows of `table` whose final events are in `finals` closed."""
    if connection.execute(f"SELECT 1 FROM {table} WHERE state = '{OPEN}' LIMIT 1").fetchone():
        connection.execute(
            f"UPDATE {table} SET state = '{CLOSED}' WHERE state = '{OPEN}' AND (writer, id) IN ({finals})"
        )


def _overtaken(connection: duckdb.DuckDBPyConnection, table: str, manifest: Manifest) -> bool:
    """Return whether later lines of a writer were archived before an open one: its file could not be read then."""
    first = f"SELECT writer, min(seq) FROM {table} WHERE state = '{OPEN}' GROUP BY writer"
    pairs = ((manifest.seqs.get(writer), seq) for writer, seq in connection.execute(first).fetchall())
    return any(archived and archived.pairs[-1][1] > seq for archived, seq in pairs)


def _read(layout: Layout, parts: Sequence[Part]) -> str:
    return parquet(layout.archive / part.file for part in parts)


def settled(relation: str, parts: Sequence[Part]) -> str:
    """Return SQL of the rows of `relation`, which reads `parts`, with the states of those that meet."""
    counts = [part.states for part in parts]
    if not (any(count.get(OPEN) for count in counts) and any(count.get(LATE) for count in counts)):
        return relation

    def meets(state: str) -> str:
        return f"(writer, id) IN (SELECT (writer, id) FROM {relation} WHERE state = '{state}')"

    state = f"""CASE WHEN state = '{OPEN}' AND {meets(LATE)} THEN '{CLOSED}'
        WHEN state = '{LATE}' AND {meets(OPEN)} THEN '{FINAL}' ELSE state END"""
    return f"(SELECT * REPLACE ({state} AS state) FROM {relation})"
