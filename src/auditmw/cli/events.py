"""The events of a journal, with the bytes that they were written as."""

from __future__ import annotations

import heapq
import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from auditmw.cli.lines import text_at
from auditmw.journal import Damage, FileReader, journal_files, read_events

SLACK = timedelta(seconds=60)  # by which an event's time may be later than the write: a clock that was set back


class WrittenEvent(dict[str, Any]):
    """An event as a dict, and `raw`: its JSON object exactly as it was written."""

    raw: bytes

    @classmethod
    def parse(cls, body: bytes) -> WrittenEvent:
        """Return the event of one JSON object; ValueError when it is none. For the `loads` of the journal's readers."""
        event = cls(orjson.loads(body))
        event.raw = body
        return event


def raw(event: Mapping[str, Any]) -> bytes:
    """Return the event's JSON: what was written, or for an event that was settled on reading, what it is now."""
    return event.raw if isinstance(event, WrittenEvent) else orjson.dumps(event)


def newest(
    directory: Path, limit: int, since: datetime | None, on_damage: Callable[[Damage], None]
) -> Iterable[Mapping[str, Any]]:
    """Return the newest `limit` events at or after `since` (0: all of them), oldest first.

    Only the files that can hold them are read, and so only their damage is told.
    """
    if limit:
        earliest = _nth_newest(directory, limit)
        since = earliest if since is None or (earliest is not None and earliest > since) else since
    found = read_events(directory, loads=WrittenEvent.parse, on_damage=on_damage, since=since)
    return deque(found, maxlen=limit) if limit else found


def _nth_newest(directory: Path, limit: int) -> datetime | None:
    """Return the time of the `limit`-th newest event, None when there are fewer or their times cannot be told."""
    newest_times: list[str] = []
    files = sorted(((_modified(file), file) for file in journal_files(directory)), reverse=True)
    for modified, file in files:
        if len(newest_times) == limit and modified < newest_times[0]:
            break
        for line in FileReader(file).lines():
            stamp = _time_of(line.body)
            if stamp and len(newest_times) < limit:
                heapq.heappush(newest_times, stamp)
            elif stamp:
                heapq.heappushpop(newest_times, stamp)
    try:
        return datetime.fromisoformat(newest_times[0]) if len(newest_times) == limit else None
    except ValueError:
        return None


def _time_of(body: bytes) -> str | None:
    try:
        event = orjson.loads(body)
    except ValueError:
        return None
    # A pending event is not shown beside its final one.
    return None if text_at(event, "outcome", "result") == "pending" else text_at(event, "timestamp")


def _modified(file: Path) -> str:
    """Return when the file was last written, as events have their times, and a little later."""
    try:
        moment = datetime.fromtimestamp(os.stat(file).st_mtime, UTC) + SLACK
    except (OSError, ValueError, OverflowError):
        return ""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
