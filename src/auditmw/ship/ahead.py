"""Reading ahead: the next portion is read while the target has the one before.

What a target makes a shipper wait for, the network and a server's work, does not hold Python's lock; so where there is
a backlog, a shipper takes the longer of the two times and not their sum. One portion is read ahead, never two.
"""

from __future__ import annotations

import threading

from auditmw.journal.cursor import Cursor
from auditmw.ship.portion import Portion
from auditmw.ship.source import Source


class Ahead:
    """Reads from one source, in a thread when it is told to `begin`."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._reading: _Reading | None = None

    def begin(self, cursor: Cursor) -> None:
        """Begin to read what comes after a cursor, unless that is under way. Nobody else may use the source now."""
        if self._reading is None:
            self._reading = _Reading(self._source, cursor)
            self._reading.start()

    def wait(self) -> None:
        """Wait until nothing is being read."""
        if self._reading is not None:
            self._reading.join()

    def next(self, cursor: Cursor) -> Portion | None:
        """Return what comes after the cursor; None when there is nothing now. Raises OSError for the directory.

        After `begin`, the cursor may differ from the one there in its counts only.
        """
        reading, self._reading = self._reading, None
        portion = None
        if reading is not None:
            reading.join()
            portion = reading.result()
        if portion is None:
            return self._source.next(cursor)
        return portion.onto(cursor)


class _Reading(threading.Thread):
    """One portion's."""

    def __init__(self, source: Source, cursor: Cursor) -> None:
        super().__init__(name="auditmw-read-ahead", daemon=True)
        self._source, self._cursor = source, cursor
        self._portion: Portion | None = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Read it."""
        try:
            self._portion = self._source.next(self._cursor)
        except BaseException as error:
            self._error = error

    def result(self) -> Portion | None:
        """Return the portion, or raise what reading it raised."""
        if self._error is not None:
            raise self._error
        return self._portion
