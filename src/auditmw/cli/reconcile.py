"""`auditmw reconcile`: whether a target of shipping has every event of the directory."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click
import duckdb

from auditmw.archive import ArchiveError
from auditmw.cli.moments import range_options
from auditmw.cli.output import EXIT_FOUND, EXIT_OK, ExampleCommand, Output, Unreadable, output_options
from auditmw.cli.tables import Table
from auditmw.journal.cursor import CursorError
from auditmw.reading import what_is_wrong_with
from auditmw.reconcile.comparison import Comparison, Difference, NothingShippedError
from auditmw.reconcile.resending import resend
from auditmw.ship.address import Address, AddressError
from auditmw.ship.target import Inventory, ShipError
from auditmw.ship.targets import target_for

_DAYS = ("day", "events", "waiting", "dead letters", "missing")
_RUNS = ("day", "writer", "first", "last", "events", "first id")


@click.command(
    cls=ExampleCommand,
    short_help="Say whether a target of shipping has every event.",
    examples="""
    auditmw reconcile /var/lib/shop/audit postgresql://shop@db.example/audit
    auditmw reconcile /var/lib/shop/audit clickhouses://shop@ch.example/audit --since 7d
    auditmw reconcile /var/lib/shop/audit postgresql://shop@db.example/audit --resend
    """,
)
@click.argument("directory", type=click.Path(path_type=Path, readable=False))
@click.argument("url", envvar="AUDITMW_SHIP_TO")
@click.option("--name", help="What DIRECTORY/ship/NAME is called, if it was given to ship.")
@click.option("--resend", "resends", is_flag=True, help="Send what is missing again.")
@range_options
@output_options
def reconcile(
    directory: Path,
    url: str,
    name: str | None,
    resends: bool,
    start: datetime | None,
    end: datetime | None,
    **output: Any,
) -> None:
    """Ask the target at URL for every event of the audit directory DIRECTORY, archived or not, by its id.

    Shows per day how many events there are and how many the target lacks: those on their way, dead letters, and those
    that are missing though they were shipped, or were archived before shipping began. PostgreSQL, ClickHouse and plain
    files can be asked; the other targets cannot. A password that is not in the URL comes from PGPASSWORD or
    CLICKHOUSE_PASSWORD.

    Ends with 1 when events are missing or set aside as dead letters, and 3 when the target does not answer.
    """
    shown = Output(**output)
    wrong = what_is_wrong_with(directory)
    if wrong:
        raise Unreadable(f"cannot reconcile: {wrong}")
    address, target = _target(url)
    name = name or address.name
    sent: tuple[int, int] | None = None
    try:
        with Comparison(directory, target, name, since=start, until=end) as comparison:
            found = comparison.difference()
            if resends and found.total("missing"):
                sent = resend(directory, target, name, comparison.missing(), shown=address.shown)
    except NothingShippedError as error:
        raise click.UsageError(str(error)) from None
    except (ShipError, CursorError, ArchiveError, OSError, duckdb.Error) as error:
        raise Unreadable(f"cannot reconcile: {address.shown}: {error}") from None
    finally:
        target.close()
    _show(shown, address.shown, found, sent)
    lacking = found.total("missing") - (sent[0] if sent else 0) + found.total("dead")
    click.get_current_context().exit(EXIT_FOUND if lacking else EXIT_OK)


def _target(url: str) -> tuple[Address, Inventory]:
    try:
        address, target = Address(url), target_for(url)
    except (AddressError, ImportError) as error:
        raise click.UsageError(str(error)) from None
    if not isinstance(target, Inventory):
        raise click.UsageError(
            f"{address.scheme}: cannot be asked what it has; postgresql:, clickhouse: and file: can. Look for the ids "
            "where the events end up"
        )
    return address, target


def _show(shown: Output, target: str, found: Difference, sent: tuple[int, int] | None) -> None:
    answer = {
        "target": target,
        **{what: found.total(what) for what in ("events", "missing", "waiting", "dead")},
        "more": found.more,
        "resent": sent[0] if sent else None,
        "days": [day._asdict() for day in found.days],
        "runs": [run._asdict() for run in found.runs],
    }
    tables = [Table("Events", _DAYS, [_named(day) for day in found.days])]
    if found.runs:
        tables.append(Table("Missing", _RUNS, [_named(run) for run in found.runs]))
    shown.answer(answer, *tables)
    if found.has_more_runs:
        shown.problem(f"Only the first {len(found.runs):,} runs of missing events are shown.")
    for file in found.unreadable:
        shown.problem(f"Not compared, because it cannot be read: {file}")
    if found.more:
        shown.note(f"{target} has {found.more:,} events more: deleted here since, or of another origin.")
    if sent is not None:
        shown.note(f"{sent[0]:,} events were sent again, {sent[1]:,} are dead letters now.")
    elif answer["missing"]:
        shown.note(f"{answer['missing']:,} events are missing; --resend sends them again.")
    shown.close()


def _named(row: tuple[Any, ...]) -> tuple[Any, ...]:
    day, *rest = row
    return ("no time" if day is None else str(day), *rest)
