"""The columns of an event in PostgreSQL: what people ask for most, taken out of its JSON.

Everything else is in `body`, the event's JSON to the byte. What is not of a column's type is absent from the column.

PostgreSQL's text and jsonb hold neither U+0000 nor half of a surrogate pair (its manual, §8.14), and its numbers end at
131,072 digits (§8.1.2). `body` is text, and may have all of them, as escapes and digits. Columns have U+FFFD instead,
and where jsonb would not take `body`, `repaired` has JSON that it takes.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from auditmw.formats.record import Event
from auditmw.ship.batch import Entry
from auditmw.ship.tabular import NULL, Column, Convert, Tabular

_ID_CHARACTERS = 200  # longer ones do not fit into an index
_INDEXED_BYTES = 2000  # an entry of a B-tree has at most 2704 (PostgreSQL manual §67.4.1)
_MAX_BIGINT = 2**63 - 1
_OURS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
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


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _indexed(value: Any) -> str | None:
    text = _text(value)
    if text is None or len(text) * 4 <= _INDEXED_BYTES:
        return text
    return text.encode("utf-8", "replace")[:_INDEXED_BYTES].decode("utf-8", "ignore")


def _integer(value: Any) -> str | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if whole and -_MAX_BIGINT <= value <= _MAX_BIGINT else None


def _time(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value)
        if _OURS.fullmatch(value):
            return value
        if time.tzinfo is not UTC:
            time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        return time.isoformat()
    except (ValueError, OverflowError):
        return None


def _address(value: Any) -> str | None:
    return _known_address(value) if isinstance(value, str) else None


@lru_cache(4096)
def _known_address(value: str) -> str | None:
    try:
        return str(ipaddress.ip_address(value.partition("%")[0]))
    except ValueError:
        return None


class Field(NamedTuple):
    """A column: its name, its SQL type, what it holds of the event, and how a value of JSON becomes text of that."""

    name: str
    type: str
    path: tuple[str, ...]
    convert: Convert = _text


COLUMNS = (
    Field("time", "timestamptz", ("timestamp",), _time),
    Field("event", "text", ("event",)),
    Field("level", "text", ("level",)),
    Field("message", "text", ("message",)),
    Field("category", "text", ("category",)),
    Field("action", "text", ("action",)),
    Field("result", "text", ("outcome", "result")),
    Field("reason", "text", ("outcome", "reason")),
    Field("trace_id", "text", ("trace", "trace_id"), _indexed),
    Field("request_id", "text", ("request_id",), _indexed),
    Field("correlation_id", "text", ("correlation_id",)),
    Field("user_id", "text", ("actor", "id"), _indexed),
    Field("user_type", "text", ("actor", "type")),
    Field("user_name", "text", ("actor", "name")),
    Field("user_email", "text", ("actor", "email")),
    Field("session_id", "text", ("session", "id"), _indexed),
    Field("client", "text", ("client", "address")),
    Field("ip", "inet", ("client", "address"), _address),
    Field("country", "text", ("client", "geo", "country_name")),
    Field("method", "text", ("http", "request", "method")),
    Field("route", "text", ("http", "route")),
    Field("status", "bigint", ("http", "response", "status_code"), _integer),
    Field("size_bytes", "bigint", ("http", "response", "body_size"), _integer),
    Field("duration_ns", "bigint", ("duration_ns",), _integer),
    Field("user_agent", "text", ("http", "request", "user_agent")),
    Field("referrer", "text", ("http", "request", "referrer")),
    Field("host", "text", ("url", "host")),
    Field("path", "text", ("url", "path")),
    Field("query", "text", ("url", "query")),
    Field("target_type", "text", ("target", "type")),
    Field("target_id", "text", ("target", "id")),
    Field("target_name", "text", ("target", "name")),
    Field("error", "text", ("error", "type")),
    Field("error_message", "text", ("error", "message")),
    Field("service", "text", ("service", "name")),
    Field("environment", "text", ("service", "environment")),
    Field("source", "text", ("source", "kind")),
)
"""The columns that are taken out of an event, in the order of the table."""


HEAD = {"id": "text", "writer": "text", "seq": "bigint", "repaired": "text"}
"""The columns that go before those of the event's fields in a row, and their types; `body` comes last."""


def storable(text: str) -> str:
    """Return a text as PostgreSQL takes it."""
    return _UNSTORABLE.sub(_REPLACEMENT, text)


_TABULAR = Tabular(
    [Column(each.name, each.path, None if each.convert is _text else each.convert) for each in COLUMNS],
    text=_text,
    storable=storable,
)
_TYPES = {**HEAD, **{column.name: column.type for column in COLUMNS}, "body": "text"}

ROW = {name: _TYPES[name] for name in (*HEAD, *_TABULAR.names, "body")}
"""The columns of a row, in order, and their types."""


def row(entry: Entry, event: Event) -> bytes:
    """Return an event as COPY reads it from text; nothing for one that is not UTF-8."""
    body = entry.body
    if not is_utf8(body):
        return b""
    ident, other = entry.id, NULL
    if len(ident) > _ID_CHARACTERS:
        ident = stored_id(ident)
    if has_unstorable_escapes(body) or may_have_long_numbers(body):
        text = body.decode()
        mended = repaired(text)
        other = NULL if mended == text else mended
    return _TABULAR.row((ident, entry.writer, str(entry.seq), other), event, body, is_plain="\\" not in entry.writer)


def stored_id(ident: str) -> str:
    """Return what stands in the table for an event's id: one that is too long for an index ends in its SHA-256."""
    ident = storable(ident)
    if len(ident) <= _ID_CHARACTERS:
        return ident
    return f"{ident[: _ID_CHARACTERS // 2]}~{hashlib.sha256(ident.encode()).hexdigest()}"


def is_utf8(body: bytes) -> bool:
    """Whether bytes are text in UTF-8."""
    try:
        return body.isascii() or body.decode() is not None
    except UnicodeDecodeError:
        return False


def has_unstorable_escapes(body: bytes) -> bool:
    """Whether JSON text may have characters that PostgreSQL does not take; True also where they only look so."""
    return b"\\" in body and (b"\\u0000" in body or b"\\ud" in body or b"\\uD" in body)


def repaired(body: str) -> str:
    """Return JSON text as jsonb takes it: U+FFFD and null in place of what it does not."""
    text = _ESCAPE.sub(lambda escape: r"\ufffd" if escape["bad"] else escape[0], body)
    return _STRING_OR_NUMBER.sub(lambda found: "null" if found["long"] else found[0], text)


def may_have_long_numbers(body: bytes) -> bool:
    """Whether JSON text may have numbers that PostgreSQL does not take; True also where they only look so."""
    if len(body) > _MOST_DIGITS and _MANY_DIGITS.search(body):
        return True
    return _SMALL_E.search(body) is not None or _LARGE_E.search(body) is not None
