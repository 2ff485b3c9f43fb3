"""What OTLP over HTTP and over gRPC have in common: the request, and what the answer says.

https://opentelemetry.io/docs/specs/otlp/: what `partial_success` speaks of is not sent again, whichever records it is.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

from auditmw.formats.otlp_protobuf import OtlpProtobufFormat
from auditmw.ship.address import Address, AddressError
from auditmw.ship.batch import Batch
from auditmw.ship.http_client import MOST_WAIT_SECONDS
from auditmw.ship.target import Accepted
from auditmw.ship.wire import LONGEST_REASON

_FORMAT = OtlpProtobufFormat()


def refuse_format(address: Address, format: str | None) -> None:
    """Raise AddressError when a format is chosen: OTLP is one."""
    if format is not None:
        raise AddressError(f"{address.scheme}: sends log records of OTLP; leave out the format {format!r}")


def request_of(batch: Batch) -> tuple[bytes, dict[int, str]]:
    """Return an `ExportLogsServiceRequest`, and the events that OTLP has no form for, by position, and why."""
    try:
        return _FORMAT.render_all(entry.event for entry in batch), {}
    except (ValueError, TypeError, RecursionError):  # one of them; only now it is worth asking each
        pass
    sound, refused = [], {}
    for position, entry in enumerate(batch):
        try:
            event = entry.event
            _FORMAT.render(event)
            sound.append(event)
        except (ValueError, TypeError, RecursionError) as error:
            refused[position] = f"OTLP has no form for this event: {error}"[:LONGEST_REASON]
    return (_FORMAT.render_all(sound) if sound else b""), refused


def accepted(response: ExportLogsServiceResponse, count: int, refused: dict[int, str]) -> Accepted:
    """Return what came of a request with `count` records, beside the events that were not in it."""
    partial = response.partial_success
    rejected = min(max(partial.rejected_log_records, 0), count)
    note = partial.error_message[:LONGEST_REASON]
    if rejected:
        note = f"{rejected} of {count} records rejected: {note or 'the receiver does not say why'}"
    return Accepted(count - rejected, refused, rejected, note)


class Refusal:
    """A `google.rpc.Status`: `message`, and `after_seconds` from its RetryInfo, an hour at most; None without."""

    def __init__(self, encoded: bytes) -> None:
        self.message = ""
        self.after_seconds: float | None = None
        status, retry = Status(), RetryInfo()
        try:
            status.ParseFromString(encoded)
            self.message = status.message
            for detail in status.details:
                if detail.Unpack(retry):
                    seconds = retry.retry_delay.ToTimedelta().total_seconds()
                    self.after_seconds = min(max(seconds, 0.0), MOST_WAIT_SECONDS)
        except (DecodeError, ValueError):  # a proxy's page, for instance
            pass
