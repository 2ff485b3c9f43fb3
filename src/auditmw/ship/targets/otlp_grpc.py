"""`otlp+grpc://`: log records to an OpenTelemetry collector over gRPC.

At least once, and a batch whose answer was lost is there twice: OTLP has nothing against doubles. Each record has the
event's id as `log.record.uid`. What a receiver drops (`partial_success`) is counted and told.
"""

from __future__ import annotations

import contextlib
from typing import Any

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

from auditmw.ship.address import Address, AddressError
from auditmw.ship.batch import Batch
from auditmw.ship.otlp import Refusal, accepted, refuse_format, request_of
from auditmw.ship.target import (
    Accepted,
    RejectedError,
    RetryableError,
    ShipError,
    Target,
    TooLargeError,
    UnusableError,
)
from auditmw.ship.token import Token
from auditmw.ship.wire import LONGEST_REASON, Keys

PORT = 4317
_EXPORT = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
_DETAILS = "grpc-status-details-bin"
# Retrying and waiting is the shipper's; a port is not shared with another channel's back-off.
_OPTIONS = (("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1))
_CODES = grpc.StatusCode
# https://opentelemetry.io/docs/specs/otlp/#failures; RESOURCE_EXHAUSTED only with a RetryInfo.
_RETRYABLE = {
    *(_CODES.CANCELLED, _CODES.DEADLINE_EXCEEDED, _CODES.ABORTED, _CODES.OUT_OF_RANGE),
    *(_CODES.UNAVAILABLE, _CODES.DATA_LOSS),
}
_REFUSES_US = {_CODES.UNAUTHENTICATED, _CODES.PERMISSION_DENIED, _CODES.UNIMPLEMENTED, _CODES.NOT_FOUND}
_SIZE_WORDS = ("larger", "too large", "exceed", "message size")
_TLS_WORDS = ("handshake", "certificate", "ssl")


class OtlpGrpcTarget(Target):
    """Exports to the first of `places` (host:port) that answers. `keys`: for TLS, None to go without."""

    def __init__(self, shown: str, places: list[str], keys: Keys | None, token: Token, timeout_seconds: float) -> None:
        self._shown = shown
        self._places = places
        self._keys = keys
        self._token = token
        self._metadata: list[tuple[str, str]] = []
        self._timeout_seconds = timeout_seconds
        self._channel: Any = None
        self._export: Any = None

    def send(self, batch: Batch) -> Accepted:
        """Export the batch."""
        request, refused = request_of(batch)
        count = len(batch) - len(refused)
        if not count:
            return Accepted(0, refused)
        if self._channel is None:
            self._connect()
        try:
            response = self._export(request, timeout=self._timeout_seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            # A channel waits on its own before it connects again; a new one does not.
            self.close()
            self._places.append(self._places.pop(0))
            raise self._failure(error) from error
        except BaseException:
            self.close()
            raise
        return accepted(response, count, refused)

    def close(self) -> None:
        """Close the connection."""
        channel, self._channel, self._export = self._channel, None, None
        if channel is not None:
            with contextlib.suppress(Exception):
                channel.close()

    def _connect(self) -> None:
        token = self._token.read()
        self._metadata = [("authorization", f"Bearer {token}")] if token else []
        place, compression = self._places[0], grpc.Compression.Gzip
        if self._keys is None:
            self._channel = grpc.insecure_channel(place, _OPTIONS, compression)
        else:
            self._channel = grpc.secure_channel(place, self._credentials(self._keys), _OPTIONS, compression)
        self._export = self._channel.unary_unary(_EXPORT, response_deserializer=ExportLogsServiceResponse.FromString)

    def _credentials(self, keys: Keys) -> Any:
        keys.context()  # which says what is wrong with a file; gRPC would only fail to connect
        contents: list[bytes | None] = []
        for path in (keys.ca, keys.key or keys.certificate, keys.certificate):
            try:
                with open(path, "rb") as file:
                    contents.append(file.read())
            except FileNotFoundError:
                contents.append(None)  # not given
        return grpc.ssl_channel_credentials(*contents)

    def _failure(self, error: Any) -> ShipError:
        """Return what a status means to a shipper."""
        code, said = error.code(), " ".join((error.details() or "").split())
        said = said.rpartition("last error: ")[2][:LONGEST_REASON]
        reason = f"{self._shown} answered {code.name}: {said}"
        trailers = dict(error.trailing_metadata() or ())
        after_seconds = Refusal(trailers[_DETAILS]).after_seconds if _DETAILS in trailers else None
        if code is _CODES.RESOURCE_EXHAUSTED and after_seconds is None:
            is_large = any(word in said.lower() for word in _SIZE_WORDS)
            return TooLargeError(reason) if is_large else UnusableError(reason)
        if code is _CODES.UNAVAILABLE and self._keys is not None and any(word in said.lower() for word in _TLS_WORDS):
            return UnusableError(f"{self._shown} and we do not agree on TLS: {said}")
        if code is _CODES.UNAVAILABLE and self._keys is not None and not self._keys.certificate and "closed" in said:
            reason += " (it may want a client certificate: options certificate and key)"
        if code in _RETRYABLE or code is _CODES.RESOURCE_EXHAUSTED:
            return RetryableError(reason, after_seconds)
        return UnusableError(reason) if code in _REFUSES_US else RejectedError(reason)


def open_target(address: Address, format: str | None) -> Target:
    """`otlp+grpc://host:4317?tls=yes`; the options are told in docs/shipping-targets.md."""
    refuse_format(address, format)
    keys, is_encrypted = Keys.of(address), address.flag("tls", False)
    token, timeout_seconds = Token(address), address.seconds("timeout", 30.0)
    max_events = address.whole("batch", Target.max_events)
    address.done()
    if address.path or address.user:
        raise AddressError(f"expected {address.scheme}://host:port without user and path, not {address.shown!r}")
    hosts = address.hosts or [("localhost", None)]
    places = [f"{f'[{host}]' if ':' in host else host}:{port or PORT}" for host, port in hosts]
    chosen_keys = keys if keys or is_encrypted else None
    target = OtlpGrpcTarget(address.shown, places, chosen_keys, token, timeout_seconds)
    target.max_events = max_events
    return target
