"""The lines of a chunk as events: parsed, redacted, and told where they came from.

1. The id of an event is a UUIDv8 (RFC 9562 §5.8): 48 bits of milliseconds since 1970 of the line's own time (zeros when
   it tells none), then, around the version and the variant, 74 bits of SHA-256 over the line, a line feed, and in ASCII
   `<format> <anchor> <offset>`. The anchor is the digest of the input's first line. So the same line of the same input
   has the same id whenever and however it is imported, and equal lines at different places have different ones.
2. `source.raw` is the line itself, but for lines in which something was redacted, unless the operator says otherwise;
   of a line that is not UTF-8 it is `source.raw_b64`. `source.raw_sha256` is always that of the line as it came.
3. An event whose line tells no time gets the moment at which it was read.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any, Literal, NamedTuple

import orjson

from auditmw.event import MAX_EVENT_BYTES, SCHEMA, Event, fit, timestamp
from auditmw.formats.line import LineError, LineFormat
from auditmw.importing.chunks import MAX_LINE_BYTES, Chunk, Reject, too_long
from auditmw.importing.redaction import EventRedactor

KeepRaw = Literal["if-clean", "never", "always"]

# Below this, no part of an event besides the raw line can exceed a limit of the schema; see `event.encode`.
_SURELY_FITS_BYTES = 2_300
_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))  # the two bits 10 of RFC 9562 §4.1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


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


class EventSource:
    """Makes events of lines; one for a process."""

    def __init__(self, redact: EventRedactor, keep_raw: KeepRaw) -> None:
        self._redact = redact
        self._keep_raw = keep_raw
        self._moment: str | None = None  # the time of the last line, and how ids of that time begin
        self._prefix = _prefix(None)

    def events(self, chunk: Chunk, parser: LineFormat, origin: Origin, tally: Tally) -> Iterator[Event]:
        """Yield the event of each line that holds one; `tally` counts them, and the other lines."""
        parse, redact, complete = parser.parse, self._redact, self._complete
        observed = timestamp(time.time_ns())
        mark = f"\n{parser.name} {origin.anchor} ".encode()
        offset = chunk.span.start
        for number, line in enumerate(chunk.data.removesuffix(b"\n").split(b"\n"), chunk.line):
            try:
                event = parse(line) if len(line) <= MAX_LINE_BYTES else _refuse(line)
                if event is not None:
                    source: dict[str, Any] = {
                        "kind": "import",
                        "format": parser.name,
                        "file": origin.file,
                        "line": number,
                        "offset": offset,
                    }
                    event = complete(event, source, line, redact(event), mark, observed)
            except Exception as error:  # a mistake in a format costs the line that shows it, not the import
                reason = str(error) if isinstance(error, LineError) else f"{type(error).__name__}: {error}"
                tally.rejects.append(Reject(number, offset, reason, line[:MAX_LINE_BYTES]))
            else:
                if event is None:
                    tally.ignored += 1
                else:
                    tally.events += 1
                    yield event
            offset += len(line) + 1

    def _complete(
        self, event: Event, source: dict[str, Any], line: bytes, touched: bool, mark: bytes, observed: str
    ) -> Event:
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
        sha.update(b"%b%d" % (mark, source["offset"]))
        digits = sha.hexdigest()
        moment = event.get("timestamp")
        if moment != self._moment:  # most lines share their second with the line before
            self._moment, self._prefix = moment, _prefix(moment)
        ident = f"{self._prefix}{digits[:3]}-{_VARIANT[digits[3]]}{digits[4:7]}-{digits[7:19]}"
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


def _refuse(line: bytes) -> Event:
    raise LineError(too_long(len(line)))


def _add_raw(source: dict[str, Any], line: bytes) -> None:
    try:
        source["raw"] = line.decode()
    except UnicodeDecodeError:
        source["raw_b64"] = base64.b64encode(line).decode("ascii")


def _prefix(moment: str | None) -> str:
    """Return the first 15 characters of an id: the milliseconds since 1970, and the version."""
    milliseconds = _minute(moment[:17]) + int(moment[17:19]) * 1000 + int(moment[20:23]) if moment else 0
    milliseconds = max(0, milliseconds)
    return f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}-8"


@lru_cache(maxsize=1024)
def _minute(moment: str) -> int:
    """Return the milliseconds since 1970 of a timestamp without its seconds."""
    return (datetime.fromisoformat(f"{moment}00+00:00") - _EPOCH) // _MILLISECOND
