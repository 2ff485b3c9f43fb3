"""Ctrl-C, heeded where it tears nothing: between two chunks, or while there is nothing to do but wait."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self


class Interrupt:
    """Within its `with` statement the first Ctrl-C is kept for the next `waiting`; a second one is heeded at once."""

    def __init__(self) -> None:
        self.asked = False
        self._waiting = False
        self._before: Any = None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """What stands within may be interrupted anywhere. Raises KeyboardInterrupt, also for one that was kept."""
        self._waiting = True
        try:
            if self.asked:
                raise KeyboardInterrupt
            yield
        finally:
            self._waiting = False

    def _heed(self, number: int, frame: FrameType | None) -> None:
        if self._waiting or self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # others get no signals
            self._before = signal.signal(signal.SIGINT, self._heed)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
