"""An event as a row of ClickHouse, as JSONEachRow has it: the columns of the archive, and the exact line.

1. What is not of a column's type is absent from the column, which is NULL then. `body` has all of it.
2. `time` cannot be NULL, as the table is sorted by it: an event without a time, or with one that is not between 1970
   and 2105 (what DateTime can tell), has 1970-01-01 00:00:00.
3. Texts are bytes to ClickHouse, and JSON has none for half of a surrogate pair: a column has U+FFFD instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from auditmw.archive.columns import COLUMNS
from auditmw.ship.batch import Batch, Entry

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_OURS = re.compile(r"(?:19[789]\d|20\d\d|210[0-5])-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_FIRST, _END = datetime(1970, 1, 1, tzinfo=UTC), datetime(2106, 1, 1, tzinfo=UTC)
_MAX_BIGINT = 2**63 - 1
_SURROGATE = re.compile("[\ud800-\udfff]")
_WHITE_SPACE = {b"\n": b"\\n", b"\r": b"\\r", b"\t": b"\\t"}

Row = dict[str, Any]


def _json(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # half of a surrogate pair, or an integer of more than 64 bits
        return json.dumps(value, separators=(",", ":"))


def _integer(value: Any) -> int | None:
    return value if type(value) is int and -_MAX_BIGINT <= value <= _MAX_BIGINT else None


_CONVERT: dict[str, Callable[[Any], Any]] = {"integer": _integer, "json": _json}


def _tree() -> dict[str, Any]:
    """Return the names of an event as a tree: at its leaves a text's column, or another and its conversion."""
    root: dict[str, Any] = {}
    for column in COLUMNS:
        if column.name in {"time", "id"}:
            continue
        *above, last = column.path
        node = root
        for name in above:
            node = node.setdefault(name, {})
        node[last] = column.name if column.kind == "text" else (column.name, _CONVERT[column.kind])
    return root


_TREE = _tree()


def instant(timestamp: Any) -> str | None:
    """Return a timestamp of RFC 3339 as `YYYY-MM-DD hh:mm:ss.ffffff` in UTC; None when it tells none that has room."""
    if type(timestamp) is not str:
        return None
    try:
        if _OURS.fullmatch(timestamp):
            datetime.fromisoformat(timestamp)  # raises ValueError for the 31st of February
            return f"{timestamp[:10]} {timestamp[11:26]}"
        if not _RFC3339.fullmatch(timestamp):
            return None
        time = datetime.fromisoformat(timestamp.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return time.strftime("%Y-%m-%d %H:%M:%S.%f") if _FIRST <= time < _END else None


def encoded(batch: Batch, *, whole_seconds: bool) -> bytes:
    """Return a batch as JSONEachRow. `whole_seconds`: the fractions of `time` are in the column `microsecond`."""
    return b"\n".join(_line(entry, whole_seconds) for entry in batch)


def _line(entry: Entry, whole_seconds: bool) -> bytes:
    row: Row = {}
    time = instant(entry.event.get("timestamp"))
    if time is not None and whole_seconds:
        row["time"], row["microsecond"] = time[:19], int(time[20:])
    elif time is not None:
        row["time"] = time
    row["id"] = entry.id
    _fill(row, entry.event, _TREE)
    row["writer"], row["seq"] = entry.writer, entry.seq
    try:
        columns = orjson.dumps(row)
    except TypeError:
        clean = {name: _SURROGATE.sub("\ufffd", v) if isinstance(v, str) else v for name, v in row.items()}
        columns = orjson.dumps(clean)
    return b'%b,"body":"%b"}' % (columns[:-1], _quoted(entry.body))


def _fill(row: Row, event: Mapping[str, Any], tree: dict[str, Any]) -> None:
    for name, value in event.items():
        node = tree.get(name)
        if node is None or value is None:
            continue
        kind = type(node)
        if kind is str:
            row[node] = value if type(value) is str else _json(value)
        elif kind is tuple:
            column, convert = node
            if (converted := convert(value)) is not None:
                row[column] = converted
        elif type(value) is dict:
            _fill(row, value, node)


def _quoted(body: bytes) -> bytes:
    """Return JSON text as a string of JSON has it: it has no other control characters than these (RFC 8259 §2, §7)."""
    body = body.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    for raw, escaped in _WHITE_SPACE.items():
        if raw in body:
            body = body.replace(raw, escaped)
    return body
