"""A query as SQL over the columns of the archive, its values bound."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Any, NamedTuple

from auditmw.query.language import Query
from auditmw.query.language.dialect import DUCKDB, ELEMENT, Dialect, Expression
from auditmw.query.language.fields import Field
from auditmw.query.language.freetext import text_columns
from auditmw.query.language.syntax import And, Exactly, Match, Node, Not, Or, Text
from auditmw.query.language.texts import Pattern, Wildcard, like
from auditmw.query.language.times import Clock, stamp
from auditmw.query.language.values import (
    During,
    Exists,
    InNetwork,
    Is,
    Like,
    OneOf,
    Ordered,
    Same,
    Test,
    Within,
    meaning,
)


class Predicate(NamedTuple):
    """A condition for WHERE or FILTER: TRUE for a row that matches, FALSE or NULL for others.

    `sql` has one ``?`` for each of `params`, in their order, and no other ``?``; no value and no name that a query has
    stands in it. It needs no parentheses around it. It names the columns of the archive (``"user"``, ``"time"``,
    ``text``, ``body``, ...) unqualified. A query that asks for every event is ``TRUE``.
    """

    sql: str
    params: tuple[Any, ...] = ()


def predicate(query: Query, dialect: Dialect = DUCKDB) -> Predicate:
    """Return the query as a condition that a store evaluates on rows with the columns of the archive."""
    return Predicate("TRUE") if query.tree is None else _Conditions(dialect, query.clock).of(query.tree)


LOOKED_UP = frozenset({"id", "trace", "request", "correlation", "session", "user", "email", "ip"})
"""The columns of which one value has few events, and whose Bloom filters tell where there are none."""


def lookup(query: Query, dialect: Dialect = DUCKDB) -> Predicate | None:
    """Return the part of `predicate` that names values of such columns, if every event that matches has one of them."""
    parts = query.tree.parts if isinstance(query.tree, And) else (query.tree,)
    conditions = _Conditions(dialect, query.clock)
    named = [conditions.of(part) for part in parts if isinstance(part, Match) and _names_values(part)]
    return _joined(" AND ", named) if named else None


def _names_values(part: Match) -> bool:
    return part.field.column in LOOKED_UP and all(isinstance(value, Exactly) for value in part.values)


class _Conditions(NamedTuple):
    """Writes conditions in the words of a store; the times of the query count from `clock`."""

    words: Dialect
    clock: Clock

    def of(self, node: Node) -> Predicate:
        """Return the condition that a part of the query is."""
        match node:
            case And(parts):
                return _joined(" AND ", (self.of(part) for part in parts))
            case Or(parts):
                return _joined(" OR ", (self.of(part) for part in parts))
            case Not(part):
                sql, params = self.of(part)
                return Predicate(f"(NOT coalesce({sql}, FALSE))", params)  # what has no value does not have this one
            case Match(field, values):
                return self._match(field, _merged(meaning(field, value, self.clock) for value in values))
            case Text(pattern):
                return self._free_text(pattern)

    def _match(self, field: Field, tests: Sequence[Test]) -> Predicate:
        if field.column is not None:
            return _joined(" OR ", (self._test_of_column(f'"{field.column}"', test) for test in tests))
        is_json = field.kind in ("any", "group")
        items = self._values(field) if is_json else self.words.texts_at(field.path)
        test_of = self._test_of_json if is_json else self._test_of_text
        condition = _joined(" OR ", (test_of(ELEMENT, test) for test in tests))
        found = self.words.any_element(items, Expression(*condition))
        return Predicate(f"({found.sql})", found.params)

    def _values(self, field: Field) -> Expression:
        """Return the list of the field's values as JSON."""
        items = self.words.values_at(field.path)
        for key in field.rest:
            items = self.words.members(items, key)
        return items

    def _test_of_column(self, column: str, test: Test) -> Predicate:
        match test:
            case Within(first, before):
                return _within(column, first, before)
            case During(first, before):
                return _within(column, first and first.replace(tzinfo=None), before and before.replace(tzinfo=None))
            case Is(flag):
                return Predicate(f"{column} = ?", (flag,))
            case _:
                return self._test_of_text(column, test)

    def _test_of_text(self, text: str, test: Test) -> Predicate:
        match test:
            case Exists():
                return Predicate(f"{text} IS NOT NULL")
            case OneOf(()):
                return Predicate("FALSE")
            case OneOf((only,)):
                return Predicate(f"{text} = ?", (only,))
            case OneOf(texts):
                return Predicate(f"{text} IN ({', '.join('?' * len(texts))})", texts)
            case Like(pattern):
                return self._like(text, pattern)
            case Within(first, before):
                return _within(self.words.as_integer(text), first, before)
            case During(first, before):
                return _within(text, first and stamp(first), before and stamp(before))
            case Is(flag):
                return Predicate(f"{text} = ?", (str(flag).lower(),))
            case InNetwork(network):
                return self._in_network(text, network)
            case _:
                raise TypeError(f"expected a test of text, not {test!r}")

    def _test_of_json(self, value: str, test: Test) -> Predicate:
        words, text = self.words, self.words.as_text(value)
        match test:
            case Exists():
                return Predicate(f"NOT {words.is_null(value)}")
            case Like(pattern):
                sql, params = self._like(text, pattern)
                return Predicate(f"({words.is_string(value)} AND {sql})", params)
            case Same(expected, number):
                same = Predicate(f"({text} = ? AND {words.is_whole_or_text(value)})", (expected,))
                if number is None:
                    return same
                equal = words.is_fraction if test.exact else words.is_number
                return _joined(
                    " OR ", (same, Predicate(f"({equal(value)} AND {words.as_double(value)} = ?)", (number,)))
                )
            case Ordered(bounds):
                return _joined(" AND ", (self._bound(value, operator, bound) for operator, bound in bounds))
            case _:
                raise TypeError(f"expected a test of JSON, not {test!r}")

    def _bound(self, value: str, operator: str, bound: float | str) -> Predicate:
        is_text = isinstance(bound, str)
        is_one = self.words.is_string if is_text else self.words.is_number
        comparable = self.words.as_text(value) if is_text else self.words.as_double(value)
        return Predicate(f"({is_one(value)} AND {comparable} {operator} ?)", (bound,))

    def _like(self, text: str, pattern: Pattern) -> Predicate:
        match pattern:
            case (str(start), Wildcard.ANY):
                return Predicate(self.words.starts_with(text), (start,))
            case (Wildcard.ANY, str(end)):
                return Predicate(self.words.ends_with(text), (end,))
            case (Wildcard.ANY, str(part), Wildcard.ANY):
                return Predicate(self.words.contains(text), (part,))
            case (str(start), *_):  # the beginning alone tells which parts of a file to skip
                both = f"({self.words.starts_with(text)} AND {self.words.is_like(text)})"
                return Predicate(both, (start, like(pattern)))
            case _:
                return Predicate(self.words.is_like(text), (like(pattern),))

    def _free_text(self, pattern: Pattern) -> Predicate:
        columns = [f'"{column.name}"' for column in text_columns(pattern)]
        words = self.words
        bound = words.lowered("?")
        match pattern:
            case (str(part),):
                places = [words.contains(words.lowered(column), bound) for column in (*columns, "text")]
            case _:
                part = f"%{like(pattern)}%"
                places = [words.is_like(words.lowered(column), bound) for column in columns]
                each = words.is_like(words.lowered(ELEMENT), bound)
                places.append(words.any_element(Expression(words.split_text("text")), Expression(each)).sql)
        return Predicate(f"({' OR '.join(places)})", (part,) * len(places))

    def _in_network(self, text: str, network: IPv4Network | IPv6Network) -> Predicate:
        if isinstance(network, IPv6Network):
            lowest, highest = (f"{int(address):032x}" for address in (network[0], network[-1]))
            digits = f"{self.words.ipv6_digits(text)} BETWEEN ? AND ?"
            return Predicate(f"({self.words.is_match(text)} AND {digits})", (_IPV6, lowest, highest))
        octets = [_octet(*bounds) for bounds in zip(network[0].packed, network[-1].packed, strict=True)]
        known = network.prefixlen // 8
        start = ".".join(octets[:known]) + "." * (0 < known < len(octets))
        whole = self.words.is_match(text)
        return Predicate(f"({self.words.starts_with(text)} AND {whole})", (start, r"\.".join(octets)))


def _joined(operator: str, parts: Iterable[Predicate]) -> Predicate:
    every = list(parts)
    if len(every) == 1:
        return every[0]
    return Predicate(f"({operator.join(part.sql for part in every)})", tuple(p for part in every for p in part.params))


def _merged(tests: Iterable[Test]) -> list[Test]:
    """Return the tests with one for all of the texts."""
    merged: list[Test] = []
    texts: list[str] | None = None
    for test in tests:
        if isinstance(test, OneOf):
            texts = [*(texts or ()), *test.texts]
        else:
            merged.append(test)
    return merged if texts is None else [OneOf(tuple(dict.fromkeys(texts))), *merged]


def _within(amount: str, first: object, before: object) -> Predicate:
    if isinstance(first, int) and before == first + 1:
        return Predicate(f"{amount} = ?", (first,))
    bounds = [
        Predicate(f"{amount} {sign} ?", (bound,)) for sign, bound in ((">=", first), ("<", before)) if bound is not None
    ]
    return _joined(" AND ", bounds)


_OCTET = "(?:0|[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])"
_IPV6 = "(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}|[0-9a-f:]*::[0-9a-f:]*"


def _octet(lowest: int, highest: int) -> str:
    if lowest == highest:
        return str(lowest)
    return _OCTET if (lowest, highest) == (0, 255) else f"(?:{'|'.join(map(str, range(lowest, highest + 1)))})"
