"""The headers of a message as logs of Go programs have them: every one, by its canonical name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from auditmw.formats.line import Event
from auditmw.formats.lines.homes import member

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]{1,256}")
_MOST = 128  # the schema's limit
_OWN_PLACES = {
    ("request", "user-agent"): "user_agent",
    ("request", "referer"): "referrer",
    ("request", "content-type"): "content_type",
    ("response", "content-type"): "content_type",
}


def put_header(event: Event, message: str, name: str, values: Any) -> bool:
    """Write a header of the "request" or "response" into the event; return whether it comes back the same."""
    lower = name.lower()
    headers = member(event, ("http", message, "headers")) or {}
    if not _is_list_of_texts(values) or canonical(lower) != name or not _NAME.fullmatch(lower) or len(headers) >= _MOST:
        return False
    place = event["http"].setdefault(message, {})
    own = _OWN_PLACES.get((message, lower))
    if own is not None:
        place[own] = values[0]
    place.setdefault("headers", {})[lower] = list(values)
    return True


def headers_of(event: Event, message: str) -> Iterator[tuple[str, list[str]]]:
    """Yield canonical name and values of each header that the event has."""
    for name, values in (member(event, ("http", message, "headers")) or {}).items():
        yield canonical(name), list(values)


def canonical(name: str) -> str:
    """Return a lower-case header name as Go writes it: `User-Agent` (net/textproto, CanonicalMIMEHeaderKey)."""
    return "-".join(part[:1].upper() + part[1:] for part in name.split("-"))


def _is_list_of_texts(values: Sequence[Any]) -> bool:
    return isinstance(values, list) and bool(values) and all(type(value) is str for value in values)
