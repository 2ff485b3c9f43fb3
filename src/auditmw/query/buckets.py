"""Time in buckets for a histogram: nice widths, aligned to the clock and the calendar of a time zone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import count
from math import gcd
from typing import Literal, NamedTuple, get_args

Width = Literal[
    "1s", "5s", "10s", "30s", "1m", "5m", "10m", "30m", "1h", "3h", "6h", "12h", "1d", "1w", "1mo", "1y"
]  # fmt: skip
"""How wide a bucket is. A day, week (from Monday), month or year is one of the calendar, however many hours it has."""

WIDTHS: tuple[Width, ...] = get_args(Width)
MAX_BUCKETS = 20_000

_SECONDS: dict[Width, int] = dict(
    zip(
        WIDTHS,
        (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10800, 21600, 43200, 86400, 604800, 2629746, 31556952),
        strict=True,
    )
)
"""In seconds; of a month and a year the mean in the Gregorian calendar."""
_HOUR = 3600
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Buckets(NamedTuple):
    """Buckets without gaps: `edges` has one more moment than there are buckets. `step_seconds` divides every edge."""

    width: Width
    edges: tuple[datetime, ...]

    @property
    def step_seconds(self) -> int:
        """The longest time that every edge is a multiple of, counted from 1970: what SQL counts by."""
        return gcd(*(_since_epoch(edge) for edge in self.edges))


def nice_width(start: datetime, end: datetime, *, at_most: int) -> Width:
    """Return the narrowest width of which the range holds at most so many."""
    seconds = (end - start).total_seconds()
    return next((width for width in WIDTHS if seconds / _SECONDS[width] <= at_most), WIDTHS[-1])


def buckets(start: datetime, end: datetime, width: Width, zone: tzinfo = UTC) -> Buckets:
    """Return the buckets that cover [start, end). Times have their zone. Raises ValueError when they are too many."""
    if width not in _SECONDS:
        raise ValueError(f"expected one of {', '.join(WIDTHS)}, not {width!r}")
    if (end - start).total_seconds() / _SECONDS[width] > MAX_BUCKETS:
        raise ValueError(f"expected at most {MAX_BUCKETS:,} buckets: of {width}, from {start} to {end} has more")
    edges: list[datetime] = []
    for edge in _edges(start, width, zone):
        if edge <= start:
            edges = [edge]
        elif edge > edges[-1]:  # clocks that are set back give a time twice
            edges.append(edge)
            if edge >= end:
                break
    return Buckets(width, tuple(edges))


def _edges(start: datetime, width: Width, zone: tzinfo) -> Iterator[datetime]:
    """Yield moments in UTC at which buckets begin, endlessly; the first is at or before `start`."""
    day = start.astimezone(zone).date()
    if width == "1y":
        yield from (_midnight(date(year, 1, 1), zone) for year in count(day.year))
    elif width == "1mo":
        months = count(day.year * 12 + day.month - 1)
        yield from (_midnight(date(month // 12, month % 12 + 1, 1), zone) for month in months)
    elif width == "1w":
        monday = day - timedelta(days=day.weekday())
        yield from (_midnight(monday + timedelta(weeks=number), zone) for number in count())
    else:
        for number in count(-1):  # the day before: where clocks go forward at midnight, a day begins at one
            yield from _within_a_day(day + timedelta(days=number), start, _SECONDS[width], zone)


def _within_a_day(day: date, start: datetime, seconds: int, zone: tzinfo) -> Iterator[datetime]:
    midnight, next_midnight = _midnight(day, zone), _midnight(day + timedelta(days=1), zone)
    if seconds > _HOUR:  # by the clock on the wall: 00:00, 03:00, 06:00, also on days of 23 or 25 hours
        for hour in range(0, 24, seconds // _HOUR):
            yield datetime.combine(day, time(hour), zone).astimezone(UTC)
        return
    step = timedelta(seconds=seconds)
    moment = midnight + max((start - midnight) // step, 0) * step
    while moment < next_midnight:
        yield moment
        moment += step


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _since_epoch(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(seconds=1)
