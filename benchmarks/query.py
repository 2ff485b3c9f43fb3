"""Questions about audit events: the archive of auditmw beside SQLite with indices, on the same events in the same run.

A history is generated (benchmarks.history), SQLite is loaded from its journal files, then they are archived. Each store
is asked by a process of its own; the processes take turns, and every round asks all questions in another order. Both
must give the same answers.
"""

from __future__ import annotations

import argparse
import datetime
import json
import random
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if __package__ in {None, ""}:
    sys.path.insert(0, str(ROOT))

from benchmarks import archive_store, environment, history, sqlite_store  # noqa: E402
from benchmarks.contenders import Answer, Built, Contender, build  # noqa: E402
from benchmarks.questions import DAYS, QUESTIONS, choose  # noqa: E402

EVENTS, ROUNDS = 1_000_000, 7
UNTIL = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)
MEBIBYTE = 1024 * 1024
ARCHIVE, SQLITE = "auditmw", "sqlite"


def run(directory: Path, events: int, rounds: int, *, with_sqlite: bool) -> dict[str, Any]:
    """Make the stores in ``directory``, ask them, and return all figures."""
    journal_bytes = _make_history(directory, events)
    subject = choose(directory, UNTIL)
    database = directory / "events.sqlite"
    built: dict[str, Built] = {}
    contenders = []
    if with_sqlite:
        built[SQLITE] = build(sqlite_store.build, directory, database)
        contenders.append(Contender(SQLITE, sqlite_store.Store, database, subject))
    built[ARCHIVE] = build(archive_store.build, directory)
    contenders.insert(0, Contender(ARCHIVE, archive_store.Store, directory, subject))
    _ask(contenders, rounds)
    for contender in contenders:
        contender.close()
    sizes = {ARCHIVE: _bytes_below(directory / "archive"), SQLITE: database.stat().st_size if with_sqlite else 0}
    return {
        "events": events,
        "journal_bytes": journal_bytes,
        "stores": {
            contender.name: {
                "build_seconds": built[contender.name].seconds,
                "build_cpu_seconds": built[contender.name].cpu_seconds,
                "build_peak_bytes": built[contender.name].peak_bytes,
                "events": built[contender.name].result,
                "bytes": sizes[contender.name],
                "query_peak_bytes": contender.peak_bytes,
                "answers": contender.answers,
            }
            for contender in contenders
        },
    }


def _make_history(directory: Path, events: int) -> int:
    progress = history.show_progress(events)
    _, size = history.write(directory, events, DAYS, until=UNTIL, on_progress=progress)
    return size


def _ask(contenders: list[Contender], rounds: int) -> None:
    """Ask every contender every question in every round, in an order that changes."""
    shuffled = random.Random(1)
    questions = list(QUESTIONS)
    for _ in range(rounds):
        shuffled.shuffle(questions)
        for question in questions:
            shuffled.shuffle(contenders)
            for contender in contenders:
                contender.ask(question.method)


def _bytes_below(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())


def stores_table(figures: dict[str, Any]) -> Iterator[str]:
    """Yield the table of the stores: what they took to make and to ask."""
    yield "| store | MiB | bytes/event | seconds to make | CPU | events/s | peak MiB, making | peak MiB, asking |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|"
    for name, store in figures["stores"].items():
        events, size = store["events"], store["bytes"]
        seconds, cpu_seconds = store["build_seconds"], store["build_cpu_seconds"]
        yield (
            f"| {name} | {size / MEBIBYTE:,.0f} | {size / events:.0f} | {seconds:.1f} | {cpu_seconds:.1f} "
            f"| {events / seconds:,.0f} | {store['build_peak_bytes'] / MEBIBYTE:,.0f} "
            f"| {store['query_peak_bytes'] / MEBIBYTE:,.0f} |"
        )


def questions_table(figures: dict[str, Any]) -> Iterator[str]:
    """Yield the table of the questions: medians in milliseconds, beside the target for ten million events."""
    stores = figures["stores"]
    columns = ["target ms", "auditmw ms", "p90", "CPU ms", "first time", "first part"]
    columns += ["sqlite ms", "CPU ms", "x"] if SQLITE in stores else []
    yield "| " + " | ".join(["question", *columns]) + " |"
    yield "|---|" + "---:|" * len(columns)
    for question in QUESTIONS:
        ours: list[Answer] = stores[ARCHIVE]["answers"][question.method]
        seconds = [answer.seconds for answer in ours]
        firsts = [answer.first_seconds for answer in ours if answer.first_seconds is not None]
        cells = [_ms(statistics.median(seconds)), _ms(statistics.quantiles(seconds, n=10)[-1])]
        cells += [_cpu_ms(ours), _ms(seconds[0]), _ms(statistics.median(firsts)) if firsts else ""]
        if SQLITE in stores:
            theirs: list[Answer] = stores[SQLITE]["answers"][question.method]
            median = statistics.median(answer.seconds for answer in theirs)
            cells += [_ms(median), _cpu_ms(theirs), f"{median / statistics.median(seconds):.2f}"]
        yield "| " + " | ".join([question.title, f"{question.target_ms:,.0f}", *cells]) + " |"


def _cpu_ms(answers: list[Answer]) -> str:
    return _ms(statistics.median(answer.cpu_seconds for answer in answers))


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:,.1f}" if seconds >= 0.001 else f"{seconds * 1e3:.2f}"


def differences(figures: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each question whose answers were not always the same, everywhere."""
    for question in QUESTIONS:
        found = {
            (name, answer.digest)
            for name, store in figures["stores"].items()
            for answer in store["answers"][question.method]
        }
        if len({digest for _, digest in found}) > 1:
            yield f"failed    {question.title}: " + ", ".join(f"{name} {digest}" for name, digest in sorted(found))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.query", description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS, help="how many events (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds of all questions (default: %(default)s)")
    parser.add_argument("--without-sqlite", action="store_true", help="measure auditmw alone")
    parser.add_argument("--dir", help="where to write; must be on a disk (default: the temporary directory)")
    parser.add_argument("--json", metavar="FILE", help="write every figure to FILE as well")
    given = parser.parse_args()
    if given.rounds < 2:
        parser.error(f"expected at least 2 rounds, not {given.rounds}")
    return given


def main() -> int:
    given = arguments()
    with environment.directory_on_disk(given.dir) as directory:
        figures = run(directory, given.events, given.rounds, with_sqlite=not given.without_sqlite)
        described = environment.describe(("auditmw", "duckdb", "orjson"), directory)
    wrong = list(differences(figures))
    print(f"{figures['events']:,} events over {DAYS} days, journal of {figures['journal_bytes'] / MEBIBYTE:,.0f} MiB\n")
    print("\n".join([*stores_table(figures), "", *questions_table(figures), "", *wrong, *described]))
    if given.json:
        Path(given.json).write_text(json.dumps({**figures, "environment": described}, indent=1))
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
