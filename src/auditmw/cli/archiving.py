"""`auditmw archive` and `auditmw prune`: closed journal files become Parquet, and what is too old goes."""

from __future__ import annotations

import re
from datetime import UTC, timedelta, tzinfo
from pathlib import Path
from typing import Any

import click

from auditmw.archive import ArchiveError, ArchiveReport, PruneReport, archive, prune, set_retention
from auditmw.cli.archive_progress import ArchiveProgress
from auditmw.cli.arguments import directory_argument
from auditmw.cli.output import EXIT_FOUND, EXIT_OK, ExampleCommand, Output, Unreadable, output_options
from auditmw.cli.tables import Table
from auditmw.reading import what_is_wrong_with

_AGE = re.compile(r"([0-9]{1,6})\s*(h|d|w)", re.ASCII)
_AGE_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
_SIZE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,3})?)\s*([KMGT]?)(i?)B?", re.ASCII | re.IGNORECASE)


def _age(ctx: click.Context, param: click.Parameter, value: str | None) -> timedelta | None:
    if value is None:
        return None
    match = _AGE.fullmatch(value)
    if not match:
        raise click.BadParameter(f"expected an age like 90d, 12w or 36h, not {value!r}")
    return timedelta(**{_AGE_UNITS[match[2]]: int(match[1])})


def _size(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    match = _SIZE.fullmatch(value)
    if not match:
        raise click.BadParameter(f"expected a size like 50GB, 800MB or 4GiB, not {value!r}")
    return int(float(match[1]) * (1024 if match[3] else 1000) ** ("KMGT".find(match[2].upper()) + 1 if match[2] else 0))


@click.command(
    "archive",
    cls=ExampleCommand,
    short_help="Turn closed journal files into the archive.",
    examples="""
    auditmw archive /var/lib/shop/audit
    auditmw archive /var/lib/shop/audit -o json
    auditmw archive /var/lib/shop/audit --quiet   # from cron, every 15 minutes
    """,
)
@directory_argument
@output_options
def archive_command(directory: Path, **output: Any) -> None:
    """Turn the closed journal files of the audit directory DIRECTORY into Parquet, and apply the retention settings.

    Queries do this too when much has gathered, so it needs no schedule; with one, journal files take less space sooner.
    It may be stopped at any moment and run again: no event is lost or there twice. While another process is at it, this
    one does nothing. The exit code is 1 when something damaged was found; it is in DIRECTORY/quarantine.
    """
    shown = Output(**output)
    with ArchiveProgress(shown) as progress:
        report = _run(directory, lambda: archive(directory, on_progress=progress))
    shown.answer(report, _archived(report))
    if not report.leading:
        shown.note("Another process is archiving this directory; nothing was done here.")
    found = _found(report)
    for line in found:
        shown.problem(line)
    shown.close()
    click.get_current_context().exit(EXIT_FOUND if found else EXIT_OK)


def _run(directory: Path, work: Any) -> Any:
    try:
        return work()
    except ArchiveError as error:
        raise Unreadable(str(error)) from error
    except OSError as error:
        wrong = what_is_wrong_with(directory)
        raise Unreadable(wrong or f"cannot read {directory}: {error.strerror}") from error


def _archived(report: ArchiveReport) -> Table:
    names = ("files", "rows", "bytes", "parts", "merged", "deleted", "damaged")
    return Table("Archived", names, [tuple(getattr(report, name) for name in names)])


def _found(report: ArchiveReport) -> list[str]:
    found = []
    if report.damaged:
        found.append(f"{report.damaged} damaged places in journal files are set aside in quarantine.")
    found += [f"{file} cannot be archived whole and stays where it is." for file in report.kept]
    found += [f"{missing}" for missing in report.missing]
    return found


@click.command(
    "prune",
    cls=ExampleCommand,
    short_help="Delete what is too old or too much from the archive.",
    examples="""
    auditmw prune /var/lib/shop/audit --older-than 90d --dry-run
    auditmw prune /var/lib/shop/audit --older-than 90d --max-size 50GB
    auditmw prune /var/lib/shop/audit --older-than 90d --keep-settings
    """,
)
@directory_argument
@click.option("--older-than", callback=_age, metavar="AGE", help="Files whose newest event is older: 90d, 12w, 36h.")
@click.option(
    "--max-size", callback=_size, metavar="SIZE", help="The oldest files, until the rest has this size: 50GB."
)
@click.option("--dry-run", is_flag=True, help="Say what would go, and delete nothing.")
@click.option("--keep-settings", is_flag=True, help="Do the same at every archive step from now on, unattended.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask; needed where nobody can be asked.")
@output_options
def prune_command(
    directory: Path,
    older_than: timedelta | None,
    max_size: int | None,
    dry_run: bool,
    keep_settings: bool,
    yes: bool,
    **output: Any,
) -> None:
    """Delete events from the archive of the audit directory DIRECTORY by age, by size, or both.

    Whole files of at most a day go, the oldest first; never what is not archived yet. What that frees is said.
    """
    if older_than is None and max_size is None:
        raise click.UsageError("give --older-than, --max-size or both")
    shown = Output(**output)
    planned = _run(directory, lambda: prune(directory, older_than, max_size, dry_run=True))
    if not dry_run and planned.files and not yes:
        if not shown.errors.is_terminal:
            raise click.UsageError(f"this deletes {planned.rows:,} events; where nobody can be asked, say --yes")
        click.confirm(f"Delete {_told(planned, shown.zone)}?", abort=True, err=True)
    report = planned if dry_run else _run(directory, lambda: prune(directory, older_than, max_size))
    if keep_settings and not dry_run:
        _run(directory, lambda: set_retention(directory, older_than, max_size))
        shown.note("Every archive step does the same from now on.")
    shown.answer(report, Table("Pruned", report.__dataclass_fields__.keys(), [tuple(vars(report).values())]))
    shown.note(("Would free " if dry_run else "Freed ") + _told(report, shown.zone))
    shown.close()


def _told(report: PruneReport, zone: tzinfo | None) -> str:
    size = f"{report.rows:,} events in {report.files} files, {report.bytes / 1e6:,.1f} MB"
    if report.first is None or report.last is None:
        return size
    first, last = (moment.replace(tzinfo=UTC).astimezone(zone) for moment in (report.first, report.last))
    return f"{size}, {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S}"
