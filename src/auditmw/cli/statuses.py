"""How shippers and collectors are doing, as both commands show it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

import click

from auditmw.cli.checks.finding import Finding
from auditmw.cli.output import EXIT_FOUND, EXIT_OK, Output
from auditmw.cli.tables import Table
from auditmw.ship.status import Status

Check = Callable[[Status, datetime], Iterator[Finding]]


def show_statuses(shown: Output, found: Sequence[Status], table: Table, check: Check, nothing: str) -> None:
    """Show them and what `check` finds wrong, or that there is `nothing`; end with 1 when something is wrong.

    In JSON each is an object of its own: a line of NDJSON, or an element of the array.
    """
    if shown.format in {"table", "csv"}:
        shown.answer(found, table)
    else:
        for status in found:
            shown.answer(status)
    now = datetime.now(UTC)
    wrong = [finding for status in found for finding in check(status, now)]
    for finding in wrong:
        shown.problem(f"{finding.seen}; {finding.advice}.")
    if not found:
        shown.note(nothing)
    shown.close()
    click.get_current_context().exit(EXIT_FOUND if wrong else EXIT_OK)
