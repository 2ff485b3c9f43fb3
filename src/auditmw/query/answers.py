"""Answers in the forms that leave Python: JSON, and the cells of a table."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson

from auditmw.parsing import parse_event, shallow
from auditmw.query.language.fields import Field
from auditmw.query.language.matching import values_of
from auditmw.query.page import Entry

COLUMNS = (
    "time",
    "level",
    "status",
    "method",
    "path",
    "user",
    "session",
    "ip",
    "dur",
    "event",
    "message",
    "trace",
    "id",
)
"""The fields of an event that a table of events has, unless it is told which."""


def answer_json(answer: object) -> bytes:
    """Return an answer's JSON: its fields by name, times in RFC 3339 and UTC, spans in seconds.

    An `Entry` is its cursor and its event, which is the JSON object that was written.
    """
    return orjson.dumps(_plain(answer), option=orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)


def event_json(body: bytes) -> orjson.Fragment:
    """Return an event to stand in JSON, as it was written.

    What only some readers take for JSON (NaN, half of a character) would spoil the whole answer, and so would what is
    nested deeper than they go: such an event is written anew, with null in place of a number that is none.
    """
    body = shallow(body)
    try:
        orjson.loads(body)
    except ValueError:
        body = json.dumps(parse_event(body)).encode()
    return orjson.Fragment(body)


def cell(event: Mapping[str, Any], field: Field) -> Any:
    """Return the value that stands in a field, a list when there are several, None when there is none."""
    values = list(values_of(event, field))
    return values if len(values) > 1 else values[0] if values else None


def _plain(value: Any) -> Any:
    if isinstance(value, Entry):
        return {"cursor": value.cursor, "event": event_json(value.body)}
    if hasattr(value, "_asdict"):
        return {name: _plain(part) for name, part in value._asdict().items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(part) for part in value]
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, str | int | float | bool | datetime | orjson.Fragment | None):
        return value
    return str(value)
