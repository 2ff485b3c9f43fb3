"""A real Redis server that can be killed and started again, on a free loopback port, in a folder of its own."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from typing import Any, Self

from servers import ADMIN_PATH, HOST, Process, free_ports


class Redis(Process):
    """redis-server with an append-only file.

    `appendfsync`: when that is synced. `replica_of`: the port of its master. `more`: other settings, and their values.
    """

    def __init__(self, root: Path, *more: str, appendfsync: str = "everysec", replica_of: int | None = None) -> None:
        super().__init__(root)
        (self.port,) = free_ports(1)
        self.settings = ["--save", "", "--appendonly", "yes", "--appendfsync", appendfsync, *more]
        self.settings += ["--repl-diskless-sync-delay", "0"]
        if replica_of is not None:
            self.settings += ["--replicaof", HOST, str(replica_of)]

    def url(self, **options: str) -> str:
        """Its URL."""
        more = "&".join(f"{name}={value}" for name, value in options.items())
        return f"redis://{HOST}:{self.port}/0" + (f"?{more}" if more else "")

    def client(self, **options: Any) -> Any:
        """A client of its own."""
        import redis

        return redis.Redis(**{"host": HOST, "port": self.port} | options)

    def start(self) -> Self:
        """Start it, or start it again; return when it has loaded what it had."""
        program = shutil.which("redis-server", path=ADMIN_PATH)
        assert program, "redis-server is not installed"
        place = ["--bind", HOST, "--port", str(self.port), "--dir", str(self.root)]
        self.spawn([program, *place, *self.settings])
        self.wait_for(self._answers)
        return self

    def _answers(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(100).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False
