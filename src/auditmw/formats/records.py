"""The formats that events leave in by their names, as `--format` takes them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from auditmw.formats.line import FormatError
from auditmw.formats.record import RecordFormat


def _native() -> RecordFormat:
    from auditmw.formats.native import NativeFormat

    return NativeFormat()


def _datapunt(profile: str) -> RecordFormat:
    from auditmw.formats.datapunt import DatapuntFormat
    from auditmw.formats.line_record import LineRecord

    return LineRecord(DatapuntFormat(profile), "application/json")


def _nginx(name: str) -> RecordFormat:
    from auditmw.formats.line_record import LineRecord, logged
    from auditmw.formats.registry import format_named

    return LineRecord(format_named(name), "text/plain", logged)


def _reblaze() -> RecordFormat:
    from auditmw.formats.line_record import LineRecord, logged_by_reblaze
    from auditmw.formats.reblaze import ReblazeFormat

    return LineRecord(ReblazeFormat(), "text/plain", logged_by_reblaze)


def _console() -> RecordFormat:
    from auditmw.formats.console import ConsoleFormat

    return ConsoleFormat()


def _ecs() -> RecordFormat:
    from auditmw.formats.ecs import EcsFormat

    return EcsFormat()


def _ocsf() -> RecordFormat:
    from auditmw.formats.ocsf import OcsfFormat

    return OcsfFormat()


def _otlp() -> RecordFormat:
    from auditmw.formats.otlp import OtlpFormat

    return OtlpFormat()


def _otlp_protobuf() -> RecordFormat:
    from auditmw.formats.otlp_protobuf import OtlpProtobufFormat

    return OtlpProtobufFormat()


def _cloudevents() -> RecordFormat:
    from auditmw.formats.cloudevents import CloudEventsFormat

    return CloudEventsFormat()


def _syslog() -> RecordFormat:
    from auditmw.formats.syslog import SyslogFormat

    return SyslogFormat()


def _gelf() -> RecordFormat:
    from auditmw.formats.gelf import GelfFormat

    return GelfFormat()


# Each is loaded when it is asked for: an application that writes one of them loads no more.
_FORMATS: dict[str, tuple[Callable[[], RecordFormat], str]] = {
    "native": (_native, "the event's own JSON, as the journal has it"),
    "ecs": (_ecs, "Elastic Common Schema 9.4"),
    "ocsf": (_ocsf, "Open Cybersecurity Schema Framework 1.8"),
    "otlp": (_otlp, "an OpenTelemetry log record as OTLP/JSON"),
    "otlp:protobuf": (_otlp_protobuf, "the same in Protocol Buffers (auditmw[otlp])"),
    "cloudevents": (_cloudevents, "CloudEvents 1.0, structured JSON"),
    "syslog": (_syslog, "RFC 5424"),
    "gelf": (_gelf, "Graylog Extended Log Format 1.1"),
    "datapunt:0.4": (partial(_datapunt, "0.4"), "what datapunt-audit-log 0.4 prints"),
    "datapunt:readme": (partial(_datapunt, "readme"), "what the README of DataPunt's audit log describes"),
    "nginx:combined": (partial(_nginx, "nginx:combined"), "nginx's combined access log; requests only"),
    "nginx:extended": (partial(_nginx, "nginx:extended"), "the same with user and session; requests only"),
    "reblaze": (_reblaze, "Reblaze's access log; requests only"),
    "console": (_console, "a line for people"),
}

BINARY_FORMATS = frozenset({"otlp:protobuf"})
"""Those whose records are no text: for files and pipes, each with its length before it."""

RECORD_FORMATS = {name: description for name, (_, description) in _FORMATS.items()}
"""The names that `record_format` takes, each with one line that says what it is."""


def record_format(name: str) -> RecordFormat:
    """Return the format of this name.

    Raises FormatError, which lists the known names, for any other.
    """
    if isinstance(name, str) and name in _FORMATS:
        return _FORMATS[name][0]()
    raise FormatError(f"expected one of {', '.join(RECORD_FORMATS)} as the format of events, not {name!r:.80}")
