"""The end of a question: at its time limit, or when it is cancelled, whichever comes first."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from auditmw.query.partial import Reason

_AGAIN_SECONDS = 0.02


class Deadline:
    """Knows whether an answer has to end, and interrupts what it runs when that moment comes."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._limit_seconds = 0.0
        self._share = 1.0
        self._began: float | None = None
        self._changed = threading.Condition()
        self.cancelled = False

    def begin(self, limit_seconds: float) -> None:
        """Start the clock, if it is not running yet."""
        if self._began is None:
            self._began, self._limit_seconds = self._clock(), limit_seconds

    @property
    def elapsed_seconds(self) -> float:
        """How long it has been running."""
        return 0.0 if self._began is None else self._clock() - self._began

    def cancel(self) -> None:
        """End the question now; from any thread."""
        with self._changed:
            self.cancelled = True
            self._changed.notify_all()

    @property
    def reason(self) -> Reason:
        """Why the question has to end."""
        return "cancelled" if self.cancelled else "time limit"

    @property
    def passed(self) -> bool:
        """Whether the answer has to end."""
        return self.cancelled or self.left_seconds <= 0

    def allow(self, share: float) -> None:
        """Let what comes next take no more than this share of the time."""
        with self._changed:
            self._share = share
            self._changed.notify_all()

    @contextmanager
    def enforced(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """Call `interrupt` when the answer has to end while the block runs.

        Again and again until the block ends: an interrupt that comes between two statements is without effect.
        """
        over = threading.Event()

        def watch() -> None:
            with self._changed:
                while not over.is_set():
                    if self.passed:
                        interrupt()
                    self._changed.wait(_AGAIN_SECONDS if self.passed else self.left_seconds)

        watcher = threading.Thread(target=watch, name="auditmw-query-deadline", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            with self._changed:
                over.set()
                self._changed.notify_all()
            watcher.join()

    @property
    def left_seconds(self) -> float:
        """How long what comes next may take; negative when the time is over."""
        return self._limit_seconds * self._share - self.elapsed_seconds
