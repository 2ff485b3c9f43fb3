"""What was imported, known from the names of journal files alone.

1. A chunk of an input, its bytes from `start` to `end`, becomes the journal file of a writer that is named
   `import-<before>-<after>-<start>-<end>`: `before` and `after` are the first 16 hexadecimal digits of the SHA-256 of
   all bytes of the input (uncompressed) up to `start` and up to `end`.
2. So a chunk is known again whatever the input is called by now: the file itself, its rotated or compressed copy, a
   file that has grown since. There is no other record of what was imported.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

DIGITS = 16  # of a digest
_NAME = re.compile(r"import-([0-9a-f]{16})-([0-9a-f]{16})-(0|[1-9][0-9]{0,17})-([1-9][0-9]{0,17})", re.ASCII)

Mark = tuple[int, frozenset[str]]
"""An offset, and the digests that the bytes before it may have."""


class Span(NamedTuple):
    """A chunk of an input: where it begins and ends, and the digests of all bytes before either place."""

    before: str
    after: str
    start: int
    end: int

    @property
    def writer(self) -> str:
        """The name of the writer whose journal file the chunk becomes."""
        return f"import-{self.before}-{self.after}-{self.start}-{self.end}"

    @classmethod
    def of_writer(cls, name: str) -> Span | None:
        """Return the chunk that a writer's name speaks of; None for the other writers."""
        match = _NAME.fullmatch(name)
        if match is None or int(match[3]) >= int(match[4]):
            return None
        return cls(match[1], match[2], int(match[3]), int(match[4]))


class Ledger:
    """The chunks of all inputs that are recorded among `writers`, names of the writers of journal files."""

    def __init__(self, writers: Iterable[str] = ()) -> None:
        self._ends: dict[tuple[str, int], list[tuple[int, str]]] = defaultdict(list)
        starts: dict[int, set[str]] = defaultdict(set)
        for span in filter(None, map(Span.of_writer, writers)):
            self._ends[span.before, span.start].append((span.end, span.after))
            starts[span.start].add(span.before)
        self._starts = {start: frozenset(digests) for start, digests in starts.items()}
        self._offsets = sorted(starts)

    def ends_from(self, digest: str, start: int, before: int) -> list[Mark]:
        """Return where chunks end that begin at `start` after bytes of this digest: in order, none after `before`."""
        ends: dict[int, set[str]] = defaultdict(set)
        for end, after in self._ends.get((digest, start), ()):
            if end <= before:
                ends[end].add(after)
        return [(end, frozenset(ends[end])) for end in sorted(ends)]

    def starts_between(self, after: int, before: int) -> list[Mark]:
        """Return where chunks begin that begin after `after` and before `before`, in order."""
        offsets = self._offsets[bisect_right(self._offsets, after) : bisect_left(self._offsets, before)]
        return [(offset, self._starts[offset]) for offset in offsets]
