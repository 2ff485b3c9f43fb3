"""Units: whose events make up a journey, and the order in which they happened."""

from __future__ import annotations

from typing import Literal, get_args

Unit = Literal["session", "user", "person", "ip"]
"""Whose events belong together. `person`: the user, also before the login (stitching.py). `ip`: the address of the
client, for access logs that know neither users nor sessions."""


def unit_column(unit: str) -> str:
    """Return the column with the unit of an event, NULL where it has none. Raises ValueError for any other word."""
    if unit not in get_args(Unit):
        raise ValueError(f"expected a unit, one of {', '.join(get_args(Unit))}; not {unit!r}")
    return f'"{unit}"'


_MICROSECOND, _RANK, _LAST_RANK = 2**60, 2**40, 2**20 - 1

RANKS = """ranks AS MATERIALIZED (
        SELECT unnest(writers) AS writer, generate_subscripts(writers, 1) AS rank
        FROM (SELECT list(writer ORDER BY writer) AS writers FROM (SELECT DISTINCT writer FROM events)))"""
"""A common table expression, for `POSITION`. By way of a list, so that the planner takes it to be small and makes the
hash table of the join of it: of a mere DISTINCT it expects more rows than of the events behind a condition."""

POSITION = f"""(epoch_us(time) * {_MICROSECOND}::HUGEINT + least(rank, {_LAST_RANK})::HUGEINT * {_RANK} + seq)"""
"""SQL for where an event stands in the order of all that have a time: where its `time`, `writer` and `seq` are, behind
``JOIN ranks USING (writer)``.

Positions are integers: by time, at the same time by writer (of more than a million, the others tie), then by number.
``position >> 60`` is the time in microseconds since 1970. They are below 2^119 in magnitude: a HUGEINT has room for
eight bits more. Sorting them costs half as much as sorting by the three columns.
"""
