"""Other engines read the archive's Parquet files where they are: ClickHouse here, Spark in archive_in_spark.py."""

from __future__ import annotations

import json

import duckdb
import pytest

from auditmw.archive.columns import NAMES
from auditmw.archive.packing import DIALECTS, unpack
from chdb_server import ModernServer
from lake_archive import EVENTS, make_lake


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return make_lake(tmp_path_factory.mktemp("lake"))


@pytest.mark.needs("chdb")
class TestClickHouse:
    @pytest.fixture
    def ask(self, lake):
        server = ModernServer()
        return lambda select: server.rows(select.format(files=f"file('{lake.files}', Parquet)"))

    def test_it_counts_what_was_written(self, ask, lake):
        assert ask("SELECT count() FROM {files}") == [[EVENTS]]
        rows = ask("SELECT status, count() FROM {files} WHERE state IN ('final', 'late') GROUP BY status")
        assert {status if status is None else int(status): int(count) for status, count in rows} == lake.by_status

    def test_columns_have_the_types_that_are_documented(self, ask):
        rows = ask("DESCRIBE {files}")
        types = {name: kind.removeprefix("Nullable(").removesuffix(")") for name, kind, *_ in rows}
        assert list(types) == [*NAMES[:-1], "packed"]
        assert types["time"].startswith("DateTime64(6")
        assert (types["path"], types["bot"]) == ("String", "Bool")
        assert {types[name] for name in ("status", "seq", "dur", "size")} == {"Int64"}

    def test_the_exact_line_comes_back(self, ask, lake):
        body = unpack("packed", "clickhouse")
        head = f"concat(substring({body}, 1, length({body}) - 1), ',\"seq\":', toString(seq))"
        crc = f"leftPad(lower(hex(CRC32({head}))), 8, '0')"
        rows = ask(f"SELECT concat({head}, ',\"crc\":\"', {crc}, '\"}}}}') FROM {{files}} ORDER BY writer, seq")
        assert [line for (line,) in rows] == lake.lines


def test_duckdb_gives_the_json_back(lake):
    rows = duckdb.sql(f"SELECT {unpack('packed')} FROM '{lake.files}' ORDER BY seq").fetchall()
    assert [json.loads(body) for (body,) in rows] == [_without_seal(line) for line in lake.lines]


def test_every_dialect_puts_back_every_value():
    for name in DIALECTS:
        expression = unpack("packed", name)
        assert expression.count("coalesce") == 11
        assert expression.count("packed") == 1


def _without_seal(line):
    event = json.loads(line)
    del event["seq"], event["crc"]
    return event
