"""The tables of events in ClickHouse: made when they are missing, and told apart by a version.

1. The table has the columns of the archive (archive/columns.py), `writer`, `seq`, and `body`, the event's JSON to the
   byte. It is a ReplacingMergeTree in the order of (time, id): of an event that came twice one row is left when parts
   are merged, and before that with FINAL.
2. A view, the table's name and `_version`, has the number of the schema. It is made first, so that a table without it
   is somebody else's. Tables of version 1 become ones of version 2 where that can be: nothing is copied.
3. In a cluster the events are in the table with `_local` on each node, by a hash of their ids, and the table with the
   plain name is the Distributed one over them.
4. Servers before OLDEST_MODERN get types and settings that all of them have: there `time` has whole seconds, and
   `microsecond` the rest; and there the schema stays that of version 1. What a table has is decided when it is made.
5. Version 2 has what `auditmw query` asks for: `text`, the rest of what free text is looked for in; `stored`, when the
   row came, by the server's clock; and, computed when they are read, `minute`, `bot` and `state`. Rows that came before
   have no `text`, and by that `stored` is the beginning of time for them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from auditmw.archive.columns import COLUMNS
from auditmw.archive.projection import BOT, FINAL
from auditmw.ship.target import UnusableError
from auditmw.ship.targets.clickhouse.server import Server

VERSION = 2

CLASSIC_VERSION = 1
"""The one of tables with whole seconds."""

EPOCH = "toDateTime64(0, 6, 'UTC')"
"""SQL of the time of events without one, and of when those were stored that came before version 2."""

OLDEST_MODERN = (22, 8)
"""From this long-term version on all is there: DateTime64, LowCardinality, skip indexes, deduplication tokens."""

FEW_VALUES = frozenset(
    (
        *("event", "level", "category", "action", "result", "reason", "user_type", "country", "method", "route"),
        *("agent", "host", "target_type", "error", "service", "env", "kind", "format", "cache"),
    )
)
"""Columns that have few different values, as ClickHouse has a type for."""

LOOKED_UP = ("id", "trace", "request", "correlation", "user", "session", "ip")
"""Columns that are asked for one value in a large table."""

_TYPES = {"text": "String", "json": "String", "integer": "Int64"}
_VERSION_NUMBER = re.compile(r"(\d+)\.(\d+)")


class Place(NamedTuple):
    """Where the events go: the table that is written to and asked, and the cluster, "" for one server."""

    table: str
    cluster: str

    @property
    def stored(self) -> str:
        """The table on each node that has the events."""
        return f"{self.table}_local" if self.cluster else self.table

    @property
    def version(self) -> str:
        """The view that tells the schema's version."""
        return f"{self.table}_version"


class Ready(NamedTuple):
    """What is good for a server: whether it is a modern one, and whether the table's `time` has whole seconds."""

    is_modern: bool
    whole_seconds: bool


def prepare(server: Server, place: Place) -> Ready:
    """Make what is missing on a server. Raises ShipError; UnusableError for tables that are not ours to write to."""
    is_modern = server_version(server) >= OLDEST_MODERN
    names = ", ".join(f"'{name}'" for name in (place.version, place.stored, place.table))
    known = f"SELECT name FROM system.tables WHERE database = currentDatabase() AND name IN ({names})"
    there = {name for (name,) in server.rows(known)}
    found = _checked_version(server, place) if place.version in there else None
    if found is None and there:
        raise UnusableError(
            f"{server.shown} has a table {min(there)} that is not ours, as there is no view {place.version}: name "
            "another one with table="
        )
    for name, statement in statements(place, is_modern=is_modern).items():
        if name not in there:
            server.execute(statement)
    ready = Ready(is_modern, has_whole_seconds(server, place))
    if found == CLASSIC_VERSION and is_modern and not ready.whole_seconds:
        for statement in migration(place):
            server.execute(statement)
    return ready


def statements(place: Place, *, is_modern: bool) -> dict[str, str]:
    """Return the name of each table that there is to be on a server, and the statement that makes it, in order."""
    columns = _columns(is_modern, stored=True)
    version = VERSION if is_modern else CLASSIC_VERSION
    made = {
        place.version: f"CREATE VIEW IF NOT EXISTS `{place.version}` AS SELECT toUInt32({version}) AS version",
        place.stored: f"CREATE TABLE IF NOT EXISTS `{place.stored}` ({columns}) {_engine(is_modern)}",
    }
    if place.cluster:
        over = f"Distributed('{place.cluster}', currentDatabase(), '{place.stored}', cityHash64(id))"
        made[place.table] = (
            f"CREATE TABLE IF NOT EXISTS `{place.table}` ({_columns(is_modern, stored=False)}) ENGINE = {over}"
        )
    return made


def migration(place: Place) -> list[str]:
    """Return the statements that make tables of version 2 of those of version 1; they may run again, and side by side.

    The number comes last, so that whoever finds it finds the columns.
    """
    added = []
    for name in dict.fromkeys((place.stored, place.table)):
        columns = [f"ADD COLUMN IF NOT EXISTS {column}" for column in _since_version_2(stored=name == place.stored)]
        indexes = [f"ADD INDEX IF NOT EXISTS {_BY_STORED}"] if name == place.stored else []
        added.append(f"ALTER TABLE `{name}` {', '.join([*columns, *indexes])}")
    return [*added, f"CREATE OR REPLACE VIEW `{place.version}` AS SELECT toUInt32({VERSION}) AS version"]


def _columns(is_modern: bool, *, stored: bool) -> str:
    """Return the columns; with how they are kept, in the table that is `stored`."""
    packed = _PACKED if is_modern and stored else ""
    lines = ["`time` DateTime64(6, 'UTC')"] if is_modern else ["`time` DateTime('UTC')", "`microsecond` UInt32"]
    lines.append("`id` String")
    for column in COLUMNS:
        if column.name not in {"time", "id"}:
            kind = f"Nullable({_TYPES[column.kind]})"
            few = is_modern and column.name in FEW_VALUES
            lines.append(f"`{column.name}` {f'LowCardinality({kind})' if few else kind}")
    lines += ["`writer` LowCardinality(String)" if is_modern else "`writer` String", "`seq` Int64"]
    lines.append(f"`body` String{packed}")
    if is_modern:
        lines += _since_version_2(stored=stored)
    if is_modern and stored:
        lines += [f"INDEX `by_{name}` `{name}` TYPE bloom_filter GRANULARITY 1" for name in LOOKED_UP]
        lines.append(f"INDEX {_BY_STORED}")
    return ", ".join(lines)


_PACKED = " CODEC(ZSTD(3))"
_BY_STORED = "`by_stored` `stored` TYPE minmax GRANULARITY 1"


def _since_version_2(*, stored: bool) -> list[str]:
    bot = BOT.replace("\\", r"\\").replace("'", r"\'")
    return [
        f"`text` Nullable(String){_PACKED if stored else ''}",
        f"`stored` DateTime64(6, 'UTC') DEFAULT if(isNull(text), {EPOCH}, now64(6, 'UTC'))",
        "`minute` DateTime('UTC') ALIAS toStartOfMinute(time)",
        f"`bot` Bool ALIAS coalesce(match(agent, '{bot}'), false)",
        f"`state` String ALIAS '{FINAL}'",
    ]


def _engine(is_modern: bool) -> str:
    engine = "ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(time) ORDER BY (time, id)"
    # Without them: the last INSERTs are lost when the power is, and a token is not known again.
    durable = "fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000"
    return f"{engine} SETTINGS {durable}" if is_modern else engine


def server_version(server: Server) -> tuple[int, int]:
    """Return the year and the month of a server's version. Raises ShipError."""
    told = server.rows("SELECT version()")
    found = _VERSION_NUMBER.match(str(told[0][0])) if told else None
    if found is None:
        raise UnusableError(f"{server.shown} does not tell its version as ClickHouse does: {told!r}")
    return int(found[1]), int(found[2])


def schema_version(server: Server, place: Place) -> object:
    """Return the number that the view tells, whatever it is. Raises ShipError."""
    found = server.rows(f"SELECT version FROM `{place.version}`")
    return found[0][0] if found else None


def has_whole_seconds(server: Server, place: Place) -> bool:
    """Return whether the table's `time` has no fractions of a second. Raises ShipError."""
    time = f"SELECT type FROM system.columns WHERE database = currentDatabase() AND table = '{place.table}'"
    types = server.rows(f"{time} AND name = 'time'")
    return not types or not str(types[0][0]).startswith("DateTime64")


def _checked_version(server: Server, place: Place) -> int:
    version = schema_version(server, place)
    if isinstance(version, int) and CLASSIC_VERSION <= version <= VERSION:
        return version
    wanted = (
        f"expected tables of version {VERSION} in {server.shown}, not of version {version!r} as {place.version} says"
    )
    newer = isinstance(version, int) and version > VERSION
    advice = "a newer auditmw made them: use that one" if newer else "no auditmw can bring them up to date"
    raise UnusableError(f"{wanted}: {advice}, or name another table with table=")
