"""What the commands share that ask questions of an audit directory: arguments, the engine, errors, what is missing."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, tzinfo
from typing import Any, NamedTuple

import click

from auditmw.archive.error import ArchiveError
from auditmw.cli.archive_progress import ArchiveProgress
from auditmw.cli.arguments import place_argument
from auditmw.cli.moments import range_options
from auditmw.cli.output import EXIT_FOUND, EXIT_OK, Output, Unreadable, output_options
from auditmw.cli.printable import printable
from auditmw.cli.queries import marks, parsed
from auditmw.places import Place
from auditmw.query.answers import COLUMNS
from auditmw.query.engine import Engine
from auditmw.query.journeys.conditions import UnusableQueryError
from auditmw.query.partial import Partial
from auditmw.query.scope import Scope


class Asking(NamedTuple):
    """What a command works with: the engine, the events it is about, and where its answer goes."""

    engine: Engine
    scope: Scope
    shown: Output

    def whole(self, partial: Partial | None) -> None:
        """Say on stderr what an answer does not cover; the exit code is then 1."""
        if partial is not None:
            for line in told(partial, self.shown.zone):
                self.shown.problem(line)
            click.get_current_context().obj = EXIT_FOUND


def asking(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command DIRECTORY, QUERY, a range of time, a time limit and output; it is called with an `Asking`."""
    return _asking(command, click.argument("query", nargs=-1))


def asking_where(command: Callable[..., Any]) -> Callable[..., Any]:
    """Do the same for a command with arguments of its own: the query is the option `--where`."""
    told = "Only events that match; see `auditmw query --help`."
    return _asking(command, click.option("--where", "query", multiple=True, metavar="QUERY", help=told))


def _asking(command: Callable[..., Any], query_parameter: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(command)
    def asks(
        *,
        place: Place,
        query: tuple[str, ...],
        start: datetime | None,
        end: datetime | None,
        time_limit: float,
        output: str,
        timezone: tzinfo | None,
        no_color: bool,
        quiet: bool,
        **others: Any,
    ) -> None:
        columns = others.pop("columns", COLUMNS)
        shown = Output(
            output,
            timezone,
            no_color=no_color,
            quiet=quiet,
            columns=columns,
            record_format=others.pop("record_format", None),
        )
        scope = Scope(parsed(" ".join(query), shown), start, end)
        with opened(place, time_limit, shown) as engine:
            command(Asking(engine, scope, shown), **others)
        shown.close()
        context = click.get_current_context()
        whole = EXIT_OK if shown.is_whole else EXIT_FOUND
        context.exit(whole if context.obj is None else context.obj)

    asked: Callable[..., Any] = place_argument(query_parameter(_time_limit(range_options(output_options(asks)))))
    return asked


_time_limit = click.option(
    "--time-limit",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="When it is over, the answer is what was found until then, and says so.",
)


@contextmanager
def opened(place: Place, time_limit_seconds: float, shown: Output) -> Iterator[Engine]:
    """Give an engine for the place; what cannot be read or asked becomes the error that click shows.

    How far it is with archiving what was waiting, which may take long, is shown meanwhile.
    """
    progress = ArchiveProgress(shown)
    engine = place.engine(time_limit_seconds=time_limit_seconds, on_archiving=progress)
    try:
        with progress:
            yield engine
    except BrokenPipeError:
        raise
    except UnusableQueryError as error:
        raise click.UsageError(f"{error.role} cannot be used\n{marks(error.text, error.errors)}") from error
    except (ValueError, LookupError) as error:
        raise click.UsageError(printable(str(error))) from error
    except (OSError, ArchiveError) as error:
        raise unreadable(place, error) from error
    finally:
        engine.close()


def unreadable(place: Place, error: Exception) -> Unreadable:
    """Return what to raise for an error of reading."""
    if place.directory is None:
        return Unreadable(str(error))
    return Unreadable(place.wrong() or f"cannot read {place.shown}: {getattr(error, 'strerror', None) or error}")


def told(partial: Partial, zone: tzinfo | None) -> Iterator[str]:
    """Yield sentences that say what an answer does not cover."""
    stopped = [reason for reason in partial.reasons if reason in ("time limit", "memory", "cancelled")]
    if stopped:
        covered = "Nothing was looked at"
        if partial.covered_from is None or partial.covered_from != partial.covered_to:
            since = partial.covered_from and partial.covered_from.astimezone(zone)
            covered = "Only events " + (f"from {since:%Y-%m-%d %H:%M:%S} on " if since else "") + "were looked at"
        yield f"{covered} ({', '.join(stopped)}): a shorter range, or a longer --time-limit, gives a whole answer."
    for missing in partial.missing:
        yield f"Not in the answer: {missing.rows:,} events of {missing.file}, which cannot be read ({missing.reason})."
