"""Stretches of inputs that were imported, as the names of writers tell them.

1. A stretch of an input, its bytes from `start` to `end`, becomes the journal file of a writer that is named
   `import-<before>-<after>-<start>-<end>`: `before` and `after` are the first 16 hexadecimal digits of the SHA-256 of
   all bytes of the input (uncompressed) up to `start` and up to `end`.
2. Where one ends another one begins, after the same bytes: the two are as well told by one name. Such a name is no
   longer than what an import waits for: LONGEST_BYTES.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

LONGEST_BYTES = 4 * 1024 * 1024
"""How many bytes one name may tell of, at most, when it was made of several."""

DIGITS = 16  # of a digest
_NAME = re.compile(r"import-([0-9a-f]{16})-([0-9a-f]{16})-(0|[1-9][0-9]{0,17})-([1-9][0-9]{0,17})", re.ASCII)


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

    @classmethod
    def of_writer(cls, name: str) -> Span | None:
        """Return the stretch that a writer's name speaks of; None for the other writers."""
        match = _NAME.fullmatch(name)
        if match is None or int(match[3]) >= int(match[4]):
            return None
        return cls(match[1], match[2], int(match[3]), int(match[4]))


class Chains:
    """Which stretches follow which, among the names of all `writers` that there are."""

    def __init__(self, writers: Iterable[str]) -> None:
        starting: dict[tuple[str, int], list[Span]] = defaultdict(list)
        ending: dict[tuple[str, int], list[Span]] = defaultdict(list)
        for span in set(filter(None, map(Span.of_writer, writers))):
            starting[span.before, span.start].append(span)
            ending[span.after, span.end].append(span)
        # Where two follow, or go before, they stay apart: of two inputs that begin alike, one may have no more.
        self._follows = {
            ending[place][0]: after[0]
            for place, after in starting.items()
            if len(after) == 1 and len(ending.get(place, ())) == 1
        }

    def joined(self, writers: Iterable[str]) -> dict[str, str]:
        """Return the new name of each of these writers that can be told together with others of them."""
        spans = set(filter(None, map(Span.of_writer, writers)))
        follows = {span: self._follows[span] for span in spans if self._follows.get(span) in spans}
        names: dict[str, str] = {}
        for first in spans - set(follows.values()):
            for group in _groups(first, follows):
                if len(group) > 1:
                    name = Span(group[0].before, group[-1].after, group[0].start, group[-1].end).writer
                    names |= {span.writer: name for span in group}
        return names


def _groups(first: Span, follows: dict[Span, Span]) -> Iterator[list[Span]]:
    """Yield the stretches of one chain, as many at a time as one name may tell of."""
    group, span = [first], follows.get(first)
    while span is not None:
        if span.end - group[0].start > LONGEST_BYTES:
            yield group
            group = []
        group.append(span)
        span = follows.get(span)
    yield group
