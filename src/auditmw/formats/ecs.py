"""Elastic Common Schema 9.4: what Elasticsearch, Kibana and Filebeat read; nothing of an event is lost.

Fields and their types: https://www.elastic.co/docs/reference/ecs/ecs-field-reference. What has no field there is in
the object `auditmw`, in the event's own shape.
"""

from __future__ import annotations

from typing import Any

from auditmw.formats import json_record
from auditmw.formats.mapping import (
    INTEGER,
    TEXT,
    TEXTS,
    TIMESTAMP,
    UNFIT,
    Field,
    Kind,
    Mapping,
    at,
    is_ip,
    is_pseudonym,
    text_at,
    text_that,
)
from auditmw.formats.record import Event

VERSION = "9.4.0"

# event.category, and the event.type that goes with an action there
# (https://www.elastic.co/docs/reference/ecs/ecs-allowed-values-event-category).
_ACCESS = {"read": "access", "create": "creation", "update": "change", "delete": "deletion"}
_EVENT_TYPES: dict[str, dict[str, str]] = {
    "api": _ACCESS,
    "authentication": {"authenticate": "start", "revoke": "end"},
    "configuration": _ACCESS,
    "database": {"read": "access", "update": "change"},
    "email": {},
    "file": _ACCESS,
    "host": {"read": "access", "update": "change", "start": "start", "stop": "end"},
    "iam": {"create": "creation", "update": "change", "delete": "deletion"},
    "intrusion_detection": {"allow": "allowed", "deny": "denied"},
    "network": {"read": "access", "allow": "allowed", "deny": "denied", "start": "start", "stop": "end"},
    "package": {"read": "access", "update": "change", "delete": "deletion"},
    "process": {"read": "access", "update": "change", "start": "start", "stop": "end"},
    "session": {"start": "start", "create": "start", "stop": "end", "revoke": "end"},
    "web": {"read": "access", "create": "access", "update": "access", "delete": "access"},
}
_OUTCOMES = {"success", "failure", "unknown"}  # there is no pending: that one is unknown, and stays in `auditmw`

_CATEGORY = Kind(
    str,
    list,
    lambda name: [name] if name in _EVENT_TYPES else UNFIT,
    lambda names: names[0] if len(names) == 1 and type(names[0]) is str else UNFIT,
)
_OUTCOME = text_that(_OUTCOMES.__contains__)

FIELDS = (
    Field("id", "event.id", TEXT),
    Field("timestamp", "@timestamp", TIMESTAMP),
    Field("observed", "event.created", TIMESTAMP),
    Field("start", "event.start", TIMESTAMP),
    Field("duration_ns", "event.duration", INTEGER),
    Field("event", "event.action", TEXT),
    Field("level", "log.level", TEXT),
    Field("severity", "event.severity", INTEGER),
    Field("message", "message", TEXT),
    Field("category", "event.category", _CATEGORY),
    Field("outcome.result", "event.outcome", _OUTCOME),
    Field("outcome.reason", "event.reason", TEXT),
    Field("trace.trace_id", "trace.id", TEXT),
    Field("trace.span_id", "transaction.id", TEXT),
    Field("request_id", "http.request.id", TEXT),
    Field("actor.id", "user.id", TEXT),
    Field("actor.name", "user.name", TEXT),
    Field("actor.email", "user.email", TEXT),
    Field("actor.realm", "user.domain", TEXT),
    Field("actor.roles", "user.roles", TEXTS),
    Field("client.address", "client.address", TEXT),
    Field("client.port", "client.port", INTEGER),
    Field("client.peer_address", "source.address", TEXT),
    Field("client.peer_port", "source.port", INTEGER),
    Field("client.geo.country_name", "client.geo.country_name", TEXT),
    Field("client.geo.country_iso_code", "client.geo.country_iso_code", TEXT),
    Field("client.geo.city_name", "client.geo.city_name", TEXT),
    Field("client.as.number", "client.as.number", INTEGER),
    Field("client.as.organization", "client.as.organization.name", TEXT),
    Field("server.address", "server.address", TEXT),
    Field("server.port", "server.port", INTEGER),
    Field("http.version", "http.version", TEXT),
    Field("http.request.method", "http.request.method", TEXT),
    Field("http.request.target", "url.original", TEXT),
    Field("http.request.user_agent", "user_agent.original", TEXT),
    Field("http.request.referrer", "http.request.referrer", TEXT),
    Field("http.request.size", "http.request.bytes", INTEGER),
    Field("http.request.body_size", "http.request.body.bytes", INTEGER),
    Field("http.response.status_code", "http.response.status_code", INTEGER),
    Field("http.response.size", "http.response.bytes", INTEGER),
    Field("http.response.body_size", "http.response.body.bytes", INTEGER),
    Field("url.full", "url.full", TEXT),
    Field("url.scheme", "url.scheme", TEXT),
    Field("url.host", "url.domain", TEXT),
    Field("url.port", "url.port", INTEGER),
    Field("url.path", "url.path", TEXT),
    Field("url.query", "url.query", TEXT),
    Field("tls.version", "tls.version", TEXT),
    Field("tls.cipher", "tls.cipher", TEXT),
    Field("tls.server_name", "tls.client.server_name", TEXT),
    Field("error.type", "error.type", TEXT),
    Field("error.message", "error.message", TEXT),
    Field("error.stacktrace", "error.stack_trace", TEXT),
    Field("service.name", "service.name", TEXT),
    Field("service.version", "service.version", TEXT),
    Field("service.environment", "service.environment", TEXT),
    Field("service.instance_id", "service.node.name", TEXT),
    Field("service.host", "host.hostname", TEXT),
    Field("source.file", "log.file.path", TEXT),
    Field("source.raw", "event.original", TEXT),
)
DERIVED = {
    "category": "event.type",
    "client.address": "client.ip",
    "client.peer_address": "source.ip",
    "source.format": "event.dataset",
}
"""What is said a second time, in a coarser or another form; it is not read back."""
REMAINDER = "auditmw"

_PLAIN = Mapping(FIELDS)
# A pseudonym is not the id that it stands for: https://www.elastic.co/docs/reference/ecs/ecs-user#field-user-hash
_PSEUDONYM = Mapping(field._replace(target="user.hash") if field.native == "actor.id" else field for field in FIELDS)


class EcsFormat:
    """Elastic Common Schema, one JSON object an event, nested."""

    name = "ecs"
    media_type = "application/json"

    def render(self, event: Event) -> bytes:
        """Return the ECS document of an event."""
        mapping = _PSEUDONYM if is_pseudonym(event, "/actor/id") else _PLAIN
        record, rest = mapping.rendered(event)
        _derive(record, rest)
        # What people look for comes first, as in the logs of Elastic's own libraries.
        first = {name: record.pop(name) for name in ("@timestamp", "log", "message") if name in record}
        return json_record.written({**first, "ecs": {"version": VERSION}, **record, REMAINDER: rest})

    def parse(self, record: bytes) -> Event:
        """Return the event of an ECS document that `render` made; what others added to it is ignored."""
        document = json_record.read(record, "an ECS document")
        rest = json_record.member(document, REMAINDER, "an ECS document")
        has_hash = at(document, "user.id") is None and at(document, "user.hash") is not None
        return (_PSEUDONYM if has_hash else _PLAIN).restored(document, rest)


def _derive(record: dict[str, Any], rest: dict[str, Any]) -> None:
    """Add what ECS says in its own terms; where the exact value is not above, it is in the remainder."""
    about = record.setdefault("event", {})
    about["kind"] = "event"
    if at(rest, "outcome.result") == "pending":
        about["outcome"] = "unknown"
    if "category" in about:
        verb = (text_at(rest, "action") or "").partition("/")[0]
        about["type"] = [_EVENT_TYPES[about["category"][0]].get(verb, "info")]
    dataset = text_at(rest, "source.format")
    if dataset:
        about["dataset"] = dataset
    for end in ("client", "source"):
        address = record.get(end, {}).get("address")
        if address is not None and is_ip(address):
            record[end]["ip"] = address
