"""The loop that collects: messages, events, one journal file, acknowledgement.

1. Messages are gathered until there are `most_events`, or `most_bytes`, or the first of them is `every_seconds` old.
2. Those of one track become one journal file, whole, whose name says which they are (journal/spans.py). Only when that
   is durable are they acknowledged. Cut off anywhere, a collector begins behind the last file: nothing is lost or
   doubled.
3. An event that the directory has already is left out, by its id: the stream may have it twice.
4. What is no event is set aside, durably, before the file is written (aside.py). Messages that were gone from the
   stream before they could be collected are told by an `auditmw.gap` event in their place.
5. One collector per feed and directory; the others stand by, and take over when it is gone.
6. It says how it is doing in DIR/collect/<feed>/status.json (progress.py): until the stream has said which one it is,
   in the folder of what was collected from the same URL before, or in one with a name of its own.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from auditmw.archive import archived_writers
from auditmw.collect.aside import Aside
from auditmw.collect.events import ForeignError, Known, event_of, gap_before
from auditmw.collect.feed import Feed, Message
from auditmw.collect.known import Present
from auditmw.collect.ledger import Ledger
from auditmw.collect.progress import COLLECT, collecting, lag_of
from auditmw.event import timestamp
from auditmw.journal import journal_files, remove_unfinished, write_file, writer_of
from auditmw.journal.smallfile import make_folder
from auditmw.journal.spans import Messages
from auditmw.ship.backoff import Backoff
from auditmw.ship.lease import Lease
from auditmw.ship.report import Report
from auditmw.ship.status import STATUS, Lag, last_told
from auditmw.ship.target import RetryableError, ShipError, UnusableError

EVERY_SECONDS = 5.0
MOST_EVENTS, MOST_BYTES = 10_000, 8 * 1024 * 1024
LEASE_SECONDS = 2.0
_READ_SECONDS = 1.0
_MOST_QUIET_READS = 30

_log = logging.getLogger("auditmw.collect")


@dataclass
class Counts:
    """What a collector did: events that it wrote, doubles that it left out, what it set aside, what was gone before."""

    collected: int = 0
    doubles: int = 0
    set_aside: int = 0
    missing: int = 0
    files: int = 0


class Collector:
    """Collects what `feed` has into the audit directory `directory`, which is made.

    `shown`: the feed's URL without secrets. `name`: of its folder, as long as the stream was never reached. `clock`:
    seconds that never go back. `now_ns`: the time. `wait`: waits so many seconds and returns True when it is to stop.
    `on_collected` hears of each file. Constructing it does no I/O.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        feed: Feed,
        *,
        shown: str,
        name: str = "never-reached",
        every_seconds: float = EVERY_SECONDS,
        most_events: int = MOST_EVENTS,
        most_bytes: int = MOST_BYTES,
        clock: Callable[[], float] = time.monotonic,
        now_ns: Callable[[], int] = time.time_ns,
        wait: Callable[[float], bool] | None = None,
        backoff: Backoff | None = None,
        on_collected: Callable[[Counts], None] = lambda counts: None,
    ) -> None:
        self._directory = Path(os.path.abspath(os.fsdecode(directory)))
        self._feed, self._shown, self._name = feed, shown, name
        self._every_seconds, self._most_events, self._most_bytes = every_seconds, most_events, most_bytes
        self._clock, self._now_ns = clock, now_ns
        self._stopping = threading.Event()
        self._wait = wait or self._stopping.wait
        self._backoff = backoff or Backoff()
        self._on_collected = on_collected
        self._present = Present(self._directory)
        self._ledger = Ledger()
        self._folder: Path | None = None  # that `_lease` is on
        self._lease: Lease | None = None
        self._aside: Aside | None = None
        self._report: Report | None = None
        self._counts_before: Mapping[str, int] = {}  # of earlier processes
        self._last: Message | None = None  # that is collected
        self._gathered: list[Message] = []
        self._gathered_bytes = 0
        self._since = 0.0
        self.counts = Counts()

    def run(self) -> None:
        """Collect until `stop` is called; stand by while another collector is at it. Raises ArchiveError."""
        try:
            while not self._stopping.is_set():
                self._attempt()
        finally:
            self._let_go()

    def run_once(self) -> bool:
        """Collect what is there now, and return True; False when another collector is at it.

        Raises RetryableError, UnusableError, OSError at the first failure: nothing is lost, call it again.
        """
        try:
            if not self._begin():
                return False
            patience = _MOST_QUIET_READS
            while not self._feed.is_at_end():
                patience = _MOST_QUIET_READS if self._gather(_READ_SECONDS) else patience - 1
                if not patience:
                    raise RetryableError(f"{self._shown} has more messages, but does not hand them out")
                if self._is_due():
                    self._flush()
            self._flush()
            return True
        except ShipError as error:
            self._tell_failure(error, is_raised=True)
            raise
        except OSError as error:  # of our own files
            error.filename = error.filename or str(self._directory)  # write(2) names none
            raise
        finally:
            self._let_go()

    def stop(self) -> None:
        """Have `run` end, with all that came by then collected; may be called from any thread or signal handler."""
        self._stopping.set()

    def _attempt(self) -> None:
        """Begin, and collect until something fails; wait then."""
        try:
            if not self._begin():
                self._wait(LEASE_SECONDS)
                return
            while not self._stopping.is_set():
                self._gather(min(_READ_SECONDS, self._every_seconds))
                if self._is_due():
                    self._flush()
                    self._backoff.reset()
                self._tell("collecting" if self._gathered else "idle")
            self._flush()
        except ShipError as error:
            self._pause(error)
        except OSError as error:  # of our own files: a full disk, a directory that is away
            self._pause(RetryableError(f"{self._directory}: {error}"))

    def _begin(self) -> bool:
        """Connect, and begin behind what is collected; False when another collector is at it."""
        self._gathered, self._gathered_bytes = [], 0
        for folder in (self._directory, self._directory / COLLECT):
            make_folder(folder)
        folder = self._directory / COLLECT / self._feed.connect()
        if not self._leads(folder):
            return False
        if folder.name != self._name:  # what was said there while nobody knew
            (self._directory / COLLECT / self._name / STATUS).unlink(missing_ok=True)
        remove_unfinished(self._directory)
        # In this order: a file goes from the journal into the archive.
        live = {writer_of(file) for file in journal_files(self._directory)}
        self._ledger = Ledger(live | archived_writers(self._directory))
        self._feed.begin(self._ledger.position)
        self._tell("collecting")
        return True

    def _leads(self, folder: Path) -> bool:
        if self._lease is not None and self._lease.is_held() and self._folder == folder:
            return True
        self._step_down()
        make_folder(folder)
        lease = Lease(folder)
        if not lease.acquire():
            return False
        self._folder, self._lease, self._aside = folder, lease, Aside(folder)
        self._counts_before = last_told(folder).counts
        self._report = Report(
            folder,
            str(self._directory),
            self._clock,
            lambda: datetime.fromtimestamp(self._now_ns() / 1e9, UTC),
            stream=self._shown,
            lag=self._lag,
            log=lambda text: _log.warning("auditmw: %s", text),
        )
        self._report.begin(self._counts_before, state="collecting")
        return True

    def _lag(self) -> Lag:
        """Return what the directory does not have yet."""
        oldest = self._gathered[0] if self._gathered else self._last
        return lag_of(len(self._gathered) + self._feed.left(), oldest, self._now_ns())

    def _tell(self, state: str) -> None:
        if self._report is not None:
            self._report.tell(state)

    def _tell_failure(self, error: ShipError, *, is_raised: bool = False) -> None:
        if self._report is None:
            with contextlib.suppress(OSError):  # it is only for those who look
                self._leads(self._likely_folder())
        if self._report is not None:
            self._report.failed(error, is_raised=is_raised)
        elif not is_raised:
            _log.warning("auditmw: %s", error)

    def _likely_folder(self) -> Path:
        """Return where to say how it is doing while nobody knows which stream this is. Raises OSError."""
        told = [each for each in collecting(self._directory) if each.stream == self._shown]
        latest = max(told, key=lambda each: each.updated, default=None)
        return self._directory / COLLECT / (self._name if latest is None else latest.name)

    def _gather(self, seconds: float) -> bool:
        """Take what comes; return whether anything did."""
        messages = self._feed.read(self._most_events - len(self._gathered), seconds)
        if messages and not self._gathered:
            self._since = self._clock()
        self._gathered += messages
        self._gathered_bytes += sum(len(message.body) for message in messages)
        return bool(messages)

    def _is_due(self) -> bool:
        return bool(self._gathered) and (
            len(self._gathered) >= self._most_events
            or self._gathered_bytes >= self._most_bytes
            or self._clock() >= self._since + self._every_seconds
        )

    def _flush(self) -> None:
        """Make what was gathered durable, and acknowledge it."""
        if not self._gathered:
            return
        if self._lease is None or not self._lease.is_held():
            raise RetryableError(f"another collector has taken over {self._directory}")
        before = self.counts.collected
        gathered, self._gathered, self._gathered_bytes = self._gathered, [], 0
        gathered.sort(key=lambda message: message.track)
        events, foreign = _sorted_out(gathered)
        self._set_aside(foreign)
        doubles = self._doubles(list(events.values()))
        for track, messages in groupby(gathered, key=lambda message: message.track):
            self._write(track, list(messages), events, doubles)
        self._last = gathered[-1]
        collected = {message.track: self._ledger.position(message.track) for message in gathered}
        self._feed.acknowledge(collected)
        self._tell_progress(self.counts.collected - before)
        self._on_collected(self.counts)

    def _tell_progress(self, events: int) -> None:
        """Tell of so many new events, and of all that came of this process and of those before it."""
        assert self._report is not None  # noqa: S101 - `_begin` has made it
        now = {kind: self._counts_before.get(kind, 0) + number for kind, number in vars(self.counts).items()}
        self._report.count(events, {**self._counts_before, **now})
        self._report.tell("collecting")

    def _set_aside(self, foreign: Sequence[tuple[Message, str]]) -> None:
        assert self._aside is not None  # noqa: S101 - `_begin` has made it
        new = self._aside.keep(foreign, timestamp(self._now_ns()))
        self.counts.set_aside += new
        if new:
            _log.warning(
                "auditmw: %d messages of %s are no events, and were set aside in %s: %s",
                new,
                self._shown,
                self._directory / COLLECT,
                foreign[-1][1],
            )

    def _doubles(self, events: Sequence[Known]) -> set[str]:
        """Return the ids of events that the directory has."""
        import duckdb

        try:
            return self._present.among(events)
        except duckdb.Error as error:
            self._present.close()
            raise RetryableError(f"cannot look into {self._directory}: {str(error)[:200]}") from error

    def _write(
        self, track: str, messages: Sequence[Message], events: dict[tuple[str, int], Known], doubles: set[str]
    ) -> None:
        """Write the file of one track. `doubles` grows by what is written."""
        collected = Messages(track, self._ledger.position(track) + 1, messages[-1].number)
        bodies = []
        for message in messages:
            if message.missing:
                bodies.append(gap_before(message, self._shown, self._now_ns()))
                self.counts.missing += message.missing
                _log.error(
                    "auditmw: %d messages were gone from %s before they were collected", message.missing, self._shown
                )
            event = events.get((track, message.number))
            if event is None:
                continue
            if event.id in doubles:
                self.counts.doubles += 1
                continue
            doubles.add(event.id)
            bodies.append(event.body)
            self.counts.collected += 1
        if write_file(self._directory, collected.writer, bodies) is not None:
            self.counts.files += 1
        self._ledger.add(collected)

    def _pause(self, error: ShipError) -> None:
        self._feed.close()
        self._tell_failure(error)
        self._wait(self._backoff.seconds(most=isinstance(error, UnusableError)))

    def _let_go(self) -> None:
        self._feed.close()
        self._present.close()
        self._step_down()

    def _step_down(self) -> None:
        """Lead no more."""
        if self._lease is not None:
            if self._lease.is_held():
                self._tell("stopped")
            self._lease.release()
        self._folder, self._lease, self._aside, self._report = None, None, None, None


def _sorted_out(messages: Sequence[Message]) -> tuple[dict[tuple[str, int], Known], list[tuple[Message, str]]]:
    """Return the events among messages, by where they stand, and what is none, with the reason."""
    events: dict[tuple[str, int], Known] = {}
    foreign: list[tuple[Message, str]] = []
    for message in messages:
        try:
            events[message.track, message.number] = event_of(message.body)
        except ForeignError as error:
            foreign.append((message, str(error)))
    return events, foreign
