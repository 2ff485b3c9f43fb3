"""CloudEvents 1.0 in the JSON format, structured: an envelope for brokers and webhooks; `data` is the event itself.

https://github.com/cloudevents/spec, with its extensions Distributed Tracing (`traceparent`, `tracestate`) and Severity
(`severitytext`, `severitynumber`).
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from auditmw.formats import json_record
from auditmw.formats.mapping import TIMESTAMP, UNFIT, at, text_at
from auditmw.formats.record import Event

_TYPE = "auditmw."
_SCHEMA = "https://auditmw.example/schema/event/{}/event.schema.json"  # its `$id`
# §"Type System": no control characters and no code points that Unicode calls noncharacters.
_FORBIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
    + "]"
)
FIELDS = {
    "id": "id",
    "service.name": "source",
    "event": "type",
    "timestamp": "time",
    "schema": "dataschema",
    "target": "subject",
    "http.route": "subject",
    "trace.trace_id": "traceparent",
    "trace.span_id": "traceparent",
    "trace.flags": "traceparent",
    "trace.state": "tracestate",
    "level": "severitytext",
    "severity": "severitynumber",
}
"""The fields that are also context attributes."""


class CloudEventsFormat:
    """CloudEvents 1.0, one JSON object an event."""

    name = "cloudevents"
    media_type = "application/cloudevents+json"

    def render(self, event: Event) -> bytes:
        """Return the cloud event of an event."""
        record: dict[str, Any] = {
            "specversion": "1.0",
            "id": _text(event, "id") or "unknown",
            "source": _source(event),
            "type": _TYPE + (_text(event, "event") or "unknown"),
            "time": _time(event),
            "subject": _subject(event),
            "datacontenttype": "application/json",
            "dataschema": _schema(event),
            "traceparent": _traceparent(event),
            "tracestate": _text(event, "trace.state"),
            "severitytext": _text(event, "level"),
            "severitynumber": _severity(event),
            "data": event,
        }
        return json_record.written({name: value for name, value in record.items() if value is not None})

    def parse(self, record: bytes) -> Event:
        """Return the `data` of a cloud event."""
        return json_record.member(json_record.read(record, "a cloud event"), "data", "a cloud event")


def _text(event: Event, path: str) -> str | None:
    """What stands there, where an attribute may have it."""
    text = text_at(event, path)
    return text if text and not _FORBIDDEN.search(text) else None


def _schema(event: Event) -> str | None:
    version = (_text(event, "schema") or "").removeprefix("auditmw.event/")
    return _SCHEMA.format(quote(version, safe="")) if version else None


def _source(event: Event) -> str:
    """A URI reference (RFC 3986 §4.1): the service, or what was imported."""
    service, imported = text_at(event, "service.name"), text_at(event, "source.format")
    return "/" + quote(service, safe="") if service else "/import/" + quote(imported or "", safe="")


def _time(event: Event) -> str | None:
    text = text_at(event, "timestamp")
    return text if text and TIMESTAMP.to is not None and TIMESTAMP.to(text) is not UNFIT else None


def _subject(event: Event) -> str | None:
    """What the event is about: the target, or the route of a request."""
    kind = _text(event, "target.type")
    if kind is None:
        return _text(event, "http.route")
    name = _text(event, "target.id") or _text(event, "target.name")
    return f"{kind}/{name}" if name else kind


def _traceparent(event: Event) -> str | None:
    trace_id, span_id = _text(event, "trace.trace_id"), _text(event, "trace.span_id")
    flags = at(event, "trace.flags")
    if not (trace_id and span_id):
        return None
    return f"00-{trace_id}-{span_id}-{flags if type(flags) is int and 0 <= flags <= 255 else 0:02x}"


def _severity(event: Event) -> int | None:
    number = event.get("severity")
    return number if type(number) is int and -(2**31) <= number < 2**31 else None
