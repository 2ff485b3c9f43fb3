"""What is on its way into the archive: collected, and taken there some hundred thousand events at a time.

While a batch is taken, by a thread, the next one is collected; more than these two there never are.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from auditmw.archive.rowfile import Deposit

_MOST_ROWS = 160_000
_MOST_LINE_BYTES = 24 * 1024 * 1024  # of events that are no rows, which need more memory

Take = Callable[[Sequence[Deposit]], None]
"""Takes deposits into the archive, all or none."""


class _Item(NamedTuple):
    """A deposit, or none, and whom to tell when it, and all before it, are in the archive."""

    deposit: Deposit | None
    tell: Callable[[], None]


class Depot:
    """Has deposits taken into the archive by `take`. For one thread."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._thread = ThreadPoolExecutor(1, "archive")
        self._waiting: list[_Item] = []
        self._taken: list[_Item] = []  # by the thread
        self._work: Future[None] | None = None

    @property
    def writers(self) -> list[str]:
        """The writers whose events are on their way."""
        return [item.deposit.writer for item in (*self._taken, *self._waiting) if item.deposit]

    def add(self, deposit: Deposit, tell: Callable[[], None]) -> None:
        """Have a deposit taken; `tell` is called, later and by this thread, when it was. Raises what `take` raised."""
        self._waiting.append(_Item(deposit, tell))
        if self._work is not None and self._work.done():
            self._finish()
        if self._is_full():
            self._finish()
            self._start()

    def after(self, tell: Callable[[], None]) -> None:
        """Call `tell` when all that was added by now was taken, or given up: at once when that is nothing."""
        self._waiting.append(_Item(None, tell))
        if not self.writers:
            self._release()

    def settle(self) -> None:
        """Wait until everything was taken. Raises what `take` raised."""
        self._finish()
        if self.writers:
            self._start()
            self._finish()
        self._release()

    def close(self) -> None:
        """Wait for what is being taken, and give up the rest."""
        with contextlib.suppress(Exception):  # it was told, or somebody gives up because of another error
            self._finish()
        self._release()
        self._thread.shutdown()

    def _is_full(self) -> bool:
        deposits = [item.deposit for item in self._waiting if item.deposit]
        return (
            sum(deposit.rows for deposit in deposits) >= _MOST_ROWS
            or sum(deposit.line_bytes for deposit in deposits) >= _MOST_LINE_BYTES
        )

    def _start(self) -> None:
        self._taken, self._waiting = self._waiting, []
        self._work = self._thread.submit(self._take, [item.deposit for item in self._taken if item.deposit])

    def _finish(self) -> None:
        """Wait for the thread, and tell of what it took."""
        if self._work is None:
            return
        work, self._work = self._work, None
        items, self._taken = self._taken, []
        try:
            work.result()
        finally:
            for item in items:
                _remove(item.deposit)
                if item.deposit is None or not work.exception():
                    item.tell()

    def _release(self) -> None:
        """Forget what waits, and tell those who wait for its end."""
        waiting, self._waiting = self._waiting, []
        for item in waiting:
            _remove(item.deposit)
            if item.deposit is None:
                item.tell()


def _remove(deposit: Deposit | None) -> None:
    if deposit is not None:
        for path in deposit.paths:
            with contextlib.suppress(OSError):
                os.unlink(path)
