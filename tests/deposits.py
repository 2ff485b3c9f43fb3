"""Rows of an access log, written as an import writes them and not yet in the archive."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

from auditmw.archive.depositing import deposit
from auditmw.archive.rowfile import Deposit
from auditmw.formats.registry import format_named
from auditmw.importing.chunks import Cutter, anchor_of
from auditmw.importing.events import Origin
from auditmw.importing.ledger import Ledger
from auditmw.importing.workers import ChunkWriter, Done, Setup, Work

_FOLDER, _LIST = "rows", "deposits.pickle"


def write_chunks(
    directory: Path,
    folder: Path | None,
    data: bytes,
    *,
    parser: str = "combined",
    chunk_bytes: int = 4096,
    **setup: str,
) -> list[Done]:
    """Write all lines as rows into `folder`, or, without one, into the journal; what came of each chunk."""
    write = ChunkWriter(Setup(str(directory), incoming=str(folder) if folder else None, **setup))
    pickled = pickle.dumps(format_named(parser))
    origin = Origin("access%s.log", anchor_of(data))
    cutter = Cutter(Ledger(), chunk_bytes=chunk_bytes)
    chunks = [*cutter.feed(data), *cutter.flush()]
    return [write(Work(chunk, pickled, origin, as_rows=folder is not None)) for chunk in chunks]


def prepare(directory: Path, data: bytes, **options: int) -> None:
    """Make an audit directory in which the rows of these lines lie, which may be copied elsewhere."""
    folder = directory / "incoming" / _FOLDER
    folder.mkdir(parents=True)
    deposits = [done.deposit for done in write_chunks(directory, folder, data, **options) if done.deposit]
    (folder / _LIST).write_bytes(pickle.dumps(deposits))


def prepared(directory: Path) -> Sequence[Deposit]:
    """The rows that lie there."""
    folder = directory / "incoming" / _FOLDER
    return [_moved(each, folder) for each in pickle.loads((folder / _LIST).read_bytes())]


def take(directory: Path) -> None:
    """Have them taken into the archive, unless they are there already."""
    from auditmw.archive.manifest import archived_writers

    known = archived_writers(directory)
    new = [each for each in prepared(directory) if each.writer not in known]
    if new:
        deposit(directory, new)


def _moved(each: Deposit, folder: Path) -> Deposit:
    return each._replace(
        files=tuple(file._replace(path=folder / file.path.name) for file in each.files),
        shapes=each.shapes and folder / each.shapes.name,
        others=each.others and folder / each.others.name,
    )
