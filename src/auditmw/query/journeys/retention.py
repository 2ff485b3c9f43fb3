"""Retention: who came back. A matrix of cohorts and periods.

A cohort is the units that began in one period; its cell for n periods later counts those of them that returned then.

1. Who began: the unit's first event that matches `start`, the first ever in the archive and not only in the range; or,
   with `first_time` off, every period in which it has such an event, so that a unit may be in several cohorts.
2. Who returned n periods later: has an event in that period that matches `returning`, and that is not before the
   cohort's first event of the unit. Where both queries are the same, everybody returned after no period.
3. Periods are those of the calendar in a time zone: a day in which the clocks change has 23 or 25 hours. The first one
   is counted as a whole, also where the range begins within it.

The scope's query holds for all of this. A time in it, unlike the range, also limits what is the first event ever.
"""

from __future__ import annotations

from collections.abc import Hashable
from datetime import UTC, datetime, tzinfo
from typing import NamedTuple

from auditmw.query.engine import Engine
from auditmw.query.journeys.conditions import Sql, condition_or_any
from auditmw.query.journeys.periods import Length, Period, calendar, check_length, period_start
from auditmw.query.journeys.units import Unit, unit_column
from auditmw.query.language import Query
from auditmw.query.language.dialect import Dialect
from auditmw.query.partial import Partial
from auditmw.query.question import Question, Row
from auditmw.query.scope import EVERYTHING, Scope

MAX_PERIODS = 400


class Cell(NamedTuple):
    """How many of a cohort returned in one period, and their share of it: None of nobody.

    `complete` is False while there is more of the period to come, or where the range ends within it.
    """

    units: int
    share: float | None
    complete: bool


class Cohort(NamedTuple):
    """The units that began in one period: how many, and for no, one, two, ... periods later, who returned."""

    period: Period
    units: int
    cells: tuple[Cell, ...]


class Retention(NamedTuple):
    """The cohorts, the oldest first: one for each period of the range, also where nobody began.

    `without_unit`: how many events that match `start` belong to no unit, and so are in no cohort.
    """

    cohorts: tuple[Cohort, ...]
    without_unit: int
    partial: Partial | None


def retention(
    engine: Engine,
    scope: Scope = EVERYTHING,
    *,
    start: Query | str | None = None,
    returning: Query | str | None = None,
    unit: Unit = "user",
    first_time: bool = True,
    period: Length = "day",
    zone: tzinfo = UTC,
    now: datetime | None = None,
    time_limit_seconds: float | None = None,
    token: Hashable = None,
) -> Retention:
    """Return who began in each period of the scope's range, and who of them returned, until its end.

    `start`, `returning`: queries; None is any event. A range without bounds is from the archive's first event up to
    `now` (a time with its zone; None is the present). Raises UnusableQueryError for a query that is empty or has
    errors, ValueError for an unknown unit or period, and for more than 400 periods.
    """
    asked = _Asked(
        unit_column(unit),
        condition_or_any(start, "start", "start", engine.dialect),
        condition_or_any(returning, "returning", "returning", engine.dialect),
    )
    check_length(period)
    scope.bounds(scope.parsed())  # raises for a time without its zone
    first = scope.start and period_start(scope.start, period, zone)

    def answer(question: Question) -> Retention:
        span = calendar(question, period, zone, first=first, now=now, at_most=MAX_PERIODS)
        if span is None:
            return Retention((), 0, question.partial)
        rows = question.whole(*_matrix(asked, span.number, engine.dialect, first_time=first_time))
        left_out = question.whole(*_without_unit(asked, span.number))
        return Retention(_cohorts(rows, span.periods), left_out[0][0] if left_out else 0, question.partial)

    scope = scope._replace(start=None if first_time else first)
    stitched = unit == "person"
    return engine.ask(answer, scope, stitched=stitched, time_limit_seconds=time_limit_seconds, token=token)


class _Asked(NamedTuple):
    unit: str
    starts: Sql
    returns: Sql

    @property
    def bound(self) -> dict[str, object]:
        return self.starts.bound | self.returns.bound


def _matrix(asked: _Asked, number: Sql, dialect: Dialect, *, first_time: bool) -> tuple[str, dict[str, object]]:
    """Return a statement whose rows are cohort, periods later, units; NULL periods later for the cohort itself.

    A unit has one row for each period in which it did anything, and in the end two lists: of the periods in which it
    began, and of those in which it returned, each with whether that was (also) after it began in the same period.
    """
    began = dialect.listed("period", "began IS NOT NULL")
    if first_time:
        began = "[min(period) FILTER (WHERE began IS NOT NULL)]"
    returned = dialect.listed(dialect.row("period", "returned >= began"), "returned IS NOT NULL")
    period, again = dialect.part("came", 1), dialect.part("came", 2)
    text = f"""WITH activity AS (
        SELECT unit, period, min(time) FILTER (WHERE starts) AS began, max(time) FILTER (WHERE returns) AS returned
        FROM (SELECT {asked.unit} AS unit, time, {number.text} AS period,
            {asked.starts.text} AS starts, {asked.returns.text} AS returns FROM events)
        WHERE unit IS NOT NULL AND period IS NOT NULL AND (starts OR returns) GROUP BY unit, period),
    journeys {dialect.ONCE} (SELECT {began} AS cohorts, {returned} AS returns FROM activity GROUP BY unit),
    members AS (
        SELECT cohort, returns FROM {dialect.unnested("journeys", {"cohort": "cohorts"}, "returns, ")}
        WHERE cohort >= 0)
    SELECT cohort, NULL, count(*) FROM members GROUP BY cohort
    UNION ALL
    SELECT cohort, {period} - cohort, count(*) FROM {dialect.unnested("members", {"came": "returns"}, "cohort, ")}
    WHERE {period} > cohort OR {period} = cohort AND {again} GROUP BY ALL"""
    return text, asked.bound | number.bound


def _without_unit(asked: _Asked, number: Sql) -> tuple[str, dict[str, object]]:
    condition = f"{asked.unit} IS NULL AND {number.text} >= 0 AND {asked.starts.text}"
    return f"SELECT count(*) FROM events WHERE {condition}", asked.starts.bound | number.bound


def _cohorts(rows: list[Row], spans: tuple[Period, ...]) -> tuple[Cohort, ...]:
    counts = {(cohort, later): units for cohort, later, units in rows}
    cohorts = []
    for first, period in enumerate(spans):
        size = counts.get((first, None), 0)
        returned = [counts.get((first, later), 0) for later in range(len(spans) - first)]
        cells = (
            Cell(units, units / size if size else None, span.complete)
            for units, span in zip(returned, spans[first:], strict=True)
        )
        cohorts.append(Cohort(period, size, tuple(cells)))
    return tuple(cohorts)
