"""Events that come to the archive without having been in the journal: rows from row files into parts.

1. They are in the archive, all together, when the manifest says so; until then nothing of them can be seen. So whoever
   is cut off deposits the same ones again, and they are there once.
2. They are known for ever by the names of their writers, as imported journal files are. Of the parts of one deposit
   only the one that is published last has those names: were the manifest lost in between, they would be deposited
   again, not missed.
3. Rows in order of time are written as they come, in little memory; each stretch of them that is in order is a part.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import duckdb

from auditmw.archive.archiving import by_day
from auditmw.archive.columns import COLUMNS, EXTRA, SQL_TYPES
from auditmw.archive.error import ArchiveError, cannot
from auditmw.archive.intake import Piece
from auditmw.archive.layout import Layout
from auditmw.archive.leader import Leader, utc_now
from auditmw.archive.loading import load
from auditmw.archive.lock import leadership
from auditmw.archive.manifest import united
from auditmw.archive.parts import Draft, write
from auditmw.archive.projection import FINAL
from auditmw.archive.ranges import Ranges
from auditmw.archive.rowfile import CELL_END, CELLS, MAX_ROW_BYTES, PACKED, SHAPE_CELLS, Deposit, RowFile
from auditmw.archive.sql import exactly, quoted
from auditmw.archive.states import settle
from auditmw.journal.layout import file_name

MEMORY_BYTES = 96 * 1024 * 1024
"""What DuckDB may use of memory for rows; lines beside them need more.

It would do with less, but near its limit it gives its memory back to the system again and again.
"""

_MEMORY_A_LINE_BYTE = 6
_MUCH_MORE = 8  # times as much memory, where that does not suffice

_PATIENCE_SECONDS = 600.0  # another leader may have a lot to archive
_MOST_ROWS = 100_000  # of a part
_ROW_GROUP = 8_192  # which takes half of the memory; parts that are merged get the usual ones
_TABLE, _SHAPES = "others", "shapes"
_TEXT = "CASE WHEN zoned THEN logged END"
_TYPES = {column.name: SQL_TYPES[column.kind] for column in COLUMNS} | EXTRA | {"packed": "VARCHAR"}
_CELL_TYPES = _TYPES | {"size": "VARCHAR", "zoned": "BOOLEAN", "sized": "BOOLEAN"}


def deposit(
    directory: str | os.PathLike[str],
    deposits: Sequence[Deposit],
    *,
    now: Callable[[], datetime] = utc_now,
    memory_bytes: int = MEMORY_BYTES,
) -> None:
    """Take the events of all these writers into the archive, all or none. Waits for another process that archives.

    Raises ArchiveError when that cannot be done, or another process has archived for ten minutes.
    """
    layout = Layout(directory)
    try:
        with leadership(layout, wait_seconds=_PATIENCE_SECONDS) as leading:
            if not leading:
                raise ArchiveError(f"another process has archived {str(layout.directory)!r} for too long; try again")
            needed = memory_bytes + _MEMORY_A_LINE_BYTE * sum(each.line_bytes for each in deposits)
            try:
                _lead(Leader(layout, now, memory_bytes=needed), deposits)
            except duckdb.OutOfMemoryException:
                _lead(Leader(layout, now, memory_bytes=_MUCH_MORE * needed), deposits)
    except (OSError, duckdb.Error) as error:
        raise cannot("archive", layout, error) from error


def _lead(leader: Leader, deposits: Sequence[Deposit]) -> None:
    try:
        leader.begin()
        _take(leader, deposits)
    finally:
        leader.close()


class _Stretch(NamedTuple):
    """What becomes one part: the day, SQL of the rows, and whether they come in order."""

    day: str
    rows: str
    in_order: bool


def _take(leader: Leader, deposits: Sequence[Deposit]) -> None:
    _load_shapes(leader, deposits)
    stretches = [_Stretch(files[0].day, _rows_in(files), in_order=True) for files in _in_order(deposits)]
    stretches += _others(leader, [each for each in deposits if each.others is not None])
    names = united({each.writer: Ranges([(1, 1)])} for each in deposits)
    drafts: list[Draft] = []
    for number, (day, rows, in_order) in enumerate(stretches, 1):
        sources = names if number == len(stretches) else {}
        drafts.append(
            write(
                leader.connection,
                rows,
                leader.layout,
                day,
                now=leader.now(),
                sources=sources,
                in_order=in_order,
                row_group=_ROW_GROUP,
            )
        )
    expected = sum(each.rows + len(each.seqs) for each in deposits)
    if (count := sum(draft.part.rows for draft in drafts)) != expected:
        raise ArchiveError(
            f"expected {expected} rows, read {count}: did anybody change {str(leader.layout.incoming)!r}?"
        )
    leader.commit(drafts, seqs={}, journal=())


def _in_order(deposits: Iterable[Deposit]) -> Iterator[list[RowFile]]:
    """Yield the row files of each day, as many at a time as are in order and not too many rows for a part."""
    days: dict[str, list[RowFile]] = {}
    for file in (file for each in deposits for file in each.files):
        stretch = days.setdefault(file.day, [])
        if stretch and (file.first < stretch[-1].last or sum(each.rows for each in stretch) >= _MOST_ROWS):
            yield stretch
            stretch = days[file.day] = []
        stretch.append(file)
    yield from days.values()


def _load_shapes(leader: Leader, deposits: Iterable[Deposit]) -> None:
    """Make the table of all shapes."""
    paths = [each.shapes for each in deposits if each.shapes]
    if paths:
        leader.connection.execute(f"CREATE OR REPLACE TEMP TABLE {_SHAPES} AS FROM {_read(paths, SHAPE_CELLS)}")


def _rows_in(files: Iterable[RowFile]) -> str:
    """Return SQL of the rows in these files, one file after the other, with the columns of the archive."""
    made = {
        "size": "size::BIGINT",
        "minute": "date_trunc('minute', \"time\")",
        "text": _TEXT,
        "state": f"'{FINAL}'",
        "packed": f"concat({', '.join(_packed())})",
    }

    def column(name: str) -> str:
        if name in made:
            return f"{made[name]} AS {name}"
        return f'"{name}"' if name in CELLS or name in SHAPE_CELLS else f'NULL::{_TYPES[name]} AS "{name}"'

    rows = _read([file.path for file in files], CELLS)
    return f"(SELECT {', '.join(map(column, _TYPES))} FROM {rows} JOIN {_SHAPES} USING (shape))"


def _packed() -> Iterator[str]:
    """Yield SQL of what `packed` is made of."""
    made = {"size_logged": "CASE WHEN sized THEN size END", "text": _TEXT}
    for number, value in enumerate(PACKED):
        yield f"part_{number}"
        yield made.get(value, value)
    yield f"part_{len(PACKED)}"


def _read(paths: Sequence[Path], cells: Sequence[str]) -> str:
    """Return SQL that reads files with these cells."""
    names = ", ".join(quoted(exactly(path)) for path in paths)
    columns = ", ".join(f"'{name}': '{_CELL_TYPES.get(name, 'VARCHAR')}'" for name in cells)
    return f"""read_csv([{names}], delim = '{CELL_END}', quote = '', escape = '', comment = '', header = false,
        auto_detect = false, new_line = '\\n', max_line_size = {MAX_ROW_BYTES}, buffer_size = {16 * MAX_ROW_BYTES},
        columns = {{{columns}}})"""


def _others(leader: Leader, deposits: Sequence[Deposit]) -> list[_Stretch]:
    """Load the lines beside the rows."""
    if not deposits:
        return []
    pieces = [
        Piece(leader.layout.journal / file_name(each.writer, 1), each.others, (), each.seqs, each.line_bytes, last=True)
        for each in deposits
    ]
    if malformed := load(leader.connection, _TABLE, pieces, packed=True):
        raise ArchiveError(f"expected JSON, not the events {sorted(malformed)[:5]!r}")
    settle(leader.connection, leader.layout, _TABLE, leader.manifest)
    return [_Stretch(day, rows, in_order=False) for day, rows in by_day(leader.connection, _TABLE)]
