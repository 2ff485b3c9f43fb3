"""An access log of a million lines: `auditmw import` until it is ready to query, beside GoAccess on the same file.

The lines are those that nginx would have written, in its combined format, of a generated history. Both programs take
turns, each time from the beginning: auditmw into a new directory, with the archive step; GoAccess into a report.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if __package__ in {None, ""}:
    sys.path.insert(0, str(ROOT))

from auditmw.query import Engine, count  # noqa: E402
from benchmarks import access_log, environment  # noqa: E402
from benchmarks.process_tree import Run, run  # noqa: E402

LINES, ROUNDS = 1_000_000, 3
MEBIBYTE = 1024 * 1024
TARGET_LINES_PER_SECOND, TARGET_PEAK_MEBIBYTES = 100_000, 300
AUDITMW, GOACCESS = "auditmw", "goaccess"


def import_and_archive(log: Path, directory: Path, lines: int) -> Run:
    """Import the log into a new audit directory, to the end of the archive step; no line may be missing."""
    try:
        took = _checked(
            run(
                [sys.executable, "-m", "auditmw", "import", log, "--into", directory, "--format", "nginx:combined"],
                output=log.with_name("output"),
            )
        )
        with contextlib.closing(Engine(directory)) as engine:
            events = count(engine).value
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if events != lines:
        raise SystemExit(f"auditmw imported {events:,} of {lines:,} lines:\n{took.output}")
    return took


def report_with_goaccess(log: Path, directory: Path, lines: int) -> Run:
    """Let GoAccess make its report of the log."""
    report = log.with_name("report.json")
    took = _checked(
        run(
            ["goaccess", log, "--log-format=COMBINED", "--no-global-config", "--no-progress", "-o", report],
            output=log.with_name("output"),
        )
    )
    valid = json.loads(report.read_bytes())["general"]["valid_requests"]
    if valid != lines:
        raise SystemExit(f"goaccess took {valid:,} of {lines:,} lines for valid ones")
    return took


def _checked(took: Run) -> Run:
    if took.code:
        raise SystemExit(f"a command failed with {took.code}:\n{took.output}")
    return took


PROGRAMS: dict[str, Callable[[Path, Path, int], Run]] = {AUDITMW: import_and_archive, GOACCESS: report_with_goaccess}


def measure(directory: Path, lines: int, rounds: int, programs: list[str]) -> dict[str, list[Run]]:
    """Write the log and let the programs take turns."""
    log = directory / "access.log"
    access_log.write(log, lines)
    runs: dict[str, list[Run]] = {name: [] for name in programs}
    for number in range(rounds):
        for name in programs if number % 2 == 0 else programs[::-1]:
            runs[name].append(PROGRAMS[name](log, directory / f"audit-{number}", lines))
    return runs


def table(runs: dict[str, list[Run]], lines: int) -> Iterator[str]:
    """Yield one line for each program: medians over the rounds."""
    yield "| program | lines/s | x goaccess | seconds | CPU seconds | peak MiB |"
    yield "|---|---:|---:|---:|---:|---:|"
    seconds = {name: statistics.median(took.seconds for took in rounds) for name, rounds in runs.items()}
    for name, rounds in runs.items():
        cpu = statistics.median(took.cpu_seconds for took in rounds)
        peak = max(took.peak_bytes for took in rounds) / MEBIBYTE
        ratio = f"{seconds[GOACCESS] / seconds[name]:.2f}" if GOACCESS in runs else "-"
        rate = lines / seconds[name]
        yield f"| {name} | {rate:,.0f} | {ratio} | {seconds[name]:.2f} | {cpu:.2f} | {peak:,.0f} |"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.importing", description=__doc__)
    parser.add_argument("--lines", type=int, default=LINES, help="of the log (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each program (default: %(default)s)")
    parser.add_argument("--dir", help="where to write; must be on a disk (default: the temporary directory)")
    parser.add_argument("--json", metavar="FILE", help="write every round's figures to FILE as well")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    programs = [AUDITMW, *([GOACCESS] if shutil.which("goaccess") else [])]
    with environment.directory_on_disk(given.dir) as directory:
        runs = measure(directory, given.lines, given.rounds, programs)
        described = environment.describe(("auditmw", "duckdb", "orjson"), directory)
    print("\n".join(table(runs, given.lines)))
    print(f"\ntarget    {TARGET_LINES_PER_SECOND:,} lines/s, {TARGET_PEAK_MEBIBYTES} MiB")
    if GOACCESS not in programs:
        print("left out  goaccess: not installed (Debian package goaccess)")
    print("\n".join(described))
    if given.json:
        record: dict[str, Any] = {name: [took._asdict() for took in rounds] for name, rounds in runs.items()}
        Path(given.json).write_text(json.dumps({**record, "lines": given.lines, "environment": described}, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
