"""Funnels: how many came through a sequence of steps, where the others stayed, and who they are.

What counts as coming through is said in attempts.py: each unit counts once, with its best attempt.

    signup = FunnelDefinition(
        ("path:/pricing", "path:/signup method:POST", "event:user_signed_up"),
        window=timedelta(days=1),
        breakdown="query.utm_source",
    )
    found = funnel(engine, signup, scope)
    lost = funnel_units(engine, signup, scope, step=2, outcome="dropped")
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple, get_args

from auditmw.query.cursor import Key, from_cursor, to_cursor
from auditmw.query.engine import Engine
from auditmw.query.journeys.attempts import best_attempts
from auditmw.query.journeys.conditions import Sql, condition
from auditmw.query.journeys.firsttouch import field_value, first_touch
from auditmw.query.journeys.units import Unit, unit_column
from auditmw.query.language import Query
from auditmw.query.language.dialect import DUCKDB, Dialect
from auditmw.query.partial import Partial
from auditmw.query.question import Question
from auditmw.query.scope import EVERYTHING, Scope

Outcome = Literal["reached", "dropped"]
"""Of the units at a step: all that came so far, or those that came no further."""

MAX_STEPS = 8
PAGE_LIMIT = 10_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class FunnelDefinition:
    """What to come through: 2 to 8 steps, in this order.

    `unit`: who comes through. `strict`: a step must be the very next event of the unit in the scope; else others may
    come between. `window`: how long after the first step the others count; None: as long as the scope. `breakdown`: a
    field by whose first value the units are told apart (firsttouch.py).

    Raises UnusableQueryError for a step that is empty or has errors; ValueError for a wrong number of steps, a window
    that is not positive, an unknown unit or field.
    """

    steps: Sequence[Query | str]
    unit: Unit = "session"
    strict: bool = False
    window: timedelta | None = None
    breakdown: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.steps, str) or not 2 <= len(self.steps) <= MAX_STEPS:
            number = 1 if isinstance(self.steps, str) else len(self.steps)
            raise ValueError(f"expected from 2 to {MAX_STEPS} steps, not {number}")
        if self.window is not None and self.window <= timedelta():
            raise ValueError(f"expected a window of some time, not {self.window!r}")
        unit_column(self.unit)
        if self.breakdown is not None:
            field_value(self.breakdown, DUCKDB)
        self.conditions(DUCKDB)

    def conditions(self, dialect: Dialect) -> list[Sql]:
        """Return the steps as conditions."""
        return [
            condition(step, f"step {number}", f"step_{number}", dialect) for number, step in enumerate(self.steps, 1)
        ]


class Step(NamedTuple):
    """One step of a funnel.

    `units` came so far, and `dropped` of them no further (none at the last step). `overall` is their share of those at
    the first step, `conversion` of those at the step before; None where there was nobody. `median_seconds`: from the
    step before; None at the first step, and of nobody.
    """

    units: int
    dropped: int
    overall: float | None
    conversion: float | None
    median_seconds: float | None


class Segment(NamedTuple):
    """The units that first came with one value, None for those without; `rest`: those with any less frequent value."""

    value: str | None
    rest: bool
    steps: tuple[Step, ...]


class Funnel(NamedTuple):
    """How many units came how far: altogether, and by segments, the biggest first, where there is a breakdown.

    `without_unit`: how many events match the first step but belong to no unit, so that they are not in the numbers.
    """

    steps: tuple[Step, ...]
    segments: tuple[Segment, ...]
    without_unit: int
    partial: Partial | None


class Attempt(NamedTuple):
    """The best attempt of one unit: when it took each of its steps, in UTC."""

    unit: str
    times: tuple[datetime, ...]


class AttemptPage(NamedTuple):
    """Some units, those whose attempts began last first; `next` is the cursor to go on with, None at the end."""

    attempts: tuple[Attempt, ...]
    next: str | None
    partial: Partial | None


def funnel(
    engine: Engine,
    definition: FunnelDefinition,
    scope: Scope = EVERYTHING,
    *,
    top: int = 10,
    time_limit_seconds: float | None = None,
    token: Hashable = None,
) -> Funnel:
    """Return how many units came how far, by the events in the scope; of a breakdown the `top` most frequent values."""
    if top < 1:
        raise ValueError(f"expected at least one segment, not {top!r}")
    counts = _counts(definition, engine.dialect, top)

    def answer(question: Question) -> Funnel:
        rows = question.whole(*counts)
        total, *segments = [Segment(value, bool(rest), _steps(numbers)) for _, value, rest, *numbers in rows] or [
            _nobody(definition)
        ]
        return Funnel(total.steps, tuple(segments), rows[0][0] if rows else 0, question.partial)

    stitched = definition.unit == "person"
    return engine.ask(answer, scope, stitched=stitched, time_limit_seconds=time_limit_seconds, token=token)


def funnel_units(
    engine: Engine,
    definition: FunnelDefinition,
    scope: Scope = EVERYTHING,
    *,
    step: int,
    outcome: Outcome = "reached",
    value: str | None = None,
    after: str | None = None,
    limit: int = 100,
    time_limit_seconds: float | None = None,
    token: Hashable = None,
) -> AttemptPage:
    """Return who came to a step (the first is 1), or to it and no further: all pages together are whom `funnel` counts.

    `value`: of the segment, where the definition has a breakdown. `after`: the cursor of the page before. Raises
    ValueError for a step, an outcome, a cursor or a limit that cannot be.
    """
    if not 1 <= step <= len(definition.steps):
        raise ValueError(f"expected a step from 1 to {len(definition.steps)}, not {step!r}")
    if outcome not in get_args(Outcome):
        raise ValueError(f"expected reached or dropped, not {outcome!r}")
    if not 1 <= limit <= PAGE_LIMIT:
        raise ValueError(f"expected a limit from 1 to {PAGE_LIMIT:,}, not {limit!r}")
    place = None if after is None else from_cursor(after)
    statement = _page(definition, engine.dialect, _kept(definition, step, outcome, value), place, limit)

    def answer(question: Question) -> AttemptPage:
        rows = question.whole(*statement)
        attempts = tuple(
            Attempt(unit, tuple(_moment(time) for time in times if time is not None)) for unit, *times in rows
        )
        following = to_cursor(_place(attempts[limit - 1])) if len(attempts) > limit else None
        return AttemptPage(attempts[:limit], following, question.partial)

    stitched = definition.unit == "person"
    return engine.ask(answer, scope, stitched=stitched, time_limit_seconds=time_limit_seconds, token=token)


def _attempts(definition: FunnelDefinition, dialect: Dialect) -> Sql:
    """Return common table expressions, the last of them `segmented`: unit, t1, ..., value."""
    column = unit_column(definition.unit)
    steps = definition.conditions(dialect)
    attempts = best_attempts(column, steps, dialect, strict=definition.strict, window=definition.window)
    if definition.breakdown is None:
        segmented = f"segmented {dialect.IN_PLACE} (SELECT *, {dialect.NO_TEXT} AS value FROM attempts)"
        return Sql(f"{attempts.text}, {segmented}", attempts.bound)
    touches = first_touch(column, definition.breakdown, "attempts", dialect)
    text = f"""{attempts.text}, {touches.text},
    segmented {dialect.ONCE} (SELECT attempts.*, value FROM attempts LEFT JOIN touches USING (unit))"""
    return Sql(text, attempts.bound | touches.bound)


def _counts(definition: FunnelDefinition, dialect: Dialect, top: int) -> tuple[str, dict[str, object]]:
    """Return a statement whose rows are left out, value, rest, counts, medians: first of all units, then of segments.

    All in one statement, as whom events belong to is found out once for it.
    """
    attempts, last = _attempts(definition, dialect), len(definition.steps)
    left_out = _without_unit(definition, dialect)
    counts = ", ".join(f"count(t{step})" for step in range(1, last + 1))
    medians = ", ".join(f"{dialect.median(f't{step} - t{step - 1}')} / 1e6" for step in range(2, last + 1))
    if definition.breakdown is None:
        return (
            f"WITH {attempts.text} SELECT ({left_out}), NULL, FALSE, {counts}, {medians} FROM segmented",
            attempts.bound,
        )
    text = f"""WITH {attempts.text},
    sizes AS (
        SELECT value, row_number() OVER (ORDER BY count(*) DESC, value) > $top AS rest FROM segmented GROUP BY value),
    told AS (
        SELECT segmented.* REPLACE (CASE WHEN NOT rest THEN segmented.value END AS value), rest
        FROM segmented JOIN sizes ON segmented.value IS NOT DISTINCT FROM sizes.value)
    SELECT ({left_out}), value, rest, {counts}, {medians} FROM told GROUP BY GROUPING SETS ((value, rest), ())
    ORDER BY grouping(rest) DESC, rest, count(*) DESC, value"""
    return text, {**attempts.bound, "top": top}


def _steps(numbers: Sequence[Any]) -> tuple[Step, ...]:
    """Return the steps for the counts of all steps, followed by the medians from the second one on."""
    count = (len(numbers) + 1) // 2
    counts, medians = numbers[:count], [None, *numbers[count:]]
    return tuple(
        Step(
            units=units,
            dropped=units - following,
            overall=units / counts[0] if counts[0] else None,
            conversion=units / before if before else None,
            median_seconds=median,
        )
        for before, units, following, median in zip(
            [counts[0], *counts], counts, [*counts[1:], counts[-1]], medians, strict=False
        )
    )


def _nobody(definition: FunnelDefinition) -> Segment:
    count = len(definition.steps)
    return Segment(None, False, _steps([0] * count + [None] * (count - 1)))


def _without_unit(definition: FunnelDefinition, dialect: Dialect) -> str:
    """Return a statement that counts the events at the first step that belong to no unit; it binds what that does."""
    nobody, first = f"{unit_column(definition.unit)} IS NULL", definition.conditions(dialect)[0]
    return f"SELECT count(*) FROM events WHERE {nobody} AND time IS NOT NULL AND {first.text}"


def _kept(definition: FunnelDefinition, step: int, outcome: Outcome, value: str | None) -> Sql:
    """Return the condition for the attempts of one number of the funnel."""
    reached = f"t{step} IS NOT NULL"
    if outcome == "dropped":
        reached += f" AND t{step + 1} IS NULL" if step < len(definition.steps) else " AND FALSE"
    if definition.breakdown is None:
        return Sql(reached)
    return Sql(f"{reached} AND value IS NOT DISTINCT FROM $value", {"value": value})


def _page(
    definition: FunnelDefinition, dialect: Dialect, kept: Sql, after: Key | None, limit: int
) -> tuple[str, dict[str, object]]:
    attempts = _attempts(definition, dialect)
    times = ", ".join(f"t{step}" for step in range(1, len(definition.steps) + 1))
    bound = {**attempts.bound, **kept.bound, "limit": limit + 1}
    behind = "TRUE"
    if after is not None and after.time is not None:
        behind = "(t1 < $start OR t1 = $start AND unit > $unit)"
        bound |= {"start": (after.time.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND, "unit": after.writer}
    text = f"""WITH {attempts.text} SELECT unit, {times} FROM segmented
    WHERE {kept.text} AND {behind} ORDER BY t1 DESC, unit LIMIT $limit"""
    return text, bound


def _place(attempt: Attempt) -> Key:
    """Return the place of an attempt in the list: its start and its unit, of which no two have both in common."""
    return Key(attempt.times[0].replace(tzinfo=None), attempt.unit, 0)


def _moment(microseconds: int) -> datetime:
    return _EPOCH + microseconds * _MICROSECOND
