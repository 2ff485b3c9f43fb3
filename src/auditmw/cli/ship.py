"""`auditmw ship`: the events of a directory into other systems, each at least once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from auditmw.cli.arguments import directory_argument
from auditmw.cli.checks.shipping import check_target
from auditmw.cli.output import ExampleCommand, Output, Unreadable, output_options
from auditmw.cli.service import shown_log
from auditmw.cli.shippers import Shippers, checked_name, work_with
from auditmw.cli.statuses import show_statuses
from auditmw.cli.tables import Table
from auditmw.formats.line import FormatError
from auditmw.formats.records import RECORD_FORMATS
from auditmw.reading import what_is_wrong_with
from auditmw.ship.address import Address, AddressError
from auditmw.ship.shipper import MOST_DEAD_IN_A_ROW, Shipper
from auditmw.ship.status import Status, prometheus, statuses
from auditmw.ship.targets import KINDS, target_for

_COLUMNS = ("name", "state", "left", "seconds behind", "events/s", "shipped", "dead letters")


@click.command(
    cls=ExampleCommand,
    short_help="Send the events to other systems, as they come.",
    examples="""
    auditmw ship /var/lib/shop/audit --to postgresql://shop@db.example/audit
    auditmw ship /var/lib/shop/audit --to nats://n1.example,n2.example/audit --to file:///srv/audit.ndjson
    auditmw ship /var/lib/shop/audit --to stdout: --format ecs --once > /tmp/events.ecs.ndjson
    auditmw ship /var/lib/shop/audit --status
    auditmw ship /var/lib/shop/audit --metrics > /var/lib/node_exporter/textfile/auditmw.prom
    auditmw ship /var/lib/shop/audit --to postgresql://shop@db.example/audit --replay
    """,
)
@directory_argument
@click.option(
    "--to",
    "urls",
    multiple=True,
    metavar="URL",
    envvar="AUDITMW_SHIP_TO",
    help=f"Where to; may be given several times: {', '.join(f'{scheme}:' for scheme in KINDS)}. Or in AUDITMW_SHIP_TO, "
    "which ps does not show; as it does not show PGPASSWORD and CLICKHOUSE_PASSWORD, for URLs without a password.",
)
@click.option("--once", is_flag=True, help="Send what is there now, and end; 3 when a target does not take it.")
@click.option("--status", is_flag=True, help="Show how far each target is, how fast it goes, and what went wrong.")
@click.option("--metrics", is_flag=True, help="Print the same for Prometheus.")
@click.option("--replay", is_flag=True, help="Send the dead letters again; those rejected once more stay.")
@click.option(
    "--format", "record_format", metavar="NAME", help=f"What events are sent as: {', '.join(RECORD_FORMATS)}."
)
@click.option(
    "--name", help="What DIRECTORY/ship/NAME is called; by default after the URL, so that another URL starts anew."
)
@click.option("--take-over", is_flag=True, help="Lead in the place of a shipper that hangs; it stops when it wakes up.")
@click.option(
    "--max-dead",
    type=click.IntRange(1),
    default=MOST_DEAD_IN_A_ROW,
    show_default=True,
    help="After so many dead letters in a row, take the target for what is wrong, and wait.",
)
@output_options
def ship(
    directory: Path,
    urls: tuple[str, ...],
    once: bool,
    status: bool,
    metrics: bool,
    replay: bool,
    record_format: str | None,
    name: str | None,
    take_over: bool,
    max_dead: int,
    **output: Any,
) -> None:
    """Send every event of the audit directory DIRECTORY to one or more targets, at least once and in order.

    It goes on until it is stopped, and where it stopped when it is started again. A target that is down is tried again
    and again, up to once a minute; meanwhile the journal keeps the events. Of several shippers for one target one
    works, and the others take over when it is gone. An event that a target rejects for what it is goes to
    DIRECTORY/ship/NAME/dead.jsonl.

    What was archived before shipping began is sent by auditmw reconcile --resend.

    --status ends with 1 when somebody should look: a shipper fails or hangs, events wait and none runs, or there are
    dead letters.
    """
    if sum((once, status, metrics, replay)) > 1:
        raise click.UsageError("give one of --once, --status, --metrics and --replay")
    shown = Output(**output)
    wrong = what_is_wrong_with(directory)
    if wrong:
        raise Unreadable(f"cannot ship: {wrong}")
    if metrics:
        click.echo(prometheus(statuses(directory)), nl=False)
        return
    if status:
        _show(shown, statuses(directory))
        return
    shippers = _shippers(directory, urls, record_format, name, max_dead)
    with shown_log(shown, "auditmw.ship"):
        worst = work_with(shown, shippers, once=once, replay=replay, take_over=take_over)
    click.get_current_context().exit(worst)


def _shippers(
    directory: Path, urls: Sequence[str], record_format: str | None, name: str | None, max_dead: int
) -> Shippers:
    """Return the shippers, and where each goes."""
    if not urls:
        raise click.UsageError(f"say --to where: {', '.join(f'{scheme}:' for scheme in KINDS)}")
    name = checked_name(name, urls)
    made = {}
    for url in urls:
        try:
            address = Address(url)
            target = target_for(url, record_format)
        except (AddressError, FormatError, ImportError) as error:
            raise click.UsageError(str(error)) from None
        folder = name or address.name
        if folder in made:
            raise click.UsageError(f"--to {address.shown} is there twice; once is enough")
        shipper = Shipper(directory, target, name=folder, shown=address.shown, most_dead_in_a_row=max_dead)
        made[folder] = shipper, address.shown
    return list(made.values())


def _show(shown: Output, found: Sequence[Status]) -> None:
    rows = [
        (
            status.name,
            status.state,
            status.lag.events,
            round(status.lag.seconds, 1),
            status.events_per_second,
            status.counts.get("shipped", 0),
            status.dead_letters,
        )
        for status in found
    ]
    table = Table("Shipping", _COLUMNS, rows)
    show_statuses(shown, found, table, check_target, "Nothing is shipped from here; --to URL begins.")
