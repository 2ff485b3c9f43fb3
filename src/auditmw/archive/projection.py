"""From an event's JSON to the columns of the archive, in SQL.

1. One `json_transform` parses an event once, for all columns.
2. `time` is a timestamp of RFC 3339 with its zone, in the years 2 to 9997: the period that it is in begins and
   ends in a year that there is, in any zone. Anything else is no usable time, and NULL.
3. `text` holds the values, not the keys, of what people may search and no column holds: headers, roles, `data`, filter,
   results, stack traces, fields of a log line without a place of their own. Not in it, because it says how the event
   came about and not what happened: service, server, meta, observed, start, severity, versions and schemes, the URL
   and request target in one piece, ports, sizes, spans, flags, origins, and where an imported line stood. They are in
   `body`.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from auditmw.archive.columns import COLUMNS, EXTRA, SQL_TYPES
from auditmw.archive.packing import pack, unpack

SEPARATOR = "chr(31)"
"""SQL of the character between the values in `text`: U+001F, which no search term holds."""

OPEN, CLOSED, FINAL, LATE = "open", "closed", "final", "late"
"""What a row is to a query (states.py)."""

SEARCHED: dict[str, Literal["value", "list", "json"]] = {
    "actor.provider": "value",
    "actor.realm": "value",
    "actor.roles": "list",
    "actor.on_behalf_of": "value",
    "session.previous_id": "value",
    "client.peer_address": "value",
    "client.forwarded": "list",
    "client.geo.country_iso_code": "value",
    "client.geo.city_name": "value",
    "client.as.number": "value",
    "client.as.organization": "value",
    "http.request.headers": "json",
    "http.request.content_type": "value",
    "http.request.body": "json",
    "http.response.reason": "value",
    "http.response.headers": "json",
    "http.response.content_type": "value",
    "tls.version": "value",
    "tls.cipher": "value",
    "tls.server_name": "value",
    "upstream": "json",
    "trace.state": "value",
    "trace.remote.trace_id": "value",
    "target.attributes": "json",
    "filter": "json",
    "results": "json",
    "error.stacktrace": "value",
    "source.fields": "json",
    "data": "json",
}
_READ_AS: dict[str, Any] = {"value": "VARCHAR", "list": ["VARCHAR"], "json": "JSON"}

# What a browser or a person does not call itself.
BOT = (
    "(?i)bot\\b|bot[/-]|crawl|spider|slurp|archiver|scrapy|headless|lighthouse|monitor|uptime|pingdom|feedfetcher|"
    "facebookexternalhit|preview|^curl/|^wget/|python-|^go-http-client|^java/|^okhttp|libwww|^axios|^node|^ruby|^php"
)

# A whole string, with the colon if it is a key, or a number: with strings taken whole, nothing inside of one can match.
_STRING_OR_NUMBER = r'"(?:[^"\\]|\\.)*"\s*:?|-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?'

_RFC3339 = r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)"


def rows(lines: str, *, packed: bool) -> str:
    """Return SQL for the archive's rows from `lines`, SQL of a relation (writer, seq, body).

    `packed`: with the column `packed`, else with `body`. Execution raises duckdb.ConversionException or
    duckdb.InvalidInputException when a body is no JSON.
    """
    names = ", ".join(f'"{column.name}"' for column in COLUMNS)
    fields = ", ".join(f'{_value(column.path, column.kind)} AS "{column.name}"' for column in COLUMNS)
    # Level by level, because what an SQL function names twice, as nullif does, is planned twice.
    event = f"SELECT writer, seq, body, json_transform(body, '{_STRUCTURE}') AS e FROM {lines}"
    extracted = f"""SELECT {fields}, writer, seq, body,
        coalesce(regexp_matches(e.http.request.user_agent, '{BOT}'), false) AS bot,
        CASE WHEN e.outcome.result = 'pending' AND json_type(body, '$.id') = 'VARCHAR' THEN '{OPEN}' ELSE '{FINAL}' END
            AS state,
        concat_ws({SEPARATOR}, {_singles()}) AS singles, concat_ws(',', {_documents()}) AS documents FROM ({event})"""
    searched = f"""SELECT * EXCLUDE (singles, documents), CASE WHEN documents = '' THEN singles
        ELSE concat_ws({SEPARATOR}, CASE WHEN singles <> '' THEN singles END, {_leaves("documents")}) END AS text
        FROM ({extracted})"""
    columns = f"""SELECT {names}, date_trunc('minute', "time") AS minute, bot,
        nullif(rtrim(text, {SEPARATOR}), '') AS text, writer, seq, state, body FROM ({searched})"""
    if not packed:
        return columns
    exact = f"CASE WHEN {unpack('tried')} = body THEN tried ELSE body END"
    return (
        f"SELECT * EXCLUDE (body, tried), {exact} AS packed FROM (SELECT *, {pack('body')} AS tried FROM ({columns}))"
    )


def table(name: str, *, packed: bool) -> str:
    """Return SQL that makes an empty table for `rows`."""
    types = {column.name: SQL_TYPES[column.kind] for column in COLUMNS} | EXTRA
    types["packed" if packed else "body"] = "VARCHAR"
    columns = ", ".join(f'"{column}" {kind}' for column, kind in types.items())
    return f"CREATE TABLE {name} ({columns})"


def _structure() -> str:
    structure: dict[str, Any] = {}

    def put(path: tuple[str, ...], kind: Any) -> None:
        place = structure
        for key in path[:-1]:
            place = place.setdefault(key, {})
        place.setdefault(path[-1], kind)

    for column in COLUMNS:
        # A cast of JSON to TIMESTAMP would drop the zone's offset.
        put(column.path, {"integer": "BIGINT", "flag": "BOOLEAN", "json": "JSON"}.get(column.kind, "VARCHAR"))
    for path, kind in SEARCHED.items():
        put(tuple(path.split(".")), _READ_AS[kind])
    return json.dumps(structure)


_STRUCTURE = _structure()


def _field(path: tuple[str, ...] | list[str]) -> str:
    return ".".join(("e", *(f'"{key}"' for key in path)))


def _value(path: tuple[str, ...], kind: str) -> str:
    field = _field(path)
    return _time(field) if kind == "time" else f"{field}::VARCHAR" if kind == "json" else field


def _time(text: str) -> str:
    """SQL for the time that `text` tells, NULL when it tells none; our own form first, which costs least."""
    return f"""CASE
        WHEN {text} LIKE '____-__-__T__:__:__.______Z' AND {text} BETWEEN '0002' AND '9998' THEN
            TRY_CAST({text} AS TIMESTAMP)
        WHEN regexp_full_match({text}, '{_RFC3339}') AND {text} BETWEEN '0002' AND '9998' THEN
            TRY_CAST(upper({text}) AS TIMESTAMPTZ) AT TIME ZONE 'UTC'
        END"""


def _singles() -> str:
    """SQL for the values that are searched one by one."""

    def single(path: str) -> str:
        field = _field(path.split("."))
        if path == "client.peer_address":
            return f"nullif({field}, e.client.address)"
        if SEARCHED[path] == "value":
            return field
        if path == "client.forwarded":
            field = f"list_filter({field}, lambda x: x IS DISTINCT FROM e.client.address)"
        return f"nullif(array_to_string({field}, {SEPARATOR}), '')"

    return ", ".join(single(path) for path, kind in SEARCHED.items() if kind != "json")


def _documents() -> str:
    """SQL for those that may hold anything."""
    return ", ".join(f"{_field(path.split('.'))}::VARCHAR" for path, kind in SEARCHED.items() if kind == "json")


def _leaves(documents: str) -> str:
    """SQL for the strings and numbers in JSON documents with commas between them, without keys, unescaped."""
    values = f"list_filter(regexp_extract_all({documents}, '{_STRING_OR_NUMBER}'), lambda x: x[-1] <> ':')"
    array = f"'[' || array_to_string({values}, ',') || ']'"
    return f"array_to_string(json_transform({array}, '[\"VARCHAR\"]'), {SEPARATOR})"
