"""`auditmw funnel`, `retention`, `conversion` and `paths`: what users and sessions went through."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, get_args

import click

from auditmw.cli.asking import Asking, asking_where
from auditmw.cli.moments import span_option
from auditmw.cli.output import ExampleCommand
from auditmw.cli.tables import Share, Table
from auditmw.query.journeys.conversion import Series
from auditmw.query.journeys.conversion import conversion as conversion_of
from auditmw.query.journeys.funnel import MAX_STEPS, Funnel, FunnelDefinition, Segment, funnel_units
from auditmw.query.journeys.funnel import funnel as funnel_of
from auditmw.query.journeys.paths import Place
from auditmw.query.journeys.paths import paths as paths_of
from auditmw.query.journeys.periods import Length
from auditmw.query.journeys.retention import retention as retention_of
from auditmw.query.journeys.units import Unit

_UNIT_HELP = "Whose events belong together; person: the user, also before the login."
_unit = click.option("--unit", type=click.Choice(get_args(Unit)), default="session", show_default=True, help=_UNIT_HELP)
_user = click.option("--unit", type=click.Choice(get_args(Unit)), default="user", show_default=True, help=_UNIT_HELP)
_period = click.option(
    "--per", type=click.Choice(get_args(Length)), default="day", show_default=True, help="How long a period is."
)
_BREAKDOWN = "A field by whose first value to tell them apart: country, referrer.host, query.utm_source, data.plan, ..."
_breakdown = click.option("--breakdown", metavar="FIELD", help=_BREAKDOWN)
_top = click.option("-n", "--top", type=click.IntRange(1, 100), default=10, show_default=True, help="How many of each.")


@click.command(
    cls=ExampleCommand,
    short_help="Show how many came through a sequence of steps.",
    examples="""
    auditmw funnel /var/lib/shop/audit 'path:/cart' 'path:/checkout' 'event:order_paid' --since 30d
    auditmw funnel /var/lib/shop/audit 'path:/pricing' 'event:user_signed_up' --window 7d --breakdown referrer.host
    auditmw funnel /var/lib/shop/audit 'path:/cart' 'event:order_paid' --dropped 1 -o csv > left_their_cart.csv
    """,
)
@click.argument("steps", nargs=-1, required=True, metavar="STEP STEP...")
@_unit
@click.option("--strict", is_flag=True, help="A step has to be the very next event; else others may come between.")
@span_option("--window", "How long after the first step the others count; without it, as long as the range.")
@_breakdown
@_top
@click.option(
    "--dropped", type=click.IntRange(1, MAX_STEPS), metavar="N", help="List who came to step N and no further."
)
@click.option("--reached", type=click.IntRange(1, MAX_STEPS), metavar="N", help="List who came to step N.")
@asking_where
def funnel(
    ask: Asking,
    steps: tuple[str, ...],
    unit: Unit,
    strict: bool,
    window: timedelta | None,
    breakdown: str | None,
    top: int,
    dropped: int | None,
    reached: int | None,
) -> None:
    """Show how many sessions (or users) came through two to eight steps, each a query, and where the others stayed.

    Each counts once, with its best attempt. --dropped and --reached list the sessions behind a number, newest first.
    """
    definition = FunnelDefinition(steps, unit, strict, window, breakdown)
    if dropped is None and reached is None:
        found = funnel_of(ask.engine, definition, ask.scope, top=top)
        ask.shown.answer(found, *_funnel_tables(found, steps, breakdown))
        _outside(ask, found.without_unit, unit)
        ask.whole(found.partial)
        return
    if dropped is not None and reached is not None:
        raise click.UsageError("give --dropped or --reached, not both")
    cursor, number = None, dropped or reached or 1
    while True:
        outcome: Any = "dropped" if dropped is not None else "reached"
        got = funnel_units(ask.engine, definition, ask.scope, step=number, outcome=outcome, after=cursor, limit=1000)
        rows = [(one.unit, *(time.astimezone(ask.shown.local_zone) for time in one.times)) for one in got.attempts]
        width = max((len(row) for row in rows), default=1)
        columns = [unit, *(f"step {step}" for step in range(1, width))]
        ask.shown.answer(
            got.attempts,
            Table(f"{outcome} at step {number}", columns, [(*row, *[None] * (width - len(row))) for row in rows]),
        )
        ask.whole(got.partial)
        cursor = got.next
        if cursor is None:
            return


def _funnel_tables(found: Funnel, steps: tuple[str, ...], breakdown: str | None) -> list[Table]:
    tables = [_funnel_table("Funnel", Segment(None, False, found.steps), steps)]
    for segment in found.segments:
        value = "(others)" if segment.rest else "(none)" if segment.value is None else segment.value
        tables.append(_funnel_table(f"{breakdown} {value}", segment, steps))
    return tables


def _funnel_table(title: str, segment: Segment, steps: tuple[str, ...]) -> Table:
    columns = ("step", "query", "units", "of first", "of previous", "dropped", "median seconds")
    rows = [
        (
            number,
            text,
            step.units,
            _share(step.overall),
            _share(step.conversion),
            step.dropped,
            None if step.median_seconds is None else round(step.median_seconds, 2),
        )
        for number, (text, step) in enumerate(zip(steps, segment.steps, strict=True), 1)
    ]
    return Table(title, columns, rows)


def _share(value: float | None) -> Share | None:
    return None if value is None else Share(value)


def _outside(ask: Asking, number: int, unit: str) -> None:
    if number:
        advice = " Access logs know no sessions: --unit ip counts addresses." if unit == "session" else ""
        ask.shown.note(f"Not in the numbers: {number:,} events that have no {unit}.{advice}")


@click.command(
    cls=ExampleCommand,
    short_help="Show who came back, by when they first came.",
    examples="""
    auditmw retention /var/lib/shop/audit --since 30d
    auditmw retention /var/lib/shop/audit --per week --start event:user_signed_up --returning event:order_paid
    auditmw retention /var/lib/shop/audit --unit person --from 2026-11-01 -z Europe/Amsterdam -o csv
    """,
)
@click.option("--start", "begin", metavar="QUERY", help="What begins it; without it, any event.")
@click.option("--returning", metavar="QUERY", help="What counts as coming back; without it, any event.")
@_user
@_period
@click.option("--any-time", is_flag=True, help="Count who was there in a period, not who was there for the first time.")
@asking_where
def retention(ask: Asking, begin: str | None, returning: str | None, unit: Unit, per: Length, any_time: bool) -> None:
    """Show for those who first came in each period, how many of them came back in the ones after it."""
    options: dict[str, Any] = {"unit": unit, "first_time": not any_time, "period": per, "zone": ask.shown.local_zone}
    found = retention_of(ask.engine, ask.scope, start=begin, returning=returning, **options)
    width = max((len(cohort.cells) for cohort in found.cohorts), default=0)
    rows = []
    for cohort in found.cohorts:
        cells = [f"{_percent(cell.share)}{'' if cell.complete else '*'}" for cell in cohort.cells]
        rows.append((_date(cohort.period.start, per), cohort.units, *cells, *[None] * (width - len(cells))))
    ask.shown.answer(found, Table("Retention", (per, "units", *map(str, range(width))), rows))
    if any(not cell.complete for cohort in found.cohorts for cell in cohort.cells):
        ask.shown.note("* the period is not over yet, or not all of it is in the range")
    _outside(ask, found.without_unit, unit)
    ask.whole(found.partial)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _date(moment: datetime, per: Length) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if per == "hour" else f"{moment:%Y-%m-%d}"


@click.command(
    cls=ExampleCommand,
    short_help="Show how many reached a goal, over time.",
    examples="""
    auditmw conversion /var/lib/shop/audit event:user_signed_up --since 30d
    auditmw conversion /var/lib/shop/audit event:order_paid --base 'path:/product/*' --per week
    auditmw conversion /var/lib/shop/audit event:user_signed_up --breakdown referrer.host --since 90d
    """,
)
@click.argument("goal")
@click.option("--base", metavar="QUERY", help="Of whom; without it, of all.")
@click.option(
    "--unit", type=click.Choice([*get_args(Unit), "event"]), default="session", show_default=True, help=_UNIT_HELP
)
@_period
@_breakdown
@_top
@asking_where
def conversion(
    ask: Asking, goal: str, base: str | None, unit: Any, per: Length, breakdown: str | None, top: int
) -> None:
    """Show how many sessions (or users) did what the query GOAL says, of how many, in each period."""
    options: dict[str, Any] = {"unit": unit, "period": per, "zone": ask.shown.local_zone, "breakdown": breakdown}
    found = conversion_of(ask.engine, goal, ask.scope, base=base, top=top, **options)
    dates = [_date(period.start, per) + ("" if period.complete else "*") for period in found.periods]
    tables = [_series_table("Conversion", found.total, dates, per)]
    for series in found.segments if breakdown else ():
        value = "(others)" if series.rest else "(none)" if series.value is None else series.value
        tables.append(_series_table(f"{breakdown} {value}", series, dates, per))
    ask.shown.answer(found, *tables)
    if any(not period.complete for period in found.periods):
        ask.shown.note("* the period is not over yet, or not all of it is in the range")
    _outside(ask, found.without_unit, unit)
    ask.whole(found.partial)


def _series_table(title: str, series: Series, dates: list[str], per: Length) -> Table:
    named = [*zip(dates, series.rates, strict=True), ("all", series.overall)]
    rows = [(date, rate.base, rate.converted, _share(rate.share), rate.goals) for date, rate in named]
    return Table(title, (per, "base", "converted", "share", "goals"), rows)


@click.command(
    cls=ExampleCommand,
    short_help="Show where they went next, or where they came from.",
    examples="""
    auditmw paths /var/lib/shop/audit path:/pricing --since 7d
    auditmw paths /var/lib/shop/audit event:user_signed_up --backward --steps 5
    auditmw paths /var/lib/shop/audit path:/ --unit user --among 'method:GET' -o json
    """,
)
@click.argument("anchor")
@_unit
@click.option("--backward", is_flag=True, help="What came before, not what came next.")
@click.option("--steps", type=click.IntRange(1, 10), default=3, show_default=True, help="How many steps to go.")
@_top
@click.option("--among", metavar="QUERY", help="Only pages whose events match.")
@click.option("--repeats", is_flag=True, help="Count a page again that comes several times in a row.")
@asking_where
def paths(
    ask: Asking, anchor: str, unit: Unit, backward: bool, steps: int, top: int, among: str | None, repeats: bool
) -> None:
    """Show to which pages sessions (or users) went after their first event that matches the query ANCHOR."""
    options: dict[str, Any] = {"unit": unit, "backward": backward, "steps": steps, "top": top, "collapse": not repeats}
    found = paths_of(ask.engine, anchor, ask.scope, among=among, **options)
    tables = [
        Table(f"Step {number}", ("page", "units", "share"), [(_page(v.place), v.units, Share(v.share)) for v in visits])
        for number, visits in enumerate(found.steps, 1)
        if visits
    ]
    ask.shown.answer(found, *tables)
    ask.shown.note(f"{found.units:,} of the unit {unit} have an event that matches.")
    _outside(ask, found.without_unit, unit)
    ask.whole(found.partial)


def _page(place: Place) -> str:
    return place.page or {"rest": "(other pages)", "end": "(the end)", "start": "(the start)"}.get(place.kind, "(none)")
