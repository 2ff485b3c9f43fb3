"""What every format of records is: an event becomes one record and, where nothing is lost, the record that event."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

Event = dict[str, Any]

PROTOBUF = "application/x-protobuf"


class RecordError(ValueError):
    """A record is not what its format says, or a format has no record for an event: the message tells which and why."""


class RecordFormat(Protocol):
    """One format that events leave in: for files, streams, log shippers."""

    name: str
    """What `--format` calls it: `ecs`, `otlp`, ..."""

    media_type: str
    """The media type of one record (RFC 6838): `application/json`, `text/plain`, ..."""

    def render(self, event: Event) -> bytes:
        """Return the record of an event, without a line feed at its end; the event stays as it is.

        Raises RecordError for an event that this format has no record for.
        """
        ...


@runtime_checkable
class LosslessFormat(RecordFormat, Protocol):
    """A format that keeps all of an event: `parse(render(event)) == event`, to the types of its numbers."""

    def parse(self, record: bytes) -> Event:
        """Return the event that a record was made from.

        Raises RecordError for anything that `render` does not make.
        """
        ...


def framed(record: bytes, media_type: str) -> bytes:
    """Return a record as it stands in a file or a stream of records of this media type.

    Text ends in a line feed. Protobuf may have one anywhere, so its length goes before it, as a varint: what
    `writeDelimitedTo` and `parse_length_prefixed` of the protobuf libraries write and read.
    """
    if media_type != PROTOBUF:
        return record + b"\n"
    length, prefix = len(record), bytearray()
    while length > 0x7F:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    prefix.append(length)
    return bytes(prefix) + record
