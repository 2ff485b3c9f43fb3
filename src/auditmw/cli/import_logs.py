"""`auditmw import`: access logs of web servers and proxies become events."""

from __future__ import annotations

import glob
import os
import stat
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import click

from auditmw.archive import ArchiveError, archive
from auditmw.archive.depositing import deposit
from auditmw.archive.manifest import archived_writers
from auditmw.cli.import_format import FormatChoice, format_options
from auditmw.cli.import_report import ImportProgress, RejectsFile, counts, show_summary, tell_rejects
from auditmw.cli.import_sample import show_sample
from auditmw.cli.output import (
    EXIT_FOUND,
    EXIT_OK,
    EXIT_UNREADABLE,
    ExampleCommand,
    Output,
    Unreadable,
    output_options,
)
from auditmw.formats.line import FormatError
from auditmw.importing.depot import Take
from auditmw.importing.following import POLL_SECONDS, FollowedFile
from auditmw.importing.importer import Importer, processes
from auditmw.importing.inputs import STDIN, InputError, open_input
from auditmw.importing.intake import Report
from auditmw.importing.workers import Setup
from auditmw.journal import journal_files, writer_of
from auditmw.journal.cursor import cursors

EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
_ARCHIVE_SECONDS = 60.0  # how often what was followed is archived


@click.command(
    name="import",
    cls=ExampleCommand,
    short_help="Import access logs of web servers and proxies.",
    examples="""
    auditmw import /var/log/nginx/access.log* --into /var/lib/shop/audit
    auditmw import access.log --into audit --dry-run 5
    auditmw import /var/log/nginx/access.log --into audit --nginx-conf /etc/nginx/nginx.conf --log-format-name main
    zcat old.gz | auditmw import - --into audit --format apache:combined --rejects rejects.jsonl
    auditmw import /var/log/nginx/access.log --into audit --follow
    """,
)
@click.argument("inputs", nargs=-1, required=True, metavar="FILE|-|GLOB...")
@click.option("--into", "directory", required=True, type=click.Path(path_type=Path), help="The audit directory.")
@format_options
@click.option("-f", "--follow", is_flag=True, help="Go on with the lines that come; Ctrl-C ends it.")
@click.option("--dry-run", type=click.IntRange(1, 100_000), metavar="N", help="Show the first N lines; write nothing.")
@click.option("--rejects", type=click.Path(path_type=Path, dir_okay=False), help="Keep rejected lines in this file.")
@click.option("--strict", is_flag=True, help="Exit with 1 when a line was rejected.")
@click.option(
    "--keep-raw",
    type=click.Choice(["if-clean", "never", "always"]),
    default="if-clean",
    show_default=True,
    help="Keep the line itself in the event; if-clean: unless something in it was redacted.",
)
@click.option("--redact", multiple=True, metavar="NAME", help="A further name whose values must not be written.")
@click.option("-j", "--jobs", type=click.IntRange(1, 256), default=processes, help="How many processes.")
@click.option("--no-archive", is_flag=True, help="Leave the events in the journal, and the archive to others.")
@output_options
def import_logs(
    inputs: tuple[str, ...],
    directory: Path,
    follow: bool,
    dry_run: int | None,
    rejects: Path | None,
    strict: bool,
    no_archive: bool,
    **options: Any,
) -> None:
    """Import access logs into the audit directory of --into, which is made if need be.

    Plain, gzip and zstd files, pipes and "-". The same lines are never imported twice: not from the same file, its
    rotated or compressed copy, or a file that has grown since; so run it again whenever you like, also after Ctrl-C.
    Lines that are not of the format are counted and shown, and the others imported; when most of the first ones are
    not, nothing is.

    The exit code is 0, 1 when an input was damaged (or with --strict a line was rejected), 3 when an input cannot be
    read or is of another format, or events cannot be written.
    """
    output = {name: options.pop(name) for name in ("output", "timezone", "no_color", "quiet")}
    shown = Output(**output)
    setup = Setup(str(directory), options.pop("keep_raw"), tuple(options.pop("redact")))
    jobs = options.pop("jobs")
    choice = FormatChoice(shown, **options)
    names = _expanded(shown, inputs, follow=follow)
    if dry_run is not None:
        show_sample(shown, names, choice, setup, dry_run)
        shown.close()
        return
    kept = RejectsFile(rejects)
    run = _Import(shown, setup, choice, kept, jobs, archive=not no_archive, quiet=output["quiet"])
    try:
        code = run.follow(names) if follow else run.all(names)
    finally:
        kept.close()
    shown.close()
    if code == EXIT_OK and strict and run.rejected:
        code = EXIT_FOUND
    click.get_current_context().exit(code)


def recorded(directory: Path) -> Iterable[str]:
    """Return the names of all writers whose events are in the journal or in the archive.

    Raises Unreadable when the archive cannot tell: importing would then import twice.
    """
    try:
        # First the journal: what is archived meanwhile is in both for a moment, and never in neither.
        return {*map(writer_of, journal_files(directory)), *archived_writers(directory)}
    except ArchiveError as error:
        raise Unreadable(f"cannot tell what was imported before: {error}") from error


def _expanded(shown: Output, inputs: tuple[str, ...], *, follow: bool) -> list[str]:
    """Return the names of the inputs, patterns replaced by the files that they match. Raises Unreadable.

    A file that is followed may not be there yet.
    """
    if follow and STDIN in inputs:
        raise click.UsageError("--follow needs the names of files; what a pipe brings is imported as it comes")
    names: list[str] = []
    wrong: list[str] = []
    for text in inputs:
        found = sorted(glob.glob(text, recursive=True)) if _is_pattern(text) else [text]
        names += [name for name in found if name not in names]
        if not found:
            wrong.append(f"{text}: no file matches")
    wrong += [problem for name in names if not follow and (problem := _problem_with(name))]
    if wrong:
        *others, last = wrong
        for problem in others:
            shown.problem(problem)
        raise Unreadable(f"{last}; nothing was imported")
    return names


def _is_pattern(text: str) -> bool:
    return text != STDIN and glob.has_magic(text) and not os.path.lexists(text)


def _problem_with(name: str) -> str | None:
    """Return why an input cannot be read; a pipe can be opened only once, so of that it is told when its turn comes."""
    try:
        if name == STDIN or stat.S_ISFIFO(os.stat(name).st_mode):
            return None
        with open_input(name):
            return None
    except OSError as error:
        return f"{name}: {error.strerror}"
    except InputError as error:
        return str(error)


class _Import:
    """One run of the command."""

    def __init__(
        self,
        shown: Output,
        setup: Setup,
        choice: FormatChoice,
        kept: RejectsFile,
        jobs: int,
        *,
        archive: bool,
        quiet: bool,
    ) -> None:
        self._shown, self._setup, self._choice, self._kept = shown, setup, choice, kept
        self._jobs, self._archive, self._quiet = jobs, archive, quiet
        self._directory = Path(setup.directory)
        self._reports: list[tuple[Report, float]] = []  # and how many seconds each input took
        self._told: dict[str, str | None] = {}  # of the files that are followed: what was said of them last
        self._archive_at = time.monotonic() + _ARCHIVE_SECONDS
        self._code = EXIT_OK

    @property
    def rejected(self) -> int:
        """How many lines of all inputs were rejected."""
        return sum(report.rejected for report, _ in self._reports)

    def all(self, names: list[str]) -> int:
        """Import the inputs one after another, from their beginning to their end; return the exit code."""
        began = time.monotonic()
        # What is shipped to other programs is read from the journal.
        straight = self._archive and not cursors(self._directory)
        take = partial(deposit, self._directory) if straight else None
        try:
            with ImportProgress(self._shown, _total_bytes(names), quiet=self._quiet) as progress:
                self._import_all(names, progress, take)
        except ArchiveError as error:
            self._code = EXIT_UNREADABLE
            self._shown.problem(str(error))
        except OSError as error:
            self._cannot_write(error)
        except KeyboardInterrupt:
            self._code = EXIT_INTERRUPTED
        self._tell(time.monotonic() - began)
        return self._code

    def follow(self, names: list[str]) -> int:
        """Import the files and what is appended to them, until Ctrl-C; return the exit code."""
        reports = [Report(name) for name in names]
        began = time.monotonic()
        try:
            with self._importer(lambda report, position_bytes: None) as importer:
                self._follow(importer, [FollowedFile(importer.desk, self._choice, each) for each in reports])
        except FormatError as error:
            raise Unreadable(str(error)) from None
        except OSError as error:
            self._cannot_write(error)
        seconds = time.monotonic() - began
        for report in reports:
            self._reports.append((report, seconds))
            tell_rejects(self._shown, report, self._kept)
        self._tell(seconds)
        return self._code

    def _importer(self, on_progress: Callable[[Report, int], None], take: Take | None = None) -> Importer:
        return Importer(
            self._setup,
            recorded=lambda: recorded(self._directory),
            count=self._jobs,
            on_reject=self._kept,
            on_progress=on_progress,
            on_wait=lambda report: self._shown.note(
                f"{report.name}: another import of it is under way; waiting for it"
            ),
            take=take,
        )

    def _import_all(self, names: list[str], progress: ImportProgress, take: Take | None) -> None:
        with self._importer(progress, take) as importer:
            for name in names:
                report = Report(name)
                began = time.monotonic()
                try:
                    self._import_one(importer, report, progress)
                finally:
                    self._reports.append((report, time.monotonic() - began))
                    tell_rejects(self._shown, report, self._kept)

    def _import_one(self, importer: Importer, report: Report, progress: ImportProgress) -> None:
        try:
            with open_input(report.name) as source:
                try:
                    importer.run(source, self._choice, report)
                finally:
                    progress.done(report, source.position_bytes)
            code = EXIT_FOUND  # damaged, if there is a problem
        except (InputError, FormatError) as error:
            report.problem = str(error)
            code = EXIT_UNREADABLE
        if report.problem is not None:
            self._shown.problem(report.problem)
            self._code = max(self._code, code)
        elif not report.lines:
            self._shown.note(f"{report.name}: holds no lines")

    def _follow(self, importer: Importer, files: list[FollowedFile]) -> None:
        try:
            while True:
                news = [file.poll(time.monotonic()) for file in files]
                self._tell_changes(files)
                self._archive_now_and_then()
                with importer.interrupt.waiting():
                    time.sleep(0.0 if any(news) else POLL_SECONDS)
        except KeyboardInterrupt:
            for file in files:
                file.settle()
        finally:
            importer.desk.workers.give_up()
            for file in files:
                file.close()

    def _tell_changes(self, files: list[FollowedFile]) -> None:
        """Say when there is nothing to follow, and when there is again."""
        for file in files:
            problem = file.report.problem
            if problem != self._told.get(file.report.name):
                self._told[file.report.name] = problem
                self._shown.note(f"{problem}; waiting for it" if problem else f"{file.report.name}: is there now")

    def _archive_now_and_then(self) -> None:
        if time.monotonic() >= self._archive_at:
            self._archive_step()
            self._archive_at = time.monotonic() + _ARCHIVE_SECONDS

    def _cannot_write(self, error: OSError) -> None:
        self._code = EXIT_UNREADABLE
        place = error.filename or self._directory
        self._shown.problem(f"cannot write to {place}: {error.strerror or error}")

    def _tell(self, seconds: float) -> None:
        """Archive what was imported, and say what came of everything."""
        inputs = [counts(report, seconds) for report, seconds in self._reports]
        imported = sum(each.imported for each in inputs)
        known = sum(each.already_there for each in inputs)
        if self._code in (EXIT_INTERRUPTED, EXIT_UNREADABLE) and (imported or known):
            self._shown.problem(f"{imported + known:,} lines are imported; run the same command again to go on.")
        archived = self._archive_step() if imported and self._code != EXIT_INTERRUPTED else 0.0
        read = sum(each.read for each in inputs)
        if read:
            then = f", archived in {archived:.1f} s" if archived else ""
            rate = f"{round(read / seconds):,} lines/s" if seconds else "at once"
            self._shown.note(f"{imported:,} lines imported in {seconds:.1f} s ({rate}){then}")
        show_summary(self._shown, inputs)

    def _archive_step(self) -> float:
        """Bring the archive up to date; return how many seconds that took."""
        if not self._archive:
            return 0.0
        began = time.monotonic()
        try:
            archive(self._directory)
        except (ArchiveError, OSError) as error:
            self._shown.problem(f"the events are in the journal, and could not be archived: {error}")
            self._code = max(self._code, EXIT_FOUND)
        return time.monotonic() - began


def _total_bytes(names: list[str]) -> int | None:
    """Return the size of all inputs, None when one of them is a pipe."""
    total = 0
    for name in names:
        if name == STDIN or not os.path.isfile(name):
            return None
        total += os.path.getsize(name)
    return total
