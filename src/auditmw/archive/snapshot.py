"""What a query reads: the archive's Parquet files and the journal lines that are not in them yet, each event once.

    snapshot = Snapshot("/var/lib/shop/audit")            # opens nothing yet; keep it, share it between threads
    with snapshot.view() as view:
        events = view.relation(since=day, until=day + timedelta(days=1))
        rows = view.connection.execute(f"SELECT path, count(*) FROM {events} WHERE status >= $s GROUP BY 1", {"s": 500})

1. A view is exact: it holds every event whose line was complete when `view` was called, once, however many processes
   write, archive, merge and prune meanwhile. What one view showed, a later one shows too (until retention takes it).
2. Every relation has the same columns, in the order of columns.NAMES. `time` is TIMESTAMP in UTC. `body` is the event's
   JSON as VARCHAR.
3. Intents are settled: a pending event is in no relation, unless its writer died before it wrote the final one; then it
   is there once, as `journal.intents.cut_off` says (level warning, outcome unknown, process_died), in `body` as well.
4. What is damaged is left out and told in `view.missing`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import duckdb

from auditmw.archive import manifest as manifests
from auditmw.archive.archiver import archive
from auditmw.archive.archiving import Progress, closed_files
from auditmw.archive.cutoff import CutOff
from auditmw.archive.error import ArchiveError
from auditmw.archive.layout import Layout
from auditmw.archive.leader import utc_now
from auditmw.archive.live import Live
from auditmw.archive.manifest import Manifest
from auditmw.archive.projection import FINAL, OPEN
from auditmw.archive.rebuild import rebuilt
from auditmw.archive.sql import connect, quiet
from auditmw.archive.versions import Tables, Versions
from auditmw.archive.view import Aside, Missing, PartFile, View
from auditmw.journal import dead_writers, journal_files, writer_of
from auditmw.journal.reader import OnDamage, damage_handler

__all__ = ["Missing", "PartFile", "Snapshot", "View"]

_ATTEMPTS = 100
_SPARE_FOOTERS = 200  # half a megabyte each
_ARCHIVE_MEMORY_BYTES = 384 * 1024 * 1024  # beside what the snapshot has


class Snapshot:
    """The events of `directory`, kept up to date at little cost. Safe for threads; not to be used across a fork.

    `archive_bytes`: before a view is made, closed journal files are archived when they hold more than this and no other
    process is at it; None never does. `on_progress` hears of that, and None when it is over. `on_damage` hears of
    damage in journal files, which is copied to DIR/quarantine. `memory_bytes`, `threads`: limits of DuckDB, for all
    views together.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        archive_bytes: int | None = 64 * 1024 * 1024,
        memory_bytes: int = 512 * 1024 * 1024,
        threads: int | None = None,
        on_damage: OnDamage | None = None,
        on_progress: Callable[[Progress | None], None] | None = None,
    ) -> None:
        self._layout = Layout(directory)
        self._archive_bytes = archive_bytes
        self._memory_bytes = memory_bytes
        self._threads = threads or len(os.sched_getaffinity(0))
        self._on_damage = damage_handler(self._layout.directory, on_damage)
        self._on_progress = on_progress
        self._aside = Aside(self._layout)
        self._lock = threading.Lock()
        self._archiving = threading.Lock()
        self._state: _State | None = None
        self._scratch: Path | None = None
        self._remove_scratch: Callable[[], object] = lambda: None
        self.archive_error: ArchiveError | None = None

    def view(self) -> View:
        """Bring the snapshot up to date and return a view of it.

        Raises FileNotFoundError when there is no directory, PermissionError when it cannot be read, ArchiveError when a
        later version made the archive. When archiving fails, it does not: the reason is in `archive_error`.
        """
        os.stat(self._layout.directory)
        if self._archive_bytes is not None and self._archiving.acquire(blocking=False):
            try:
                self._archive(self._archive_bytes)
            finally:
                self._archiving.release()
        with self._lock:
            state = self._state or self._open()
            try:
                state.update()
            except BaseException:
                self._state = None  # half of an update is not to be built upon
                raise
            if state.is_worn():
                self._state = None  # it ends with the last view of it
            return state.view()

    def close(self) -> None:
        """Let go of memory and temporary files. Views that are open end."""
        with self._lock:
            if self._state is not None:
                self._state.connection.close()
                self._state = None
            self._remove_scratch()
            self._scratch = None

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _archive(self, limit: int) -> None:
        self.archive_error = None
        try:
            manifest = manifests.load(self._layout) or Manifest()
            most = [file for file in journal_files(self._layout.directory) if not manifest.holds(file)]
            if _size(most) > limit and _size(closed_files(self._layout, manifest)) > limit:
                self._archive_now()
        except (ArchiveError, OSError) as error:
            self.archive_error = error if isinstance(error, ArchiveError) else ArchiveError(str(error))

    def _archive_now(self) -> None:
        try:
            archive(self._layout.directory, on_progress=self._on_progress, memory_bytes=_ARCHIVE_MEMORY_BYTES)
        finally:
            if self._on_progress is not None:
                self._on_progress(None)

    def _open(self) -> _State:
        if self._scratch is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="auditmw-"))
            self._remove_scratch = weakref.finalize(self, _remove, self._scratch, os.getpid())  # if nobody closes
        scratch = Path(tempfile.mkdtemp(dir=self._scratch))
        reads = self._layout.archive, self._layout.journal
        connection = connect(scratch, memory_bytes=self._memory_bytes, threads=self._threads, reads=reads)
        # Else a query would parse the footers of all its files, which may take longer than all the rest.
        connection.execute("SET GLOBAL parquet_metadata_cache = true")
        self._state = _State(self._layout, connection, scratch, self._on_damage, self._aside)
        return self._state


def _remove(folder: Path, pid: int) -> None:
    if os.getpid() == pid:  # a forked process ends without taking its parent's
        shutil.rmtree(folder, ignore_errors=True)


def _size(files: Iterable[Path]) -> int:
    size = 0
    for file in files:
        with suppress(OSError):  # it may be archived by now
            size += file.stat().st_size
    return size


class _State:
    """What is known of the directory since the last update. For one thread at a time."""

    def __init__(
        self, layout: Layout, connection: duckdb.DuckDBPyConnection, scratch: Path, on_damage: OnDamage, aside: Aside
    ) -> None:
        self.connection = connection
        self._layout = layout
        self._aside = aside
        self._versions = Versions(connection)
        self._live = Live(connection, self._versions, scratch, on_damage)
        self._cut_off = CutOff(connection, self._versions, layout)
        self._manifest = Manifest()
        self._stamp: object = self  # of no manifest
        self._met: set[str] = set()

    def update(self) -> None:
        """Read what is new. Views that are open do not see it."""
        dead: frozenset[str] | None = None
        for _ in range(_ATTEMPTS):
            if self._has_intents():
                dead = dead_writers(self._layout.directory)  # before the files are listed: theirs are complete
            files = self._unarchived()
            if files is None:
                continue
            self._live.update(self._manifest, [file for file, archived in files.items() if not archived])
            if (dead is None and self._has_intents()) or (self._is_changed() and not all(map(os.path.exists, files))):
                continue  # what vanished is in a newer manifest
            self._settle(dead or frozenset(), set(map(writer_of, files)))
            self._versions.drop_retired()
            return
        raise ArchiveError(f"{str(self._layout.directory)!r} changed {_ATTEMPTS} times while it was read; try again")

    def view(self) -> View:
        """Return a view of what the last update found."""
        tables = Tables(self._live.name, self._live.arrival, self._cut_off.name)
        live = self._live.count(FINAL) + len(self._cut_off)
        cursor = quiet(self.connection.cursor())
        return View(cursor, self._aside, self._manifest, self._versions.pinned(tables), live)

    def is_worn(self) -> bool:
        """Return whether DuckDB remembers the footers of many more parts than there are; it forgets none."""
        return len(self._met) > 2 * len(self._manifest.parts) + _SPARE_FOOTERS

    def _unarchived(self) -> dict[Path, bool] | None:
        """Load the manifest, list the journal files and whether they are archived; None when that changed meanwhile."""
        if self._is_changed():
            self._stamp = manifests.stamp(self._layout)
            self._manifest = self._loaded()
            self._met.update(part.file for part in self._manifest.parts)
        files = {file: self._manifest.holds(file) for file in journal_files(self._layout.directory)}
        return None if self._is_changed() else files

    def _loaded(self) -> Manifest:
        with suppress(manifests.DamagedManifestError):
            found = manifests.load(self._layout)
            if found is not None or not self._layout.parts():
                return found or Manifest()
        return rebuilt(self._layout, self.connection, utc_now().replace(tzinfo=None))

    def _is_changed(self) -> bool:
        return manifests.stamp(self._layout) != self._stamp

    def _has_intents(self) -> bool:
        return self._live.count(OPEN) > 0 or any(part.states.get(OPEN) for part in self._manifest.parts)

    def _settle(self, dead: frozenset[str], present: set[str]) -> None:
        """Say what became of intents. A writer without a journal file is dead, and all its lines are archived."""
        if self._has_intents() or len(self._cut_off):
            is_dead = lambda writer: writer in dead or writer not in present  # noqa: E731
            self._cut_off.update(self._manifest, self._live.name, is_dead)
