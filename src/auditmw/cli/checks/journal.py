"""What the journal itself says: is it whole, who writes it, did the clock jump, were events lost."""

from __future__ import annotations

import heapq
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from auditmw.cli.checks.finding import Finding, fail, ok, warn
from auditmw.cli.lines import is_request, text_at, value_at
from auditmw.journal import Damage, Line, dead_writers, journal_files, read_lines, writer_of
from auditmw.parsing import LEVELS, parse_event, shallow

RECENT_REQUESTS = 1_000
SHOWN_DAMAGE = 5
STEP_SECONDS = 1.0  # events of one process are written in order; concurrent requests swap places by milliseconds
AHEAD_SECONDS = 5.0
GAP_EVENT = "auditmw.gap"


@dataclass(slots=True)
class Reading:
    """All that one pass over the journal told."""

    files: int = 0
    size_bytes: int = 0
    writers: int = 0
    live: int = 0
    events: int = 0
    first: str = ""
    last: str = ""
    last_here: str = ""  # without imported lines
    damaged: int = 0
    deep: int = 0  # events that are nested too deep to be shown whole
    missing: int = 0
    damage: list[Damage] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)
    services: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    largest_step_seconds: float = 0.0
    recent: list[tuple[str, int, dict[str, Any]]] = field(default_factory=list)  # a heap, the oldest first

    def requests(self) -> list[dict[str, Any]]:
        """Return the newest requests that the middleware recorded, the oldest first."""
        return [event for _, _, event in sorted(self.recent, key=lambda entry: entry[:2])]


def read_journal(directory: Path) -> Reading:
    """Read every line of the journal once, and change nothing: not even damage is copied aside."""
    reading = Reading()
    dead = dead_writers(directory)
    files = journal_files(directory)
    writers = {writer_of(file) for file in files}
    reading.files, reading.writers, reading.live = len(files), len(writers), len(writers - dead)
    reading.size_bytes = sum(_size(file) for file in files)

    def on_damage(damage: Damage) -> None:
        if damage.missing:
            reading.missing += damage.missing
        else:
            reading.damaged += 1
        if len(reading.damage) < SHOWN_DAMAGE:
            reading.damage.append(damage)

    before: tuple[str, str] = ("", "")
    for line in read_lines(directory, on_damage=on_damage, quarantine=False):
        before = _take(reading, line, before)
    return reading


def check_journal(reading: Reading, archived: int, now: datetime) -> Iterator[Finding]:
    """Yield findings about a reading; `archived` events are in the archive already; `now` has a time zone."""
    yield _contents(reading, archived)
    yield _damage(reading)
    yield _writers(reading)
    yield _lost(reading)
    yield from _deep(reading)
    yield from _times(reading, now)


def _take(reading: Reading, line: Line, before: tuple[str, str]) -> tuple[str, str]:
    """Count one line; `before` and the result are the writer and the timestamp of the line before."""
    try:
        event = parse_event(line.body)
    except ValueError:
        reading.damaged += 1
        return before
    reading.events += 1
    reading.deep += shallow(line.body) is not line.body
    stamp = text_at(event, "timestamp") or ""
    reading.first = min(reading.first or stamp, stamp)
    reading.last = max(reading.last, stamp)
    reading.services[text_at(event, "service", "name") or "-"] += 1
    if event.get("event") == GAP_EVENT:
        count = value_at(event, "data", "count")
        reading.lost[text_at(event, "data", "reason") or "unknown"] += count if isinstance(count, int) else 1
    if text_at(event, "source", "kind") == "import":
        return before  # its times and clients are those of another machine
    reading.last_here = max(reading.last_here, stamp)
    if is_request(event) and text_at(event, "outcome", "result") != "pending":
        entry = (stamp, reading.events, event)
        if len(reading.recent) < RECENT_REQUESTS:
            heapq.heappush(reading.recent, entry)
        else:
            heapq.heappushpop(reading.recent, entry)
    writer, earlier = writer_of(line.file), before[1]
    if writer == before[0] and stamp < earlier:
        _step(reading, earlier, stamp)
    return writer, stamp


def _step(reading: Reading, earlier: str, later: str) -> None:
    try:
        seconds = (datetime.fromisoformat(earlier) - datetime.fromisoformat(later)).total_seconds()
    except (ValueError, TypeError):
        return
    if seconds > STEP_SECONDS:
        reading.steps += 1
        reading.largest_step_seconds = max(reading.largest_step_seconds, seconds)


def _contents(reading: Reading, archived: int) -> Finding:
    if not reading.events and archived:
        return ok("journal.events", "all events are in the archive")
    if not reading.events:
        advice = "make a request to the app; if nothing comes, is this the directory that Audit(...) was given?"
        return warn("journal.events", f"no events in {reading.files} files", advice)
    services = ", ".join(name for name, _ in reading.services.most_common(5))
    size = f"{reading.size_bytes / (1 << 20):.1f} MiB"
    return ok(
        "journal.events",
        f"{reading.events} events of {services} in {reading.files} files ({size}), {reading.first} to {reading.last}",
    )


def _damage(reading: Reading) -> Finding:
    if not reading.damaged and not reading.missing:
        return ok("journal.damage", "every line is whole, none is missing")
    places = "; ".join(
        f"{damage.file.name} at {damage.offset}: {damage.reason}" + (f" ({damage.missing})" if damage.missing else "")
        for damage in reading.damage
    )
    return fail(
        "journal.damage",
        f"{reading.damaged} damaged places and {reading.missing} missing lines: {places}",
        "the other lines are sound; look into the kernel's log for disk errors, and find out who else writes there",
    )


def _writers(reading: Reading) -> Finding:
    seen = f"{reading.live} of {reading.writers} writers are live"
    if reading.live or not reading.writers:
        return ok("journal.writers", seen)
    advice = "start the app, if it should be running; is it configured with this directory?"
    return warn("journal.writers", seen, advice)


def _lost(reading: Reading) -> Finding:
    if not reading.lost:
        return ok("journal.lost", "no event was lost")
    reasons = ", ".join(f"{count} x {reason}" for reason, count in reading.lost.most_common(5))
    return fail(
        "journal.lost",
        f"{reading.lost.total()} events could not be written: {reasons}",
        f"mend the cause; the events {GAP_EVENT} in the journal say when it was",
    )


def _deep(reading: Reading) -> Iterator[Finding]:
    if reading.deep:
        seen = f"{reading.deep} events are nested more than {LEVELS} levels deep, and shown no deeper"
        yield warn("journal.depth", seen, "query -o ndjson gives them as they were written; who writes such events?")


def _times(reading: Reading, now: datetime) -> Iterator[Finding]:
    if reading.steps:
        seen = f"the clock was set back {reading.steps} times, by {reading.largest_step_seconds:.1f} s at most"
        yield warn("journal.clock", seen, "let the NTP client slew the clock; the order is that of seq in each file")
    try:
        ahead = (datetime.fromisoformat(reading.last_here) - now.astimezone(UTC)).total_seconds()
    except (ValueError, TypeError):
        return
    if ahead > AHEAD_SECONDS:
        seen = f"the newest event is {ahead:.0f} s in the future"
        yield warn("journal.clock", seen, "compare the clock of this machine with that of the one that wrote it")
    elif not reading.steps:
        yield ok("journal.clock", "no event is out of order or in the future")


def _size(file: Path) -> int:
    try:
        return os.stat(file, follow_symlinks=False).st_size
    except OSError:
        return 0
