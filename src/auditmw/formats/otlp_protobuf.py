"""OpenTelemetry log records as protobuf messages, with the official definitions (`auditmw[otlp]`)."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any, NamedTuple

from auditmw.formats.otlp import SCOPE, LogRecord, event_of, log_record, the_one
from auditmw.formats.record import PROTOBUF, Event, RecordError

_IDS = {"traceId": "trace_id", "spanId": "span_id"}
_FIELDS = {
    "timeUnixNano": "time_unix_nano",
    "observedTimeUnixNano": "observed_time_unix_nano",
    "severityNumber": "severity_number",
    "severityText": "severity_text",
    "flags": "flags",
    "eventName": "event_name",
}


class _Library(NamedTuple):
    """What is used of opentelemetry-proto and protobuf."""

    request: Any
    decode_error: type[Exception]


@functools.cache
def _library() -> _Library:
    try:
        from google.protobuf.message import DecodeError
        from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    except ImportError as error:
        sentence = "the format otlp:protobuf needs opentelemetry-proto: pip install 'auditmw[otlp]'"
        raise ModuleNotFoundError(sentence, name="opentelemetry.proto") from error
    return _Library(ExportLogsServiceRequest, DecodeError)


class OtlpProtobufFormat:
    """OTLP in Protocol Buffers: the body of `POST /v1/logs` and of the gRPC call.

    Raises ModuleNotFoundError, which names the extra, where opentelemetry-proto is not installed.
    """

    name = "otlp:protobuf"
    media_type = PROTOBUF

    def __init__(self) -> None:
        _library()

    def render(self, event: Event) -> bytes:
        """Return the `LogsData` message with the one log record of an event."""
        return self.render_all((event,))

    def render_all(self, events: Iterable[Event]) -> bytes:
        """Return the `ExportLogsServiceRequest` with the log records of events, those of a resource together."""
        request = _library().request()
        resources: dict[tuple[tuple[str, Any], ...], Any] = {}
        for log in map(log_record, events):
            key = tuple(log.resource.items())
            if key not in resources:
                part = request.resource_logs.add()
                part.resource.SetInParent()  # there, even when nothing is known of it
                _fill_all(part.resource.attributes, log.resource)
                scope_logs = part.scope_logs.add()
                scope_logs.scope.name = SCOPE
                resources[key] = scope_logs.log_records
            _fill_record(resources[key].add(), log)
        encoded: bytes = request.SerializeToString()
        return encoded

    def parse(self, record: bytes) -> Event:
        """Return the event of a message that `render` made."""
        return the_one(self.parse_all(record))

    def parse_all(self, request: bytes) -> list[Event]:
        """Return the events of a message that `render_all` made.

        Raises RecordError for anything else.
        """
        message = _library().request()
        try:
            message.ParseFromString(request)
        except _library().decode_error as error:
            raise RecordError(f"expected an OTLP message of logs, not {request[:80]!r}: {error}") from error
        return [
            event_of(_read(record, resource_logs.resource.attributes))
            for resource_logs in message.resource_logs
            for scope_logs in resource_logs.scope_logs
            for record in scope_logs.log_records
        ]


# Messages are filled where they stand: one that is made apart is copied into its place.


def _fill_record(message: Any, log: LogRecord) -> None:
    record = log.record
    for name, field in _FIELDS.items():
        if name in record:
            setattr(message, field, record[name])
    for name, field in _IDS.items():
        if name in record:
            setattr(message, field, bytes.fromhex(record[name]))
    if "body" in record:
        message.body.string_value = record["body"]
    _fill_all(message.attributes, log.attributes)


def _fill_all(pairs: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        pair = pairs.add()
        pair.key = name
        _fill(pair.value, value)


def _fill(message: Any, value: Any) -> None:
    kind = type(value)
    if kind is str:
        message.string_value = value
    elif kind is int:
        message.int_value = value
    elif kind is dict:
        message.kvlist_value.SetInParent()  # which tells an empty one from none
        _fill_all(message.kvlist_value.values, value)
    elif kind is list:
        message.array_value.SetInParent()
        for item in value:
            _fill(message.array_value.values.add(), item)
    elif kind is bool:
        message.bool_value = value
    elif value is None:
        message.SetInParent()
    else:
        message.double_value = value


def _read(record: Any, resource: Any) -> LogRecord:
    fields = {name: getattr(record, field) for name, field in _FIELDS.items() if getattr(record, field)}
    fields |= {name: getattr(record, field).hex() for name, field in _IDS.items() if getattr(record, field)}
    if record.HasField("body"):
        fields["body"] = _value(record.body)
    return LogRecord(fields, _values(record.attributes), _values(resource))


def _values(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    content = getattr(value, kind)
    if kind == "kvlist_value":
        return _values(content.values)
    if kind == "array_value":
        return [_value(item) for item in content.values]
    return content
