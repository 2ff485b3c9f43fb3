"""GELF 1.1, the Graylog Extended Log Format: https://go2docs.graylog.org/current/getting_in_log_data/gelf.html.

`full_message` is the whole event as JSON, and the only thing that is read back. The fields that begin with `_` are for
searching: text and numbers as they are, booleans as text, because Graylog drops them, lists and objects as JSON.
"""

from __future__ import annotations

from typing import Any

from auditmw.formats import json_record
from auditmw.formats.mapping import at, nanoseconds, text_at
from auditmw.formats.record import Event, RecordError
from auditmw.formats.summary import summary
from auditmw.formats.syslog import SEVERITIES

_NOTICE = 5
_MOST_BYTES = 32_766  # of one term in the index behind Graylog (Lucene's IndexWriter.MAX_TERM_LENGTH)
_PATHS = (
    *("id", "observed", "start", "duration_ns", "event", "severity", "category", "action"),
    *("outcome.result", "outcome.reason"),
    *("trace.trace_id", "trace.span_id", "trace.parent_id", "trace.flags", "trace.state", "trace.origin"),
    *("trace.remote", "request_id", "correlation_id"),
    *("actor.id", "actor.type", "actor.name", "actor.email", "actor.authenticated", "actor.provider", "actor.realm"),
    *("actor.roles", "actor.on_behalf_of", "session.id", "session.previous_id"),
    *("client.address", "client.port", "client.peer_address", "client.peer_port", "client.origin", "client.forwarded"),
    *("client.geo.country_name", "client.geo.country_iso_code", "client.geo.city_name"),
    *("client.as.number", "client.as.organization", "server.address", "server.port", "server.hostname"),
    *("http.version", "http.route", "http.request.method", "http.request.target", "http.request.headers"),
    *("http.request.user_agent", "http.request.referrer", "http.request.content_type", "http.request.size"),
    *("http.request.body_size", "http.request.body", "http.response.status_code", "http.response.reason"),
    *("http.response.headers", "http.response.content_type", "http.response.size", "http.response.body_size"),
    *("http.response.cache_status", "url.full", "url.scheme", "url.host", "url.port", "url.path", "url.query"),
    *("tls.version", "tls.cipher", "tls.server_name", "upstream", "target", "filter", "results"),
    *("error.type", "error.message", "error.stacktrace", "error.handled"),
    *("service.name", "service.version", "service.environment", "service.instance_id"),
    *("source.kind", "source.format", "source.file", "source.line", "source.offset", "source.time_basis"),
    *("source.raw", "source.raw_sha256", "source.fields", "data", "meta"),
)
FIELDS = {path: "_" + path.replace(".", "_") for path in _PATHS} | {"id": "_event_id"}  # _id is Graylog's own
"""The fields that can be searched for, and their names."""
HEADER = {
    "timestamp": "timestamp",
    "level": "level",
    "message": "short_message",
    "service.host": "host",
}
"""The fields that GELF itself has a name for."""


def _tree() -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, name in FIELDS.items():
        *branches, last = path.split(".")
        node = tree
        for branch in branches:
            node = node.setdefault(branch, {})
        node[last] = name
    return tree


_TREE = _tree()


class GelfFormat:
    """GELF 1.1, one JSON object an event; what a transport adds (a zero byte, chunks) is not in it."""

    name = "gelf"
    media_type = "application/json"

    def render(self, event: Event) -> bytes:
        """Return the GELF message of an event."""
        record: dict[str, Any] = {
            "version": "1.1",
            "host": text_at(event, "service.host") or text_at(event, "service.name") or "unknown",
            "short_message": summary(event),
            "full_message": json_record.written(event).decode(),
            "level": SEVERITIES.get(text_at(event, "level") or "", _NOTICE),
        }
        time_ns = nanoseconds(event.get("timestamp"))
        if time_ns is not None:
            record["timestamp"] = round(time_ns / 1e9, 6)
        _index(event, _TREE, record)
        return json_record.written(record)

    def parse(self, record: bytes) -> Event:
        """Return the event of a GELF message that `render` made."""
        full_message = at(json_record.read(record, "a GELF message"), "full_message")
        if type(full_message) is not str:
            raise RecordError(f"expected a GELF message with an event as its full_message, not {full_message!r:.80}")
        return json_record.read(full_message.encode(), "an event as full_message")


def _index(source: dict[str, Any], tree: dict[str, Any], record: dict[str, Any]) -> None:
    for name, value in source.items():
        node = tree.get(name)
        if type(node) is str:
            _put(record, node, value)
        elif node is not None and type(value) is dict:
            _index(value, node, record)


def _put(record: dict[str, Any], name: str, value: Any) -> None:
    kind = type(value)
    if kind is int or kind is float:
        record[name] = value
        return
    if kind is not str:
        value = json_record.written(value).decode()
    if len(value) * 4 <= _MOST_BYTES or len(value.encode()) <= _MOST_BYTES:
        record[name] = value
