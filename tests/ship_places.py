"""Places in memory for what the shipper's tests need: targets that do as they are told."""

from __future__ import annotations

from auditmw.ship.batch import Batch
from auditmw.ship.target import (
    MAX_BYTES,
    MAX_EVENTS,
    Accepted,
    Claim,
    FencedError,
    KeptCursor,
    RejectedError,
    RetryableError,
    Target,
    TooLargeError,
)
from ship_conformance import Place


class MemoryPlace(Place):
    """Keeps what it gets. `limit`: how many events it takes at a time."""

    poison = b'{"id":"poison","event":"poison","timestamp":"2026-11-20T00:00:00.000000Z"}'

    def __init__(self, *, limit: int = MAX_EVENTS) -> None:
        self.taken: list[tuple[str, bytes]] = []
        self.limit = limit
        self.is_down = False
        self.calls = 0
        self.tokens: list[str] = []

    def target(self) -> Target:
        return MemoryTarget(self)

    def rows(self) -> list[tuple[str, bytes]]:
        return list(self.taken)

    def down(self) -> None:
        self.is_down = True

    def up(self) -> None:
        self.is_down = False

    def take(self, batch: Batch) -> Accepted:
        self.calls += 1
        if self.is_down:
            raise RetryableError("the memory is down, as the test wants")
        if len(batch) > self.limit:
            raise TooLargeError(f"more than {self.limit} events")
        if any(entry.event.get("event") == "poison" for entry in batch):
            raise RejectedError("poison")
        self.tokens.append(batch.token)
        self.taken += [(entry.id, entry.record) for entry in batch]
        return Accepted(len(batch))


class MemoryTarget(Target):
    """Puts events into a `MemoryPlace`."""

    def __init__(self, place: MemoryPlace, *, max_events: int = MAX_EVENTS, max_bytes: int = MAX_BYTES) -> None:
        self.place, self.max_events, self.max_bytes = place, max_events, max_bytes

    def send(self, batch: Batch) -> Accepted:
        return self.place.take(batch)

    def close(self) -> None:
        pass


class KeepingPlace(MemoryPlace):
    """Keeps the cursors, too, and nothing against doubles."""

    once = True

    def __init__(self, *, limit: int = MAX_EVENTS) -> None:
        super().__init__(limit=limit)
        self.cursors: dict[str, tuple[int, bytes | None]] = {}

    def target(self) -> Target:
        return KeepingTarget(self)


class KeepingTarget(MemoryTarget):
    """Puts events and the cursor into a `KeepingPlace`, at once."""

    place: KeepingPlace

    def claim(self, name: str) -> Claim:
        if self.place.is_down:
            raise RetryableError("the memory is down, as the test wants")
        epoch, data = self.place.cursors.get(name, (0, None))
        self.place.cursors[name] = epoch + 1, data
        return Claim(epoch + 1, data)

    def send_with_cursor(self, batch: Batch, cursor: KeptCursor) -> Accepted:
        if self.place.cursors[cursor.name][0] > cursor.epoch:
            raise FencedError("there is a higher epoch")
        accepted = self.place.take(batch)
        self.place.cursors[cursor.name] = cursor.epoch, cursor.data
        return accepted
