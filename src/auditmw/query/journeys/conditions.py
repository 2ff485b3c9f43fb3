"""The queries inside of an analysis: the steps of a funnel, a goal, an anchor.

A scope with an error in it is answered for the rest of the query. A step is not: its numbers would be those of another
step. So an analysis refuses it, and says what is wrong and where.
"""

from __future__ import annotations

from typing import NamedTuple

from auditmw.query.language import Query, parse
from auditmw.query.language.dialect import Dialect, Expression
from auditmw.query.language.predicate import Predicate, predicate
from auditmw.query.partial import QueryError


class UnusableQueryError(ValueError):
    """A query of an analysis is empty or has errors.

    `role` says which one it is ("step 2"); `errors` have their places in its `text`.
    """

    def __init__(self, role: str, text: str, errors: tuple[QueryError, ...]) -> None:
        super().__init__(f"{role}: {errors[0].message}; not {text!r}")
        self.role = role
        self.text = text
        self.errors = errors


class Sql(NamedTuple):
    """A piece of SQL and the values that it binds by name."""

    text: str
    bound: dict[str, object] = {}  # noqa: RUF012 -- never changed


def condition(query: Query | str, role: str, prefix: str, dialect: Dialect) -> Sql:
    """Return a query as a condition: TRUE for a row that matches, FALSE or NULL for others.

    The names of its values begin with `prefix`. Raises UnusableQueryError when the query has errors, or is empty and so
    would match every event.
    """
    parsed = parse(query) if isinstance(query, str) else query
    if parsed.errors:
        raise UnusableQueryError(role, parsed.text, tuple(parsed.errors))
    if parsed.tree is None:
        nothing = QueryError(0, len(parsed.text), "expected a query; event:* matches every event")
        raise UnusableQueryError(role, parsed.text, (nothing,))
    return named(predicate(parsed, dialect), prefix)


def condition_or_any(query: Query | str | None, role: str, prefix: str, dialect: Dialect) -> Sql:
    """Return the same, and TRUE for None: every event."""
    return Sql("TRUE") if query is None else condition(query, role, prefix, dialect)


def named(found: Predicate | Expression, prefix: str) -> Sql:
    """Return it with names for its values, as a statement takes names or positions, and not both."""
    first, *rest = found.sql.split("?")
    names = [f"{prefix}_{number}" for number in range(len(rest))]
    text = first + "".join(f"${name}{piece}" for name, piece in zip(names, rest, strict=True))
    return Sql(text, dict(zip(names, found.params, strict=True)))
