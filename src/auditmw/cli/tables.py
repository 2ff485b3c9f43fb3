"""Answers to questions as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from auditmw.cli.printable import printable

_NARROW = 26  # characters


class Table(NamedTuple):
    """Rows with a title; text is aligned left, numbers right, and None is left empty."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


class Share(float):
    """A fraction that people see in percent."""


class Bar(str):
    """A text that is cut rather than wrapped."""

    __slots__ = ()


def rich_table(table: Table) -> RichTable:
    """Return the table as a terminal shows it; every text is made printable."""
    shown = RichTable(title=printable(table.title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for index, name in enumerate(table.columns):
        values = [row[index] for row in table.rows]
        number = any(isinstance(value, int | float) for value in values)
        # Only long text is folded; a bar is cut.
        longest = max(map(len, [*map(_cell, values), *name.split()]), default=0)
        cut = any(isinstance(value, Bar) for value in values)
        shown.add_column(
            printable(name),
            justify="right" if number else "left",
            overflow="crop" if cut else "fold",
            no_wrap=cut,
            min_width=None if cut or longest > _NARROW else longest,
        )
    for row in table.rows:
        shown.add_row(*(Text(_cell(value)) for value in row))
    return shown


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Share):
        return f"{value:.1%}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return printable(str(value))
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
