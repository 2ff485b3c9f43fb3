"""Reading ahead: the next portion is read while the target has the one before.

What a target makes a shipper wait for, the network and a server's work, does not hold Python's lock; so where there is
a backlog, a shipper takes the longer of the two times and not their sum. One portion is read ahead, never two.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait

from auditmw.journal.cursor import Cursor
from auditmw.ship.origin import Reader
from auditmw.ship.portion import Portion


class Ahead:
    """Reads from one source, in a thread of its own when it is told to `begin`; the first such call starts it."""

    def __init__(self, source: Reader) -> None:
        self._source = source
        self._thread = ThreadPoolExecutor(1, "auditmw-read-ahead")
        self._reading: Future[Portion | None] | None = None

    def begin(self, cursor: Cursor) -> None:
        """Begin to read what comes after a cursor, unless that is under way. Nobody else may use the source now."""
        if self._reading is None:
            self._reading = self._thread.submit(self._source.next, cursor)

    def wait(self) -> None:
        """Wait until nothing is being read."""
        if self._reading is not None:
            wait([self._reading])

    def next(self, cursor: Cursor) -> Portion | None:
        """Return what comes after the cursor; None when there is nothing now. Raises as the source.

        After `begin`, the cursor may differ from the one there in its counts only.
        """
        reading, self._reading = self._reading, None
        portion = None if reading is None else reading.result()
        return self._source.next(cursor) if portion is None else portion.onto(cursor)

    def close(self) -> None:
        """Wait until nothing is being read, and end the thread."""
        self._thread.shutdown()
