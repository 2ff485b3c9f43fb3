"""The lines of a chunk as events: parsed, redacted, and told where they came from.

1. `source.raw` is the line itself, but for lines in which something was redacted, unless the operator says otherwise;
   of a line that is not UTF-8 it is `source.raw_b64`. `source.raw_sha256` is always that of the line as it came.
2. An event whose line tells no time gets the moment at which it was read.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, Literal, NamedTuple

import orjson

from auditmw.event import MAX_EVENT_BYTES, SCHEMA, Event, fit, timestamp
from auditmw.formats.line import LineError, LineFormat
from auditmw.importing.chunks import MAX_LINE_BYTES, Chunk, Reject, too_long
from auditmw.importing.ids import beginning_of, id_of, mark_of
from auditmw.importing.redaction import EventRedactor

KeepRaw = Literal["if-clean", "never", "always"]

# Below this, no part of an event besides the raw line can exceed a limit of the schema; see `event.encode`.
_SURELY_FITS_BYTES = 2_300


class Origin(NamedTuple):
    """What the lines of one input have in common: its base name, and the digest of its first line."""

    file: str
    anchor: str


class Tally:
    """What came of the lines of a chunk."""

    def __init__(self) -> None:
        self.events = 0
        self.ignored = 0  # blank lines and headers
        self.rejects: list[Reject] = []

    def reject(self, number: int, offset: int, error: Exception, line: bytes) -> None:
        """Count a line that could not be read; a mistake in a format costs the line that shows it, not the import."""
        reason = str(error) if isinstance(error, LineError) else f"{type(error).__name__}: {error}"
        self.rejects.append(Reject(number, offset, reason, line[:MAX_LINE_BYTES]))


class Reading(NamedTuple):
    """How the lines of a chunk are read, and what their events have in common."""

    parser: LineFormat
    origin: Origin
    observed: str
    mark: bytes

    @classmethod
    def now(cls, parser: LineFormat, origin: Origin) -> Reading:
        """Return how lines are read that are read now."""
        return cls(parser, origin, timestamp(time.time_ns()), mark_of(parser.name, origin.anchor))


class EventSource:
    """Makes events of lines; one for a process."""

    def __init__(self, redact: EventRedactor, keep_raw: KeepRaw) -> None:
        self.redact = redact
        self._keep_raw = keep_raw
        self._moment: str | None = None  # the time of the last line, and how ids of that time begin
        self._beginning = beginning_of(None)

    def events(self, chunk: Chunk, parser: LineFormat, origin: Origin, tally: Tally) -> Iterator[Event]:
        """Yield the event of each line that holds one; `tally` counts them, and the other lines."""
        reading = Reading.now(parser, origin)
        for number, offset, line in chunk.lines():
            try:
                event = self.event(reading, line, number, offset)
            except Exception as error:
                tally.reject(number, offset, error, line)
            else:
                if event is None:
                    tally.ignored += 1
                else:
                    tally.events += 1
                    yield event

    def event(self, reading: Reading, line: bytes, number: int, offset: int) -> Event | None:
        """Return the event of a line, None when it holds none. Raises LineError, and whatever a format raises."""
        if len(line) > MAX_LINE_BYTES:
            raise LineError(too_long(len(line)))
        event = reading.parser.parse(line)
        if event is None:
            return None
        source: dict[str, Any] = {
            "kind": "import",
            "format": reading.parser.name,
            "file": reading.origin.file,
            "line": number,
            "offset": offset,
        }
        return self._complete(event, source, line, self.redact(event), reading)

    def _complete(self, event: Event, source: dict[str, Any], line: bytes, touched: bool, reading: Reading) -> Event:
        """Return the event with all that only the importer knows, in the order in which events are written."""
        given = event["source"]
        sha = sha256(line)
        source["time_basis"] = given["time_basis"]
        if self._keep_raw == "always" or (self._keep_raw == "if-clean" and not touched):
            _add_raw(source, line)
        source["raw_sha256"] = sha.hexdigest()
        if "fields" in given:
            source["fields"] = given["fields"]
        event["source"] = source
        sha.update(b"%b%d" % (reading.mark, source["offset"]))
        moment, observed = event.get("timestamp"), reading.observed
        if moment != self._moment:  # most lines share their second with the line before
            self._moment, self._beginning = moment, beginning_of(moment)
        ident = id_of(self._beginning, sha.hexdigest())
        return {"schema": SCHEMA, "id": ident, "timestamp": moment or observed, "observed": observed, **event}


def body_of(event: Event) -> bytes:
    """Return the event's JSON within the limits of the schema; the raw line is the first thing to go."""
    source = event["source"]
    try:
        body = orjson.dumps(event)
    except TypeError:  # a surrogate, or an integer of more than 64 bits
        return fit(event)
    if len(body) < _SURELY_FITS_BYTES + len(source.get("raw", ())):
        return body
    if len(body) > MAX_EVENT_BYTES and source.pop("raw", source.pop("raw_b64", None)) is not None:
        meta = event.get("meta", {})
        event["meta"] = {**meta, "truncated": [*meta.get("truncated", ()), "/source/raw"]}
    return fit(event, body)


def _add_raw(source: dict[str, Any], line: bytes) -> None:
    try:
        source["raw"] = line.decode()
    except UnicodeDecodeError:
        source["raw_b64"] = base64.b64encode(line).decode("ascii")
