"""`auditmw query`: the events that match a query."""

from __future__ import annotations

from collections.abc import Iterable

import click

from auditmw.cli.asking import Asking, asking
from auditmw.cli.events import WrittenEvent
from auditmw.cli.output import ExampleCommand, columns_option
from auditmw.cli.records import format_option
from auditmw.query.page import PAGE_LIMIT, Entry, Page, page, pages


@click.command(
    cls=ExampleCommand,
    short_help="Show the events that match a query.",
    examples="""
    auditmw query /var/lib/shop/audit 'user:alice status:>=500 -path:/health'
    auditmw query /var/lib/shop/audit --since 2d 'path:/api/* dur:>250ms "time out"'
    auditmw query /var/lib/shop/audit 'event:order_paid data.total:>100' -o csv --columns time,user,data.total
    auditmw query /var/lib/shop/audit event:http_request --since 1d --limit 0 --format nginx:combined > access.log
    auditmw query /var/lib/shop/audit --from 2026-11-01 --to 2026-12-01 --limit 0 -o ndjson | gzip > november.jsonl.gz
    """,
)
@click.option(
    "-n", "--limit", type=click.IntRange(0, PAGE_LIMIT), default=30, show_default=True, help="How many; 0: all."
)
@click.option("--first", is_flag=True, help="The oldest ones, not the newest.")
@columns_option
@format_option
@asking
def query(ask: Asking, limit: int, first: bool) -> None:
    """Show the events of the audit directory DIRECTORY that match QUERY, oldest first: the newest 30 of them.

    \b
    QUERY                        the events
    user:alice status:>=500      whose user is alice and whose status is 500 or more
    -path:/health                whose path is not /health
    path:/api/* status:5xx       whose path begins so, of a class
    dur:>250ms size:1MB..        that took longer, that were larger
    user:(alice OR bob)          of either; also user:alice,bob
    session:*                    that have a session
    data.order:17                whose data says so; any dotted path of the event
    "time out" connection        with these texts anywhere
    """  # noqa: D301 -- click knows a paragraph that it must not wrap by its backspace
    if not limit:
        for part in pages(ask.engine, ask.scope, order="oldest"):
            _show(ask, part, part.entries)
        return
    got = page(ask.engine, ask.scope, limit=limit, order="oldest" if first else "newest")
    if got.next is not None and got.partial is None:
        ask.shown.note(f"The {'oldest' if first else 'newest'} {limit} events; --limit 0 shows all.")
    if not got.entries and got.partial is None:
        ask.shown.note("No event matches.")
    _show(ask, got, got.entries if first else reversed(got.entries))


def _show(ask: Asking, part: Page, entries: Iterable[Entry]) -> None:
    for entry in entries:
        ask.shown.event(WrittenEvent.parse(entry.body))
    ask.whole(part.partial)
