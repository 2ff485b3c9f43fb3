"""Verified journal lines into a DuckDB table with the columns of the archive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb

from auditmw.archive.error import ArchiveError
from auditmw.archive.intake import SEPARATOR, Piece
from auditmw.archive.projection import rows
from auditmw.archive.sql import exactly
from auditmw.journal import MAX_LINE_BYTES

# What follows a line's body: ,"seq":N,"crc":"xxxxxxxx"} with N of up to 19 digits; and the brace that goes before it.
_SEAL = r',"seq":([0-9]+),"crc":"[0-9a-f]{8}"\}$'
_SEAL_CHARACTERS, _SEAL_DIGITS = 25, 19

_FILES = f"""read_csv($files, delim = '{SEPARATOR.decode()}', quote = '', escape = '', comment = '', nullstr = '\x1e',
    header = false, auto_detect = false, new_line = '\\n', max_line_size = {2 * MAX_LINE_BYTES},
    filename = true, columns = {{'line': 'VARCHAR'}})"""
_LINES = f"""SELECT writer, number::BIGINT AS seq,
        left(line, length(line) - {_SEAL_CHARACTERS} - length(number)) || '}}' AS body
    FROM (SELECT filename, line,
            regexp_extract(right(line, {_SEAL_CHARACTERS + _SEAL_DIGITS}), '{_SEAL}', 1) AS number FROM {_FILES})
    JOIN (SELECT unnest($names::VARCHAR[]) AS filename, unnest($writers::VARCHAR[]) AS writer) USING (filename)"""
_ODD = """SELECT unnest($odd_writers::VARCHAR[]) AS writer, unnest($odd_seqs::BIGINT[]) AS seq,
        unnest($odd_bodies::VARCHAR[]) AS body"""


def load(
    connection: duckdb.DuckDBPyConnection, target: str, pieces: Sequence[Piece], *, packed: bool
) -> set[tuple[str, int]]:
    """Make the table `target` of the lines in `pieces`; return the writers and numbers of those that are no JSON.

    `packed` as in `projection.rows`. Raises duckdb.Error, and ArchiveError when a file is not any more as it was.
    """
    lines, parameters = _lines(pieces)
    malformed: set[tuple[str, int]] = set()
    try:
        connection.execute(f"CREATE OR REPLACE TABLE {target} AS {rows(lines, packed=packed)}", parameters)
    except (duckdb.ConversionException, duckdb.InvalidInputException):
        connection.execute(f"CREATE OR REPLACE TABLE raw_{target} AS SELECT * FROM {lines}", parameters)
        wrong = connection.execute(f"SELECT writer, seq FROM raw_{target} WHERE NOT json_valid(body)").fetchall()
        malformed = {(writer, seq) for writer, seq in wrong}
        if not malformed:
            raise
        right = f"(SELECT * FROM raw_{target} WHERE json_valid(body))"
        connection.execute(f"CREATE OR REPLACE TABLE {target} AS {rows(right, packed=packed)}")
        connection.execute(f"DROP TABLE raw_{target}")
    expected = sum(len(piece.seqs) for piece in pieces) - len(malformed)
    if (count := connection.table(target).count("*").fetchall()[0][0]) != expected:
        files = ", ".join(repr(str(piece.source)) for piece in pieces)
        raise ArchiveError(f"expected {expected} lines, read {count}: did anybody change {files}?")
    return malformed


def _lines(pieces: Sequence[Piece]) -> tuple[str, dict[str, Any]]:
    """Return SQL of a relation (writer, seq, body) and its parameters."""
    files = [piece for piece in pieces if piece.path is not None]
    odd = [(piece.writer, seq, body.decode()) for piece in pieces for seq, body in piece.odd]
    relations: list[str] = []
    parameters: dict[str, Any] = {}
    if files:
        relations.append(_LINES)
        parameters["files"] = [exactly(piece.path or "") for piece in files]
        parameters["names"] = [str(piece.path) for piece in files]
        parameters["writers"] = [piece.writer for piece in files]
    if odd or not files:
        relations.append(_ODD)
        for at, name in enumerate(("odd_writers", "odd_seqs", "odd_bodies")):
            parameters[name] = [line[at] for line in odd]
    return f"({' UNION ALL '.join(relations)})", parameters
