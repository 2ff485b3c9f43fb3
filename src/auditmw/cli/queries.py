"""Queries on the command line: parsed, and where they have an error, shown with a mark below it."""

from __future__ import annotations

from collections.abc import Iterable

import click

from auditmw.cli.output import Output
from auditmw.cli.printable import printable
from auditmw.query.language import Query, parse
from auditmw.query.partial import QueryError


def parsed(text: str, shown: Output) -> Query:
    """Return the query that `text` is; where it has errors, show each below its place, and end with a usage error."""
    query = parse(text, zone=shown.zone) if shown.zone else parse(text)
    if query.errors:
        raise click.UsageError(f"the query has an error\n{marks(text, query.errors)}")
    return query


def marks(text: str, errors: Iterable[QueryError]) -> str:
    """Return the text once for each error, with a mark below."""
    return "\n".join(marked(text, *error) for error in errors)


def marked(text: str, start: int, end: int, message: str) -> str:
    """Return the text with a mark below the characters from `start` to `end`, and what is wrong with them."""
    before, there = printable(text[:start]), printable(text[start:end])
    mark = " " * len(before) + "^" * max(1, len(there))
    return f"  {before}{there}{printable(text[end:])}\n  {mark} {printable(message)}"
