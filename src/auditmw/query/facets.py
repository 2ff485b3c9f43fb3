"""Which values a field has, and how often."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial as bound_to
from typing import NamedTuple

from auditmw.query.engine import Engine
from auditmw.query.language.dialect import Dialect
from auditmw.query.language.fields import EACH, Field, find
from auditmw.query.partial import Partial
from auditmw.query.question import Question
from auditmw.query.relation import named
from auditmw.query.scope import EVERYTHING, Scope


class Value(NamedTuple):
    """One value of a field, as text, and how many events have it. None: the events without the field."""

    value: str | None
    events: int


class Facet(NamedTuple):
    """The most frequent values of a field, and what they were taken from.

    `distinct`: how many different values there are; None, the absent one, is one of them. `total`: how often they stand
    in the events, all together; that is how many events match, but for fields that are lists. With `partial` the
    numbers speak of a part of the events.
    """

    field: str
    values: tuple[Value, ...]
    distinct: int
    total: int
    partial: Partial | None

    @property
    def others(self) -> int:
        """How many of `total` have a value that is not among `values`."""
        return self.total - sum(value.events for value in self.values)


def facets(
    engine: Engine,
    fields: Sequence[str],
    scope: Scope = EVERYTHING,
    *,
    limit: int = 10,
    time_limit_seconds: float | None = None,
    token: Hashable = None,
) -> tuple[Facet, ...]:
    """Return the `limit` most frequent values of each field; of equally frequent ones, those that sort first.

    The fields share the time limit: one that is too slow says so in its `partial`, and the others are whole. Raises
    LookupError for a name that no field has, ValueError for one that has no values of its own.
    """
    if limit < 1:
        raise ValueError(f"expected a limit of at least 1, not {limit!r}")
    answers = [bound_to(_answer, field=find(name), limit=limit) for name in fields]
    return tuple(engine.ask_each(answers, scope, time_limit_seconds=time_limit_seconds, token=token))


def _answer(question: Question, *, field: Field, limit: int) -> Facet:
    expression, parameters = _values(field, question.dialect)
    text = question.dialect.time_text("value") if field.kind == "time" else "CAST(value AS VARCHAR)"
    rows = question.whole(
        f"""SELECT {text} AS text, count, count(*) OVER (), sum(count) OVER ()
        FROM (SELECT {expression} AS value, count(*) AS count FROM events GROUP BY 1)
        ORDER BY count DESC, text NULLS LAST LIMIT $limit""",
        {**parameters, "limit": limit},
    )
    values = tuple(Value(text, count) for text, count, _, _ in rows)
    distinct, total = rows[0][2:] if rows else (0, 0)
    return Facet(field.name, values, distinct, int(total), question.partial)


def _values(field: Field, dialect: Dialect) -> tuple[str, dict[str, object]]:
    """Return SQL for a field's value in an event, of which a list gives one row for each element, and what it binds."""
    if field.kind == "group":
        raise ValueError(f"expected a field with values of its own, not {field.name!r}, which is a group of fields")
    if field.column is not None and not field.rest:
        return f'"{field.column}"', {}
    path = (*field.path, *field.rest)
    if EACH not in path:
        return named(dialect.text_at(path), "path")
    texts, bound = named(dialect.texts_at(path), "path")
    return dialect.one_or_each(texts), bound
