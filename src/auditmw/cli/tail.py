"""`auditmw tail`: the newest events of a journal, and those that come."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from auditmw.cli.arguments import place_argument
from auditmw.cli.asking import unreadable
from auditmw.cli.events import newest
from auditmw.cli.following import Following, follower_of
from auditmw.cli.lines import text_at
from auditmw.cli.moments import since_option
from auditmw.cli.output import EXIT_FOUND, EXIT_OK, ExampleCommand, Output, output_options
from auditmw.cli.queries import parsed
from auditmw.cli.records import format_option
from auditmw.journal import Damage
from auditmw.places import Place
from auditmw.query.language import Query

LATELY = timedelta(seconds=60)  # what is older than this was written before the follower took its places


@click.command(
    cls=ExampleCommand,
    short_help="Show the newest events, and those that come.",
    examples="""
    auditmw tail /var/lib/shop/audit
    auditmw tail /var/lib/shop/audit -f --since 5m
    auditmw tail /var/lib/shop/audit -f 'status:>=500 OR level:>=error'
    auditmw tail /var/lib/shop/audit --limit 0 | jq -r 'select(.outcome.result=="failure") | .url.path'
    auditmw tail /var/lib/shop/audit -f --format ecs >> /var/log/shop/audit.ecs.ndjson
    auditmw tail /var/lib/shop/audit -z Europe/Amsterdam -o table | less
    auditmw tail clickhouse://reader@ch.example/audit -f status:5xx
    """,
)
@place_argument
@click.argument("query", nargs=-1)
@click.option("-f", "--follow", is_flag=True, help="Go on with the events that come; Ctrl-C ends it.")
@click.option("-n", "--limit", type=click.IntRange(0), default=30, show_default=True, help="How many; 0: all.")
@since_option
@format_option
@output_options
def tail(place: Place, query: tuple[str, ...], follow: bool, limit: int, since: datetime | None, **output: Any) -> None:
    """Show the newest events of the audit directory DIRECTORY, oldest first; with QUERY, of those that match it.

    DIRECTORY may be the URL of a ClickHouse database, with its password in CLICKHOUSE_PASSWORD; --follow then asks it
    every two seconds.

    On a terminal each event is one line: time, level, status, method and path (or the event's name and target), user,
    client, duration, trace, and what went wrong. Below 120 columns the date and the client are left out. Into a pipe
    each event is its JSON, exactly as it was written; with --format it is a record of another format.

    Damaged lines, and events that the format has no record for, are reported on stderr, and the exit code is then 1. It
    is 3 when the directory cannot be read.
    """
    if follow and output["output"] == "json":
        raise click.UsageError("--output json is one array, which does not end with --follow; use ndjson")
    shown = Output(**output)
    wanted = parsed(" ".join(query), shown) if query else None
    damage = _Damage(shown)
    try:
        # Before anything is read, so that nothing is missed between the last event there is and the first that comes.
        follower = follower_of(place, wanted, damage) if follow else None
        recent = _show_newest(shown, place, limit, since, damage, wanted)
        if follower is not None:
            _follow(shown, follower, recent)
    except KeyboardInterrupt:
        if not follow:
            raise
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unreadable(place, error) from error
    shown.close()
    click.get_current_context().exit(EXIT_FOUND if damage.seen or not shown.is_whole else EXIT_OK)


class _Damage:
    """Reports each damaged place once."""

    def __init__(self, shown: Output) -> None:
        self.seen: set[tuple[Path, int]] = set()
        self._shown = shown

    def __call__(self, damage: Damage) -> None:
        place = (damage.file, damage.offset)
        if place in self.seen:
            return
        self.seen.add(place)
        copy = f", copied to {damage.quarantined}" if damage.quarantined else ""
        self._shown.problem(f"{damage.file}: {damage.length} bytes at offset {damage.offset}: {damage.reason}{copy}")


def _show_newest(
    shown: Output, place: Place, limit: int, since: datetime | None, damage: _Damage, wanted: Query | None
) -> set[str]:
    """Show what is there, and return the ids of what may come again from a follower."""
    lately = (datetime.now(UTC) - LATELY).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    recent: set[str] = set()
    events = newest(place, limit + 1 if limit else 0, since, damage, wanted)
    if limit:
        events = list(events)
        if len(events) > limit:
            shown.note(f"The newest {limit} events; --limit {limit * 10} shows more, --limit 0 all.")
        events = events[-limit:]
    for event in events:
        shown.event(event)
        if (text_at(event, "timestamp") or "") >= lately:
            recent.add(_id(event))
    shown.flush()
    if not shown.events:
        shown.note(_nothing(place, since))
    return recent


def _nothing(place: Place, since: datetime | None) -> str:
    wrong = place.wrong()
    if wrong:
        return f"No events: {wrong}"
    return f"No events in {place.shown}" + (f" since {since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if since else "")


def _follow(shown: Output, follower: Following, recent: set[str]) -> None:
    """Show what comes, until somebody interrupts; `recent` is what was shown already."""
    while True:
        events = follower.poll()
        for event in events:
            if recent and _id(event) in recent:
                recent.discard(_id(event))
            else:
                shown.event(event)
        if events:
            shown.flush()
        shown.wait(follower.poll_seconds)


def _id(event: Mapping[str, Any]) -> str:
    return text_at(event, "id") or ""
