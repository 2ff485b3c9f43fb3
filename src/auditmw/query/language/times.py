"""Times as queries write them: a date or a time stands for the whole of its period, `-1h` for a moment before now."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple

EXAMPLES = "2026-11-20, 2026-11-20T08:30, 2026-11-20T08:30:00Z, now, or -15m"

_RELATIVE = re.compile(r"(?:now)?-([0-9]{1,6})([smhdw])|now")
_ABSOLUTE = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})"
    r"(?:T([0-9]{2})(?::([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6}))?)?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?)?)?",
    re.IGNORECASE,
)
_UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}


class Clock(NamedTuple):
    """What a time in a query counts from: the present moment, with its zone, and the zone of times without one."""

    now: datetime
    zone: tzinfo


def is_relative(text: str) -> bool:
    """Return whether the text is a moment counted from now."""
    return _RELATIVE.fullmatch(text) is not None


def period(text: str, clock: Clock) -> tuple[datetime, datetime]:
    """Return the first moment of the period that the text names and the first one after it, both in UTC.

    A year, month, day, hour, minute or second is that long; a moment counted from now is one microsecond. Raises
    ValueError, with a sentence for people, for anything else.
    """
    try:
        if relative := _RELATIVE.fullmatch(text):
            back = int(relative[1]) * _UNITS[relative[2]] if relative[1] else timedelta()
            first = clock.now.astimezone(UTC) - back
            return first, first + timedelta(microseconds=1)
        if absolute := _ABSOLUTE.fullmatch(text):
            return _span(absolute, clock.zone)
    except (ValueError, OverflowError):
        raise ValueError(f"there is no such time as {text!r}") from None
    raise ValueError(f"expected a time such as {EXAMPLES}, not {text!r}")


def stamp(moment: datetime) -> str:
    """Return a time in UTC as events have it; such texts sort by time."""
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _span(parts: re.Match[str], zone: tzinfo) -> tuple[datetime, datetime]:
    year, month, day, hour, minute, second, fraction, offset = parts.groups()
    first = datetime(
        int(year),
        int(month or 1),
        int(day or 1),
        int(hour or 0),
        int(minute or 0),
        int(second or 0),
        int((fraction or "").ljust(6, "0")),
    )
    if offset:
        zone = UTC if offset in "Zz" else datetime.strptime(offset, "%z").tzinfo or UTC
    start = first.replace(tzinfo=zone).astimezone(UTC)
    if fraction:
        return start, start + timedelta(microseconds=10 ** (6 - len(fraction)))
    if hour:
        return start, start + _UNITS["s" if second else "m" if minute else "h"]
    if day:  # by the calendar: where clocks change, a day has 23 or 25 hours
        before = first + _UNITS["d"]
    else:
        before = (first + timedelta(days=31)).replace(day=1) if month else first.replace(year=first.year + 1)
    return start, before.replace(tzinfo=zone).astimezone(UTC)
