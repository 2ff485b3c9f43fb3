r"""Texts as queries write them: in quotes, or as words with wildcards and backslashes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import TypeAlias

QUOTED = r'"(?:[^"\\]|\\.)*+"'


def quoted(text: str) -> str:
    """Return the text in quotes."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def unquoted(text: str) -> str:
    r"""Return what a text in quotes stands for: ``\"`` is a quote, ``\\`` a backslash, any other backslash itself."""
    return re.sub(r'\\(["\\])', r"\1", text[1:-1])


class Wildcard(Enum):
    """A part of a pattern that is not itself: any text, or any one character."""

    ANY = "*"
    ONE = "?"


Pattern: TypeAlias = tuple[str | Wildcard, ...]
"""Texts and wildcards; never an empty text, two texts in a row, nor two ANY."""

_PART = re.compile(r"\\(?P<meant>[^\w])|(?P<wildcard>\*+|\?)|(?P<itself>[^*?\\]+|\\)", re.DOTALL)


def read_pattern(word: str) -> Pattern:
    """Return the pattern that a word without quotes is."""
    return tuple(_joined(_parts(word)))


def _parts(word: str) -> Iterator[str | Wildcard]:
    for part in _PART.finditer(word):
        if wildcard := part["wildcard"]:
            yield Wildcard(wildcard[0])
        else:
            yield part["meant"] or part["itself"]


def _joined(parts: Iterator[str | Wildcard]) -> Iterator[str | Wildcard]:
    text = ""
    for part in parts:
        if isinstance(part, str):
            text += part
            continue
        if text:
            yield text
        text = ""
        yield part
    if text:
        yield text


def print_pattern(pattern: Pattern) -> str:
    """Return the word that `read_pattern` reads as the pattern, wherever in a query it stands."""
    return "".join(
        part.value if isinstance(part, Wildcard) else re.sub(r'[\s"*?\\(),:<>]|^-', r"\\\g<0>", part)
        for part in pattern
    )


def expression(pattern: Pattern, flags: int = 0) -> re.Pattern[str]:
    """Return the regular expression that matches, from end to end, what the pattern does.

    Each text is taken where it is found first, and for good, so that no pattern takes long on any text.
    """
    runs = [""]
    for part in pattern:
        if part is Wildcard.ANY:
            runs.append("")
        else:
            runs[-1] += "." if part is Wildcard.ONE else re.escape(part)
    first, *between = runs[:-1] or [""]
    found = "".join(f"(?>.*?{run})" for run in between)
    return re.compile(first + found + (".*" if len(runs) > 1 else "") + runs[-1], flags | re.DOTALL)


def like(pattern: Pattern) -> str:
    r"""Return the operand of SQL's LIKE that matches what the pattern does, with a backslash as its ESCAPE."""
    by_wildcard = {Wildcard.ANY: "%", Wildcard.ONE: "_"}
    return "".join(
        by_wildcard[part] if isinstance(part, Wildcard) else re.sub(r"[%_\\]", r"\\\g<0>", part) for part in pattern
    )
