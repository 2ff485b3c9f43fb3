"""What a query reads: the archive's Parquet files and the journal lines that are not in them yet, each event once.

    snapshot = Snapshot("/var/lib/shop/audit")            # opens nothing yet; keep it, share it between threads
    with snapshot.view() as view:
        events = view.relation(since=day, until=day + timedelta(days=1))
        rows = view.connection.execute(f"SELECT path, count(*) FROM {events} WHERE status >= $s GROUP BY 1", {"s": 500})

1. A view is exact: it holds every event whose line was complete when `view` was called, once, however many processes
   write, archive, merge and prune meanwhile. What one view showed, a later one shows too (until retention takes it).
2. Every relation has the same columns, in this order: those of `columns.COLUMNS`, then `bot`, `text`, `writer`, `seq`,
   `state`, `body` (columns.NAMES). `time` is TIMESTAMP in UTC. `body` is the event's JSON as VARCHAR.
3. Intents are settled: a pending event is in no relation, unless its writer died before it wrote the final one; then it
   is there once, as `journal.intents.cut_off` says (level warning, outcome unknown, process_died), in `body` as well.
4. What is damaged is left out and told in `view.missing`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import duckdb

from auditmw.archive import manifest as manifests
from auditmw.archive.archiver import archive
from auditmw.archive.archiving import Progress, closed_files
from auditmw.archive.cutoff import CutOff
from auditmw.archive.error import ArchiveError, ExpiredError
from auditmw.archive.layout import Layout
from auditmw.archive.leader import GRACE, Leader, utc_now
from auditmw.archive.live import Live
from auditmw.archive.lock import leadership
from auditmw.archive.manifest import Damaged, Manifest
from auditmw.archive.parts import what_is_wrong_with
from auditmw.archive.projection import FINAL, OPEN
from auditmw.archive.rebuild import rebuilt
from auditmw.archive.relation import Bounds, relation
from auditmw.archive.sql import connect
from auditmw.archive.versions import Tables, Versions
from auditmw.journal import dead_writers, journal_files, writer_of
from auditmw.journal.reader import OnDamage, damage_handler

_ATTEMPTS = 100


class Missing(NamedTuple):
    """Part of the archive that cannot be read: which file, how many events, from when to when (naive UTC), why."""

    file: str
    rows: int
    first: datetime | None
    last: datetime | None
    reason: str


class PartFile(NamedTuple):
    """One Parquet file of a view: its path, events, size, and the times of its first and last event (naive UTC).

    `first` and `last` are None where the events have no usable time. Such a file is only in unbounded relations.
    """

    path: str
    rows: int
    bytes: int
    first: datetime | None
    last: datetime | None


class View:
    """A consistent cut of the audit directory, until the `with` statement ends. For one thread at a time.

    `connection`: a DuckDB cursor of the view's own; another thread may `interrupt()` it. It outlives errors.
    `parts`: the Parquet files, newest first; their times overlap where processes wrote side by side.
    `live`: how many events are in no Parquet file yet, and intents of requests whose process died.
    `missing`: what cannot be read.
    """

    def __init__(self, state: _State, manifest: Manifest) -> None:
        self.connection = state.connection.cursor()
        self.live = state.visible()
        self._layout = state.layout
        self._aside = state.aside
        self._versions = state.versions
        self._tables = state.tables()
        self._versions.pin(self._tables)
        self._closed = False
        self._parts = {str(state.layout.archive / part.file): part for part in manifest.parts}
        self._damaged = manifest.damaged
        self._describe()

    def _describe(self) -> None:
        files = [PartFile(path, part.rows, part.bytes, part.first, part.last) for path, part in self._parts.items()]
        self.parts = tuple(sorted(files, key=lambda file: (file.last or datetime.min, file.path), reverse=True))
        self.missing = tuple(map(_missing, self._damaged))

    def relation(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        parts: Iterable[PartFile] | None = None,
        live: bool = True,
    ) -> str:
        """Return SQL that stands where a table does, in parentheses: the events with since <= time < until.

        Times are aware, or naive and in UTC. `parts`: of these files only, and `live`: whether with the events that are
        in none; so that a query can go slice by slice, and each event is in exactly one slice. Only files that overlap
        the range are opened, newest first. Events without a usable time are in it when neither bound is given. The text
        has no parameters of its own.
        """
        asked = self.parts if parts is None else [file for file in parts if file.path in self._parts]
        return relation(
            [(file.path, self._parts[file.path]) for file in asked],
            Bounds.of(since, until),
            self._tables,
            live=live and self.live > 0,
        )

    def check(self, parts: Iterable[PartFile] | None = None) -> list[Missing]:
        """Read these files (all, if None) whole and compare checksums: to be called after a query raised duckdb.Error.

        What is damaged is set aside in DIR/quarantine where that is possible, is in `missing` and in no relation of
        this view from now on, and is returned; an empty list means that the files are sound and the error is another.
        Raises ExpiredError when a file was superseded and is gone.
        """
        asked = self.parts if parts is None else tuple(parts)
        found = [
            Damaged(part, wrong)
            for part, wrong in ((self._parts[file.path], self._wrong(file)) for file in asked)
            if wrong
        ]
        if found:
            self._aside.put(found)
            for damaged in found:
                del self._parts[str(self._layout.archive / damaged.part.file)]
            self._damaged = (*self._damaged, *found)
            self._describe()
        return [_missing(damaged) for damaged in found]

    def _wrong(self, file: PartFile) -> str | None:
        part = self._parts[file.path]
        wrong = what_is_wrong_with(self._layout, part)
        if wrong is not None and not Path(file.path).exists():
            current = manifests.load(self._layout)
            if current is not None and all(part.file != each.file for each in current.parts):
                raise ExpiredError(f"{file.path!r} was superseded while it was read")
        return wrong

    def close(self) -> None:
        """End the view."""
        if not self._closed:
            self._closed = True
            self.connection.close()
            self._versions.unpin(self._tables)

    def __enter__(self) -> View:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _missing(damaged: Damaged) -> Missing:
    part = damaged.part
    return Missing(part.file, part.rows, part.first, part.last, damaged.reason)


class _Aside:
    """What readers found damaged and could not set aside, because they may not write or another process leads."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._known: dict[str, Damaged] = {}

    def put(self, found: Iterable[Damaged]) -> None:
        """Set parts aside, if possible; else remember them."""
        files = {damaged.part.file: damaged for damaged in found}
        self._known.update(files)
        with suppress(OSError, ArchiveError), leadership(self._layout) as leading:
            if leading:
                leader = Leader(self._layout, utc_now, GRACE)
                try:
                    leader.begin()
                    leader.check(files)
                    for damaged in leader.manifest.damaged:
                        self._known.pop(damaged.part.file, None)
                finally:
                    leader.close()

    def applied(self, manifest: Manifest) -> Manifest:
        """Return the manifest with what is remembered among the damaged."""
        bad = tuple(self._known[part.file] for part in manifest.parts if part.file in self._known)
        if not bad:
            return manifest
        good = tuple(part for part in manifest.parts if part.file not in self._known)
        return manifest.changed(parts=good, damaged=(*manifest.damaged, *bad))


class Snapshot:
    """The events of `directory`, kept up to date at little cost. Safe for threads; not to be used across a fork.

    `archive_bytes`: before a view is made, closed journal files are archived when they hold more than this and no other
    process is at it; None never does. `on_progress` hears of that. `on_damage` hears of damage in journal files, which
    is copied to DIR/quarantine. `memory_bytes`, `threads`: limits of DuckDB, for all views together.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        archive_bytes: int | None = 64 * 1024 * 1024,
        memory_bytes: int = 512 * 1024 * 1024,
        threads: int | None = None,
        on_damage: OnDamage | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._layout = Layout(directory)
        self._archive_bytes = archive_bytes
        self._memory_bytes = memory_bytes
        self._threads = threads or len(os.sched_getaffinity(0))
        self._on_damage = damage_handler(self._layout.directory, on_damage)
        self._on_progress = on_progress
        self._aside = _Aside(self._layout)
        self._lock = threading.Lock()
        self._archiving = threading.Lock()
        self._state: _State | None = None
        self.archive_error: ArchiveError | None = None

    def view(self) -> View:
        """Bring the snapshot up to date and return a view of it.

        Raises FileNotFoundError when there is no directory, PermissionError when it cannot be read, ArchiveError when a
        later version made the archive. When archiving fails, it does not: the reason is in `archive_error`.
        """
        os.stat(self._layout.directory)
        if self._archive_bytes is not None and self._archiving.acquire(blocking=False):
            try:
                self._archive()
            finally:
                self._archiving.release()
        with self._lock:
            state = self._state or self._open()
            try:
                manifest = state.update()
            except BaseException:
                self._close()  # half of an update is not to be built upon
                raise
            return View(state, manifest)

    def close(self) -> None:
        """Let go of memory and temporary files. Views that are open end."""
        with self._lock:
            self._close()

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _archive(self) -> None:
        self.archive_error = None
        try:
            waiting = closed_files(self._layout, manifests.load(self._layout) or Manifest())
            if sum(file.stat().st_size for file in waiting) > (self._archive_bytes or 0):
                archive(self._layout.directory, on_progress=self._on_progress)
        except (ArchiveError, OSError) as error:
            self.archive_error = error if isinstance(error, ArchiveError) else ArchiveError(str(error))

    def _open(self) -> _State:
        scratch = Path(tempfile.mkdtemp(prefix="auditmw-"))
        reads = self._layout.archive, self._layout.journal
        connection = connect(scratch, memory_bytes=self._memory_bytes, threads=self._threads, reads=reads)
        self._state = _State(self._layout, connection, scratch, self._on_damage, self._aside)
        return self._state

    def _close(self) -> None:
        if self._state is not None:
            self._state.connection.close()
            shutil.rmtree(self._state.scratch, ignore_errors=True)
            self._state = None


class _State:
    """What is known of the directory since the last update. For one thread at a time."""

    def __init__(
        self, layout: Layout, connection: duckdb.DuckDBPyConnection, scratch: Path, on_damage: OnDamage, aside: _Aside
    ) -> None:
        self.connection = connection
        self.scratch = scratch
        self.layout = layout
        self.aside = aside
        self.versions = Versions(connection)
        self._live = Live(connection, self.versions, scratch, on_damage)
        self._cut_off = CutOff(connection, self.versions, layout)
        self._manifest = Manifest()
        self._stamp: object = self  # of no manifest

    def update(self) -> Manifest:
        """Read what is new, and return the manifest that belongs to it. Views that are open do not see the change."""
        dead: frozenset[str] | None = None
        for _ in range(_ATTEMPTS):
            if self._has_intents():
                dead = dead_writers(self.layout.directory)  # before the files are listed: theirs are complete
            files = self._unarchived()
            if files is None:
                continue
            self._live.update(self._manifest, [file for file, archived in files.items() if not archived])
            if (dead is None and self._has_intents()) or (self._is_changed() and not all(map(os.path.exists, files))):
                continue  # what vanished is in a newer manifest
            self._settle(dead or frozenset(), set(map(writer_of, files)))
            self.versions.drop_retired()
            return self.aside.applied(self._manifest)
        raise ArchiveError(f"{str(self.layout.directory)!r} changed {_ATTEMPTS} times while it was read; try again")

    def tables(self) -> Tables:
        """Return what a view of this moment reads."""
        return Tables(self._live.name, self._live.arrival, self._cut_off.name)

    def visible(self) -> int:
        """Return how many events there are beside those in parts."""
        return self._live.count(FINAL) + len(self._cut_off)

    def _unarchived(self) -> dict[Path, bool] | None:
        """Load the manifest, list the journal files and whether they are archived; None when that changed meanwhile."""
        if self._is_changed():
            self._stamp = manifests.stamp(self.layout)
            self._manifest = self._loaded()
        files = {file: self._manifest.holds(file) for file in journal_files(self.layout.directory)}
        return None if self._is_changed() else files

    def _loaded(self) -> Manifest:
        with suppress(manifests.DamagedManifestError):
            found = manifests.load(self.layout)
            if found is not None or not self.layout.parts():
                return found or Manifest()
        return rebuilt(self.layout, self.connection, utc_now().replace(tzinfo=None))

    def _is_changed(self) -> bool:
        return manifests.stamp(self.layout) != self._stamp

    def _has_intents(self) -> bool:
        return self._live.has_intents() or any(part.states.get(OPEN) for part in self._manifest.parts)

    def _settle(self, dead: frozenset[str], present: set[str]) -> None:
        """Say what became of intents. A writer without a journal file is dead, and all its lines are archived."""
        if self._has_intents() or len(self._cut_off):
            is_dead = lambda writer: writer in dead or writer not in present  # noqa: E731
            self._cut_off.update(self._manifest, self._live.name, is_dead)
