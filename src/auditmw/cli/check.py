"""`auditmw check`: what is wrong or missing in this deployment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import orjson
from rich.text import Text

from auditmw.cli.arguments import directory_argument
from auditmw.cli.checks.application import AppNotLoadedError, check_application, load_audit
from auditmw.cli.checks.archive import archived_events, check_archive
from auditmw.cli.checks.collecting import check_collecting
from auditmw.cli.checks.directory import check_directory
from auditmw.cli.checks.finding import Finding, fail
from auditmw.cli.checks.journal import check_journal, read_journal
from auditmw.cli.checks.machine import check_machine
from auditmw.cli.checks.proxies import check_proxies
from auditmw.cli.checks.shipping import check_begun, check_quota, check_shipping
from auditmw.cli.output import EXIT_FOUND, EXIT_OK, ExampleCommand, Output, output_options
from auditmw.cli.printable import printable

STYLES = {"ok": ("✓ ok  ", "green"), "warn": ("! warn", "yellow"), "fail": ("✗ FAIL", "bold red")}


@click.command(
    cls=ExampleCommand,
    short_help="Say what is wrong or missing in a deployment.",
    examples="""
    auditmw check /var/lib/shop/audit
    auditmw check /var/lib/shop/audit --app shop.wsgi:application
    auditmw check /var/lib/shop/audit | jq -r 'select(.level!="ok") | .advice'
    """,
)
@directory_argument
@click.option("--app", metavar="MODULE:ATTRIBUTE", help="The app, or its Audit: is imported to see its configuration.")
@output_options
def check(directory: Path, app: str | None, **output: Any) -> None:
    """Say what is wrong or missing around the audit directory DIRECTORY, and what to do about it.

    Looks at permissions, disk and file system, reads the whole journal and the archive, and looks at how each target of
    shipping and each collector is doing, at the clock, the versions, and at what the newest requests say about the
    proxies in front; with --app also at its configuration and quota. Nothing is changed. The exit code is 1 when
    something fails. Run it as the user that the app runs as.
    """
    shown = Output(**output)
    levels = []
    for finding in _findings(directory, app):
        levels.append(finding.level)
        if shown.format == "table":
            _show(shown, finding)
        else:
            shown.json(orjson.dumps(asdict(finding)))
    shown.close()
    shown.note(f"{levels.count('ok')} ok, {levels.count('warn')} to look at, {levels.count('fail')} to mend")
    click.get_current_context().exit(EXIT_FOUND if "fail" in levels else EXIT_OK)


def _findings(directory: Path, app: str | None) -> Iterator[Finding]:
    yield from check_directory(directory)
    if directory.is_dir():
        try:
            reading = read_journal(directory)
        except OSError as error:
            seen = f"{error.filename or directory}: {error.strerror}"
            yield fail("journal.readable", seen, "run this check as the app's user")
        else:
            yield from check_journal(reading, archived_events(directory), datetime.now(UTC))
            yield from check_proxies(reading.requests())
        yield from check_archive(directory)
        yield from check_shipping(directory, datetime.now(UTC))
        yield from check_collecting(directory, datetime.now(UTC))
    if app is not None:
        try:
            audit = load_audit(app)
            yield from check_application(audit, directory)
            yield from check_begun(audit)
            yield from check_quota(audit, directory)
        except AppNotLoadedError as error:
            yield fail("app", str(error), "run it in the app's folder, with the app's Python and environment")
    yield from check_machine()


def _show(shown: Output, finding: Finding) -> None:
    mark, style = STYLES[finding.level]
    line = Text()
    line.append(mark, style)
    line.append(f"  {finding.check:<20} ", "bold" if finding.level == "fail" else "")
    line.append(printable(finding.seen))
    shown.text(line)
    if finding.advice:
        shown.text(Text(f"{'':<29}→ {printable(finding.advice)}", "cyan"))
