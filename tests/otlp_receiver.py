"""An OTLP receiver over gRPC and over HTTP, decoding with the official definitions; it fails as a test wants."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent import futures
from typing import Any, Self

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as messages
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as services

from certificates import Certificates
from servers import HOST, free_ports
from web_receiver import Received, Reply

PROTOBUF = "application/x-protobuf"
POISON = "auditmw.poison"


def attribute(record: Any, name: str) -> str | None:
    """The text of an attribute."""
    return next((each.value.string_value for each in record.attributes if each.key == name), None)


class Collected:
    """What came, and over HTTP also how to take it."""

    def __init__(self) -> None:
        self.requests: list[Any] = []

    def records(self) -> list[Any]:
        return [
            record
            for request in self.requests
            for resource_logs in request.resource_logs
            for scope_logs in resource_logs.scope_logs
            for record in scope_logs.log_records
        ]

    def is_poison(self, request: Any) -> bool:
        return any(
            record.event_name == POISON
            for resource_logs in request.resource_logs
            for scope_logs in resource_logs.scope_logs
            for record in scope_logs.log_records
        )

    def __call__(self, received: Received) -> Reply:
        """Answer `POST /v1/logs`."""
        assert received.headers["content-type"] == PROTOBUF
        if received.path != "/v1/logs":
            return Reply(404)
        request = messages.ExportLogsServiceRequest.FromString(received.body)
        if self.is_poison(request):
            return status_reply(400, "a record is poison")
        self.requests.append(request)
        return as_protobuf(messages.ExportLogsServiceResponse())


def as_protobuf(message: Any, status: int = 200) -> Reply:
    return Reply(status, message.SerializeToString(), {"Content-Type": PROTOBUF})


def status_reply(status: int, text: str, **headers: str) -> Reply:
    """An answer as OTLP/HTTP has it for failures: a google.rpc.Status."""
    reply = as_protobuf(Status(message=text), status)
    reply.headers |= {name.replace("_", "-"): value for name, value in headers.items()}
    return reply


def partial(rejected: int, text: str) -> Any:
    """A response of partial success."""
    return messages.ExportLogsServiceResponse(
        partial_success=messages.ExportLogsPartialSuccess(rejected_log_records=rejected, error_message=text)
    )


class Abort:
    """Ends a call with a code; `retry_seconds`: with a RetryInfo that asks for so many."""

    def __init__(
        self, code: grpc.StatusCode, text: str = "as the test wants", retry_seconds: float | None = None
    ) -> None:
        self.code, self.text, self.retry_seconds = code, text, retry_seconds

    def __call__(self, context: grpc.ServicerContext) -> None:
        if self.retry_seconds is not None:
            info, detail = RetryInfo(retry_delay=Duration(nanos=0)), AnyMessage()
            info.retry_delay.FromMilliseconds(int(self.retry_seconds * 1000))
            detail.Pack(info)
            status = Status(code=self.code.value[0], message=self.text, details=[detail])
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(self.code, self.text)


class GrpcReceiver(services.LogsServiceServicer):
    """A collector over gRPC on a port that it keeps. `script`: what happens to the next calls.

    A scripted response is given after the records were taken; an `Abort` before.
    """

    def __init__(self, certificates: Certificates | None = None) -> None:
        self.collected = Collected()
        self.script: list[Any] = []
        self.metadata: list[dict[str, str]] = []
        self.released = threading.Event()
        (self.port,) = free_ports(1)
        self._certificates = certificates
        self._server: Any = None

    @property
    def place(self) -> str:
        return f"{HOST}:{self.port}"

    def start(self) -> Self:
        self.released.clear()
        self._server = grpc.server(futures.ThreadPoolExecutor(4), options=(("grpc.so_reuseport", 0),))
        services.add_LogsServiceServicer_to_server(self, self._server)
        if self._certificates is None:
            self._server.add_insecure_port(self.place)
        else:
            self._server.add_secure_port(self.place, _credentials(self._certificates))
        self._server.start()
        return self

    def stop(self) -> None:
        self.released.set()
        if self._server is not None:
            self._server.stop(0).wait()
            self._server = None

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.metadata.append(dict(context.invocation_metadata()))
        planned: Any = self.script.pop(0) if self.script else None
        if isinstance(planned, Abort):
            planned(context)
        elif callable(planned):
            planned()
        if self.collected.is_poison(request):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a record is poison")
        self.collected.requests.append(request)
        return planned if hasattr(planned, "partial_success") else messages.ExportLogsServiceResponse()

    def hang(self) -> Callable[[], Any]:
        """A script entry that does not answer."""
        return lambda: self.released.wait(30)


def _credentials(certificates: Certificates) -> Any:
    contents = {name: (certificates.root / name).read_bytes() for name in ("server.key", "server.pem", "ca.pem")}
    pair = (contents["server.key"], contents["server.pem"])
    return grpc.ssl_server_credentials([pair], contents["ca.pem"], require_client_auth=True)
