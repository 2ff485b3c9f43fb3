"""Sends again what a target turned out to lack."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from auditmw.journal.cursor import SHIP
from auditmw.parsing import parse_event
from auditmw.ship.batch import Batch, Entry, identified
from auditmw.ship.deadletters import DeadLetters
from auditmw.ship.delivery import Delivered, deliver
from auditmw.ship.target import Target


def resend(
    directory: Path, target: Target, name: str, events: Iterable[tuple[str, int, bytes]], *, shown: str
) -> tuple[int, int]:
    """Send events (writer, number, JSON) in order; return how many the target took, and how many are dead letters now.

    The cursor stays where it is. May run beside the shipper. Raises RetryableError, UnusableError, OSError: what was
    sent before is there.
    """
    letters = DeadLetters(directory / SHIP / name, shown)
    sent = dead = 0

    def bury(entry: Entry, reason: str) -> None:
        nonlocal dead
        letters.append(entry, reason, "")
        dead += 1

    for batch in _batches(events, target):
        done = Delivered()
        deliver(batch, range(len(batch)), lambda part, _: target.send(part), bury, done)
        sent += done.events
    return sent, dead


def _batches(events: Iterable[tuple[str, int, bytes]], target: Target) -> Iterator[Batch]:
    entries: list[Entry] = []
    size = 0
    for writer, seq, body in events:
        if entries and (len(entries) == target.max_events or size + len(body) > target.max_bytes):
            yield Batch(entries)
            entries, size = [], 0
        event = parse_event(body)
        entry = Entry(writer, seq, identified(event, writer, seq), body, body)
        entries.append(entry._replace(record=target.record(entry, event)))
        size += len(body)
    if entries:
        yield Batch(entries)
