"""One line for people: what structlog's console renderer makes of the members that people look for first.

Strings of an event were chosen by whoever sent the request; what a terminal would act on or not show stands in the
line as a visible escape, a line feed too, so that an event is always one line.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from auditmw.formats.line_record import target_of
from auditmw.formats.lines.homes import member
from auditmw.formats.record import Event

_MEMBERS = {
    "method": ("http", "request", "method"),
    "status": ("http", "response", "status_code"),
    "user": ("actor", "id"),
    "session": ("session", "id"),
    "client": ("client", "address"),
    "service": ("service", "name"),
    "trace": ("trace", "trace_id"),
    "request": ("request_id",),
    "reason": ("outcome", "reason"),
    "message": ("message",),
}

_QUOTED = frozenset(" ='\"")  # characters of a value that make it read as more than one


class ConsoleFormat:
    """One line for people: time, level and name of the event, then what is known of it as `name=value`.

    `colors`: with the escape sequences of a terminal.
    """

    name = "console"
    media_type = "text/plain"

    def __init__(self, *, colors: bool = False) -> None:
        self._colors = colors

    def render(self, event: Event) -> bytes:
        """Return the event's line."""
        shown = {name: _printable(value) for name, value in _said(event)}
        text: str = self._renderer(None, str(shown.get("level")), shown)
        return text.encode("utf-8", "backslashreplace")

    @cached_property
    def _renderer(self) -> Any:
        from structlog.dev import ConsoleRenderer  # not above: it loads rich and Twisted where they are

        return ConsoleRenderer(colors=self._colors, sort_keys=False)


def _said(event: Event) -> Iterator[tuple[str, Any]]:
    for name in ("timestamp", "level", "event"):
        yield name, str(event.get(name, "-"))
    path = target_of(event)
    for name, where in _MEMBERS.items():
        value = member(event, where)
        if value is not None:
            yield name, value
        if name == "method" and path:
            yield "path", path
        if name == "status" and "duration_ns" in event:
            yield "ms", round(event["duration_ns"] / 1e6, 3)
    if "error" in event:
        yield "error", ": ".join(event["error"][name] for name in ("type", "message") if name in event["error"])
    for name in ("target", "filter", "results", "data"):
        if name in event:
            yield name, event[name]


class _Quoted:
    """A text that needs quotes to be read as one value, or escapes to be shown: printed as Python writes it."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return repr(self._text)


def _printable(value: Any) -> Any:
    if not isinstance(value, str) or (value.isprintable() and value and _QUOTED.isdisjoint(value)):
        return value
    return _Quoted(value)
