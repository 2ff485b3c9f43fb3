"""How collecting is doing: in the words of shipping (ship/status.py), from DIR/collect/<name>/status.json.

What is left is what the collector said, as nobody else knows it without asking the stream. So the seconds go on from
when it last said something: whatever keeps a collector from working makes them grow.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from auditmw.collect.events import nanoseconds, time_of
from auditmw.collect.feed import Message
from auditmw.parsing import parse_event
from auditmw.ship.status import IDLE_STATES, STATUS, Lag, Metrics, Status, last_told, prometheus

COLLECT = "collect"
_FRESH_SECONDS = 10.0  # a collector that works says something every second or so

COLLECTED: Metrics = (
    ("lag_events", "gauge", "Messages of the stream that are not collected yet, as the collector said last."),
    ("lag_seconds", "gauge", "Age of the oldest of them; it grows while no collector works."),
    ("events_per_second", "gauge", "Events collected a second, lately."),
    ("dead_letters", "gauge", "Events set aside because the target rejected them."),
    ("up", "gauge", "1 while events are collected, 0 while they are not or no collector runs."),
    ("events_total", "counter", "Events and messages by what came of them."),
)


def lag_of(waiting: int, oldest: Message | None, now_ns: int) -> Lag:
    """Return what is left: `waiting` messages, and the age of the oldest event of them, or of one shortly before."""
    if not waiting:
        return Lag()
    seconds = 0.0
    if oldest is not None:
        try:
            moment = time_of(parse_event(oldest.body))
        except ValueError:
            moment = None
        seconds = max(0.0, (now_ns - nanoseconds(moment)) / 1e9) if moment else 0.0
    return Lag(events=waiting, seconds=round(seconds, 3))


def collecting(directory: str | os.PathLike[str], now: datetime | None = None) -> list[Status]:
    """Return the status of every collector of a directory, by name. Raises OSError when it cannot be looked at."""
    directory, now = Path(directory), now or datetime.now(UTC)
    os.stat(directory)
    inside = os.listdir(directory / COLLECT) if (directory / COLLECT).exists() else []
    folders = [directory / COLLECT / name for name in sorted(inside) if (directory / COLLECT / name / STATUS).is_file()]
    return [_with_age(last_told(folder), now) for folder in folders]


def collected_metrics(found: Iterable[Status]) -> str:
    """Return the statuses in the text format of Prometheus."""
    return prometheus(found, COLLECTED, "auditmw_collect")


def _with_age(status: Status, now: datetime) -> Status:
    """Return it with the time since the collector last said something among the seconds that it is behind."""
    try:
        age = max(0.0, (now - datetime.fromisoformat(status.updated)).total_seconds())
    except ValueError:
        return status
    if not status.lag.seconds and age < _FRESH_SECONDS and status.state not in IDLE_STATES:
        return status
    return replace(status, lag=replace(status.lag, seconds=status.lag.seconds + age))
