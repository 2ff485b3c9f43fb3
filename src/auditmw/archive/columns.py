"""The columns of an archived event: the fields that queries name most, taken out of the event's JSON.

The table is the published schema of the Parquet files: `auditmw query`, ClickHouse, Spark and Trino see these names.
Every other field of an event is found by its dotted path in `body`, the event's JSON exactly as it was written; the
files hold it as `packed` (packing.py). A column is only ever added; its name, path and type do not change.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["text", "integer", "time", "flag", "json"]
"""What a column holds, and its SQL type: VARCHAR, BIGINT, TIMESTAMP (UTC, microseconds), BOOLEAN, VARCHAR of JSON."""


class Column(NamedTuple):
    """One column: its name, where its value stands in the event, what it holds, and the other names it answers to."""

    name: str
    path: tuple[str, ...]
    kind: Kind = "text"
    aliases: tuple[str, ...] = ()


COLUMNS = (
    Column("time", ("timestamp",), "time"),
    Column("id", ("id",)),
    Column("event", ("event",)),
    Column("level", ("level",)),
    Column("message", ("message",)),
    Column("category", ("category",)),
    Column("action", ("action",)),
    Column("result", ("outcome", "result"), aliases=("outcome",)),
    Column("reason", ("outcome", "reason")),
    Column("trace", ("trace", "trace_id")),
    Column("request", ("request_id",)),
    Column("correlation", ("correlation_id",)),
    Column("user", ("actor", "id"), aliases=("actor",)),
    Column("user_type", ("actor", "type")),
    Column("name", ("actor", "name")),
    Column("email", ("actor", "email")),
    Column("session", ("session", "id")),
    Column("ip", ("client", "address"), aliases=("client",)),
    Column("country", ("client", "geo", "country_name")),
    Column("method", ("http", "request", "method")),
    Column("route", ("http", "route")),
    Column("status", ("http", "response", "status_code"), "integer"),
    Column("size", ("http", "response", "body_size"), "integer", ("bytes",)),
    Column("dur", ("duration_ns",), "integer", ("duration",)),
    Column("agent", ("http", "request", "user_agent"), aliases=("ua", "user_agent")),
    Column("referrer", ("http", "request", "referrer"), aliases=("referer",)),
    Column("host", ("url", "host")),
    Column("path", ("url", "path")),
    Column("query", ("url", "query")),
    Column("target", ("target", "id")),
    Column("target_type", ("target", "type")),
    Column("target_name", ("target", "name")),
    Column("error", ("error", "type")),
    Column("error_message", ("error", "message")),
    Column("service", ("service", "name")),
    Column("env", ("service", "environment")),
    Column("kind", ("source", "kind"), aliases=("source",)),
    Column("format", ("source", "format")),
    Column("cache", ("http", "response", "cache_status")),
    Column("data", ("data",), "json"),
)
"""The fields of the event that are columns, in the order of the file."""

EXTRA = {
    "minute": "TIMESTAMP",
    "bot": "BOOLEAN",
    "text": "VARCHAR",
    "writer": "VARCHAR",
    "seq": "BIGINT",
    "state": "VARCHAR",
}
"""The columns beside the event's fields, and their SQL types: the minute that `time` is in, which is read ten times as
fast; whether the user agent is a program's, the text that no other column holds, the line's writer and number, and what
the line is to a query (states.py)."""

NAMES = (*(column.name for column in COLUMNS), *EXTRA, "body")
"""All columns of an archived event, in order."""

SQL_TYPES: dict[Kind, str] = {
    "text": "VARCHAR",
    "integer": "BIGINT",
    "time": "TIMESTAMP",
    "flag": "BOOLEAN",
    "json": "VARCHAR",
}
