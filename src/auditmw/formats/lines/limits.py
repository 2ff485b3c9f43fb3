"""The longest that the schema allows, kept for the few lines that could exceed it."""

from __future__ import annotations

from typing import Any

import orjson

from auditmw.event import SHORT, fit
from auditmw.formats.line import Event

LONG_LINE_BYTES = 1024
"""Nothing of a shorter line can be too long in its event, except what is not UTF-8: that becomes four times as long."""
SHORT_LINE_BYTES = 256
"""Nothing of a shorter line can be too long in its event."""
_VERY_LONG_LINE_BYTES = 8192  # the whole event of a longer one may be too long


def fitted(event: Event, length: int) -> Event:
    """Return the event of a line of this many bytes with what is too long cut, and named in `meta.truncated`."""
    if length < _VERY_LONG_LINE_BYTES and not _has_long_text(event):
        return event
    within: Event = orjson.loads(fit(event))
    return within


def _has_long_text(value: Any) -> bool:
    """Whether a text is longer than the shortest limit, or what holds it is too deep to look into."""
    if type(value) is str:
        return len(value) > SHORT
    if type(value) is dict:
        value = value.values()
    elif type(value) is not list:
        return False
    try:
        return any(map(_has_long_text, value))
    except RecursionError:
        return True
