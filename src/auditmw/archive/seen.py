"""The numbers of one writer's lines that were seen so far, mostly one after the other."""

from __future__ import annotations

from bisect import bisect_right

from auditmw.archive.ranges import Ranges


class Seen:
    """A growing set of line numbers, beginning with `known`."""

    def __init__(self, known: Ranges | None = None) -> None:
        self._known = known or Ranges()
        self._top = self._known.pairs[-1][1] if self._known else 0
        self._firsts: list[int] = []  # of the runs that came on top
        self._lasts: list[int] = []
        self._filled: set[int] = set()  # what came below the top

    def add(self, seq: int) -> bool:
        """Count a line; return whether its number is new."""
        if seq > self._top:
            if self._lasts and seq == self._lasts[-1] + 1:
                self._lasts[-1] = seq
            else:
                self._firsts.append(seq)
                self._lasts.append(seq)
            self._top = seq
            return True
        if seq in self._known or seq in self._filled or self._in_runs(seq):
            return False
        self._filled.add(seq)
        return True

    def _in_runs(self, seq: int) -> bool:
        at = bisect_right(self._firsts, seq) - 1
        return at >= 0 and seq <= self._lasts[at]

    @property
    def added(self) -> Ranges:
        """What was added."""
        return Ranges([*zip(self._firsts, self._lasts, strict=True), *((seq, seq) for seq in self._filled)])
