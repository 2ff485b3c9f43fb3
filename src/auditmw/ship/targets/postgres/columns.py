"""The columns of an event in PostgreSQL: what people ask for most, taken out of its JSON.

Everything else is in `body`, the event's JSON to the byte. What is not of a column's type is absent from the column.

PostgreSQL's text and jsonb hold neither U+0000 nor half of a surrogate pair (its manual, §8.14), and its numbers end at
131,072 digits (§8.1.2). `body` is text, and may have all of them, as escapes and digits. Columns have U+FFFD instead,
and where jsonb would not take `body`, `repaired` has JSON that it takes.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

_INDEXED_BYTES = 2000  # an entry of a B-tree has at most 2704 (PostgreSQL manual §67.4.1)
_MAX_BIGINT = 2**63 - 1
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_REPLACEMENT = "\ufffd"
# An escape of JSON text, whole, so that the backslash of "\\\\u0000" is not taken for the beginning of one.
_ESCAPE = re.compile(
    r"\\(?:(?P<bad>u0000|u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|.)",
    re.DOTALL,
)
# Numbers that may have more than PostgreSQL's 131,072 digits before the point or 16,383 after it. To begin with a fixed
# letter makes a search fast; what may follow a number tells it from hexadecimal digits.
_MOST_DIGITS = 10_000
_MANY_DIGITS = re.compile(rb"[0-9.]{10000}")
_SMALL_E = re.compile(rb"e[+-]?[0-9]{4,}[\s,}\]]")
_LARGE_E = re.compile(rb"E[+-]?[0-9]{4,}[\s,}\]]")
_STRING_OR_NUMBER = re.compile(
    r'"(?:[^"\\]|\\.)*"|(?P<long>-?[0-9.]{10000,}(?:[eE][+-]?[0-9]+)?|-?[0-9.]+[eE][+-]?[0-9]{4,})', re.DOTALL
)

Convert = Callable[[Any], Any]


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _indexed(value: Any) -> str | None:
    text = _text(value)
    if text is None or len(text) * 4 <= _INDEXED_BYTES:
        return text
    return text.encode("utf-8", "replace")[:_INDEXED_BYTES].decode("utf-8", "ignore")


def _integer(value: Any) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and -_MAX_BIGINT <= value <= _MAX_BIGINT else None


def _time(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value)
        if time.tzinfo is UTC:
            return time
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


@lru_cache(4096)
def _address(value: Any) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(value.partition("%")[0]) if isinstance(value, str) else None
    except ValueError:
        return None


class Column(NamedTuple):
    """A column: its name, its SQL type, what it holds of the event, and how a value of JSON becomes one of it."""

    name: str
    type: str
    path: tuple[str, ...]
    convert: Convert = _text


COLUMNS = (
    Column("time", "timestamptz", ("timestamp",), _time),
    Column("event", "text", ("event",)),
    Column("level", "text", ("level",)),
    Column("message", "text", ("message",)),
    Column("category", "text", ("category",)),
    Column("action", "text", ("action",)),
    Column("result", "text", ("outcome", "result")),
    Column("reason", "text", ("outcome", "reason")),
    Column("trace_id", "text", ("trace", "trace_id"), _indexed),
    Column("request_id", "text", ("request_id",), _indexed),
    Column("correlation_id", "text", ("correlation_id",)),
    Column("user_id", "text", ("actor", "id"), _indexed),
    Column("user_type", "text", ("actor", "type")),
    Column("user_name", "text", ("actor", "name")),
    Column("user_email", "text", ("actor", "email")),
    Column("session_id", "text", ("session", "id"), _indexed),
    Column("client", "text", ("client", "address")),
    Column("ip", "inet", ("client", "address"), _address),
    Column("country", "text", ("client", "geo", "country_name")),
    Column("method", "text", ("http", "request", "method")),
    Column("route", "text", ("http", "route")),
    Column("status", "bigint", ("http", "response", "status_code"), _integer),
    Column("size_bytes", "bigint", ("http", "response", "body_size"), _integer),
    Column("duration_ns", "bigint", ("duration_ns",), _integer),
    Column("user_agent", "text", ("http", "request", "user_agent")),
    Column("referrer", "text", ("http", "request", "referrer")),
    Column("host", "text", ("url", "host")),
    Column("path", "text", ("url", "path")),
    Column("query", "text", ("url", "query")),
    Column("target_type", "text", ("target", "type")),
    Column("target_id", "text", ("target", "id")),
    Column("target_name", "text", ("target", "name")),
    Column("error", "text", ("error", "type")),
    Column("error_message", "text", ("error", "message")),
    Column("service", "text", ("service", "name")),
    Column("environment", "text", ("service", "environment")),
    Column("source", "text", ("source", "kind")),
)
"""The columns that are taken out of an event, in the order of the table."""


class _Node:
    """What is wanted of an object: texts by name and place, other values with how to convert them, objects in it."""

    __slots__ = ("inner", "others", "texts")

    def __init__(self, wanted: list[tuple[tuple[str, ...], int, Convert]]) -> None:
        here = [(path[0], place, convert) for path, place, convert in wanted if len(path) == 1]
        self.texts = [(name, place) for name, place, convert in here if convert is _text]
        self.others = [each for each in here if each[2] is not _text]
        inner: dict[str, list[tuple[tuple[str, ...], int, Convert]]] = {}
        for path, place, convert in wanted:
            if len(path) > 1:
                inner.setdefault(path[0], []).append((path[1:], place, convert))
        self.inner = [(name, _Node(further)) for name, further in inner.items()]


_ROOT = _Node([(column.path, place, column.convert) for place, column in enumerate(COLUMNS)])


def values(event: Mapping[str, Any], *, clean: bool) -> list[Any]:
    """Return the values of COLUMNS. `clean`: the event may have characters that PostgreSQL does not take."""
    row: list[Any] = [None] * len(COLUMNS)
    _fill(row, event, _ROOT)
    return [storable(value) if isinstance(value, str) else value for value in row] if clean else row


def _fill(row: list[Any], event: Mapping[str, Any], node: _Node) -> None:
    get = event.get
    for name, place in node.texts:
        value = get(name)
        if value is not None:
            row[place] = value if type(value) is str else _text(value)
    for name, place, convert in node.others:
        value = get(name)
        if value is not None:
            row[place] = convert(value)
    for name, inner in node.inner:
        value = get(name)
        if type(value) is dict:
            _fill(row, value, inner)


def storable(text: str) -> str:
    """Return a text as PostgreSQL takes it."""
    return _UNSTORABLE.sub(_REPLACEMENT, text)


def has_unstorable_escapes(body: bytes) -> bool:
    """Whether JSON text may have characters that PostgreSQL does not take; True also where they only look so."""
    return b"\\u" in body and (b"\\u0000" in body or b"\\ud" in body or b"\\uD" in body)


def repaired(body: str) -> str:
    """Return JSON text as jsonb takes it: U+FFFD and null in place of what it does not."""
    text = _ESCAPE.sub(lambda escape: r"\ufffd" if escape["bad"] else escape[0], body)
    return _STRING_OR_NUMBER.sub(lambda found: "null" if found["long"] else found[0], text)


def may_have_long_numbers(body: bytes) -> bool:
    """Whether JSON text may have numbers that PostgreSQL does not take; True also where they only look so."""
    if len(body) > _MOST_DIGITS and _MANY_DIGITS.search(body):
        return True
    return _SMALL_E.search(body) is not None or _LARGE_E.search(body) is not None
