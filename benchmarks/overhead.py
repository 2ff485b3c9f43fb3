"""What auditmw adds to a request, beside the bare application, a hand-written minimum, and peers.

Every variant runs in a process of its own; the processes take turns, one round of requests each, in an order that
changes with every round, all on the same core where the machine has two or more. A figure is CPU time of the whole
process (user and system, threads included) per request.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if __package__ in {None, ""}:
    sys.path.insert(0, str(ROOT))

from benchmarks import apps, environment, variants  # noqa: E402

ROUNDS = 31
REQUESTS = {"asgi": 800, "wsgi": 800, "flask": 256, "django": 256, "fastapi": 256}
ANSWER_TIMEOUT_SECONDS = 120


@dataclass
class Contestant:
    """One variant of one kind, and its process.

    Attributes:
        us_per_request: CPU microseconds per request, one figure a round.
        left_out: why there is no figure, where there is none.
    """

    kind: str
    name: str
    directory: Path
    process: subprocess.Popen[str]
    us_per_request: list[float] = field(default_factory=list)
    left_out: str = ""
    bytes_per_request: float = 0.0

    def order(self, what: dict[str, Any]) -> dict[str, Any]:
        """Send one order and wait for its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """Read one answer; a process that ended without one says so."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            return {"error": f"the process ended with {self.process.wait(ANSWER_TIMEOUT_SECONDS)}"}
        answer: dict[str, Any] = json.loads(line)
        return answer


def measure(kind: str, names: list[str], rounds: int, requests: int, directory: Path) -> list[Contestant]:
    """Run all variants of ``kind`` in turns and return them with their figures."""
    with contextlib.ExitStack() as stack:
        contestants = [stack.enter_context(_started(kind, name, directory)) for name in names]
        for contestant in contestants:
            _begin(contestant)
        running = [contestant for contestant in contestants if not contestant.left_out]
        shuffled = random.Random(kind)
        for number in range(rounds):
            shuffled.shuffle(running)
            for contestant in running:
                _round(contestant, requests, number * requests)
    return contestants


@contextlib.contextmanager
def _started(kind: str, name: str, parent: Path) -> Iterator[Contestant]:
    directory = parent / f"{kind}-{name}"
    directory.mkdir()
    cores = sorted(os.sched_getaffinity(0))
    core = str(cores[-1]) if len(cores) > 1 else "-"
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.worker", kind, name, str(directory), core],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    with process:
        try:
            yield Contestant(kind, name, directory, process)
        finally:
            if process.stdin is not None:
                process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
            shutil.rmtree(directory)


def _begin(contestant: Contestant) -> None:
    ready = contestant.answer()
    if "missing" in ready:
        contestant.left_out = f"{ready['missing']} is not installed"
    elif "error" in ready:
        contestant.left_out = "failed: " + ready["error"]
    else:
        _check_files(contestant, ready, ready["requests"])


def _round(contestant: Contestant, requests: int, first: int) -> None:
    if contestant.left_out:
        return
    answer = contestant.order({"round": requests, "first": first})
    if "error" in answer:
        contestant.left_out = "failed: " + answer["error"]
        return
    _check_files(contestant, answer, requests)
    contestant.us_per_request.append(answer["cpu_ns"] / requests / 1000)


def _check_files(contestant: Contestant, answer: dict[str, Any], requests: int) -> None:
    """Hold the variant to what it should have written for ``requests`` requests: a fast one may not skip its work."""
    expected = variants.VARIANTS[contestant.name].lines * requests
    if answer["lines"] != expected:
        contestant.left_out = f"failed: {expected} lines expected in its files, {answer['lines']} found"
    contestant.bytes_per_request = answer["bytes"] / requests


def table(contestants: list[Contestant]) -> list[str]:
    """Return one kind as lines of a table; the first contestant is the bare one."""
    lines = [
        "| kind | variant | CPU µs/req | added µs (median) | IQR | added µs (p10) | x bare | x limit | bytes/req |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    measured = {contestant.name: contestant for contestant in contestants if not contestant.left_out}
    bare = measured["bare"]
    limit = _added(measured["limit"], bare) if "limit" in measured else None
    for contestant in measured.values():
        figures = contestant.us_per_request
        added, spread, low = _added(contestant, bare), _iqr(contestant, bare), _p10(figures) - _p10(bare.us_per_request)
        ratio = f"{added / limit:.2f}" if limit else "-"
        lines.append(
            f"| {contestant.kind} | {contestant.name} | {statistics.median(figures):.2f} | {added:.2f} | {spread:.2f} "
            f"| {low:.2f} | {statistics.median(figures) / statistics.median(bare.us_per_request):.2f} "
            f"| {ratio if contestant is not bare else '-'} | {contestant.bytes_per_request:.0f} |"
        )
    return lines


def _differences(contestant: Contestant, bare: Contestant) -> list[float]:
    """Round by round what the variant used more than the bare application used in the same round."""
    return [used - least for used, least in zip(contestant.us_per_request, bare.us_per_request, strict=True)]


def _added(contestant: Contestant, bare: Contestant) -> float:
    return statistics.median(_differences(contestant, bare))


def _iqr(contestant: Contestant, bare: Contestant) -> float:
    first, _, third = statistics.quantiles(_differences(contestant, bare), n=4)
    return third - first


def _p10(figures: list[float]) -> float:
    return statistics.quantiles(figures, n=10)[0]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("--kinds", default=",".join(apps.KINDS), help="comma-separated (default: %(default)s)")
    parser.add_argument(
        "--variants",
        default=",".join(variants.VARIANTS),
        help="comma-separated; bare is always measured (default: %(default)s)",
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds per variant (default: %(default)s)")
    default = ", ".join(f"{count} {kind}" for kind, count in REQUESTS.items())
    parser.add_argument("--requests", type=int, help=f"requests per round (default: {default})")
    parser.add_argument("--dir", help="where to write; must be on a disk (default: the temporary directory)")
    parser.add_argument("--json", metavar="FILE", help="write every round's figure to FILE as well")
    given = parser.parse_args()
    given.kinds, given.variants = given.kinds.split(","), given.variants.split(",")
    for name, known in (("kinds", apps.KINDS), ("variants", variants.VARIANTS)):
        unknown = set(getattr(given, name)) - set(known)
        if unknown:
            parser.error(f"unknown {name}: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if given.rounds < 4:
        parser.error(f"expected at least 4 rounds, for quartiles, not {given.rounds}")
    return given


def main() -> int:
    given = arguments()
    record: dict[str, Any] = {"command": sys.argv[1:], "kinds": {}}
    left_out: list[str] = []
    packages: set[str] = set()
    failed = False
    with environment.directory_on_disk(given.dir) as directory:
        for kind in given.kinds:
            names = [
                name
                for name, variant in variants.VARIANTS.items()
                if kind in variant.kinds and (name == "bare" or name in given.variants)
            ]
            contestants = measure(kind, names, given.rounds, given.requests or REQUESTS[kind], directory)
            print("\n".join(table(contestants)), flush=True)
            print()
            for contestant in contestants:
                packages.update(variants.VARIANTS[contestant.name].packages)
                if contestant.left_out:
                    left_out.append(f"{kind} {contestant.name}: {contestant.left_out}")
                    failed = failed or contestant.left_out.startswith("failed")
            record["kinds"][kind] = {contestant.name: contestant.us_per_request for contestant in contestants}
        described = environment.describe(packages, directory)
    print("\n".join([*(f"left out  {line}" for line in left_out), *described]))
    if given.json:
        Path(given.json).write_text(json.dumps({**record, "left_out": left_out, "environment": described}, indent=1))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
