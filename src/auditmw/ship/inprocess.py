"""Shipping by the application's own processes: a thread per target in each, of which one per directory leads.

1. Threads start at the first event of a process, so never in one that only forks others, and anew in a forked child.
2. They are threads of the operating system also where gevent has put greenlets in the place of threads: reading and
   syncing files gives way to no other greenlet, so that one of them would hold up every request.
3. They are daemons, and nobody waits for them: what a process that ends has not shipped, the next leader ships. With no
   process left it waits in the journal.
4. Nothing is read ahead: it would take memory, and a thread, from the application.
5. Nothing of it raises into the application; what fails is counted, and tried again.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from typing import Any, TypeVar

from auditmw.ship.address import Address
from auditmw.ship.shipper import Shipper
from auditmw.ship.status import Status, statuses
from auditmw.ship.targets import target_for

AGAIN_SECONDS = 60.0
_PATIENCE_SECONDS = 5.0

_E = TypeVar("_E")

_of_parents: list[object] = []
"""What a forked child has of its parent's shippers: to let go of it could say goodbye on the parent's connections."""


class Shipping:
    """Ships the journal of `directory` to `urls`; `count` hears of failures, as `Health.count`.

    Raises TypeError, AddressError, MissingExtraError at once for URLs that lead nowhere; does no I/O.
    """

    def __init__(
        self, directory: str, urls: Iterable[str], count: Callable[[str, BaseException | str | None], None]
    ) -> None:
        if isinstance(urls, (str, bytes)):
            raise TypeError(f"expected a list of URLs to ship to, not {Address(str(urls)).shown!r}; put it in a list")
        self._directory = directory
        self._urls = tuple(urls)
        self._count = count
        for url in self._urls:
            target_for(url)
        self._begin()

    def renew_in_child(self) -> None:
        """Start anew at the next event: threads do not live on in a forked child."""
        _of_parents.extend(self._shippers)
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._started = False
        self._closed = threading.Event()
        self._shippers: list[Shipper] = []
        self._ends: list[Callable[[float], object]] = []  # each waits so many seconds for a thread

    def after(self, emit: Callable[[_E], bool]) -> Callable[[_E], bool]:
        """Return `emit` with the start of the threads behind it."""

        def emit_and_ship(event: _E) -> bool:
            done = emit(event)
            if not self._started:
                self._start()
            return done

        return emit_and_ship

    def _start(self) -> None:
        """Start the threads, once; a signal handler that comes in the middle does not wait."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            if self._started:
                return
            self._started = True
            for url in self._urls:
                address = Address(url)
                shipper = Shipper(
                    self._directory, target_for(url), name=address.name, shown=address.shown, reads_ahead=False
                )
                self._shippers.append(shipper)
                self._ends.append(_start(partial(self._work, shipper, self._closed), f"auditmw ship {address.shown}"))
        except Exception as error:  # no more threads, or the interpreter ends
            self._count("ship_failed", error)
        finally:
            self._lock.release()

    def _work(self, shipper: Shipper, closed: threading.Event) -> None:
        while not closed.is_set():
            try:
                shipper.run()
            except Exception as error:  # overtaken, a cursor that cannot be used, a directory that is away
                self._count("ship_failed", error)
                closed.wait(AGAIN_SECONDS)

    def health(self) -> list[dict[str, Any]]:
        """Return the status of each target, as `auditmw ship --status` shows it, whichever process leads.

        One to which nothing was ever shipped has the state "new".
        """
        found = statuses(self._directory) if os.path.isdir(self._directory) else []
        known = {status.name: status for status in found}
        mine = [Status(address.name, address.shown, "new") for address in map(Address, self._urls)]
        return [asdict(known.get(status.name, status)) for status in mine]

    def close(self) -> None:
        """End the threads after the batch that is under way; waits at most some seconds. The next event starts them."""
        self._closed.set()
        for shipper in self._shippers:
            shipper.stop()
        for ended in self._ends:
            ended(_PATIENCE_SECONDS)
        self._begin()


def _start(work: Callable[[], None], name: str) -> Callable[[float], object]:
    """Start a thread of the operating system, a daemon, and return what waits for its end."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("threading"):
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
        return thread.join
    ended = threading.Event()

    def work_and_tell() -> None:
        try:
            work()
        finally:
            ended.set()

    monkey.get_original("_thread", "start_new_thread")(work_and_tell, ())
    return ended.wait
