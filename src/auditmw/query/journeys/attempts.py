"""The best attempt of each unit at a sequence of steps, as SQL.

The events of a unit are in order by time, at the same time by writer, then by number.

1. An attempt begins at an event that matches the first step. Each further step is taken by the first later event that
   matches it; strict: by the very next event of the unit, when that matches. An event takes one step at most.
2. A step counts when its event is at most `window` later than the attempt's first: at exactly that time it does.
3. The best attempt is the one with the most steps that count; of several, the one that began first.

Any start counts, so a unit that came in vain and came again is as good as one that came once.

How it is found. With the marks of a unit's events (position and steps, in one number) in a list, the earliest attempt
is one pass over the list for each step. It is the best one unless the window cuts steps off: a later attempt takes each
step at the same event or at a later one. Units that lost steps are looked at again, all at once. Whether an event can
be reached in time depends on the latest start that leads to it, which is that of the nearest earlier event of the step
before: an ASOF join for each step. The first event of the furthest step so reached says how early its attempt can have
begun, and the first start from there on is that of the best attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from auditmw.query.journeys.conditions import Sql
from auditmw.query.journeys.units import POSITION, RANKS

_TIME = 68  # mark >> 68: the time in microseconds
_STEPS = 2**8  # mark & 255: the steps that the event matches, one bit for each
_NEVER_CUTS = 2**59  # microseconds: more than between any two times from year 1 to 9999


def best_attempts(unit: str, steps: Sequence[Sql], *, strict: bool, window: timedelta | None) -> Sql:
    """Return common table expressions, the last of them `attempts`: unit, t1, t2, ..., one for each step.

    Of each unit with an event that matches the first step; times are in microseconds since 1970, NULL for the steps
    that it did not come to. `unit`: a column. The first of the expressions is `units.RANKS`.
    """
    marked = _marked(unit, steps, strict=strict)
    count = len(steps)
    found = _strict(count, window) if strict else _earliest(count) if window is None else _within(count)
    bound = {name: value for step in steps for name, value in step.bound.items()}
    if window is not None:
        bound["window"] = min(window // timedelta(microseconds=1), _NEVER_CUTS)
    times = ", ".join(f"(t{step} >> {_TIME})::BIGINT AS t{step}" for step in range(1, count + 1))
    return Sql(f"{RANKS}, {marked}, {found}, attempts AS MATERIALIZED (SELECT unit, {times} FROM best)", bound)


def _marked(unit: str, steps: Sequence[Sql], *, strict: bool) -> str:
    matches = " + ".join(
        f"CASE WHEN {step.text} THEN {_bit(number)} ELSE 0 END" for number, step in enumerate(steps, 1)
    )
    # Only a strict attempt looks at the events between. The condition stands before the join, and is no sum, so that
    # of what it leaves out little is read from the files.
    kept = "TRUE" if strict else " OR ".join(step.text for step in steps)
    return f"""marked AS (
        SELECT unit, {POSITION} * {_STEPS} + steps AS mark
        FROM (SELECT {unit} AS unit, time, writer, seq, {matches} AS steps FROM events
            WHERE {unit} IS NOT NULL AND time IS NOT NULL AND ({kept}))
        JOIN ranks USING (writer))"""


def _bit(step: int) -> int:
    return 1 << (step - 1)


def _columns(count: int) -> str:
    return ", ".join(f"t{step}" for step in range(1, count + 1))


_JOURNEYS = "journeys AS (SELECT unit, {marks} AS marks FROM marked GROUP BY unit)"


def _chain(source: str, count: int, first: str) -> str:
    """Return SQL for the attempt that begins at the first start in `marks` for which the condition `first` holds."""
    source = f"(SELECT * FROM (SELECT *, {_taken(1, first)} AS t1 FROM {source}) WHERE t1 IS NOT NULL)"
    for step in range(2, count + 1):
        source = f"(SELECT *, {_taken(step, f'mark > t{step - 1}')} AS t{step} FROM {source})"
    return source


def _taken(step: int, condition: str) -> str:
    return f"list_min(list_filter(marks, lambda mark: mark & {_bit(step)} > 0 AND {condition}))"


def _earliest(count: int) -> str:
    return f"""{_JOURNEYS.format(marks="list(mark)")},
    best AS (SELECT unit, {_columns(count)} FROM {_chain("journeys", count, "TRUE")})"""


def _within(count: int) -> str:
    in_time = ", ".join(
        f"CASE WHEN (t{step} >> {_TIME}) - (t1 >> {_TIME}) <= $window THEN t{step} END AS t{step}"
        for step in range(2, count + 1)
    )
    # What is kept of a unit that is done are its times only; in the joins it has a number in place of its name.
    return f"""{_JOURNEYS.format(marks="list(mark)")},
    earliest AS MATERIALIZED (
        SELECT * REPLACE (CASE WHEN NOT uncut THEN marks END AS marks), row_number() OVER () AS number
        FROM (SELECT *, (greatest({_columns(count)}) >> {_TIME}) - (t1 >> {_TIME}) <= $window AS uncut
            FROM {_chain("journeys", count, "TRUE")})),
    cut AS (SELECT number, unnest(marks) AS mark FROM earliest WHERE NOT uncut),
    {_reached(count)},
    retried AS (
        SELECT unit, marks, since FROM (SELECT unit, marks, number FROM earliest WHERE NOT uncut)
        JOIN furthest USING (number)),
    best AS (
        SELECT unit, {_columns(count)} FROM earliest WHERE uncut
        UNION ALL SELECT unit, t1, {in_time} FROM {_chain("retried", count, "mark >= since")})"""


def _reached(count: int) -> str:
    """Return SQL for the events of each step that an attempt can reach in time, each with the latest start."""
    started = f"""reached_1 AS MATERIALIZED (
        SELECT number, mark, (mark >> {_TIME})::BIGINT AS start FROM cut WHERE mark & 1 > 0)"""
    followed = (
        f"""reached_{step} AS MATERIALIZED (
        SELECT here.number, here.mark, before.start
        FROM (SELECT number, mark FROM cut WHERE mark & {_bit(step)} > 0) AS here
        ASOF JOIN reached_{step - 1} AS before ON here.number = before.number AND here.mark > before.mark
        WHERE (here.mark >> {_TIME}) - before.start <= $window)"""
        for step in range(2, count + 1)
    )
    ends = " UNION ALL ".join(
        f"SELECT number, {step} AS step, min(mark) AS mark FROM reached_{step} GROUP BY number"
        for step in range(1, count + 1)
    )
    return f"""{", ".join((started, *followed))},
    furthest AS (
        SELECT number, ((arg_max(mark, step) >> {_TIME}) - $window) * {2**_TIME}::HUGEINT AS since
        FROM ({ends}) GROUP BY number)"""


def _strict(count: int, window: timedelta | None) -> str:
    """Return SQL that looks at each start and the events right behind it."""
    shifted = ", ".join("marks" if step == 1 else f"marks[{step}:]" for step in range(1, count + 1))
    in_time = "" if window is None else f" AND (run[{{step}}] >> {_TIME}) - (t1 >> {_TIME}) <= $window"
    source = "(SELECT unit, run, run[1] AS t1 FROM runs WHERE run[1] & 1 > 0)"
    for step in range(2, count + 1):
        taken = f"run[{step}] & {_bit(step)} > 0 AND t{step - 1} IS NOT NULL" + in_time.format(step=step)
        source = f"(SELECT *, CASE WHEN {taken} THEN run[{step}] END AS t{step} FROM {source})"
    steps = " + ".join(f"(t{step} IS NOT NULL)::INTEGER" for step in range(1, count + 1))
    columns = ", ".join(f"attempt[{step + 1}] AS t{step}" for step in range(1, count + 1))
    return f"""{_JOURNEYS.format(marks="list_sort(list(mark))")},
    runs AS (SELECT unit, unnest(list_zip({shifted})) AS run FROM journeys),
    best AS (
        SELECT unit, {columns}
        FROM (SELECT unit, min(row(-({steps}), {_columns(count)})) AS attempt FROM {source} GROUP BY unit))"""
