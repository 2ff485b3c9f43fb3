"""The events of an audit directory as one sequence in time order.

1. Every event comes once: intents are settled (intents.py), and copies of a line, byte for byte, are one event.
2. The order is that of `timestamp`, which is fixed-width RFC 3339 in UTC and so sorts as text. Within a file it is
   exact. A file is opened when the merge comes within a minute of its first and its last lines; what a clock that was
   set back put more than that before both comes late.
3. Memory: sixteen bytes for every event of the files whose time overlaps, and one event of each.
4. What is written while somebody reads may come or not; each event comes whole.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
import os
import re
from array import array
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from auditmw.journal.frame import open_line
from auditmw.journal.intents import Event, cut_off, is_pending, may_be_pending
from auditmw.journal.layout import dead_writers, journal_files, writer_of
from auditmw.journal.rawfile import UnreadableError, open_to_read, read_at
from auditmw.journal.reader import UNREADABLE, Damage, FileReader, Line, OnDamage, damage_handler, ignore

NOT_JSON = "not JSON"

# How our own events begin; others are parsed to find the two fields.
_HEAD = re.compile(rb'\{"schema":"[^"\\]*","id":"([^"\\]*)","timestamp":"([^"\\]*)"')
_TAIL_BYTES = 64 * 1024
_SLACK = timedelta(minutes=1)
_FOR_EVER = "~"  # sorts behind every time

Loads = Callable[[bytes], Any]
_Timed = tuple[str, bytes, Event]  # when, the bytes, the event


def read_events(
    directory: str | os.PathLike[str],
    *,
    loads: Loads = json.loads,
    on_damage: OnDamage | None = None,
    since: str | datetime | None = None,
) -> Iterator[Event]:
    """Yield the events as dicts, oldest first, each once; those at or after `since`, if given.

    `loads` parses one JSON object. Raises FileNotFoundError when there is no such directory, ValueError when `since` is
    not a time with its zone.
    """
    earliest = "" if since is None else _text(since)
    dead = dead_writers(directory)  # before the files are listed: theirs are complete
    return iter(_Merge(journal_files(directory), dead, loads, damage_handler(directory, on_damage), earliest))


def parse(line: Line, length: int, loads: Loads, on_damage: OnDamage) -> Event | None:
    """Return a line's event; None, and damage, when a line that is sound otherwise holds no JSON."""
    try:
        event: Event = loads(line.body)
    except (ValueError, RecursionError):
        on_damage(Damage(line.file, line.offset, length, NOT_JSON))
        return None
    return event


def time_of(event: Event) -> str:
    """Return what the event sorts by; events without a time come first."""
    stamp = event.get("timestamp")
    return stamp if isinstance(stamp, str) else ""


class _Merge:
    """All events of `files`, merged by time."""

    def __init__(
        self, files: list[Path], dead: frozenset[str], loads: Loads, on_damage: OnDamage, earliest: str
    ) -> None:
        self._files = files
        self._dead = dead
        self._loads = loads
        self._on_damage = on_damage
        self._earliest = earliest

    def __iter__(self) -> Iterator[Event]:
        spans = ((self._span(file), number) for number, file in enumerate(self._files))
        waiting = sorted(((first, number) for (first, last), number in spans if last >= self._earliest), reverse=True)
        heap: list[tuple[str, int, bytes, Event, Iterator[_Timed]]] = []
        now, bodies = "", set[bytes]()
        while waiting or heap:
            while waiting and (not heap or waiting[-1][0] <= heap[0][0]):
                _, number = waiting.pop()
                _advance(heap, number, self._in_order(number))
            if not heap:
                break
            stamp, number, body, event, rest = heapq.heappop(heap)
            if stamp != now:
                now, bodies = stamp, set()
            if body not in bodies:
                bodies.add(body)
                yield event
            _advance(heap, number, rest)

    def _in_order(self, number: int) -> Iterator[_Timed]:
        """Yield one file's events."""
        file = self._files[number]
        try:
            fd = open_to_read(file)  # before the index is made, so that the file can be removed meanwhile
        except OSError:
            return
        try:
            offsets, lengths, cut = self._index(number)
            for offset, length in zip(offsets, lengths, strict=True):
                line = self._read_back(fd, file, offset, length)
                event = line and parse(line, length, self._loads, self._on_damage)
                if line and event is not None:
                    yield time_of(event), line.body, cut_off(event) if offset in cut else event
        finally:
            os.close(fd)

    def _read_back(self, fd: int, file: Path, offset: int, length: int) -> Line | None:
        opened = None
        with contextlib.suppress(UnreadableError):
            opened = open_line(read_at(fd, length, offset))
        if opened is None:  # it was sound a moment ago, when the index was made
            self._on_damage(Damage(file, offset, length, UNREADABLE))
            return None
        return Line(file, offset, *opened)

    def _index(self, number: int) -> tuple[array[int], array[int], set[int]]:
        """Return the offsets and lengths of one file's lines in time order, and the offsets of cut-off intents."""
        reader = FileReader(self._files[number], on_damage=self._on_damage)
        found: list[tuple[str, int, int]] = []
        intents: set[int] = set()
        open_intents: dict[str, int] = {}
        for line in reader.lines():
            length = reader.offset - line.offset
            ident, stamp, pending = self._look(line, length)
            if pending:
                intents.add(line.offset)
                open_intents[ident] = line.offset
            elif open_intents:
                open_intents.pop(ident, None)
            if stamp is not None and stamp >= self._earliest:
                found.append((stamp, line.offset, length))
        cut = self._cut_off(number, open_intents)
        found = [entry for entry in found if entry[1] not in intents or entry[1] in cut] if intents else found
        found.sort()
        return array("Q", (offset for _, offset, _ in found)), array("L", (length for _, _, length in found)), cut

    def _look(self, line: Line, length: int, on_damage: OnDamage | None = None) -> tuple[str, str | None, bool]:
        """Return a line's id, its time (None when it is no event), and whether it is an intent record."""
        match = _HEAD.match(line.body)
        if match and not may_be_pending(line.body):
            return match[1].decode(errors="replace"), match[2].decode(errors="replace"), False
        event = parse(line, length, self._loads, on_damage or self._on_damage)
        if event is None:
            return "", None, False
        return str(event.get("id")), time_of(event), is_pending(event)

    def _cut_off(self, number: int, open_intents: dict[str, int]) -> set[int]:
        """Return those offsets whose requests will never get a final event."""
        writer = writer_of(self._files[number])
        if not open_intents or writer not in self._dead:
            return set()
        unanswered = dict(open_intents)
        for file in self._files[number + 1 :]:
            if not unanswered or writer_of(file) != writer:
                break
            for line in FileReader(file).lines():
                unanswered.pop(self._look(line, 0, ignore)[0], None)
                if not unanswered:
                    break
        return set(unanswered.values())

    def _span(self, file: Path) -> tuple[str, str]:
        """Return from when and until when a file may have events, as far as its first and its last lines tell."""
        try:
            tail = max(0, os.stat(file).st_size - _TAIL_BYTES)
        except OSError:
            return "", ""
        ends = itertools.chain(itertools.islice(FileReader(file).lines(), 1), FileReader(file, offset=tail).lines())
        stamps = [self._look(line, 0, ignore)[1] or "" for line in ends]
        try:
            first, last = (datetime.fromisoformat(stamp) for stamp in (min(stamps), max(stamps)))
            return _text(first - _SLACK), _text(last + _SLACK)
        except (ValueError, OverflowError):
            return "", _FOR_EVER


def _advance(heap: list[tuple[str, int, bytes, Event, Iterator[_Timed]]], number: int, rest: Iterator[_Timed]) -> None:
    """Put the next event of a file where the merge sees it, if there is one."""
    for stamp, body, event in rest:
        heapq.heappush(heap, (stamp, number, body, event, rest))
        return


def _text(moment: str | datetime) -> str:
    """Return a time as events have it: UTC, microseconds, Z."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    if moment.tzinfo is None:
        raise ValueError(f"expected a time with its zone, such as 2026-11-20T20:20:11Z, not {str(moment)!r}")
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
