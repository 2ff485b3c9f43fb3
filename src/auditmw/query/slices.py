"""Time cut into slices, so that a question can stop after any of them and say how far it came."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from auditmw.archive.snapshot import PartFile

_GROWTH = 8  # from one slice to the next: the first ones answer soon, the last ones read fast
_MAX_PIECES = 64
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


class _Piece(NamedTuple):
    """A stretch of a file: where a slice may be cut, how many events it has, whether the file itself ends there."""

    cut: datetime
    events: int
    edge: bool
    part_events: int


def _cuts(
    parts: Sequence[PartFile], whole: Slice, first_rows: int, rows: int, oldest_first: bool
) -> Iterator[datetime]:
    """Yield where one slice ends and the next one begins, in the order of reading."""
    seen, wanted, last_cut = 0, first_rows, None
    found = (piece for part in parts for piece in _pieces(part, whole, first_rows, oldest_first))
    for cut, events, edge, part_events in sorted(found, reverse=not oldest_first):
        seen += events
        inside = (whole.since is None or cut > whole.since) and (whole.until is None or cut < whole.until)
        if seen >= wanted and (edge or part_events > wanted) and inside and cut != last_cut:
            yield cut
            seen, wanted, last_cut = 0, min(rows, wanted * _GROWTH), cut


def _pieces(part: PartFile, whole: Slice, rows: int, oldest_first: bool) -> Iterator[_Piece]:
    """Yield a file in pieces of about so many rows, as if they were spread evenly over its time."""
    if part.first is None or part.last is None:
        return
    count = min(max(1, part.rows // rows), _MAX_PIECES)
    step = (part.last - part.first) / count
    for number in range(count):
        begin = part.first + step * number
        end = part.last if number == count - 1 else begin + step - _MICROSECOND
        if whole.overlaps(begin, end):
            edge = number == count - 1 if oldest_first else number == 0
            yield _Piece(end + _MICROSECOND if oldest_first else begin, part.rows // count, edge, part.rows)
