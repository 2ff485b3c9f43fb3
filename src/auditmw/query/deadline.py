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

    def passed(self, share: float = 1.0) -> bool:
        """Return whether the question has to end, when it may use this share of its time."""
        return self.cancelled or self._left(share) <= 0

    @contextmanager
    def enforced(self, interrupt: Callable[[], None], share: float = 1.0) -> Iterator[None]:
        """Call `interrupt` when the question has to end while the block runs.

        Again and again until the block ends: an interrupt that comes between two statements is without effect.
        """
        over = threading.Event()

        def watch() -> None:
            with self._changed:
                while not over.is_set() and not self.passed(share):
                    self._changed.wait(self._left(share))
                while not over.is_set():
                    interrupt()
                    self._changed.wait(_AGAIN_SECONDS)

        watcher = threading.Thread(target=watch, name="auditmw-query-deadline", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            with self._changed:
                over.set()
                self._changed.notify_all()
            watcher.join()

    def _left(self, share: float) -> float:
        return self._limit_seconds * share - self.elapsed_seconds
