"""What `auditmw import` says: how far it is, which lines it could not read, and in the end what came of every input."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import orjson
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from auditmw.cli.output import Output, Unreadable
from auditmw.cli.tables import Table
from auditmw.importing.chunks import Reject
from auditmw.importing.intake import Report

_REFRESH_SECONDS = 0.1
_SHOWN_CHARACTERS = 200  # of a reason
_COLUMNS = ("file", "format", "read", "imported", "already there", "rejected", "ignored")


class Counts(NamedTuple):
    """What came of one input, in lines; the names are those of the JSON."""

    file: str
    format: str | None
    read: int
    imported: int
    already_there: int
    rejected: int
    ignored: int
    incomplete_bytes: int
    seconds: float
    lines_per_second: int
    problem: str | None


def counts(report: Report, seconds: float) -> Counts:
    """Return the counts of a report, of an input that took so long."""
    return Counts(
        report.name,
        report.format,
        report.lines,
        report.imported,
        report.known,
        report.rejected,
        report.ignored,
        report.incomplete_bytes,
        round(seconds, 3),
        round(report.lines / seconds) if seconds else 0,
        report.problem,
    )


def show_summary(shown: Output, inputs: Sequence[Counts]) -> None:
    """Write what came of every input, and on a terminal their sum."""
    if shown.format not in ("table", "csv"):
        for each in inputs:
            shown.answer(each)
        return
    rows: list[tuple[Any, ...]] = [each[: len(_COLUMNS)] for each in inputs]
    if len(inputs) > 1 and shown.format == "table":
        rows.append(("all", "", *map(sum, list(zip(*rows, strict=True))[2:])))
    shown.answer(None, Table("", _COLUMNS, rows))


def tell_rejects(shown: Output, report: Report, rejects: RejectsFile) -> None:
    """Say how many lines of an input could not be read, and show the first ones."""
    if report.rejected:
        plural = "s were" if report.rejected > 1 else " was"
        where = f"all are in {rejects.path}" if rejects.path else "--rejects FILE keeps them all"
        shown.problem(f"{report.name}: {report.rejected:,} line{plural} rejected; {where}")
        for reject in report.first_rejects:
            shown.problem(f"  line {reject.line:,}: {reject.reason[:_SHOWN_CHARACTERS]}")
    if report.incomplete_bytes:
        told = f"the last line has no end yet: {report.incomplete_bytes} bytes are left for the next run"
        shown.note(f"{report.name}: {told}")


class RejectsFile:
    """Keeps rejected lines, one JSON object each, at the end of a file; of no file where `path` is None.

    A line longer than the bound is kept by its beginning. Raises Unreadable when the file cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._fd: int | None = None
        if path is not None:
            try:
                # For the owner alone: what could not be parsed could not be redacted.
                self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise Unreadable(f"cannot write to {path}: {error.strerror}") from error

    def __call__(self, report: Report, reject: Reject) -> None:
        """Keep a line. Raises OSError when it cannot be written."""
        if self._fd is None:
            return
        line: dict[str, Any] = {"file": report.name, "line": reject.line, "offset": reject.offset}
        line["reason"] = reject.reason
        try:
            line["raw"] = reject.raw.decode()
        except UnicodeDecodeError:
            line["raw_b64"] = base64.b64encode(reject.raw).decode("ascii")
        data = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
        while data:
            data = data[os.write(self._fd, data) :]

    def close(self) -> None:
        """Let go of the file."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class ImportProgress:
    """A bar on a terminal: how far all inputs are, how many lines per second, how long it will take. Nothing elsewhere.

    `total_bytes`: None when a pipe is among the inputs.
    """

    def __init__(self, shown: Output, total_bytes: int | None, *, quiet: bool) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[lines]:,} lines, {task.fields[rate]:,}/s"),
            TimeRemainingColumn(),
            console=shown.errors,
            transient=True,
            auto_refresh=False,
            disable=quiet or not shown.errors.is_terminal,
        )
        self._task = self._progress.add_task("", total=total_bytes, lines=0, rate=0)
        self._began = time.monotonic()
        self._refresh_at = self._began
        self._done_bytes = self._done_lines = 0

    def __call__(self, report: Report, position_bytes: int) -> None:
        """Show how far the input of this report is."""
        now = time.monotonic()
        if now < self._refresh_at:
            return
        self._refresh_at = now + _REFRESH_SECONDS
        lines = self._done_lines + report.lines
        self._progress.update(
            self._task,
            description=os.path.basename(report.name),
            completed=self._done_bytes + position_bytes,
            lines=lines,
            rate=round(lines / max(now - self._began, 0.001)),
        )
        self._progress.refresh()

    def done(self, report: Report, position_bytes: int) -> None:
        """Go on to the next input."""
        self._done_bytes += position_bytes
        self._done_lines += report.lines

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()
