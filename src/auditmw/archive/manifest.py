"""The manifest: which Parquet files are the archive, and which journal lines are in them.

1. DIR/archive/manifest.json is replaced in one piece. What it lists is complete and durable; a Parquet file that it
   does not list is nothing. So a reader that loads it has one state of the archive, and never waits.
2. A journal line, known by its writer and number, is in the archive or it is not: `seqs` says which are, for the
   writers that still have journal files. A journal file whose lines are all in the archive, or in quarantine, is a
   source.
3. Files that are superseded are retired: they stay for a grace time, for queries that began before, and are then
   deleted.
4. A Parquet file that is damaged or gone is kept in mind with all that is known of it, so that queries can say what is
   missing; when it is put back whole, it counts again.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from auditmw.archive import durable
from auditmw.archive.error import ArchiveError
from auditmw.archive.layout import Layout, number_of
from auditmw.archive.ranges import Ranges
from auditmw.journal.layout import writer_of

VERSION = 1

Sources = Mapping[str, Ranges]
"""Journal files: the numbers of each writer's."""


@dataclass(frozen=True)
class Part:
    """One Parquet file: where it is below DIR/archive, what is in it, and what it was made of. Times are UTC, naive.

    `first` and `last` are None in a file of events without a usable time. `states`: how many rows are in a state other
    than "final". `sources`: the journal files that it was archived with; lines of them may be in other parts, too.
    """

    file: str
    rows: int
    bytes: int
    sha256: str
    first: datetime | None
    last: datetime | None
    written: datetime
    states: Mapping[str, int] = field(default_factory=dict)
    sources: Sources = field(default_factory=dict)

    @property
    def day(self) -> str:
        """The folder: the UTC day of its events, or "unknown"."""
        return self.file.partition("/")[0]

    @property
    def newest(self) -> datetime:
        """How old its newest event is; for events without a time, when they were archived."""
        return self.last or self.written


@dataclass(frozen=True)
class Damaged:
    """A part that cannot be read, and why."""

    part: Part
    reason: str


@dataclass(frozen=True)
class Manifest:
    """One state of the archive.

    `besides`: journal files that are archived, and that no part names: their events are pruned by now, or none of their
    lines was new, or none was sound.
    """

    generation: int = 0
    parts: tuple[Part, ...] = ()
    seqs: Mapping[str, Ranges] = field(default_factory=dict)
    retired: Mapping[str, datetime] = field(default_factory=dict)
    besides: Sources = field(default_factory=dict)
    damaged: tuple[Damaged, ...] = ()

    @cached_property
    def sources(self) -> dict[str, Ranges]:
        """All journal files whose lines were archived."""
        known = (*self.parts, *(damaged.part for damaged in self.damaged))
        return united((*(part.sources for part in known), self.besides))

    def holds(self, file: Path) -> bool:
        """Return whether a journal file needs no more reading, because all its lines are archived or in quarantine."""
        number = number_of(file)
        in_source = number is not None and number in self.sources.get(writer_of(file), ())
        return in_source or f"{file.parent.name}/{file.name}" in self.retired

    def changed(self, **changes: Any) -> Manifest:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)


def united(sources: Iterable[Sources]) -> dict[str, Ranges]:
    """Return the union of several sets of journal files, or of lines."""
    pairs: dict[str, list[tuple[int, int]]] = {}
    for some in sources:
        for writer, ranges in some.items():
            pairs.setdefault(writer, []).extend(ranges.pairs)
    return {writer: Ranges(found) for writer, found in pairs.items()}


def sources_of(files: Iterable[Path]) -> dict[str, Ranges]:
    """Return the set of these journal files, of those whose names a journal writes."""
    return united({writer_of(file): Ranges([(number, number)])} for file in files if (number := number_of(file)))


def archived_writers(directory: str | os.PathLike[str]) -> frozenset[str]:
    """Return the writers of all journal files that the archive was made of, of pruned events too.

    Raises ArchiveError when the manifest is lost or damaged, or made by a later version.
    """
    layout = Layout(directory)
    manifest = load(layout)
    if manifest is None and layout.parts():
        raise DamagedManifestError(f"{str(layout.manifest)!r} is lost; archive once to have it rebuilt")
    return frozenset(manifest.sources if manifest else ())


def load(layout: Layout) -> Manifest | None:
    """Return the manifest, None where there is none. Raises ArchiveError when it is damaged or of a later version."""
    try:
        content = layout.manifest.read_bytes()
    except FileNotFoundError:
        return None
    try:
        found = json.loads(content)
        version = found["version"]
        if version == VERSION:
            return _read(found)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedManifestError(f"{str(layout.manifest)!r} is damaged: {error!r}") from error
    raise ArchiveError(f"{str(layout.manifest)!r} is of version {version!r}: made by a newer auditmw; use that one")


class DamagedManifestError(ArchiveError):
    """The manifest cannot be read; it can be rebuilt from the Parquet files."""


def store(layout: Layout, manifest: Manifest) -> Manifest:
    """Make this the manifest, durably, and return it with its generation. Raises OSError; then the old one stays."""
    manifest = manifest.changed(generation=manifest.generation + 1)
    durable.replace_content(layout.manifest, (json.dumps(_written(manifest), indent=1) + "\n").encode())
    return manifest


def stamp(layout: Layout) -> tuple[int, ...] | None:
    """Return what changes whenever the manifest does, at little cost; None where there is no manifest."""
    try:
        status = os.stat(layout.manifest)
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _written(manifest: Manifest) -> dict[str, Any]:
    return {
        "version": VERSION,
        "generation": manifest.generation,
        "parts": [_part(part) for part in manifest.parts],
        "seqs": written_sources(manifest.seqs),
        "retired": {file: _time(since) for file, since in manifest.retired.items()},
        "besides": written_sources(manifest.besides),
        "damaged": [{"reason": damaged.reason, "part": _part(damaged.part)} for damaged in manifest.damaged],
    }


def _read(found: dict[str, Any]) -> Manifest:
    return Manifest(
        generation=int(found["generation"]),
        parts=tuple(map(_to_part, found["parts"])),
        seqs=read_sources(found["seqs"]),
        retired={str(file): _to_time(since) for file, since in found["retired"].items()},
        besides=read_sources(found["besides"]),
        damaged=tuple(Damaged(_to_part(damaged["part"]), str(damaged["reason"])) for damaged in found["damaged"]),
    )


def _part(part: Part) -> dict[str, Any]:
    return {
        "file": part.file,
        "day": part.day,
        "rows": part.rows,
        "bytes": part.bytes,
        "sha256": part.sha256,
        "first": part.first and _time(part.first),
        "last": part.last and _time(part.last),
        "written": _time(part.written),
        "states": dict(part.states),
        "sources": written_sources(part.sources),
    }


def _to_part(found: dict[str, Any]) -> Part:
    return Part(
        file=str(found["file"]),
        rows=int(found["rows"]),
        bytes=int(found["bytes"]),
        sha256=str(found["sha256"]),
        first=found["first"] and _to_time(found["first"]),
        last=found["last"] and _to_time(found["last"]),
        written=_to_time(found["written"]),
        states={str(state): int(count) for state, count in found["states"].items()},
        sources=read_sources(found["sources"]),
    )


def written_sources(sources: Sources) -> dict[str, str]:
    """Return the set of journal files as JSON can carry it."""
    return {writer: str(numbers) for writer, numbers in sources.items()}


def read_sources(found: Mapping[str, str]) -> dict[str, Ranges]:
    """Return what `written_sources` wrote. Raises ValueError and the like for anything else."""
    return {str(writer): Ranges.parse(numbers) for writer, numbers in found.items()}


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds") + "Z"


def _to_time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=None)
