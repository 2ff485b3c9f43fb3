"""What an event costs on its way from a host to where it is kept: processor time of each step, and bytes at each place.

A realistic history (benchmarks.history) is shipped to three nats-servers, collected into an archive and straight into
ClickHouse, and shipped into ClickHouse without a stream. `events/s` is wall time on this machine, where the servers run
as well. `CPU µs` is what auditmw's own process used per event, `servers' µs` what the servers used together: the three
nodes of a stream with three replicas, ClickHouse with the merges that it had begun by then; the row `merge all once` is
what one more merge of everything takes. The last table tells the bytes of an event in the journal, in the stream (each
replica), in the archive, and in ClickHouse when all is merged.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if __package__ in {None, ""}:
    sys.path.insert(0, str(ROOT))
sys.path.insert(1, str(ROOT / "tests"))  # its servers

from benchmarks import environment, history  # noqa: E402

EVENTS, DAYS = 50_000, 2
UNTIL = datetime(2026, 11, 20, tzinfo=UTC)
STREAM = "CHAIN"
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Step:
    """One step: wall and processor seconds of this process, and processor seconds of the servers."""

    name: str
    seconds: float
    cpu_seconds: float
    server_seconds: float = 0.0


def used_by(servers: Sequence[Any]) -> float:
    """Return the processor seconds that servers have used (proc_pid_stat(5), fields 14 and 15)."""
    total = 0
    for server in servers:
        fields = Path(f"/proc/{server.child.pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def timed(name: str, work: Callable[[], object], servers: Sequence[Any] = ()) -> Step:
    """Do the work and measure it."""
    before, cpu, begin = used_by(servers), time.process_time(), time.perf_counter()
    work()
    seconds, used = time.perf_counter() - begin, time.process_time() - cpu
    return Step(name, seconds, used, used_by(servers) - before)


def ship(directory: Path, url: str) -> None:
    """Ship the whole journal."""
    from auditmw.ship.address import Address
    from auditmw.ship.shipper import Shipper
    from auditmw.ship.targets import target_for

    assert Shipper(directory, target_for(url), name=Address(url).name).run_once()


def collect(url: str, directory: Path) -> None:
    """Collect the whole stream into a directory."""
    from auditmw.collect.collector import Collector
    from auditmw.collect.feeds import feed_for

    assert Collector(directory, feed_for(url), shown=url).run_once()


def collect_straight(url: str, to: str, state: Path) -> None:
    """Collect the whole stream into ClickHouse."""
    from auditmw.collect.feeds import feed_for
    from auditmw.collect.origin import FeedOrigin
    from auditmw.ship.shipper import Shipper
    from auditmw.ship.targets import target_for

    state.mkdir()
    origin = FeedOrigin(feed_for(url), state / "collect", name="chain", stream=url, every_seconds=5.0, once=True)
    assert Shipper(state, target_for(to), name="chain", origin=origin).run_once()


def measure(folder: Path, events: int) -> tuple[list[Step], dict[str, float], int]:
    """Return the steps, the bytes of an event by place, and how many events there were."""
    from auditmw.archive import archive
    from clickhouse_server import clickhouse
    from nats_server import NatsCluster, look

    count, size = history.write(folder / "host", events, DAYS, until=UNTIL)
    sizes = {"journal": size / count}
    with NatsCluster(folder / "nats") as nodes, clickhouse(1, folder=folder) as [server]:
        stream = f"nats://{nodes.authority}/{STREAM}?batch=1000"
        steps = [timed("ship: journal → NATS", lambda: ship(folder / "host", stream), nodes.nodes)]
        info = look(nodes.urls, lambda client: client.jetstream().stream_info(STREAM))
        sizes["stream, each replica"] = info.state.bytes / count
        stream = stream.partition("?")[0]
        steps.append(timed("collect: NATS → directory", lambda: collect(stream, folder / "archive"), nodes.nodes))
        into = server.url(table="straight")
        straight = timed(
            "collect: NATS → ClickHouse",
            lambda: collect_straight(stream, into, folder / "state"),
            (*nodes.nodes, server),
        )
        beside = server.url(table="shipped")
        steps += [straight, timed("ship: journal → ClickHouse", lambda: ship(folder / "host", beside), [server])]
        steps.append(timed("archive: journal → Parquet", lambda: archive(folder / "archive")))
        for table in ("straight", "shipped"):
            found = int(server.rows(f"SELECT uniqExact(id) FROM {table}")[0][0])
            if found != count:
                raise SystemExit(f"{table} has {found:,} of {count:,} events")
        steps.append(
            timed("ClickHouse: merge all once", lambda: server.query("OPTIMIZE TABLE straight FINAL"), [server])
        )
        select = "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND table = 'straight'"
        sizes["ClickHouse 18.16, LZ4"] = int(server.rows(select)[0][0]) / count
    sizes["archive"] = sum(path.stat().st_size for path in (folder / "archive" / "archive").glob("*/*.parquet")) / count
    return steps, sizes, count


def modern_size(folder: Path) -> float:
    """Return the bytes of an event in a modern ClickHouse, which compresses with ZSTD. Raises ImportError."""
    from auditmw.ship.shipper import Shipper
    from auditmw.ship.targets.clickhouse.schema import Place
    from auditmw.ship.targets.clickhouse.target import ClickHouseTarget
    from chdb_server import ModernServer

    server: Any = ModernServer()
    assert Shipper(folder / "host", ClickHouseTarget([server], Place("chain", ""), 0.001), name="modern").run_once()
    server.execute("OPTIMIZE TABLE chain FINAL")
    select = "SELECT toFloat64(sum(bytes_on_disk)), toFloat64(sum(rows)) FROM system.parts"
    [(size, rows)] = server.rows(f"{select} WHERE active AND table = 'chain'")
    return float(size) / float(rows)


def table(steps: Sequence[Step], sizes: dict[str, float], count: int) -> list[str]:
    """Return the lines of both tables."""
    lines = ["| step                       | events/s | CPU µs | servers' µs |"]
    lines.append("|----------------------------|---------:|-------:|------------:|")
    lines += [
        f"| {step.name:26} | {count / step.seconds:8,.0f} | {step.cpu_seconds / count * 1e6:6.1f} "
        f"| {step.server_seconds / count * 1e6 if step.server_seconds else 0:11.1f} |"
        for step in steps
    ]
    lines += ["", "| place                      | bytes an event |", "|----------------------------|---------------:|"]
    return lines + [f"| {place:26} | {size:14.0f} |" for place, size in sizes.items()]


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="chain", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--events", type=int, default=EVENTS, help=f"how many (default: {EVENTS:,})")
    options = parser.parse_args(arguments)
    with environment.directory_on_disk() as folder:
        os.chmod(folder, 0o755)  # a server may run as another user
        steps, sizes, count = measure(folder, options.events)
        try:
            sizes["ClickHouse 26, ZSTD"] = modern_size(folder)
        except ImportError as error:
            sys.stdout.write(f"left out: a modern ClickHouse: {error}\n")
        sys.stdout.write("\n".join(table(steps, sizes, count)) + f"\n\n{count:,} events\n")
        sys.stdout.write("\n".join(environment.describe(["auditmw", "nats-py", "chdb", "duckdb"], folder)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
