"""What was imported, known from the names of journal files alone.

1. A chunk of an input is a stretch of it that becomes one journal file; the name of its writer says which
   (journal/spans.py).
2. So a chunk is known again whatever the input is called by now: the file itself, its rotated or compressed copy, a
   file that has grown since. There is no other record of what was imported.
3. A name may stand for several chunks, and an import be at the beginning of a later one of those. When the bytes up to
   the end of the name are its bytes, then those of that chunk are.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable

from auditmw.journal.spans import Span

Mark = tuple[int, frozenset[str]]
"""An offset, and the digests that the bytes before it may have."""


class Ledger:
    """The chunks of all inputs that are recorded among `writers`, names of the writers of journal files."""

    def __init__(self, writers: Iterable[str] = ()) -> None:
        self._ends: dict[tuple[str, int], list[tuple[int, str]]] = defaultdict(list)
        starts: dict[int, set[str]] = defaultdict(set)
        spans = sorted(filter(None, map(Span.of_writer, writers)), key=lambda span: span.end)
        for span in spans:
            self._ends[span.before, span.start].append((span.end, span.after))
            starts[span.start].add(span.before)
        self._starts = {start: frozenset(digests) for start, digests in starts.items()}
        self._offsets = sorted(starts)
        self._by_end = [(span.end, span.start, span.after) for span in spans]
        self._all_ends = [span.end for span in spans]

    def ends_from(self, digest: str, start: int, before: int) -> list[Mark]:
        """Return where what is recorded from `start` on may end, after bytes of this digest.

        In order, and none after `before`: where chunks end that begin there, else those that `start` is in the midst
        of, whatever the bytes before.
        """
        found: Iterable[tuple[int, str]] = self._ends.get((digest, start), ())
        if not found:
            near = slice(bisect_right(self._all_ends, start), bisect_right(self._all_ends, before))
            found = ((end, after) for end, begin, after in self._by_end[near] if begin < start)
        ends: dict[int, set[str]] = defaultdict(set)
        for end, after in found:
            if end <= before:
                ends[end].add(after)
        return [(end, frozenset(ends[end])) for end in sorted(ends)]

    def starts_between(self, after: int, before: int) -> list[Mark]:
        """Return where chunks begin that begin after `after` and before `before`, in order."""
        offsets = self._offsets[bisect_right(self._offsets, after) : bisect_left(self._offsets, before)]
        return [(offset, self._starts[offset]) for offset in offsets]
