"""The query language: text in, a `Query` out, whatever the text.

query = parse("user:alice status:>=500 -path:/health")
query.errors                  # (), or what is wrong and where; the rest of the query counts nevertheless
query.matches(event)          # of one event, in Python
predicate(query)              # of many, in SQL (predicate.py)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from functools import cached_property
from typing import Any, TypeAlias

from auditmw.query.language.matching import Matcher, matcher
from auditmw.query.language.parser import QueryError, parse_tree
from auditmw.query.language.syntax import And, Match, Node, Or, print_query
from auditmw.query.language.times import Clock
from auditmw.query.language.values import During, meaning

TimeRange: TypeAlias = tuple[datetime | None, datetime | None]
_ALWAYS: TimeRange = (None, None)


@dataclass(frozen=True)
class Query:
    """What a text asks for. `tree` is None when it asks for every event; what has an error is not in the tree.

    `str(query)` is the query in its canonical form, for which `parse` returns the same tree. `now` is the moment that
    relative times (`time:-1h..`) count from, `zone` that of times without one.
    """

    text: str
    tree: Node | None
    errors: tuple[QueryError, ...] = ()
    now: datetime = field(default_factory=lambda: datetime.now(UTC), compare=False)
    zone: tzinfo = UTC

    def __str__(self) -> str:
        return print_query(self.tree)

    @property
    def clock(self) -> Clock:
        """What the times of the query count from."""
        return Clock(self.now, self.zone)

    def time_range(self) -> TimeRange:
        """Return the bounds that the time of every match keeps: from the first on, and before the second.

        In UTC; None where there is no bound. Where the first is not before the second, nothing matches.
        """
        return _time_range(self.tree, self.clock)

    def matches(self, event: Mapping[str, Any]) -> bool:
        """Return whether this event, a dict as `auditmw.read` gives it, is one that the query asks for."""
        return self._matcher(event)

    @cached_property
    def _matcher(self) -> Matcher:
        return matcher(self.tree, self.clock)


def parse(text: str, *, now: datetime | None = None, zone: tzinfo = UTC) -> Query:
    """Return the query that `text` is; never raises, whatever the text: `errors` says what is wrong, the rest counts.

    `now` is a time with its zone; None is the present. A text of more than 16,384 characters is refused as a whole.
    """
    clock = Clock(now or datetime.now(UTC), zone)
    tree, errors = parse_tree(text, lambda field, value: meaning(field, value, clock))
    return Query(text, tree, errors, *clock)


def _time_range(node: Node | None, clock: Clock) -> TimeRange:
    match node:
        case Match(field, values) if field.column == "time":
            tests = [meaning(field, value, clock) for value in values]
            return _hull((test.first, test.before) if isinstance(test, During) else _ALWAYS for test in tests)
        case And(parts):
            return _common(_time_range(part, clock) for part in parts)
        case Or(parts):
            return _hull(_time_range(part, clock) for part in parts)
        case _:
            return _ALWAYS


def _common(ranges: Iterable[TimeRange]) -> TimeRange:
    firsts, befores = zip(*ranges, strict=True)
    return (
        max((first for first in firsts if first), default=None),
        min((before for before in befores if before), default=None),
    )


def _hull(ranges: Iterable[TimeRange]) -> TimeRange:
    firsts, befores = zip(*ranges, strict=True)
    return None if None in firsts else min(firsts), None if None in befores else max(befores)
