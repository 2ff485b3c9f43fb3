"""What the leader does to the archive's files and its manifest, in steps that may be cut off anywhere.

1. New parts are written and in their places before the manifest lists them; a superseded file is deleted after the
   manifest has listed it as retired for the grace time. So a cut-off step leaves files that the manifest does not list,
   and the next leader removes them, or files that it lists as retired, and the next leader deletes them.
2. What was imported or collected is known from the names of its journal files, for ever (journal/spans.py). So those
   that follow each other are told together once the files are gone: in the manifest, and in the parts that they are
   merged into.
3. The first manifest is stored before the first part is written: parts without a manifest mean that it was lost.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

import duckdb

from auditmw.archive import durable
from auditmw.archive import manifest as manifests
from auditmw.archive.layout import ARCHIVE, Layout
from auditmw.archive.manifest import Damaged, Manifest, Part, Sources, sources_of, united
from auditmw.archive.parts import Draft, publish, what_is_wrong_with
from auditmw.archive.ranges import Ranges
from auditmw.archive.rebuild import rebuilt
from auditmw.archive.sql import connect
from auditmw.journal import journal_files, writer_of
from auditmw.journal.cursor import held_files
from auditmw.journal.layout import JOURNAL
from auditmw.journal.spans import Chains, told_by

GRACE = timedelta(seconds=60)
"""For how long superseded files stay, for queries that began before."""

MEMORY_BYTES = 512 * 1024 * 1024
"""What an archive step may use of memory for DuckDB; the process takes about 100 MiB more."""

_ONLY = Ranges([(1, 1)])  # the one journal file of what is written whole
_MEMORY_BYTES_A_THREAD = 128 * 1024 * 1024
_THREADS = 2  # at most: others want to work, too


def utc_now() -> datetime:
    """Return the time, aware."""
    return datetime.now(UTC)


class Leader:
    """The archive of `layout`, in the hands of the process that holds its lock.

    `now`: the time, aware; it says how long a retired file has been that. `grace`: for how long it stays.
    `memory_bytes`: DuckDB's limit.
    """

    def __init__(
        self,
        layout: Layout,
        now: Callable[[], datetime] = utc_now,
        grace: timedelta = GRACE,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self.layout = layout
        self.manifest = Manifest()
        self.missing: list[Damaged] = []  # that this leader found
        self.deleted = 0
        self._now = now
        self._grace = grace
        self._memory_bytes = memory_bytes

    def now(self) -> datetime:
        """Return the time, UTC and naive."""
        return self._now().astimezone(UTC).replace(tzinfo=None)

    @cached_property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The leader's DuckDB, which spills to DIR/archive/temporary."""
        durable.make_folder(self.layout.temporary)
        memory, reads = self._memory_bytes, (self.layout.archive, self.layout.journal, self.layout.incoming)
        threads = max(1, min(memory // _MEMORY_BYTES_A_THREAD, _THREADS))
        return connect(self.layout.temporary, memory_bytes=memory, threads=threads, reads=reads)

    def close(self) -> None:
        """Let go of memory and temporary files."""
        if "connection" in self.__dict__:
            self.connection.close()
            del self.__dict__["connection"]
        with contextlib.suppress(OSError):
            durable.empty(self.layout.temporary)

    def begin(self) -> None:
        """Load the manifest, or rebuild it, and remove what a leader that was cut off left behind."""
        durable.empty(self.layout.temporary)
        durable.make_folder(self.layout.temporary)
        durable.remove(durable.unfinished(self.layout.manifest))
        try:
            found = manifests.load(self.layout)
        except manifests.DamagedManifestError:
            found = None
            self._aside(self.layout.manifest)
        if found is None:
            found = manifests.store(self.layout, self._rebuilt())
        else:  # it may be the work of a leader whose last sync failed
            durable.sync_file(self.layout.manifest)
            durable.sync_folder(self.layout.archive)
        self.manifest = found
        self._remove_strays()
        self.check(thorough=False)
        self.sweep()

    def store(self, **changes: object) -> None:
        """Make the changed manifest the one that counts. Raises OSError; then nothing has changed."""
        self.manifest = manifests.store(self.layout, self.manifest.changed(**changes))

    def commit(self, drafts: Sequence[Draft], *, seqs: Sources, journal: Iterable[Path]) -> None:
        """Add parts, of the lines `seqs`, and retire the journal files of which nothing is left to be archived."""
        publish(self.layout, drafts)
        named = united(draft.part.sources for draft in drafts)
        done = sources_of(file for file in journal if writer_of(file) not in named)
        self.store(
            parts=_in_order((*self.manifest.parts, *(draft.part for draft in drafts))),
            seqs=united((self.manifest.seqs, seqs)),
            besides=united((self.manifest.besides, done)),
            retired={**{f"{JOURNAL}/{file.name}": self.now() for file in journal}, **self.manifest.retired},
        )

    def supersede(self, old: Sequence[Part], drafts: Sequence[Draft] = ()) -> None:
        """Put parts in the place of others, whose files are retired."""
        publish(self.layout, drafts)
        names = {part.file for part in old}
        kept = [part for part in self.manifest.parts if part.file not in names]
        retired = {f"{ARCHIVE}/{part.file}": self.now() for part in old}
        self.store(
            parts=_in_order((*kept, *(draft.part for draft in drafts))), retired={**self.manifest.retired, **retired}
        )

    def check(self, files: Collection[str] | None = None, *, thorough: bool = True) -> list[Damaged]:
        """Set aside the parts that are not what the manifest says, and take back those that are again.

        `files`: only these parts. `thorough`: compare their content, not only the sizes. Return what was set aside.
        """
        asked = [part for part in self.manifest.parts if files is None or part.file in files]
        checked = ((part, what_is_wrong_with(self.layout, part, thorough=thorough)) for part in asked)
        wrong = [Damaged(part, reason) for part, reason in checked if reason is not None]
        healed = [old.part for old in self.manifest.damaged if what_is_wrong_with(self.layout, old.part) is None]
        if not wrong and not healed:
            return []
        for damaged in wrong:
            self._aside(self.layout.archive / damaged.part.file)
        gone = {damaged.part.file for damaged in wrong}
        sound = (part for part in self.manifest.parts if part.file not in gone)
        remaining = (old for old in self.manifest.damaged if old.part not in healed)
        self.store(parts=_in_order((*sound, *healed)), damaged=(*remaining, *wrong))
        self.missing += wrong
        return wrong

    def sweep(self) -> None:
        """Delete the files that were retired long enough ago, and forget what nobody needs to know any more."""
        held = {f"{JOURNAL}/{name}" for name in held_files(self.layout.directory)}  # that somebody has yet to ship
        retired = self.manifest.retired.items()
        due = [file for file, since in retired if since + self._grace <= self.now() and file not in held]
        for file in due:
            durable.remove(self.layout.directory / file)
        if not due:
            return
        with contextlib.suppress(FileNotFoundError):
            durable.sync_folder(self.layout.journal)  # what is forgotten below must not come back
        for folder in self.layout.days():
            with contextlib.suppress(OSError):  # not empty
                os.rmdir(folder)
        present = {writer_of(file) for file in journal_files(self.layout.directory)}
        besides = self.manifest.besides.items()
        kept = {w: numbers for w, numbers in besides if w in present or told_by(w)}
        chains = Chains(present | self.manifest.sources.keys())
        parts = self.manifest.parts
        self.store(
            parts=tuple(dataclasses.replace(part, sources=_told(part.sources, chains, present)) for part in parts),
            retired={file: since for file, since in retired if file not in due},
            seqs={writer: seqs for writer, seqs in self.manifest.seqs.items() if writer in present},
            besides=_told(kept, chains, present),
        )
        self.deleted += len(due)

    def _rebuilt(self) -> Manifest:
        if not self.layout.parts():
            return Manifest()
        found = rebuilt(self.layout, self.connection, self.now())
        for damaged in found.damaged:
            self._aside(self.layout.archive / damaged.part.file)
        self.missing += found.damaged
        return found

    def _remove_strays(self) -> None:
        """Remove parts that no manifest ever listed, or not any more."""
        known = {f"{ARCHIVE}/{part.file}" for part in self.manifest.parts}
        known |= {f"{ARCHIVE}/{damaged.part.file}" for damaged in self.manifest.damaged}
        known |= self.manifest.retired.keys()
        for file in self.layout.parts():
            if f"{ARCHIVE}/{file}" not in known:
                durable.remove(self.layout.archive / file)

    def _aside(self, file: Path) -> None:
        """Move a damaged file to DIR/quarantine, if it is there."""
        durable.make_folder(self.layout.quarantine)
        name = file.name if file.parent == self.layout.archive else f"{file.parent.name}-{file.name}"
        target = self.layout.quarantine / f"{name}.{os.urandom(4).hex()}.bad"
        with contextlib.suppress(FileNotFoundError):
            os.rename(file, target)
            durable.sync_folder(file.parent)


def _told(sources: Sources, chains: Chains, present: Collection[str]) -> Sources:
    """Return these journal files with those that follow each other told together, where they are gone."""
    names = chains.joined(writer for writer, numbers in sources.items() if writer not in present and numbers == _ONLY)
    return {names.get(writer, writer): numbers for writer, numbers in sources.items()} if names else sources


def _in_order(parts: Iterable[Part]) -> tuple[Part, ...]:
    return tuple(sorted(parts, key=lambda part: (part.first or datetime.min, part.file)))
