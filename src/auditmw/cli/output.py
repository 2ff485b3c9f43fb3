"""What all commands share: options, exit codes, and where text goes.

Data goes to stdout; everything said about it goes to stderr. On a terminal a command shows lines for a human,
into a pipe or a file it writes NDJSON: one event per line, exactly the bytes that the journal holds.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import sys
import zoneinfo
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.text import Text

from auditmw.cli.events import raw
from auditmw.cli.lines import EventLines
from auditmw.cli.printable import printable, printable_json

EXIT_OK = 0
EXIT_FOUND = 1  # the command did its work and found something wrong: damage, a failed check
EXIT_USAGE = 2  # click's own code for wrong arguments
EXIT_UNREADABLE = 3  # what was asked for cannot be read or done

FORMATS = ("auto", "human", "ndjson", "json")
_OUTPUT_HELP = "auto: lines for a human on a terminal, ndjson into a pipe. json: one array."
_ZONE_HELP = "Show times in local time, UTC, or a zone like Asia/Tokyo."
_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_SPAN = re.compile(r"(?:now-)?((?:[0-9]{1,9}(?:ms|s|m|h|d|w))+)", re.ASCII)
_PART = re.compile(r"([0-9]+)(ms|s|m|h|d|w)", re.ASCII)

Command = TypeVar("Command", bound=Callable[..., Any])


class Unreadable(click.ClickException):
    """Something outside cannot be read or started: a message and exit code 3."""

    exit_code = EXIT_UNREADABLE

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class ExampleCommand(click.Command):
    """A command whose help shows its examples before its options."""

    def __init__(self, *args: Any, examples: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the description, after the examples."""
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples.strip().splitlines():
                    formatter.write(f"  {line.strip()}\n")
        super().format_help_text(ctx, formatter)


def _zone(ctx: click.Context, param: click.Parameter, value: str) -> tzinfo | None:
    """Return the zone that an option names, None for the machine's own."""
    if value.lower() == "local":
        return None
    if value.upper() in ("UTC", "Z"):
        return UTC
    try:
        return zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise click.BadParameter(f"expected local, UTC or a zone like Europe/Amsterdam, not {value!r}") from None


def since_option(command: Command) -> Command:
    """Add `--since`; the command gets the moment, or None."""

    def moment(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime | None:
        try:
            return None if value is None else parse_since(value, datetime.now(UTC))
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    told = "Only events since then: 5m, 1h30m, 2d, or 2026-11-20T20:20:11Z."
    return click.option("--since", callback=moment, metavar="TIME", help=told)(command)


def parse_since(text: str, now: datetime) -> datetime:
    """Return the moment that `text` names: a span before `now`, or an RFC 3339 time (without an offset: local).

    Raises ValueError, with what was expected, for anything else.
    """
    span = _SPAN.fullmatch(text)
    try:
        if span:
            return now - timedelta(seconds=sum(int(n) * _UNITS[unit] for n, unit in _PART.findall(span[1])))
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        expected = "5m, 1h30m, 2d, now-1h or a time like 2026-11-20T20:20:11Z"
        raise ValueError(f"expected {expected}, not {text!r}") from None


def output_options(command: Command) -> Command:
    """Add the options that are the arguments of `Output`, by the same names."""
    for option in (
        click.option("-q", "--quiet", is_flag=True, help="Say nothing on stderr but what is wrong."),
        click.option("--no-color", is_flag=True, help="No colours; also NO_COLOR=1 or TERM=dumb."),
        click.option("-z", "--timezone", callback=_zone, default="local", metavar="ZONE", help=_ZONE_HELP),
        click.option("-o", "--output", type=click.Choice(FORMATS), default="auto", help=_OUTPUT_HELP),
    ):
        command = option(command)
    return command


class Output:
    """Where a command's data goes, in the format that was asked for; `close` ends a JSON array."""

    def __init__(self, output: str, timezone: tzinfo | None, *, no_color: bool, quiet: bool) -> None:
        terminal = sys.stdout.isatty()
        self.format = output if output != "auto" else "human" if terminal else "ndjson"
        self.console = _console(sys.stdout, no_color)
        self.errors = _console(sys.stderr, no_color)
        self._terminal = terminal
        self.events = 0  # how many were written
        self._quiet = quiet
        self._lines = EventLines(timezone, self.console.width if terminal else None)
        self._count = 0

    def event(self, event: Mapping[str, Any]) -> None:
        """Write one event: a line for a human, or its JSON bytes."""
        self.events += 1
        if self.format == "human":
            self.text(self._lines(event))
        else:
            self.json(raw(event))

    def text(self, line: Text) -> None:
        """Write one line for a human."""
        self.console.print(line, soft_wrap=True, highlight=False)

    def json(self, text: bytes) -> None:
        """Write one JSON object: a line of NDJSON, or the next element of the array."""
        if self._terminal:
            text = printable_json(text.decode("utf-8", "backslashreplace")).encode()
        if self.format == "json":
            text = (b",\n" if self._count else b"[\n") + text
        else:
            text += b"\n"
        self._count += 1
        sys.stdout.buffer.write(text)

    def close(self) -> None:
        """End the JSON array, if there is one, and flush."""
        if self.format == "json":
            sys.stdout.buffer.write(b"\n]\n" if self._count else b"[]\n")
        self.flush()

    def flush(self) -> None:
        """Hand everything written so far to the reader."""
        sys.stdout.flush()

    def note(self, text: str, style: str = "dim") -> None:
        """Say something about the data on stderr, unless --quiet."""
        if not self._quiet:
            self.problem(text, style)

    def problem(self, text: str, style: str = "yellow") -> None:
        """Say on stderr what is wrong with the data."""
        self.errors.print(Text(printable(text), style), soft_wrap=True, highlight=False)

    def wait(self, seconds: float) -> None:
        """Wait, at most until the reader of stdout closes its end of the pipe: then BrokenPipeError."""
        waiting = select.poll()
        with contextlib.suppress(OSError, ValueError):  # no descriptor: stdout is an object in memory
            waiting.register(sys.stdout.fileno(), 0)  # POLLERR and POLLHUP are always told
        if waiting.poll(seconds * 1000):
            raise BrokenPipeError


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Let the command end as it does for bytes; rich would exit with 1, which says that something was found."""
        raise BrokenPipeError


def _console(stream: Any, no_color: bool) -> Console:
    plain = no_color or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return _Console(file=stream, color_system=None if plain else "auto", markup=False, emoji=False, highlight=False)
