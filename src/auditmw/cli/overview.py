"""`auditmw summary`, `count`, `facets` and `histogram`: many events at a glance."""

from __future__ import annotations

from functools import partial
from typing import Any, get_args

import click

from auditmw.cli.asking import Asking, asking
from auditmw.cli.lines import duration_text
from auditmw.cli.output import ExampleCommand
from auditmw.cli.tables import Bar, Table
from auditmw.query.buckets import Width
from auditmw.query.comparison import Against, compare
from auditmw.query.count import count as counted
from auditmw.query.facets import facets as facets_of
from auditmw.query.histogram import By
from auditmw.query.histogram import histogram as histogram_of
from auditmw.query.summary import Summary, Top, Traffic
from auditmw.query.summary import summary as summary_of

_top = click.option("-n", "--limit", type=click.IntRange(1), default=10, show_default=True, help="How many of each.")
_DEFAULT_FACETS = "status,method,user,path,ip,event,level"
_BAR_WIDTH = 30


@click.command(
    cls=ExampleCommand,
    short_help="Count the events that match.",
    examples="""
    auditmw count /var/lib/shop/audit --since 1h 'status:>=500'
    auditmw count /var/lib/shop/audit 'user:alice event:order_paid'
    auditmw count /var/lib/shop/audit --from 2026-11-20 --to 2026-11-21 -o json
    """,
)
@asking
def count(ask: Asking) -> None:
    """Count the events of the audit directory DIRECTORY that match QUERY (see `auditmw query --help`)."""
    number = counted(ask.engine, ask.scope)
    ask.shown.answer(number, Table("Events", ("events",), [(number.value,)]))
    ask.whole(number.partial)


@click.command(
    cls=ExampleCommand,
    short_help="Show which values fields have, and how often.",
    examples="""
    auditmw facets /var/lib/shop/audit --since 24h
    auditmw facets /var/lib/shop/audit 'status:404' --fields path,referrer,agent -n 20
    auditmw facets /var/lib/shop/audit --fields data.plan,actor.roles -o csv
    """,
)
@click.option("--fields", default=_DEFAULT_FACETS, show_default=True, metavar="NAME,...", help="Of which fields.")
@_top
@asking
def facets(ask: Asking, fields: str, limit: int) -> None:
    """Show the most frequent values of some fields, of the events that match QUERY (see `auditmw query --help`)."""
    names = [name.strip() for name in fields.split(",") if name.strip()]
    found = facets_of(ask.engine, names, ask.scope, limit=limit)
    tables = []
    for facet in found:
        rows = [("(none)" if one.value is None else one.value, one.events) for one in facet.values]
        rows += [(f"({facet.distinct - len(rows):,} others)", facet.others)] if facet.distinct > len(rows) else []
        tables.append(Table(facet.field, ("value", "events"), rows))
    ask.shown.answer(found, *tables)
    if not any(facet.values for facet in found):
        ask.shown.note("No event matches. Words are looked for in the events; fields are named with --fields.")
    for facet in found:
        ask.whole(facet.partial)


@click.command(
    cls=ExampleCommand,
    short_help="Show how many events there are over time.",
    examples="""
    auditmw histogram /var/lib/shop/audit --since 24h
    auditmw histogram /var/lib/shop/audit 'path:/checkout' --width 1d -z Europe/Amsterdam
    auditmw histogram /var/lib/shop/audit --by level -o csv > levels.csv
    """,
)
@click.option("--by", type=click.Choice(get_args(By)), default="status", show_default=True, help="What to stack by.")
@click.option("--width", type=click.Choice(get_args(Width)), help="Of a bar; without it, one that suits the range.")
@asking
def histogram(ask: Asking, by: By, width: Width | None) -> None:
    """Show how many of the events that match QUERY there are over time (see `auditmw query --help`)."""
    zone = ask.shown.local_zone
    found = histogram_of(ask.engine, ask.scope, by=by, width=width, at_most=48, zone=zone)
    if found is None:
        ask.shown.note("No event matches.")
        return
    highest = max(found.totals, default=0)
    bars = ask.shown.format == "table"
    columns = ("from", *found.series, *([""] if bars else []))
    rows = []
    for index, (edge, total) in enumerate(zip(found.edges, found.totals, strict=False)):
        bar = [Bar("█" * round(_BAR_WIDTH * total / highest) if highest else "")] if bars else []
        rows.append((edge.astimezone(zone), *(kind[index] for kind in found.series.values()), *bar))
    ask.shown.answer(found, Table(f"Events, each line {found.width}", columns, rows))
    ask.whole(found.partial)


@click.command(
    cls=ExampleCommand,
    short_help="Show traffic at a glance: how much, by whom, how fast, how well.",
    examples="""
    auditmw summary /var/lib/shop/audit --since 24h
    auditmw summary /var/lib/shop/audit --from 2026-11-16 --to 2026-11-17 --compare weekday
    auditmw summary /var/lib/shop/audit 'service:shop path:/api/*' --own-host www.shop.example
    """,
)
@_top
@click.option("--own-host", multiple=True, metavar="HOST", help="A host whose pages are no referrers; more than once.")
@click.option("--compare", "against", type=click.Choice(get_args(Against)), help="With the time before; needs a range.")
@asking
def summary(ask: Asking, limit: int, own_host: tuple[str, ...], against: Against | None) -> None:
    """Show the traffic of the events that match QUERY (see `auditmw query --help`), robots apart.

    Users, sessions and errors are counted; durations are percentiles of requests; then come the pages, referrers, user
    agents, clients and missing pages (404) that most requests are about. --compare weekday is the same time of the week
    before.
    """
    question = partial(summary_of, ask.engine, limit=limit, own_hosts=own_host)
    if against is None:
        now, before, answer = question(ask.scope), None, None
    else:
        answer = compare(question, ask.scope, against=against, zone=ask.shown.local_zone)
        now, before = answer.now, answer.before
    ask.shown.answer(answer or now, _traffic(now, before), *_lists(now))
    for each in (now, *([before] if before else [])):
        ask.whole(each.partial)


def _traffic(now: Summary, before: Summary | None) -> Table:
    columns = ["", "people", "robots", *(["people before", "robots before"] if before else [])]
    who = [now.people, now.bots, *([before.people, before.bots] if before else [])]
    rows = []
    for name in Traffic._fields:
        values = [getattr(one, name) for one in who]
        if name.endswith("_ns"):
            values = [None if value is None else duration_text(value) for value in values]
        rows.append([name.removesuffix("_ns").replace("_", " "), *values])
    return Table("Traffic", columns, rows)


def _lists(now: Summary) -> list[Table]:
    named: list[tuple[str, Top]] = [
        ("Pages", now.pages),
        ("Referrers", now.referrers),
        ("User agents", now.agents),
        ("Clients", now.ips),
        ("Not found", now.not_found),
    ]
    return [_list(title, top) for title, top in named if top.shares]


def _list(title: str, top: Top) -> Table:
    rows: list[tuple[Any, ...]] = [tuple(share) for share in top.shares]
    return Table(title, ("value", "people", "robots"), rows)
