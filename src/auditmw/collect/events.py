"""Messages as events: which are some, and what stands for those that are gone."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from auditmw.collect.feed import Message
from auditmw.event import SCHEMA, SEVERITY, Event, timestamp
from auditmw.journal import seal
from auditmw.parsing import shallow

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FAMILY = "auditmw.event/"
_VERSION = SCHEMA.partition(".event/")[2].partition(".")[0]  # the major one


class Known(NamedTuple):
    """An event: its JSON, its id, and when it was (aware), where that can be read."""

    body: bytes
    id: str
    time: datetime | None


class ForeignError(ValueError):
    """A message that is no event."""


def event_of(body: bytes) -> Known:
    """Return the event that a message is. Raises ForeignError, which says what is wrong with it."""
    body, event = parsed(body)
    return Known(body, event["id"], time_of(event))


def parsed(body: bytes) -> tuple[bytes, Event]:
    """Return the JSON of the event that a message is, and the event. Raises ForeignError."""
    try:
        event: Any = orjson.loads(shallow(body))
    except ValueError as error:
        raise ForeignError(f"expected JSON, not {body[:60]!r}: {error}") from error
    if not isinstance(event, dict):
        raise ForeignError(f"expected a JSON object, not {body[:60]!r}")
    schema = event.get("schema")
    if not isinstance(schema, str) or not schema.startswith(_FAMILY):
        raise ForeignError(
            f"expected an event of auditmw, with a schema such as {SCHEMA}, not with {str(schema)[:60]!r}"
        )
    if schema.removeprefix(_FAMILY).partition(".")[0] != _VERSION:
        raise ForeignError(f"expected {SCHEMA}, not {schema[:60]!r}: a newer auditmw made it")
    ident = event.get("id")
    if not isinstance(ident, str) or not ident:
        raise ForeignError(f"expected an event with an id, not {str(ident)[:60]!r}")
    body = body.strip(b" \t\r\n")
    try:
        body.decode()
        seal(body, 1)
    except ValueError as error:
        raise ForeignError(str(error)) from error
    return body, event


def time_of(event: Event) -> datetime | None:
    """Return when an event was (aware); None where it does not say so."""
    try:
        moment = datetime.fromisoformat(event.get("timestamp"))  # type: ignore[arg-type]
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def nanoseconds(moment: datetime) -> int:
    """Return a moment as the nanoseconds since 1970."""
    since = moment - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000


def gap_before(message: Message, shown: str, now_ns: int) -> bytes:
    """Return the event that says how many messages were gone before this one could be collected.

    It is the same whenever the same is to be said at the same time `now_ns`.
    """
    digest = hashlib.sha256(f"{message.track} {message.number} gap".encode()).digest()
    milliseconds = now_ns // 1_000_000
    value = milliseconds << 80 | int.from_bytes(digest[:10], "big")
    value = value & ~(0xF << 76) & ~(0x3 << 62) | 8 << 76 | 2 << 62  # version and variant of RFC 9562 §5.8
    gap: Event = {
        "schema": SCHEMA,
        "id": str(UUID(int=value)),
        "timestamp": timestamp(now_ns),
        "event": "auditmw.gap",
        "level": "critical",
        "severity": SEVERITY["critical"],
        "message": f"{message.missing} messages were gone from {shown} before they were collected",
        "outcome": {"result": "failure", "reason": "events_lost"},
        "trace": {"trace_id": digest[10:26].hex(), "span_id": digest[24:].hex(), "flags": 2, "origin": "generated"},
        "service": {"name": "auditmw-collect"},
        "source": {"kind": "app", "format": "auditmw"},
        "data": {"count": message.missing, "before": message.number},
    }
    return orjson.dumps(gap)
