"""What all DuckDB connections of the archive share: their limits, and how file names stand in SQL."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path

import duckdb

_MOST_SPILLED = 8  # times the memory: more would take longer than anybody waits


def connect(temporary: Path, *, memory_bytes: int, threads: int, reads: Iterable[Path]) -> duckdb.DuckDBPyConnection:
    """Return a connection to an in-memory database that opens no file outside of `reads`.

    It spills to `temporary` at most eight times its memory; what needs more ends as what needs more memory does, with
    duckdb.OutOfMemoryException. By default DuckDB would take 90 % of what is free on the disk.
    """
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": threads,
        "memory_limit": f"{memory_bytes}B",
        "temp_directory": os.fspath(temporary),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    connection = duckdb.connect(config=config)
    # In `config` DuckDB 2.0.0 takes it, shows it, and does not heed it.
    connection.execute(f"SET GLOBAL max_temp_directory_size = '{_MOST_SPILLED * memory_bytes}B'")
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute("SET GLOBAL preserve_insertion_order = true")
    # Else an ASOF join of what is taken to be few rows compares each with each, and it is taken wrongly.
    connection.execute("SET GLOBAL asof_loop_join_threshold = 0")
    # A name is checked as it is given, and again when it was found.
    folders = [f"{name}/" for folder in (temporary, *reads) for name in (os.fspath(folder), exactly(folder))]
    connection.execute(f"SET allowed_directories = [{', '.join(map(quoted, folders))}]")
    connection.execute("SET enable_external_access = false")
    return quiet(connection)


def quiet(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Return the connection, or a cursor, which else may draw a progress bar; this is no global setting."""
    connection.execute("SET enable_progress_bar = false")
    return connection


def quoted(text: str | os.PathLike[str]) -> str:
    """Return an SQL string literal."""
    return "'" + os.fspath(text).replace("'", "''") + "'"


def exactly(file: str | os.PathLike[str]) -> str:
    """Return a file's name in a form that DuckDB does not take for a pattern."""
    return glob.escape(os.fspath(file))


def parquet(files: Iterable[str | os.PathLike[str]]) -> str:
    """Return SQL that reads Parquet files with just these names, which may look like patterns or hive partitions."""
    names = ", ".join(quoted(exactly(file)) for file in files)
    return f"read_parquet([{names}], hive_partitioning = false)"
