"""The lines of a chunk, written as rows that go straight into the archive; and as journal lines where they are no rows.

The files lie in the folder of this import, and are nothing until the archive has taken them (archive/depositing.py).
"""

from __future__ import annotations

from pathlib import Path

from auditmw.archive.ranges import Ranges
from auditmw.archive.rowfile import Deposit, RowFile
from auditmw.event import Event
from auditmw.formats.line import LineFormat
from auditmw.formats.lines.combined import Combined
from auditmw.formats.lines.text import TextFormat
from auditmw.importing.chunks import Chunk
from auditmw.importing.events import EventSource, Origin, Reading, Tally, body_of
from auditmw.importing.plain import PlainRows, Row
from auditmw.journal import seal

_AT_ONCE = 256  # rows, between two writes
_TIME_CHARACTERS = 19  # at the beginning of a row


def combined_of(parser: LineFormat) -> Combined | None:
    """Return how a format reads plain lines of the combined format, if that is all that it is."""
    return parser.combined if isinstance(parser, TextFormat) else None


class RowWriter:
    """Writes the events of chunks into row files in `folder`; one for a process."""

    def __init__(self, source: EventSource, folder: Path) -> None:
        self._source = source
        self._folder = folder
        self._plain: tuple[Combined, PlainRows] | None = None  # for the last format

    def write(self, chunk: Chunk, parser: LineFormat, combined: Combined, origin: Origin, tally: Tally) -> Deposit:
        """Write the events of a chunk; `tally` counts them, and the other lines. Raises OSError."""
        if self._plain is None or self._plain[0] is not combined:
            self._plain = combined, PlainRows(combined, self._source.redact)
        rows, source, reading = self._plain[1], self._source, Reading.now(parser, origin)
        written = _Written(self._folder, chunk.span.writer)
        rows.begin(reading, chunk.span.writer)

        def event_of() -> Event | None:
            return source.event(reading, line, number, offset)

        for number, offset, line in chunk.lines():
            try:
                seq = tally.events + 1
                row = rows.row(line, number, offset, seq, event_of)
                body = None if row or (event := event_of()) is None else seal(body_of(event), seq)
            except Exception as error:
                tally.reject(number, offset, error, line)
                continue
            if row is not None:
                written.add(row)
            elif body is not None:
                written.add_other(seq, body)
            else:
                tally.ignored += 1
                continue
            tally.events += 1
        return written.finish(rows.shapes)


class _Written:
    """The files of one chunk, as they are written."""

    def __init__(self, folder: Path, writer: str) -> None:
        self._folder = folder
        self._writer = writer
        self._days: dict[str, _Day] = {}
        self._others: list[bytes] = []
        self._seqs: list[tuple[int, int]] = []

    def add(self, row: Row) -> None:
        """Write a row, sooner or later."""
        time, text = row
        day = self._days.get(time[:10]) or self._day(time[:10])
        if time < day.last:
            day.in_order = False
        day.last = time
        day.waiting.append(text)
        if len(day.waiting) >= _AT_ONCE:
            day.flush()

    def _day(self, day: str) -> _Day:
        found = self._days[day] = _Day(self._folder / f"{self._writer}.{day}.rows", day)
        return found

    def add_other(self, seq: int, line: bytes) -> None:
        """Write an event as a journal line."""
        self._others.append(line)
        self._seqs.append((seq, seq))

    def finish(self, shapes: list[str]) -> Deposit:
        """Write what waits, and the shapes, and return what was written."""
        others = self._folder / f"{self._writer}.others" if self._others else None
        if others is not None:
            others.write_bytes(b"".join(self._others))
        shape_file = self._folder / f"{self._writer}.shapes" if shapes else None
        if shape_file is not None:
            shape_file.write_text("".join(shapes), encoding="utf-8")
        files = tuple(day.finish() for day in self._days.values())
        return Deposit(self._writer, files, shape_file, others, Ranges(self._seqs), sum(map(len, self._others)))


class _Day:
    """The rows of one day: those that wait to be written, and the time of the last one."""

    def __init__(self, path: Path, day: str) -> None:
        self.waiting: list[str] = []
        self.last = ""
        self.in_order = True
        self._path = path
        self._day = day
        self._first = ""
        self._count = 0

    def flush(self) -> None:
        """Write what waits."""
        self._first = self._first or _time_of(self.waiting[0])
        self._count += len(self.waiting)
        data = "".join(self.waiting).encode("ascii")
        self.waiting.clear()
        with open(self._path, "ab") as file:
            file.write(data)

    def finish(self) -> RowFile:
        """Write what waits, and put all rows in order."""
        if self.waiting:
            self.flush()
        if not self.in_order:
            self._sort()
        return RowFile(self._path, self._day, self._count, self._first, self.last)

    def _sort(self) -> None:
        with open(self._path, "rb") as file:
            rows = file.readlines()
        rows.sort(key=lambda row: row[:_TIME_CHARACTERS])
        self._first, self.last = (_time_of(row.decode("ascii")) for row in (rows[0], rows[-1]))
        with open(self._path, "wb") as file:
            file.writelines(rows)


def _time_of(row: str) -> str:
    return row[:_TIME_CHARACTERS]
