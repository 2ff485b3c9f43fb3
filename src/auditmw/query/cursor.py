"""The place of an event in the order of all events, and its form for a URL: a position, and no secret or permission."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime, timedelta
from types import NoneType
from typing import NamedTuple

_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_MAX_LENGTH = 2048
_INT64 = 2**63


class Key(NamedTuple):
    """What tells an event from all others, and what events are in order by. `time` is naive, in UTC.

    An event without a time is older than all others.
    """

    time: datetime | None
    writer: str
    seq: int


def to_cursor(key: Key) -> str:
    """Return the key as a short text of letters, digits, ``-`` and ``_``."""
    since_epoch = None if key.time is None else (key.time - _EPOCH) // _MICROSECOND
    text = json.dumps([since_epoch, key.writer, key.seq], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def from_cursor(cursor: str) -> Key:
    """Return the key of a cursor. Raises ValueError for a text that is none."""
    try:
        if len(cursor) > _MAX_LENGTH:
            raise ValueError("too long")
        padded = cursor + "=" * (-len(cursor) % 4)
        since_epoch, writer, seq = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if not isinstance(writer, str) or type(seq) is not int or type(since_epoch) not in {int, NoneType}:
            raise TypeError("expected a number or null, a name and a number")
        if not -_INT64 <= seq < _INT64:
            raise ValueError("expected a number of 64 bits")
        writer.encode()
        time = None if since_epoch is None else _EPOCH + since_epoch * _MICROSECOND
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error) as error:
        raise ValueError(f"expected a cursor that a page gave, not {cursor[:80]!r}") from error
    return Key(time, writer, seq)
