"""Brings portions to a target, each in as many attempts as it takes, and sets aside what the target will never take."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from auditmw.journal.cursor import Cursor
from auditmw.ship.batch import Batch, Entry
from auditmw.ship.deadletters import DeadLetters, Key
from auditmw.ship.delivery import Delivered, deliver
from auditmw.ship.portion import Portion
from auditmw.ship.report import Report
from auditmw.ship.target import (
    Accepted,
    CursorKeeper,
    KeptCursor,
    RetryableError,
    ShipError,
    Target,
    UnusableError,
)

_log = logging.getLogger("auditmw.ship")


class Courier:
    """Of one shipper. `dead`: events that were set aside before, so that none is twice.

    When nothing but dead letters comes of `most_dead` events in a row, the target is what is wrong: UnusableError.
    """

    def __init__(
        self, target: Target, name: str, letters: DeadLetters, report: Report, *, dead: set[Key], most_dead: int
    ) -> None:
        self._target = target
        self._keeper = target if isinstance(target, CursorKeeper) else None
        self._name = name
        self._letters = letters
        self._report = report
        self._dead = dead
        self._most_dead = most_dead
        self._dead_in_a_row = 0
        self._portion: Portion | None = None  # the one under way
        self._done = Delivered()

    def bring(self, portion: Portion) -> Delivered:
        """Bring a portion, or what earlier attempts left of it. Raises ShipError, OSError; then call it again."""
        if portion is not self._portion:
            self._portion, self._done = portion, Delivered()
        batch, done = portion.batch, self._done
        positions: Sequence[int] = range(done.settled, len(batch))
        if self._dead:
            positions = [at for at in positions if _key(batch[at]) not in self._dead]
        deliver(batch, positions, self._send, self._bury, done)
        if self._keeper is not None and done.settled < len(batch):
            self._send(Batch(()), len(batch))
        done.dead = self._count_dead(portion, len(batch))
        return done

    def _send(self, part: Batch, upto: int) -> Accepted:
        try:
            accepted = self._target.send(part) if self._keeper is None else self._keep(self._keeper, part, upto)
        except ShipError:
            raise
        except Exception as error:
            _log.exception("auditmw: %s failed in a way that it should not", self._name)
            raise RetryableError(f"{type(error).__name__}: {error}") from error
        if accepted.events:
            self._dead_in_a_row = 0
        return accepted

    def _keep(self, keeper: CursorKeeper, part: Batch, upto: int) -> Accepted:
        """Send with the cursor that is true once the part is there."""
        portion, done = self._portion, self._done
        assert portion is not None  # noqa: S101 - it is under way
        counts = {"shipped": done.events + len(part), "rejected": done.rejected}
        cursor = portion.cursor_at(upto).counting({**counts, "dead": self._count_dead(portion, upto)})
        return keeper.send_with_cursor(part, kept(self._name, cursor))

    def _bury(self, entry: Entry, reason: str) -> None:
        assert self._portion is not None  # noqa: S101 - it is under way
        if _key(entry) in self._dead:
            return
        if self._dead_in_a_row >= self._most_dead:
            raise UnusableError(
                f"{self._dead_in_a_row} events in a row were rejected, so it may be the target that is wrong: {reason}"
            )
        self._letters.append(entry, reason, self._portion.batch.token)
        self._dead.add(_key(entry))
        self._dead_in_a_row += 1
        self._report.buried(entry, reason)

    def _count_dead(self, portion: Portion, upto: int) -> int:
        return sum(_key(portion.batch[at]) in self._dead for at in range(upto)) if self._dead else 0

    def forget(self) -> None:
        """Forget what was set aside of the portion that was brought: the cursor has passed it."""
        if self._portion is not None and self._dead:
            self._dead.difference_update(map(_key, self._portion.batch))
        self._portion = None


def kept(name: str, cursor: Cursor) -> KeptCursor:
    """Return the cursor as a target keeps it: under the journal's id and the name of the shipper's folder."""
    return KeptCursor(f"{cursor.journal}/{name}", cursor.epoch, cursor.encode())


def _key(entry: Entry) -> Key:
    return entry.writer, entry.seq
