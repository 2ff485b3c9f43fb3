"""What is deleted from the archive by age or size: whole parts, oldest first, and never what is not archived yet."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from auditmw.archive import durable
from auditmw.archive.error import ArchiveError, cannot
from auditmw.archive.layout import Layout
from auditmw.archive.leader import GRACE, Leader, utc_now
from auditmw.archive.lock import leadership
from auditmw.archive.manifest import Manifest, Part, load, united

_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Retention:
    """What every archive step prunes without being asked: None for no limit.

    `older_than`: parts whose newest event is older. `max_bytes`: the oldest parts, until the others have that size.
    """

    older_than: timedelta | None = None
    max_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.older_than is not None and self.older_than < timedelta(0):
            raise ValueError(f"expected older_than of 0 or more, not {self.older_than!r}")
        if self.max_bytes is not None and self.max_bytes < 0:
            raise ValueError(f"expected max_bytes of 0 or more, not {self.max_bytes!r}")


@dataclass(frozen=True)
class PruneReport:
    """What was pruned, or would be in a dry run: Parquet files, events, bytes, and from when until when (UTC, naive).

    `first` and `last` are None where no pruned event has a time. The disk space is free when the grace time is over and
    the next archive step ran. `left_bytes`: what remains of the archive.
    """

    files: int
    rows: int
    bytes: int
    first: datetime | None
    last: datetime | None
    left_bytes: int
    dry_run: bool = False


def prune(
    directory: str | os.PathLike[str],
    older_than: timedelta | None = None,
    max_bytes: int | None = None,
    dry_run: bool = False,
    *,
    now: Callable[[], datetime] = utc_now,
    grace: timedelta = GRACE,
) -> PruneReport:
    """Delete the archive's events by age, by size, or both; say what that freed.

    Whole Parquet files go: one only when its newest event is older than `older_than`, and the oldest ones until the
    archive has at most `max_bytes`. Journal files are not touched. Waits a minute for another process that archives.
    Raises ValueError without a limit, FileNotFoundError without the directory, ArchiveError when it cannot be done.
    """
    retention = Retention(older_than, max_bytes)
    if retention == Retention():
        raise ValueError("expected older_than, max_bytes or both")
    layout = Layout(directory)
    os.stat(layout.directory)
    if dry_run:
        manifest = load(layout) or Manifest()
        moment = now().astimezone(UTC).replace(tzinfo=None)
        return _report(manifest.parts, due(manifest.parts, retention, moment), dry_run=True)
    try:
        with leadership(layout, wait_seconds=_PATIENCE_SECONDS) as leading:
            if not leading:
                raise ArchiveError(f"another process has archived {str(layout.directory)!r} for a minute; try again")
            leader = Leader(layout, now, grace)
            try:
                leader.begin()
                report = apply(leader, retention)
                leader.sweep()
            finally:
                leader.close()
            return report
    except OSError as error:
        raise cannot("prune", layout, error) from error


def apply(leader: Leader, retention: Retention) -> PruneReport:
    """Prune as the settings say. Raises OSError."""
    parts = leader.manifest.parts
    doomed = due(parts, retention, leader.now())
    by_age = Retention(retention.older_than)
    lost = [damaged for damaged in leader.manifest.damaged if due([damaged.part], by_age, leader.now())]
    if doomed or lost:
        gone = (*doomed, *(damaged.part for damaged in lost))
        leader.manifest = leader.manifest.changed(
            besides=united((leader.manifest.besides, *(part.sources for part in gone))),
            damaged=tuple(damaged for damaged in leader.manifest.damaged if damaged not in lost),
        )
        leader.supersede(doomed)
    return _report(parts, doomed)


def due(parts: Sequence[Part], retention: Retention, now: datetime) -> list[Part]:
    """Return the parts that the settings do not let live, oldest first. `now`: UTC, naive."""
    oldest_first = sorted(parts, key=lambda part: (part.newest, part.file))
    left = sum(part.bytes for part in parts)
    doomed = []
    for part in oldest_first:
        too_old = retention.older_than is not None and part.newest < now - retention.older_than
        too_much = retention.max_bytes is not None and left > retention.max_bytes
        if too_old or too_much:
            doomed.append(part)
            left -= part.bytes
    return doomed


def set_retention(
    directory: str | os.PathLike[str], older_than: timedelta | None = None, max_bytes: int | None = None
) -> None:
    """Keep the settings by which every archive step prunes; without any, none does. Raises ValueError, OSError."""
    retention, layout = Retention(older_than, max_bytes), Layout(directory)
    os.stat(layout.directory)
    durable.make_folder(layout.archive)
    kept = {
        "version": 1,
        "older_than_seconds": None if retention.older_than is None else retention.older_than.total_seconds(),
        "max_bytes": retention.max_bytes,
    }
    durable.replace_content(layout.retention, (json.dumps(kept, indent=1) + "\n").encode())


def get_retention(directory: str | os.PathLike[str]) -> Retention:
    """Return the settings by which every archive step prunes. Raises ArchiveError when they cannot be understood."""
    path = Layout(directory).retention
    try:
        kept = json.loads(path.read_bytes())
        seconds = kept["older_than_seconds"]
        return Retention(None if seconds is None else timedelta(seconds=seconds), kept["max_bytes"])
    except FileNotFoundError:
        return Retention()
    except (ValueError, KeyError, TypeError) as error:
        raise ArchiveError(
            f"{str(path)!r} is damaged ({error!r}): set the retention anew, or remove the file"
        ) from error


def _report(parts: Sequence[Part], doomed: Sequence[Part], *, dry_run: bool = False) -> PruneReport:
    freed = sum(part.bytes for part in doomed)
    return PruneReport(
        files=len(doomed),
        rows=sum(part.rows for part in doomed),
        bytes=freed,
        first=min((part.first for part in doomed if part.first), default=None),
        last=max((part.last for part in doomed if part.last), default=None),
        left_bytes=sum(part.bytes for part in parts) - freed,
        dry_run=dry_run,
    )
