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

Most events of a funnel match its first step only. Where hardly a unit will be looked at again, of these the first is
kept, and not a list.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import NamedTuple

from auditmw.query.journeys.conditions import Sql
from auditmw.query.journeys.units import position, ranks, unit_column
from auditmw.query.language.dialect import Dialect

_TIME = 68  # mark >> 68: the time in microseconds
_STEPS = 2**8  # mark & 255: the steps that the event matches, one bit for each
_LONG = timedelta(hours=12)
_NEVER_CUTS = 2**59  # microseconds: more than between any two times from year 1 to 9999


def best_attempts(unit: str, steps: Sequence[Sql], dialect: Dialect, *, strict: bool, window: timedelta | None) -> Sql:
    """Return common table expressions, the last of them `attempts`: unit, t1, t2, ..., one for each step.

    Of each unit with an event that matches the first step; times are in microseconds since 1970, NULL for the steps
    that it did not come to. `unit`: a column. The first of the expressions is `units.ranks`.
    """
    attempts = _Attempts(dialect, len(steps))
    if strict:
        found = attempts.strict(window)
    elif window is None:
        found = attempts.earliest()
    else:
        # Hardly a session lasts as long.
        found = attempts.within(reads_again=unit == unit_column("session") and window >= _LONG)
    bound = {name: value for step in steps for name, value in step.bound.items()}
    if window is not None:
        bound["window"] = min(window // timedelta(microseconds=1), _NEVER_CUTS)
    times = ", ".join(f"{attempts.time(f't{step}')} AS t{step}" for step in attempts.steps)
    tables = f"{ranks(dialect)}, {_marked(unit, steps, dialect, strict=strict)}, {found}"
    return Sql(f"{tables}, attempts {dialect.ONCE} (SELECT unit, {times} FROM best)", bound)


def _marked(unit: str, steps: Sequence[Sql], dialect: Dialect, *, strict: bool) -> str:
    matches = " + ".join(
        f"CASE WHEN {step.text} THEN {_bit(number)} ELSE 0 END" for number, step in enumerate(steps, 1)
    )
    # Only a strict attempt looks at the events between. The condition stands before the join, and is no sum, so that
    # of what it leaves out little is read from the files.
    kept = "TRUE" if strict else " OR ".join(step.text for step in steps)
    return f"""marked {dialect.IN_PLACE} (
        SELECT unit, {position(dialect)} * {_STEPS} + steps AS mark, steps
        FROM (SELECT {unit} AS unit, time, writer, seq, {matches} AS steps FROM events
            WHERE {unit} IS NOT NULL AND time IS NOT NULL AND ({kept}))
        JOIN ranks USING (writer))"""


def _bit(step: int) -> int:
    return 1 << (step - 1)


class _Attempts(NamedTuple):
    """Writes the search for attempts at so many steps, in the words of a store."""

    dialect: Dialect
    number: int

    @property
    def steps(self) -> range:
        """The numbers of the steps."""
        return range(1, self.number + 1)

    @property
    def columns(self) -> str:
        """The marks at which the steps were taken."""
        return ", ".join(f"t{step}" for step in self.steps)

    def time(self, mark: str) -> str:
        """Return the time of a mark."""
        return f"{self.dialect.shifted(mark, _TIME)}::BIGINT"

    def earliest(self) -> str:
        """Return SQL for the earliest attempts."""
        if self.dialect.few_tables:
            return f"{self.journeys()}, best AS (SELECT unit, {self.columns} FROM {self.chain('journeys', 'TRUE')})"
        return f"{self.begun()}, best AS (SELECT unit, {self.columns} FROM {self.onward('begun')})"

    def journeys(self, *, in_order: bool = False) -> str:
        """Return SQL for the marks of each unit."""
        marks = self.dialect.sorted_list("mark") if in_order else self.dialect.listed("mark")
        return f"journeys AS (SELECT unit, {marks} AS marks FROM marked GROUP BY unit)"

    def begun(self) -> str:
        """Return SQL for the first start of each unit, and its marks of the steps behind, which most units have not."""
        behind = f"{self.dialect.bits('steps', 2**self.number - 2)} > 0"
        return f"""begun AS (
            SELECT * FROM (
                SELECT unit, min(mark) FILTER (WHERE {self.matches("steps", 1)}) AS t1,
                    {self.dialect.listed("mark", behind)} AS marks
                FROM marked GROUP BY unit)
            WHERE t1 IS NOT NULL)"""

    def chain(self, source: str, first: str) -> str:
        """Return SQL for the attempt that begins at the first start in `marks` for which the condition holds."""
        return self.onward(
            f"(SELECT * FROM (SELECT *, {self.taken(1, first)} AS t1 FROM {source}) WHERE t1 IS NOT NULL)"
        )

    def onward(self, source: str) -> str:
        """Return SQL for the attempt that begins at `t1`."""
        for step in self.steps[1:]:
            source = f"(SELECT *, {self.taken(step, f'mark > t{step - 1}')} AS t{step} FROM {source})"
        return source

    def taken(self, step: int, condition: str) -> str:
        """Return SQL for the first mark of a step for which the condition holds."""
        return self.dialect.least("marks", "mark", f"{self.matches('mark', step)} AND {condition}")

    def matches(self, mark: str, step: int) -> str:
        """Return whether the event of a mark matches a step."""
        return f"{self.dialect.bits(mark, _bit(step))} > 0"

    def within(self, *, reads_again: bool) -> str:
        """Return SQL for the best attempts where steps count that are in time.

        `reads_again`: the events, where units lost steps; else all starts are kept. Both come to the same.
        """
        in_time = ", ".join(
            f"CASE WHEN {self.time(f't{step}')} - {self.time('t1')} <= $window THEN t{step} END AS t{step}"
            for step in self.steps[1:]
        )
        retried = f"SELECT unit, t1, {in_time} FROM {self.chain('retried', 'mark >= since')}"
        if self.dialect.few_tables:
            return f"{self.journeys(in_order=True)}, {self.latest_starts()}, best AS ({retried})"
        # In the joins a unit has a number in place of its name; of one that is done only the times are kept.
        if reads_again:
            tables, found, kept = self.begun(), self.onward("begun"), "* EXCLUDE (marks)"
            few = "(SELECT unit, number FROM earliest WHERE NOT uncut)"
            cut = f"SELECT number, mark FROM marked JOIN {few} USING (unit)"
            lists = f"(SELECT number, {self.dialect.listed('mark')} AS marks FROM cut GROUP BY number)"
            lost = f"{few} JOIN {lists} USING (number)"
        else:
            tables, found = self.journeys(), self.chain("journeys", "TRUE")
            kept = "* REPLACE (CASE WHEN NOT uncut THEN marks END AS marks)"
            cut = "SELECT number, unnest(marks) AS mark FROM earliest WHERE NOT uncut"
            lost = "(SELECT unit, marks, number FROM earliest WHERE NOT uncut)"
        lasted = f"{self.time(f'greatest({self.columns})')} - {self.time('t1')}"
        return f"""{tables},
        earliest AS MATERIALIZED (
            SELECT {kept}, row_number() OVER () AS number FROM (SELECT *, {lasted} <= $window AS uncut FROM {found})),
        cut AS ({cut}),
        {self.reached()},
        retried AS (SELECT unit, marks, since FROM {lost} JOIN furthest USING (number)),
        best AS (SELECT unit, {self.columns} FROM earliest WHERE uncut UNION ALL {retried})"""

    def reached(self) -> str:
        """Return SQL for the events of each step that an attempt can reach in time, each with the latest start."""
        started = f"""reached_1 AS MATERIALIZED (
            SELECT number, mark, {self.time("mark")} AS start FROM cut WHERE {self.matches("mark", 1)})"""
        followed = (
            f"""reached_{step} AS MATERIALIZED (
            SELECT here.number, here.mark, before.start
            FROM (SELECT number, mark FROM cut WHERE {self.matches("mark", step)}) AS here
            ASOF JOIN reached_{step - 1} AS before ON here.number = before.number AND here.mark > before.mark
            WHERE {self.time("here.mark")} - before.start <= $window)"""
            for step in self.steps[1:]
        )
        ends = " UNION ALL ".join(
            f"SELECT number, {step} AS step, min(mark) AS mark FROM reached_{step} GROUP BY number"
            for step in self.steps
        )
        return f"""{", ".join((started, *followed))},
        furthest AS (
            SELECT number, {self.since("arg_max(mark, step)")} AS since FROM ({ends}) GROUP BY number)"""

    def since(self, mark: str) -> str:
        """Return the least mark that an attempt can begin with whose step there is in time."""
        return f"({self.time(mark)} - $window) * {2**_TIME}::{self.dialect.WIDE}"

    def latest_starts(self) -> str:
        """Return SQL for the same in lists, for all units: in one pass, without a join."""
        dialect, source = self.dialect, "journeys"
        first = f"CASE WHEN {self.matches('mark', 1)} THEN {self.time('mark')} END"
        source = f"(SELECT *, {dialect.transformed('marks', 'mark', first)} AS starts_1 FROM {source})"
        for step in self.steps[1:]:
            begun = dialect.known_before(f"starts_{step - 1}")
            starts = dialect.transformed_both("marks", begun, partial(self._start, step))
            source = f"(SELECT *, {starts} AS starts_{step} FROM {source})"
        furthest = ", ".join(dialect.first_known("marks", f"starts_{step}") for step in reversed(self.steps))
        return f"retried AS (SELECT unit, marks, {self.since(f'coalesce({furthest})')} AS since FROM {source})"

    def _start(self, step: int, mark: str, begun: str) -> str:
        in_time = f"{self.time(mark)} - {begun} <= $window"
        return f"CASE WHEN {self.matches(mark, step)} AND {in_time} THEN {begun} END"

    def strict(self, window: timedelta | None) -> str:
        """Return SQL that looks at each start and the events right behind it."""
        dialect = self.dialect
        in_time = "" if window is None else f" AND {self.time('run[{step}]')} - {self.time('t1')} <= $window"
        source = f"(SELECT unit, run, run[1] AS t1 FROM runs WHERE {self.matches('run[1]', 1)})"
        for step in self.steps[1:]:
            taken = f"{self.matches(f'run[{step}]', step)} AND t{step - 1} IS NOT NULL" + in_time.format(step=step)
            source = f"(SELECT *, CASE WHEN {taken} THEN run[{step}] END AS t{step} FROM {source})"
        steps = " + ".join(f"(t{step} IS NOT NULL)::INTEGER" for step in self.steps)
        columns = ", ".join(f"{dialect.part('attempt', step + 1)} AS t{step}" for step in self.steps)
        best = f"min({dialect.row(f'-({steps})', *(f't{step}' for step in self.steps))})"
        runs = dialect.unnested("journeys", {"run": dialect.runs("marks", self.number)}, "unit, ")
        return f"""{self.journeys(in_order=True)},
        runs AS {runs},
        best AS (SELECT unit, {columns} FROM (SELECT unit, {best} AS attempt FROM {source} GROUP BY unit))"""
