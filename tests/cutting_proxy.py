"""A TCP proxy that cuts the connection when the client says a certain thing."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self


class CuttingProxy:
    """Listens on a free loopback port and passes everything on to `server`, until it is told to cut.

    `cuts`: how often it has.
    """

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.cuts = 0
        self._words: bytes | None = None
        self._skip = 0
        self._deliver = True
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []

    def cut_at(self, words: bytes | None, *, skip: int = 0, deliver: bool = True) -> None:
        """Cut at these words of a client, after so many times; `deliver`: whether the server still gets to hear them.

        The client hears nothing any more.
        """
        self._words, self._skip, self._deliver = words, skip, deliver

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for each in [self._listener, *self._sockets]:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(10)

    def _start(self, target, *arguments) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                self._sockets += [client, server]
                cut = threading.Event()
                self._start(self._listen, client, server, cut)
                self._start(self._answer, client, server, cut)

    def _listen(self, client: socket.socket, server: socket.socket, cut: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                if self._is_it(data):
                    cut.set()
                    self._words = None
                    if self._deliver:
                        server.sendall(data)
                        server.settimeout(10)
                    self.cuts += 1
                    client.shutdown(socket.SHUT_RDWR)
                    if not self._deliver:
                        server.shutdown(socket.SHUT_RDWR)
                    return
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _is_it(self, data: bytes) -> bool:
        if self._words is None or self._words not in data:
            return False
        self._skip -= 1
        return self._skip < 0

    def _answer(self, client: socket.socket, server: socket.socket, cut: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                if not cut.is_set():
                    client.sendall(data)
            client.shutdown(socket.SHUT_WR)
