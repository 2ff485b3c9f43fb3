"""The relation `events` as SQL: the events of a scope, each with the person it belongs to."""

from __future__ import annotations

import re
from collections.abc import Sequence

from auditmw.archive.columns import NAMES
from auditmw.archive.view import PartFile
from auditmw.query.language.dialect import Dialect, Expression
from auditmw.query.language.predicate import Predicate
from auditmw.query.slices import Slice
from auditmw.query.stitching import spans_sql
from auditmw.query.store import StoreView

_KEYS = frozenset({"time", "writer", "seq", "user", "session"})  # which is enough for stitching
_WORD = re.compile(r"\w+")


def source(view: StoreView, piece: Slice, sql: str, parts: Sequence[PartFile] | None = None) -> str:
    """Return SQL that stands where a table does: all events of a slice, with every column that `sql` names.

    `parts`: of these only, and those in none.
    """
    columns = _KEYS.union(_WORD.findall(sql)).intersection(NAMES)
    if piece.timeless:
        timeless = [part for part in view.parts if part.first is None]
        return f"(SELECT * FROM {view.relation(parts=timeless, columns=columns)} WHERE time IS NULL)"
    return view.relation(piece.since, piece.until, parts=parts, columns=columns)


def all_events(view: StoreView, piece: Slice, world: Predicate, dialect: Dialect) -> tuple[str, dict[str, object]]:
    """Return the WITH clause that defines `_world`: what there is in a slice for whoever asks; and what it binds."""
    condition, bound = named(world, "_w")
    return f"WITH _world {dialect.IN_PLACE} (SELECT * FROM {source(view, piece, condition)} WHERE {condition})", bound


def events(
    view: StoreView,
    piece: Slice,
    predicate: Predicate,
    dialect: Dialect,
    world: Predicate | None = None,
    *,
    stitched: bool,
    sql: str,
    parts: Sequence[PartFile] | None = None,
) -> tuple[str, dict[str, object]]:
    """Return the WITH clause that defines `events` for a slice, for the statement `sql`, and the values that it binds.

    `world`: where it is not all events, those that also tell to whom an anonymous one belongs. Further common table
    expressions may follow after a comma.
    """
    condition, bound = named(predicate, "_")
    within = "TRUE"
    if world is not None:
        within, bound_within = named(world, "_w")
        condition, bound = f"({within}) AND ({condition})", bound | bound_within
    matching = source(view, piece, f"{sql} {condition}", parts)
    matches = f'SELECT *, "user" AS person FROM {matching} WHERE {condition}'
    if not stitched or piece.timeless:
        return f"WITH events {dialect.IN_PLACE} ({matches})", bound
    from_then_on = source(view, Slice(piece.since, None), within)
    spans = spans_sql(from_then_on if world is None else f"(SELECT * FROM {from_then_on} WHERE {within})", dialect)
    # A hash join, as it has one equality: sessions to their spans, of which most have one.
    stitched_events = f"""WITH {spans}, events {dialect.IN_PLACE} (
        SELECT _matches.* REPLACE (coalesce(_matches.person, _spans.person) AS person)
        FROM ({matches}) AS _matches LEFT JOIN _spans
        ON _matches.session = _spans.session AND _matches.time > _spans.since AND _matches.time <= _spans.until
    )"""
    return stitched_events, bound


def named(predicate: Predicate | Expression, prefix: str) -> tuple[str, dict[str, object]]:
    """Return it with a name for each ``?``, as a statement takes names or positions, and not both."""
    first, *others = predicate.sql.split("?")
    names = [f"{prefix}{number}" for number in range(len(others))]
    sql = first + "".join(f"${name}{piece}" for name, piece in zip(names, others, strict=True))
    return sql, dict(zip(names, predicate.params, strict=True))
