"""The parameters of an API request: read, checked, and refused with a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from werkzeug.datastructures import MultiDict

from auditmw.query import Query, Scope, parse
from auditmw.query.language.fields import UnknownFieldError, find
from auditmw.query.moments import parse_moment, parse_span
from auditmw.viewer.refusals import Refusal

T = TypeVar("T", bound=str)


class Parameters:
    """What stands in the query string, by name. An empty value is an absent one."""

    def __init__(self, given: MultiDict[str, str], now: datetime) -> None:
        self._given = given
        self.now = now

    def text(self, name: str) -> str | None:
        """Return a text, None when it is absent."""
        values = self._given.getlist(name)
        if len(values) > 1:
            raise Refusal(400, f"expected {name} once, not {len(values)} times", parameter=name)
        return values[0] or None if values else None

    def required(self, name: str) -> str:
        """Return a text that has to be there."""
        value = self.text(name)
        if value is None:
            raise Refusal(400, f"expected the parameter {name}", parameter=name)
        return value

    def texts(self, name: str) -> list[str]:
        """Return all values of a name, in their order."""
        return self._given.getlist(name)

    def number(self, name: str, default: int, lowest: int, highest: int) -> int:
        """Return a whole number in a range."""
        text = self.text(name)
        if text is None:
            return default
        digits = text.removeprefix("-")
        value = int(text) if digits.isascii() and digits.isdigit() and len(digits) < 19 else None
        if value is None or not lowest <= value <= highest:
            expected = f"a whole number from {lowest:,} to {highest:,}"
            raise Refusal(400, f"expected {name} to be {expected}, not {text[:80]!r}", parameter=name)
        return value

    def one_of(self, name: str, words: Sequence[T], default: T) -> T:
        """Return one of a few words."""
        text = self.text(name)
        if text is None:
            return default
        for word in words:
            if word == text:
                return word
        raise Refusal(400, f"expected {name} to be one of {', '.join(words)}, not {text[:80]!r}", parameter=name)

    def flag(self, name: str, default: bool = False) -> bool:
        """Return 1 as True, 0 as False."""
        value: Literal["0", "1"] = self.one_of(name, ("0", "1"), "1" if default else "0")
        return value == "1"

    def span(self, name: str) -> timedelta | None:
        """Return a span such as 1h30m."""
        text = self.text(name)
        try:
            return None if text is None else parse_span(text)
        except ValueError as error:
            raise Refusal(400, str(error), parameter=name) from None

    def zone(self) -> tzinfo:
        """Return the zone that `tz` names, UTC without one."""
        name = self.text("tz")
        if name is None or name.upper() == "UTC":
            return UTC
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            expected = "a zone such as UTC or Europe/Amsterdam"
            raise Refusal(400, f"expected tz to be {expected}, not {name[:80]!r}", parameter="tz") from None

    def moment(self, name: str) -> datetime | None:
        """Return a time: RFC 3339, or a span before now."""
        text = self.text(name)
        try:
            return None if text is None else parse_moment(text, self.now, self.zone())
        except ValueError as error:
            raise Refusal(400, f"{name}: {error}", parameter=name) from None

    def query(self, name: str = "q") -> Query:
        """Return a query; one with errors stands for what could be understood."""
        return parse(self.text(name) or "", now=self.now, zone=self.zone())

    def scope(self) -> Scope:
        """Return the query `q` in the range from `from` to `to`."""
        start, end = self.moment("from"), self.moment("to")
        if start is not None and end is not None and start >= end:
            told = f"it begins at {start.isoformat()} and ends at {end.isoformat()}"
            raise Refusal(400, f"the range is empty: {told}", parameter="from")
        return Scope(self.query(), start, end)

    def fields(self, name: str, default: Sequence[str], at_most: int = 40) -> list[str]:
        """Return names of fields, separated by commas; each is known."""
        text = self.text(name)
        names = list(default) if text is None else [part.strip() for part in _split(text) if part.strip()]
        if len(names) > at_most:
            raise Refusal(400, f"expected at most {at_most} fields, not {len(names)}", parameter=name)
        for field in names:
            try:
                find(field)
            except UnknownFieldError as error:
                raise Refusal(400, str(error), parameter=name) from None
        return names


def _split(text: str) -> list[str]:
    """Split at commas that do not stand in quotes: ``data."a,b",path``."""
    parts, quoted = [""], False
    for character in text:
        quoted ^= character == '"'
        if character == "," and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return parts
