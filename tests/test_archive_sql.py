"""The limits of DuckDB's connections, as DuckDB heeds them."""

import duckdb
import pytest

from auditmw.archive import sql

MEBIBYTE = 1024 * 1024
FILLED = "CREATE TEMP TABLE filled AS SELECT repeat(md5(range::VARCHAR), 4) AS text FROM range({rows})"


@pytest.fixture
def connection(tmp_path, monkeypatch):
    monkeypatch.setattr(sql, "_MOST_SPILLED", 2)
    with sql.connect(tmp_path, memory_bytes=16 * MEBIBYTE, threads=1, reads=()) as connection:
        yield connection


def spilled(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_what_does_not_fit_into_the_memory_is_spilled(connection, tmp_path):
    connection.execute(FILLED.format(rows=150_000))
    assert spilled(tmp_path) > 0
    assert connection.execute("SELECT count(DISTINCT text[:3]) FROM filled").fetchall() == [(4096,)]


def test_temporary_files_are_bounded(connection, tmp_path):
    with pytest.raises(duckdb.OutOfMemoryException, match="max_temp_directory_size"):
        connection.execute(FILLED.format(rows=1_500_000))
    assert spilled(tmp_path) <= 33 * MEBIBYTE


def test_a_file_outside_of_what_it_reads_is_not_opened(connection):
    with pytest.raises(duckdb.PermissionException):
        connection.execute("SELECT * FROM read_text('/etc/hostname')")


def test_an_asof_join_does_not_compare_each_with_each_however_few_rows_are_expected(connection):
    connection.execute("CREATE TEMP TABLE visits AS SELECT range % 2 AS visitor, range AS mark FROM range(10)")
    joined = "SELECT * FROM visits AS here ASOF JOIN visits AS before ON here.visitor = before.visitor"
    ((_, plan),) = connection.execute(f"EXPLAIN {joined} AND here.mark > before.mark").fetchall()
    assert "asof" in plan.lower()
    assert "nested" not in plan.lower()
