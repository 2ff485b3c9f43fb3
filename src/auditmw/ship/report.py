"""What a shipper tells about itself: the status file, and the log."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from auditmw.journal.cursor import Cursor
from auditmw.ship import status
from auditmw.ship.batch import Entry
from auditmw.ship.delivery import Delivered
from auditmw.ship.status import Lag, Status
from auditmw.ship.target import ShipError, UnusableError

WRITE_SECONDS = 1.0
SAY_AGAIN_SECONDS = 60.0

_log = logging.getLogger("auditmw.ship")


class Report:
    """Of one shipper, or collector; never raises. Written at most once a second, unless the state changes.

    `stream`: the one that is collected from. `lag`: what is left, where that cannot be measured by those who look.
    `log`: hears of what went wrong, the same at most once a minute.
    """

    def __init__(
        self,
        folder: Path,
        target: str,
        clock: Callable[[], float],
        now: Callable[[], datetime],
        *,
        stream: str = "",
        lag: Callable[[], Lag] = Lag,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self._folder, self._clock, self._now, self._lag = folder, clock, now, lag
        self._status = Status(name=folder.name, target=target, state="standby", pid=os.getpid(), stream=stream)
        self._log = log or (lambda text: _log.warning("auditmw: shipping to %s: %s", target, text))
        self._retries = 0
        self._events = 0  # since the rate was measured last
        self._measured_at = clock()
        self._written_at = float("-inf")
        self._said: dict[str, float] = {}

    def begin(self, counts: Mapping[str, int], *, epoch: int = 0, state: str = "shipping") -> None:
        """Tell that this shipper leads, and what came of all events so far."""
        self._measured_at = self._clock()
        self._change(epoch=epoch, counts=dict(counts), pid=os.getpid())
        self.tell(state)

    def shipped(self, done: Delivered, cursor: Cursor, unreadable: Mapping[str, str]) -> None:
        """Tell what came of a batch."""
        self._change(unreadable=tuple(unreadable.values()))
        self.count(done.events, cursor.counts)
        if done.rejected:
            self._say(f"the target dropped {done.rejected} events of a batch and does not say which: {done.note}")
        self.tell("shipping")

    def count(self, events: int, counts: Mapping[str, int]) -> None:
        """Tell how many events came through, and what came of all so far."""
        self._events += events
        self._change(counts={**counts, "retries": self._retries})

    def buried(self, entry: Entry, reason: str) -> None:
        """Tell that an event was rejected."""
        self._say(f"set aside as a dead letter: event {entry.id!r} ({entry.writer} {entry.seq}): {reason}", reason)

    def failed(self, error: ShipError, *, is_raised: bool = False) -> None:
        """Tell that the target does not take events now. `is_raised`: who called hears of it, the log need not."""
        self._retries += 1
        if not is_raised:
            self._say(error.reason)
        counts = {**self._status.counts, "retries": self._retries}
        self._change(last_error=error.reason[:1024], last_error_at=self._time(), counts=counts)
        self.tell("unusable" if isinstance(error, UnusableError) else "retrying")

    def tell(self, state: str) -> None:
        """Tell what the shipper does now."""
        now = self._clock()
        if state == self._status.state and now < self._written_at + WRITE_SECONDS:
            return
        if now >= self._measured_at + WRITE_SECONDS:
            rate = self._events / (now - self._measured_at)
            self._events, self._measured_at = 0, now
            self._change(events_per_second=round(rate, 1))
        self._change(state=state, updated=self._time(), lag=self._lag())
        self._written_at = now
        with contextlib.suppress(OSError):  # it is only for those who look
            status.write(self._folder, self._status)

    def _change(self, **changes: object) -> None:
        self._status = Status(**{**vars(self._status), **changes})

    def _time(self) -> str:
        return self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _say(self, text: str, what: str = "") -> None:
        """Log it, the same at most once a minute."""
        now, key = self._clock(), what or text
        if now < self._said.get(key, float("-inf")) + SAY_AGAIN_SECONDS:
            return
        if len(self._said) > 100:
            self._said.clear()
        self._said[key] = now
        self._log(text)
