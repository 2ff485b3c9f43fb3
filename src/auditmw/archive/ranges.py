"""Sets of whole numbers that mostly follow one another: the numbers of lines, and of files."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator


class Ranges:
    """An immutable set of integers, as ranges: `str` gives "1-5,7", `parse` reads that."""

    __slots__ = ("_firsts", "pairs")

    def __init__(self, pairs: Iterable[tuple[int, int]] = ()) -> None:
        merged: list[tuple[int, int]] = []
        for first, last in sorted(pairs):
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = merged[-1][0], max(last, merged[-1][1])
            else:
                merged.append((first, last))
        self.pairs = tuple(merged)
        self._firsts = [first for first, _ in merged]

    @classmethod
    def parse(cls, text: str) -> Ranges:
        """Return the set that `str` wrote. Raises ValueError."""
        ends = (part.partition("-") for part in text.split(",") if part)
        return cls((int(first), int(last or first)) for first, _, last in ends)

    def __contains__(self, number: int) -> bool:
        return self.overlaps(number, number)

    def overlaps(self, first: int, last: int) -> bool:
        """Return whether any number from `first` to `last`, both included, is in the set."""
        at = bisect_right(self._firsts, last) - 1
        return at >= 0 and self.pairs[at][1] >= first

    def __or__(self, other: Ranges) -> Ranges:
        return Ranges((*self.pairs, *other.pairs))

    def __sub__(self, other: Ranges) -> Ranges:
        left: list[tuple[int, int]] = []
        for first, last in self.pairs:
            at = max(bisect_right(other._firsts, first) - 1, 0)
            for out_first, out_last in other.pairs[at:]:
                if out_first > last:
                    break
                if out_last >= first:
                    left.append((first, out_first - 1))
                    first = out_last + 1
            left.append((first, last))
        return Ranges((first, last) for first, last in left if first <= last)

    def __iter__(self) -> Iterator[int]:
        return (number for first, last in self.pairs for number in range(first, last + 1))

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.pairs)

    def __bool__(self) -> bool:
        return bool(self.pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and self.pairs == other.pairs

    def __hash__(self) -> int:
        return hash(self.pairs)

    def __str__(self) -> str:
        return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in self.pairs)

    def __repr__(self) -> str:
        return f"Ranges.parse({str(self)!r})"
