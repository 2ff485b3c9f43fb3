"""Time cut into slices, so that a question can stop after any of them and say how far it came."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from auditmw.archive.snapshot import PartFile

_GROWTH = 4  # from one slice to the next: the first ones answer soon, the last ones read fast
_MICROSECOND = timedelta(microseconds=1)


class Slice(NamedTuple):
    """The events with since <= time < until; None is no bound. `timeless`: instead, those without a time."""

    since: datetime | None
    until: datetime | None
    timeless: bool = False

    def cut(self, other: Slice) -> Slice:
        """Return what is in both; what is timeless stays so."""
        if other.timeless:
            return other
        since = [moment for moment in (self.since, other.since) if moment is not None]
        until = [moment for moment in (self.until, other.until) if moment is not None]
        return Slice(max(since, default=None), min(until, default=None))

    def overlaps(self, first: datetime, last: datetime) -> bool:
        """Return whether the slice has something of the time from `first` to `last`, both included."""
        return (self.since is None or last >= self.since) and (self.until is None or first < self.until)


TIMELESS = Slice(None, None, timeless=True)


def slices(
    parts: Sequence[PartFile], whole: Slice, *, first_rows: int, rows: int, oldest_first: bool = False
) -> list[Slice]:
    """Return slices, newest first, which together are `whole`: of about `first_rows` events, then more, up to `rows`.

    They are cut where files begin, as far as files are smaller than slices: what is read whole is read fastest.
    """
    cuts = list(_cuts(parts, whole, first_rows, rows, oldest_first))
    if oldest_first:
        return [Slice(low, high) for low, high in zip([whole.since, *cuts], [*cuts, whole.until], strict=True)]
    return [Slice(low, high) for high, low in zip([whole.until, *cuts], [*cuts, whole.since], strict=True)]


def newest(parts: Sequence[PartFile], whole: Slice, *, share: float) -> Slice | None:
    """Return the newest part of `whole`, with about this share of its events; None when it cannot be cut."""
    inside = [part.rows for part in parts if part.first and part.last and whole.overlaps(part.first, part.last)]
    rows = max(1, int(sum(inside) * share))
    cut = next(_cuts(parts, whole, rows, rows, False), None)
    return None if cut is None else Slice(cut, whole.until)


def _cuts(
    parts: Sequence[PartFile], whole: Slice, first_rows: int, rows: int, oldest_first: bool
) -> Iterator[datetime]:
    """Yield where one slice ends and the next one begins, in the order of reading."""
    seen, wanted, last_cut = 0, first_rows, None
    timed = [(part.first, part.last, part.rows) for part in parts if part.first and part.last]
    for first, last, number in sorted(timed, reverse=not oldest_first):
        for begin, end, count in _pieces(first, last, number, wanted, oldest_first):
            seen += count if whole.overlaps(begin, end) else 0
            cut = end + _MICROSECOND if oldest_first else begin
            inside = (whole.since is None or cut > whole.since) and (whole.until is None or cut < whole.until)
            further = last_cut is None or (cut > last_cut if oldest_first else cut < last_cut)
            if seen >= wanted and inside and further:
                yield cut
                seen, wanted, last_cut = 0, min(rows, wanted * _GROWTH), cut


def _pieces(
    first: datetime, last: datetime, number: int, rows: int, oldest_first: bool
) -> Iterator[tuple[datetime, datetime, int]]:
    """Yield a file in pieces of about so many rows, as if they were spread evenly: from when to when, and how many."""
    count = max(1, number // rows)
    step = (last - first) / count
    for piece in range(count) if oldest_first else reversed(range(count)):
        end = last if piece == count - 1 else first + step * (piece + 1) - _MICROSECOND
        yield first + step * piece, end, number // count
