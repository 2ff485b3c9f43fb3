"""A query's text as its tree, whatever the text.

The grammar, in which every step also knows what to do with a text that ends or goes on otherwise:

    any    = all ("OR" all)*
    all    = item ("AND"? item)*
    item   = ("-" | "NOT")* ( "(" any ")" | NAME ":" values | QUOTED | WORD )
    values = value ("," value)*  |  "(" value (("OR" | ",") value)* ")"
    value  = (">" | ">=" | "<" | "<=")? (QUOTED | WORD)

What a character means depends on where it stands: a comma separates values but is part of a word, a colon ends a name
but is part of a value. So each step takes its tokens from the text itself. The time taken is in proportion to the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from auditmw.query.language.fields import BARE_KEY, Field, UnknownFieldError, find
from auditmw.query.language.syntax import (
    And,
    Between,
    Compared,
    Exactly,
    Glob,
    Match,
    Node,
    Or,
    Present,
    Text,
    Value,
    joined,
    negated,
)
from auditmw.query.language.texts import QUOTED, Pattern, Wildcard, read_pattern, unquoted
from auditmw.query.language.values import is_range

MAX_CHARACTERS = 16_384
MAX_TERMS = 100
MAX_DEPTH = 50
MAX_ERRORS = 20
_MAX_MESSAGE = 300  # characters: it may quote the query

_SURROGATE = re.compile("[\ud800-\udfff]")  # half of a character of UTF-16: nothing that any event can hold
_END = r"(?=[\s()]|\Z)"
_SPACE = re.compile(r"\s*+")
_AND = re.compile("AND" + _END)
_OR = re.compile("OR" + _END)
_NOT = re.compile(f"NOT{_END}|-")
_NO_TERM = re.compile(rf"[\s)]|\Z|(?:AND|OR){_END}")
_OPEN = re.compile(r"\(")
_CLOSE = re.compile(r"\)")
_COMMA = re.compile(r",")
_NAME = re.compile(rf"([^\W\d][\w-]*+(?:\.(?:{QUOTED}|{BARE_KEY}))*+):", re.DOTALL)
_OPERATOR = re.compile(r"[<>]=?+")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.|\\\Z)*+("?+)', re.DOTALL)
_WORD = re.compile(r"(?:\\.|[^\s()])++", re.DOTALL)
_VALUE = re.compile(r"(?:\\.|[^\s(),])++", re.DOTALL)


class QueryError(NamedTuple):
    """What is wrong with a query, and where in its text: from `start` up to `end`, counted in characters."""

    start: int
    end: int
    message: str


class Parsed(NamedTuple):
    """The tree of a text, None when nothing is asked, and what is wrong with the text, in its order."""

    tree: Node | None
    errors: tuple[QueryError, ...]


def parse_tree(text: str, check: Callable[[Field, Value], object]) -> Parsed:
    """Return the tree of what makes sense in the text; never raises.

    `check` raises ValueError, with a sentence for people, where a value asks nothing of its field.
    """
    if len(text) > MAX_CHARACTERS:
        message = f"expected at most {MAX_CHARACTERS:,} characters, not {len(text):,}: nothing of it was read"
        return Parsed(None, (QueryError(MAX_CHARACTERS, len(text), message),))
    parser = _Parser(_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text), check)
    if bad := _SURROGATE.search(text):
        parser.errors.append(QueryError(*bad.span(), "this is half of a character"))
    tree = parser.any_of()
    return Parsed(tree, tuple(sorted(parser.errors)))


class _Parser:
    """One text, and how far it has been read."""

    def __init__(self, text: str, check: Callable[[Field, Value], object]) -> None:
        self.errors: list[QueryError] = []
        self._text = text
        self._check = check
        self._at = 0
        self._depth = 0
        self._terms = 0

    def any_of(self) -> Node | None:
        parts = [self._all_of(None)]
        while operator := self._take(_OR):
            parts.append(self._all_of(operator))
        return joined(Or, parts)

    def _all_of(self, operator: re.Match[str] | None) -> Node | None:
        parts: list[Node | None] = []
        while not self._is_over():
            if conjunction := self._take(_AND):
                if operator or not parts:
                    self._wrong(conjunction, "expected a term before AND")
                else:
                    operator = conjunction
            else:
                parts.append(self._item())
                operator = None
        if operator:
            self._wrong(operator, f"expected a term after {operator[0]}")
        elif not parts and (following := _OR.match(self._text, self._at)):
            self._wrong(following, "expected a term before OR")
        return joined(And, parts)

    def _is_over(self) -> bool:
        """Whether no more items of this level follow; passes over spaces and parentheses that close nothing."""
        self._take(_SPACE)
        while self._depth == 0 and (stray := self._take(_CLOSE)):
            self._wrong(stray, "this parenthesis closes nothing")
            self._take(_SPACE)
        rest = self._at
        return rest == len(self._text) or bool(_CLOSE.match(self._text, rest) or _OR.match(self._text, rest))

    def _item(self) -> Node | None:
        is_negated, operator = False, None
        while negation := self._take(_NOT):
            is_negated, operator = not is_negated, negation
            if negation[0] == "NOT":
                self._take(_SPACE)
        if operator and self._is_no_term():
            self._wrong(operator, f"expected a term after {operator[0]}")
            return None
        node = self._atom()
        return negated(node) if is_negated else node

    def _is_no_term(self) -> bool:
        return bool(_NO_TERM.match(self._text, self._at))

    def _atom(self) -> Node | None:
        if opening := self._take(_OPEN):
            return self._group(opening)
        self._terms += 1
        if self._terms > MAX_TERMS:
            self._give_up(self._at, f"expected at most {MAX_TERMS} terms: the rest is left out")
            return None
        if (name := _NAME.match(self._text, self._at)) and self._is_name(name):
            return self._match(name)
        if quotes := self._take(_QUOTED):
            text = self._inside(quotes)
            if not text and quotes[1]:
                self._wrong(quotes, "expected a text between the quotes")
            return Text((text,)) if text else None
        return self._word()

    def _group(self, opening: re.Match[str]) -> Node | None:
        if self._depth == MAX_DEPTH:
            self._give_up(opening.start(), f"parentheses go more than {MAX_DEPTH} deep: the rest is left out")
            return None
        self._depth += 1
        node = self.any_of()
        self._depth -= 1
        if closing := self._take(_CLOSE):
            if not self._text[opening.end() : closing.start()].strip():
                self._error(opening.start(), closing.end(), "expected a term between the parentheses")
        else:
            self._wrong(opening, "this parenthesis is not closed")
        return node

    def _word(self) -> Node | None:
        word = _WORD.match(self._text, self._at)
        assert word is not None  # noqa: S101 -- the callers saw a character that is in every word
        self._at = word.end()
        pattern = _without_ends(read_pattern(word[0]))
        if not pattern:
            self._wrong(word, "expected something to look for: every text matches *; a field has a value with FIELD:*")
            return None
        return Text(pattern)

    def _is_name(self, name: re.Match[str]) -> bool:
        """Whether this is a field, or meant as one; `https://...` and `std::...` are words."""
        following = self._text[name.end() : name.end() + 2]
        try:
            return find(name[1]).kind != "group" or following != "//"
        except UnknownFieldError:
            return not following.startswith(("//", ":"))

    def _match(self, name: re.Match[str]) -> Node | None:
        self._at = name.end()
        field = None
        try:
            field = find(name[1])
        except UnknownFieldError as unknown:
            self._error(name.start(), name.end() - 1, unknown)
        opening = self._take(_OPEN)
        values = self._list(field, opening) if opening else self._values(field, name)
        kept = tuple(value for value in values if value)
        return Match(field, kept) if field and kept else None

    def _values(self, field: Field | None, name: re.Match[str]) -> list[Value | None]:
        values = [self._value(field, name)]
        while comma := self._take(_COMMA):
            values.append(self._value(field, comma))
        return values

    def _list(self, field: Field | None, opening: re.Match[str]) -> list[Value | None]:
        values: list[Value | None] = []
        separator: re.Match[str] | None = opening
        while True:
            self._take(_SPACE)
            if self._at == len(self._text):
                self._wrong(opening, "this parenthesis is not closed")
                return values
            if found := self._take(_OR) or self._take(_COMMA) or self._take(_CLOSE):
                if separator:
                    self._wrong(separator, f"expected a value after {separator[0]}")
                separator = found
                if found[0] == ")":
                    return values
            elif wrong := self._take(_OPEN) or self._take(_AND):
                self._wrong(wrong, f"expected values with OR between them, not {wrong[0]}")
            else:
                values.append(self._value_in_list(field, separator))
                separator = None

    def _value_in_list(self, field: Field | None, separator: re.Match[str] | None) -> Value | None:
        start = self._at
        value = self._value(field, separator)
        if not separator:
            self._error(start, self._at, "expected OR or a comma before the next value")
        return value

    def _value(self, field: Field | None, before: re.Match[str] | None) -> Value | None:
        start = self._at
        operator = self._take(_OPERATOR)
        if quotes := self._take(_QUOTED):
            value = _literal(operator, self._inside(quotes))
        elif word := self._take(_VALUE):
            value = _of_word(field, operator, word[0])
        else:
            missing = operator or before
            assert missing is not None  # noqa: S101 -- in a list, the callers saw that a value begins here
            self._wrong(missing, f"expected a value after {missing[0]}")
            return None
        return self._checked(field, value, start)

    def _checked(self, field: Field | None, value: Value, start: int) -> Value | None:
        if field is None:
            return None
        try:
            self._check(field, value)
        except ValueError as error:
            self._error(start, self._at, error)
            return None
        return value

    def _inside(self, quotes: re.Match[str]) -> str:
        """Return what the quotes stand around: where they are not closed, all of the rest."""
        if quotes[1]:
            return unquoted(quotes[0])
        self._error(quotes.start(), quotes.start() + 1, "these quotes are not closed")
        return unquoted(quotes[0] + '"')

    def _take(self, token: re.Pattern[str]) -> re.Match[str] | None:
        found = token.match(self._text, self._at)
        if found:
            self._at = found.end()
        return found

    def _wrong(self, place: re.Match[str], message: str) -> None:
        self._error(place.start(), place.end(), message)

    def _error(self, start: int, end: int, message: object) -> None:
        if len(self.errors) < MAX_ERRORS:
            text = str(message)
            self.errors.append(
                QueryError(start, end, text if len(text) <= _MAX_MESSAGE else f"{text[:_MAX_MESSAGE]}...")
            )

    def _give_up(self, start: int, message: str) -> None:
        self._error(start, len(self._text), message)
        self._at = len(self._text)


def _without_ends(pattern: Pattern) -> Pattern:
    """Return the pattern without ANY at its ends: a text may stand anywhere."""
    if pattern[:1] == (Wildcard.ANY,):
        pattern = pattern[1:]
    return pattern[:-1] if pattern[-1:] == (Wildcard.ANY,) else pattern


def _literal(operator: re.Match[str] | None, text: str) -> Value:
    match operator and operator[0]:
        case (">" | ">=" | "<" | "<=") as sign:
            return Compared(sign, text)
        case _:
            return Exactly(text)


def _of_word(field: Field | None, operator: re.Match[str] | None, word: str) -> Value:
    pattern = read_pattern(word)
    if pattern == (Wildcard.ANY,) and not operator:
        return Present()
    text = "".join(part.value if isinstance(part, Wildcard) else part for part in pattern)
    if operator:
        return _literal(operator, text)
    if any(isinstance(part, Wildcard) for part in pattern):
        return Glob(pattern)
    if field and text == word and is_range(field, text):
        low, _, high = text.partition("..")
        return Between(low or None, high or None)
    return Exactly(text)
