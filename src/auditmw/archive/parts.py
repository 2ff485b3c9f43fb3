"""Parts: the Parquet files of the archive, written whole and described by what is in them.

1. A file is written under DIR/archive/temporary, synced, and only then moved to its name.
2. It says itself which journal files it was archived with and which parts it replaces, so that a manifest that was lost
   can be rebuilt from the files alone.
3. Small row groups, because a reader that wants one event has to decompress the row group's dictionaries; and not
   smaller ones, because a query that reads all of them pays something for each, in every column. Of `packed` it
   decompresses the pages that it needs, where DuckDB can write more than one for a row group.
4. Every column but `packed` is dictionary-encoded, because DuckDB writes Bloom filters only for those, and they make a
   look-up of a trace, session, user, id or address skip nearly all row groups. Level 1 of zstd makes these files
   smaller than 3.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from auditmw.archive import durable
from auditmw.archive.layout import Layout, part_name
from auditmw.archive.manifest import Part, Sources, read_sources, written_sources
from auditmw.archive.projection import CLOSED, LATE, OPEN
from auditmw.archive.sql import exactly, parquet, quoted

ORDER = '"time" NULLS FIRST, writer, seq'
"""The order in which rows are sorted for a part; it is total. A part is in the order of `time` in any case."""

_ROW_GROUP = 16_384
_OPTIONS = (
    "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, STRING_DICTIONARY_PAGE_SIZE_LIMIT 4000000, "
    "BLOOM_FILTER_FALSE_POSITIVE_RATIO 0.01, USE_TMP_FILE false"
)
if int(duckdb.__version__.partition(".")[0]) >= 2:
    _OPTIONS += ", DATA_PAGE_SIZE_LIMIT 250000"  # bytes
_KEY = "auditmw"
_STATES = (OPEN, CLOSED, LATE)


class Draft(NamedTuple):
    """A part that is written and not yet in its place."""

    part: Part
    temporary: Path


class Found(NamedTuple):
    """A part that was found without a manifest, and the parts that it replaces."""

    part: Part
    replaces: tuple[str, ...]


def write(
    connection: duckdb.DuckDBPyConnection,
    rows: str,
    layout: Layout,
    day: str,
    *,
    now: datetime,
    sources: Sources,
    replaces: Iterable[str] = (),
    in_order: bool = False,
    row_group: int = _ROW_GROUP,
) -> Draft:
    """Write the rows of the relation `rows` as a part. Raises OSError, or duckdb.Error when there is no space.

    `in_order`: they come in the order of their times, so that no memory is needed to sort them. `row_group`: how many
    rows are in memory at a time then.
    """
    file = part_name(day, now)
    temporary = layout.temporary / Path(file).name
    said = json.dumps({"sources": written_sources(sources), "replaces": list(replaces)})
    order = "" if in_order else f"ORDER BY {ORDER}"
    rows_at_once = f"ROW_GROUP_SIZE {row_group}, DICTIONARY_SIZE_LIMIT {row_group}"
    connection.execute(
        f"COPY (SELECT * FROM {rows} {order}) TO {quoted(temporary)} "
        f"({_OPTIONS}, {rows_at_once}, KV_METADATA {{{_KEY}: {quoted(said)}}})"
    )
    return Draft(_described(connection, temporary, file, now, sources), temporary)


def publish(layout: Layout, drafts: Sequence[Draft]) -> None:
    """Move parts to their names, durably. Raises OSError."""
    folders = {layout.archive / draft.part.day for draft in drafts}
    for folder in folders:
        durable.make_folder(folder)
    for draft in drafts:
        durable.publish(draft.temporary, layout.archive / draft.part.file)
    for folder in folders:
        durable.sync_folder(folder)


def find(connection: duckdb.DuckDBPyConnection, layout: Layout, file: str, now: datetime) -> Found:
    """Return what a Parquet file says of itself. Raises duckdb.Error or ValueError when it is damaged or not ours."""
    path = layout.archive / file
    said = _said(connection, path)
    part = _described(connection, path, file, now, read_sources(said["sources"]))
    return Found(part, tuple(said["replaces"]))


def replaced_by(connection: duckdb.DuckDBPyConnection, layout: Layout, part: Part) -> list[str]:
    """Return the files that a merge of `part` replaces: it, and what it replaced itself and is not deleted yet."""
    before = _said(connection, layout.archive / part.file)["replaces"]
    return [part.file, *(file for file in before if (layout.archive / file).exists())]


def what_is_wrong_with(layout: Layout, part: Part, *, thorough: bool = True) -> str | None:
    """Return why a part is not what the manifest says, or None. `thorough`: compare content, not only the size."""
    path = layout.archive / part.file
    try:
        size = path.stat().st_size
        if size != part.bytes:
            return f"has {size} bytes instead of {part.bytes}"
        if thorough and _sha256(path) != part.sha256:
            return "has another content than was written (SHA-256)"
    except FileNotFoundError:
        return "is gone"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None


def _described(connection: duckdb.DuckDBPyConnection, path: Path, file: str, now: datetime, sources: Sources) -> Part:
    rows, first, last, *counts = connection.execute(
        f"""SELECT count(*), min("time"), max("time"), {", ".join(f"count(*) FILTER (state = '{s}')" for s in _STATES)}
        FROM {parquet([path])}"""
    ).fetchall()[0]
    states = {state: count for state, count in zip(_STATES, counts, strict=True) if count}
    return Part(file, rows, path.stat().st_size, _sha256(path), first, last, now, states, sources)


def _said(connection: duckdb.DuckDBPyConnection, path: Path) -> dict[str, Any]:
    found = connection.execute(
        "SELECT value FROM parquet_kv_metadata($file) WHERE key = $key", {"file": exactly(path), "key": _KEY}
    ).fetchone()
    if found is None:
        raise ValueError(f"{str(path)!r} is no part of an archive")
    said: dict[str, Any] = json.loads(found[0])
    return said


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
