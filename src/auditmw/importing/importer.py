"""Importing whole inputs: each is read once, from its beginning to its end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from typing import Self

from auditmw.archive.error import ArchiveError
from auditmw.formats.line import LineFormat
from auditmw.importing.chunks import CHUNK_BYTES, Reject
from auditmw.importing.depot import Depot, Take
from auditmw.importing.incoming import Incoming
from auditmw.importing.inputs import Input, InputError
from auditmw.importing.intake import Desk, Intake, LastLine, Report, expect_format, sample_lines
from auditmw.importing.interrupt import Interrupt
from auditmw.importing.locks import InputLocks
from auditmw.importing.workers import Setup, Workers
from auditmw.journal.livefile import journal_folder
from auditmw.journal.wholefile import remove_unfinished

HEAD_BYTES = 64 * 1024  # of an input, to tell its format by
MAX_HEAD_BYTES = 2 * 1024 * 1024  # when no line ends before
_BLOCK_BYTES = 1024 * 1024
_FLUSH_SECONDS = 2.0  # how long lines of a pipe that brings no more wait to be written
_MOST_PROCESSES = 4  # by default: each takes some 50 MB

Choose = Callable[[str, list[bytes]], LineFormat]
"""Returns the format of an input, given its name and first lines. Raises FormatError when it cannot tell."""


def processes() -> int:
    """Return how many processes an import uses unless told otherwise."""
    return min(len(os.sched_getaffinity(0)), _MOST_PROCESSES)


class Importer:
    """Imports into the audit directory of `setup`, which is made if need be, until the `with` statement ends.

    `recorded`: returns the names of all writers in the journal and in the archive. `count`: how many processes work,
    each on a chunk of `chunk_bytes`; with one, it is this one. `on_reject` hears of every line that was not imported,
    `on_progress`, often, how far an input is, `on_wait` that another process imports the same one. Raises OSError when
    the directory cannot be written.

    `take`: what takes rows straight into the archive (`archive.depositing.deposit`), for the formats that have rows.
    Without it all events become journal files; with it that is done only where few lines come at a time, from a pipe.
    """

    def __init__(
        self,
        setup: Setup,
        *,
        recorded: Callable[[], Iterable[str]],
        count: int = 1,
        chunk_bytes: int = CHUNK_BYTES,
        on_reject: Callable[[Report, Reject], None] = lambda report, reject: None,
        on_progress: Callable[[Report, int], None] = lambda report, position_bytes: None,
        on_wait: Callable[[Report], None] = lambda report: None,
        take: Take | None = None,
    ) -> None:
        journal_folder(os.path.abspath(setup.directory), durable=True)
        remove_unfinished(setup.directory)
        self.interrupt = Interrupt()
        self._depot = Depot(take) if take else None
        self._incoming = Incoming(setup.directory) if take else None
        if self._incoming:
            setup = setup._replace(incoming=str(self._incoming.folder))
        locks = InputLocks(setup.directory)
        self.desk = Desk(Workers(setup, count), locks, recorded, on_reject, chunk_bytes, self._depot)
        self._on_progress = on_progress
        self._on_wait = on_wait

    def __enter__(self) -> Self:
        self.interrupt.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        with ExitStack() as last:
            last.callback(self.interrupt.__exit__)
            last.callback(self.desk.locks.close)
            if self._incoming:
                last.callback(self._incoming.close)
            if self._depot:
                last.callback(self._depot.close)
            self.desk.workers.close()
            if self._depot:
                self._depot.settle()

    def run(self, source: Input, choose: Choose, report: Report) -> None:
        """Import one input; `report` is kept up to date meanwhile, and says in the end what came of it.

        Raises FormatError, before anything is imported, when its format cannot be told or is another one; OSError or
        ArchiveError when events cannot be written, and KeyboardInterrupt after Ctrl-C, when nothing is in work any
        more. What is on its way into the archive is there when the `with` statement ends, which may raise ArchiveError.
        """
        reader = Reader(source, self.interrupt)
        head = reader.head()
        if head:
            lines = sample_lines(head, at_end=reader.at_end)
            parser = choose(source.name, lines)
            expect_format(source.name, parser, lines)
            intake = Intake(self.desk, report, source.base_name, parser, head)
            self._begin(intake)
            try:
                self._take_all(intake, reader, head)
            except (OSError, ArchiveError):
                self._give_up()
                raise
            finally:
                if self._depot:
                    self._depot.after(intake.unlock)
                else:
                    intake.unlock()
        if reader.damage is not None:
            report.problem = str(reader.damage)

    def _begin(self, intake: Intake) -> None:
        if not intake.begin(wait=False):
            self._on_wait(intake.report)
            if self._depot:  # else two imports might wait for each other
                self._depot.settle()
            with self.interrupt.waiting():
                intake.begin()

    def _give_up(self) -> None:
        """Keep what was written, as far as possible."""
        with suppress(OSError, ArchiveError):
            self.desk.workers.give_up()
            if self._depot:
                self._depot.settle()

    def _take_all(self, intake: Intake, reader: Reader, head: bytes) -> None:
        """Take the input to its end, or to Ctrl-C, and have all of it written."""
        try:
            intake.feed(head)
            while (block := reader.read()) != b"":
                if block is None:
                    intake.flush()
                    self.desk.workers.drain()
                else:
                    intake.feed(block)
                self._on_progress(intake.report, reader.source.position_bytes)
            last_line: LastLine = "try" if reader.source.may_grow else "take"
            intake.finish("leave" if reader.damage else last_line)
        finally:
            self.desk.workers.drain()


class Reader:
    """Reads an input to its end, or to where it is damaged; may be interrupted at every `read`."""

    def __init__(self, source: Input, interrupt: Interrupt) -> None:
        self.source = source
        self.at_end = False
        self.damage: InputError | None = None
        self._interrupt = interrupt

    def head(self) -> bytes:
        """Return the first bytes: enough to tell the format by, if there are as many."""
        head = b""
        while not self.at_end and not self._is_enough(head):
            block = self.read()
            if block is None and b"\n" in head:  # a pipe that brings no more for now
                break
            head += block or b""
        return head

    def _is_enough(self, head: bytes) -> bool:
        return len(head) >= MAX_HEAD_BYTES or (len(head) >= HEAD_BYTES and b"\n" in head)

    def read(self) -> bytes | None:
        """Return the next bytes: none at the end, and None when a pipe has brought no more for a while."""
        with self._interrupt.waiting():
            if not self.source.has_news(_FLUSH_SECONDS):
                return None
            try:
                block = self.source.read(_BLOCK_BYTES)
            except InputError as error:
                self.damage, block = error, b""
        self.at_end = not block
        return block
