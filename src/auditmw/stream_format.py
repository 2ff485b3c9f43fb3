"""The lines of a stream in a format that the operator chose."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import orjson

from auditmw.event import Event, encode

if TYPE_CHECKING:
    from auditmw.formats.record import RecordFormat


def line_formatter(format: str | RecordFormat, count: Callable[[str, Exception], None]) -> Callable[[Event], bytes]:
    """Return what makes the line of an event, without its line feed, in a format of records or the one of that name.

    It never raises: where the format has no line for an event, or fails, the line is the event's own JSON, and
    `count` is told ``format_errors`` and why.
    Raises ValueError for a name that is not known, and for a binary format; TypeError for what is no format.
    """
    chosen = _chosen(format)
    render = chosen.render

    def line(event: Event) -> bytes:
        body = encode(event)
        try:
            record = render(orjson.loads(body))  # what fits the schema, and is the format's own to change
            return _one_line(record, chosen.name)
        except Exception as error:
            count("format_errors", error)
            return body

    return line


def _chosen(format: str | RecordFormat) -> RecordFormat:
    from auditmw.formats.record import PROTOBUF  # not above: a journal in a directory needs no formats
    from auditmw.formats.records import BINARY_FORMATS, record_format

    if isinstance(format, str) and format in BINARY_FORMATS:  # before it asks for packages that would not help
        raise _binary(format)
    chosen = record_format(format) if isinstance(format, str) else format
    described = (getattr(chosen, "name", None), getattr(chosen, "media_type", None))
    if not callable(getattr(chosen, "render", None)) or not all(isinstance(text, str) for text in described):
        raise TypeError(
            f"expected format to be the name of a format or a RecordFormat, not {format!r}; "
            "auditmw.formats.structlog_format makes one of a list of processors"
        )
    if chosen.media_type == PROTOBUF:
        raise _binary(chosen.name)
    return chosen


def _binary(name: str) -> ValueError:
    return ValueError(
        f"expected a format of text for a stream of lines, not {name!r}, whose records may hold line feeds; "
        "`auditmw query` and `tail` write it into files and pipes"
    )


def _one_line(record: bytes, name: str) -> bytes:
    if not isinstance(record, bytes) or not record or b"\n" in record:
        raise ValueError(f"expected {name} to render one line of bytes, not {record[:80]!r}")
    return record
