"""What journal files that are written whole are made of, as the names of their writers tell it.

1. A stretch of an input that is imported, its bytes from `start` to `end`, becomes the journal file of a writer that is
   named `import-<before>-<after>-<start>-<end>`: `before` and `after` are the first 16 hexadecimal digits of the
   SHA-256 of all bytes of the input (uncompressed) up to `start` and up to `end`.
2. The messages of a track that are collected, from number `first` to `last`, become that of a writer that is named
   `collect-<track>-<first>-<last>`.
3. Where one ends another one begins, after the same bytes or messages: the two are as well told by one name. That of an
   import is no longer than what an import waits for: LONGEST_BYTES.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol

LONGEST_BYTES = 4 * 1024 * 1024
"""How many bytes of an input one name may tell of, at most, when it was made of several."""

DIGITS = 16  # of a digest
_IMPORTED = re.compile(r"import-([0-9a-f]{16})-([0-9a-f]{16})-(0|[1-9][0-9]{0,17})-([1-9][0-9]{0,17})", re.ASCII)
_COLLECTED = re.compile(r"collect-([0-9a-f]{16})-([1-9][0-9]{0,18})-([1-9][0-9]{0,18})", re.ASCII)

Place = tuple[str, str, int]
"""Where one ends and another one may begin."""


class Told(Protocol):
    """What a writer's name may tell of."""

    @property
    def writer(self) -> str:
        """The name."""
        ...

    @property
    def beginning(self) -> Place:
        """Where it begins."""
        ...

    @property
    def ending(self) -> Place:
        """Where it ends."""
        ...

    def up_to(self, last: Any) -> Told | None:
        """Return this, `last` of the same kind, and all between them as one; None where they are not to be that."""
        ...


class Span(NamedTuple):
    """A stretch of an input: where it begins and ends, and the digests of all bytes before either place."""

    before: str
    after: str
    start: int
    end: int

    @property
    def writer(self) -> str:
        """The name of the writer whose journal file it becomes."""
        return f"import-{self.before}-{self.after}-{self.start}-{self.end}"

    @property
    def beginning(self) -> Place:
        """Where it begins."""
        return "import", self.before, self.start

    @property
    def ending(self) -> Place:
        """Where it ends."""
        return "import", self.after, self.end

    def up_to(self, last: Span) -> Span | None:
        """Return this one, `last`, and all between them as one; None where that is too long."""
        if last.end - self.start > LONGEST_BYTES:
            return None
        return Span(self.before, last.after, self.start, last.end)

    @classmethod
    def of_writer(cls, name: str) -> Span | None:
        """Return the stretch that a writer's name speaks of; None for the other writers."""
        match = _IMPORTED.fullmatch(name)
        if match is None or int(match[3]) >= int(match[4]):
            return None
        return cls(match[1], match[2], int(match[3]), int(match[4]))


class Messages(NamedTuple):
    """Messages of a track, the first and the last included."""

    track: str
    first: int
    last: int

    @property
    def writer(self) -> str:
        """The name of the writer whose journal file they become."""
        return f"collect-{self.track}-{self.first}-{self.last}"

    @property
    def beginning(self) -> Place:
        """Behind which message they begin."""
        return "collect", self.track, self.first - 1

    @property
    def ending(self) -> Place:
        """With which message they end."""
        return "collect", self.track, self.last

    def up_to(self, last: Messages) -> Messages:
        """Return these, `last`, and all between them as one."""
        return Messages(self.track, self.first, last.last)

    @classmethod
    def of_writer(cls, name: str) -> Messages | None:
        """Return the messages that a writer's name speaks of; None for the other writers."""
        match = _COLLECTED.fullmatch(name)
        if match is None or int(match[2]) > int(match[3]):
            return None
        return cls(match[1], int(match[2]), int(match[3]))


def told_by(writer: str) -> Told | None:
    """Return what a writer's name tells of; None for those that tell of nothing."""
    return Span.of_writer(writer) or Messages.of_writer(writer)


class Chains:
    """Which follow which, among the names of all `writers` that there are."""

    def __init__(self, writers: Iterable[str]) -> None:
        starting: dict[Place, list[Told]] = defaultdict(list)
        ending: dict[Place, list[Told]] = defaultdict(list)
        for told in set(filter(None, map(told_by, writers))):
            starting[told.beginning].append(told)
            ending[told.ending].append(told)
        # Where two follow, or go before, they stay apart: of two inputs that begin alike, one may have no more.
        self._follows = {
            ending[place][0]: after[0]
            for place, after in starting.items()
            if len(after) == 1 and len(ending.get(place, ())) == 1
        }

    def joined(self, writers: Iterable[str]) -> dict[str, str]:
        """Return the new name of each of these writers that can be told together with others of them."""
        here = set(filter(None, map(told_by, writers)))
        follows = {told: self._follows[told] for told in here if self._follows.get(told) in here}
        names: dict[str, str] = {}
        for first in here - set(follows.values()):
            for group, whole in _groups(first, follows):
                if len(group) > 1:
                    names |= {told.writer: whole.writer for told in group}
        return names


def _groups(first: Told, follows: dict[Told, Told]) -> Iterator[tuple[list[Told], Told]]:
    """Yield those of one chain, as many at a time as one name may tell of, and what that name tells of."""
    group, whole, told = [first], first, follows.get(first)
    while told is not None:
        more = whole.up_to(told)
        if more is None:
            yield group, whole
            group, more = [], told
        group.append(told)
        whole, told = more, follows.get(told)
    yield group, whole
