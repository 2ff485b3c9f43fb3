"""What a query that is being typed could go on with: names of fields, and the values that they have most often."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

from auditmw.query import Scope, facets
from auditmw.query.language import parse
from auditmw.query.language.fields import Field, UnknownFieldError, fields, find
from auditmw.query.language.syntax import And, Exactly, Glob, Match, Node, joined, print_query
from auditmw.query.language.texts import QUOTED, Wildcard
from auditmw.viewer.asking import Ask
from auditmw.viewer.refusals import Refusal, asked

AT_MOST = 20
_LOOKED_AT = 2_000  # characters before the cursor
TIME_LIMIT_SECONDS = 1.0
_VALUES = 200  # that are looked through where values cannot be looked for by how they begin

_BEFORE_VALUE = re.compile(  # a field's name, and where its value begins, at the end of what stands before the cursor
    rf'(?:^|[\s(-])(?P<name>[^\W\d][\w-]*(?:\.(?:{QUOTED}|[^\s:.",()\\]+))*):'
    rf'(?P<others>\((?:[^()"]|{QUOTED})*?(?:[\s,(]|OR\s)|(?:(?:{QUOTED}|[^\s(),"])+,)*)?(?P<value>"?[^\s(),"]*)\Z'
)
_WORD_BEFORE = re.compile(r"[^\s():]*\Z")
_REST_OF_WORD = re.compile(r'[^\s(),:"]*"?')
_OPERATOR = re.compile(r"[<>]=?")
_EXAMPLES = {
    "duration": (">100ms", ">1s", ">10s", "100ms..1s"),
    "size": (">10kB", ">1MB", "1kB..10kB"),
    "time": ("-15m..", "-1h..", "-1d..", "-7d.."),
    "flag": ("true", "false"),
}


class Item(NamedTuple):
    """Something to go on with: the text that replaces what is there, what it is, and how many events have it."""

    text: str
    detail: str
    events: int | None = None


class Completion(NamedTuple):
    """The items, best first, and which part of the query they replace: from `start` up to `end`, in characters."""

    start: int
    end: int
    items: tuple[Item, ...]


def completion(ask: Ask, text: str, at: int) -> Completion:
    """Return what could stand at a place in a query."""
    before = text[max(0, at - _LOOKED_AT) : at]
    if before.count('"') % 2 == 0 or re.search(r':"[^"]*\Z', before):
        found = _BEFORE_VALUE.search(before)
        if found is not None:
            return _values(ask, text, at, found, at - len(before))
    word = _WORD_BEFORE.search(before)
    typed = word[0].lstrip("-") if word else ""
    end = _end(text, at)
    if text[end : end + 1] == ":":  # the name of a field that has its value already
        end += 1
    return Completion(at - len(typed), end, tuple(_names(typed)))


def _end(text: str, at: int) -> int:
    rest = _REST_OF_WORD.match(text, at)
    return rest.end() if rest else at


def _names(typed: str) -> list[Item]:
    """Return the fields whose name, or another name, has what was typed: those that begin with it first."""
    wanted = typed.lower()
    ranked = []
    for number, field in enumerate(_named()):
        names = (field.name.lower(), *field.aliases)
        if any(wanted in name for name in names):
            ranked.append((not field.name.startswith(wanted), field.column is None, number, field))
    best = [field for *_, field in sorted(ranked, key=lambda one: one[:3])[:AT_MOST]]
    return [Item(field.name + ("." if field.kind == "group" else ":"), field.description) for field in best]


@cache
def _named() -> tuple[Field, ...]:
    return tuple(dict.fromkeys(fields().values()))


def _values(ask: Ask, text: str, at: int, found: re.Match[str], skipped: int) -> Completion:
    start, end = skipped + found.start("value"), _end(text, at)
    try:
        field = find(found["name"])
    except UnknownFieldError:
        return Completion(start, end, ())
    operator = _OPERATOR.match(found["value"])
    typed = found["value"].lstrip('"')
    words = (*field.choices, *_EXAMPLES.get(field.kind, ()))
    items = [Item(word, "") for word in words if word.startswith(typed.lower())]
    if not operator and field.kind not in ("duration", "size", "time", "flag", "group"):
        rest = text[: skipped + found.start("name")].rstrip("-(") + " " + text[end:]
        ask.viewed(f"values of {field.name}")
        counted = _frequent(ask, field, typed, rest)
        seen = {item.text for item in counted}
        items = [*counted, *(item for item in items if item.text not in seen)]
    return Completion(start, end, tuple(items[:AT_MOST]))


def _frequent(ask: Ask, field: Field, typed: str, rest: str) -> list[Item]:
    """Return the most frequent values that begin with, or have, what was typed, among events that the rest finds."""
    query = parse(rest, now=ask.parameters.now, zone=ask.parameters.zone())
    part = _beginning_with(field, typed)
    scope = Scope(replace(query, tree=joined(And, (query.tree, part)), errors=()), ask.scope.start, ask.scope.end)
    options = {**ask.options, "time_limit_seconds": min(TIME_LIMIT_SECONDS, ask.shared.time_limit_seconds)}
    try:
        with ask.slot(TIME_LIMIT_SECONDS):
            (facet,) = asked(lambda: facets(ask.engine, [field.name], scope, limit=_VALUES, **options))
    except Refusal:
        return []  # a suggestion is not worth an error
    wanted = typed.lower()
    values = [one for one in facet.values if one.value is not None and wanted in one.value.lower()]
    values.sort(key=lambda one: not one.value.lower().startswith(wanted) if one.value else True)
    return [Item(_printed(field, str(one.value)), "", one.events) for one in values[:AT_MOST]]


def _beginning_with(field: Field, typed: str) -> Node | None:
    """Return the condition that a value has what was typed in it, where the language can say so."""
    if not typed or field.kind not in ("text", "any", "address"):
        return None
    spellings = dict.fromkeys((typed, typed.lower(), typed.upper(), typed.capitalize()))
    return Match(field, tuple(Glob((Wildcard.ANY, text, Wildcard.ANY)) for text in spellings))


def _printed(field: Field, value: str) -> str:
    """Return a value as it stands behind the colon."""
    return print_query(Match(field, (Exactly(value),)))[len(field.name) + 1 :]


def parsed(ask: Ask) -> Any:
    """Return what a query means, what is wrong with it, and what could stand at a place in it."""
    read = ask.parameters
    text = read.text("q") or ""
    query = read.query()
    answer: dict[str, Any] = {"canonical": str(query), "errors": [error._asdict() for error in query.errors]}
    place = read.text("at")
    if place is not None:
        answer["complete"] = completion(ask, text, read.number("at", 0, 0, len(text)))
    return answer
