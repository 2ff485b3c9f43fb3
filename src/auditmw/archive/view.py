"""One consistent cut of an audit directory, for the queries of one question."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import duckdb

from auditmw.archive import manifest as manifests
from auditmw.archive.columns import NAMES
from auditmw.archive.error import ArchiveError, ExpiredError
from auditmw.archive.layout import Layout
from auditmw.archive.leader import Leader
from auditmw.archive.lock import leadership
from auditmw.archive.manifest import Damaged, Manifest
from auditmw.archive.parts import what_is_wrong_with
from auditmw.archive.relation import Bounds, relation
from auditmw.archive.versions import Pinned


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

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, aside: Aside, manifest: Manifest, pinned: Pinned, live: int
    ) -> None:
        self.connection = connection
        self.live = live
        self._aside = aside
        self._layout = aside.layout
        self._pinned = pinned
        manifest = aside.applied(manifest)
        self._parts = {str(self._layout.archive / part.file): part for part in manifest.parts}
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
        columns: Collection[str] = NAMES,
    ) -> str:
        """Return SQL that stands where a table does, in parentheses: the events with since <= time < until.

        Times are aware, or naive and in UTC. `parts`: of these files only, and `live`: whether with the events that are
        in none; so that a query can go slice by slice, and each event is in exactly one slice. Only files that overlap
        the range are opened, newest first. Events without a usable time are in it when neither bound is given.
        `columns`: at least one; the fewer, the sooner a statement is planned. The text has no parameters of its own.
        """
        asked = self.parts if parts is None else [file for file in parts if file.path in self._parts]
        return relation(
            [(file.path, self._parts[file.path]) for file in asked],
            Bounds.of(since, until),
            self._pinned.tables,
            live=live and self.live > 0,
            columns=columns,
        )

    def check(self, parts: Iterable[PartFile] | None = None) -> list[Missing]:
        """Read these files (all, if None) whole and compare checksums: to be called after a query raised duckdb.Error.

        What is damaged is set aside in DIR/quarantine where that is possible, is in `missing` and in no relation of
        this view from now on, and is returned; an empty list means that the files are sound and the error is another.
        Raises ExpiredError when a file was superseded and is gone.
        """
        asked = [file for file in (self.parts if parts is None else parts) if file.path in self._parts]
        checked = ((self._parts[file.path], self._wrong(file)) for file in asked)
        found = [Damaged(part, reason) for part, reason in checked if reason is not None]
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
        self.connection.close()
        self._pinned.release()

    def __enter__(self) -> View:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _missing(damaged: Damaged) -> Missing:
    part = damaged.part
    return Missing(part.file, part.rows, part.first, part.last, damaged.reason)


class Aside:
    """What readers found damaged and could not set aside, because they may not write or another process leads."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._known: dict[str, Damaged] = {}

    def put(self, found: Iterable[Damaged]) -> None:
        """Set parts aside, if possible; else remember them."""
        files = {damaged.part.file: damaged for damaged in found}
        self._known.update(files)
        with suppress(OSError, ArchiveError), leadership(self.layout) as leading:
            if leading:
                self._put(files)

    def _put(self, files: Collection[str]) -> None:
        leader = Leader(self.layout)
        try:
            leader.begin()
            leader.check(files)
        finally:
            leader.close()
        for damaged in leader.manifest.damaged:
            self._known.pop(damaged.part.file, None)

    def applied(self, manifest: Manifest) -> Manifest:
        """Return the manifest with what is remembered among the damaged."""
        bad = tuple(self._known[part.file] for part in manifest.parts if part.file in self._known)
        if not bad:
            return manifest
        good = tuple(part for part in manifest.parts if part.file not in self._known)
        return manifest.changed(parts=good, damaged=(*manifest.damaged, *bad))
