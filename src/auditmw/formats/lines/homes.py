"""Where a value of a log line lives in the event, and how it gets there and back: the homes of any kind of value.

A home's `put` writes a text into an event and returns whether `get` would give exactly that text back; it raises
ValueError, and leaves the event as it was, when the text cannot stand there. What raises, and what would not come back
the same, a format keeps as it is in `source.fields`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Protocol
from urllib.parse import quote, unquote_to_bytes

from auditmw.formats.line import Event

_LARGEST = 2**53 - 1  # what every JSON reader reads exactly (RFC 8259 §6), and the schema's limit
_NUMBER = re.compile(r"\d{1,16}", re.ASCII)
_SAFE = "-._~@:+=/"  # what the middleware leaves as it is in X-Userid, beside letters and digits


class Home(Protocol):
    """One place of the event, or several that one value tells."""

    rank: int
    """Of two homes that claim the same place, the one of the lower rank gets it."""

    claims: tuple[str, ...]
    """The JSON pointers of the places that it writes."""

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        r"""Write the text into the event and return whether it comes back the same; `escaped` when it has `\xHH`."""
        ...

    def get(self, event: Event) -> str | None:
        """Return the text that the event has there, None when it has none."""
        ...

    def texts(self, event: Event) -> Iterator[str]:
        """Return the JSON pointers of the texts that `put` wrote as they came."""
        ...


def member(event: Event, path: tuple[str, ...]) -> Any:
    """Return what stands at a path of the event, None where there is nothing."""
    value: Any = event
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


class Place:
    """A home that is one member of the event."""

    rank = 2

    def __init__(self, *path: str) -> None:
        self.path = path
        self._parents, self._name = path[:-1], path[-1]
        self.claims: tuple[str, ...] = ("/" + "/".join(path),)

    def texts(self, event: Event) -> Iterator[str]:
        """Return the JSON pointers of the texts that `put` wrote as they came."""
        return iter(self.claims)

    def set(self, event: Event, value: Any) -> None:
        """Write the value, and the objects around it where they are missing."""
        place = event
        for name in self._parents:
            place = place.setdefault(name, {})
        place[self._name] = value


class Text(Place):
    """Text as it came; an empty one is no value, except where `MaybeEmpty` says that it is."""

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write the text."""
        if not text:
            raise ValueError("expected a text that is not empty")
        self.set(event, text)
        return True

    def get(self, event: Event) -> str | None:
        """Return the text."""
        value = member(event, self.path)
        return value if isinstance(value, str) else None


class MaybeEmpty(Text):
    """Text that says something even when it is empty: the header was sent."""

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write the text."""
        self.set(event, text)
        return True


class Matching(Text):
    """Text of a shape that the schema asks for."""

    def __init__(self, shape: str, *path: str) -> None:
        super().__init__(*path)
        self.shape = re.compile(shape)

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write the text when it has the shape."""
        if not self.shape.fullmatch(text):
            raise ValueError(f"expected {self.shape.pattern}")
        self.set(event, text)
        return True


class User(Text):
    """What X-Userid or X-Sessionid carried; `decoded` when the middleware wrote it, percent-encoded."""

    def __init__(self, *path: str, decoded: bool = False) -> None:
        super().__init__(*path)
        self.decoded = decoded

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write the text, percent-decoded where that is asked for and gives text."""
        if not self.decoded or escaped:
            return super().put(event, text)
        try:
            value = unquote_to_bytes(text).decode()
        except UnicodeDecodeError:
            return super().put(event, text) and self.get(event) == text
        return super().put(event, value) and self.get(event) == text

    def get(self, event: Event) -> str | None:
        """Return the text, percent-encoded as the middleware sends it where that is asked for."""
        value = super().get(event)
        if value is None or not self.decoded:
            return value
        return "%2D" if value == "-" else quote(value, safe=_SAFE)


class Number(Place):
    """A whole number of at most `most`."""

    def __init__(self, *path: str, most: int = _LARGEST) -> None:
        super().__init__(*path)
        self.most = most

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write the number."""
        if not _NUMBER.fullmatch(text) or int(text) > self.most:
            raise ValueError(f"expected a number of at most {self.most}")
        self.set(event, int(text))
        return text == "0" or text[0] != "0"

    def get(self, event: Event) -> str | None:
        """Return the number's digits."""
        value = member(event, self.path)
        return str(value) if isinstance(value, int) else None


class Moment(Text):
    """When it was, in one of the ways to write a time; `of` is `start` where the log means the beginning."""

    def __init__(
        self, read: Callable[[str], str], write: Callable[[str], str], *, rank: int, of: str = "timestamp"
    ) -> None:
        super().__init__("timestamp")
        self.read, self.write, self.rank, self.of = read, write, rank, of

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write the time."""
        event["timestamp"] = moment = self.read(text)
        return self.write(moment) == text

    def get(self, event: Event) -> str | None:
        """Return the time."""
        moment = event.get(self.of) or event.get("timestamp")
        return self.write(moment) if moment else None


class Duration(Place):
    """How long it took, in one of the ways to write that."""

    def __init__(self, read: Callable[[str], int], write: Callable[[int], str], *, rank: int = 2) -> None:
        super().__init__("duration_ns")
        self.read, self.write, self.rank = read, write, rank

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write the duration."""
        nanoseconds = self.read(text)
        if not 0 <= nanoseconds <= _LARGEST:
            raise ValueError("expected a duration of at most 104 days")
        event["duration_ns"] = nanoseconds
        return self.write(nanoseconds) == text

    def get(self, event: Event) -> str | None:
        """Return the duration."""
        value = event.get("duration_ns")
        return self.write(value) if isinstance(value, int) else None
