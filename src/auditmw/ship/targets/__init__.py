"""The targets, one file each; loaded when a URL asks for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from auditmw.ship.address import Address, AddressError
from auditmw.ship.target import Target

Open = Callable[[Address, str | None], Target]
"""Makes a target from its URL and the name of a format; no I/O yet."""


class Kind(NamedTuple):
    """A target: loads its module, the extra that its packages come with ("" for none), and one line that says what."""

    load: Callable[[], Open]
    extra: str
    description: str


class MissingExtraError(ImportError):
    """A target's packages are not installed: the message names the extra that brings them."""


def _stdout() -> Open:
    from auditmw.ship.targets.stdout import open_target

    return open_target


def _file() -> Open:
    from auditmw.ship.targets.file import open_target

    return open_target


def _nats() -> Open:
    from auditmw.ship.targets.nats import open_target

    return open_target


def _kafka() -> Open:
    from auditmw.ship.targets.kafka import open_target

    return open_target


def _postgres() -> Open:
    from auditmw.ship.targets.postgres import open_target

    return open_target


def _redis() -> Open:
    from auditmw.ship.targets.redis import open_target

    return open_target


def _http() -> Open:
    from auditmw.ship.targets.http import open_target

    return open_target


def _elastic() -> Open:
    from auditmw.ship.targets.elastic import open_target

    return open_target


def _loki() -> Open:
    from auditmw.ship.targets.loki import open_target

    return open_target


def _splunk() -> Open:
    from auditmw.ship.targets.splunk import open_target

    return open_target


def _otlp_http() -> Open:
    from auditmw.ship.targets.otlp_http import open_target

    return open_target


def _otlp_grpc() -> Open:
    from auditmw.ship.targets.otlp_grpc import open_target

    return open_target


def _syslog() -> Open:
    from auditmw.ship.targets.syslog import open_target

    return open_target


def _relp() -> Open:
    from auditmw.ship.targets.relp import open_target

    return open_target


def _clickhouse() -> Open:
    from auditmw.ship.targets.clickhouse import open_target

    return open_target


KINDS = {
    "stdout": Kind(_stdout, "", "one record a line to standard output"),
    "file": Kind(_file, "", "one record a line at the end of a file"),
    "postgresql": Kind(_postgres, "postgres", "one row an event to PostgreSQL, exactly once"),
    "redis": Kind(_redis, "redis", "one entry an event to a Redis stream"),
    "rediss": Kind(_redis, "redis", "the same over TLS"),
    "nats": Kind(_nats, "nats", "one event a message to a stream of NATS JetStream"),
    "kafka": Kind(_kafka, "kafka", "one event a message to a topic of Apache Kafka"),
    "http": Kind(_http, "", "newline-delimited JSON in POST requests"),
    "https": Kind(_http, "", "the same over TLS"),
    "elastic+http": Kind(_elastic, "", "documents to Elasticsearch or OpenSearch, in bulk"),
    "elastic+https": Kind(_elastic, "", "the same over TLS"),
    "loki+http": Kind(_loki, "", "lines to Grafana Loki"),
    "loki+https": Kind(_loki, "", "the same over TLS"),
    "splunk+http": Kind(_splunk, "", "events to Splunk's HTTP Event Collector"),
    "splunk+https": Kind(_splunk, "", "the same over TLS"),
    "otlp+http": Kind(_otlp_http, "otlp", "log records to an OpenTelemetry collector over HTTP"),
    "otlp+https": Kind(_otlp_http, "otlp", "the same over TLS"),
    "otlp+grpc": Kind(_otlp_grpc, "otlp", "log records to an OpenTelemetry collector over gRPC, with tls=yes over TLS"),
    "syslog+tcp": Kind(_syslog, "", "RFC 5424 messages over TCP, which answers nothing"),
    "syslog+tls": Kind(_syslog, "", "the same over TLS"),
    "syslog+relp": Kind(_relp, "", "RFC 5424 messages over RELP, which answers each, with tls=yes over TLS"),
    "clickhouse": Kind(_clickhouse, "", "one row an event to ClickHouse, on one server or a cluster"),
    "clickhouses": Kind(_clickhouse, "", "the same over TLS"),
}
"""The schemes that `--to` takes."""


def target_for(url: str, format: str | None = None) -> Target:
    """Return the target that a URL names; no I/O yet. `format`: a name that `record_format` takes.

    Raises AddressError for a URL that is none, with the known schemes for one that is not known; FormatError;
    MissingExtraError.
    """
    address = Address(url)
    kind = KINDS.get(address.scheme)
    if kind is None:
        known = ", ".join(f"{scheme}:" for scheme in KINDS)
        raise AddressError(f"expected one of {known} as the scheme of a target, not {address.scheme!r}")
    try:
        open_target = kind.load()
    except ModuleNotFoundError as error:
        if not kind.extra or (error.name or "").startswith("auditmw"):
            raise
        raise MissingExtraError(
            f"{address.scheme}: needs {error.name}, which is not installed: pip install 'auditmw[{kind.extra}]'",
            name=error.name,
        ) from error
    return open_target(address, format)
