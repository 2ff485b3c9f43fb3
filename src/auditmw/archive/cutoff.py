"""Requests whose process died before their final event: what queries see of them.

The table has the columns of the archive, with `body`. It holds, as `journal.intents.cut_off` puts it, each
pending event, archived or live, that has no final one and never will have.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import duckdb

from auditmw.archive.columns import NAMES
from auditmw.archive.layout import Layout
from auditmw.archive.manifest import Manifest, Part
from auditmw.archive.packing import unpack
from auditmw.archive.projection import FINAL, LATE, OPEN, table
from auditmw.archive.sql import parquet
from auditmw.archive.states import VISIBLE
from auditmw.archive.versions import Versions
from auditmw.journal.intents import cut_off
from auditmw.parsing import parse_event

_COLUMNS = ", ".join(f'"{name}"' for name in NAMES)


class CutOff:
    """The table, kept by one thread at a time. `name`: the table's, which changes."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, versions: Versions, layout: Layout) -> None:
        self.name = versions.name("cut_off")
        self._connection = connection
        self._versions = versions
        self._layout = layout
        self._read: set[str] = set()  # parts whose intents are in the tables `waiting` and `settled`
        self._shown: set[tuple[str, int]] = set()
        connection.execute(table("waiting", packed=False))
        connection.execute("ALTER TABLE waiting ADD COLUMN part VARCHAR")
        connection.execute("CREATE TABLE settled (part VARCHAR, writer VARCHAR, id VARCHAR)")
        connection.execute(table(self.name, packed=False))

    def __len__(self) -> int:
        return len(self._shown)

    def update(self, manifest: Manifest, live: str, is_dead: Callable[[str], bool]) -> None:
        """Bring the table up to date with the manifest and the table `live`.

        `is_dead`: whether a writer will write no more.
        """
        self._read_parts(manifest)
        unanswered = f"""SELECT writer, seq, id FROM (
                SELECT writer, seq, id FROM waiting UNION ALL SELECT writer, seq, id FROM {live} WHERE state = '{OPEN}')
            WHERE (writer, id) NOT IN (SELECT (writer, id) FROM settled WHERE id IS NOT NULL)
            AND (writer, id) NOT IN (SELECT (writer, id) FROM {live} WHERE state = '{FINAL}' AND id IS NOT NULL)"""
        found = [row for row in self._connection.execute(unanswered).fetchall() if is_dead(row[0])]
        found = self._without_overtaken(found, manifest)
        shown = {(writer, seq) for writer, seq, _ in found}
        if shown != self._shown:
            self._show(shown, live)
            self._shown = shown

    def _read_parts(self, manifest: Manifest) -> None:
        """Read the intents of parts that are new, and forget those of parts that are no more."""
        parts = {part.file: part for part in manifest.parts if part.states.get(OPEN) or part.states.get(LATE)}
        for file in self._read - parts.keys():
            for name in ("waiting", "settled"):
                self._connection.execute(f"DELETE FROM {name} WHERE part = $part", {"part": file})
        for file in parts.keys() - self._read:
            path = parquet([self._layout.archive / file])
            columns = ", ".join(f'"{name}"' for name in NAMES[:-1])
            self._connection.execute(
                f"""INSERT INTO waiting SELECT {columns}, {unpack("packed")} AS body, $part
                FROM {path} WHERE state = '{OPEN}'""",
                {"part": file},
            )
            self._connection.execute(
                f"INSERT INTO settled SELECT $part, writer, id FROM {path} WHERE state = '{LATE}'", {"part": file}
            )
        self._read = set(parts)

    def _without_overtaken(
        self, found: Sequence[tuple[str, int, str]], manifest: Manifest
    ) -> list[tuple[str, int, str]]:
        """Leave out those whose final event was archived before them, because their file could not be read then."""
        behind = [
            id_ for writer, seq, id_ in found if writer in manifest.seqs and seq < manifest.seqs[writer].pairs[-1][1]
        ]
        if not behind or not manifest.parts:
            return list(found)
        finals = self._connection.execute(
            f"SELECT writer, id FROM {_read(self._layout, manifest.parts)} WHERE {VISIBLE} AND list_contains($ids, id)",
            {"ids": behind},
        ).fetchall()
        return [row for row in found if (row[0], row[2]) not in finals]

    def _show(self, shown: set[tuple[str, int]], live: str) -> None:
        """Make the table of these lines, given by writer and number."""
        self._versions.retire(self.name)
        self.name = self._versions.name("cut_off")
        self._connection.execute(table(self.name, packed=False))
        if not shown:
            return
        writers, seqs = zip(*shown, strict=True)
        wanted = "(SELECT unnest($writers) AS writer, unnest($seqs) AS seq)"
        self._connection.execute(
            f"""INSERT INTO {self.name} SELECT {_COLUMNS} FROM (
                SELECT {_COLUMNS} FROM waiting UNION ALL SELECT {_COLUMNS} FROM {live} WHERE state = '{OPEN}')
            SEMI JOIN {wanted} USING (writer, seq)""",
            {"writers": writers, "seqs": seqs},
        )
        for writer, seq, body in self._connection.execute(f"SELECT writer, seq, body FROM {self.name}").fetchall():
            event = cut_off(parse_event(body.encode()))
            told = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
            self._connection.execute(
                f"""UPDATE {self.name}
                SET state = '{FINAL}', level = $level, result = $result, reason = $reason, body = $body
                WHERE writer = $writer AND seq = $seq""",
                {"level": event["level"], "writer": writer, "seq": seq, "body": told, **event["outcome"]},
            )


def _read(layout: Layout, parts: Sequence[Part]) -> str:
    return parquet(layout.archive / part.file for part in parts)
