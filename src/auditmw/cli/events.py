"""The events of a journal, with the bytes that they were written as."""

from __future__ import annotations

import heapq
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from auditmw.cli.lines import text_at
from auditmw.journal import Damage, FileReader, journal_files, read_events
from auditmw.parsing import parse_event, shallow
from auditmw.places import Place
from auditmw.query.language import Query
from auditmw.query.page import PAGE_LIMIT, Entry, pages
from auditmw.query.scope import Scope


class WrittenEvent(dict[str, Any]):
    """An event as a dict, and `raw`: its JSON object exactly as it was written.

    `is_cut`: it is nested so deep that the dict has not all of it.
    """

    raw: bytes
    is_cut: bool

    @classmethod
    def parse(cls, body: bytes) -> WrittenEvent:
        """Return the event of one JSON object; ValueError when it is none. For the `loads` of the journal's readers."""
        within = shallow(body)
        event = cls(parse_event(within))
        event.raw, event.is_cut = body, within is not body
        return event


def raw(event: Mapping[str, Any]) -> bytes:
    """Return the event's JSON: what was written, or for an event that was settled on reading, what it is now."""
    return event.raw if isinstance(event, WrittenEvent) else orjson.dumps(event)


def newest(
    place: Place,
    limit: int,
    since: datetime | None,
    on_damage: Callable[[Damage], None],
    query: Query | None = None,
) -> Iterable[Mapping[str, Any]]:
    """Return the newest `limit` events at or after `since` (0: all of them) that match, oldest first.

    Without an archive or a query, only the files that can hold them are read, and so only their damage is told.
    """
    directory = place.directory
    if directory is None or query is not None or (directory / "archive").is_dir():
        return _newest_found(place, limit, since, on_damage, query)
    if limit:
        earliest = _no_newer_than_nth(directory, limit)
        since = earliest if since is None or (earliest is not None and earliest > since) else since
    found = read_events(directory, loads=WrittenEvent.parse, on_damage=on_damage, since=since)
    return deque(found, maxlen=limit) if limit else found


def _newest_found(
    place: Place,
    limit: int,
    since: datetime | None,
    on_damage: Callable[[Damage], None],
    query: Query | None,
) -> Iterator[WrittenEvent]:
    engine = place.engine(time_limit_seconds=3600, on_damage=on_damage)
    try:
        found = pages(
            engine, Scope(query, since), order="newest" if limit else "oldest", limit=min(limit or 2000, PAGE_LIMIT)
        )
        entries: Iterable[Entry] = (entry for part in found for entry in part.entries)
        if limit:
            entries = reversed(list(islice(entries, limit)))
        yield from (WrittenEvent.parse(entry.body) for entry in entries)
    finally:
        engine.close()


def _no_newer_than_nth(directory: Path, limit: int) -> datetime | None:
    """Return a time at or before that of the `limit`-th newest event; None when there are fewer, or no times."""
    times: list[str] = []
    seen: set[str] = set()  # a restored copy of a file holds the same events once more
    for file in sorted(journal_files(directory), key=_modified, reverse=True):
        for line in FileReader(file).lines():
            stamp, event_id = _time_and_id(line.body)
            if not stamp or event_id in seen:
                continue
            seen.add(event_id)
            if len(times) < limit:
                heapq.heappush(times, stamp)
            else:
                heapq.heappushpop(times, stamp)
        if len(times) == limit:  # other files can only hold newer ones: the limit-th newest of all is not older
            break
    try:
        return datetime.fromisoformat(times[0]) if len(times) == limit else None
    except ValueError:
        return None


def _time_and_id(body: bytes) -> tuple[str | None, str]:
    try:
        event = parse_event(body)
    except ValueError:
        return None, ""
    # A pending event is not shown beside its final one.
    pending = text_at(event, "outcome", "result") == "pending"
    return None if pending else text_at(event, "timestamp"), text_at(event, "id") or ""


def _modified(file: Path) -> float:
    try:
        return os.stat(file).st_mtime
    except OSError:
        return 0.0
