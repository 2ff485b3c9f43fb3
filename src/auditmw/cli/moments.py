"""Times on the command line: spans before now, RFC 3339 times, time zones, and the options that take them."""

from __future__ import annotations

import contextlib
import functools
import os
import zoneinfo
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import click

from auditmw.query.moments import parse_moment, parse_span

ZONE_HELP = "Show times in local time, UTC, or a zone like Asia/Tokyo."
_FORMS = "5m, 1h30m, 2d, or 2026-11-20T20:20:11Z"


def zone(ctx: click.Context, param: click.Parameter, value: str) -> tzinfo | None:
    """Return the zone that an option names, None for the machine's own."""
    if value.lower() == "local":
        return None
    if value.upper() in ("UTC", "Z"):
        return UTC
    try:
        return zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise click.BadParameter(f"expected local, UTC or a zone like Europe/Amsterdam, not {value!r}") from None


def local_zone() -> tzinfo:
    """Return the machine's zone: by the name in TZ or the one that /etc/localtime points to, else its offset by now."""
    with contextlib.suppress(OSError, ValueError, zoneinfo.ZoneInfoNotFoundError):
        name = os.environ.get("TZ", "").removeprefix(":")
        return zoneinfo.ZoneInfo(name or os.path.realpath("/etc/localtime").partition("/zoneinfo/")[2])
    return datetime.now().astimezone().tzinfo or UTC


def since_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--since`; the command gets the moment, or None. Times without an offset are in the zone of `--timezone`."""
    return _with_moments(command, since="Only events since then")


def span_option(name: str, told: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator for an option that takes a span such as 30m or 7d; the command gets it, or None."""

    def span(ctx: click.Context, param: click.Parameter, value: str | None) -> timedelta | None:
        if value is None:
            return None
        try:
            return parse_span(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return click.option(name, callback=span, metavar="SPAN", help=told)


def range_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--since` (the same as `--from`), `--from` and `--to`; the command gets `start` and `end`, or None."""

    @functools.wraps(command)
    def ranged(*, since: datetime | None, from_: datetime | None, to: datetime | None, **others: Any) -> Any:
        if since and from_:
            raise click.UsageError("--since and --from say the same: give one of them")
        start = since or from_
        if start and to and start >= to:
            raise click.UsageError(f"the range is empty: it begins at {start.isoformat()} and ends at {to.isoformat()}")
        return command(start=start, end=to, **others)

    return _with_moments(ranged, since="Only events since then", from_="The same as --since", to="Only events before")


def _with_moments(command: Callable[..., Any], **told: str) -> Callable[..., Any]:
    """Add one option for each keyword, whose text becomes a time when the command is called, in its `timezone`."""

    @functools.wraps(command)
    def called(**arguments: Any) -> Any:
        now = datetime.now(UTC)
        for name in told:
            if arguments[name] is not None:
                arguments[name] = _moment(name.rstrip("_"), arguments[name], now, arguments["timezone"])
        return command(**arguments)

    for name, help_text in reversed(told.items()):
        option = click.option(f"--{name.rstrip('_')}", name, metavar="TIME", help=f"{help_text}: {_FORMS}.")
        called = option(called)
    return called


def _moment(name: str, text: str, now: datetime, zone: tzinfo | None) -> datetime:
    try:
        return parse_moment(text, now, zone)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=f"'--{name}'") from None
