"""A manifest from the Parquet files alone, when it was lost.

Which lines are archived is read from the parts' rows. A journal file that is still there may be archived only in part,
if its leader was cut off; so it is no source, and archived again, without the lines that are in the parts already.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime

import duckdb

from auditmw.archive.layout import ARCHIVE, Layout, number_of
from auditmw.archive.manifest import Damaged, Manifest, Part, Sources
from auditmw.archive.parts import Found, find
from auditmw.archive.ranges import Ranges
from auditmw.archive.seen import Seen
from auditmw.archive.sql import parquet
from auditmw.journal import journal_files, writer_of

_AT_ONCE = 100_000


def rebuilt(layout: Layout, connection: duckdb.DuckDBPyConnection, now: datetime) -> Manifest:
    """Return the manifest that the Parquet files under DIR/archive make. Changes nothing."""
    found: list[Found] = []
    broken: list[Damaged] = []
    for file in layout.parts():
        try:
            found.append(find(connection, layout, file, now))
        except (duckdb.Error, ValueError, KeyError, TypeError, AttributeError) as error:
            nothing = Part(file, 0, 0, "", None, None, now)  # what was in it, only the lost manifest knew
            broken.append(Damaged(nothing, f"is no sound Parquet file: {error}"))
    replaced = {file for each in found for file in each.replaces}
    present: dict[str, set[int]] = {}
    for journal in journal_files(layout.directory):
        present.setdefault(writer_of(journal), set()).add(number_of(journal) or 0)
    parts = [
        dataclasses.replace(each.part, sources=_without(each.part.sources, present))
        for each in found
        if each.part.file not in replaced
    ]
    parts.sort(key=lambda part: (part.first or datetime.min, part.file))
    retired = {f"{ARCHIVE}/{each.part.file}": now for each in found if each.part.file in replaced}
    seqs = _archived_seqs(layout, connection, parts, list(present))
    return Manifest(parts=tuple(parts), seqs=seqs, retired=retired, damaged=tuple(broken))


def _without(sources: Sources, present: dict[str, set[int]]) -> dict[str, Ranges]:
    """Return those journal files that are gone."""
    gone = {
        writer: Ranges((number, number) for number in numbers if number not in present.get(writer, ()))
        for writer, numbers in sources.items()
    }
    return {writer: numbers for writer, numbers in gone.items() if numbers}


def _archived_seqs(
    layout: Layout, connection: duckdb.DuckDBPyConnection, parts: Sequence[Part], writers: list[str]
) -> dict[str, Ranges]:
    if not parts or not writers:
        return {}
    seen: dict[str, Seen] = {}
    rows = connection.execute(
        f"SELECT writer, seq FROM {parquet(layout.archive / part.file for part in parts)} "
        "WHERE list_contains($writers, writer) ORDER BY writer, seq",
        {"writers": writers},
    )
    while some := rows.fetchmany(_AT_ONCE):
        for writer, seq in some:
            seen.setdefault(writer, Seen()).add(seq)
    return {writer: numbers.added for writer, numbers in seen.items()}
