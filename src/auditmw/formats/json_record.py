"""Records that are JSON objects: read with a clear error, written even where a value is deeper than orjson goes."""

from __future__ import annotations

from typing import Any

import orjson

from auditmw.formats.record import RecordError


def written(value: Any) -> bytes:
    """Return the value as JSON on one line.

    Raises RecordError for what JSON cannot say: an event that was read from a journal has nothing of that.
    """
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise RecordError(f"expected an event that is plain JSON: {error}") from error


def read(record: bytes, what: str) -> dict[str, Any]:
    """Return the JSON object that a record is.

    `what` it should be, for the message of the RecordError that anything else raises.
    """
    try:
        value = orjson.loads(record)
    except ValueError as error:
        raise RecordError(f"expected {what}, not {record[:80]!r}: {error}") from error
    if type(value) is not dict:
        raise RecordError(f"expected {what}, a JSON object, not {record[:80]!r}")
    return value


def member(value: dict[str, Any], name: str, what: str) -> dict[str, Any]:
    """Return a member that must be an object.

    Raises RecordError where it is missing or something else.
    """
    found = value.get(name)
    if type(found) is not dict:
        raise RecordError(f"expected {what} that auditmw rendered, with an object {name!r}, not {found!r:.80}")
    return found
