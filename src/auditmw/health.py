"""How auditmw itself is doing: every failure of our own is counted, said at most once a minute, and visible."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

SAY_AGAIN_SECONDS = 60.0
_HARMLESS = frozenset({"exempted"})

_log = logging.getLogger("auditmw")


class Health:
    """Counts of one process, by kind. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.renew()

    def renew(self) -> None:
        """Start anew: in a forked child, where the parent's lock may be held for ever."""
        self._lock = threading.RLock()  # a signal handler may come in the middle
        self._counts: dict[str, int] = {}
        self._last: dict[str, str] = {}
        self._said: dict[str, float] = {}

    def count(self, kind: str, why: BaseException | str | None = None) -> None:
        """Count one thing of this kind; never raises.

        `why` is kept as the last reason, and logged at most once a minute.
        """
        try:
            with self._lock:
                self._counts[kind] = self._counts.get(kind, 0) + 1
                if kind in _HARMLESS:
                    return
                # An exception's text may hold personal data (OWASP logging): type and place say enough.
                reason = why if isinstance(why, str) else "" if why is None else _name(why)
                self._last[kind] = reason
                now = self._clock()
                if now - self._said.get(kind, -SAY_AGAIN_SECONDS) < SAY_AGAIN_SECONDS:
                    return
                self._said[kind] = now
                total = self._counts[kind]
            _log.warning("auditmw: %s (%d in this process so far)%s", kind, total, f": {reason}" if reason else "")
        except Exception:
            return  # a logging handler of the application that raises is not the request's problem

    def snapshot(self) -> dict[str, Any]:
        """Counts and last reasons."""
        with self._lock:
            return {"counts": dict(self._counts), "last": dict(self._last)}


def _name(error: BaseException) -> str:
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if kind.__module__.startswith("auditmw."):  # our own words: path and reason
        return f"{name}: {error}"
    if isinstance(error, OSError) and error.errno is not None:
        name = f"{name} [Errno {error.errno}] {os.strerror(error.errno)}"
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return name if trace is None else f"{name} at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
