"""What all commands share: options, exit codes, and where text goes.

Data goes to stdout; everything said about it goes to stderr. On a terminal a command shows lines for a human,
into a pipe or a file it writes NDJSON: one event per line, exactly the bytes that the journal holds.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import tzinfo
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.measure import Measurement
from rich.text import Text

from auditmw.cli.events import WrittenEvent, raw
from auditmw.cli.lines import EventLines
from auditmw.cli.moments import ZONE_HELP, local_zone, zone
from auditmw.cli.printable import printable, printable_json
from auditmw.cli.records import Records
from auditmw.cli.tables import Table, rich_table
from auditmw.formats.csv import csv_row
from auditmw.formats.record import RecordFormat
from auditmw.parsing import LEVELS
from auditmw.query.answers import COLUMNS, answer_json, cell
from auditmw.query.language.fields import UnknownFieldError, find

EXIT_OK = 0
EXIT_FOUND = 1  # the command did its work and found something wrong: damage, a failed check
EXIT_UNREADABLE = 3  # what was asked for cannot be read or done

FORMATS = ("auto", "table", "ndjson", "json", "csv")
_OUTPUT_HELP = "auto: a table on a terminal, ndjson into a pipe. json: one array. csv: safe in a spreadsheet."

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
        # What a command works on is always its first argument.
        self.params.sort(key=lambda parameter: parameter.name not in {"directory", "place"})

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the description, after the examples."""
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples.strip().splitlines():
                    formatter.write(f"  {line.strip()}\n")
        super().format_help_text(ctx, formatter)


def output_options(command: Command) -> Command:
    """Add the options that are the arguments of `Output`, by the same names."""
    for option in (
        click.option("-q", "--quiet", is_flag=True, help="Say nothing on stderr but what is wrong."),
        click.option("--no-color", is_flag=True, help="No colours; also NO_COLOR=1 or TERM=dumb."),
        click.option("-z", "--timezone", callback=zone, default="local", metavar="ZONE", help=ZONE_HELP),
        click.option("-o", "--output", type=click.Choice(FORMATS), default="auto", help=_OUTPUT_HELP),
    ):
        command = option(command)
    return command


def columns_option(command: Command) -> Command:
    """Add `--columns`; the command gets the names, as a tuple."""

    def names(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
        wanted = tuple(name.strip() for name in value.split(",") if name.strip())
        try:
            for name in wanted:
                find(name)
        except UnknownFieldError as error:
            raise click.BadParameter(str(error)) from None
        return wanted

    told = "With -o csv: which fields, as queries name them; any dotted path."
    option = click.option("--columns", callback=names, default=",".join(COLUMNS), metavar="NAME,...", help=told)
    return option(command)


class Output:
    """Where a command's data goes, in the format that was asked for; `close` ends a JSON array.

    `record_format`: what events are written in, in place of `output`.
    """

    def __init__(
        self,
        output: str,
        timezone: tzinfo | None,
        *,
        no_color: bool,
        quiet: bool,
        columns: Sequence[str] = COLUMNS,
        record_format: RecordFormat | None = None,
    ) -> None:
        terminal = sys.stdout.isatty()
        self.zone = timezone
        self.local_zone = timezone or local_zone()
        self._columns, self._fields = columns, [find(name) for name in columns]
        self.format = output if output != "auto" else "table" if terminal else "ndjson"
        self.console = _console(sys.stdout, no_color)
        self.errors = _console(sys.stderr, no_color)
        self._terminal = terminal
        self._records = None if record_format is None else Records(record_format, output, terminal=terminal)
        self.events = 0  # how many were written
        self._cut = 0  # of these, how many not as deep as they are nested
        self.quiet = quiet
        self._lines = EventLines(timezone, self.console.width if terminal else None)
        self._count = 0
        self._header = b""

    def event(self, event: Mapping[str, Any]) -> None:
        """Write one event: a line for a human, or its JSON bytes."""
        self.events += 1
        as_written = self._records is None and self.format in {"ndjson", "json"}
        self._cut += not as_written and isinstance(event, WrittenEvent) and event.is_cut
        if self._records is not None:
            self._records.write(event)
        elif self.format == "table":
            self.text(self._lines(event))
        elif self.format == "csv":
            self._csv(self._columns, [[cell(event, field) for field in self._fields]])
        else:
            self.json(raw(event))

    def answer(self, answer: object, *tables: Table) -> None:
        """Write the answer to a question: as tables, as their rows in CSV, or as one JSON object."""
        if self.format == "table":
            for table in tables:
                shown = rich_table(table)
                needed = Measurement.get(self.console, self.console.options.update_width(1000), shown).minimum
                self.console.print(shown, width=max(self.console.width, needed), crop=False)
        elif self.format == "csv":
            for table in tables:
                named = [[table.title, *row] for row in table.rows] if len(tables) > 1 else table.rows
                self._csv([*(["table"] if len(tables) > 1 else []), *table.columns], named)
        else:
            self.json(answer_json(answer))

    def _csv(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Write rows, below a line of their names whenever those are not the names of the rows before."""
        if self._header != (header := csv_row(columns)):
            self._header = header
            sys.stdout.buffer.write(header)
        for row in rows:
            sys.stdout.buffer.write(csv_row(row))

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

    @property
    def is_whole(self) -> bool:
        """Whether all of every event was written: the format had a record for it, and it is not nested too deep."""
        return not self._cut and (self._records is None or not self._records.left_out)

    def close(self) -> None:
        """End the JSON array, if there is one, flush, and say what was left out."""
        if self.format == "json":
            sys.stdout.buffer.write(b"\n]\n" if self._count else b"[]\n")
        self.flush()
        missing = None if self._records is None else self._records.what_is_missing()
        if missing is not None:
            self.problem(missing)
        if self._cut:
            events = "1 event is" if self._cut == 1 else f"{self._cut:,} events are"
            self.problem(
                f"{events} nested more than {LEVELS} levels deep, and shown no deeper; -o ndjson has all of it."
            )

    def flush(self) -> None:
        """Hand everything written so far to the reader."""
        sys.stdout.flush()

    def note(self, text: str, style: str = "dim") -> None:
        """Say something about the data on stderr, unless --quiet."""
        if not self.quiet:
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
