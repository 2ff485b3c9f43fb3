"""Which values a field has, and how often."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial as bound_to
from typing import NamedTuple

from auditmw.query.engine import Answer, Engine
from auditmw.query.language.dialect import Dialect
from auditmw.query.language.fields import EACH, Field, find
from auditmw.query.partial import Partial
from auditmw.query.question import Question, Row
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
    asked = [find(name) for name in fields]
    columns = [] if engine.dialect.few_tables else list(filter(_is_column, asked))
    together = _Together(columns, limit)
    answers: list[Answer[Facet | None]] = [together.try_all]
    answers += [bound_to(together.answer, field=field) for field in asked]
    _, *found = engine.ask_each(answers, scope, time_limit_seconds=time_limit_seconds, token=token)
    return tuple(facet for facet in found if facet is not None)


class _Together:
    """The facets of columns from one pass over the events, which is faster, or else one by one.

    One by one they need less memory, and where one takes too long the others are whole.
    """

    def __init__(self, columns: Sequence[Field], limit: int) -> None:
        self._columns = tuple(dict.fromkeys(columns))
        self._limit = limit
        self._was_tried = len(self._columns) < 2
        self._found: dict[Field, Facet] = {}

    def try_all(self, question: Question) -> None:
        """Look for the facets of all columns; for none, when it is asked again because that was too much."""
        if self._was_tried:
            return
        self._was_tried = True
        rows = question.whole(self._sql(question.dialect), {"limit": self._limit})
        partial = question.partial
        for number, field in enumerate(self._columns):
            found = sorted((row[1:] for row in rows if row[0] == number), key=_by_frequency)
            self._found[field] = _facet(field, found, partial)

    def answer(self, question: Question, *, field: Field) -> Facet:
        """Return the facet of one field."""
        return self._found.get(field) or _answer(question, field=field, limit=self._limit)

    def _sql(self, dialect: Dialect) -> str:
        names = [f"_value_{number}" for number in range(len(self._columns))]
        columns = (f"{_values(field, dialect)[0]} AS {name}" for field, name in zip(self._columns, names, strict=True))
        is_other = ", ".join(f"grouping({name}) AS _is_other_{number}" for number, name in enumerate(names))
        counted = f"""SELECT {", ".join(names)}, {is_other}, count(*) AS count
            FROM (SELECT {", ".join(columns)} FROM events) GROUP BY GROUPING SETS ({", ".join(names)})"""
        each = (
            f"""(SELECT {number} AS number, {_told(field, dialect)}
            FROM (SELECT _value_{number} AS value, count FROM _counted WHERE _is_other_{number} = 0)
            ORDER BY count DESC, text NULLS LAST LIMIT $limit)"""
            for number, field in enumerate(self._columns)
        )
        return f"WITH _counted {dialect.ONCE} ({counted}) {' UNION ALL '.join(each)}"


def _answer(question: Question, *, field: Field, limit: int) -> Facet:
    expression, parameters = _values(field, question.dialect)
    rows = question.whole(
        f"""SELECT {_told(field, question.dialect)}
        FROM (SELECT {expression} AS value, count(*) AS count FROM events GROUP BY 1)
        ORDER BY count DESC, text NULLS LAST LIMIT $limit""",
        {**parameters, "limit": limit},
    )
    return _facet(field, rows, question.partial)


def _told(field: Field, dialect: Dialect) -> str:
    """Return SQL of what is told of a `value`: its text and `count`, and of all values the number and their count."""
    text = dialect.time_text("value") if field.kind == "time" else "CAST(value AS VARCHAR)"
    return f"{text} AS text, count, count(*) OVER (), sum(count) OVER ()"


def _facet(field: Field, rows: Sequence[Row], partial: Partial | None) -> Facet:
    values = tuple(Value(text, count) for text, count, _, _ in rows)
    distinct, total = rows[0][2:] if rows else (0, 0)
    return Facet(field.name, values, distinct, int(total), partial)


def _by_frequency(row: Row) -> tuple[int, bool, str]:
    text, count, *_ = row
    return -count, text is None, text or ""


def _is_column(field: Field) -> bool:
    return field.column is not None and not field.rest and field.kind != "group"


def _values(field: Field, dialect: Dialect) -> tuple[str, dict[str, object]]:
    """Return SQL for a field's value in an event, of which a list gives one row for each element, and what it binds."""
    if field.kind == "group":
        raise ValueError(f"expected a field with values of its own, not {field.name!r}, which is a group of fields")
    if _is_column(field):
        return f'"{field.column}"', {}
    path = (*field.path, *field.rest)
    if EACH not in path:
        return named(dialect.text_at(path), "path")
    texts, bound = named(dialect.texts_at(path), "path")
    return dialect.one_or_each(texts), bound
