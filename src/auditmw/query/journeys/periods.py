"""Calendar periods in SQL: in which day, week or month of a time zone an event is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

from auditmw.query.buckets import Width, buckets
from auditmw.query.journeys.conditions import Sql
from auditmw.query.language.dialect import Dialect
from auditmw.query.question import Question

Length = Literal["hour", "day", "week", "month"]
"""How long a period is. Weeks begin on Monday."""

_WIDTHS: dict[Length, Width] = {"hour": "1h", "day": "1d", "week": "1w", "month": "1mo"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Period(NamedTuple):
    """From `start` on and before `end`, both in the zone that was asked for.

    `complete`: all of it is past, and in the range that was asked for.
    """

    start: datetime
    end: datetime
    complete: bool


class Calendar(NamedTuple):
    """The periods of a range, without gaps, and `number`: SQL for the number of the one that `time` is in.

    The number is 0 in the first period, -1 before it, and NULL behind the last one.
    """

    periods: tuple[Period, ...]
    number: Sql


def calendar(
    question: Question,
    length: Length,
    zone: tzinfo,
    *,
    at_most: int,
    first: datetime | None = None,
    now: datetime | None = None,
) -> Calendar | None:
    """Return the periods that a question is about; None when there are none, as there is no event before its end.

    They begin with that of `first`, else of the scope's start or the archive's first event, and end with that of the
    scope's end or of `now` (None is the present). Raises ValueError when they are more than `at_most`.
    """
    span = question.span()
    start = first or (span and span[0])
    if start is None:
        return None
    asked_from, asked_until = (
        moment and moment.replace(tzinfo=UTC) for moment in question.scope.bounds(question.scope.parsed())
    )
    now = now or datetime.now(UTC)
    end = asked_until or max(now, start + _MICROSECOND)
    if start >= end:
        return None
    edges = _edges(start, end, length, zone)
    if len(edges) > at_most + 1:
        raise ValueError(
            f"expected at most {at_most:,} periods: from {start:%Y-%m-%d} to {end:%Y-%m-%d} there are more; "
            "ask for a shorter time, or for longer periods"
        )
    known_from, known_until = first or asked_from or edges[0], min(now, end)
    spans = (
        Period(one.astimezone(zone), other.astimezone(zone), known_from <= one and other <= known_until)
        for one, other in pairwise(edges)
    )
    return Calendar(tuple(spans), _number(edges, question.dialect))


def period_start(moment: datetime, length: Length, zone: tzinfo) -> datetime:
    """Return when the period that a moment is in began."""
    return _edges(moment, moment + _MICROSECOND, length, zone)[0]


def check_length(length: str) -> None:
    """Raise ValueError when no period has this length."""
    if length not in get_args(Length):
        raise ValueError(f"expected a period, one of {', '.join(get_args(Length))}; not {length!r}")


def _edges(start: datetime, end: datetime, length: Length, zone: tzinfo) -> tuple[datetime, ...]:
    return buckets(start, end, _WIDTHS[length], zone).edges


def _number(edges: Sequence[datetime], dialect: Dialect) -> Sql:
    """Return SQL for the number of a period: a division, anew after each of another length (clocks change, months)."""
    moments = [(edge - _EPOCH) // _MICROSECOND for edge in edges]
    bound: dict[str, object] = {"edge_0": moments[0]}
    time = dialect.microseconds("time")
    cases = [f"WHEN {time} < $edge_0 THEN -1"]
    for number, (first, before, width) in enumerate(_runs(moments), start=1):
        bound |= {f"edge_{number}": moments[before], f"from_{number}": moments[first]}
        bound |= {f"first_{number}": first, f"width_{number}": width}
        cases.append(
            f"WHEN {time} < $edge_{number} "
            f"THEN $first_{number} + {dialect.quotient(f'({time} - $from_{number})', f'$width_{number}')}"
        )
    return Sql(f"(CASE {' '.join(cases)} END)", bound)


def _runs(moments: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return the runs of periods of one width: the numbers of its first edge and of its last one, and the width."""
    runs: list[tuple[int, int, int]] = []
    for number, (first, before) in enumerate(pairwise(moments)):
        if runs and runs[-1][2] == before - first:
            runs[-1] = (runs[-1][0], number + 1, before - first)
        else:
            runs.append((number, number + 1, before - first))
    return runs
