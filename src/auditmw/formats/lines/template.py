"""A line made of literal text and variables, as nginx's `log_format` and Apache's `LogFormat` describe it.

The description becomes one regular expression that reads a line in linear time, whatever the line: what stands in it
was chosen by clients.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from auditmw.formats.line import FormatError
from auditmw.formats.lines.assembly import Variable
from auditmw.formats.lines.escapes import Dialect

FLAGS = re.DOTALL | re.ASCII
_END = r"\Z"
_SHOWN = 40  # characters of a line in a message


class Slot(NamedTuple):
    """A variable's place in a line.

    `shape` is a regular expression for all that the variable can be, None for any text; `fixed` shapes have one length.
    `spaced` text has spaces in it, such as a request or a list.
    """

    variable: Variable
    shape: str | None = None
    fixed: bool = False
    spaced: bool = False


Part = str | Slot


class Piece(NamedTuple):
    """A regular expression for one or more of the parts of a line, and what they are called."""

    pattern: str
    called: str


def slots(parts: Iterable[Part]) -> list[Slot]:
    """Return the slots among the parts."""
    return [part for part in parts if isinstance(part, Slot)]


def literals_merged(parts: Iterable[Part]) -> list[Part]:
    """Return the parts with literal texts that touch as one, and none that is empty."""
    merged: list[Part] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        elif part != "":
            merged.append(part)
    return merged


def pieces(parts: Sequence[Part], dialect: Dialect) -> list[Piece]:
    """Return the regular expressions of the parts; together they are that of the line, with a group for each slot.

    Raises FormatError when nothing tells where a variable ends and the next one begins.
    """
    result: list[Piece] = []
    left = list(parts)
    while left:
        part = left.pop(0)
        if isinstance(part, str):
            result.append(Piece(re.escape(part), repr(part)))
            continue
        wild = _wild(part, left, dialect)
        if wild is None:
            result.append(Piece(f"({_value(part, left, dialect)})", part.variable.name))
        else:
            result.append(wild)
            del left[:2]
    return result


def compiled(found: Iterable[Piece]) -> re.Pattern[str]:
    """Return the regular expression of pieces, one after the other."""
    return re.compile("".join(piece.pattern for piece in found), FLAGS)


def first_difference(found: Sequence[Piece], text: str) -> str:
    """Return a sentence about where a text stops being what these pieces say."""
    end = 0
    for n, piece in enumerate(found):
        match = compiled(found[: n + 1]).match(text)
        if match is None:
            return f"expected {piece.called} after character {end}, not {text[end : end + _SHOWN]!r}"
        end = match.end()
    return f"expected nothing after character {end}, not {text[end : end + _SHOWN]!r}"


def _value(slot: Slot, rest: Sequence[Part], dialect: Dialect) -> str:
    """Return the expression for a slot's value, up to the literal text after it."""
    after = rest[0] if rest else None
    if isinstance(after, Slot) and not slot.fixed and not (slot.shape and after.fixed):
        raise FormatError(
            f"nothing stands between {slot.variable.name} and {after.variable.name}: "
            f"where the one ends and the other begins cannot be known from a line"
        )
    if slot.shape:
        return f"{slot.shape}|{re.escape(dialect.absent)}"
    if not isinstance(after, str):
        return ".*+"
    if dialect.name == "none":
        return rf"(?:(?!{re.escape(after)}{_END if len(rest) == 1 else ''}).)*+"
    if slot.spaced and after[0] == " ":
        return r'[^ ",]*+(?:(?:, | : )[^ ",]++)*+'
    return dialect.inside.format(stop=re.escape('"' if after[0] == '"' else f'{after[0]}"'))


def _wild(slot: Slot, rest: Sequence[Part], dialect: Dialect) -> Piece | None:
    """Return the expression for a value that may hold what stands after it, for that, and for the next value.

    Such a value ends at the last place where something unmistakable follows. None for other values.
    """
    after, then, end = (*rest, None, None, None)[:3]
    if not (slot.spaced and isinstance(after, str) and after[0] not in '",' and isinstance(then, Slot) and then.fixed):
        return None
    text = {"default": '[^"]*', "none": ".*"}.get(dialect.name, r'(?:[^"\\]|\\.)*')
    until = re.escape(end) if isinstance(end, str) else _END if end is None else ""
    next_one = f"{then.shape}|{re.escape(dialect.absent)}"
    return Piece(
        f"(?>({text}){re.escape(after)}({next_one})(?={until}))", f"{slot.variable.name}{after}{then.variable.name}"
    )
