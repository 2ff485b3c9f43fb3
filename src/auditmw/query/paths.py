# ruff: noqa: S608 -- all text in the SQL is ours, values are bound
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

from collections.abc import Hashable
from typing import Literal, NamedTuple

from auditmw.query.conditions import Sql, condition, condition_or_any
from auditmw.query.engine import Engine
from auditmw.query.language import Query
from auditmw.query.partial import Partial
from auditmw.query.question import Question, Row
from auditmw.query.scope import EVERYTHING, Scope
from auditmw.query.templates import page_sql
from auditmw.query.units import RANKED, Unit, unit_column

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
    anchored = condition(anchor, "anchor", "anchor")
    walked = _walks(column, anchored, condition_or_any(among, "among", "among"), backward=backward, collapse=collapse)
    counted = _counted(walked, steps, top)

    def answer(question: Question) -> Paths:
        rows = question.whole(*counted)
        left_out = question.whole(*_without_unit(column, anchored))
        links = _links(rows, "start" if backward else "end")
        units = sum(link.units for link in links if link.step == 1)
        found = tuple(_visits(links, step, units) for step in range(1, steps + 1))
        return Paths(units, found, links, left_out[0][0] if left_out else 0, question.partial)

    stitched = unit == "person"
    return engine.ask(answer, scope, stitched=stitched, time_limit_seconds=time_limit_seconds, token=token)


def _walks(unit: str, anchor: Sql, among: Sql, *, backward: bool, collapse: bool) -> Sql:
    """Return common table expressions: `pages` (page, number), and `walks` (numbers, a list for each unit).

    Templates are made of the distinct paths, and pages have numbers in place of names, because events are so many.
    """
    beyond, sort = ("<", "list_reverse_sort") if backward else (">", "list_sort")
    numbers = f"list_extract_all({sort}(list_filter(visits, lambda visit: visit.position {beyond} anchored)))"
    numbers = f"[visit.number FOR visit IN {sort}([visit FOR visit IN visits IF visit.position {beyond} anchored])]"
    walked = "[pair[1] FOR pair IN list_zip(numbers, list_prepend(origin, numbers)) IF pair[1] IS DISTINCT FROM pair[2]]"
    text = f"""{RANKED},
    names AS MATERIALIZED (
        SELECT route, path, {page_sql()} AS page FROM (SELECT DISTINCT route, path FROM ranked)),
    pages AS MATERIALIZED (
        SELECT page, row_number() OVER () AS number FROM (SELECT DISTINCT page FROM names WHERE page IS NOT NULL)),
    numbered AS (SELECT route AS known_route, path AS known_path, number FROM names JOIN pages USING (page)),
    seen AS (
        SELECT {unit} AS unit, position, number, {anchor.text} AS anchored, {among.text} AS among
        FROM ranked LEFT JOIN numbered
        ON route IS NOT DISTINCT FROM known_route AND path IS NOT DISTINCT FROM known_path),
    journeys AS (
        SELECT min(position) FILTER (anchored) AS anchored, arg_min_null(number, position) FILTER (anchored) AS origin,
            list({{position: position, number: number}}) FILTER (among AND number IS NOT NULL) AS visits
        FROM seen WHERE unit IS NOT NULL GROUP BY unit HAVING bool_or(anchored)),
    walks AS (
        SELECT {walked if collapse else "numbers"} AS numbers FROM (SELECT origin, {numbers} AS numbers FROM journeys))"""
    return Sql(text, anchor.bound | among.bound)


def _counted(walks: Sql, steps: int, top: int) -> tuple[str, dict[str, object]]:
    """Return a statement whose rows are: step, page before (NULL: none), number before, page, number, units.

    Numbers are those of pages, or else say that it is another page or none.
    """
    text = f"""WITH {walks.text},
    taken AS (
        SELECT unnest(list_append(coalesce(numbers, [])[:$steps], {_OVER})[:$steps]) AS number,
            unnest(list_prepend(NULL, coalesce(numbers, [])[:$steps])) AS before,
            generate_subscripts(...)
        FROM walks)"""
    return text, walks.bound
