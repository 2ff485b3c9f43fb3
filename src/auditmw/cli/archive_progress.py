"""How far archiving is, as a bar on the standard error where that is a terminal."""

from __future__ import annotations

from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from auditmw.archive.archiving import Progress as Archived
from auditmw.cli.output import Output


class ArchiveProgress:
    """Shows the bar from when it is first told of archiving, until that is over or the `with` statement ends."""

    def __init__(self, shown: Output) -> None:
        self._shown = shown
        self._bar: Progress | None = None

    def __call__(self, done: Archived | None) -> None:
        """Show how far it is; None when it is over."""
        if done is None:
            self._stop()
        elif self._shown.errors.is_terminal and not self._shown.quiet:
            bar = self._bar or self._start()
            told = f"archiving, {done.rows:,} events"
            bar.update(bar.task_ids[0], completed=done.files, total=done.of_files, description=told)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop()

    def _start(self) -> Progress:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("files"),
            TimeElapsedColumn(),
        )
        self._bar = Progress(*columns, console=self._shown.errors, transient=True)
        self._bar.add_task("archiving", total=None)
        self._bar.start()
        return self._bar

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
