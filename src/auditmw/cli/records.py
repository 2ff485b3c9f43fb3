"""Events in a format that another program reads: one record after the other, as `--format` asks for them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from auditmw.cli.printable import printable, printable_json
from auditmw.formats.line import FormatError
from auditmw.formats.record import PROTOBUF, RecordFormat, framed
from auditmw.formats.records import RECORD_FORMATS, record_format

Command = TypeVar("Command", bound=Callable[..., Any])

_HELP = (
    f"Instead of -o: what another program reads, one record per event: {', '.join(RECORD_FORMATS)}. "
    "Records of Protobuf have their length before them."
)


def format_option(command: Command) -> Command:
    """Add `--format`; the command gets the `RecordFormat`, or None, as `record_format`."""

    def chosen(ctx: click.Context, param: click.Parameter, value: str | None) -> RecordFormat | None:
        try:
            return None if value is None else record_format(value)
        except (FormatError, ImportError) as error:
            raise click.BadParameter(str(error)) from None

    option = click.option(
        "--format", "record_format", callback=chosen, metavar="NAME", help=_HELP, shell_complete=_names
    )
    return option(command)


class Records:
    """Writes events to stdout in a format, and counts those that the format has no record for.

    Raises click.UsageError for what cannot be shown on a terminal, and beside another choice of `-o`.
    """

    def __init__(self, chosen: RecordFormat, output: str, *, terminal: bool) -> None:
        if output != "auto":
            raise click.UsageError(f"--format {chosen.name} and -o {output} each say what is written; give one of them")
        if terminal and chosen.media_type == PROTOBUF:
            raise click.UsageError(f"{chosen.name} is binary and no text for a terminal; send it into a file or a pipe")
        self._format, self._terminal = chosen, terminal
        self.left_out = 0
        self._reason = ""

    def write(self, event: Mapping[str, Any]) -> None:
        """Write the event's record; one that has none is left out, and counted."""
        try:
            record = self._format.render(dict(event))
        except Exception as error:  # RecordError, or a mistake of the format's: the other events are not its problem
            self.left_out += 1
            self._reason = self._reason or f"{error}"
            return
        if self._terminal:
            text = record.decode("utf-8", "backslashreplace")
            record = (printable_json if self._format.media_type.endswith("json") else printable)(text).encode()
        sys.stdout.buffer.write(framed(record, self._format.media_type))

    def what_is_missing(self) -> str | None:
        """Return the sentence that says what was left out, and why the first one was; None when nothing was."""
        if not self.left_out:
            return None
        events = "1 event was" if self.left_out == 1 else f"{self.left_out:,} events were"
        return f"{events} left out, for which {self._format.name} has no record: {self._reason}"


def _names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in RECORD_FORMATS if name.startswith(incomplete)]
