"""What a command works on, as its first argument: an audit directory, or a place of events that can be asked."""

from __future__ import annotations

from pathlib import Path

import click

from auditmw.cli.printable import printable
from auditmw.places import DATABASES, Place, scheme_of, shown


def directory(ctx: click.Context, param: click.Parameter, value: str | None) -> Path | None:
    """Return the path of an audit directory, if one is given; a URL is refused, as there are no files to work on."""
    if value is None:
        return None
    if scheme_of(value) in DATABASES:
        told = printable(shown(value))
        raise click.BadParameter(f"this works on the files of an audit directory, and {told} is a database")
    return Path(value)


def _place(ctx: click.Context, param: click.Parameter, value: str) -> Place:
    try:
        return Place(value)
    except ValueError as error:
        raise click.BadParameter(printable(str(error))) from None


_PATH = click.Path(readable=False)

directory_argument = click.argument("directory", type=_PATH, callback=directory)
place_argument = click.argument("place", metavar="DIRECTORY", type=_PATH, callback=_place)
