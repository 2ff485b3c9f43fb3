"""Chunks become journal files, or rows: parsed, redacted and written, in as many processes as there are processors.

1. A process holds one chunk at a time, so memory is bounded; results come in the order in which chunks were given.
2. Small imports start no process: the first chunk waits for a second one before they are started.
3. Processes end when their parent does, however it ends: they read from a pipe that nobody else holds. What they were
   at work on is then not written.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

from auditmw.archive.rowfile import Deposit
from auditmw.formats.line import LineFormat
from auditmw.importing.chunks import Chunk, Reject
from auditmw.importing.events import EventSource, KeepRaw, Origin, Tally, body_of
from auditmw.importing.redaction import EventRedactor
from auditmw.importing.rows import RowWriter, combined_of
from auditmw.journal.spans import Span
from auditmw.journal.wholefile import write_file
from auditmw.redact import Redactor

_END_SECONDS = 5.0
_NICENESS = 5  # so that the parent, which archives what we wrote, is never the one that all wait for


class Setup(NamedTuple):
    """How all chunks are written: into which audit directory, what of the raw lines, and further names of secrets.

    `incoming`: the folder for rows; None where all chunks become journal files.
    """

    directory: str
    keep_raw: KeepRaw = "if-clean"
    redact: tuple[str, ...] = ()
    incoming: str | None = None


class Work(NamedTuple):
    """A chunk to be written; `parser` is a pickled LineFormat in the state in which it meets the chunk.

    `as_rows`: that go straight into the archive, if its format has rows.
    """

    chunk: Chunk
    parser: bytes
    origin: Origin
    as_rows: bool = False


class Done(NamedTuple):
    """What came of a chunk: how many events were written, how many lines hold none, and which were rejected.

    `deposit`: the events, where they still have to be taken into the archive.
    """

    span: Span
    events: int
    ignored: int
    rejects: list[Reject]
    deposit: Deposit | None = None


class ChunkWriter:
    """Writes chunks; one for a process."""

    def __init__(self, setup: Setup) -> None:
        self._directory = setup.directory
        self._source = EventSource(EventRedactor(Redactor(keys=setup.redact)), setup.keep_raw)
        has_rows = setup.incoming is not None and setup.keep_raw != "never"  # the line itself is part of a row
        self._rows = RowWriter(self._source, Path(setup.incoming or "")) if has_rows else None
        self._parser: tuple[bytes, LineFormat] | None = None  # the last one, as it was given and as it was made

    def __call__(self, work: Work) -> Done:
        """Write the events of a chunk. Raises OSError when that cannot be done; there is then no journal file of it."""
        if self._parser is None or self._parser[0] != work.parser:
            self._parser = work.parser, pickle.loads(work.parser)  # noqa: S301 - it comes from our parent
        parser = self._parser[1]
        tally = Tally()
        combined = combined_of(parser)
        if work.as_rows and self._rows and combined:
            deposit = self._rows.write(work.chunk, parser, combined, work.origin, tally)
            return Done(work.chunk.span, tally.events, tally.ignored, tally.rejects, deposit if tally.events else None)
        events = self._source.events(work.chunk, parser, work.origin, tally)
        write_file(self._directory, work.chunk.span.writer, _while_wanted(map(body_of, events)))
        if pickle.dumps(parser) != work.parser:  # a header changed it
            self._parser = None
        return Done(work.chunk.span, tally.events, tally.ignored, tally.rejects)


class Workers:
    """Up to `count` processes that write chunks; with one, they are written in this process."""

    def __init__(self, setup: Setup, count: int) -> None:
        self._setup = setup
        self._count = count
        self._here = ChunkWriter(setup)
        self._first: _Order | None = None  # waits for a second one
        self._processes: list[multiprocessing.process.BaseProcess] = []
        self._idle: list[Connection] = []
        self._busy: dict[Connection, _Order] = {}
        self._orders: deque[_Order] = deque()  # as they were given

    def submit(self, work: Work, tell: Callable[[Done], None]) -> None:
        """Have a chunk written, as soon as a process is free; `tell` hears later what came of it.

        Raises the error of an earlier chunk that could not be written.
        """
        order = _Order(work, tell)
        if self._count == 1:
            tell(self._here(work))
        elif not self._processes and self._first is None:
            self._first = order
        else:
            self._start()
            if self._first is not None:
                self._send(self._first)
                self._first = None
            self._send(order)
            self._tell()

    def drain(self) -> None:
        """Wait for all chunks that were given, and tell of them. Raises as `submit` does."""
        if self._first is not None:
            first, self._first = self._first, None
            assert first.work is not None  # noqa: S101 - no process has it
            first.tell(self._here(first.work))
        while self._orders:
            if self._orders[0].result is None:
                self._receive()
            self._tell()

    def give_up(self) -> None:
        """Wait for the processes, tell of what they have written, and forget what could not be."""
        self._first = None
        while self._busy:
            self._receive()
        for order in self._orders:
            if isinstance(order.result, Done):
                order.tell(order.result)
        self._orders.clear()

    def close(self) -> None:
        """End the processes; what is in work may be written or not, and nobody is told."""
        for connection in (*self._idle, *self._busy):
            connection.close()
        for process in self._processes:
            process.join(_END_SECONDS)
            if process.is_alive():
                process.terminate()
                process.join()
        self._processes, self._idle, self._busy, self._first = [], [], {}, None
        self._orders.clear()

    def _start(self) -> None:
        if self._processes:
            return
        # Not fork: it would copy our locks and descriptors, and a child that holds a sibling's pipe outlives us.
        context = multiprocessing.get_context("spawn")
        # Ctrl-C goes to the whole group, also while a process starts; what it means is for the parent to decide. The
        # tracker, which the first process starts, would unblock the signal again.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for _ in range(self._count):
                ours, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(theirs, self._setup), daemon=True)
                process.start()
                theirs.close()
                self._processes.append(process)
                self._idle.append(ours)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _send(self, order: _Order) -> None:
        while not self._idle:
            self._receive()
        connection = self._idle.pop()
        self._busy[connection] = order
        self._orders.append(order)
        work, order.work = order.work, None
        try:
            connection.send(work)
        except OSError as error:
            raise _died() from error

    def _receive(self) -> None:
        """Wait until some process is done with its chunk, or died."""
        if not self._busy:
            raise _died()
        for ready in wait(list(self._busy)):
            assert isinstance(ready, Connection)  # noqa: S101 - as all that are waited for
            order = self._busy.pop(ready)
            try:
                order.result = ready.recv()
                self._idle.append(ready)
            except (EOFError, OSError):
                order.result = _died()

    def _tell(self) -> None:
        """Tell of the chunks that are done, in the order in which they were given."""
        while self._orders and (result := self._orders[0].result) is not None:
            order = self._orders.popleft()
            if isinstance(result, Exception):
                raise result
            order.tell(result)


class _Order:
    """A chunk that was given (until a process has it), who wants to know what comes of it, and what came of it."""

    def __init__(self, work: Work, tell: Callable[[Done], None]) -> None:
        self.work: Work | None = work
        self.tell = tell
        self.result: Done | Exception | None = None


def _died() -> OSError:
    return ChildProcessError("a process that wrote events died; its chunk was not written")


def _serve(connection: Any, setup: Setup) -> None:
    """Write chunks until the parent closes its end, or dies."""
    os.nice(_NICENESS)
    write = ChunkWriter(setup)
    while True:
        try:
            work = connection.recv()
        except (EOFError, OSError):
            return
        try:
            result: Done | Exception = write(work)
        except Exception as error:
            result = error
        del work  # before there is another one
        try:
            connection.send(result)
        except OSError:
            return


def _while_wanted(bodies: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the bodies; at their end, before the file gets its name, see whether anybody still waits for it."""
    yield from bodies
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        raise ChildProcessError("the process that imports is gone")
