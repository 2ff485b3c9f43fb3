"""A batch: some events on their way, in order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from auditmw.formats.record import Event
from auditmw.parsing import parse_event


class Entry(NamedTuple):
    """One event.

    `writer` and `seq`: which line of the journal it is; `seq` goes up within a writer. `id`: the event's; of one
    without an id, `<writer>-<seq>`. `body`: its JSON, to the byte as the journal has it; of a request whose process
    died, as queries show it. `record`: what the target made of the event when it was read, `body` if nothing else.
    """

    writer: str
    seq: int
    id: str
    body: bytes
    record: bytes

    @property
    def event(self) -> Event:
        """The event, parsed anew at each call: parsed events take five times the memory of their JSON."""
        return parse_event(self.body)


class Batch:
    """Events in order, each writer's in one piece. It has `len`, can be iterated, and gives `batch[n]`."""

    __slots__ = ("_token", "entries")

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = tuple(entries)
        self._token: str | None = None

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __getitem__(self, position: int) -> Entry:
        return self.entries[position]

    def __repr__(self) -> str:
        return f"Batch({len(self)} events, token {self.token})"

    @property
    def token(self) -> str:
        """32 hexadecimal digits, the same whenever the same events come: for targets that know batches again."""
        if self._token is None:
            places = "\n".join(f"{entry.writer} {entry.seq}" for entry in self.entries)
            self._token = hashlib.sha256(places.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        return self._token

    @property
    def bytes(self) -> int:
        """How many bytes the events have, as JSON."""
        return sum(len(entry.body) for entry in self.entries)

    def part(self, positions: Sequence[int]) -> Batch:
        """Return a batch of some of the entries."""
        if len(positions) == len(self.entries):
            return self
        return Batch([self.entries[position] for position in positions])


def identified(event: Event, writer: str, seq: int) -> str:
    """Return the id of an event; of one that has none, one that says which line it is."""
    ident = event.get("id")
    return ident if isinstance(ident, str) and ident else f"{writer}-{seq}"
