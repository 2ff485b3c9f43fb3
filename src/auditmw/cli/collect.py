"""`auditmw collect`: what many hosts shipped to a stream, into one audit directory or straight into other systems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from auditmw.archive import ArchiveError
from auditmw.cli.arguments import directory as as_directory
from auditmw.cli.checks.collecting import check_collector
from auditmw.cli.output import EXIT_FOUND, EXIT_OK, ExampleCommand, Output, Unreadable, output_options
from auditmw.cli.service import shown_log, stopped_by_signals
from auditmw.cli.shippers import Shippers, checked_name, work_with
from auditmw.cli.statuses import show_statuses
from auditmw.cli.tables import Table
from auditmw.collect.collector import EVERY_SECONDS, MOST_EVENTS, Collector, Counts
from auditmw.collect.feeds import feed_for
from auditmw.collect.origin import FeedOrigin
from auditmw.collect.progress import COLLECT, collected_metrics, collecting
from auditmw.formats.line import FormatError
from auditmw.formats.records import RECORD_FORMATS
from auditmw.journal.smallfile import make_folder
from auditmw.ship.address import Address, AddressError
from auditmw.ship.shipper import Shipper
from auditmw.ship.status import Status
from auditmw.ship.target import ShipError
from auditmw.ship.targets import target_for

_COLUMNS = ("events", "doubles", "set aside", "missing", "files")
_STATUS_COLUMNS = ("name", "state", "left", "seconds behind", "events/s", "collected", "set aside", "dead letters")
_TO_LOOK_AT = ("set_aside", "missing", "dead", "rejected")


def _checked(url: str | None, directory: Path | None, urls: Sequence[str], state: Path | None, looks: bool) -> Path:
    """Return the directory of what is collected, or of how it is. Raises UsageError."""
    if looks:
        if (directory is None) == (state is None):
            raise click.UsageError("say which collector: --into DIRECTORY, or --state DIRECTORY")
    elif url is None:
        raise click.UsageError("say what to collect from: nats://host/STREAM or kafka://host/topic")
    elif (directory is None) == (not urls):
        both = "not both; --to may come from AUDITMW_COLLECT_TO" if urls else "for where the events are to go"
        raise click.UsageError(f"say either --into DIRECTORY or --to URL, {both}")
    elif urls and state is None:
        raise click.UsageError("--to needs --state DIRECTORY, for how far each target is and what it rejected")
    elif directory is not None and state is not None:
        raise click.UsageError("--state belongs to --to; with --into the state is in that directory")
    found = state if directory is None else directory
    assert found is not None  # noqa: S101 - one of both is
    return found


@click.command(
    cls=ExampleCommand,
    short_help="Gather what many hosts shipped to a stream.",
    examples="""
    auditmw collect nats://n1.example,n2.example,n3.example/AUDIT --into /var/lib/audit
    auditmw collect kafka://k1.example,k2.example/audit --into /var/lib/audit --every 30
    auditmw collect 'nats://n1.example/AUDIT?credentials=/etc/auditmw/collector.creds' --into /var/lib/audit --once
    auditmw collect nats://n1.example/AUDIT --to clickhouse://ch.example/audit --state /var/lib/auditmw-collect
    auditmw collect --status --into /var/lib/audit
    auditmw collect --metrics --state /var/lib/auditmw-collect > /var/lib/node_exporter/textfile/auditmw.prom
    """,
)
@click.argument("url", required=False, envvar="AUDITMW_COLLECT")
@click.option("--into", "directory", type=click.Path(), callback=as_directory, help="The audit directory; it is made.")
@click.option(
    "--to",
    "urls",
    multiple=True,
    metavar="URL",
    envvar="AUDITMW_COLLECT_TO",
    help="Straight into a target of `auditmw ship`; may be given several times. Or in AUDITMW_COLLECT_TO, and the "
    "stream's URL in AUDITMW_COLLECT, which ps does not show.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    help="With --to: the directory of positions and dead letters; it is made.",
)
@click.option("--once", is_flag=True, help="Collect what is there now, and end.")
@click.option("--status", is_flag=True, help="Show what is left, how fast it goes, and what went wrong.")
@click.option("--metrics", is_flag=True, help="Print the same for Prometheus.")
@click.option("--replay", is_flag=True, help="With --to: send the dead letters again.")
@click.option(
    "--every",
    "every_seconds",
    type=click.FloatRange(0.05, 3600),
    default=EVERY_SECONDS,
    show_default=True,
    help=f"How many seconds messages wait for others to share a file or a batch with; {MOST_EVENTS:,} do not wait.",
)
@click.option(
    "--format",
    "record_format",
    metavar="NAME",
    help=f"With --to: what events are sent as: {', '.join(RECORD_FORMATS)}.",
)
@click.option("--name", help="With --to: what STATE/collect/NAME is called; by default after the target's URL.")
@output_options
def collect(
    url: str | None,
    directory: Path | None,
    urls: tuple[str, ...],
    state: Path | None,
    once: bool,
    status: bool,
    metrics: bool,
    replay: bool,
    every_seconds: float,
    record_format: str | None,
    name: str | None,
    **output: Any,
) -> None:
    """Collect the events of the stream at URL: into an audit directory, each exactly once by its id, or into targets.

    It goes on until it is stopped, and where it stopped when it is started again. Of several collectors of a stream
    into a directory, or with the same --state, one works, and the others take over when it is gone. A message that is
    no event is set aside in DIRECTORY/collect/*/aside.jsonl. Messages that were gone before they were collected are
    told by an auditmw.gap event.

    With --to no archive is kept here: a target gets what its own promise is (docs/shipping.md), and the stream's
    messages are acknowledged when it has them.

    Ends with 1 when messages were set aside, rejected or missing; --status, when somebody should look.
    """
    if sum((once, status, metrics, replay)) > 1:
        raise click.UsageError("give one of --once, --status, --metrics and --replay")
    shown = Output(**output)
    place = _checked(url, directory, urls, state, status or metrics)
    if directory is not None and (replay or record_format is not None or name is not None):
        raise click.UsageError("--replay, --format and --name belong to --to; --into collects events as they came")
    if place.exists() and not place.is_dir():
        raise Unreadable(f"cannot collect into {str(place)!r}: it is not a directory")
    if status or metrics:
        _look(shown, place, metrics)
        return
    assert url is not None  # noqa: S101 - it was checked
    if directory is not None:
        _into(shown, url, directory, once, every_seconds)
        return
    shippers = _usable(lambda: _shippers(url, place, urls, name, record_format, every_seconds, once))
    _to(shown, place, shippers, once, replay)


def _usable(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except (AddressError, FormatError, ImportError) as error:
        raise click.UsageError(str(error)) from None


def _into(shown: Output, url: str, directory: Path, once: bool, every_seconds: float) -> None:
    address, feed = _usable(lambda: (Address(url), feed_for(url)))
    collector = Collector(directory, feed, shown=address.shown, name=address.name, every_seconds=every_seconds)
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


def _shippers(
    url: str,
    state: Path,
    urls: Sequence[str],
    name: str | None,
    record_format: str | None,
    every_seconds: float,
    once: bool,
) -> Shippers:
    """Return a shipper for each target, each with a connection to the stream of its own."""
    name = checked_name(name, urls)
    stream, made = Address(url), {}
    for to in urls:
        address = Address(to)
        origin = FeedOrigin(
            feed_for(url),
            state / COLLECT,
            name=stream.name,
            stream=stream.shown,
            every_seconds=every_seconds,
            once=once,
        )
        folder, target = name or address.name, target_for(to, record_format)
        if folder in made:
            raise click.UsageError(f"--to {address.shown} is there twice; once is enough")
        made[folder] = Shipper(state, target, name=folder, shown=address.shown, origin=origin), address.shown
    return list(made.values())


def _to(shown: Output, state: Path, shippers: Shippers, once: bool, replay: bool) -> None:
    if not replay:
        try:
            make_folder(state)
        except OSError as error:
            raise Unreadable(f"cannot make {str(state)!r}: {error}") from None
    before = _to_look_at(state)
    with shown_log(shown, "auditmw.collect"), shown_log(shown, "auditmw.ship"):
        worst = work_with(shown, shippers, once=once, replay=replay)
    worse = worst == EXIT_OK and _to_look_at(state) - before
    click.get_current_context().exit(EXIT_FOUND if worse else worst)


def _to_look_at(state: Path) -> Counter[str]:
    """Return how many events of this state did not get where they belong, by what came of them."""
    found: Counter[str] = Counter()
    for status in collecting(state):
        found.update({kind: status.counts.get(kind, 0) for kind in _TO_LOOK_AT})
    return found


def _look(shown: Output, directory: Path, metrics: bool) -> None:
    """Show how the collectors of a directory are doing."""
    try:
        found = collecting(directory)
    except OSError as error:
        raise Unreadable(f"cannot read {str(directory)!r}: {error}") from None
    if metrics:
        click.echo(collected_metrics(found), nl=False)
        return
    table = Table("Collecting", _STATUS_COLUMNS, [_row(status) for status in found])
    show_statuses(shown, found, table, check_collector, "Nothing was collected here.")


def _row(status: Status) -> tuple[Any, ...]:
    counts = status.counts
    return (
        status.name,
        status.state,
        status.lag.events,
        round(status.lag.seconds, 1),
        status.events_per_second,
        counts.get("collected", 0) + counts.get("shipped", 0),
        counts.get("set_aside", 0),
        status.dead_letters,
    )
