"""An HTTP server that answers as a test wants: by its script first, else as the service that it stands for."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from servers import HOST


@dataclass
class Received:
    """A request: its path with its query, its headers by lower-case name, its body without its encoding."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Reply:
    """An answer. `cut`: only half of the body is sent, and the connection is closed; `silent`: none comes."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    silent: bool = False


SILENT = Reply(silent=True)


def as_json(content: Any, status: int = 200) -> Reply:
    return Reply(status, json.dumps(content).encode(), {"Content-Type": "application/json"})


class WebReceiver:
    """Takes POST requests on a port that it keeps. `script`: the next answers; the service has not seen those requests.

    A scripted function is called with the service's own answer, after the service has seen the request.
    """

    def __init__(self, service: Callable[[Received], Reply], context: ssl.SSLContext | None = None) -> None:
        self.service = service
        self.context = context
        self.script: list[Reply | Callable[[Reply], Reply]] = []
        self.received: list[Received] = []
        self.connections = 0
        self.port = 0
        self._server: _Server | None = None

    @property
    def place(self) -> str:
        return f"{HOST}:{self.port}"

    def start(self) -> Self:
        self._server = _Server((HOST, self.port), self)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def stop(self) -> None:
        if self._server is not None:
            self._server.end()
            self._server = None

    def answer(self, received: Received) -> Reply:
        self.received.append(received)
        planned = self.script.pop(0) if self.script else None
        if isinstance(planned, Reply):
            return planned
        reply = self.service(received)
        return planned(reply) if planned else reply

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 20

    def __init__(self, place: tuple[str, int], receiver: WebReceiver) -> None:
        self.receiver = receiver
        self.open: set[socket.socket] = set()
        self.ended = threading.Event()
        super().__init__(place, _Handler)

    def end(self) -> None:
        self.ended.set()
        self.shutdown()
        self.server_close()
        for each in list(self.open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A handshake that failed, a client that is gone: what comes of it is seen at the client."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        self.server.receiver.connections += 1
        self.server.open.add(self.request)
        if self.server.receiver.context is not None:
            self.request.settimeout(5)
            self.request = self.server.receiver.context.wrap_socket(self.request, server_side=True)
            self.request.settimeout(None)
            self.server.open.add(self.request)
        super().setup()

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()
        self.server.open.discard(self.request)
        self.request.close()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.server.receiver.answer(Received(self.path, headers, body))
        if reply.silent:
            self.server.ended.wait(30)
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body[: len(reply.body) // 2] if reply.cut else reply.body)
        if reply.cut:
            self.close_connection = True

    def log_message(self, *arguments: Any) -> None:
        """Tests look at what was received."""
