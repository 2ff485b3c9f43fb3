"""The tree of a query, and how it reads as text.

`print_query(tree)` is the one canonical text of a tree: what `parse` makes of it is the same tree again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from auditmw.query.language.fields import Field
from auditmw.query.language.texts import Pattern, print_pattern, quoted

Operator: TypeAlias = Literal[">", ">=", "<", "<="]


@dataclass(frozen=True, slots=True)
class Exactly:
    """This value, as it was written."""

    text: str


@dataclass(frozen=True, slots=True)
class Glob:
    """A value of this shape; it has at least one wildcard."""

    pattern: Pattern


@dataclass(frozen=True, slots=True)
class Compared:
    """A value above or below this one."""

    operator: Operator
    text: str


@dataclass(frozen=True, slots=True)
class Between:
    """A value from `low` to `high`, both included; None is no bound."""

    low: str | None
    high: str | None


@dataclass(frozen=True, slots=True)
class Present:
    """Any value at all."""


Value: TypeAlias = Exactly | Glob | Compared | Between | Present


@dataclass(frozen=True, slots=True)
class Match:
    """A field has one of these values."""

    field: Field
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """This text stands anywhere in the event, in upper or lower case. No ANY at either end."""

    pattern: Pattern


@dataclass(frozen=True, slots=True)
class Not:
    """What `part` does not match. `part` is no Not."""

    part: Node


@dataclass(frozen=True, slots=True)
class And:
    """What all of two or more parts match. No part is an And."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """What one of two or more parts matches. No part is an Or."""

    parts: tuple[Node, ...]


Node: TypeAlias = Match | Text | Not | And | Or


def negated(part: Node | None) -> Node | None:
    """Return the node for what `part` does not match; None, for nothing said, stays None."""
    return part.part if isinstance(part, Not) else part and Not(part)


def joined(operation: type[And] | type[Or], parts: Iterable[Node | None]) -> Node | None:
    """Return one node for all of the parts that are there, None when there are none."""
    flat: list[Node] = []
    for part in parts:
        flat += part.parts if isinstance(part, operation) else [part] if part else []
    return operation(tuple(flat)) if len(flat) > 1 else flat[0] if flat else None


def print_query(node: Node | None) -> str:
    """Return the canonical text of a tree; "" for None."""
    match node:
        case None:
            return ""
        case And(parts):
            return " ".join(map(_print_part, parts))
        case Or(parts):
            return " OR ".join(map(_print_part, parts))
        case Not(part):
            return "-" + _print_part(part)
        case Match(field, values):
            return f"{field.name}:{','.join(_print_value(field, value) for value in values)}"
        case Text(pattern):
            return _print_text(pattern)


def _print_part(node: Node) -> str:
    return f"({print_query(node)})" if isinstance(node, And | Or) else print_query(node)


def _print_value(field: Field, value: Value) -> str:
    match value:
        case Exactly(text):
            is_plain = _is_plain_value(text) and not (field.kind == "any" and ".." in text)  # which may be a range
            return text if is_plain else quoted(text)
        case Glob(pattern):
            return print_pattern(pattern)
        case Compared(operator, text):
            return operator + (text if _is_plain_value(text) else quoted(text))
        case Between(low, high):
            return f"{low or ''}..{high or ''}"
        case Present():
            return "*"


_is_plain_value = re.compile(r'[^\s"*?\\(),<>][^\s*?\\(),]*+').fullmatch
_is_plain_word = re.compile(r'(?!(?:AND|OR|NOT)\Z)[^\s"*?\\():-][^\s*?\\():]*+').fullmatch


def _print_text(pattern: Pattern) -> str:
    match pattern:
        case (str(text),):
            return text if _is_plain_word(text) else quoted(text)
        case _:
            return print_pattern(pattern)
