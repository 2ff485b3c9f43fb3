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


_MICROSECOND, _RANK, _LAST_RANK = 2**60, 2**40, 2**16 - 1

RANKS = f"""ranks AS MATERIALIZED (
        SELECT writer, row_number() OVER (ORDER BY writer) AS rank FROM (SELECT DISTINCT writer FROM events)
        LIMIT {_LAST_RANK})"""
"""A common table expression, for `POSITION`. LIMIT tells the planner that there are few writers, so that it makes a
hash table of them, and not of the events; of more writers than that, the others tie."""

POSITION = f"""(epoch_us(time) * {_MICROSECOND}::HUGEINT + coalesce(rank, {_LAST_RANK})::HUGEINT * {_RANK} + seq)"""
"""SQL for where an event stands in the order of all that have a time: where its `time`, `writer` and `seq` are, behind
``LEFT JOIN ranks USING (writer)``.

Positions are integers: by time, at the same time by writer, then by number. ``position >> 60`` is the time in
microseconds since 1970. They are below 2^119 in magnitude: a HUGEINT has room for eight bits more. Sorting them costs
half as much as sorting by the three columns.
"""
