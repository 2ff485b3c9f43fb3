"""The API's figures: counts, histograms, facets, summaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial as bound_to
from typing import Any, get_args

from auditmw.query import Query, Scope, compare, count, facets, histogram, summary
from auditmw.query.buckets import WIDTHS
from auditmw.query.comparison import Against
from auditmw.query.histogram import By
from auditmw.query.language.fields import find
from auditmw.query.language.syntax import And, Match, Node, Or, joined
from auditmw.viewer.asking import Ask
from auditmw.viewer.refusals import asked

MOST_FIELDS = 20  # of one question: all of them share its time
FACETS = ("status", "level", "event", "user", "path", "ip", "service")
_AGAINST: dict[str, Against] = {"previous": "previous", "week": "weekday"}


def counted(ask: Ask) -> Any:
    """Return how many events match."""
    cap = ask.parameters.number("cap", 0, 0, 10**12)
    return ask.answer(count, ask.scope, cap=cap or None)


def over_time(ask: Ask) -> Any:
    """Return how many events match over time; null when there is no event."""
    read = ask.parameters
    by = read.one_of("by", (*get_args(By), "none"), "status")
    width = read.one_of("width", ("", *WIDTHS), "") or None
    at_most = read.number("at_most", 120, 1, 2_000)
    named: dict[str, Any] = {
        "by": None if by == "none" else by,
        "width": width,
        "at_most": at_most,
        "zone": read.zone(),
    }
    return ask.answer(histogram, ask.scope, **named)


def facets_of(ask: Ask) -> Any:
    """Return the most frequent values of some fields.

    With `multi`, a field's own values in the query do not count for it, so that others can be added to them.
    """
    read = ask.parameters
    names = read.fields("fields", FACETS, MOST_FIELDS)
    limit = read.number("limit", 10, 1, 200)
    if not read.flag("multi"):
        return ask.answer(facets, names, ask.scope, limit=limit)
    groups = _groups(names, ask.scope)
    with ask.slot():
        found = {
            facet.field: facet
            for scope, some in groups
            for facet in asked(bound_to(facets, ask.engine, some, scope, limit=limit, **ask.options))
        }
    return [found[find(name).name] for name in names]


def _groups(names: Sequence[str], scope: Scope) -> list[tuple[Scope, list[str]]]:
    """Return the fields, together with those that are asked about the same scope."""
    query = scope.parsed()
    groups: dict[Node | None, list[str]] = {}
    for name in names:
        groups.setdefault(_without(query.tree, find(name).name), []).append(name)
    return [(scope._replace(query=_with_tree(query, tree)), some) for tree, some in groups.items()]


def _with_tree(query: Query, tree: Node | None) -> Query:
    return replace(query, tree=tree)


def _without(tree: Node | None, field: str) -> Node | None:
    """Return the query without what it wants of a field; what it does not want of it stays."""
    parts = tree.parts if isinstance(tree, And) else (tree,)
    return joined(And, (part for part in parts if not _wants(part, field)))


def _wants(part: Node | None, field: str) -> bool:
    if isinstance(part, Or):
        return all(_wants(one, field) for one in part.parts)
    return isinstance(part, Match) and part.field.name == field


def at_a_glance(ask: Ask) -> Any:
    """Return the traffic of the scope, and of the time before when that is asked for."""
    read = ask.parameters
    against = read.one_of("compare", ("none", *_AGAINST), "none")
    stitched, limit = read.flag("stitched"), read.number("limit", 10, 1, 100)

    def question(scope: Scope) -> Any:
        return summary(ask.engine, scope, limit=limit, stitched=stitched, **ask.options)

    with ask.slot():
        if against == "none":
            return {"now": asked(lambda: question(ask.scope)), "before": None, "scope_before": None}
        scope = ask.scope if ask.scope.end else ask.scope._replace(end=read.now)
        found = asked(lambda: compare(question, scope, against=_AGAINST[against], zone=read.zone()))
    before = {"from": found.scope_before.start, "to": found.scope_before.end}
    return {"now": found.now, "before": found.before, "scope_before": before}
