"""Records made by structlog's processors: the team's own, or the console renderer that structlog has.

Facts: a processor is called with the logger, the name of the method and the event dict, and may raise DropEvent; the
last one returns what is printed (structlog, "Processors").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import orjson

from auditmw.formats.record import Event, RecordError

Processor = Callable[[Any, str, Any], Any]
"""What structlog calls a processor."""


class StructlogFormat:
    """Records that a list of structlog's processors makes of events; see `structlog_format`."""

    def __init__(self, processors: Sequence[Processor], name: str, media_type: str) -> None:
        self.name, self.media_type = name, media_type
        self._processors = tuple(processors)

    def render(self, event: Event) -> bytes:
        """Return what the last processor says. Raises RecordError where that is no line, or a processor dropped it."""
        said: Any = orjson.loads(orjson.dumps(event))  # theirs to change
        level = str(event.get("level", "info"))
        for processor in self._processors:
            try:
                said = processor(None, level, said)
            except self._dropped:
                raise RecordError(f"{_name(processor)} dropped the event") from None
        if isinstance(said, str):
            said = said.encode("utf-8", "backslashreplace")
        if not isinstance(said, bytes | bytearray):
            raise RecordError(
                f"expected the last processor of {self.name} to return text, not {type(said).__name__}: "
                "is it a renderer, such as structlog.processors.JSONRenderer()?"
            )
        if b"\n" in said:
            raise RecordError(f"expected one line from the processors of {self.name}, not several")
        return bytes(said)

    @cached_property
    def _dropped(self) -> type[BaseException]:
        from structlog import DropEvent  # not above: it loads rich and Twisted where they are

        return DropEvent


def structlog_format(
    processors: Sequence[Processor], *, name: str = "structlog", media_type: str = "application/json"
) -> StructlogFormat:
    """Return the format of records that these processors make of events, one line each.

    `processors`: as for `structlog.configure`; each gets the event as a dict that is its own, and the event's level as
    the name of the method; the last one is a renderer. `name` is what messages call the format, `media_type` that of
    one record. Raises TypeError for anything but a list of callables.
    """
    if not isinstance(processors, list | tuple) or not processors:
        raise TypeError(f"expected a list of structlog processors, the last one a renderer, not {processors!r}")
    for processor in processors:
        if not callable(processor):
            raise TypeError(f"expected structlog processors, which are callables, not {processor!r}")
    return StructlogFormat(processors, name, media_type)


def _name(processor: Processor) -> str:
    return getattr(processor, "__qualname__", type(processor).__qualname__)
