"""How fast events are shipped: a journal of requests into each target, against real servers on this machine.

Each target gets the whole journal by one shipper, in its usual batches, and is asked afterwards whether all events are
there. `events/s` is from the first byte that is read to the last cursor that is saved. `batch ms` is how long the
target took for a batch. `CPU µs` is what the shipper's process used per event; the server's comes on top. A yardstick
is the least that the same server could do: the same bytes, put there by the simplest code in batches of the same size.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).resolve().parent.parent
if __package__ in {None, ""}:
    sys.path.insert(0, str(ROOT))
sys.path.insert(1, str(ROOT / "tests"))  # its servers

from benchmarks import apps, environment, receivers, traffic, variants  # noqa: E402

EVENTS = 50_000


@dataclass
class Served:
    """A server that runs: the URL to ship to, how many events it has, and how to put bodies there without auditmw."""

    url: str
    count: Callable[[], int]
    yardstick: Callable[[Sequence[bytes], int], None] | None = None
    yardstick_name: str = ""


@dataclass(frozen=True)
class Contender:
    """A target to measure. `serve` gets a folder; raises ImportError, FileNotFoundError, AssertionError without it."""

    serve: Callable[[Path], AbstractContextManager[Served]]
    packages: tuple[str, ...] = ()


@dataclass
class Figures:
    """What was measured of one target."""

    name: str
    batch: int
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    batches: list[float] = field(default_factory=list)


@contextlib.contextmanager
def file(folder: Path) -> Iterator[Served]:
    """A file that is appended to and synced."""
    path = folder / "events.ndjson"
    yield Served(f"file://{path}", lambda: path.read_bytes().count(b"\n"))


@contextlib.contextmanager
def postgresql(folder: Path) -> Iterator[Served]:
    """PostgreSQL as it is durable: every batch is a COMMIT that waits for the disk."""
    from postgres_server import postgres

    durable = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "128MB", "max_wal_size": "2GB"}
    with postgres(durable) as server:

        def count() -> int:
            return int(server.execute("SELECT count(*) FROM auditmw.events")[0][0])

        def copy(bodies: Sequence[bytes], batch: int) -> None:
            with server.connect() as connection:
                connection.execute("CREATE TABLE plain (body text)")
                for first in range(0, len(bodies), batch):
                    with connection.cursor().copy("COPY plain FROM STDIN (FORMAT BINARY)") as writer:
                        writer.set_types(["text"])
                        for body in bodies[first : first + batch]:
                            writer.write_row((body.decode(),))

        yield Served(server.url(), count, copy, "COPY into one column")


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[Served]:
    """Redis with a file that is synced before every answer."""
    from redis_server import Redis

    with Redis(folder / "redis", appendfsync="always") as server:

        def count() -> int:
            return int(server.client().xlen("auditmw"))

        def pipelined(bodies: Sequence[bytes], batch: int) -> None:
            client = server.client()
            for first in range(0, len(bodies), batch):
                pipeline = client.pipeline(transaction=False)
                for body in bodies[first : first + batch]:
                    pipeline.xadd("plain", {"event": body})
                pipeline.execute()

        yield Served(server.url(), count, pipelined, "XADD, pipelined")


@contextlib.contextmanager
def clickhouse(folder: Path) -> Iterator[Served]:
    """Debian's ClickHouse, one server."""
    from clickhouse_server import clickhouse as servers

    with servers(1, folder=folder) as [server]:

        def count() -> int:
            return int(server.rows("SELECT count() FROM auditmw_events")[0][0])

        def bare(bodies: Sequence[bytes], batch: int) -> None:
            server.query("CREATE TABLE plain (body String) ENGINE = MergeTree ORDER BY tuple()")
            for first in range(0, len(bodies), batch):
                lines = b"".join(
                    b'{"body":%s}\n' % orjson.dumps(body.decode()) for body in bodies[first : first + batch]
                )
                server.query("INSERT INTO plain FORMAT JSONEachRow", lines)

        yield Served(server.url(), count, bare, "INSERT into one column")


@contextlib.contextmanager
def nats(folder: Path) -> Iterator[Served]:
    """Three nats-servers and a stream with three replicas."""
    import asyncio

    import nats as client

    from nats_server import NatsCluster, look

    with NatsCluster(folder / "nats") as cluster:

        def count() -> int:
            return int(look(cluster.urls, lambda each: each.jetstream().stream_info("AUDIT")).state.messages)

        async def publish(bodies: Sequence[bytes], batch: int) -> None:
            connection = await client.connect(cluster.urls)
            context = connection.jetstream(publish_async_max_pending=256)
            await context.add_stream(name="plain", subjects=["plain"], num_replicas=3)
            for first in range(0, len(bodies), batch):
                some = [await context.publish_async("plain", body) for body in bodies[first : first + batch]]
                await asyncio.gather(*some)
            await connection.close()

        yield Served(
            f"nats://{cluster.authority}/AUDIT",
            count,
            lambda bodies, batch: asyncio.run(publish(bodies, batch)),
            "publish_async of nats-py",
        )


@contextlib.contextmanager
def kafka(folder: Path) -> Iterator[Served]:
    """The mock cluster of librdkafka, in memory and in this process: what the client costs, and no broker's speed."""
    from confluent_kafka import Consumer as Reader
    from confluent_kafka import Producer, TopicPartition

    from kafka_mock import mock_kafka

    with mock_kafka() as cluster:
        cluster.topic("audit", partitions=12)
        cluster.topic("plain", partitions=12)

        def count() -> int:
            reader = Reader({"bootstrap.servers": cluster.servers, "group.id": "count"})
            ends = [reader.get_watermark_offsets(TopicPartition("audit", each))[1] for each in range(12)]
            reader.close()
            return sum(ends)

        def produce(bodies: Sequence[bytes], batch: int) -> None:
            producer = Producer({"bootstrap.servers": cluster.servers, "enable.idempotence": True, "linger.ms": 5})
            for first in range(0, len(bodies), batch):
                for body in bodies[first : first + batch]:
                    producer.produce("plain", body)
                producer.flush()

        yield Served(f"kafka://{cluster.servers}/audit", count, produce, "produce, flush")


@contextlib.contextmanager
def received(kind: str, scheme: str) -> Iterator[Served]:
    """A receiver in Python, in a process of its own: it bounds what can be measured."""
    with receivers.receiver(kind) as (place, count):
        yield Served(f"{scheme}://{place}", count)


@contextlib.contextmanager
def syslog(folder: Path, kind: str) -> Iterator[Served]:
    """Let rsyslogd take messages: it writes each to a file before the next."""
    from certificates import Certificates
    from syslog_server import SecureRsyslog

    (folder / "keys").mkdir()
    with SecureRsyslog(folder / "rsyslog", Certificates(folder / "keys")) as server:
        port, options = {
            "tcp": (server.port, ""),
            "tls": (server.tls, f"?{server.certificates.options}"),
            "relp": (server.relp, ""),
        }[kind]

        def count() -> int:
            size, settled = -1, 0
            while settled < 20:  # nobody says when all is written
                time.sleep(0.05)
                now = server.out.stat().st_size
                settled, size = (settled + 1 if now == size else 0), now
            return server.out.read_bytes().count(b"\n")

        yield Served(f"syslog+{kind}://127.0.0.1:{port}{options}", count)


CONTENDERS = {
    "file": Contender(file),
    "postgresql": Contender(postgresql, ("psycopg",)),
    "redis": Contender(redis, ("redis",)),
    "clickhouse": Contender(clickhouse),
    "http": Contender(lambda folder: received("lines", "http")),
    "otlp+http": Contender(lambda folder: received("otlp-http", "otlp+http"), ("opentelemetry-proto",)),
    "otlp+grpc": Contender(lambda folder: received("otlp-grpc", "otlp+grpc"), ("opentelemetry-proto", "grpcio")),
    "syslog+tcp": Contender(lambda folder: syslog(folder, "tcp")),
    "syslog+tls": Contender(lambda folder: syslog(folder, "tls")),
    "syslog+relp": Contender(lambda folder: syslog(folder, "relp")),
    "nats": Contender(nats, ("nats-py",)),
    "kafka": Contender(kafka, ("confluent-kafka",)),
}
"""The targets that can be measured; a new one is a function like those above, and a row here."""


class Timed:
    """A target whose batches are timed; the rest is as it is."""

    def __init__(self, target: Any, figures: Figures) -> None:
        self._target, self._figures = target, figures
        self.max_events, self.max_bytes, self.format = target.max_events, target.max_bytes, target.format
        self.close, self.record = target.close, target.record
        if hasattr(target, "claim"):
            self.claim = target.claim
            self.send_with_cursor = self._timed(target.send_with_cursor)
        self.send = self._timed(target.send)

    def _timed(self, send: Callable[..., Any]) -> Callable[..., Any]:
        def timed(batch: Any, *rest: Any) -> Any:
            begin = time.perf_counter()
            accepted = send(batch, *rest)
            self._figures.batches.append(time.perf_counter() - begin)
            return accepted

        return timed


def write_journal(directory: Path, count: int) -> None:
    """Write what the middleware writes of so many requests."""
    import auditmw

    audit = auditmw.Audit(directory, service="bench", resolver=variants.resolver())
    wrapped = auditmw.WSGIAudit(apps.make("wsgi"), audit)
    pool = traffic.heads()
    for number in range(count):
        list(wrapped(traffic.environ(pool, number), lambda *head: None))
    audit.close()


def bodies_of(directory: Path) -> list[bytes]:
    """Return the events of the journal as bytes."""
    from auditmw.journal import FileReader, journal_files

    return [line.body for path in journal_files(directory) for line in FileReader(path).lines()]


def ship(name: str, served: Served, directory: Path, events: int, batch: int | None) -> Figures:
    """Ship the journal to one target; no event may be missing there, or be there twice."""
    from auditmw.ship.process import dedicate
    from auditmw.ship.shipper import Shipper
    from auditmw.ship.targets import target_for

    dedicate()  # as `auditmw ship` does
    target = target_for(served.url)
    target.max_events = batch or target.max_events
    figures = Figures(name, target.max_events)
    cpu, begin = time.process_time(), time.perf_counter()
    if not Shipper(directory, Timed(target, figures), name=f"bench-{name}").run_once():
        raise SystemExit("another shipper holds the directory")
    figures.seconds, figures.cpu_seconds = time.perf_counter() - begin, time.process_time() - cpu
    if (found := served.count()) != events:
        raise SystemExit(f"{name} has {found:,} of {events:,} events")
    return figures


def measure_yardstick(served: Served, bodies: Sequence[bytes], batch: int) -> Figures:
    """Put the same bytes there without auditmw."""
    assert served.yardstick is not None
    figures = Figures(f"- {served.yardstick_name}", batch)
    cpu, begin = time.process_time(), time.perf_counter()
    served.yardstick(bodies, batch)
    figures.seconds, figures.cpu_seconds = time.perf_counter() - begin, time.process_time() - cpu
    return figures


def table(rows: Sequence[Figures], events: int) -> list[str]:
    """Return the lines of the table."""
    lines = [
        "| target                   | batch | events/s | CPU µs | batch ms, median |   99 % |",
        "|--------------------------|------:|---------:|-------:|-----------------:|-------:|",
    ]
    for row in rows:
        times = sorted(1000 * seconds for seconds in row.batches)
        median = f"{statistics.median(times):.1f}" if times else "-"
        slowest = f"{times[int(len(times) * 0.99)]:.1f}" if times else "-"
        lines.append(
            f"| {row.name:24} | {row.batch:5} | {events / row.seconds:8,.0f} | {row.cpu_seconds / events * 1e6:6.1f} "
            f"| {median:>16} | {slowest:>6} |"
        )
    return lines


def measure(names: Sequence[str], folder: Path, events: int, batch: int | None) -> tuple[list[Figures], list[str]]:
    """Measure each target and its yardstick; return the rows, and why others were left out."""
    rows, left_out = [], []
    write_journal(folder / "audit", events)
    bodies = bodies_of(folder / "audit")
    for name in names:
        (folder / name).mkdir()
        try:
            with CONTENDERS[name].serve(folder / name) as served:
                rows.append(ship(name, served, folder / "audit", events, batch))
                if served.yardstick is not None:
                    rows.append(measure_yardstick(served, bodies, rows[-1].batch))
        except (ImportError, FileNotFoundError, AssertionError) as error:
            left_out.append(f"left out: {name}: {error}")
        shutil.rmtree(folder / name, ignore_errors=True)
    sizes = statistics.mean(map(len, bodies))
    return rows, [*left_out, f"{events:,} events of {sizes:.0f} bytes on average"]


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="shipping", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(CONTENDERS)} (default: all)")
    parser.add_argument("--events", type=int, default=EVENTS, help=f"how many to ship (default: {EVENTS:,})")
    parser.add_argument("--batch", type=int, help="events in a batch (default: as the target has it)")
    options = parser.parse_args(arguments)
    if unknown := set(options.targets) - set(CONTENDERS):
        parser.error(f"expected targets of {', '.join(CONTENDERS)}, not {', '.join(sorted(unknown))}")
    with environment.directory_on_disk() as folder:
        os.chmod(folder, 0o755)  # a server may run as another user
        rows, notes = measure(options.targets or list(CONTENDERS), folder, options.events, options.batch)
        sys.stdout.write("\n".join([*table(rows, options.events), "", *notes]) + "\n")
        packages = ["auditmw", *(package for each in CONTENDERS.values() for package in each.packages)]
        sys.stdout.write("\n".join(environment.describe(packages, folder)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
