"""Units: whose events make up a journey, and the order in which they happened."""

from __future__ import annotations

from typing import Literal, get_args

from auditmw.query.language.dialect import Dialect

Unit = Literal["session", "user", "person", "ip"]
"""Whose events belong together. `person`: the user, also before the login (stitching.py). `ip`: the address of the
client, for access logs that know neither users nor sessions."""


def unit_column(unit: str) -> str:
    """Return the column with the unit of an event, NULL where it has none. Raises ValueError for any other word."""
    if unit not in get_args(Unit):
        raise ValueError(f"expected a unit, one of {', '.join(get_args(Unit))}; not {unit!r}")
    return f'"{unit}"'


_MICROSECOND, _RANK, _LAST_RANK = 2**60, 2**40, 2**20 - 1


def ranks(dialect: Dialect) -> str:
    """Return a common table expression, for `position`: the writers of the events, and their places in order."""
    return dialect.ranks("events")


def position(dialect: Dialect) -> str:
    """Return SQL for where an event stands in the order of all that have a time.

    It stands where `time`, `writer` and `seq` of an event are, behind ``JOIN ranks USING (writer)``.

    Positions are integers: by time, at the same time by writer (of more than a million the others tie), then by number.
    ``position >> 60`` is the time in microseconds since 1970. They are below 2^119 in magnitude: an integer of 128 bits
    has room for eight bits more. Sorting them costs half as much as sorting by the three columns.
    """
    by_time = f"{dialect.microseconds('time')} * {_MICROSECOND}::{dialect.WIDE}"
    return f"({by_time} + least(rank, {_LAST_RANK})::{dialect.WIDE} * {_RANK} + seq)"
