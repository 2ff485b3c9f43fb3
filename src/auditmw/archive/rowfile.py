"""Rows of the archive that are made together with their events: as text, for DuckDB to read without looking into JSON.

1. Events that differ in nothing but in a few values are of one shape. A row file has a line for each event, the values
   of CELLS; a shape file one for each shape, the values of SHAPE_CELLS. Between values is U+001F. No value holds a
   control character, but the parts those that packing.py describes. A value that is not there is empty.
2. `packed` is made of the parts of the shape with the values of PACKED between them. `logged`: the time as the line has
   it. Columns that are in neither file hold nothing.
3. That a row is the one that the archive makes of the event's JSON is for its writer to know.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from auditmw.archive.ranges import Ranges

CELLS = (
    *("time", "id", "shape", "name", "ip", "size", "agent", "bot", "referrer", "path", "query", "logged", "seq"),
    *("request_target", "line_number", "line_offset", "sha256"),
)
"""What a row file says of each event."""

PACKED = (
    *("request_target", "query", "line_number", "line_offset", "name", "logged", "request_target", "size_logged"),
    *("sha256", "text", "name"),
)
"""The values in `packed`, in order: cells, `size_logged` (the size if the line has one) and `text` (as the column)."""

SHAPE_CELLS = (
    *("shape", "writer", "event", "level", "category", "action", "result", "reason", "method", "status", "kind"),
    *("format", "zoned", "sized", *(f"part_{number}" for number in range(len(PACKED) + 1))),
)
"""What a shape file says of each shape. `zoned`: the time is not in UTC, and in `text`; `sized`: there is a size."""

CELL_END = "\x1f"

MAX_ROW_BYTES = 64 * 1024


class RowFile(NamedTuple):
    """Rows of one UTC day (`YYYY-MM-DD`) in the order of their times: where they are, and how many.

    `first` and `last`: the times of the first and the last one, as text that sorts.
    """

    path: Path
    day: str
    rows: int
    first: str
    last: str


class Deposit(NamedTuple):
    """All events of one writer, numbered from 1: most as rows, the `others` as journal lines in one file.

    `shapes`: the file with the shapes of the rows. `seqs`: the numbers of the others, `line_bytes`: how many bytes they
    have. The writer has no journal file.
    """

    writer: str
    files: tuple[RowFile, ...]
    shapes: Path | None
    others: Path | None
    seqs: Ranges
    line_bytes: int

    @property
    def rows(self) -> int:
        """How many events are rows."""
        return sum(file.rows for file in self.files)

    @property
    def paths(self) -> list[Path]:
        """All files."""
        return [*(file.path for file in self.files), *(path for path in (self.shapes, self.others) if path)]
