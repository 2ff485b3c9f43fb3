"""`auditmw user`, `session`, `trace`, `client`: what one of them did; `context`: what happened around an event."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click
from rich.text import Text

from auditmw.cli.asking import Asking, asking_where
from auditmw.cli.events import WrittenEvent
from auditmw.cli.output import EXIT_FOUND, ExampleCommand
from auditmw.cli.printable import printable
from auditmw.query.context import context as context_of
from auditmw.query.page import PAGE_LIMIT, Entry
from auditmw.query.timeline import Of, Timeline, timeline

_AROUND = "How many on each side."
_MINUTE, _DAY = timedelta(minutes=1), timedelta(days=1)


def _of(kind: Of, name: str, told: str, example: str, *, stitched: bool = False) -> click.Command:
    """Return the command that shows the timeline of one kind of id."""

    def show(ask: Asking, limit: int, id_: str, **options: Any) -> None:
        found = timeline(
            ask.engine, kind, id_, ask.scope, limit=limit, stitched=stitched and not options["only_logged_in"]
        )
        _show(ask, found, f"{name} {id_}")

    show.__doc__ = (
        f"Show what the {told} did, oldest first: all of it, in visits that a pause of 30 minutes ends, and when the "
        "first and the last event were."
    )
    wrapped = asking_where(show)
    if stitched:
        told_more = "Leave out what was done in a session before logging in."
        wrapped = click.option("--only-logged-in", is_flag=True, help=told_more)(wrapped)
    limit = click.option(
        "-n", "--limit", type=click.IntRange(1, PAGE_LIMIT), default=1000, show_default=True, help="The newest so many."
    )
    wrapped = click.argument("id_", metavar=name.upper())(limit(wrapped))
    command: click.Command = click.command(
        name,
        cls=ExampleCommand,
        short_help=f"Show what one {told.partition(' ')[0]} did.",
        examples=f"""
        auditmw {name} /var/lib/shop/audit {example}
        auditmw {name} /var/lib/shop/audit {example} --since 7d --where 'level:>=warning'
        auditmw {name} /var/lib/shop/audit {example} -o csv > {name}.csv
        """,
    )(wrapped)
    return command


user = _of("user", "user", "user with this id", "alice@example.com", stitched=True)
session = _of("session", "session", "session with this id", "s1.k2.mfrggzdfmztwq2lknnwg23tpoa")
trace = _of("trace", "trace", "trace with this id, in all services,", "0af7651916cd43dd8448eb211c80319c")
client = _of("ip", "client", "client with this address", "203.0.113.9")


def _show(ask: Asking, found: Timeline, who: str) -> None:
    human = ask.shown.format == "table"
    if found.life is not None and human:
        ask.shown.text(Text(printable(_life(found, who, ask.shown.local_zone)), "bold"))
    elif not found.visits and found.partial is None:
        ask.shown.note(f"{who}: no events")
    for visit in reversed(found.visits):
        if human:
            ask.shown.text(Text(_heading(visit.session, visit.gap), "dim"))
        for entry in reversed(visit.entries):
            ask.shown.event(WrittenEvent.parse(entry.body))
    if found.next is not None and found.partial is None:
        ask.shown.note("There are older events; a larger --limit shows them.")
    ask.whole(found.partial)


def _life(found: Timeline, who: str, zone: Any) -> str:
    life = found.life
    if life is None or life.first is None or life.last is None:
        return f"{who}: no events"
    first, last = (f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}" for moment in (life.first, life.last))
    return f"{who}: {life.events:,} events, the first {first}, the last {last}"


def _heading(session: str | None, gap: timedelta | None) -> str:
    after = "" if gap is None else f", after {_span(gap)}"
    return f"── {'session ' + printable(session) if session else 'no session'}{after}"


def _span(gap: timedelta) -> str:
    if gap >= _DAY:
        return f"{gap // _DAY} days"
    return f"{gap // _MINUTE} minutes"


@click.command(
    cls=ExampleCommand,
    short_help="Show what happened around an event.",
    examples="""
    auditmw context /var/lib/shop/audit 01a1fa9d-dbe2-76b9-a3e2-bda43d201f24
    auditmw context /var/lib/shop/audit 01a1fa9d-dbe2-76b9-a3e2-bda43d201f24 -C 50 --same session
    auditmw context /var/lib/shop/audit 01a1fa9d-dbe2-76b9-a3e2-bda43d201f24 --where 'level:>=warning' -o ndjson
    """,
)
@click.argument("event_id", metavar="ID")
@click.option("-C", "--context", "around", type=click.IntRange(0, 1000), default=10, show_default=True, help=_AROUND)
@click.option("--same", metavar="FIELD", help="Only events with the same session, user, trace, ip, ...")
@asking_where
def context(ask: Asking, event_id: str, around: int, same: str | None) -> None:
    """Show the event with this id and those right before and after it, oldest first."""
    found = context_of(ask.engine, event_id, before=around, after=around, same=same, scope=ask.scope)
    if found.entry is None:
        ask.shown.problem(f"There is no event with the id {event_id!r}.")
        click.get_current_context().obj = EXIT_FOUND
        return
    for entry in (*found.before, found.entry, *found.after):
        _mark(ask, entry, found.entry)
        ask.shown.event(WrittenEvent.parse(entry.body))
    ask.whole(found.partial)


def _mark(ask: Asking, entry: Entry, middle: Entry) -> None:
    if ask.shown.format == "table" and entry is middle:
        ask.shown.text(Text("── this event", "bold cyan"))
