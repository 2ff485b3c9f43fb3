"""One step of archiving: what is closed becomes Parquet, small parts become larger ones, what is too old goes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from auditmw.archive.archiving import Archiving, Progress
from auditmw.archive.error import cannot
from auditmw.archive.layout import Layout
from auditmw.archive.leader import GRACE, MEMORY_BYTES, Leader, utc_now
from auditmw.archive.lock import leadership
from auditmw.archive.manifest import Damaged
from auditmw.archive.merging import TARGET_BYTES, merge
from auditmw.archive.retention import PruneReport, Retention, apply, get_retention
from auditmw.journal.reader import OnDamage


@dataclass(frozen=True)
class ArchiveReport:
    """What one step did.

    `leading`: False when another process was at it, and nothing was done. `files`, `rows`, `bytes`: journal files that
    were archived whole, events, and bytes of their JSON. `parts`: Parquet files made of them. `merged`: Parquet files
    that went into larger ones. `deleted`: files whose grace time was over. `damaged`: stretches of journal files that
    are no event, now in quarantine. `kept`: journal files that cannot be read, or whose damage cannot be set aside, and
    that stay. `missing`: Parquet files that were found damaged or gone. `pruned`: what the retention settings took.
    """

    leading: bool
    files: int = 0
    rows: int = 0
    bytes: int = 0
    parts: int = 0
    merged: int = 0
    deleted: int = 0
    damaged: int = 0
    kept: tuple[Path, ...] = ()
    missing: tuple[Damaged, ...] = ()
    pruned: PruneReport | None = None


def archive(
    directory: str | os.PathLike[str],
    *,
    now: Callable[[], datetime] = utc_now,
    on_progress: Callable[[Progress], None] | None = None,
    on_damage: OnDamage | None = None,
    grace: timedelta = GRACE,
    memory_bytes: int = MEMORY_BYTES,
    batch_bytes: int | None = None,
    target_bytes: int = TARGET_BYTES,
) -> ArchiveReport:
    """Bring the archive up to date; return at once when another process is at it.

    Closed journal files become Parquet files under DIR/archive and are deleted when the `grace` time is over; small
    Parquet files of one day are merged; the retention settings are applied. May be cut off at any moment: no event is
    lost or twice, and the next step goes on. `now`: the time, aware. `memory_bytes`: DuckDB's limit; the less it has,
    the less JSON goes at a time (`batch_bytes`, by default a quarter) and the more has to be merged, up to files of
    `target_bytes`. Raises FileNotFoundError when there is no such directory, ArchiveError when something cannot be done
    (disk full, no permission): what was done until then stays.
    """
    layout = Layout(directory)
    os.stat(layout.directory)
    try:
        with leadership(layout) as leading:
            if not leading:
                return ArchiveReport(leading=False)
            leader = Leader(layout, now, grace, memory_bytes)
            batch_bytes = batch_bytes or memory_bytes // 4
            archiving = Archiving(leader, batch_bytes=batch_bytes, on_damage=on_damage, on_progress=on_progress)
            try:
                return _step(leader, archiving, target_bytes)
            finally:
                leader.close()
    except (OSError, duckdb.Error) as error:
        raise cannot("archive", layout, error) from error


def _step(leader: Leader, archiving: Archiving, target_bytes: int) -> ArchiveReport:
    leader.begin()
    try:
        done, merged = archiving.run(), merge(leader, target_bytes=target_bytes)
    except duckdb.Error:
        if not leader.check():
            raise
        done, merged = archiving.run(), merge(leader, target_bytes=target_bytes)
    retention = get_retention(leader.layout.directory)
    pruned = apply(leader, retention) if retention != Retention() else None
    leader.sweep()
    return ArchiveReport(
        leading=True,
        files=done.files,
        rows=done.rows,
        bytes=done.bytes,
        parts=done.parts,
        merged=merged,
        deleted=leader.deleted,
        damaged=done.damaged,
        kept=tuple(done.kept),
        missing=tuple(leader.missing),
        pruned=pruned,
    )
