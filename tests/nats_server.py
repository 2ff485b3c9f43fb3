"""Real nats-servers: one, or a cluster of three, with JetStream; and a look into a stream that is not auditmw's own."""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import nats

from servers import ADMIN_PATH, HOST, Process, free_ports, poll

CONFIGURATION = """
server_name: {name}
listen: "{host}:{port}"
http: "{host}:{monitor}"
max_payload: {max_payload}
jetstream {{ store_dir: "{root}/js", max_mem: 256MB, max_file: 4GB }}
{cluster}
{more}
"""
CLUSTER = """
cluster {{ name: audit, listen: "{host}:{port}", no_advertise: true, routes: [{routes}] }}
"""


class NatsServer(Process):
    """One nats-server. `more`: lines for its configuration file, such as authorization or tls."""

    def __init__(self, root: Path, *, name: str = "n0", ports: tuple[int, int, int] | None = None) -> None:
        super().__init__(root)
        self.name = name
        self.port, self.monitor, self.route = ports or free_ports(3)
        self.peers: list[int] = []
        self.max_payload = 8 * 1024 * 1024
        self.more = ""

    @property
    def url(self) -> str:
        return f"nats://{HOST}:{self.port}"

    def start(self) -> Self:
        self.launch()
        self.wait_for(self.is_healthy)
        return self

    def launch(self) -> None:
        """Starts it without waiting: a member of a cluster is not healthy before the others are there."""
        routes = ", ".join(f'"nats://{HOST}:{peer}"' for peer in self.peers)
        cluster = CLUSTER.format(host=HOST, port=self.route, routes=routes) if self.peers else ""
        configuration = self.root / "nats.conf"
        configuration.write_text(
            CONFIGURATION.format(
                name=self.name,
                host=HOST,
                port=self.port,
                monitor=self.monitor,
                max_payload=self.max_payload,
                root=self.root,
                cluster=cluster,
                more=self.more,
            )
        )
        program = shutil.which("nats-server", path=ADMIN_PATH)
        assert program, "nats-server is not installed"
        self.spawn([program, "-c", str(configuration)])

    def is_healthy(self) -> bool:
        return self.ask("/healthz")[0] == 200

    def ask(self, path: str) -> tuple[int, Any]:
        """What the monitoring port answers."""
        connection = http.client.HTTPConnection(HOST, self.monitor, timeout=2)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, ValueError, http.client.HTTPException):
            return 0, None
        finally:
            connection.close()

    def freeze(self) -> None:
        """Stops it where it stands; it keeps its connections."""
        assert self.child is not None
        self.child.send_signal(signal.SIGSTOP)
        tasks = Path(f"/proc/{self.child.pid}/task")

        def stopped() -> bool:
            states = [(task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks.iterdir()]
            return set(states) == {"T"}

        poll(stopped, "nats-server to stop")

    def thaw(self) -> None:
        assert self.child is not None
        self.child.send_signal(signal.SIGCONT)


class NatsCluster:
    """Servers that are one cluster. `authority`: what the URL says before the first path."""

    def __init__(self, root: Path, size: int = 3) -> None:
        ports = free_ports(3 * size)
        self.nodes = [
            NatsServer(root / f"n{at}", name=f"n{at}", ports=(ports[at], ports[size + at], ports[2 * size + at]))
            for at in range(size)
        ]
        for node in self.nodes:
            node.peers = [peer.route for peer in self.nodes if peer is not node]

    @property
    def authority(self) -> str:
        return ",".join(f"{HOST}:{node.port}" for node in self.nodes)

    def start(self) -> Self:
        for node in self.nodes:
            if not node.alive():
                node.launch()
        for node in self.nodes:
            node.wait_for(node.is_healthy, 40)
        return self

    def kill(self) -> None:
        """kill -9 of every node."""
        for node in self.nodes:
            node.kill()

    def leader(self, stream: str) -> NatsServer:
        """The node that leads a stream."""

        def found() -> NatsServer | None:
            info = look(self.urls, lambda client: client.jetstream().stream_info(stream))
            return next((node for node in self.nodes if info.cluster and node.name == info.cluster.leader), None)

        server: NatsServer = poll(found, f"a leader of {stream}", 40)
        return server

    @property
    def urls(self) -> list[str]:
        """Of the nodes that run."""
        return [node.url for node in self.nodes if node.alive()]

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.kill()
            raise

    def __exit__(self, *exc_info: object) -> None:
        self.kill()


def look(urls: list[str], ask: Callable[[Any], Coroutine[Any, Any, Any]], **options: Any) -> Any:
    """Ask servers something with a client of our own, again and again until they answer."""

    async def once() -> Any:
        client = await nats.connect(
            urls, connect_timeout=2, allow_reconnect=True, max_reconnect_attempts=3, error_cb=_ignore, **options
        )
        try:
            return await ask(client)
        finally:
            await client.close()

    def attempt() -> tuple[Any] | None:
        try:
            return (asyncio.run(once()),)
        except (OSError, nats.errors.Error, TimeoutError):
            return None

    return poll(attempt, "an answer of nats-server", 60)[0]


async def _ignore(error: Exception) -> None:
    pass


def stored(urls: list[str], stream: str) -> list[tuple[int, dict[str, str], bytes]]:
    """Every message of a stream: its number, its headers, and what is in it. Nothing where there is no stream."""

    async def read(client: Any) -> list[tuple[int, dict[str, str], bytes]]:
        context = client.jetstream(timeout=5)
        try:
            info = await context.stream_info(stream)
        except nats.js.errors.NotFoundError:
            return []
        found: list[tuple[int, dict[str, str], bytes]] = []
        if not info.state.messages:
            return found
        subscription = await context.subscribe(">", stream=stream, ordered_consumer=True)
        while not found or found[-1][0] < info.state.last_seq:
            message = await subscription.next_msg(timeout=10)
            found.append((message.metadata.sequence.stream, message.headers or {}, message.data))
        return found

    rows: list[tuple[int, dict[str, str], bytes]] = look(urls, read)
    return rows


@contextmanager
def running_server(root: Path, **changes: Any) -> Iterator[NatsServer]:
    """One server, with these attributes."""
    server = NatsServer(root)
    for name, value in changes.items():
        setattr(server, name, value)
    with server:
        yield server
