"""How fast events are shipped: a journal of requests into each target, against real servers on this machine.

Each target gets the whole journal by one shipper, in its usual batches, and is asked afterwards whether all events are
there. `events/s` is from the first byte that is read to the last cursor that is saved. `batch ms` is how long the target
took for one batch. `CPU µs` is what the shipper's process used per event; the server's comes on top. A yardstick is the
least that the same server could do: the same bytes, put there by the simplest code in batches of the same size.
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

ROOT = Path(__file__).resolve().parent.parent
if __package__ in {None, ""}:
    sys.path.insert(0, str(ROOT))
sys.path.insert(1, str(ROOT / "tests"))  # its servers

from benchmarks import apps, environment, traffic, variants  # noqa: E402

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


CONTENDERS = {
    "file": Contender(file),
    "postgresql": Contender(postgresql, ("psycopg",)),
    "redis": Contender(redis, ("redis",)),
}
"""The targets that can be measured; a new one is a function like those above, and a row here."""


class Timed:
    """A target whose batches are timed; the rest is as it is."""

    def __init__(self, target: Any, figures: Figures) -> None:
        self._target, self._figures = target, figures
        self.max_events, self.max_bytes, self.format = target.max_events, target.max_bytes, target.format
        self.close = target.close
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
    from auditmw.ship.shipper import Shipper
    from auditmw.ship.targets import target_for

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
