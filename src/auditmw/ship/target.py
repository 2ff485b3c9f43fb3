"""What a target of shipping is: it takes batches, and says what came of them.

1. Constructing a target does no I/O. `send` connects when it has to, and again after a failure.
2. `send` returns when the target has the events durably, by its own word, and raises otherwise; in bounded time.
3. A batch may come again, whole or in parts, when an answer was lost: the same events with the same ids. Whatever the
   target offers against doubles (`Entry.id`, `Batch.token`) is to be used.
4. The events of one writer are to be kept in the order in which they come.
5. One thread uses a target; but `record` is another one's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol, runtime_checkable

from auditmw.formats.record import Event, RecordFormat
from auditmw.ship.batch import Batch, Entry

MAX_EVENTS = 1_000
MAX_BYTES = 1024 * 1024


class ShipError(Exception):
    """Something that keeps events from being shipped; `reason` is a sentence for the operator, without secrets."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RetryableError(ShipError):
    """The target cannot take the batch now: unreachable, overloaded, no answer in time.

    `after_seconds`: how long it asks to be left alone (Retry-After), if it said so.
    """

    def __init__(self, reason: str, after_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.after_seconds = after_seconds


class UnusableError(ShipError):
    """The target refuses us, whatever the events are: credentials, TLS, a schema of a newer version.

    No event is to blame, so none is set aside. Tried again once a minute, as somebody may mend it.
    """


class RejectedError(ShipError):
    """The target takes nothing of this batch because of what is in it, and would not at another time.

    `positions`: which of the batch's entries are to blame, if the target says so. Otherwise they are found by halving.
    """

    def __init__(self, reason: str, positions: Collection[int] = ()) -> None:
        super().__init__(reason)
        self.positions = frozenset(positions)


class TooLargeError(ShipError):
    """The batch is too large for the target, which took nothing of it: it comes again in halves."""


class FencedError(ShipError):
    """Another shipper has taken over (it has a higher epoch): this one stops."""


@dataclass(frozen=True)
class Accepted:
    """What the target has durably.

    `events`: how many of the batch it has, also those that it had already. `refused`: the entries that it will never
    take, by position, and why: they become dead letters. `rejected`: how many it dropped without saying which
    (`partial_success` of OTLP): counted, told with `note`, and not sent again.
    """

    events: int
    refused: Mapping[int, str] = field(default_factory=dict)
    rejected: int = 0
    note: str = ""


class Target(Protocol):
    """Where events go. Implementations inherit the limits that they do not set."""

    max_events: int = MAX_EVENTS
    """How many events a batch may have."""

    max_bytes: int = MAX_BYTES
    """How many bytes of `Entry.body` a batch may have; a larger event comes alone."""

    format: RecordFormat | None = None
    """What `Entry.record` is made with; None for the event's own JSON."""

    def record(self, entry: Entry, event: Event) -> bytes:
        """Return what `Entry.record` is to be of an event: asked once for each, when it is read.

        `event`: the entry's, parsed. Called from another thread than `send`, also while that waits; so it changes
        nothing. Raises RecordError for an event that `format` has no record for: it is left out.
        """
        return entry.body if self.format is None else self.format.render(event)

    def send(self, batch: Batch) -> Accepted:
        """Put the events into the target and wait for its word that they are durable.

        Raises RetryableError, UnusableError, RejectedError, TooLargeError. Anything else that is raised counts as a
        RetryableError. An empty batch is accepted without asking the target.
        """
        ...

    def close(self) -> None:
        """Let go of connections; never raises, and may be called twice. A later `send` would connect again."""
        ...


class KeptCursor(NamedTuple):
    """How far the events of a journal are in a target, for the target to keep: `data` is opaque.

    `name`: whose cursor it is, the same after a restart. `epoch`: the one that `claim` gave.
    """

    name: str
    epoch: int
    data: bytes


class Claim(NamedTuple):
    """The `epoch` that a shipper has from now on, and the `data` that was kept last, if any."""

    epoch: int
    data: bytes | None


@runtime_checkable
class CursorKeeper(Target, Protocol):
    """A target that keeps the cursor with the events, in one transaction: each event is there exactly once.

    Plain `send` (dead letters that are sent again) leaves the cursor as it is.
    """

    def claim(self, name: str) -> Claim:
        """Return a new epoch, higher than any before for this name, and what was kept last; durably.

        Whoever has a lower epoch gets FencedError from now on. Raises RetryableError, UnusableError.
        """
        ...

    def send_with_cursor(self, batch: Batch, cursor: KeptCursor) -> Accepted:
        """Do as `send`, and keep `cursor` in the same transaction: both or none. The batch may be empty.

        Raises as `send`, and FencedError when there is a higher epoch: then nothing has changed.
        """
        ...


class Mention(NamedTuple):
    """An event that a target is asked for: its `id`, and its `time` (aware, or naive and in UTC) if it has one."""

    id: str
    time: datetime | None


@runtime_checkable
class Inventory(Target, Protocol):
    """A target that can be asked what it has."""

    def absent(self, events: Sequence[Mention]) -> set[str]:
        """Return the ids of those of the events that it does not have. Raises RetryableError, UnusableError."""
        ...

    def counts(self, writers: Sequence[str]) -> Mapping[str, int]:
        """Return how many events it has of each writer; under "" all, if it knows no writers. Raises as `absent`."""
        ...
