"""The limits of DuckDB's connections, as DuckDB heeds them."""

import duckdb
import pytest

from auditmw.archive.sql import connect

MEBIBYTE = 1024 * 1024
SORTED = """SELECT count(*) FROM (
    SELECT * FROM (SELECT repeat(md5(range::VARCHAR), 4) AS text FROM range({rows})) ORDER BY text OFFSET 1)"""


@pytest.fixture
def connection(tmp_path):
    with connect(tmp_path, memory_bytes=8 * MEBIBYTE, threads=1, reads=()) as connection:
        yield connection


def spilled(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_what_does_not_fit_into_the_memory_is_spilled(connection):
    assert connection.execute(SORTED.format(rows=200_000)).fetchall() == [(199_999,)]


def test_temporary_files_are_bounded(connection, tmp_path):
    with pytest.raises(duckdb.OutOfMemoryException, match="max_temp_directory_size"):
        connection.execute(SORTED.format(rows=1_500_000))
    assert spilled(tmp_path) <= 64 * MEBIBYTE


def test_a_file_outside_of_what_it_reads_is_not_opened(connection):
    with pytest.raises(duckdb.PermissionException):
        connection.execute("SELECT * FROM read_text('/etc/hostname')")
