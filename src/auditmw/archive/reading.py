"""All events of an audit directory, archived and live, in time order, in bounded memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from auditmw.archive.error import ExpiredError
from auditmw.archive.layout import Layout
from auditmw.archive.parts import ORDER
from auditmw.archive.snapshot import Missing, Snapshot, View
from auditmw.archive.sql import exactly
from auditmw.journal import Damage
from auditmw.journal.events import NOT_JSON
from auditmw.journal.reader import OnDamage, ignore

DAMAGED_PART = "damaged Parquet file"

_WINDOW_ROWS = 32_768
_GROUP_ROWS = 16_384
_ARCHIVE_BYTES = 256 * 1024 * 1024

Event = dict[str, Any]
T = TypeVar("T")


def read_events(
    directory: str | os.PathLike[str], *, loads: Callable[[bytes], Any], on_damage: OnDamage | None = None
) -> Iterator[Event]:
    """Yield the events as dicts, oldest first, those without a usable time before all, each once.

    `loads` parses one JSON object. Damage is told as `journal.read_events` tells it; and a Parquet file that cannot be
    read, as many `missing` events. What is written while somebody reads may come or not. Memory: some ten thousand
    events at a time, and DuckDB's limit. Raises FileNotFoundError when there is no such directory.
    """
    return _Reading(Layout(directory), loads, on_damage or ignore).events()


class _Reading:
    def __init__(self, layout: Layout, loads: Callable[[bytes], Any], on_damage: OnDamage) -> None:
        self._layout = layout
        self._loads = loads
        self._on_damage = on_damage
        self._told: set[str] = set()
        self._done = False
        self._reached: datetime | None = None  # everything before was given
        self._timeless: tuple[str, int] | None = ("", 0)  # the last line without a time that was given; None is done

    def events(self) -> Iterator[Event]:
        """Yield all events; begin no work before the first is asked for."""
        with Snapshot(self._layout.directory, archive_bytes=_ARCHIVE_BYTES, on_damage=self._on_damage) as snapshot:
            while not self._done:
                # When the view expires, go on where it was, in what the files became.
                with snapshot.view() as view, suppress(ExpiredError):
                    self._tell(view.missing)
                    yield from self._windows(view)
                    self._done = True

    def _windows(self, view: View) -> Iterator[Event]:
        """Yield what is to come, window by window."""
        while self._timeless is not None:
            timeless = [part for part in view.parts if part.first is None]
            later = '"time" IS NULL AND (writer, seq) > ($writer, $seq)'
            after = dict(zip(("writer", "seq"), self._timeless, strict=True))
            rows = self._rows(view, lambda: view.relation(parts=timeless), later, after)  # noqa: B023
            self._timeless = rows[-1][:2] if len(rows) == _WINDOW_ROWS else None
            yield from self._parsed(rows)
        for until in self._without_damage(view, lambda: _boundaries(view, self._reached)):
            rows = self._rows(view, lambda: view.relation(self._reached, until), '"time" IS NOT NULL')  # noqa: B023
            self._reached = until
            yield from self._parsed(rows)

    def _rows(
        self, view: View, relation: Callable[[], str], condition: str, values: dict[str, Any] | None = None
    ) -> list[tuple[str, int, str]]:
        limit = f"LIMIT {_WINDOW_ROWS}" if values else ""

        def query() -> list[tuple[str, int, str]]:
            rows = f"SELECT writer, seq, body FROM {relation()} WHERE {condition} ORDER BY {ORDER} {limit}"
            return view.connection.execute(rows, values).fetchall()

        return self._without_damage(view, query)

    def _without_damage(self, view: View, query: Callable[[], T]) -> T:
        """Return what `query` does, without what proves damaged."""
        while True:
            try:
                return query()
            except duckdb.Error:
                found = view.check()
                if not found:
                    raise
                self._tell(found)

    def _parsed(self, rows: list[tuple[str, int, str]]) -> Iterator[Event]:
        for _, _, body in rows:
            try:
                event: Event = self._loads(body.encode())
            except (ValueError, RecursionError):  # what DuckDB takes for JSON and others do not, such as NaN
                self._on_damage(Damage(self._layout.archive, 0, len(body), NOT_JSON))
            else:
                yield event

    def _tell(self, missing: tuple[Missing, ...] | list[Missing]) -> None:
        for each in missing:
            if each.file not in self._told:
                self._told.add(each.file)
                file = Path(self._layout.archive / each.file)
                self._on_damage(Damage(file, 0, 0, f"{DAMAGED_PART}: {each.reason}", missing=each.rows))


def _boundaries(view: View, reached: datetime | None) -> list[datetime | None]:
    """Return where windows of about as many rows end, after `reached`; the last is None."""
    files = [part.path for part in view.parts if part.last is not None and (reached is None or part.last >= reached)]
    groups: list[tuple[datetime, int]] = view.connection.execute(
        f"""SELECT max("time"), count(*) FROM (
            SELECT "time", (row_number() OVER (ORDER BY "time") - 1) // {_GROUP_ROWS} AS number
            FROM {view.relation(parts=[])} WHERE "time" IS NOT NULL)
        GROUP BY number"""
    ).fetchall()
    if files:
        groups += view.connection.execute(
            """SELECT stats_max_value::TIMESTAMP, row_group_num_rows FROM parquet_metadata($files)
            WHERE path_in_schema = 'time'""",
            {"files": [exactly(file) for file in files]},
        ).fetchall()
    found: list[datetime | None] = []
    rows = 0
    for last, count in sorted(groups):
        rows += count
        if rows >= _WINDOW_ROWS and (reached is None or last > reached):
            found.append(last)
            rows = 0
    return [*found, None]
