"""Batches for tests that send to a target by hand."""

from __future__ import annotations

from auditmw.ship.batch import Batch, Entry, identified, parsed


def batch_of(*bodies: bytes, writer: str = "w", first: int = 1) -> Batch:
    """A batch of events that one writer numbered from `first`."""
    entries = []
    for seq, body in enumerate(bodies, first):
        event = parsed(body)
        entries.append(Entry(writer, seq, identified(event, writer, seq), body, body))
    return Batch(entries)
