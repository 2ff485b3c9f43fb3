"""Conversion over time: how many reached a goal, of how many who could have, in each hour, day, week or month.

    signups = conversion(engine, "event:user_signed_up", scope, unit="session", breakdown="referrer.host")

1. By units (sessions, users, persons, clients): the base of a period is the units with an event in it that matches
   `base`; converted are those of them with an event that matches `goal` in the same period. Of the whole range it is
   the same, with the range as one period: a unit counts there once, so that periods do not add up to it.
2. By events: the base is the events that match `base`; converted are those that match `goal`, whichever they are.
3. A breakdown puts each unit into one segment, by the value that it first came with (firsttouch.py), so that the base
   is divided in the same way as what converted of it. By events it is the event's own value.

The scope holds for goal and base alike.
"""

from __future__ import annotations

from collections.abc import Hashable
from datetime import UTC, datetime, tzinfo
from typing import Literal, NamedTuple

from auditmw.query.engine import Engine
from auditmw.query.journeys.conditions import Sql, condition, condition_or_any
from auditmw.query.journeys.firsttouch import field_value, first_touch
from auditmw.query.journeys.periods import Length, Period, calendar, check_length
from auditmw.query.journeys.units import Unit, ranks, unit_column
from auditmw.query.language import Query
from auditmw.query.language.dialect import Dialect
from auditmw.query.partial import Partial
from auditmw.query.question import Question, Row
from auditmw.query.scope import EVERYTHING, Scope

MAX_PERIODS = 2_000


class Rate(NamedTuple):
    """How many converted of how many; `goals`: how many events match the goal, also of units outside of the base."""

    base: int = 0
    converted: int = 0
    goals: int = 0

    @property
    def share(self) -> float | None:
        """What part of the base converted; None of nobody."""
        return self.converted / self.base if self.base else None


class Series(NamedTuple):
    """A rate for the whole range and for each of its periods.

    `value`: what its units first came with, None for those without; `rest`: those with any less frequent value.
    """

    value: str | None
    rest: bool
    overall: Rate
    rates: tuple[Rate, ...]


class Conversion(NamedTuple):
    """Rates over time: of all, and by segments, those with the biggest base first, where there is a breakdown.

    `without_unit`: how many events match the goal but belong to no unit, so that they are in no rate.
    """

    periods: tuple[Period, ...]
    total: Series
    segments: tuple[Series, ...]
    without_unit: int
    partial: Partial | None


def conversion(
    engine: Engine,
    goal: Query | str,
    scope: Scope = EVERYTHING,
    *,
    base: Query | str | None = None,
    unit: Unit | Literal["event"] = "session",
    period: Length = "day",
    zone: tzinfo = UTC,
    breakdown: str | None = None,
    top: int = 10,
    now: datetime | None = None,
    time_limit_seconds: float | None = None,
    token: Hashable = None,
) -> Conversion:
    """Return how many reached the goal, of how many, in each period of the scope's range.

    `goal`, `base`: queries; the base None is every event. `breakdown`: a field, of which the `top` most frequent values
    are segments, and all others one. A range without an end goes to `now` (a time with its zone; None is the present).
    Raises UnusableQueryError for a query that is empty or has errors, ValueError for an unknown unit, period or field,
    and for more than 2,000 periods.
    """
    if top < 1:
        raise ValueError(f"expected at least one segment, not {top!r}")
    asked = _Asked(
        None if unit == "event" else unit_column(unit),
        condition(goal, "goal", "goal", engine.dialect),
        condition_or_any(base, "base", "base", engine.dialect),
        breakdown,
        top,
    )
    if breakdown is not None:
        field_value(breakdown, engine.dialect)
    check_length(period)

    def answer(question: Question) -> Conversion:
        span = calendar(question, period, zone, now=now, at_most=MAX_PERIODS)
        if span is None:
            return Conversion((), Series(None, False, Rate(), ()), (), 0, question.partial)
        total, *segments = _series(question.whole(*_rates(asked, span.number, engine.dialect)), len(span.periods))
        left_out = question.whole(*_without_unit(asked)) if asked.unit else []
        return Conversion(span.periods, total, tuple(segments), left_out[0][0] if left_out else 0, question.partial)

    stitched = unit == "person"
    return engine.ask(answer, scope, stitched=stitched, time_limit_seconds=time_limit_seconds, token=token)


class _Asked(NamedTuple):
    """What to count, and whom: the column of the unit, None for events."""

    unit: str | None
    goal: Sql
    base: Sql
    breakdown: str | None
    top: int


def _rates(asked: _Asked, number: Sql, dialect: Dialect) -> tuple[str, dict[str, object]]:
    """Return a statement whose rows are: whether of all, value, rest, period (NULL: all of them), and the rate."""
    counted = _of_units(asked, asked.unit, number, dialect) if asked.unit else _of_events(asked, number, dialect)
    bound = {**counted.bound, **asked.goal.bound, **asked.base.bound, **number.bound}
    sums = "period, sum(base), sum(converted), sum(goals)"
    if asked.breakdown is None:
        return f"WITH {counted.text} SELECT TRUE, NULL, FALSE, {sums} FROM counted GROUP BY period", bound
    text = f"""WITH {counted.text},
    sizes AS (
        SELECT value, row_number() OVER (ORDER BY sum(base) DESC, value) > $top AS rest
        FROM counted WHERE period IS NULL GROUP BY value),
    told AS (
        SELECT counted.* REPLACE (CASE WHEN NOT rest THEN counted.value END AS value), rest
        FROM counted JOIN sizes ON counted.value IS NOT DISTINCT FROM sizes.value)
    SELECT grouping(rest) = 1, value, rest, {sums} FROM told GROUP BY GROUPING SETS ((value, rest, period), (period))"""
    return text, {**bound, "top": asked.top}


def _of_units(asked: _Asked, unit: str, number: Sql, dialect: Dialect) -> Sql:
    """Return common table expressions, the last of them `counted`: a row for each unit in each period and in all."""
    touches = None if asked.breakdown is None else first_touch(unit, asked.breakdown, "activity", dialect)
    activity = f"""activity {dialect.ONCE} (
        SELECT unit, period, count(*) FILTER (WHERE based) > 0 AS based, count(*) FILTER (WHERE goal) AS goals
        FROM (SELECT {unit} AS unit, {number.text} AS period, {asked.base.text} AS based, {asked.goal.text} AS goal
            FROM events)
        WHERE unit IS NOT NULL AND period >= 0 AND (based OR goal) GROUP BY unit, period)"""
    counted = """
        SELECT unit, period, based::INTEGER AS base, (based AND goals > 0)::INTEGER AS converted, goals
        FROM (SELECT * FROM activity
            UNION ALL SELECT unit, NULL, max(based), sum(goals) FROM activity GROUP BY unit)"""
    if touches is None:
        return Sql(f"{activity}, counted AS ({counted})")
    return Sql(
        f"""{ranks(dialect)}, {activity}, {touches.text},
        counted {dialect.ONCE} (SELECT * FROM ({counted}) LEFT JOIN touches USING (unit))""",
        touches.bound,
    )


def _of_events(asked: _Asked, number: Sql, dialect: Dialect) -> Sql:
    """Return the same for events: a row for each value in each period and in all."""
    value = Sql(dialect.NO_TEXT) if asked.breakdown is None else field_value(asked.breakdown, dialect)
    text = f"""activity {dialect.ONCE} (
        SELECT value, period, count(*) FILTER (WHERE based) AS base, count(*) FILTER (WHERE goal) AS goals
        FROM (SELECT {value.text} AS value, {number.text} AS period, {asked.base.text} AS based,
            {asked.goal.text} AS goal FROM events)
        WHERE period >= 0 AND (based OR goal) GROUP BY value, period),
    counted {dialect.ONCE} (
        SELECT value, period, base, goals AS converted, goals FROM activity
        UNION ALL SELECT value, NULL, sum(base), sum(goals), sum(goals) FROM activity GROUP BY value)"""
    return Sql(text, value.bound)


def _without_unit(asked: _Asked) -> tuple[str, dict[str, object]]:
    condition = f"{asked.unit} IS NULL AND time IS NOT NULL AND {asked.goal.text}"
    return f"SELECT count(*) FROM events WHERE {condition}", asked.goal.bound


def _series(rows: list[Row], count: int) -> list[Series]:
    """Return the series of all, and those of the segments, which begin with the biggest base; the rest is the last."""
    found: dict[tuple[bool, str | None, bool], dict[int | None, Rate]] = {(True, None, False): {}}
    for everything, value, rest, period, *rate in rows:
        found.setdefault((everything, value, bool(rest)), {})[period] = Rate(*map(int, rate))
    series = {
        key: Series(
            key[1], key[2], rates.get(None, Rate()), tuple(rates.get(number, Rate()) for number in range(count))
        )
        for key, rates in found.items()
    }
    total = series.pop((True, None, False))
    return [total, *sorted(series.values(), key=lambda one: (one.rest, -one.overall.base, one.value or ""))]
