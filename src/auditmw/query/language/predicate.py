"""A query as SQL over the columns of the archive, its values bound."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Any, NamedTuple

from auditmw.query.language import Query
from auditmw.query.language.dialect import DUCKDB, ELEMENT
from auditmw.query.language.fields import EACH, Field
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


def predicate(query: Query) -> Predicate:
    """Return the query as a condition that DuckDB evaluates on rows of the archive."""
    return Predicate("TRUE") if query.tree is None else _condition(query.tree, query.clock)


LOOKED_UP = frozenset({"id", "trace", "request", "correlation", "session", "user", "email", "ip"})
"""The columns of which one value has few events, and whose Bloom filters tell where there are none."""


def lookup(query: Query) -> Predicate | None:
    """Return the part of `predicate` that names values of such columns, if every event that matches has one of them."""
    parts = query.tree.parts if isinstance(query.tree, And) else (query.tree,)
    named = [_condition(part, query.clock) for part in parts if isinstance(part, Match) and _names_values(part)]
    return _joined(" AND ", named) if named else None


def _names_values(part: Match) -> bool:
    return part.field.column in LOOKED_UP and all(isinstance(value, Exactly) for value in part.values)


def _condition(node: Node, clock: Clock) -> Predicate:
    match node:
        case And(parts):
            return _joined(" AND ", (_condition(part, clock) for part in parts))
        case Or(parts):
            return _joined(" OR ", (_condition(part, clock) for part in parts))
        case Not(part):
            sql, params = _condition(part, clock)
            return Predicate(f"(NOT coalesce({sql}, FALSE))", params)  # what has no value does not have this one
        case Match(field, values):
            return _match(field, _merged(meaning(field, value, clock) for value in values))
        case Text(pattern):
            return _free_text(pattern)


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


def _match(field: Field, tests: Sequence[Test]) -> Predicate:
    if field.column is not None:
        return _joined(" OR ", (_test_of_column(f'"{field.column}"', test) for test in tests))
    is_json = field.kind in ("any", "group")
    items, *paths = _values_of_json(field) if is_json else _texts(field)
    condition = _joined(" OR ", ((_test_of_json if is_json else _test_of_text)(ELEMENT, test) for test in tests))
    return Predicate(f"({DUCKDB.any_element(items, condition.sql)})", (*paths, *condition.params))


def _texts(field: Field) -> tuple[str, ...]:
    """Return SQL for the list of the field's values as texts, and the path that it binds."""
    texts = DUCKDB.text_at("body")
    return (texts if EACH in field.path else DUCKDB.one(texts), _json_path(field.path))


def _values_of_json(field: Field) -> tuple[str, ...]:
    """Return SQL for the list of the field's values as JSON, and the paths that it binds."""
    path, document = field.path, "body"
    if path[0] == "data" and len(path) > 1:
        path, document = path[1:], '"data"'
    values = DUCKDB.value_at(document)
    items = DUCKDB.elements(values if EACH in path else DUCKDB.one(values))
    for _ in field.rest:
        items = DUCKDB.elements(DUCKDB.members(items))
    return (items, _json_path(path), *(_pointer((key,)) for key in field.rest))


def _json_path(path: tuple[str, ...]) -> str:
    """Return a JSONPath where there are lists on the path, else a JSON pointer, which takes any key for what it is."""
    if EACH not in path:
        return _pointer(path)
    return "$" + "".join("[*]" if key == EACH else f".{key}" for key in path)


def _pointer(path: tuple[str, ...]) -> str:
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in path)


def _test_of_column(column: str, test: Test) -> Predicate:
    match test:
        case Within(first, before):
            return _within(column, first, before)
        case During(first, before):
            return _within(column, first and first.replace(tzinfo=None), before and before.replace(tzinfo=None))
        case Is(flag):
            return Predicate(f"{column} = ?", (flag,))
        case _:
            return _test_of_text(column, test)


def _test_of_text(text: str, test: Test) -> Predicate:
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
            return _like(text, pattern)
        case Within(first, before):
            return _within(DUCKDB.as_integer(text), first, before)
        case During(first, before):
            return _within(text, first and stamp(first), before and stamp(before))
        case Is(flag):
            return Predicate(f"{text} = ?", (str(flag).lower(),))
        case InNetwork(network):
            return _in_network(text, network)
        case _:
            raise TypeError(f"expected a test of text, not {test!r}")


def _test_of_json(value: str, test: Test) -> Predicate:
    text = DUCKDB.as_text(value)
    match test:
        case Exists():
            return Predicate(f"NOT {DUCKDB.is_json(value, *DUCKDB.EMPTY)}")
        case Like(pattern):
            sql, params = _like(text, pattern)
            return Predicate(f"({DUCKDB.is_json(value, *DUCKDB.STRING)} AND {sql})", params)
        case Same(expected, number):
            same = Predicate(f"({text} = ? AND {DUCKDB.is_json(value, *DUCKDB.WHOLE_OR_TEXT)})", (expected,))
            if number is None:
                return same
            equal = f"({DUCKDB.is_json(value, *DUCKDB.FRACTION)} AND {DUCKDB.as_double(value)} = ?)"
            return _joined(" OR ", (same, Predicate(equal, (number,))))
        case Ordered(bounds):
            return _joined(" AND ", (_bound(value, operator, bound) for operator, bound in bounds))
        case _:
            raise TypeError(f"expected a test of JSON, not {test!r}")


def _bound(value: str, operator: str, bound: float | str) -> Predicate:
    is_text = isinstance(bound, str)
    types = DUCKDB.STRING if is_text else DUCKDB.NUMBERS
    comparable = DUCKDB.as_text(value) if is_text else DUCKDB.as_double(value)
    return Predicate(f"({DUCKDB.is_json(value, *types)} AND {comparable} {operator} ?)", (bound,))


def _within(amount: str, first: object, before: object) -> Predicate:
    if isinstance(first, int) and before == first + 1:
        return Predicate(f"{amount} = ?", (first,))
    bounds = [
        Predicate(f"{amount} {sign} ?", (bound,)) for sign, bound in ((">=", first), ("<", before)) if bound is not None
    ]
    return _joined(" AND ", bounds)


def _like(text: str, pattern: Pattern) -> Predicate:
    match pattern:
        case (str(start), Wildcard.ANY):
            return Predicate(DUCKDB.starts_with(text), (start,))
        case (Wildcard.ANY, str(end)):
            return Predicate(DUCKDB.ends_with(text), (end,))
        case (Wildcard.ANY, str(part), Wildcard.ANY):
            return Predicate(DUCKDB.contains(text), (part,))
        case (str(start), *_):  # the beginning alone tells which parts of a file to skip
            return Predicate(f"({DUCKDB.starts_with(text)} AND {DUCKDB.is_like(text)})", (start, like(pattern)))
        case _:
            return Predicate(DUCKDB.is_like(text), (like(pattern),))


def _free_text(pattern: Pattern) -> Predicate:
    columns = [f'"{column.name}"' for column in text_columns(pattern)]
    bound = DUCKDB.lowered("?")
    match pattern:
        case (str(part),):
            places = [DUCKDB.contains(DUCKDB.lowered(column), bound) for column in (*columns, "text")]
        case _:
            part = f"%{like(pattern)}%"
            places = [DUCKDB.is_like(DUCKDB.lowered(column), bound) for column in columns]
            each = DUCKDB.is_like(DUCKDB.lowered(ELEMENT), bound)
            places.append(DUCKDB.any_element(DUCKDB.split_text("text"), each))
    return Predicate(f"({' OR '.join(places)})", (part,) * len(places))


_OCTET = "(?:0|[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])"
_IPV6 = "(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}|[0-9a-f:]*::[0-9a-f:]*"


def _in_network(text: str, network: IPv4Network | IPv6Network) -> Predicate:
    if isinstance(network, IPv6Network):
        lowest, highest = (f"{int(address):032x}" for address in (network[0], network[-1]))
        digits = f"{DUCKDB.ipv6_digits(text)} BETWEEN ? AND ?"
        return Predicate(f"({DUCKDB.matches_expression(text)} AND {digits})", (_IPV6, lowest, highest))
    octets = [_octet(*bounds) for bounds in zip(network[0].packed, network[-1].packed, strict=True)]
    known = network.prefixlen // 8
    start = ".".join(octets[:known]) + "." * (0 < known < len(octets))
    whole = DUCKDB.matches_expression(text)
    return Predicate(f"({DUCKDB.starts_with(text)} AND {whole})", (start, r"\.".join(octets)))


def _octet(lowest: int, highest: int) -> str:
    if lowest == highest:
        return str(lowest)
    return _OCTET if (lowest, highest) == (0, 255) else f"(?:{'|'.join(map(str, range(lowest, highest + 1)))})"
