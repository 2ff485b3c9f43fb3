"""A query as a function of one event: what predicate.py says in SQL, said in Python."""

from __future__ import annotations

import itertools
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, TypeAlias

from auditmw.archive.projection import BOT
from auditmw.archive.texts import other_texts
from auditmw.query.language.fields import EACH, Field
from auditmw.query.language.freetext import folded, text_columns
from auditmw.query.language.syntax import And, Match, Node, Not, Or, Text
from auditmw.query.language.texts import Pattern, Wildcard, expression
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

Event: TypeAlias = Mapping[str, Any]
Matcher: TypeAlias = Callable[[Event], bool]
_AGENT = ("http", "request", "user_agent")
_is_bot = re.compile(BOT, re.ASCII).search  # as RE2 has it: word boundaries are those of ASCII
_Judge: TypeAlias = Callable[[Any], bool]  # of one value


def matcher(node: Node | None, clock: Clock) -> Matcher:
    """Return the function that says whether an event is one that the tree asks for."""
    match node:
        case None:
            return lambda event: True
        case And(parts):
            every = [matcher(part, clock) for part in parts]
            return lambda event: all(part(event) for part in every)
        case Or(parts):
            some = [matcher(part, clock) for part in parts]
            return lambda event: any(part(event) for part in some)
        case Not(part):
            unwanted = matcher(part, clock)
            return lambda event: not unwanted(event)
        case Text(pattern):
            return _text(pattern)
        case Match(field, values):
            judges = [_judge(meaning(field, value, clock)) for value in values]
            return lambda event: any(judge(value) for value in values_of(event, field) for judge in judges)


def values_of(event: Event, field: Field) -> Iterator[Any]:
    """Yield the values that an event has in a field, as JSON has them."""
    if field.column == "bot":
        return iter([any(isinstance(agent, str) and _is_bot(agent) for agent in _at(event, _AGENT))])
    values: Iterable[Any] = _at(event, field.path)
    if field.kind == "any":
        values = _spread(values)
        for key in field.rest:
            values = _spread(_members(values, key))
    return (value for value in values if value is not None)


def _at(value: Any, path: tuple[str, ...]) -> Iterable[Any]:
    for place, key in enumerate(path):
        if key == EACH:
            items = value if isinstance(value, list) else ()
            return (found for item in items for found in _at(item, path[place + 1 :]))
        if not isinstance(value, Mapping) or key not in value:
            return ()
        value = value[key]
    return (value,)


def _spread(values: Iterable[Any]) -> Iterator[Any]:
    """Yield the values, those of a list in its place."""
    for value in values:
        if isinstance(value, list):
            yield from value
        else:
            yield value


def _members(values: Iterable[Any], key: str) -> Iterator[Any]:
    return (value[key] for value in values if isinstance(value, Mapping) and key in value)


def _judge(test: Test) -> _Judge:
    match test:
        case Exists():
            return lambda value: True
        case OneOf(texts):
            return lambda value: isinstance(value, str) and value in texts
        case Like(pattern):
            shape = expression(pattern)
            return lambda value: isinstance(value, str) and shape.fullmatch(value) is not None
        case Within(first, before):
            return lambda value: _is_whole(value) and _keeps(value, first, before)
        case During(first, before):
            bounds = first and stamp(first), before and stamp(before)
            return lambda value: isinstance(value, str) and _keeps(value, *bounds)
        case Is(flag):
            return lambda value: value is flag
        case InNetwork(network):
            return lambda value: isinstance(value, str) and _is_in(value, network)
        case Same(text, number):
            return lambda value: _is_same(value, text, number, exact=test.exact)
        case Ordered(bounds):
            return lambda value: all(_is_ordered(value, sign, bound) for sign, bound in bounds)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _keeps(value: Any, first: Any, before: Any) -> bool:
    return (first is None or value >= first) and (before is None or value < before)


def _is_in(text: str, network: IPv4Network | IPv6Network) -> bool:
    try:
        return ip_address(text) in network
    except ValueError:
        return False


def _is_same(value: Any, text: str, number: float | None, *, exact: bool) -> bool:
    if isinstance(value, float):
        return value == number
    if isinstance(value, bool):
        return text == ("true" if value else "false")
    if isinstance(value, int) and not exact:
        return float(value) == number
    return isinstance(value, str | int) and str(value) == text


_SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


def _is_ordered(value: Any, sign: str, bound: float | str) -> bool:
    if isinstance(bound, str):
        return isinstance(value, str) and _SIGNS[sign](value, bound)
    return (_is_whole(value) or isinstance(value, float)) and _SIGNS[sign](float(value), bound)


def _text(pattern: Pattern) -> Matcher:
    """Return the function that looks for a pattern in all texts of an event."""
    is_in = _finder(pattern)
    paths = [column.path for column in text_columns(pattern)]

    def is_there(event: Event) -> bool:
        columns = (value for path in paths for value in _at(event, path) if isinstance(value, str))
        return any(is_in(folded(text)) for text in itertools.chain(columns, other_texts(event)))

    return is_there


def _finder(pattern: Pattern) -> Callable[[str], bool]:
    match tuple(folded(part) if isinstance(part, str) else part for part in pattern):
        case (str(part),):
            return lambda text: part in text
        case parts:
            shape = expression((Wildcard.ANY, *parts, Wildcard.ANY))
            return lambda text: shape.fullmatch(text) is not None
