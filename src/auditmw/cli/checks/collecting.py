"""Collecting: how each collector of a directory is doing, as it says itself, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from auditmw.cli.checks.finding import Finding, fail, ok, warn
from auditmw.cli.checks.shipping import LAG_SECONDS, WAITING_STATES, silence
from auditmw.collect.progress import COLLECT, collecting
from auditmw.ship.status import IDLE_STATES, Status

_COUNTS = {
    "rejected": ("events were dropped by the target, which does not say which ones", "look into the target's own log"),
    "missing": (
        "messages were gone before they were collected; auditmw.gap events tell which",
        "have the stream keep its messages for longer, and alarm on auditmw_collect_lag_seconds",
    ),
    "left_out": ("events have no record in the format, and were left out", "another --format has one for every event"),
    "set_aside": (
        "messages are no events, and were set aside",
        "aside.jsonl has each with the reason; ship without --format, and with no newer auditmw than this one",
    ),
}


def check_collecting(directory: Path, now: datetime) -> Iterator[Finding]:
    """Yield findings about each collector in DIR/collect; none where nothing is collected. `now` has a time zone."""
    try:
        found = collecting(directory, now)
    except OSError as error:
        seen = f"{error.filename or directory / COLLECT}: {error.strerror}"
        yield fail("collect.readable", seen, "run this check as the user that collects")
        return
    for status in found:
        problems = [*check_collector(status, now), *_lag(status)]
        yield from problems
        if not problems:
            events = status.counts.get("collected", 0) + status.counts.get("shipped", 0)
            yield ok("collect", f"{status.name}: {events:,} events collected ({status.state})")


def check_collector(status: Status, now: datetime) -> Iterator[Finding]:
    """Yield what is wrong with one collector as it tells it; nothing when all is well."""
    name = status.name
    if status.state in IDLE_STATES and status.lag.events:
        seen = f"{name}: {status.lag.events:,} messages waited, and no collector runs ({status.state})"
        yield warn("collect.running", seen, "start it, or remove its folder if it was given up")
    if status.state in WAITING_STATES and status.last_error:
        seen = f"{name}: {status.state}, {status.last_error_at}: {status.last_error}"
        level = fail if status.state == "unusable" else warn
        yield level("collect.source", seen, "it is tried again by itself; nothing is lost while the stream has room")
    if who := silence(status, now):
        yield fail("collect.silent", f"{name}: the collector has said nothing {who}", "end that process; start another")
    for kind, (what, advice) in _COUNTS.items():
        if status.counts.get(kind):
            yield warn(f"collect.{kind}", f"{name}: {status.counts[kind]:,} {what}", advice)
    if status.dead_letters:
        seen = f"{name}: {status.dead_letters:,} dead letters"
        yield warn("collect.dead_letters", seen, "--replay sends them again, once their cause is gone")


def _lag(status: Status) -> Iterator[Finding]:
    if status.state in IDLE_STATES or status.lag.seconds <= LAG_SECONDS:
        return
    seen = (
        f"{status.name}: {status.lag.events:,} messages wait, the oldest for {status.lag.seconds / 60:.0f} minutes; "
        f"{status.events_per_second:g} events/s come"
    )
    yield warn("collect.lag", seen, "is more coming than one collector takes? docs/sizing.md tells how much that is")
