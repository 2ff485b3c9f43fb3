"""Closed journal files into parts, batch by batch.

1. A batch is bounded, so memory is; a larger journal file goes in several, and is retired with the last.
2. A journal file is retired when all of its lines are archived or, damaged, in quarantine. One that cannot be read, or
   whose damage cannot be set aside whole, stays where it is; what is sound in it is archived.
3. Of a writer, files are taken in order, up to the first that is live.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import duckdb

from auditmw.archive.intake import Piece, copied, sound_file, tell_malformed
from auditmw.archive.layout import UNKNOWN_DAY, Layout, number_of
from auditmw.archive.leader import Leader
from auditmw.archive.loading import load
from auditmw.archive.manifest import Manifest, sources_of, united
from auditmw.archive.parts import Draft, write
from auditmw.archive.ranges import Ranges
from auditmw.archive.sql import quoted
from auditmw.archive.states import settle
from auditmw.journal import Damage, FileReader, is_live, journal_files, writer_of
from auditmw.journal.layout import JOURNAL
from auditmw.journal.reader import UNREADABLE, OnDamage, damage_handler

_TABLE = "batch"
_MAX_PIECES = 1_000
_LEAST_BATCH_BYTES = 4 * 1024 * 1024


class Progress(NamedTuple):
    """How far it is: journal files done, of how many, and the events archived so far."""

    files: int
    of_files: int
    rows: int


@dataclass
class Archived:
    """What was archived: journal files, events, bytes of events, parts; and what was not.

    `damaged`: stretches of bytes that are no event, now in quarantine. `kept`: journal files that cannot be retired.
    """

    files: int = 0
    rows: int = 0
    bytes: int = 0
    parts: int = 0
    damaged: int = 0
    kept: list[Path] = field(default_factory=list)


def closed_files(layout: Layout, manifest: Manifest) -> list[Path]:
    """Return the journal files that can be archived now and are not yet, by writer and number."""
    found: list[Path] = []
    for _, files in groupby(journal_files(layout.directory), writer_of):
        waiting = [file for file in files if number_of(file) is not None and not manifest.holds(file)]
        for file in waiting:
            # An only file that is empty may not be locked yet.
            if is_live(file) or (file == waiting[-1] and not _size(file)):
                break
            found.append(file)
    return found


class Archiving:
    """Archives what is closed. `batch_bytes`: how many bytes of events at a time, about."""

    def __init__(
        self,
        leader: Leader,
        *,
        batch_bytes: int,
        on_damage: OnDamage | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._leader = leader
        self._batch_bytes = batch_bytes
        self._aside = damage_handler(leader.layout.directory, self._note)
        self._tell_damage = on_damage
        self._tell_progress = on_progress or (lambda progress: None)
        self._unsafe: set[Path] = set()
        self._copies = 0
        self.done = Archived()

    def run(self) -> Archived:
        """Archive the files that are closed by now. Raises OSError, duckdb.Error, ArchiveError; what is done stays."""
        self._retire_copies()
        while True:
            files = closed_files(self._leader.layout, self._leader.manifest)
            files = [file for file in files if file not in self.done.kept]
            of_files = self.done.files + len(self.done.kept) + len(files)
            try:
                if files:
                    self._tell(of_files)
                for batch in self._batches(files):
                    self._archive(batch)
                    self._tell(of_files)
            except duckdb.OutOfMemoryException:
                if self._batch_bytes < _LEAST_BATCH_BYTES:
                    raise
                self._batch_bytes //= 4  # and go on from what is done
            else:
                return self.done

    def _tell(self, of_files: int) -> None:
        self._tell_progress(Progress(self.done.files + len(self.done.kept), of_files, self.done.rows))

    def _batches(self, files: Sequence[Path]) -> Iterator[list[Piece]]:
        batch: list[Piece] = []
        seqs = dict(self._leader.manifest.seqs)
        for file in files:
            writer = writer_of(file)
            for piece in self._pieces(file, seqs.get(writer, Ranges())):
                seqs = united((seqs, {writer: piece.seqs})) if piece.seqs else seqs
                batch.append(piece)
                if sum(each.bytes for each in batch) >= self._batch_bytes or len(batch) >= _MAX_PIECES:
                    yield batch
                    batch = []
        if batch:
            yield batch

    def _pieces(self, file: Path, known: Ranges) -> Iterator[Piece]:
        piece = sound_file(file, known) if _size(file) <= self._batch_bytes else None
        if piece is not None:
            return iter((piece,))
        reader = FileReader(file, on_damage=self._aside)
        return copied(reader, known, self._new_copy, on_damage=self._aside, piece_bytes=self._batch_bytes)

    def _archive(self, batch: list[Piece]) -> None:
        leader, seqs = self._leader, united({piece.writer: piece.seqs} for piece in batch)
        new = [piece for piece in batch if piece.seqs]
        malformed = load(leader.connection, _TABLE, new, packed=True) if new else set()
        if malformed:
            tell_malformed(new, malformed, self._aside)
            wrong = united({writer: Ranges([(seq, seq)])} for writer, seq in malformed)
            seqs = {writer: numbers - wrong.get(writer, Ranges()) for writer, numbers in seqs.items()}
        finished = [piece.source for piece in batch if piece.last and piece.source not in self._unsafe]
        drafts = self._drafts(finished) if new else []
        leader.commit(drafts, seqs={writer: numbers for writer, numbers in seqs.items() if numbers}, journal=finished)
        for piece in batch:
            piece.discard()
        self.done.files += len(finished)
        self.done.kept += [piece.source for piece in batch if piece.last and piece.source in self._unsafe]
        self.done.rows += sum(draft.part.rows for draft in drafts)
        self.done.bytes += sum(piece.bytes for piece in batch)
        self.done.parts += len(drafts)

    def _drafts(self, finished: Sequence[Path]) -> list[Draft]:
        """Write the parts of the batch, one for each day."""
        leader = self._leader
        settle(leader.connection, leader.layout, _TABLE, leader.manifest)
        sources = sources_of(finished)
        drafts = [
            write(leader.connection, rows, leader.layout, day, now=leader.now(), sources=sources)
            for day, rows in by_day(leader.connection, _TABLE)
        ]
        leader.connection.execute(f"DROP TABLE {_TABLE}")
        return drafts

    def _retire_copies(self) -> None:
        """Retire journal files that were archived before and are there again, such as from a backup."""
        leader = self._leader
        again = [
            f"{JOURNAL}/{file.name}"
            for file in journal_files(leader.layout.directory)
            if leader.manifest.holds(file) and f"{JOURNAL}/{file.name}" not in leader.manifest.retired
        ]
        if again:
            leader.store(retired={**leader.manifest.retired, **dict.fromkeys(again, leader.now())})

    def _new_copy(self) -> Path:
        self._copies += 1
        return self._leader.layout.temporary / f"{self._copies}.jsonl"

    def _note(self, damage: Damage) -> None:
        """Count damage, and keep the journal file when it has no whole copy in quarantine."""
        copy = damage.quarantined
        if damage.reason.startswith(UNREADABLE) or copy is None or _size(copy) < damage.length:
            self._unsafe.add(damage.file)
        self.done.damaged += 1
        if self._tell_damage is not None:
            self._tell_damage(damage)


def by_day(connection: duckdb.DuckDBPyConnection, table: str) -> list[tuple[str, str]]:
    """Return the days of the rows in a table, as folders are called, and SQL of the rows of each."""
    days = connection.execute(f'SELECT DISTINCT "time"::DATE::VARCHAR FROM {table} ORDER BY 1').fetchall()
    if len(days) == 1:
        return [(days[0][0] or UNKNOWN_DAY, table)]
    conditions = [
        (day or UNKNOWN_DAY, '"time" IS NULL' if day is None else f'"time"::DATE = {quoted(day)}::DATE')
        for (day,) in days
    ]
    return [(day, f"(SELECT * FROM {table} WHERE {condition})") for day, condition in conditions]


def _size(file: Path) -> int:
    try:
        return os.stat(file).st_size
    except OSError:
        return 0
