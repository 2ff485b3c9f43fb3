"""The loop that ships: lease, cursor, batch, send, cursor.

1. One shipper per target leads (lease.py); the others stand by, and take over when it is gone.
2. The cursor is saved, with the batch that is to follow, before that batch is sent; and after a batch only when the
   target has it. So a shipper that is cut off anywhere sends at most its last batch again, the same events in it.
3. A target that keeps the cursor itself is believed before the file, which is then only for those who delete files.
4. Waiting is what a shipper does about a target that fails: no event is dropped for it. Only an event that the target
   rejects for what it is becomes a dead letter; when nothing but dead letters comes of MOST_DEAD_IN_A_ROW events, it is
   the target that is wrong, and the shipper waits.
5. In memory: one batch, and where there is a backlog the next one (ahead.py).
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from auditmw.formats.record import Event, RecordError
from auditmw.journal import Damage
from auditmw.journal import cursor as cursors
from auditmw.journal.cursor import CURSOR, Cursor, CursorError, DamagedCursorError
from auditmw.journal.smallfile import make_folder
from auditmw.ship.ahead import Ahead
from auditmw.ship.backoff import Backoff
from auditmw.ship.batch import Batch, Entry
from auditmw.ship.courier import Courier
from auditmw.ship.deadletters import DeadLetters
from auditmw.ship.delivery import Delivered, deliver
from auditmw.ship.lease import Lease
from auditmw.ship.origin import JournalOrigin, Origin, Reader
from auditmw.ship.portion import Portion
from auditmw.ship.report import Report
from auditmw.ship.target import (
    CursorKeeper,
    FencedError,
    RetryableError,
    ShipError,
    Target,
    UnusableError,
)

POLL_SECONDS = 0.5
LEASE_SECONDS = 2.0
MOST_DEAD_IN_A_ROW = 100
_REPLAYED_AT_ONCE = 100

_log = logging.getLogger("auditmw.ship")


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Shipper:
    """Ships the journal of `directory` to `target`.

    `name`: of the target's folder, DIR/ship/<name>. `shown`: the target's URL without secrets. `clock`: seconds that
    never go back. `now`: the time, aware. `wait`: waits so many seconds and returns True when it is to stop.
    `most_dead_in_a_row`: see rule 4. `reads_ahead`: whether a thread may read while the target has a batch. `origin`:
    what is shipped in place of the journal, which then has the folder of `name`. Constructing it does no I/O.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        target: Target,
        *,
        name: str,
        shown: str = "",
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = _utc_now,
        wait: Callable[[float], bool] | None = None,
        backoff: Backoff | None = None,
        most_dead_in_a_row: int = MOST_DEAD_IN_A_ROW,
        reads_ahead: bool = True,
        origin: Origin | None = None,
    ) -> None:
        self._directory = Path(os.path.abspath(os.fsdecode(directory)))
        self._origin = origin or JournalOrigin(self._directory, clock)
        self._folder = self._origin.folder / name
        self._target = target
        self._name, self._shown = name, shown or name
        self._clock, self._now = clock, now
        self._stopping = threading.Event()
        self._wait = wait or self._stopping.wait
        self._backoff = backoff or Backoff()
        self._most_dead = most_dead_in_a_row
        self._reads_ahead = reads_ahead
        self._lease = Lease(self._folder)
        self._dead = DeadLetters(self._folder, self._shown, now)
        self._cursor, self._is_saved = Cursor(""), True
        self._portion: Portion | None = None
        self._source: Reader | None = None
        self._ahead: Ahead | None = None
        self._courier: Courier | None = None
        self._report = Report(self._folder, self._shown, clock, now, stream=self._origin.stream, lag=self._origin.lag)
        self._keeper = target if isinstance(target, CursorKeeper) else None

    # What others call.

    def run(self, *, take_over: bool = False) -> None:
        """Ship until `stop` is called; stand by while another shipper leads. Raises FencedError, CursorError, OSError.

        `take_over`: lead at once, in the place of a leader that does not answer any more.
        """
        try:
            self._lead(take_over)
            while not self._stopping.is_set():
                self._attempt()
        finally:
            self._let_go()

    def run_once(self, *, take_over: bool = False) -> bool:
        """Ship what is there now, and return True; False when another shipper leads.

        Raises RetryableError, UnusableError at the first failure: nothing is lost, call it again; else as `run`.
        """
        os.stat(self._directory)
        make_folder(self._origin.folder)
        make_folder(self._folder)
        if not self._lease.acquire(take_over=take_over):
            return False
        try:
            self._begin()
            while self._step():
                pass
            return True
        except ShipError as error:
            self._report.failed(error, is_raised=True)
            raise
        except OSError as error:  # of our own files
            error.filename = error.filename or str(self._folder)  # write(2) names none
            raise
        finally:
            self._let_go()

    @property
    def shipped(self) -> int:
        """How many events the target has taken since shipping to it began, as far as this shipper knows."""
        return self._cursor.counts.get("shipped", 0)

    def replay(self) -> tuple[int, int]:
        """Send the dead letters again; return how many the target has now, and how many are dead letters again.

        May run beside the shipper. Raises RetryableError, UnusableError: the rest stays; BlockingIOError when another
        process is at it.
        """
        sent = 0
        again: list[Entry] = []

        def bury(entry: Entry, reason: str) -> None:
            self._dead.append(entry, reason, "")
            again.append(entry)

        with self._dead.sending() as letters:
            entries = (self._rendered(letter.entry) for letter in letters)
            while some := list(itertools.islice(entries, _REPLAYED_AT_ONCE)):
                batch = Batch(some)
                done = Delivered()
                deliver(batch, range(len(batch)), lambda part, _: self._target.send(part), bury, done)
                sent += done.events
        return sent, len(again)

    def stop(self) -> None:
        """Have `run` end after the batch that is under way; may be called from any thread or signal handler."""
        self._stopping.set()

    # The parts of the loop.

    def _lead(self, take_over: bool) -> None:
        """Wait until this shipper leads, and has its cursor."""
        os.stat(self._directory)
        make_folder(self._origin.folder)
        make_folder(self._folder)
        while not self._stopping.is_set() and not self._lease.acquire(take_over=take_over):
            self._wait(LEASE_SECONDS)
        while not self._stopping.is_set():
            try:
                return self._begin()
            except (RetryableError, UnusableError) as error:
                self._pause(error)
        return None

    def _begin(self) -> None:
        """Load the cursor, and make it known that there is a new leader."""
        journal = self._origin.identity()
        local = cursor = self._loaded(journal)
        self._report.count(0, local.counts)  # a target that keeps the cursor may not answer
        if self._keeper is not None:
            claim = self._keeper.claim(f"{journal}/{self._name}")
            if claim.data is not None:
                cursor = self._belonging(Cursor.decode(claim.data, source=self._shown), journal, self._shown)
            cursor = replace(cursor, epoch=claim.epoch)
        else:
            cursor = replace(cursor, epoch=cursor.epoch + 1)
        cursors.save(self._folder / CURSOR, replace(local, epoch=cursor.epoch))
        self._cursor, self._is_saved = cursor, True
        self._source = self._origin.open(
            self._folder,
            max_events=self._target.max_events,
            max_bytes=self._target.max_bytes,
            render=self._record,
            on_damage=self._tell_damage,
        )
        self._ahead = Ahead(self._source)
        cut_off = self._source.again(replace(local, epoch=cursor.epoch)) if local.pending else None
        self._portion = cut_off if self._keeper is None else None  # a keeper says itself how far it came
        token = None if cut_off is None else cut_off.batch.token
        dead = self._dead.keys(lambda letter: letter.batch == token or not _has_passed(cursor, letter.entry))
        self._courier = Courier(
            self._target, self._name, self._dead, self._report, dead=dead, most_dead=self._most_dead
        )
        self._report.begin(cursor.counts, epoch=cursor.epoch)

    def _loaded(self, journal: str) -> Cursor:
        path = self._folder / CURSOR
        try:
            found = cursors.load(path)
        except DamagedCursorError as error:
            aside = cursors.set_aside(path)
            _log.warning("auditmw: %s; it is now %s, and shipping begins with the oldest file", error, aside)
            found = None
        return Cursor(journal) if found is None else self._belonging(found, journal, str(path))

    def _belonging(self, cursor: Cursor, journal: str, source: str) -> Cursor:
        if cursor.journal != journal:
            raise CursorError(
                f"expected the cursor of this {self._origin.kind} ({journal}) in {source}, not that of another one "
                f"({cursor.journal}): give this shipper another --name, or remove the cursor to ship all from the start"
            )
        return cursor

    def _attempt(self) -> None:
        """Do one step; wait when there is nothing to do, or when it failed."""
        try:
            done = self._step()
        except FencedError:
            raise
        except ShipError as error:
            self._pause(error)
        except OSError as error:  # of our own files: a full disk, a directory that is away
            self._pause(RetryableError(f"{self._directory}: {error}"))
        else:
            self._backoff.reset()
            if not done:
                self._report.tell("idle")
                self._wait(POLL_SECONDS)

    def _step(self) -> bool:
        """Ship one batch, and save the cursor with the next one; False when there is nothing to ship."""
        self._check_lease()
        if self._portion is None:
            self._prepare()
        portion = self._portion
        if portion is None or self._source is None or self._courier is None or self._ahead is None:
            return False
        if portion.is_full and self._reads_ahead:
            self._ahead.begin(portion.after)
        done = self._courier.bring(portion) if len(portion.batch) else Delivered()
        self._ahead.wait()
        counts = {"shipped": done.events, "rejected": done.rejected, "dead": done.dead}
        self._cursor, self._is_saved = portion.after.counting(counts), False
        self._portion = None
        self._report.shipped(done, self._cursor, self._source.unreadable)
        self._prepare()
        return True

    def _prepare(self) -> None:
        """Read the next batch, and save the cursor with it."""
        assert self._ahead is not None  # noqa: S101 - there is a cursor
        try:
            portion = self._ahead.next(self._cursor)
        except (OSError, ShipError):
            if self._is_saved:
                raise
            portion = None
        if portion is not None or not self._is_saved:
            self._check_epoch()
            blocks = () if portion is None else portion.blocks
            cursors.save(self._folder / CURSOR, replace(self._cursor, pending=blocks))
            if self._courier is not None and not self._is_saved:
                self._courier.forget()  # the batch before
            self._is_saved = True
            self._origin.settled(self._cursor)
        self._portion = portion

    def _record(self, entry: Entry, event: Event) -> bytes:
        try:
            return self._target.record(entry, event)
        except RecordError:
            raise
        except Exception as error:
            _log.exception("auditmw: %s failed in a way that it should not", self._name)
            raise RetryableError(f"{type(error).__name__}: {error}") from error

    def _rendered(self, entry: Entry) -> Entry:
        return entry._replace(record=self._target.record(entry, entry.event))

    def _check_lease(self) -> None:
        if not self._lease.is_held():
            raise FencedError(f"another shipper has taken over {self._folder}; this one stops")

    def _check_epoch(self) -> None:
        """Do not overwrite the cursor of one who took over, on a file system where locks do not hold."""
        self._check_lease()
        with contextlib.suppress(DamagedCursorError):
            found = cursors.load(self._folder / CURSOR)
            if found is not None and found.epoch > self._cursor.epoch:
                raise FencedError(
                    f"another shipper has taken over {self._folder} (epoch {found.epoch}); this one stops"
                )

    def _pause(self, error: ShipError) -> None:
        self._report.failed(error)
        unusable = isinstance(error, UnusableError)
        self._wait(self._backoff.seconds(at_least=getattr(error, "after_seconds", None), most=unusable))

    def _tell_damage(self, damage: Damage) -> None:
        copy = f", copied to {damage.quarantined}" if damage.quarantined else ""
        place = f"{damage.length} bytes at offset {damage.offset} of {damage.file}"
        _log.warning("auditmw: cannot ship %s: %s%s", place, damage.reason, copy)

    def _let_go(self) -> None:
        try:
            if self._ahead is not None:
                self._ahead.close()
            self._portion, self._source, self._ahead = None, None, None
            self._target.close()
            self._origin.close()
            if self._lease.is_held():
                self._report.tell("stopped")
        finally:
            self._lease.release()


def _has_passed(cursor: Cursor, entry: Entry) -> bool:
    at = cursor.writers.get(entry.writer)
    return at is not None and entry.seq <= at.seq
