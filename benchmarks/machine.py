"""What the processor does for one request: machine instructions, cache misses, mispredicted branches.

valgrind's callgrind executes the requests and counts, so the figures are the same on a busy machine, to some
thousandths. It models one processor, whatever it runs on: 32 KiB of first-level cache for instructions, 48 KiB for
data, 1 MiB behind them. What the kernel does is not counted, and neither is time: where one instruction waits for
memory or for another, that shows as misses.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
if __package__ in {None, ""}:
    sys.path.insert(0, str(ROOT))

from benchmarks import apps, environment, removal, traffic, variants, worker  # noqa: E402

WARMING, COUNTED = 2_048, 512  # requests; those counted come from heads that were served before, with new numbers
CALLGRIND = (
    *("valgrind", "--tool=callgrind", "--instr-atstart=no", "--cache-sim=yes", "--branch-sim=yes"),
    *("--I1=32768,8,64", "--D1=49152,12,64", "--LL=1048576,16,64"),
)


class Work(NamedTuple):
    """What one request costs the processor."""

    instructions: float
    instruction_misses: float  # of the first-level cache, as the next one
    data_misses: float
    mispredicted: float  # branches


def measure(kind: str, name: str, directory: Path, without: str = "") -> Work | str:
    """Count for one variant, perhaps `without` a step; what is wrong where it cannot be counted."""
    place = Path(tempfile.mkdtemp(prefix=f"{kind}-{name}-", dir=directory))
    counts = place / "callgrind.out"
    served = [sys.executable, __file__, "--serve", kind, name, str(place), without]
    run = subprocess.run(
        [*CALLGRIND, f"--callgrind-out-file={counts}", *served],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode != 0:
        return (run.stderr.strip().splitlines() or ["no reason given"])[-1]
    return _work(counts)


def _work(counts: Path) -> Work:
    """Read the sums of a callgrind file (https://valgrind.org/docs/manual/cl-format.html)."""
    lines = dict(
        line.split(":", 1) for line in counts.read_text().splitlines() if line.startswith(("events", "totals"))
    )
    sums = [int(total) / COUNTED for total in lines["totals"].split()]
    found = dict(zip(lines["events"].split(), sums, strict=True))
    return Work(found["Ir"], found["I1mr"], found["D1mr"] + found["D1mw"], found["Bcm"] + found["Bim"])


async def serve(kind: str, name: str, directory: Path) -> None:
    """Serve requests, the last of them counted: this runs in valgrind."""
    app = variants.VARIANTS[name].build(kind, directory)
    make, rounds = (
        (traffic.scope, worker.asgi_round) if kind in apps.ASGI_KINDS else (traffic.environ, worker.wsgi_round)
    )
    pool = traffic.heads(WARMING)
    for first in range(0, WARMING, worker.BATCH):
        await rounds(app, [make(pool, number) for number in range(first, first + worker.BATCH)])
    waiting = [make(pool, number) for number in range(WARMING, WARMING + COUNTED)]
    gc.collect()
    gc.freeze()
    _count("on")
    await rounds(app, waiting)
    _count("off")


def _count(whether: str) -> None:
    subprocess.run(["callgrind_control", "--instr=" + whether, str(os.getpid())], check=True, stdout=subprocess.DEVNULL)


def table(kind: str, names: list[str], directory: Path) -> Iterator[str]:
    """Yield one kind as lines of a table."""
    yield "| kind | variant | instructions | added | x limit | L1i misses | L1d misses | mispredicted |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|"
    added: dict[str, float] = {}
    bare = 0.0
    for name in names:
        work = measure(kind, name, directory)
        if isinstance(work, str):
            yield f"| {kind} | {name} | left out: {work} |"
            continue
        bare = work.instructions if name == "bare" else bare
        added[name] = work.instructions - bare
        ratio = f"{added[name] / added['limit']:.2f}" if "limit" in added else "-"
        figures = " | ".join(f"{figure:,.0f}" for figure in work[1:])
        yield f"| {kind} | {name} | {work.instructions:,.0f} | {added[name]:,.0f} | {ratio} | {figures} |"


def steps(kind: str, directory: Path) -> Iterator[str]:
    """Yield what is saved when a step is taken away, as lines of a table."""
    yield f"| {kind}, without | instructions saved | of what auditmw adds | L1i misses | L1d misses | mispredicted |"
    yield "|---|---:|---:|---:|---:|---:|"
    bare, whole = measure(kind, "bare", directory), measure(kind, "auditmw", directory)
    if isinstance(bare, str) or isinstance(whole, str):
        raise SystemExit(f"expected to count {kind}: {bare if isinstance(bare, str) else whole}")
    added = Work(*(mine - its for mine, its in zip(whole, bare, strict=True)))
    yield _row("all of it", added, added)
    for step in removal.STEPS:
        rest = measure(kind, "auditmw", directory, step)
        if isinstance(rest, str):
            yield f"| {step} | left out: {rest} |"
        else:
            yield _row(step, Work(*(mine - its for mine, its in zip(whole, rest, strict=True))), added)


def _row(step: str, saved: Work, added: Work) -> str:
    misses = " | ".join(f"{figure:,.0f}" for figure in saved[1:])
    return f"| {step} | {saved.instructions:,.0f} | {saved.instructions / added.instructions:.0%} | {misses} |"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.machine", description=__doc__)
    parser.add_argument("--kinds", default="asgi,wsgi", help="comma-separated (default: %(default)s)")
    parser.add_argument(
        "--variants", default="limit,auditmw", help="comma-separated, bare is always counted (default: %(default)s)"
    )
    parser.add_argument(
        "--steps", action="store_true", help="count auditmw instead, with one step after the other taken away"
    )
    parser.add_argument("--serve", nargs=4, metavar=("KIND", "VARIANT", "DIR", "WITHOUT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        kind, name, directory, without = given.serve
        if without:
            removal.STEPS[without]()
        asyncio.run(serve(kind, name, Path(directory)))
        return 0
    chosen = {"bare", *given.variants.split(",")}
    packages = {"auditmw", "orjson"}
    with environment.directory_on_disk() as directory:
        for kind in given.kinds.split(","):
            if given.steps:
                print("\n".join(steps(kind, directory)), end="\n\n", flush=True)
                continue
            names = [name for name, variant in variants.VARIANTS.items() if name in chosen and kind in variant.kinds]
            packages.update(package for name in names for package in variants.VARIANTS[name].packages)
            print("\n".join(table(kind, names, directory)), end="\n\n", flush=True)
        print("\n".join(environment.describe(packages, directory)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
