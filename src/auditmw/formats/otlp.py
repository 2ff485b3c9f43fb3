"""OpenTelemetry log records as OTLP/JSON, which collectors read from files and at `/v1/logs`; no event loses anything.

One record is one `LogsData` message with one log record: a line of the OTLP file format
(https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/), and as well the body of an export request, which
`render_all` makes for many events. Attributes have the names of the semantic conventions
(https://opentelemetry.io/docs/specs/semconv/registry/attributes/); what has none there is in the attribute
`auditmw.event`, in the event's own shape. `auditmw.formats.otlp_protobuf` has the same in Protocol Buffers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from auditmw.event import timestamp
from auditmw.formats import json_record
from auditmw.formats.mapping import (
    INTEGER,
    TEXT,
    TEXTS,
    UNFIT,
    Field,
    Kind,
    Mapping,
    is_pseudonym,
    nanoseconds,
    text_that,
)
from auditmw.formats.record import Event, RecordError

_INT64 = range(-(2**63), 2**63)
# Protocol Buffers libraries read no message that is nested deeper than 100; one level of an event takes three.
_MAX_DEPTH = 24
_PLAIN_TYPES = {str, bool, float, type(None)}
_NAMESPACE = "auditmw."
# https://opentelemetry.io/docs/specs/semconv/registry/attributes/http/#http-request-method
_METHODS = {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
_METHOD, _ORIGINAL_METHOD, _OTHER = "http.request.method", "http.request.method_original", "_OTHER"
_HEADERS = {"request": "http.request.header.", "response": "http.response.header."}


def _unix_nano(text: str) -> Any:
    time_ns = nanoseconds(text)
    return time_ns if time_ns and time_ns < 2**64 else UNFIT


def _are_headers(headers: dict[str, Any]) -> Any:
    fit = headers and all(type(v) is list and v and all(type(text) is str for text in v) for v in headers.values())
    return headers if fit else UNFIT


# A 0 or an empty text is the same as nothing in the fields of a protobuf message, so the remainder keeps these.
_SOME = text_that(bool)
_TIME = Kind(str, int, _unix_nano, timestamp)
_FLAGS = Kind(int, int, lambda flags: flags if flags in range(1, 256) else UNFIT)
_SEVERITY = Kind(int, int, lambda number: number if number in range(1, 25) else UNFIT)
_TRACE_ID = text_that(re.compile(r"(?!0{32})[0-9a-f]{32}").fullmatch)
_SPAN_ID = text_that(re.compile(r"(?!0{16})[0-9a-f]{16}").fullmatch)
_NAME = Kind(
    str,
    str,
    lambda name: _NAMESPACE + name,
    lambda name: name.removeprefix(_NAMESPACE) if name.startswith(_NAMESPACE) else UNFIT,
)
_HEADER_LISTS = Kind(dict, dict, _are_headers)

FIELDS = (
    Field("timestamp", "record/timeUnixNano", _TIME),
    Field("observed", "record/observedTimeUnixNano", _TIME),
    Field("event", "record/eventName", _NAME),
    Field("level", "record/severityText", _SOME),
    Field("severity", "record/severityNumber", _SEVERITY),
    Field("message", "record/body", TEXT),
    Field("trace.trace_id", "record/traceId", _TRACE_ID),
    Field("trace.span_id", "record/spanId", _SPAN_ID),
    Field("trace.flags", "record/flags", _FLAGS),
    Field("id", "attributes/log.record.uid", TEXT),
    Field("actor.id", "attributes/user.id", TEXT),
    Field("actor.name", "attributes/user.name", TEXT),
    Field("actor.email", "attributes/user.email", TEXT),
    Field("actor.roles", "attributes/user.roles", TEXTS),
    Field("session.id", "attributes/session.id", TEXT),
    Field("session.previous_id", "attributes/session.previous_id", TEXT),
    Field("client.address", "attributes/client.address", TEXT),
    Field("client.port", "attributes/client.port", INTEGER),
    Field("client.peer_address", "attributes/network.peer.address", TEXT),
    Field("client.peer_port", "attributes/network.peer.port", INTEGER),
    Field("client.geo.country_iso_code", "attributes/geo.country.iso_code", TEXT),
    Field("client.geo.city_name", "attributes/geo.locality.name", TEXT),
    Field("server.address", "attributes/server.address", TEXT),
    Field("server.port", "attributes/server.port", INTEGER),
    Field("http.version", "attributes/network.protocol.version", TEXT),
    Field("http.route", "attributes/http.route", TEXT),
    Field("http.request.method", "attributes/" + _METHOD, TEXT),
    Field("http.request.target", "attributes/url.original", TEXT),
    Field("http.request.headers", "headers/request", _HEADER_LISTS),
    Field("http.request.user_agent", "attributes/user_agent.original", TEXT),
    Field("http.request.size", "attributes/http.request.size", INTEGER),
    Field("http.request.body_size", "attributes/http.request.body.size", INTEGER),
    Field("http.response.status_code", "attributes/http.response.status_code", INTEGER),
    Field("http.response.headers", "headers/response", _HEADER_LISTS),
    Field("http.response.size", "attributes/http.response.size", INTEGER),
    Field("http.response.body_size", "attributes/http.response.body.size", INTEGER),
    Field("url.full", "attributes/url.full", TEXT),
    Field("url.scheme", "attributes/url.scheme", TEXT),
    Field("url.host", "attributes/url.domain", TEXT),
    Field("url.port", "attributes/url.port", INTEGER),
    Field("url.path", "attributes/url.path", TEXT),
    Field("url.query", "attributes/url.query", TEXT),
    Field("tls.version", "attributes/tls.protocol.version", TEXT),
    Field("tls.cipher", "attributes/tls.cipher", TEXT),
    Field("error.type", "attributes/exception.type", TEXT),
    Field("error.message", "attributes/exception.message", TEXT),
    Field("error.stacktrace", "attributes/exception.stacktrace", TEXT),
    Field("service.name", "resource/service.name", TEXT),
    Field("service.version", "resource/service.version", TEXT),
    Field("service.environment", "resource/deployment.environment.name", TEXT),
    Field("service.instance_id", "resource/service.instance.id", TEXT),
    Field("service.host", "resource/host.name", TEXT),
    Field("source.file", "attributes/log.file.path", TEXT),
    Field("source.raw", "attributes/log.record.original", TEXT),
)
DERIVED = {"error.type": "error.type"}
"""What is said a second time; it is not read back."""
REMAINDER = "auditmw.event"
SCOPE = "auditmw"

_PLAIN = Mapping(FIELDS, "/")
# A pseudonym is not the id that it stands for: https://opentelemetry.io/docs/specs/semconv/registry/attributes/user/
_PSEUDONYM = Mapping(
    (field._replace(target="attributes/user.hash") if field.native == "actor.id" else field for field in FIELDS), "/"
)


class LogRecord:
    """A log record before it is JSON or a protobuf message: plain values by their OTLP names."""

    __slots__ = ("attributes", "record", "resource")

    def __init__(self, record: dict[str, Any], attributes: dict[str, Any], resource: dict[str, Any]) -> None:
        self.record, self.attributes, self.resource = record, attributes, resource


def log_record(event: Event) -> LogRecord:
    """Return the log record of an event; times are integers of nanoseconds, ids hexadecimal."""
    mapping = _PSEUDONYM if is_pseudonym(event, "/actor/id") else _PLAIN
    parts, rest = mapping.rendered(event)
    attributes = parts.get("attributes", {})
    for message, headers in parts.get("headers", {}).items():
        prefix = _HEADERS[message]
        attributes |= {prefix + name: values for name, values in headers.items()}
    method = attributes.get(_METHOD)
    if method is not None and method not in _METHODS:
        attributes |= {_METHOD: _OTHER, _ORIGINAL_METHOD: method}
    status_code = attributes.get("http.response.status_code", 0)
    if "exception.type" in attributes:
        attributes["error.type"] = attributes["exception.type"]
    elif status_code >= 500:
        attributes["error.type"] = str(status_code)
    attributes[REMAINDER] = rest if _is_carried(rest) else json_record.written(rest).decode()
    return LogRecord(parts.get("record", {}), attributes, parts.get("resource", {}))


def event_of(log: LogRecord) -> Event:
    """Return the event of a log record.

    Raises RecordError for one that was not made by `log_record`.
    """
    rest = log.attributes.get(REMAINDER)
    if type(rest) is str:
        rest = json_record.read(rest.encode(), f"JSON in the attribute {REMAINDER}")
    if type(rest) is not dict:
        raise RecordError(f"expected a log record that auditmw rendered, with the attribute {REMAINDER}: {rest!r:.80}")
    attributes = dict(log.attributes)
    if _ORIGINAL_METHOD in attributes:
        attributes[_METHOD] = attributes[_ORIGINAL_METHOD]
    headers: dict[str, Any] = {}
    for message, prefix in _HEADERS.items():
        found = {name[len(prefix) :]: values for name, values in attributes.items() if name.startswith(prefix)}
        if found:
            headers[message] = found
    mapping = _PSEUDONYM if "user.hash" in attributes and "user.id" not in attributes else _PLAIN
    parts = {"record": log.record, "attributes": attributes, "headers": headers, "resource": log.resource}
    return mapping.restored(parts, rest)


def _is_carried(value: Any, depth: int = 0) -> bool:
    """Whether AnyValue can carry it: no integer beyond 64 bits with a sign, not too deep, and nothing but JSON."""
    kind = type(value)
    if kind is int:
        return value in _INT64
    if kind is dict or kind is list:
        items = value.values() if kind is dict else value
        return depth < _MAX_DEPTH and all(_is_carried(item, depth + 1) for item in items)
    return kind in _PLAIN_TYPES


class OtlpFormat:
    """OTLP/JSON: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding."""

    name = "otlp"
    media_type = "application/json"

    def render(self, event: Event) -> bytes:
        """Return the `LogsData` message with the one log record of an event."""
        return self.render_all((event,))

    def render_all(self, events: Iterable[Event]) -> bytes:
        """Return the `ExportLogsServiceRequest` with the log records of events, those of a resource together."""
        resources: dict[tuple[tuple[str, Any], ...], list[Any]] = {}
        for log in map(log_record, events):
            resources.setdefault(tuple(log.resource.items()), []).append(_json_record(log))
        return json_record.written(
            {
                "resourceLogs": [
                    {
                        "resource": {"attributes": _key_values(dict(resource))},
                        "scopeLogs": [{"scope": {"name": SCOPE}, "logRecords": records}],
                    }
                    for resource, records in resources.items()
                ]
            }
        )

    def parse(self, record: bytes) -> Event:
        """Return the event of a message that `render` made."""
        return the_one(self.parse_all(record))

    def parse_all(self, request: bytes) -> list[Event]:
        """Return the events of a message that `render_all` made.

        Raises RecordError for anything else.
        """
        message = json_record.read(request, "an OTLP/JSON message of logs")
        try:
            return [
                event_of(_read(record, resource_logs.get("resource", {}).get("attributes", [])))
                for resource_logs in message["resourceLogs"]
                for scope_logs in resource_logs["scopeLogs"]
                for record in scope_logs["logRecords"]
            ]
        except RecordError:
            raise
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise RecordError(f"expected an OTLP/JSON message of logs that auditmw rendered: {error!r:.120}") from error


def the_one(events: list[Event]) -> Event:
    """Return the only event of a message.

    Raises RecordError where there are none or more.
    """
    if len(events) != 1:
        raise RecordError(f"expected a message with one log record, not with {len(events)}: parse_all reads it")
    return events[0]


def _json_record(log: LogRecord) -> dict[str, Any]:
    record = log.record
    for name in ("timeUnixNano", "observedTimeUnixNano"):  # 64-bit integers are decimal strings
        if name in record:
            record[name] = str(record[name])
    if "body" in record:
        record["body"] = {"stringValue": record["body"]}
    record["attributes"] = _key_values(log.attributes)
    return record


def _key_values(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _any_value(value)} for name, value in values.items()]


def _any_value(value: Any) -> dict[str, Any]:
    kind = type(value)
    if kind is str:
        return {"stringValue": value}
    if kind is int:
        return {"intValue": str(value)}
    if kind is dict:
        return {"kvlistValue": {"values": _key_values(value)}}
    if kind is list:
        return {"arrayValue": {"values": [_any_value(item) for item in value]}}
    if kind is bool:
        return {"boolValue": value}
    return {} if value is None else {"doubleValue": value}


def _read(record: dict[str, Any], resource: list[Any]) -> LogRecord:
    fields = {name: value for name, value in record.items() if name not in ("attributes", "body")}
    for name in ("timeUnixNano", "observedTimeUnixNano"):
        if name in fields:
            fields[name] = int(fields[name])
    if "body" in record:
        fields["body"] = _value(record["body"])
    return LogRecord(fields, _values(record.get("attributes", [])), _values(resource))


def _values(pairs: list[Any]) -> dict[str, Any]:
    # Where a value is its type's default, other writers of protobuf JSON leave it out.
    return {pair.get("key", ""): _value(pair.get("value", {})) for pair in pairs}


def _value(value: dict[str, Any]) -> Any:
    for kind, content in value.items():
        if kind == "kvlistValue":
            return _values(content.get("values", []))
        if kind == "arrayValue":
            return [_value(item) for item in content.get("values", [])]
        return _SCALARS[kind](content)
    return None


_SCALARS = {"stringValue": str, "intValue": int, "boolValue": bool, "doubleValue": float}
