"""Which numbers of one writer were seen, and which are missing.

A line may stand in two files of its writer (writer.py, rule 4), so a number that is missing in one file may turn up in
the next. What is missing is known for good only when all files were read.
"""

from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

# Files that somebody forged can have a gap at every line.
_MAX_GAPS = 1000


class Gap(NamedTuple):
    """The numbers `first` to `last` are missing before the line at `offset` of `file`."""

    first: int
    last: int
    file: Path
    offset: int


class Numbers:
    """The numbers of one writer's lines, in the order of its files; `tell` hears what is missing in the end."""

    def __init__(self, tell: Callable[[Gap], object]) -> None:
        self._tell = tell
        self._next: int | None = None
        self._gaps: list[Gap] = []

    def add(self, seq: int, file: Path, offset: int) -> bool:
        """Count a line; return whether it is the first with its number."""
        expected, self._next = self._next, max(seq + 1, self._next or 0)
        if expected is None or seq == expected:  # what came before the first file is somewhere else by now
            return True
        if seq < expected:
            return self._fill(seq)
        self._gaps.append(Gap(expected, seq - 1, file, offset))
        if len(self._gaps) > _MAX_GAPS:
            self._tell(self._gaps.pop(0))
        return True

    def _fill(self, seq: int) -> bool:
        at = bisect_right(self._gaps, seq, key=lambda gap: gap.first) - 1
        if at < 0 or seq > self._gaps[at].last:
            return False
        gap = self._gaps[at]
        parts = gap._replace(last=seq - 1), gap._replace(first=seq + 1)
        self._gaps[at : at + 1] = [part for part in parts if part.first <= part.last]
        return True

    def close(self) -> None:
        """Tell what is missing."""
        gaps, self._gaps = self._gaps, []
        for gap in gaps:
            self._tell(gap)
