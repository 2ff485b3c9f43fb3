"""Batches for tests that send to a target by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from auditmw.parsing import parse_event
from auditmw.ship.batch import Batch, Entry, identified


def batch_of(
    *bodies: bytes,
    writer: str = "w",
    first: int = 1,
    record: Callable[[Entry, Any], bytes] = lambda entry, event: entry.body,
) -> Batch:
    """A batch of events that one writer numbered from `first`; `record` makes what the target takes."""
    entries = []
    for seq, body in enumerate(bodies, first):
        event = parse_event(body)
        entry = Entry(writer, seq, identified(event, writer, seq), body, body)
        entries.append(entry._replace(record=record(entry, event)))
    return Batch(entries)
