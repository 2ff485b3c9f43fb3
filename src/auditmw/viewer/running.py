"""Questions under way: how many at once, for how long, and how they end early."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

from auditmw import forks
from auditmw.query import Engine
from auditmw.viewer.refusals import Refusal

PATIENCE_SECONDS = 5.0
_WAITING = 4  # times as many as may run


class Handle:
    """One request whose questions can be ended, from any thread, before they begin or while they run."""

    def __init__(self) -> None:
        self.cancelled = False
        self._engine: Engine | None = None

    def attach(self, engine: Engine) -> None:
        """Say which engine is asked with this handle as its token."""
        self._engine = engine

    def cancel(self) -> None:
        """End it now."""
        self.cancelled = True
        if self._engine is not None:
            self._engine.cancel(self)

    def check(self) -> None:
        """Refuse to go on when it is cancelled; between two questions, of which the second would not know."""
        if self.cancelled:
            raise Refusal(409, "the query was cancelled")


class Engines:
    """The engine of an audit directory: one in each process, made when it is first needed, so also after a fork."""

    def __init__(self, make: Callable[[], Engine]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._inherited: list[Engine] = []  # DuckDB's threads are not in a forked child: it cannot even be closed there
        forks.in_child(self._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()  # the parent's may have been held when it forked
        if self._engine is not None:
            self._inherited.append(self._engine)
            self._engine = None

    def get(self) -> Engine:
        """Return this process's engine."""
        if forks.process != os.getpid():
            forks.renew()
        with self._lock:
            if self._engine is None:
                self._engine = self._make()
            return self._engine

    def close(self) -> None:
        """Let go of it."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None


class Running:
    """The requests under way in this process."""

    def __init__(self, at_most: int) -> None:
        self._at_most = at_most
        self._renew()
        forks.in_child(self._renew)

    def _renew(self) -> None:
        self._slots = threading.BoundedSemaphore(self._at_most)
        self._lock = threading.Lock()
        self._waiting = 0
        self._handles: dict[Hashable, set[Handle]] = {}

    @contextmanager
    def named(self, name: Hashable, handle: Handle) -> Iterator[None]:
        """Let a handle be cancelled by a name while the block runs; None is no name."""
        with self._lock:
            self._handles.setdefault(name, set()).add(handle)
        try:
            yield
        finally:
            with self._lock:
                self._handles[name].discard(handle)
                if not self._handles[name]:
                    del self._handles[name]

    def cancel(self, name: Hashable) -> bool:
        """Cancel what goes by a name; return whether there was anything."""
        with self._lock:
            found = tuple(self._handles.get(name, ()))
        for handle in found:
            handle.cancel()
        return bool(found)

    @contextmanager
    def slot(self, handle: Handle, patience_seconds: float = PATIENCE_SECONDS) -> Iterator[None]:
        """Run the block as one of the few that run at once; refuse when there are too many for too long."""
        with self._lock:
            if self._waiting >= self._at_most * _WAITING:
                raise _too_many()
            self._waiting += 1
        try:
            if not self._slots.acquire(timeout=patience_seconds):
                raise _too_many()
        finally:
            with self._lock:
                self._waiting -= 1
        try:
            handle.check()
            yield
        finally:
            self._slots.release()


def _too_many() -> Refusal:
    return Refusal(503, "too many queries are running; try again in a moment", headers={"Retry-After": "2"})
