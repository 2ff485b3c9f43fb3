"""`stdout:` writes one record a line (Protocol Buffers: each after its length) to standard output.

At least once. The other end of a pipe has what it has read; what it did with it, nobody tells.
"""

from __future__ import annotations

import os
import select

from auditmw.formats.record import RecordFormat, framed
from auditmw.formats.records import record_format
from auditmw.ship.address import Address
from auditmw.ship.batch import Batch
from auditmw.ship.target import Accepted, RetryableError, Target, UnusableError


class StdoutTarget(Target):
    """Writes to a descriptor. `timeout_seconds`: how long to wait for a reader of a full pipe."""

    def __init__(self, chosen: RecordFormat | None, *, descriptor: int = 1, timeout_seconds: float = 30.0) -> None:
        self.format = chosen
        self._media_type = chosen.media_type if chosen is not None else "application/json"
        self._descriptor = descriptor
        self._timeout_seconds = timeout_seconds
        self._rest = b""  # of a record that was cut off when the reader was too slow

    def send(self, batch: Batch) -> Accepted:
        """Write the batch; a record that was cut off is completed first."""
        self._write(self._rest)
        for entry in batch:
            self._write(framed(entry.record, self._media_type))
        return Accepted(len(batch))

    def _write(self, data: bytes) -> None:
        waiting = select.poll()
        waiting.register(self._descriptor, select.POLLOUT)
        while data:
            self._rest = data
            if not waiting.poll(self._timeout_seconds * 1000):
                raise RetryableError(f"nobody has read standard output for {self._timeout_seconds:g} s")
            try:
                data = data[os.write(self._descriptor, data[: select.PIPE_BUF]) :]
            except BrokenPipeError:
                self._rest = b""
                raise UnusableError("the reader of standard output is gone") from None
            except OSError as error:
                raise RetryableError(f"cannot write to standard output: {error.strerror}") from error
        self._rest = b""

    def close(self) -> None:
        """Nothing to let go of: standard output belongs to the process."""


def open_target(address: Address, format: str | None) -> Target:
    """`stdout:`, with the option `timeout` in seconds."""
    timeout_seconds = address.seconds("timeout", 30.0)
    address.done()
    return StdoutTarget(None if format is None else record_format(format), timeout_seconds=timeout_seconds)
