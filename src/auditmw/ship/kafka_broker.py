"""Where a `kafka://` URL says to go, and what Kafka's errors mean: what the target and the collector share."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError

from auditmw.ship.address import Address, AddressError
from auditmw.ship.target import RetryableError, ShipError, UnusableError

_PORT = 9092
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
# Errors about us, or about what was set up, and not about this moment.
_UNUSABLE = {
    KafkaError._AUTHENTICATION,
    KafkaError._SSL,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
    KafkaError.ILLEGAL_SASL_STATE,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.SECURITY_DISABLED,
    KafkaError.TOPIC_EXCEPTION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError.UNSUPPORTED_VERSION,
    KafkaError.UNSUPPORTED_FOR_MESSAGE_FORMAT,
    KafkaError.UNSUPPORTED_COMPRESSION_TYPE,
}
_LONGEST_REASON = 200
_SAY_AGAIN_SECONDS = 60.0
_MOST_REMEMBERED = 100
_VARIES = re.compile(r"(?<=#)\w+-\d+|\d+(?=ms\b)")  # which client it is, how long it took
_LOG = logging.getLogger("auditmw.ship.kafka")


class OnceAMinute(logging.Filter):
    """Lets what is the same through once a minute: librdkafka tells each attempt to connect, of many a second.

    `clock`: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether it is to be logged."""
        now, text = self._clock(), _VARIES.sub("", record.getMessage())
        if now < self._said.get(text, float("-inf")) + _SAY_AGAIN_SECONDS:
            return False
        if len(self._said) >= _MOST_REMEMBERED:
            self._said.clear()
        self._said[text] = now
        return True


_LOG.addFilter(OnceAMinute())


@dataclass(frozen=True)
class Broker:
    """The servers to begin with, the topic, and who we are. `ca`, `certificate`, `key`: PEM files."""

    shown: str
    servers: str
    topic: str
    user: str | None
    password: str | None
    mechanism: str
    is_encrypted: bool
    ca: str
    certificate: str
    key: str
    timeout_seconds: float

    @classmethod
    def of(cls, address: Address) -> Broker:
        """Take what every use of a topic needs from a URL; `done` is the caller's. Raises AddressError."""
        if not _TOPIC.fullmatch(address.path):
            raise AddressError(f"expected a topic after the servers, as in kafka://host/audit, not {address.path!r}")
        hosts = address.hosts or [("localhost", None)]
        broker = cls(
            address.shown,
            ",".join(f"{f'[{host}]' if ':' in host else host}:{port or _PORT}" for host, port in hosts),
            address.path,
            address.user,
            address.password,
            address.choice("mechanism", "SCRAM-SHA-512", _MECHANISMS),
            address.flag("tls", False),
            address.text("ca", ""),
            address.text("certificate", ""),
            address.text("key", ""),
            address.seconds("timeout", 30.0),
        )
        if (broker.user is None) != (broker.password is None):
            raise AddressError(f"expected user:password@ or neither in {address.shown}")
        return broker

    def configuration(self) -> dict[str, Any]:
        """Return what librdkafka is to be told, of us and of our patience."""
        encrypted = self.is_encrypted or bool(self.ca or self.certificate)
        protocol = ("SASL_" if self.user else "") + ("SSL" if encrypted else "PLAINTEXT")
        settings = {
            "bootstrap.servers": self.servers,
            "client.id": "auditmw",
            "security.protocol": protocol,
            "ssl.ca.location": self.ca,
            "ssl.certificate.location": self.certificate,
            "ssl.key.location": self.key,
            "sasl.mechanisms": self.mechanism if self.user else "",
            "sasl.username": self.user or "",
            "sasl.password": self.password or "",
            "socket.connection.setup.timeout.ms": 10_000,
            "reconnect.backoff.max.ms": 10_000,
            "log_level": 3,
            "logger": _LOG,
        }
        return {name: value for name, value in settings.items() if value != ""}


def text_of(error: KafkaError) -> str:
    """Return what an error says, for an operator."""
    return f"{error.str()} ({error.name()})"[:_LONGEST_REASON]


def trouble_of(error: KafkaError, shown: str) -> ShipError:
    """Return what an error means to a shipper."""
    if error.code() in _UNUSABLE:
        return UnusableError(f"{shown} refuses us: {text_of(error)}")
    return RetryableError(f"{shown} cannot be used now: {text_of(error)}")
