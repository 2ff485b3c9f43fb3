"""What was collected, known from the names of journal files alone.

The messages of a track from number `first` to `last` become the journal file of a writer that is named
`collect-<track>-<first>-<last>`: at once, so that they were collected or not. There is no other record of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_NAME = re.compile(r"collect-([0-9a-f]{16})-([1-9][0-9]{0,18})-([1-9][0-9]{0,18})", re.ASCII)


class Span(NamedTuple):
    """Messages of a track, the first and the last included."""

    track: str
    first: int
    last: int

    @property
    def writer(self) -> str:
        """The name of the writer whose journal file they become."""
        return f"collect-{self.track}-{self.first}-{self.last}"

    @classmethod
    def of_writer(cls, name: str) -> Span | None:
        """Return the messages that a writer's name speaks of; None for the other writers."""
        match = _NAME.fullmatch(name)
        if match is None or int(match[2]) > int(match[3]):
            return None
        return cls(match[1], int(match[2]), int(match[3]))


class Ledger:
    """How far each track is collected, by `writers`, the names of the writers of journal files."""

    def __init__(self, writers: Iterable[str] = ()) -> None:
        self._last: dict[str, int] = {}
        for span in filter(None, map(Span.of_writer, writers)):
            self.add(span)

    def position(self, track: str) -> int:
        """Return the number of the last message that is collected; 0 when none is."""
        return self._last.get(track, 0)

    def add(self, span: Span) -> None:
        """Take messages that are collected."""
        self._last[span.track] = max(self.position(span.track), span.last)
