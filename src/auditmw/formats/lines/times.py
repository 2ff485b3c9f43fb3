"""The ways in which logs write times and durations, to those of the event and back.

Every function raises ValueError for what is no such time. Lines of one minute share nearly all of the work.

A leap second, `23:59:60` UTC on the last day of a month (RFC 3339 §5.7), has no place in a timestamp that databases and
programs read. All of it is told as the last microsecond before it, so that nothing changes its order.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

from auditmw.event import timestamp

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LAST_SECOND = 253_402_300_799  # 9999-12-31T23:59:59Z; RFC 3339 has four digits for a year

_LEAP, _LAST_MOMENT = "60", "59.999999"
CLF = r"[0-3]\d/[A-Z][a-z]{2}/\d{4}:[0-2]\d:[0-5]\d:(?:[0-5]\d|60) [+-]\d{4}"
"""A regular expression for what `clf_time` reads, but for seconds that do not exist."""

_CLF = re.compile(CLF, re.ASCII)
_ISO = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:)(\d\d)(?:[.,]\d{1,9})?(Z|[+-]\d\d:?\d\d)?", re.ASCII)
_DECIMAL = re.compile(r"(\d{1,12})(?:\.(\d{1,9}))?", re.ASCII)


@lru_cache(maxsize=4096)
def clf_time(text: str) -> tuple[str, bool]:
    """Return the timestamp of `20/Nov/2026:20:20:11 +0000`, and whether it is in UTC, as `as_clf` writes it."""
    if not _CLF.fullmatch(text):
        raise ValueError(f"expected a time as 20/Nov/2026:20:20:11 +0000, not {text[:40]!r}")
    minute, second, zone = text[:17], text[18:20], text[21:]
    begun = _clf_minute(minute, zone)
    if second == _LEAP:
        return f"{_before_leap(begun, text)}{_LAST_MOMENT}Z", zone == "+0000"
    return f"{begun}{second}.000000Z", zone == "+0000"


def clf_timestamp(text: str) -> str:
    """Return the timestamp of `20/Nov/2026:20:20:11 +0000`."""
    return clf_time(text)[0]


@lru_cache(maxsize=4096)
def _clf_minute(minute: str, zone: str) -> str:
    try:
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:]))
        local = datetime(
            int(minute[7:11]),
            _MONTHS.index(minute[3:6]) + 1,
            int(minute[:2]),
            int(minute[12:14]),
            int(minute[15:17]),
            tzinfo=timezone(-offset if zone[0] == "-" else offset),
        )
        return local.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:").zfill(17)
    except (ValueError, OverflowError):
        raise ValueError(f"expected a day that exists, not {minute} {zone}") from None


def _before_leap(minute: str, text: str) -> str:
    """Return the minute `2016-12-31T23:59:`, in UTC, when a leap second may end it (ITU-R TF.460-6, annex 1 §2.1)."""
    year, month, day = int(minute[:4]), int(minute[5:7]), int(minute[8:10])
    if minute[10:] != "T23:59:" or day != monthrange(year, month)[1]:
        raise ValueError(f"expected a leap second at 23:59:60 UTC on the last day of a month, not {text!r}")
    return minute


def as_clf(moment: str) -> str:
    """Return a timestamp as `$time_local` and `%t` write it, in UTC, its fraction cut off."""
    return f"{moment[8:10]}/{_MONTHS[int(moment[5:7]) - 1]}/{moment[:4]}:{moment[11:19]} +0000"


@lru_cache(maxsize=256)
def iso_time(text: str) -> str:
    """Return the timestamp of an ISO 8601 time: `2026-11-20T20:20:11+00:00`; without an offset it is UTC."""
    match = _ISO.fullmatch(text)
    if not match:
        raise ValueError(f"expected a time as 2026-11-20T20:20:11+00:00, not {text[:40]!r}")
    if match[2] == _LEAP:
        begun = iso_time(f"{match[1]}00{match[3] or ''}")[:17]
        return f"{_before_leap(begun, text)}{_LAST_MOMENT}Z"
    moment = datetime.fromisoformat(text)
    try:
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError(f"expected a time of the years 1 to 9999, not {text!r}") from None
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ").zfill(27)


def as_iso(moment: str) -> str:
    """Return a timestamp as `$time_iso8601` writes it, in UTC, its fraction cut off."""
    return f"{moment[:19]}+00:00"


def any_time(text: str) -> str:
    """Return the timestamp of a time in one of the ways that `clf_time`, `iso_time` and `unix_time` read."""
    return clf_timestamp(text) if "/" in text else iso_time(text) if "-" in text else unix_time(text)


def from_nanoseconds(nanoseconds: int) -> str:
    """Return the timestamp of nanoseconds since 1970."""
    if not 0 <= nanoseconds // 10**9 <= _LAST_SECOND:
        raise ValueError(f"expected a time of the years 1970 to 9999, not {nanoseconds} ns since 1970")
    return timestamp(nanoseconds)


def to_nanoseconds(moment: str) -> int:
    """Return the nanoseconds since 1970 of a timestamp."""
    return (datetime.fromisoformat(moment) - _EPOCH) // _MICROSECOND * 1000


def unix_time(text: str) -> str:
    """Return the timestamp of seconds since 1970: `1795206011.874`, of up to nine decimals."""
    return from_nanoseconds(seconds(text))


def as_unix(moment: str) -> str:
    """Return a timestamp as `$msec` writes it: seconds with three decimals, the rest cut off."""
    milliseconds = to_nanoseconds(moment) // 10**6
    return f"{milliseconds // 1000}.{milliseconds % 1000:03d}"


def seconds(text: str) -> int:
    """Return the nanoseconds of decimal seconds: `0.729`, of up to nine decimals."""
    match = _DECIMAL.fullmatch(text)
    if not match:
        raise ValueError(f"expected seconds as 0.729, not {text[:40]!r}")
    whole, fraction = match.groups()
    return int(whole) * 10**9 + (int(fraction.ljust(9, "0")) if fraction else 0)


def as_seconds(nanoseconds: int) -> str:
    """Return a duration as `$request_time` writes it: seconds with three decimals, the rest cut off."""
    return f"{nanoseconds // 10**9}.{nanoseconds // 10**6 % 1000:03d}"


def later(moment: str, nanoseconds: int) -> str:
    """Return the timestamp so much later, or earlier where it is negative; whole microseconds."""
    return from_nanoseconds(to_nanoseconds(moment) + nanoseconds)
