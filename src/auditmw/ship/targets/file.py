"""`file:///path` appends one record a line (Protocol Buffers: each after its length) to a file, and syncs it.

At least once. A batch that cannot be written whole is taken back. When the process dies in the middle of one, a torn
line may stay behind, and the batch comes again after it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from auditmw.formats.record import PROTOBUF, RecordFormat, framed
from auditmw.formats.records import record_format
from auditmw.parsing import parse_event
from auditmw.ship.address import Address, AddressError
from auditmw.ship.batch import Batch
from auditmw.ship.idset import IdSet
from auditmw.ship.target import Accepted, Inventory, Mention, RetryableError, Target, UnusableError

_OPEN = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


class FileTarget(Inventory):
    """Appends to `path`, which other programs may rename (logrotate): each batch opens it anew."""

    def __init__(self, path: Path, chosen: RecordFormat | None = None) -> None:
        self.format = chosen
        self._media_type = chosen.media_type if chosen is not None else "application/json"
        self._path = path
        self._ids: IdSet | None = None

    def send(self, batch: Batch) -> Accepted:
        """Append the batch, whole or not at all unless the process dies, and sync the file."""
        data = b"".join(framed(entry.record, self._media_type) for entry in batch)
        try:
            fd = os.open(self._path, _OPEN, 0o640)
            try:
                self._append(fd, data)
            finally:
                os.close(fd)
        except OSError as error:
            raise RetryableError(f"cannot write to {self._path}: {error.strerror or error}") from error
        return Accepted(len(batch))

    def _append(self, fd: int, data: bytes) -> None:
        end = os.fstat(fd).st_size
        if end and self._media_type != PROTOBUF and os.pread(fd, 1, end - 1) != b"\n":
            data = b"\n" + data  # behind a record that was torn when the process died; it is in this batch again
        try:
            while data:
                data = data[os.write(fd, data) :]
            os.fsync(fd)
        except OSError:
            os.ftruncate(fd, end)
            raise

    def absent(self, events: Sequence[Mention]) -> set[str]:
        """Look the ids up in what the file had when it was asked first."""
        return self._known().absent([event.id for event in events])

    def counts(self, writers: Sequence[str]) -> Mapping[str, int]:
        """Count the ids; a line does not say which writer's it is."""
        return {"": len(self._known())}

    def _known(self) -> IdSet:
        if self.format is not None and self.format.name != "native":
            raise UnusableError(f"{self._path} cannot be asked for events in the format {self.format.name}")
        if self._ids is None:
            try:
                with self._path.open("rb") as file:
                    self._ids = IdSet(filter(None, map(_id_in, file)))
            except FileNotFoundError:
                self._ids = IdSet(())
            except OSError as error:
                raise RetryableError(f"cannot read {self._path}: {error.strerror or error}") from error
        return self._ids

    def close(self) -> None:
        """Nothing is open between two batches."""
        if self._ids is not None:
            self._ids.close()
            self._ids = None


def _id_in(line: bytes) -> str | None:
    try:
        ident = parse_event(line).get("id")
    except ValueError:  # a torn line
        return None
    return ident if isinstance(ident, str) else None


def open_target(address: Address, format: str | None) -> Target:
    """`file:///path`, without options."""
    address.done()
    if address.hosts or not address.path or not urlsplit(address.url).path.startswith("/"):
        raise AddressError(f"expected file:///path with three slashes, not {address.shown!r}")
    return FileTarget(Path("/" + address.path), None if format is None else record_format(format))
