"""Paths: what units did next after an event, or before it.

    onward = paths(engine, "path:/pricing", scope)                           # where do they go from there?
    origins = paths(engine, "event:user_signed_up", scope, backward=True)    # how did they come to sign up?

1. The walk of a unit begins at its first event in the scope that matches the anchor.
2. It goes over the unit's later events, or backward over the earlier ones, that are about a page: requests, by their
   route or the template of their path (templates.py). `among` keeps those pages only whose events match it.
3. With `collapse`, a page that comes several times in a row counts once, and not at all right behind the anchor.
4. Where a unit has no further page, its walk is over: the "end", or backward the "start". That is a step of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import Literal, NamedTuple

from auditmw.query.engine import Engine
from auditmw.query.journeys.conditions import Sql, condition, condition_or_any
from auditmw.query.journeys.units import Unit, position, ranks, unit_column
from auditmw.query.language import Query
from auditmw.query.language.dialect import Dialect
from auditmw.query.partial import Partial
from auditmw.query.question import Question, Row
from auditmw.query.scope import EVERYTHING, Scope
from auditmw.query.templates import path_template_sql

MAX_STEPS = 10
MAX_TOP = 100

_REST, _OVER = -1, 0  # in place of the number of a page


class Place(NamedTuple):
    """Where a unit is at one step: on a page, on one of the less frequent pages, or past its walk's end."""

    kind: Literal["page", "rest", "end", "start"]
    page: str | None = None


class Visits(NamedTuple):
    """How many units are at a place, and what part that is of those who are in the walks at all."""

    place: Place
    units: int
    share: float


class Link(NamedTuple):
    """How many units came to the place `target`, at the step `step`, from `source`; None is the anchor."""

    step: int
    source: Place | None
    target: Place
    units: int


class Paths(NamedTuple):
    """The walks of all units: for each step the places, the most frequent first, then the rest and the end.

    `units` have an event that matches the anchor. `without_unit` such events belong to no unit.
    """

    units: int
    steps: tuple[tuple[Visits, ...], ...]
    links: tuple[Link, ...]
    without_unit: int
    partial: Partial | None


def paths(
    engine: Engine,
    anchor: Query | str,
    scope: Scope = EVERYTHING,
    *,
    unit: Unit = "session",
    backward: bool = False,
    steps: int = 3,
    top: int = 10,
    collapse: bool = True,
    among: Query | str | None = None,
    time_limit_seconds: float | None = None,
    token: Hashable = None,
) -> Paths:
    """Return the next (with `backward` the previous) 1 to 10 steps from the anchor, the `top` (1 to 100) pages of each.

    Raises UnusableQueryError for a query that is empty or has errors, ValueError for an unknown unit, and for numbers
    out of range.
    """
    if not 1 <= steps <= MAX_STEPS:
        raise ValueError(f"expected from 1 to {MAX_STEPS} steps, not {steps!r}")
    if not 1 <= top <= MAX_TOP:
        raise ValueError(f"expected the top 1 to {MAX_TOP} pages, not {top!r}")
    column = unit_column(unit)
    anchored = condition(anchor, "anchor", "anchor", engine.dialect)
    kept = condition_or_any(among, "among", "among", engine.dialect)
    walked = _walks(column, anchored, kept, engine.dialect, backward=backward, collapse=collapse)
    counted = _counted(walked, engine.dialect, steps, top)

    def answer(question: Question) -> Paths:
        rows = question.whole(*counted)
        left_out = question.whole(*_without_unit(column, anchored))
        links = _links(rows, "start" if backward else "end")
        units = sum(link.units for link in links if link.step == 1)
        found = tuple(_visits(links, step, units) for step in range(1, steps + 1))
        return Paths(units, found, links, left_out[0][0] if left_out else 0, question.partial)

    stitched = unit == "person"
    return engine.ask(answer, scope, stitched=stitched, time_limit_seconds=time_limit_seconds, token=token)


def _walks(unit: str, anchor: Sql, among: Sql, dialect: Dialect, *, backward: bool, collapse: bool) -> Sql:
    """Return common table expressions: `pages` (page, number), and `walks` (numbers, a list for each unit).

    Templates are made of the distinct paths, and pages have numbers in place of names, because events are so many.
    """
    beyond = "<" if backward else ">"
    numbers = dialect.changes("numbers", "origin") if collapse else "numbers"
    place, once = position(dialect), dialect.ONCE
    text = f"""{ranks(dialect)},
    names {once} (
        SELECT key, {_page(dialect)} AS page FROM (SELECT DISTINCT {_KEY} AS key FROM events WHERE time IS NOT NULL)),
    pages {once} (
        SELECT page, (row_number() OVER (ORDER BY page))::BIGINT AS number
        FROM (SELECT DISTINCT page FROM names WHERE page IS NOT NULL)),
    numbered {once} (SELECT key, number FROM names JOIN pages USING (page)),
    anchors {once} (
        SELECT unit, min({place}) AS anchored, {dialect.first_by("key", place)} AS key
        FROM (SELECT {unit} AS unit, time, writer, seq, {_KEY} AS key FROM events
            WHERE {unit} IS NOT NULL AND time IS NOT NULL AND {anchor.text})
        JOIN ranks USING (writer) GROUP BY unit),
    placed AS (
        SELECT unit, key, {place} AS position
        FROM (SELECT {unit} AS unit, time, writer, seq, {_KEY} AS key FROM events
            WHERE time IS NOT NULL AND {among.text})
        JOIN ranks USING (writer)),
    beyond AS (
        SELECT unit, {dialect.listed_by("number", "position", descending=backward)} AS numbers
        FROM placed JOIN (SELECT unit, anchored FROM anchors) USING (unit) JOIN numbered USING (key)
        WHERE position {beyond} anchored GROUP BY unit),
    whole AS (
        SELECT number AS origin, coalesce(numbers, []) AS numbers
        FROM anchors LEFT JOIN beyond USING (unit) LEFT JOIN numbered USING (key)),
    walks AS (SELECT {numbers} AS numbers FROM whole)"""
    return Sql(text, anchor.bound | among.bound)


# Of both the route and the path, as one text; the first letter tells them apart.
_KEY = "coalesce('r' || route, 'p' || path)"


def _page(dialect: Dialect) -> str:
    is_route, rest = dialect.starts_with("key", dialect.literal("r")), "substr(key, 2)"
    return f"CASE WHEN {is_route} THEN {rest} ELSE {path_template_sql(rest, dialect)} END"


def _counted(walks: Sql, dialect: Dialect, steps: int, top: int) -> tuple[str, dict[str, object]]:
    """Return a statement whose rows are: step, number and page before, number and page, units.

    The number is that of a page, `_REST` or `_OVER`; before the first step it is NULL.
    """
    lists = {"step": dialect.numbered("numbers"), "number": "numbers", "before": dialect.befores("numbers")}
    text = f"""WITH {walks.text},
    taken AS (SELECT {dialect.ended("numbers", str(_OVER), "$steps")} AS numbers FROM walks),
    counted AS (
        SELECT step, before, number, count(*) AS units FROM {dialect.unnested("taken", lists)}
        GROUP BY step, before, number),
    frequent {dialect.ONCE} (
        SELECT step, number, page FROM counted JOIN pages USING (number) GROUP BY step, number, page
        QUALIFY row_number() OVER (PARTITION BY step ORDER BY sum(units) DESC, page) <= $top)
    SELECT counted.step, CASE WHEN before IS NOT NULL THEN coalesce(source.number, {_REST}) END, source.page,
        CASE WHEN counted.number = {_OVER} THEN {_OVER} ELSE coalesce(target.number, {_REST}) END, target.page,
        sum(units)::BIGINT
    FROM counted
    LEFT JOIN frequent AS source ON source.step = counted.step - 1 AND source.number = before
    LEFT JOIN frequent AS target ON target.step = counted.step AND target.number = counted.number
    GROUP BY ALL"""
    return text, {**walks.bound, "steps": steps, "top": top}


def _without_unit(unit: str, anchor: Sql) -> tuple[str, dict[str, object]]:
    return f"SELECT count(*) FROM events WHERE {unit} IS NULL AND time IS NOT NULL AND {anchor.text}", anchor.bound


def _links(rows: list[Row], over: Literal["end", "start"]) -> tuple[Link, ...]:
    """Return the links, step by step, those of most units first."""

    def place(number: int, page: str | None) -> Place:
        return Place("rest") if number == _REST else Place(over) if number == _OVER else Place("page", page)

    links = (
        Link(step, None if before is None else place(before, page_before), place(number, page), units)
        for step, before, page_before, number, page, units in rows
    )
    return tuple(sorted(links, key=lambda link: (link.step, -link.units, str(link.source), str(link.target))))


def _visits(links: tuple[Link, ...], step: int, units: int) -> tuple[Visits, ...]:
    """Return the places of a step: pages by their units, then the rest and the end."""
    counts: Counter[Place] = Counter()
    for link in links:
        if link.step == step:
            counts[link.target] += link.units
    ordered = sorted(counts.items(), key=lambda item: (_KINDS.index(item[0].kind), -item[1], item[0].page or ""))
    return tuple(Visits(place, count, count / units) for place, count in ordered)


_KINDS = ("page", "rest", "end", "start")
