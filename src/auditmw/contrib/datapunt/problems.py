"""What goes wrong in the drop-in replacements and must not reach a request."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

_SAY_AGAIN_SECONDS = 60.0

_log = logging.getLogger("auditmw")


class Problems:
    """Problems of one process, counted by kind in `counts` and logged at most once a minute each."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.renew()

    def renew(self) -> None:
        """Start anew: in a forked child, where the parent's lock may be held for ever, and in tests."""
        self._lock = threading.RLock()
        self.counts: dict[str, int] = {}
        self._said: dict[str, float] = {}

    def count(self, kind: str, what: str, error: BaseException) -> None:
        """Count one; `what` says what happened and what became of the line. Never raises."""
        try:
            with self._lock:
                total = self.counts[kind] = self.counts.get(kind, 0) + 1
                now = self._clock()
                if now - self._said.get(kind, -_SAY_AGAIN_SECONDS) < _SAY_AGAIN_SECONDS:
                    return
                self._said[kind] = now
            _log.warning("%s (%d in this process so far)", what, total, exc_info=error)
        except Exception:
            return  # a logging handler of the application that raises is not the request's problem


problems = Problems()
os.register_at_fork(after_in_child=problems.renew)
