"""What a record costs in each format: CPU microseconds to make it of an event and to read it again.

The formats take turns, one round each, in an order that is shuffled for every round. A round renders a few hundred
events: requests with the fields that the middleware writes, and events of an application. `x native` is the median of
the ratios of one round, so that other load on the machine, which comes and goes, counts for both.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
if __package__ in {None, ""}:
    sys.path.insert(0, str(ROOT))

from benchmarks import apps, environment, traffic, variants  # noqa: E402

ROUNDS = 40
EVENTS = 256
SEED = 20_261_120
NATIVE = "native"


class Contender(NamedTuple):
    """A format, its records of all events, and the CPU seconds of each round."""

    name: str
    render: Callable[[dict[str, Any]], bytes]
    parse: Callable[[bytes], dict[str, Any]] | None
    events: list[dict[str, Any]]
    records: list[bytes]
    rendering: list[float]
    parsing: list[float]


def events(count: int) -> list[dict[str, Any]]:
    """Return what the middleware writes of requests, and what an application records in every fourth of them."""
    import auditmw
    from auditmw.testing import Recorder

    recorder = Recorder()
    audit = auditmw.Audit(recorder, service="bench", resolver=variants.resolver())
    bare = apps.make("wsgi")

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        if next(numbers) % 4 == 0:
            target = {"type": "order", "id": "o-17", "attributes": {"size": 12_345}}
            auditmw.record("order_shipped", target=target, weight=1.25, tags=["a", "b"], carrier={"name": "post"})
        return bare(environ, start_response)

    numbers = iter(range(count))
    wrapped = auditmw.WSGIAudit(app, audit)
    pool = traffic.heads()
    for number in range(count):
        list(wrapped(traffic.environ(pool, number), lambda *head: None))
    audit.close()
    return recorder.events


def contenders(found: list[dict[str, Any]]) -> tuple[list[Contender], list[str]]:
    """Return the formats that can be measured here, and of the others why not."""
    from auditmw.formats import RECORD_FORMATS, record_format
    from auditmw.formats.record import LosslessFormat, RecordError

    ready, left_out = [], []
    for name in RECORD_FORMATS:
        try:
            chosen = record_format(name)
        except ImportError as error:
            left_out.append(f"{name}: {error}")
            continue
        taken, records = [], []
        for event in found:
            try:
                records.append(chosen.render(event))
            except RecordError:  # no request, for an access log
                continue
            taken.append(event)
        parse = chosen.parse if isinstance(chosen, LosslessFormat) else None
        ready.append(Contender(name, chosen.render, parse, taken, records, [], []))
    return ready, left_out


def measure(ready: list[Contender], rounds: int) -> None:
    """Let the formats take turns; each contender keeps its CPU microseconds per event of every round."""
    order = random.Random(SEED)
    for _ in range(rounds):
        order.shuffle(ready)
        for contender in ready:
            contender.rendering.append(_microseconds(contender.render, contender.events))
            if contender.parse is not None:
                contender.parsing.append(_microseconds(contender.parse, contender.records))


def _microseconds(function: Callable[[Any], Any], arguments: list[Any]) -> float:
    begin = time.process_time_ns()
    for argument in arguments:
        function(argument)
    return (time.process_time_ns() - begin) / len(arguments) / 1_000


def table(ready: list[Contender]) -> list[str]:
    """Return the lines of the table, in the order in which `--format` lists the names."""
    from auditmw.formats import RECORD_FORMATS

    by_name = {contender.name: contender for contender in ready}
    native = by_name[NATIVE].rendering
    lines = [
        "| format          | events | render µs | x native | parse µs | bytes |",
        "|-----------------|-------:|----------:|---------:|---------:|------:|",
    ]
    for name in RECORD_FORMATS:
        if name not in by_name:
            continue
        contender = by_name[name]
        ratio = statistics.median(ours / theirs for ours, theirs in zip(contender.rendering, native, strict=True))
        parsing = f"{statistics.median(contender.parsing):.1f}" if contender.parsing else "-"
        size = statistics.mean(map(len, contender.records))
        lines.append(
            f"| {name:15} | {len(contender.events):6} | {statistics.median(contender.rendering):9.1f} | {ratio:8.1f} "
            f"| {parsing:>8} | {size:5.0f} |"
        )
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="formats", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"turns of each format (default: {ROUNDS})")
    parser.add_argument("--events", type=int, default=EVENTS, help=f"requests in a round (default: {EVENTS})")
    options = parser.parse_args(arguments)
    ready, left_out = contenders(events(options.events))
    measure(ready, options.rounds)
    sys.stdout.write("\n".join([*table(ready), ""]) + "\n")
    for reason in left_out:
        sys.stdout.write(f"left out: {reason}\n")
    packages = ["auditmw", "orjson", "opentelemetry-proto", "protobuf"]
    sys.stdout.write("\n".join(environment.describe(packages)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
