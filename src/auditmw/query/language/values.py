"""What a value asks of a field: the text of a query made into a test of numbers, times, texts or JSON."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from math import ceil, floor, isfinite
from typing import TypeAlias, TypeVar

from auditmw.query.language.fields import Field, Kind
from auditmw.query.language.syntax import Between, Compared, Exactly, Glob, Operator, Present, Value
from auditmw.query.language.texts import Pattern, expression
from auditmw.query.language.times import Clock, is_relative, period

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Exists:
    """There is a value."""


@dataclass(frozen=True, slots=True)
class OneOf:
    """The text is one of these."""

    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Like:
    """The text has this shape."""

    pattern: Pattern


@dataclass(frozen=True, slots=True)
class Within:
    """The whole number is at least `first`, and less than `before`; None is no bound."""

    first: int | None
    before: int | None


@dataclass(frozen=True, slots=True)
class During:
    """The time is `first` or later, and earlier than `before`, both in UTC; None is no bound."""

    first: datetime | None
    before: datetime | None


@dataclass(frozen=True, slots=True)
class Is:
    """The flag is this."""

    flag: bool


@dataclass(frozen=True, slots=True)
class InNetwork:
    """The text is an IP address of this network."""

    network: IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Same:
    """A JSON value that reads like this: a string, a whole number, true or false; or a number equal to `number`.

    `exact`: `number` is a whole one, so that of whole numbers, which may be of more digits than a float has, only the
    one that reads like it is meant.
    """

    text: str
    number: float | None

    @property
    def exact(self) -> bool:
        """Whether the text is a whole number."""
        return self.text.removeprefix("-").isdecimal()


@dataclass(frozen=True, slots=True)
class Ordered:
    """A JSON value that keeps these bounds: a number where they are numbers, a string where they are strings."""

    bounds: tuple[tuple[Operator, float | str], ...]


Test: TypeAlias = Exists | OneOf | Like | Within | During | Is | InNetwork | Same | Ordered


def meaning(field: Field, value: Value, clock: Clock) -> Test:
    """Return what the value asks of the field; raises ValueError, with a sentence for people, when that is nothing."""
    if isinstance(value, Present):
        return Exists()
    return _BY_KIND[field.kind](field, value, clock)


def is_range(field: Field, text: str) -> bool:
    """Return whether two dots in a value of this field part two bounds. In a path or a text they are what they are."""
    low, dots, high = text.partition("..")
    if field.kind == "any":
        return bool(dots and (low or high)) and all(_number(bound) is not None for bound in (low, high) if bound)
    return bool(dots) and (field.kind in _AMOUNTS or field.kind == "time")


def _text(field: Field, value: Value, _: Clock) -> Test:
    match value:
        case Exactly(text):
            return OneOf((text,))
        case Glob(pattern):
            return Like(pattern)
        case _:
            raise ValueError(f"{field.name} is text, which has no order: expected a value, or a shape such as a*")


def _address(field: Field, value: Value, clock: Clock) -> Test:
    if not isinstance(value, Exactly):
        return _text(field, value, clock)
    if "/" in value.text:
        try:
            return InNetwork(ip_network(value.text, strict=False))
        except ValueError:
            raise ValueError(f"expected a network such as 10.0.0.0/8 or 2001:db8::/32, not {value.text!r}") from None
    try:
        address = ip_address(value.text)
    except ValueError:
        return OneOf((value.text,))  # a host name, unix: or a pseudonym
    return OneOf((str(getattr(address, "ipv4_mapped", None) or address),))


_RANKED = "level"  # the one choice whose words have an order


def _choice(field: Field, value: Value, _: Clock) -> Test:
    match value:
        case Exactly(text) if text.lower() in field.choices:
            return OneOf((text.lower(),))
        case Glob(pattern):
            shape = expression(pattern, re.IGNORECASE)
            return OneOf(tuple(word for word in field.choices if shape.fullmatch(word)))
        case Compared(operator, text) if field.name == _RANKED and text.lower() in field.choices:
            rank = field.choices.index(text.lower())
            first, before = _bounds(operator, rank, rank + 1)
            return OneOf(field.choices[first:before])
        case _:
            raise ValueError(f"expected {field.name} to be one of {', '.join(field.choices)}")


def _flag(field: Field, value: Value, _: Clock) -> Test:
    if isinstance(value, Exactly) and value.text.lower() in ("true", "false"):
        return Is(value.text.lower() == "true")
    raise ValueError(f"expected {field.name} to be true or false")


def _group(field: Field, value: Value, _: Clock) -> Test:
    raise ValueError(
        f"{field.name} is a group of fields: name one of them, as in {field.name}.KEY:VALUE, or {field.name}:*"
    )


def _any(field: Field, value: Value, clock: Clock) -> Test:
    match value:
        case Exactly(text):
            return _same(text)
        case Glob(pattern):
            return Like(pattern)
        case Compared(operator, text):
            number = _number(text)
            return Ordered(((operator, text if number is None else number),))
        case Between(low, high):
            bounds: list[tuple[Operator, float | str]] = [(">=", _numeric(low))] if low else []
            return Ordered((*bounds, ("<=", _numeric(high))) if high else tuple(bounds))
        case _:
            return Exists()


def _same(text: str) -> Same:
    number = _number(text)
    same = Same(text, number)
    if same.exact and number is not None and int(number) != int(text):
        return Same(text, None)  # no fraction is this number
    return same


_NUMBER = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?")


def _numeric(text: str) -> float:
    number = _number(text)
    if number is None:
        raise ValueError(f"expected a number on each side of the dots, not {text!r}")
    return number


def _number(text: str) -> float | None:
    """Return the number that the text is, None when it is none."""
    number = float(text) if _NUMBER.fullmatch(text) else None
    return number if number is None or isfinite(number) else None


def _time(field: Field, value: Value, clock: Clock) -> Test:
    if isinstance(value, Exactly) and is_relative(value.text):
        return During(period(value.text, clock)[0], None)
    return During(*_interval(field, value, lambda text: period(text, clock)))


def _amount(field: Field, value: Value, _: Clock) -> Test:
    first, before = _interval(field, value, _AMOUNTS[field.kind])
    return Within(_fitting(first), _fitting(before))


def _fitting(bound: int | None) -> int | None:
    """Return the bound within 64 bits, as all numbers of events are."""
    return None if bound is None else max(-(2**63), min(bound, 2**63 - 1))


def _interval(field: Field, value: Value, read: Callable[[str], tuple[T, T]]) -> tuple[T | None, T | None]:
    """Return the interval of a value, from the first on and before the second, as `read` finds it for a text."""
    match value:
        case Exactly(text):
            return read(text)
        case Compared(operator, text):
            return _bounds(operator, *read(text))
        case Between(None, None):
            raise ValueError("expected a bound on one side of the dots")
        case Between(low, high):
            return read(low)[0] if low else None, read(high)[1] if high else None
        case _:
            raise ValueError(f"{field.name} has no text for a shape: expected a value, >value or low..high")


def _bounds(operator: Operator, first: T, before: T) -> tuple[T | None, T | None]:
    match operator:
        case ">=":
            return first, None
        case ">":
            return before, None
        case "<":
            return None, first
        case "<=":
            return None, before


def _whole(text: str) -> tuple[int, int]:
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise ValueError(f"expected a whole number, not {text!r}")
    return int(text), int(text) + 1


def _status(text: str) -> tuple[int, int]:
    if not re.fullmatch(r"[0-9](?:[0-9]{2}|[0-9]x|xx)", text, re.IGNORECASE):
        raise ValueError(f"expected a status such as 404, or a class such as 4xx, not {text!r}")
    lowest = text.lower()
    return int(lowest.replace("x", "0")), int(lowest.replace("x", "9")) + 1


_DURATIONS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_SIZES = {"": 1, "b": 1} | {
    f"{prefix}{unit}": base**power
    for power, prefix in enumerate("kmgt", 1)
    for unit, base in (("b", 1000), ("ib", 1024))
}
_QUANTITY = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)([^0-9.]*)")


def _quantity(text: str, units: dict[str, int], expected: str) -> tuple[int, int]:
    """Return the interval of whole units that equal the quantity: empty where it is a fraction of one."""
    parts = _QUANTITY.fullmatch(text)
    unit = units.get(parts[2].lower()) if parts else None
    if parts is None or unit is None:
        raise ValueError(f"expected {expected}, not {text!r}")
    exact = Fraction(parts[1]) * unit
    return ceil(exact), floor(exact) + 1


def _duration(text: str) -> tuple[int, int]:
    if text == "0":
        return 0, 1
    return _quantity(text, _DURATIONS, "a duration with its unit, such as 250ms (ns, us, ms, s, m, h)")


def _size(text: str) -> tuple[int, int]:
    return _quantity(text, _SIZES, "a size such as 512, 10kB or 4MiB")


_AMOUNTS: dict[Kind, Callable[[str], tuple[int, int]]] = {
    "number": _whole,
    "status": _status,
    "duration": _duration,
    "size": _size,
}
_BY_KIND: dict[Kind, Callable[[Field, Value, Clock], Test]] = {
    "text": _text,
    "address": _address,
    "choice": _choice,
    "flag": _flag,
    "group": _group,
    "any": _any,
    "time": _time,
    **dict.fromkeys(_AMOUNTS, _amount),
}
