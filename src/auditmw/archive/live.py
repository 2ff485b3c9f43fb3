"""The journal lines that are not archived yet, in a DuckDB table, read as they come.

The table has the columns of the archive, with `body`, and `arrival`: with which update a line came. Each line is read
and parsed once, however often the table is brought up to date; when its file was archived, it leaves the table.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from auditmw.archive.intake import Piece, copied, tell_malformed
from auditmw.archive.loading import load
from auditmw.archive.manifest import Manifest, united
from auditmw.archive.projection import table
from auditmw.archive.ranges import Ranges
from auditmw.archive.versions import Versions
from auditmw.journal import FileReader, writer_of
from auditmw.journal.reader import OnDamage

_AT_ONCE_BYTES = 64 * 1024 * 1024


@dataclass
class _Followed:
    reader: FileReader
    seqs: Ranges = field(default_factory=Ranges)


class Live:
    """The table, kept by one thread at a time. `scratch`: a folder for copies of lines on their way into DuckDB.

    `name`: the table's, which changes; `arrival`: the highest in it.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, versions: Versions, scratch: Path, on_damage: OnDamage
    ) -> None:
        self.name = versions.name("live")
        self.arrival = 0
        self._connection = connection
        self._versions = versions
        self._scratch = scratch
        self._on_damage = on_damage
        self._files: dict[Path, _Followed] = {}
        self._copies = 0
        self._counts: dict[str, int] | None = None  # of the rows in each state, when they were counted
        connection.execute(table(self.name, packed=False))
        connection.execute(f"ALTER TABLE {self.name} ADD COLUMN arrival BIGINT")

    def update(self, manifest: Manifest, files: Sequence[Path]) -> None:
        """Read what is new in `files`, the journal files that are not archived; drop what is archived by now."""
        self._leave(manifest, files)
        self.arrival += 1
        waiting: list[Piece] = []
        for file in files:
            for piece in self._news(file, manifest):
                waiting.append(piece)
                if sum(each.bytes for each in waiting) >= _AT_ONCE_BYTES:
                    self._take(waiting)
                    waiting = []
        self._take(waiting)

    def count(self, state: str) -> int:
        """Return how many rows are in this state."""
        if self._counts is None:
            counts = self._connection.execute(f"SELECT state, count(*) FROM {self.name} GROUP BY state").fetchall()
            self._counts = dict(counts)
        return self._counts.get(state, 0)

    def _leave(self, manifest: Manifest, files: Sequence[Path]) -> None:
        gone = self._files.keys() - set(files)
        # A line that stands in two files was taken from the first; if that was removed by hand, read the other one.
        removed = {writer_of(file) for file in gone if not manifest.holds(file)}
        gone |= {file for file in self._files if writer_of(file) in removed}
        leaving = [(writer_of(file), pair) for file in gone for pair in self._files[file].seqs.pairs]
        for file in gone:
            del self._files[file]
        for file, followed in self._files.items():
            archived = manifest.seqs.get(writer_of(file), Ranges())
            leaving += [(writer_of(file), pair) for pair in archived.pairs if followed.seqs.overlaps(*pair)]
            followed.seqs = followed.seqs - archived
        if leaving:
            self._drop(leaving)

    def _drop(self, leaving: Iterable[tuple[str, tuple[int, int]]]) -> None:
        """Make the table anew: views still read the old one, and deleting rows does not free their space."""
        writers, pairs = zip(*leaving, strict=True)
        old, self.name = self.name, self._versions.name("live")
        self._connection.execute(
            f"""CREATE TABLE {self.name} AS SELECT t.* FROM {old} t
            ANTI JOIN (SELECT unnest($writers) AS writer, unnest($firsts) AS first, unnest($lasts) AS last) gone
            ON t.writer = gone.writer AND t.seq BETWEEN gone.first AND gone.last""",
            {"writers": writers, "firsts": [first for first, _ in pairs], "lasts": [last for _, last in pairs]},
        )
        self._versions.retire(old)
        self._counts = None

    def _news(self, file: Path, manifest: Manifest) -> Iterator[Piece]:
        followed = self._files.get(file)
        if followed is None:
            followed = self._files[file] = _Followed(FileReader(file, on_damage=self._on_damage))
        with contextlib.suppress(OSError):
            if os.stat(file).st_size == followed.reader.offset:
                return
        writer = writer_of(file)
        of_writer = (each.seqs for other, each in self._files.items() if writer_of(other) == writer)
        known = united([{writer: seqs} for seqs in of_writer] + [{writer: manifest.seqs.get(writer, Ranges())}])[writer]
        pieces = copied(followed.reader, known, self._new_copy, on_damage=self._on_damage, piece_bytes=_AT_ONCE_BYTES)
        for piece in pieces:
            followed.seqs |= piece.seqs
            if piece.seqs:
                yield piece

    def _take(self, pieces: Sequence[Piece]) -> None:
        if not pieces:
            return
        malformed = load(self._connection, "incoming", pieces, packed=False)
        tell_malformed(pieces, malformed, self._on_damage)
        self._connection.execute(f"INSERT INTO {self.name} SELECT *, $arrival FROM incoming", {"arrival": self.arrival})
        self._connection.execute("DROP TABLE incoming")
        self._counts = None
        for piece in pieces:
            piece.discard()

    def _new_copy(self) -> Path:
        self._copies += 1
        return self._scratch / f"{self._copies}.jsonl"
