"""What the archive says: is every file there and as it was written, and how much is in it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from auditmw.archive.error import ArchiveError
from auditmw.archive.layout import Layout
from auditmw.archive.manifest import Manifest, Part, load
from auditmw.archive.parts import what_is_wrong_with
from auditmw.cli.checks.finding import Finding, fail, ok

SHOWN_DAMAGE = 5
_RESTORE = "queries leave these events out and say so; put the files back from a backup, and they count again"


def check_archive(directory: Path) -> Iterator[Finding]:
    """Yield findings about the archive of `directory`; none where there is none. Every file is read and compared."""
    layout = Layout(directory)
    try:
        manifest = load(layout)
    except (ArchiveError, OSError) as error:
        yield fail("archive.manifest", str(error), "run `auditmw archive`, which makes it anew from the files")
        return
    if manifest is None:
        if layout.parts():
            seen = f"{layout.manifest} is lost"
            yield fail("archive.manifest", seen, "run `auditmw archive`, which makes it anew from the files")
        return
    yield _contents(manifest)
    yield _damage(layout, manifest)


def archived_events(directory: Path) -> int:
    """Return how many events are in the archive, as far as that can be read."""
    try:
        manifest = load(Layout(directory))
    except (ArchiveError, OSError):
        return 0
    return sum(part.rows for part in manifest.parts) if manifest else 0


def _contents(manifest: Manifest) -> Finding:
    events, size_bytes = sum(part.rows for part in manifest.parts), sum(part.bytes for part in manifest.parts)
    times = [moment for part in manifest.parts for moment in (part.first, part.last) if moment is not None]
    span = f", {_stamp(min(times))} to {_stamp(max(times))}" if times else ""
    files = len(manifest.parts)
    return ok("archive.events", f"{events} events in {files} files ({size_bytes / (1 << 20):.1f} MiB){span}")


def _stamp(moment: datetime) -> str:
    return f"{moment.isoformat(timespec='microseconds')}Z"


def _damage(layout: Layout, manifest: Manifest) -> Finding:
    found = [(damaged.part, damaged.reason) for damaged in manifest.damaged]
    found += [(part, reason) for part in manifest.parts if (reason := _wrong(layout, part))]
    if not found:
        return ok("archive.damage", "every file is there, and as it was written")
    places = "; ".join(f"{part.file} ({part.rows} events) {reason}" for part, reason in found[:SHOWN_DAMAGE])
    more = f"; and {len(found) - SHOWN_DAMAGE} more" if len(found) > SHOWN_DAMAGE else ""
    return fail("archive.damage", f"{len(found)} damaged files: {places}{more}", _RESTORE)


def _wrong(layout: Layout, part: Part) -> str | None:
    return what_is_wrong_with(layout, part)
