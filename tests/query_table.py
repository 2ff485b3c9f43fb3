"""An engine whose archive is a table in memory, cut into parts as the files of one are, and events to put into it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import duckdb
from hypothesis import strategies as st

from auditmw.archive.columns import COLUMNS, EXTRA, NAMES, SQL_TYPES
from auditmw.archive.snapshot import PartFile
from auditmw.query.directory import rows
from auditmw.query.engine import Engine
from auditmw.query.language.dialect import DUCKDB

BEGINNING = datetime(2026, 10, 24, 20, 30, tzinfo=UTC)  # the evening before Europe sets its clocks back
MINUTE = timedelta(minutes=1)
PATHS = {column.name: column.path for column in COLUMNS}
BOT = "Googlebot/2.1"
LIVE, TIMELESS_PART = -1, 10**6  # parts: of what is in no file yet, and of events without a time


class Row(NamedTuple):
    """An event, and where it stands."""

    writer: str
    seq: int
    event: dict[str, Any]


def event(minute: float | None = 0, **fields: Any) -> dict[str, Any]:
    """An event some minutes after the beginning, or without a time; `fields` are columns by name."""
    made: dict[str, Any] = {}
    if minute is not None:
        fields["time"] = f"{BEGINNING + minute * MINUTE:%Y-%m-%dT%H:%M:%S.%fZ}"
    for name, value in {"event": "http_request", "level": "info", **fields}.items():
        place = made
        for key in PATHS[name][:-1]:
            place = place.setdefault(key, {})
        if value is not None:
            place[PATHS[name][-1]] = value
    return made


def in_rows(events: Iterable[dict[str, Any]]) -> list[Row]:
    """The events as two processes write them by turns."""
    return [Row(f"w{number % 2}", number // 2 + 1, made) for number, made in enumerate(events)]


def at(minute: float) -> datetime:
    return BEGINNING + minute * MINUTE


def random_events() -> st.SearchStrategy[list[dict[str, Any]]]:
    """Few values for everything, so that there are ties, and groups of all sizes."""
    fields = {
        "minute": st.one_of(st.integers(0, 8), st.integers(0, 3000), st.none()),
        "event": st.sampled_from(["http_request", "http_request", "user_signed_up"]),
        "level": st.sampled_from(["info", "warning", "error"]),
        "user": st.sampled_from([None, None, "ada", "bob"]),
        "session": st.sampled_from([None, "s1", "s2", "s3"]),
        "ip": st.sampled_from([None, "10.0.0.1", "2001:db8::1"]),
        "status": st.sampled_from([None, 101, 200, 204, 302, 404, 500, 999]),
        "size": st.sampled_from([None, 0, 7, 2**40]),
        "dur": st.sampled_from([None, 1, 5, 1000, 10**12]),
        "agent": st.sampled_from([None, "Firefox", BOT]),
        "host": st.sampled_from([None, "shop.example", "Shop.Example:8080"]),
        "referrer": st.sampled_from(
            [None, "-", "", "https://shop.example/a", "http://me@News.example:81/x?y", "android-app://com.mail/"]
        ),
        "path": st.sampled_from([None, "/", "/a/1", "/a/2", "/b"]),
        "route": st.sampled_from([None, None, "/a/<int:id>"]),
    }
    return st.lists(st.fixed_dictionaries(fields).map(lambda made: event(**made)), max_size=24)


TYPES = (
    {column.name: SQL_TYPES[column.kind] for column in COLUMNS}
    | EXTRA
    | {
        "body": "VARCHAR",
        "part": "INTEGER",
    }
)


def in_columns(rows: list[Row], part_rows: int, live: int) -> Iterator[tuple[Any, ...]]:
    """What stands in each column, row by row: the newest ones live, the others in parts by time."""
    rows = sorted(rows, key=lambda row: (row.event.get("timestamp", ""), row.writer, row.seq))
    values = []
    for number, row in enumerate(rows):
        found = {name: at_path(row.event, path) for name, path in PATHS.items()}
        part = LIVE if number >= len(rows) - live else number // part_rows if found["time"] else TIMELESS_PART
        found["data"] = found["data"] and json.dumps(found["data"])
        found["time"] = found["time"] and found["time"].removesuffix("Z")
        body = json.dumps(row.event, separators=(",", ":"))
        minute = found["time"] and found["time"][:16]
        values.append((*found.values(), minute, found["agent"] == BOT, None, row.writer, row.seq, "final", body, part))
    return zip(*values, strict=True)


def at_path(event: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        event = event.get(key) if isinstance(event, dict) else None
    return event


class TableEngine(Engine):
    """An engine over these events, in a `store_of` them."""

    def __init__(self, events: Iterable[dict[str, Any]] = (), *, part_rows: int = 5, live: int = 2, **options: Any):
        self.rows = in_rows(events)
        self.table = store_of(self.rows, part_rows, live)
        super().__init__(self.table, **{"slice_rows": 4, **options})


class TableStore:
    """A store in memory."""

    dialect = DUCKDB
    archive_error = None

    def __init__(self, rows: list[Row], part_rows: int, live: int) -> None:
        self.connection = duckdb.connect(config={"threads": 1})
        self.missing: tuple[Any, ...] = ()
        self.live = min(live, len(rows))
        self.on_view = lambda view: None
        self.on_relation = lambda: None
        columns = ", ".join(f'"{name}" {kind}' for name, kind in TYPES.items())
        self.connection.execute(f"CREATE TABLE archived ({columns})")
        if rows:
            unnested = ", ".join(f"unnest(?::{kind}[])" for kind in TYPES.values())
            values = in_columns(rows, part_rows, live)
            self.connection.execute(f"INSERT INTO archived SELECT {unnested}", [list(one) for one in values])
        self.parts = tuple(
            PartFile(str(number), count, 0, first, last)
            for number, count, first, last in self.connection.execute(
                f"""SELECT part, count(*), min(time), max(time) FROM archived WHERE part <> {LIVE}
                GROUP BY 1 ORDER BY 4 DESC"""
            ).fetchall()
        )

    @contextmanager
    def view(self) -> Iterator[TableView]:
        view = TableView(self)
        self.on_view(view)
        view.connection.execute("BEGIN TRANSACTION READ ONLY")
        yield view

    def shuffle(self) -> None:
        """Give the rows in no order that says anything, as several threads read files."""
        self.connection.execute(
            "CREATE OR REPLACE TABLE archived AS SELECT * FROM archived ORDER BY hash(writer, seq, time)"
        )

    def close(self) -> None:
        self.connection.close()


class TableView:
    """A store in memory as it was at one moment."""

    def __init__(self, table: TableStore) -> None:
        self.connection = table.connection.cursor()
        self.parts = table.parts
        self.live = table.live
        self.missing = table.missing
        self.damaged: list[Any] = []
        self.on_relation = table.on_relation

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
        chosen = [part.path for part in (self.parts if parts is None else parts)] + [str(LIVE)] * live
        bounds = [f"time >= TIMESTAMP '{since}'"] if since else []
        bounds += [f"time < TIMESTAMP '{until}'"] if until else []
        kept = " AND ".join([f"part IN ({', '.join(chosen or ['NULL'])})", *bounds])
        named = ", ".join(f'"{name}"' for name in NAMES if name in columns)
        return f"(SELECT {named} FROM archived WHERE {kept})"

    def run(self, sql: str, parameters: Mapping[str, object], *, seconds: float) -> list[tuple[Any, ...]]:
        return rows(self.connection, sql, parameters)

    def interrupt(self) -> None:
        self.connection.interrupt()

    def check(self) -> list[Any]:
        return self.damaged


_make: Callable[[list[Row], int, int], Any] = TableStore


@contextmanager
def stores_made_by(make: Callable[[list[Row], int, int], Any]) -> Iterator[None]:
    """Have the stores of engines made by another function, of rows, `part_rows` and `live`."""
    global _make
    before, _make = _make, make
    try:
        yield
    finally:
        _make = before


def store_of(rows: list[Row], part_rows: int = 5, live: int = 2) -> Any:
    """A store with these rows: the newest `live` ones in no part, the others in parts of `part_rows` by time."""
    return _make(rows, part_rows, live)
