"""One batch into a target: halved when it is too large, searched by halving when the target rejects it.

What is accepted, or set aside, is always all that comes before the part that is sent next, so each writer's order is
kept. A batch of n events with one that is poison takes about 2 log2(n) calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from auditmw.ship.batch import Batch, Entry
from auditmw.ship.target import Accepted, RejectedError, TooLargeError

Send = Callable[[Batch, int], Accepted]
"""Sends a part of a batch. The number: all entries before that position are settled once the part is accepted."""

Bury = Callable[[Entry, str], None]
"""Sets an entry aside, durably, for a reason."""


@dataclass
class Delivered:
    """What came of a batch so far: events that the target has, that it dropped without saying which, dead letters.

    `note`: the last one. `settled`: up to which position a call that went well settled all.
    """

    events: int = 0
    rejected: int = 0
    dead: int = 0
    note: str = ""
    settled: int = 0


def deliver(batch: Batch, positions: Sequence[int], send: Send, bury: Bury, done: Delivered) -> None:
    """Send the entries at `positions`, and keep account in `done`.

    Raises what `bury` raises, and `send` beside RejectedError and TooLargeError.
    """
    parts = [(list(positions), len(batch))] if positions else []
    while parts:
        part, upto = parts.pop()
        try:
            accepted = send(batch.part(part), upto)
        except (RejectedError, TooLargeError) as error:
            parts += _smaller(batch, part, upto, error, bury)
            continue
        for at, reason in accepted.refused.items():
            bury(batch[part[at]], reason)
        done.events += accepted.events
        done.rejected += accepted.rejected
        done.note = accepted.note or done.note
        done.settled = upto


def _smaller(
    batch: Batch, part: list[int], upto: int, error: RejectedError | TooLargeError, bury: Bury
) -> list[tuple[list[int], int]]:
    """Return the parts to send instead, the first one last; without what is known to be poison."""
    named = {at for at in getattr(error, "positions", ()) if 0 <= at < len(part)}
    if len(part) == 1:
        named = {0}
    if named:
        for at in sorted(named):
            bury(batch[part[at]], error.reason)
        rest = [position for at, position in enumerate(part) if at not in named]
        return [(rest, upto)] if rest else []
    middle = len(part) // 2
    return [(part[middle:], upto), (part[:middle], part[middle])]
