"""`auditmw collect`: what many hosts shipped to a stream, into one audit directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from auditmw.archive import ArchiveError
from auditmw.cli.output import EXIT_FOUND, EXIT_OK, ExampleCommand, Output, Unreadable, output_options
from auditmw.cli.service import shown_log, stopped_by_signals
from auditmw.cli.tables import Table
from auditmw.collect.collector import EVERY_SECONDS, MOST_EVENTS, Collector, Counts
from auditmw.collect.feeds import feed_for
from auditmw.ship.address import Address, AddressError
from auditmw.ship.target import ShipError

_COLUMNS = ("events", "doubles", "set aside", "missing", "files")


@click.command(
    cls=ExampleCommand,
    short_help="Gather what many hosts shipped to a stream.",
    examples="""
    auditmw collect nats://n1.example,n2.example,n3.example/AUDIT --into /var/lib/audit
    auditmw collect kafka://k1.example,k2.example/audit --into /var/lib/audit --every 30
    auditmw collect 'nats://n1.example/AUDIT?credentials=/etc/auditmw/collector.creds' --into /var/lib/audit --once
    """,
)
@click.argument("url")
@click.option(
    "--into", "directory", type=click.Path(path_type=Path), required=True, help="The audit directory; it is made."
)
@click.option("--once", is_flag=True, help="Collect what is there now, and end.")
@click.option(
    "--every",
    "every_seconds",
    type=click.FloatRange(0.05, 3600),
    default=EVERY_SECONDS,
    show_default=True,
    help=f"How many seconds messages wait for others to share a file with; {MOST_EVENTS:,} do not wait.",
)
@output_options
def collect(url: str, directory: Path, once: bool, every_seconds: float, **output: Any) -> None:
    """Collect the events of the stream at URL into an audit directory, each exactly once by its id.

    It goes on until it is stopped, and where it stopped when it is started again; the names of the journal files say
    how far it came. Of several collectors of a stream into a directory one works, and the others take over when it is
    gone. A message that is no event is set aside in DIRECTORY/collect/*/aside.jsonl. Messages that were gone before
    they were collected are told by an auditmw.gap event.

    Ends with 1 when messages were set aside or missing.
    """
    shown = Output(**output)
    try:
        address = Address(url)
        feed = feed_for(url)
    except (AddressError, ImportError) as error:
        raise click.UsageError(str(error)) from None
    if directory.exists() and not directory.is_dir():
        raise Unreadable(f"cannot collect into {str(directory)!r}: it is not a directory")
    collector = Collector(directory, feed, shown=address.shown, every_seconds=every_seconds)
    with shown_log(shown, "auditmw.collect"), stopped_by_signals(collector.stop):
        try:
            if once:
                _once(shown, collector)
            else:
                shown.note(f"Collecting from {address.shown} into {directory}; Ctrl-C ends it.")
                collector.run()
        except (ShipError, ArchiveError, OSError) as error:
            raise Unreadable(f"cannot collect: {error}") from None
    _tell(shown, collector.counts)


def _once(shown: Output, collector: Collector) -> None:
    if not collector.run_once():
        shown.problem("Another collector is at it; nothing was done here.")


def _tell(shown: Output, counts: Counts) -> None:
    row = (counts.collected, counts.doubles, counts.set_aside, counts.missing, counts.files)
    shown.answer(counts, Table("Collected", _COLUMNS, [row]))
    shown.close()
    click.get_current_context().exit(EXIT_FOUND if counts.set_aside or counts.missing else EXIT_OK)
