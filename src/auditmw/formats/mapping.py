"""Tables of fields, compiled: each field of an event goes to its place in a record and back, the rest stays together.

A table has one row per field: its dotted path in the event, its path in the record, and the kind of value that may
stand there. What a table does not name, and what is not of the kind, is the remainder: it has the event's own shape,
and the format carries it as it is. So nothing gets lost, whatever the event holds, and `restored` is exact.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, NamedTuple

from auditmw.formats.record import Event, RecordError

UNFIT: Any = object()
"""What a `Kind.to` returns for a value that the record cannot have exactly: it stays in the remainder."""

_INT64 = range(-(2**63), 2**63)
_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")


class Kind(NamedTuple):
    """What a field must be: the type in the event and in the record, and the ways between them, None for none."""

    inside: type
    outside: type
    to: Callable[[Any], Any] | None = None
    back: Callable[[Any], Any] | None = None


class Field(NamedTuple):
    """One row of a table: a dotted path in the event, the path in the record, and the kind of value."""

    native: str
    target: str
    kind: Kind


def text_that(is_fit: Callable[[str], object]) -> Kind:
    """Return the kind of text for which `is_fit` is true."""
    return Kind(str, str, lambda text: text if is_fit(text) else UNFIT)


TEXT = Kind(str, str)
INTEGER = Kind(int, int, lambda number: number if number in _INT64 else UNFIT)
TEXTS = Kind(list, list, lambda values: values if all(type(value) is str for value in values) else UNFIT)
TIMESTAMP = text_that(lambda text: nanoseconds(text) is not None)
"""RFC 3339 in UTC with six digits, as the event's own times."""


class Mapping:
    """A table in both directions.

    `separator`: what the paths of a record are nested by; "" where its names are flat.
    Raises ValueError for a table in which two fields have one place.
    """

    def __init__(self, fields: Iterable[Field], separator: str = ".") -> None:
        fields = tuple(fields)
        self._there: dict[str, Any] = {}
        self._back: dict[str, Any] = {}
        for native, target, kind in fields:
            inside, outside = tuple(native.split(".")), tuple(target.split(separator) if separator else [target])
            _plant(self._there, inside, _Leaf(outside, kind.inside, kind.to))
            _plant(self._back, outside, _Leaf(inside, kind.outside, kind.back))

    def rendered(self, event: Event) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what the table says of an event, and the remainder; values are shared with the event, not copied."""
        record: dict[str, Any] = {}
        rest: dict[str, Any] = {}
        _walk(event, self._there, record, rest)
        return record, rest

    def restored(self, record: dict[str, Any], rest: dict[str, Any]) -> Event:
        """Return the event of a record and its remainder, which wins; anything else in the record is ignored.

        Raises RecordError where record and remainder contradict each other.
        """
        try:
            _walk(record, self._back, rest, {})
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise RecordError(f"expected a record that auditmw rendered: {error}") from error
        return rest


class _Leaf:
    """Puts one value into its place, when it is fit."""

    __slots__ = ("branches", "convert", "kind", "name")

    def __init__(self, place: tuple[str, ...], kind: type, convert: Callable[[Any], Any] | None) -> None:
        self.branches, self.name = place[:-1], place[-1]
        self.kind, self.convert = kind, convert

    def put(self, value: Any, into: dict[str, Any]) -> bool:
        if type(value) is not self.kind:  # not isinstance: a bool is no number here
            return False
        if self.convert is not None:
            value = self.convert(value)
            if value is UNFIT:
                return False
        for branch in self.branches:
            into = into.setdefault(branch, {})
        into.setdefault(self.name, value)
        return True


def _plant(tree: dict[str, Any], path: tuple[str, ...], leaf: _Leaf) -> None:
    for branch in path[:-1]:
        tree = tree.setdefault(branch, {})
    if path[-1] in tree:
        raise ValueError(f"two fields have the place {'.'.join(path)}")
    tree[path[-1]] = leaf


def _walk(source: dict[str, Any], tree: dict[str, Any], into: dict[str, Any], rest: dict[str, Any]) -> None:
    for name, value in source.items():
        node = tree.get(name)
        if type(node) is _Leaf:
            if not node.put(value, into):
                rest[name] = value
        elif node is None or type(value) is not dict or not value:
            rest[name] = value
        else:
            remaining: dict[str, Any] = {}
            _walk(value, node, into, remaining)
            if remaining:
                rest[name] = remaining


def at(event: Event, path: str) -> Any:
    """Return what stands at a dotted path of an event; None where there is nothing."""
    value: Any = event
    for name in path.split("."):
        value = value.get(name) if type(value) is dict else None
    return value


def text_at(event: Event, path: str) -> str | None:
    """Return the text at a dotted path of an event; None where there is none, or none that says anything."""
    value = at(event, path)
    return value if type(value) is str and value else None


@functools.lru_cache(maxsize=256)
def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text + "+00:00").timestamp())


def nanoseconds(text: object) -> int | None:
    """Return the nanoseconds since 1970 of an event's timestamp; None for anything else, or an earlier time."""
    if type(text) is not str or not _TIMESTAMP.fullmatch(text):
        return None
    try:
        seconds = _seconds(text[:19])
    except ValueError:  # the 31st of February
        return None
    return seconds * 1_000_000_000 + int(text[20:26]) * 1_000 if seconds >= 0 else None


@functools.lru_cache(maxsize=4096)
def is_ip(text: str) -> bool:
    """Return whether the text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def is_pseudonym(event: Event, pointer: str) -> bool:
    """Return whether what stands at the JSON pointer is a pseudonym, as `meta.pseudonymised` tells."""
    pseudonyms = at(event, "meta.pseudonymised")
    return type(pseudonyms) is dict and pointer in pseudonyms
