"""One input on its way into the journal: its bytes cut, passed over where they are known, and given to the workers."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from auditmw.formats.line import FormatError, LineError, LineFormat
from auditmw.importing.chunks import CHUNK_BYTES, Chunk, Cutter, Known, Piece, Reject, anchor_of
from auditmw.importing.depot import Depot
from auditmw.importing.events import Origin
from auditmw.importing.ledger import Ledger
from auditmw.importing.locks import InputLocks
from auditmw.importing.workers import Done, Work, Workers

SAMPLE_LINES = 100
_FIRST_REJECTS = 3

LastLine = Literal["take", "try", "leave"]
"""What to do with a last line that has no end: import it, do so if it is complete as it stands, or leave it."""


@dataclass
class Report:
    """What came of one input, in lines; `problem` says why it was not read to its end."""

    name: str
    format: str | None = None
    imported: int = 0
    coming: int = 0  # on their way into the archive
    known: int = 0  # imported before
    rejected: int = 0
    ignored: int = 0  # blank lines and headers
    incomplete_bytes: int = 0  # a last line without an end that was left for the next time
    first_rejects: list[Reject] = field(default_factory=list)
    problem: str | None = None

    @property
    def lines(self) -> int:
        """How many lines were read."""
        return self.imported + self.coming + self.known + self.rejected + self.ignored


@dataclass(frozen=True)
class Desk:
    """What all inputs of one import share. `recorded` gives the names of all writers, journal and archive together.

    `depot`: where rows go; None where all events go into the journal.
    """

    workers: Workers
    locks: InputLocks
    recorded: Callable[[], Iterable[str]]
    on_reject: Callable[[Report, Reject], None]
    chunk_bytes: int = CHUNK_BYTES
    depot: Depot | None = None


def sample_lines(head: bytes, *, at_end: bool) -> list[bytes]:
    """Return the first complete lines of an input that begins with `head`; at its end, also one without an end."""
    lines = head.split(b"\n", SAMPLE_LINES)
    rest = lines.pop()
    return [*lines, rest] if at_end and rest and len(lines) < SAMPLE_LINES else lines


def expect_format(name: str, parser: LineFormat, lines: list[bytes]) -> None:
    """Raise FormatError when more than half of the first lines of an input are not of this format."""
    parser = pickle.loads(pickle.dumps(parser))  # noqa: S301 - our own; what it keeps of headers is not for the import
    wrong: list[tuple[int, str]] = []
    events = 0
    for number, line in enumerate(lines, 1):
        try:
            events += parser.parse(line) is not None
        except Exception as error:
            wrong.append((number, str(error)))
    if len(wrong) > events:
        number, reason = wrong[0]
        share = f"{len(wrong)} of the first {len(wrong) + events} lines are not {parser.name}"
        raise FormatError(f"{name}: {share}; line {number}: {reason}")


class Intake:
    """Takes the bytes of one input, from its beginning, as they come.

    `head`: the first of them, with a whole line or more bytes than an anchor needs. `begin` before bytes are fed, then
    `settle`: between the two nobody else imports the same input.
    """

    def __init__(self, desk: Desk, report: Report, base_name: str, parser: LineFormat, head: bytes) -> None:
        self.report = report
        report.format = parser.name
        self._desk = desk
        self._parser = parser
        self._anchor = anchor_of(head)
        self._origin = Origin(base_name, self._anchor)
        self._cutter = Cutter(Ledger(), chunk_bytes=desk.chunk_bytes)
        # Headers say how to read what follows, so they come first if there are any; most formats have none.
        self._has_headers = any(map(parser.is_header, sample_lines(head, at_end=True)))
        self.begun = False

    def begin(self, *, wait: bool = True) -> bool:
        """Lock the input and look at what is recorded; False when another process has it."""
        if not self.begun:
            self.begun = self._desk.locks.acquire(self._anchor, wait=wait)
            if self.begun:
                coming = self._desk.depot.writers if self._desk.depot else ()
                self._cutter.ledger = Ledger((*self._desk.recorded(), *coming))
        return self.begun

    def feed(self, block: bytes) -> None:
        """Take the next bytes. Raises OSError when events cannot be written."""
        self._take(self._cutter.feed(block))

    def flush(self) -> None:
        """Have all lines written that are complete by now: into the journal, because they may be few."""
        self._take(self._cutter.flush(), as_rows=False)

    def settle(self) -> None:
        """Wait until everything is written, and unlock the input."""
        self._desk.workers.drain()
        self.unlock()

    def unlock(self) -> None:
        """Let others import the same input."""
        self._desk.locks.release(self._anchor)
        self.begun = False

    def finish(self, last_line: LastLine) -> None:
        """Take the end of the input, as far as it goes."""
        self._take(self._cutter.finish())
        rest = self._cutter.rest
        if not rest.strip():
            return
        if last_line == "take" or (last_line == "try" and self._is_complete(rest)):
            self._take([self._cutter.take_rest()])
        else:
            self.report.incomplete_bytes = len(rest)

    def _take(self, pieces: Iterable[Piece], *, as_rows: bool = True) -> None:
        for piece in pieces:
            if isinstance(piece, Chunk):
                self._desk.workers.submit(Work(piece, pickle.dumps(self._parser), self._origin, as_rows), self._done)
                self._learn(piece.data)
            elif isinstance(piece, Known):
                self.report.known += piece.data.count(b"\n") + (not piece.data.endswith(b"\n"))
                self._learn(piece.data)
            else:
                self._reject(piece)

    def _learn(self, data: bytes) -> None:
        """Let the parser keep what headers say, for the chunks that follow."""
        for line in data.split(b"\n") if self._has_headers else ():
            if self._parser.is_header(line):
                with suppress(LineError):  # the chunk's own process rejects it
                    self._parser.parse(line)

    def _done(self, done: Done) -> None:
        self.report.ignored += done.ignored
        if done.deposit is None or self._desk.depot is None:
            self.report.imported += done.events
        else:
            self.report.coming += done.events
            self._desk.depot.add(done.deposit, lambda: self._arrived(done.events))
        for reject in done.rejects:
            self._reject(reject)

    def _arrived(self, events: int) -> None:
        self.report.coming -= events
        self.report.imported += events

    def _reject(self, reject: Reject) -> None:
        self.report.rejected += 1
        if len(self.report.first_rejects) < _FIRST_REJECTS:
            self.report.first_rejects.append(reject)
        self._desk.on_reject(self.report, reject)

    def _is_complete(self, rest: bytes) -> bool:
        parser: LineFormat = pickle.loads(pickle.dumps(self._parser))  # noqa: S301 - our own
        try:
            event = parser.parse(rest)
        except LineError:
            return False
        return event is not None and "truncated" not in event.get("meta", {})  # one that ends within its last value
