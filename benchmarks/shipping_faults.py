"""Ship events into three nats-servers while these fail, and compare what is in the stream with the journal, by id.

The faults: the stream's leader is killed (kill -9); it is stopped (SIGSTOP) and goes on later; all three are killed
and started again; two of three are killed and started again. `stored twice` counts ids that the stream has more than
once, `lost` those that it lacks. `held up` is the longest time in which no batch was acknowledged. With --collect, a
collector collects all the time, and its directory is compared, too.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).resolve().parent.parent
if __package__ in {None, ""}:
    sys.path.insert(0, str(ROOT))
sys.path.insert(1, str(ROOT / "tests"))  # its servers

from benchmarks import environment, shipping  # noqa: E402

EVENTS = 50_000
COLUMNS = ("fault", "events", "seconds", "held up", "failures", "lost", "stored twice", "collected: lost", "twice")


def kill_leader(cluster: Any) -> Callable[[], None]:
    """Kill the leader; it stays away."""
    cluster.leader("AUDIT").kill()
    return lambda: None


def stop_leader(cluster: Any) -> Callable[[], None]:
    """Stop the leader; it goes on when the others have had time to notice."""
    leader = cluster.leader("AUDIT")
    leader.freeze()
    end = time.monotonic() + 15

    def mend() -> None:
        if time.monotonic() > end:
            leader.thaw()

    return mend


def kill_all(cluster: Any) -> Callable[[], None]:
    """Kill all; they are started again after the first failure."""
    cluster.kill()
    return lambda: cluster.start()


def kill_two(cluster: Any) -> Callable[[], None]:
    """Kill the majority; they are started again when the third has refused for a while."""
    for node in cluster.nodes[:2]:
        node.kill()
    end = time.monotonic() + 5
    return lambda: cluster.start() if time.monotonic() > end else None


FAULTS: dict[str, Callable[[Any], Callable[[], None]]] = {
    "kill-leader": kill_leader,
    "stop-leader": stop_leader,
    "kill-all": kill_all,
    "kill-two": kill_two,
}


@contextlib.contextmanager
def collecting(url: str, directory: Path, wanted: bool) -> Iterator[Any]:
    """Collect in a thread; None when it is not wanted."""
    if not wanted:
        yield None
        return
    from auditmw.collect.collector import Collector
    from auditmw.collect.feeds import feed_for

    collector = Collector(directory, feed_for(url), shown=url, every_seconds=1.0)
    thread = threading.Thread(target=collector.run)
    thread.start()
    try:
        yield collector
    finally:
        collector.stop()
        thread.join()


def ship(cluster: Any, url: str, journal: Path, events: int, fault: str) -> tuple[float, float, int]:
    """Ship the journal, with the fault after a third of it; return seconds, the longest pause, and failures."""
    from auditmw.ship.shipper import Shipper
    from auditmw.ship.target import RetryableError
    from auditmw.ship.targets import target_for

    target = target_for(url)
    send, shipped, last, longest, failures = target.send, 0, time.monotonic(), 0.0, 0
    mend: Callable[[], None] | None = None

    def watched(batch: Any) -> Any:
        nonlocal shipped, last, longest, mend
        if mend is None and shipped >= events // 3:
            mend = FAULTS[fault](cluster)
        accepted = send(batch)
        shipped += accepted.events
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
        return accepted

    target.send = watched  # type: ignore[method-assign]
    begin = last
    shipper = Shipper(journal, target, name=f"fault-{fault}")
    while True:
        try:
            if shipper.run_once():
                return time.monotonic() - begin, longest, failures
        except RetryableError:
            failures += 1
            (mend or (lambda: None))()
            time.sleep(0.5)


def compare(expected: set[str], found: Sequence[str]) -> tuple[int, int]:
    """Return how many ids are missing, and how many come more than once."""
    counted = Counter(found)
    return len(expected - counted.keys()), sum(1 for each in expected if counted[each] > 1)


def run(fault: str, folder: Path, journal: Path, events: int, collect: bool) -> tuple[Any, ...]:
    """Run one fault; return a row."""
    import auditmw
    from nats_server import NatsCluster, stored

    expected = {orjson.loads(body)["id"] for body in shipping.bodies_of(journal)}
    with NatsCluster(folder / "cluster") as cluster:
        url = f"nats://{cluster.authority}/AUDIT?timeout=5"
        with collecting(url, folder / "archive", collect) as collector:
            seconds, longest, failures = ship(cluster, url, journal, events, fault)
            for node in cluster.nodes:
                if node.alive():
                    node.thaw()
            cluster.start()
            end = time.monotonic() + 60
            while collector is not None and collector.counts.collected < events and time.monotonic() < end:
                time.sleep(0.1)
        in_stream = [orjson.loads(data)["id"] for _, _, data in stored(cluster.urls, "AUDIT")]
    lost, twice = compare(expected, in_stream)
    collected: tuple[Any, Any] = ("-", "-")
    if collector is not None:
        collected = compare(expected, [event["id"] for event in auditmw.read(folder / "archive")])
    return fault, events, f"{seconds:.1f}", f"{longest:.1f}", failures, lost, twice, *collected


def main(arguments: list[str] | None = None) -> int:
    """Run the faults and print; 1 when an event was lost or stored twice."""
    parser = argparse.ArgumentParser(
        prog="shipping_faults", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=f"of {', '.join(FAULTS)} (default: all)")
    parser.add_argument("--events", type=int, default=EVENTS, help=f"how many to ship (default: {EVENTS:,})")
    parser.add_argument("--collect", action="store_true", help="collect meanwhile")
    options = parser.parse_args(arguments)
    if unknown := set(options.faults) - set(FAULTS):
        parser.error(f"expected faults of {', '.join(FAULTS)}, not {', '.join(sorted(unknown))}")
    failed = False
    sys.stdout.write(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}\n")
    with environment.directory_on_disk() as folder:
        shipping.write_journal(folder / "audit", options.events)
        for fault in options.faults or FAULTS:
            row = run(fault, folder / fault, folder / "audit", options.events, options.collect)
            sys.stdout.write(f"| {' | '.join(map(str, row))} |\n")
            sys.stdout.flush()
            failed |= any(each for each in row[5:] if each != "-")
        sys.stdout.write("\n".join(environment.describe(["auditmw", "nats-py"], folder)) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
