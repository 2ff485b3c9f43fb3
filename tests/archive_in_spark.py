"""Apache Spark reads the archive's Parquet files where they are. An optional job, `tox -e spark`: it takes a minute."""

from __future__ import annotations

import os
import shutil

import pytest

from auditmw.archive.columns import NAMES
from auditmw.archive.packing import unpack
from lake_archive import EVENTS, make_lake

pytestmark = [
    pytest.mark.needs("pyspark"),
    pytest.mark.skipif(not shutil.which("java"), reason="java is not installed: apt-get install default-jre-headless"),
    # Of py4j's sockets and pyspark's own modules: nothing of ours.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"),
]

SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.sql.shuffle.partitions": "2",
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return make_lake(tmp_path_factory.mktemp("lake"))


@pytest.fixture(scope="module")
def spark():
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").appName("auditmw")
    for name, value in SETTINGS.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@pytest.fixture
def events(spark, lake):
    frame = spark.read.parquet(lake.files)
    frame.createOrReplaceTempView("events")
    return frame


def test_it_has_the_published_schema(events):
    types = dict(events.dtypes)
    assert list(types) == [*NAMES[:-1], "packed"]
    assert {types[name] for name in ("status", "seq", "dur", "size")} == {"bigint"}
    assert (types["time"], types["minute"], types["bot"]) == ("timestamp_ntz", "timestamp_ntz", "boolean")
    others = set(types) - {"status", "seq", "dur", "size", "time", "minute", "bot"}
    assert {types[name] for name in others} == {"string"}


def test_it_counts_what_was_written(spark, events, lake):
    assert events.count() == EVENTS
    select = "SELECT status, count(*) FROM events WHERE state IN ('final', 'late') GROUP BY status"
    assert dict(map(tuple, spark.sql(select).collect())) == lake.by_status


def test_the_exact_line_comes_back(spark, events, lake):
    body = unpack("packed", "spark")
    unsealed = f"SELECT seq, {body} AS body FROM events"
    heads = f"SELECT seq, concat(left(body, length(body) - 1), ',\"seq\":', seq) AS head FROM ({unsealed})"
    crc = "lower(lpad(hex(crc32(encode(head, 'UTF-8'))), 8, '0'))"
    rows = spark.sql(f"SELECT concat(head, ',\"crc\":\"', {crc}, '\"}}') FROM ({heads}) ORDER BY seq").collect()
    assert [line for (line,) in rows] == lake.lines


def test_what_has_no_column_is_found_in_the_json(spark, events):
    path = f"get_json_object({unpack('packed', 'spark')}, '$.url.path')"
    rows = spark.sql(f"SELECT count(*) FROM events WHERE {path} = path").collect()
    assert rows[0][0] == EVENTS
