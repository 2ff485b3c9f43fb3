"""A store of events in a ClickHouse inside of this process: the table of `auditmw ship`, filled as it is filled."""

from __future__ import annotations

import itertools
import json
import weakref
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from auditmw.archive.columns import NAMES
from auditmw.archive.snapshot import PartFile
from auditmw.clickhouse import values
from auditmw.query.language.clickhouse import CLICKHOUSE
from auditmw.query.store import StoreError
from auditmw.ship.batch import Entry
from auditmw.ship.tabular import pieces
from auditmw.ship.targets.clickhouse.rows import names, row
from auditmw.ship.targets.clickhouse.schema import EPOCH, Place, statements
from chdb_server import session

_numbers = itertools.count()
_free: list[str] = []  # tables that nobody uses: making one takes as long as ten statements
_SETTINGS = ", ".join(f"{name} = {value}" for name, value in {**CLICKHOUSE.settings, **values.FORMAT_SETTINGS}.items())
_NULL_TIMES = {
    "time": f"nullIf(time, {EPOCH}) AS time",
    "minute": f"nullIf(toDateTime64(minute, 6, 'UTC'), {EPOCH}) AS minute",
}


def ask(statement: str, parameters: Mapping[str, object] = {}) -> list[tuple[Any, ...]]:
    """The rows of a statement that names its values as ``$name``."""
    sql, texts = values.typed(statement, parameters)
    try:
        found = session().query(f"{sql} SETTINGS {_SETTINGS}", values.FORMAT, params=texts)
    except RuntimeError as error:
        raise StoreError(str(error)) from error
    return values.rows(bytes(found.bytes()))


class ClickHouseTable:
    """A store of these rows, in parts of `part_rows` by time."""

    dialect = CLICKHOUSE
    archive_error = None
    live = 0

    def __init__(self, rows: Sequence[Any], part_rows: int, live: int = 0) -> None:
        self.missing: tuple[Any, ...] = ()
        self.on_view = lambda view: None
        self.on_relation = lambda: None
        self.name = _free.pop() if _free else _made()
        weakref.finalize(self, _free.append, self.name)
        session().query(f"TRUNCATE TABLE {self.name}")
        if rows:
            data = b"".join(_shipped(number, *one) for number, one in enumerate(rows))
            columns = ", ".join(f"`{name}`" for name in names(whole_seconds=False))
            statement = f"INSERT INTO {self.name} ({columns}) SETTINGS optimize_on_insert = 0 FORMAT TabSeparated\n"
            session().query(statement.encode() + data)
        self.parts = tuple(_parts(rows, part_rows))

    @contextmanager
    def view(self) -> Iterator[ClickHouseTable]:
        self.on_view(self)
        yield self

    def relation(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        parts: Iterable[PartFile] | None = None,
        live: bool = True,
        columns: Collection[str] = NAMES,
    ) -> str:
        self.on_relation()
        bounds = [f"time >= '{values.time_text(since)}'"] if since else []
        bounds += [f"time < '{values.time_text(until)}'"] if until else []
        if since is not None or until is not None:
            bounds.append(f"time <> {EPOCH}")
        if parts is not None:
            bounds.append(f"({' OR '.join(map(_within, parts)) or 'FALSE'})")
        where = f" WHERE {' AND '.join(bounds)}" if bounds else ""
        named = ", ".join(_NULL_TIMES.get(name, f'"{name}"') for name in NAMES if name in columns)
        return f"(SELECT {named} FROM {self.name} FINAL{where})"

    def run(self, sql: str, parameters: Mapping[str, object], *, seconds: float) -> list[tuple[Any, ...]]:
        return ask(sql, parameters)

    def interrupt(self) -> None:
        """Statements here are short."""

    def check(self) -> list[Any]:
        return []

    def shuffle(self) -> None:
        """They are in the order of the table."""

    def close(self) -> None:
        """The table is used again."""


def _within(part: PartFile) -> str:
    if part.first is None or part.last is None:
        return f"time = {EPOCH}"
    return f"time BETWEEN '{values.time_text(part.first)}' AND '{values.time_text(part.last)}'"


def _made() -> str:
    session().query(f"SET max_query_size = {CLICKHOUSE.settings['max_query_size']}")
    place = Place(f"table_{next(_numbers)}", "")
    session().query(statements(place, is_modern=True)[place.stored])
    return place.table


def _shipped(number: int, writer: str, seq: int, event: dict[str, Any]) -> bytes:
    body = json.dumps(event, separators=(",", ":")).encode()
    made = row(Entry(writer, seq, event.get("id", str(number)), body, body), event, whole_seconds=False)
    return b"".join(pieces([(made, body)]))


def _parts(rows: Sequence[Any], part_rows: int) -> Iterator[PartFile]:
    """Parts of so many rows, newest first, and one of those without a time."""
    stamps = [row.event.get("timestamp") for row in rows]
    times = sorted(datetime.fromisoformat(stamp).replace(tzinfo=None) for stamp in stamps if stamp)
    for first in range(0, len(times), part_rows)[::-1]:
        part = times[first : first + part_rows]
        yield PartFile(str(first), len(part), 0, part[0], part[-1])
    if None in stamps:
        yield PartFile("timeless", stamps.count(None), 0, None, None)
