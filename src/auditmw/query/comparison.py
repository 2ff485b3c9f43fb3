"""The same question about the time before: the previous period, or the same days of an earlier week."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Generic, Literal, NamedTuple, TypeVar

from auditmw.query.scope import Scope

T = TypeVar("T")
Against = Literal["previous", "weekday"]
"""The period of the same length right before; or the same time of day on the same weekday, the least number of weeks
earlier that the two periods do not overlap."""

_WEEK = timedelta(weeks=1)


class Comparison(NamedTuple, Generic[T]):
    """The answers for a scope and for the time before, and the scope of the latter."""

    now: T
    before: T
    scope_before: Scope


def compare(
    question: Callable[[Scope], T], scope: Scope, *, against: Against = "previous", zone: tzinfo = UTC
) -> Comparison[T]:
    """Return what `question` answers for the scope, and for the time before it.

    `question`: such as ``lambda scope: summary(engine, scope)``. Each answer says for itself when it is partial. Raises
    ValueError when the scope has no start or no end.
    """
    earlier = scope_before(scope, against=against, zone=zone)
    return Comparison(question(scope), question(earlier), earlier)


def scope_before(scope: Scope, *, against: Against = "previous", zone: tzinfo = UTC) -> Scope:
    """Return the scope with the same query and the time before. Raises ValueError when it has no start or no end.

    "previous" are as many seconds before; "weekday" goes by the calendar and the clock of `zone`, so that nine o'clock
    is compared with nine o'clock also when clocks changed in between.
    """
    start, end = scope.start, scope.end
    if start is None or end is None:
        raise ValueError("expected a range with a start and an end to compare it with the time before")
    if start >= end:
        raise ValueError(f"expected a start before the end, not {start} and {end}")
    if against == "previous":
        return scope._replace(start=start - (end - start), end=start)
    if against != "weekday":
        raise ValueError(f"expected previous or weekday, not {against!r}")
    weeks = -(-(end - start) // _WEEK)
    return scope._replace(start=_weeks_before(start, weeks, zone), end=_weeks_before(end, weeks, zone))


def _weeks_before(moment: datetime, weeks: int, zone: tzinfo) -> datetime:
    return (moment.astimezone(zone) - weeks * _WEEK).astimezone(UTC)
