"""`otlp+http://`, `otlp+https://`: log records to an OpenTelemetry collector, `POST /v1/logs` in Protocol Buffers.

At least once, and a batch whose answer was lost is there twice: OTLP has nothing against doubles. Each record has the
event's id as `log.record.uid`. What a receiver drops (`partial_success`) is counted and told.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

from auditmw.formats.record import PROTOBUF
from auditmw.ship.address import Address
from auditmw.ship.batch import Batch
from auditmw.ship.http_client import Answer, HttpClient, failure, path_of
from auditmw.ship.otlp import Refusal, accepted, refuse_format, request_of
from auditmw.ship.target import Accepted, Target, UnusableError

_RETRYABLE = frozenset({429, 502, 503, 504})  # https://opentelemetry.io/docs/specs/otlp/#retryable-response-codes
_REJECTED = frozenset({400, 422, 500})
_HEADERS = {"Content-Type": PROTOBUF}


class OtlpHttpTarget(Target):
    """Exports to `path`."""

    def __init__(self, client: HttpClient, path: str) -> None:
        self._client = client
        self._path = path

    def send(self, batch: Batch) -> Accepted:
        """Export the batch."""
        body, refused = request_of(batch)
        count = len(batch) - len(refused)
        if not count:
            return Accepted(0, refused)
        answer = self._client.post(self._path, body, _HEADERS)
        if not answer.is_success:
            said = Refusal(answer.body).message if _is_protobuf(answer) else None
            raise failure(self._client.shown, answer, said=said, retryable=_RETRYABLE, rejected=_REJECTED)
        return accepted(self._response(answer), count, refused)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _response(self, answer: Answer) -> ExportLogsServiceResponse:
        response = ExportLogsServiceResponse()
        try:
            if answer.body and not _is_protobuf(answer):
                raise DecodeError
            response.ParseFromString(answer.body)
        except DecodeError:
            raise UnusableError(
                f"expected {self._client.shown} to answer with an ExportLogsServiceResponse, not with {answer.text!r}"
            ) from None
        return response


def _is_protobuf(answer: Answer) -> bool:
    return answer.headers.get_content_type() == PROTOBUF


def open_target(address: Address, format: str | None) -> Target:
    """`otlp+https://host:4318`; the options are told in docs/shipping-targets.md."""
    refuse_format(address, format)
    client = HttpClient(address, port=4318, compressed=True)
    max_events = address.whole("batch", Target.max_events)
    address.done()
    target = OtlpHttpTarget(client, path_of(address, "v1/logs"))
    target.max_events = max_events
    return target
