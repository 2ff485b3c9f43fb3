"""A realistic audit history as journal files: closed ones of 16 MiB, in DIR/journal, as many writers a day left them.

The events are those of auditmw.cli.history: people, robots, a service account, troubles, several services. The same
arguments give the same bytes. Days are made side by side, on all processors.
"""

from __future__ import annotations

import argparse
import datetime
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if __package__ in {None, ""}:
    sys.path.insert(0, str(ROOT))

from auditmw.cli.history import History, write_journal  # noqa: E402

EVENTS, DAYS, SEED = 1_000_000, 30, 1

_task: tuple[History, str]


def write(
    directory: str | os.PathLike[str],
    events: int,
    days: int,
    *,
    until: datetime.datetime,
    seed: int = SEED,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[int, int]:
    """Write a history to ``directory`` and return its events and bytes; ``on_progress`` hears both after each day."""
    global _task
    _task = History(events, days, until=until, seed=seed), os.fspath(directory)
    done = written = 0
    with multiprocessing.get_context("fork").Pool(len(os.sched_getaffinity(0))) as pool:
        for count, size in pool.imap_unordered(_write_day, range(days)):
            done, written = done + count, written + size
            if on_progress is not None:
                on_progress(done, written)
    return done, written


def _write_day(day: int) -> tuple[int, int]:
    history, directory = _task
    return write_journal(history.part(day, day + 1), directory)


def show_progress(events: int) -> Callable[[int, int], None]:
    """Return what keeps a progress line on stderr, where that is a terminal; elsewhere nothing is shown."""
    began = time.monotonic()

    def show(done: int, written: int) -> None:
        rate = done / (time.monotonic() - began)
        rest = f"{(events - done) / rate:.0f} s left" if done < events else "done     "
        print(f"\r{done:,} of {events:,} events, {rate:,.0f}/s, {rest} ", end="", file=sys.stderr, flush=True)

    return show if sys.stderr.isatty() else lambda done, written: None


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history", description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS, help="how many (default: %(default)s)")
    parser.add_argument("--days", type=int, default=DAYS, help="over how many days (default: %(default)s)")
    parser.add_argument(
        "--until",
        type=datetime.datetime.fromisoformat,
        default=datetime.datetime.now(datetime.UTC),
        metavar="TIME",
        help="when they end, such as 2026-11-20T00:00:00Z; cut to the full hour (default: now)",
    )
    parser.add_argument("--seed", type=int, default=SEED, help="another number, another history (default: %(default)s)")
    parser.add_argument("--into", required=True, metavar="DIR", help="audit directory to write to")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    began = time.monotonic()
    progress = show_progress(given.events)
    events, size = write(given.into, given.events, given.days, until=given.until, seed=given.seed, on_progress=progress)
    seconds = time.monotonic() - began
    print(f"{events:,} events, {size:,} bytes ({size / events:,.0f} a line) in {seconds:.1f} s, into {given.into}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
