"""Moments and spans as people write them: `now-15m`, `2d`, `2026-11-20T20:20:11Z`; `1h30m`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_SPAN = re.compile(r"(?:[0-9]{1,9}(?:ms|s|m|h|d|w))+", re.ASCII)
_PART = re.compile(r"([0-9]+)(ms|s|m|h|d|w)", re.ASCII)


def parse_moment(text: str, now: datetime, zone: tzinfo | None = None) -> datetime:
    """Return the moment that `text` names: a span before `now`, or an RFC 3339 time or date.

    A time without an offset is in `zone`, None: the machine's own. Raises ValueError, with what was expected, for
    anything else.
    """
    try:
        if text == "now":
            return now
        if _SPAN.fullmatch(text.removeprefix("now-")):
            return now - _span(text.removeprefix("now-"))
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo or zone is None else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        expected = "5m, 1h30m, 2d, now-1h, a date like 2026-11-20 or a time like 2026-11-20T20:20:11Z"
        raise ValueError(f"expected {expected}, not {text!r}") from None


def parse_span(text: str) -> timedelta:
    """Return a span such as 30m, 1h30m or 7d. Raises ValueError, with what was expected, for anything else."""
    try:
        if _SPAN.fullmatch(text):
            return _span(text)
    except OverflowError:
        pass
    raise ValueError(f"expected a span like 30m, 12h or 7d, not {text!r}")


def _span(text: str) -> timedelta:
    return timedelta(seconds=sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(text)))
