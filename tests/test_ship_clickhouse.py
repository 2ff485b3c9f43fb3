"""`clickhouse://` against real servers: one, a cluster of two shards, and a modern one; and what can go wrong."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
import threading
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import chdb_server
from auditmw.cli.program import program
from auditmw.ship.address import AddressError
from auditmw.ship.batch import Batch, Entry
from auditmw.ship.target import Accepted, Mention, RejectedError, RetryableError, Target, TooLargeError, UnusableError
from auditmw.ship.targets import target_for
from auditmw.ship.targets.clickhouse.rows import row
from auditmw.ship.targets.clickhouse.schema import VERSION, prepare, statements
from auditmw.ship.targets.clickhouse.schema import Place as Tables
from auditmw.ship.targets.clickhouse.target import ClickHouseTarget
from chdb_server import ModernServer
from clickhouse_server import CLUSTER, PASSWORD, ClickHouse, clickhouse
from servers import HOST, free_ports
from ship_conformance import Place, ShipConformance, body, ident, idents, write_events

needs_server = pytest.mark.needs("clickhouse-server")
needs_chdb = pytest.mark.needs("chdb")

numbers = itertools.count(1)
REFUSE = "ADD COLUMN refused UInt8 MATERIALIZED throwIf(ifNull(event, '') = 'poison')"


@pytest.fixture(scope="module")
def shards():
    with clickhouse(2) as servers:
        yield servers


@pytest.fixture
def server(shards):
    return shards[0]


class ClickHousePlace(Place):
    """A table of its own, asked with FINAL, which takes no event that is called `poison`."""

    once = True
    poison = body(999, event="poison")

    def __init__(self, server: ClickHouse) -> None:
        self.server = server
        self.table = f"events_{next(numbers)}"
        self.targets: list[Target] = []

    @property
    def url(self) -> str:
        return self.server.url(table=self.table, pause="0.001")

    def target(self) -> Target:
        self.targets.append(target_for(self.url))
        return self.targets[-1]

    def close(self) -> None:
        for target in self.targets:
            target.close()

    def rows(self):
        select = f"SELECT id, body FROM {self.table} FINAL ORDER BY time, microsecond, writer, seq"
        return [(ident, body.encode("utf-8", "surrogatepass")) for ident, body in self.server.rows(select)]

    def down(self):
        self.server.kill()

    def up(self):
        self.server.start()


class ClusterPlace(ClickHousePlace):
    """A table over two shards, asked on the first; the other one goes down."""

    def __init__(self, shards: list[ClickHouse]) -> None:
        super().__init__(shards[0])
        self.shards = shards

    @property
    def url(self) -> str:
        hosts = ",".join(f"{HOST}:{shard.port}" for shard in self.shards)
        return f"clickhouse://{hosts}/?table={self.table}&cluster={CLUSTER}&pause=0.001"

    def down(self):
        self.shards[1].kill()

    def up(self):
        self.shards[1].start()


class ModernPlace(Place):
    """The same table in a modern ClickHouse."""

    once = True
    can_be_down = False
    poison = body(999, event="poison")

    def __init__(self) -> None:
        self.tables = Tables(f"events_{next(numbers)}", "")
        self.server = ModernServer()

    def target(self) -> Target:
        return ClickHouseTarget([self.server], self.tables, 0.001)

    def rows(self):
        rows = self.server.execute(f"SELECT id, hex(body) FROM {self.tables.table} FINAL ORDER BY time, writer, seq")
        return [(ident, bytes.fromhex(body)) for ident, body in json.loads(rows)["data"]]


@pytest.fixture
def place(server):
    place = ClickHousePlace(server)
    yield place
    place.close()


@pytest.fixture
def cluster(shards):
    place = ClusterPlace(shards)
    yield place
    place.close()


@needs_server
class TestOneServer(ShipConformance):
    @pytest.fixture
    def place(self, place):
        ship(place)
        place.server.query(f"ALTER TABLE {place.table} {REFUSE}")
        return emptied(place, [place.server], place.table)


@needs_server
class TestCluster(ShipConformance):
    @pytest.fixture
    def place(self, cluster):
        ship(cluster)
        for shard in cluster.shards:
            shard.query(f"ALTER TABLE {cluster.table}_local {REFUSE}")
        return emptied(cluster, cluster.shards, f"{cluster.table}_local")


@needs_chdb
class TestModernServer(ShipConformance):
    @pytest.fixture
    def place(self):
        place = ModernPlace()
        prepare(place.server, place.tables)
        place.server.execute(f"ALTER TABLE {place.tables.table} {REFUSE}")
        return place


def entry(number: int, **fields: Any) -> Entry:
    each = body(number, **fields)
    bare = Entry("writer", number, ident(number), each, each)
    return bare._replace(record=row(bare, bare.event, whole_seconds=number % 2 == 0))


def batch(first: int, last: int) -> Batch:
    return Batch([entry(number) for number in range(first, last + 1)])


def ship(place: Place) -> None:
    """One event, so that the tables are there."""
    target = place.target()
    target.send(batch(1, 1))
    target.close()


def emptied(place, servers, table):
    for server in servers:
        server.query(f"ALTER TABLE {table} DROP PARTITION 202611")
    assert place.rows() == []
    return place


# Distribution.


@needs_server
def test_events_are_spread_over_the_shards_and_each_shard_answers_for_all(cluster):
    cluster.target().send(batch(1, 2000))
    first, second = cluster.shards
    counts = [int(shard.rows(f"SELECT count() FROM {cluster.table}_local")[0][0]) for shard in (first, second)]
    assert sum(counts) == 2000
    assert min(counts) > 800
    assert [shard.rows(f"SELECT count() FROM {cluster.table}") for shard in (first, second)] == [[["2000"]], [["2000"]]]


@needs_server
def test_an_event_that_comes_by_another_node_is_still_one(cluster):
    first, second = cluster.shards
    for shard in (first, second):
        url = shard.url(table=cluster.table, cluster=CLUSTER, pause="0.001")
        if shard is first:
            ship(cluster)  # on both
        target = target_for(url)
        target.send(batch(1, 500))
        target.close()
    assert len(cluster.rows()) == 500
    assert first.rows(f"SELECT count() FROM {cluster.table}") == [["1001"]]  # before they are merged


@needs_server
def test_a_batch_of_which_one_shard_has_its_part_is_not_twice(cluster):
    target = cluster.target()
    target.send(batch(1, 1))
    cluster.down()
    try:
        with pytest.raises(RetryableError, match=r"\(code (210|279)\)"):
            target.send(batch(2, 400))
    finally:
        cluster.up()
    target.send(batch(2, 400))
    assert [ident for ident, _ in cluster.rows()] == idents(1, 400)


@needs_server
def test_a_node_whose_tables_nobody_made_is_told(cluster):
    target = target_for(cluster.server.url(table=cluster.table, cluster=CLUSTER))
    with pytest.raises(UnusableError, match="every node needs its table"):
        target.send(batch(1, 100))
    target.close()
    cluster.target().send(batch(1, 100))  # this one names both
    assert len(cluster.rows()) == 100


@needs_server
def test_when_the_first_host_is_down_the_second_one_takes_it(shards):
    (closed,) = free_ports(1)
    table = f"events_{next(numbers)}"
    target = target_for(f"clickhouse://{HOST}:{closed},{HOST}:{shards[1].port}/?table={table}&pause=0.001")
    assert target.send(batch(1, 10)) == Accepted(10)
    assert target.send(batch(11, 20)) == Accepted(10)
    target.close()
    assert shards[1].rows(f"SELECT count() FROM {table}") == [["20"]]


# Faults.


@needs_server
def test_a_server_that_is_killed_during_inserts_loses_nothing(place, tmp_path):
    write_events(tmp_path, [body(number) for number in range(1, 2001)])
    suite = TestOneServer()
    kills = []

    def killed() -> None:
        place.server.kill()
        kills.append(True)

    for delay_seconds in (0.05, 0.07, 0.09, 0.11, 0.13, 0.15, 0.17, 1000):  # the last one ends before
        target = place.target()
        target.max_events = 100
        timer = threading.Timer(delay_seconds, killed)
        timer.start()
        with suppress(RetryableError):
            suite.shipper(tmp_path, target).run_once()
            timer.cancel()
        timer.join()
        if not place.server.alive():
            place.server.start()
    assert kills
    assert [ident for ident, _ in place.rows()] == idents(1, 2000)


@needs_server
def test_a_server_that_does_not_answer_is_waited_for_as_long_as_the_url_says(place):
    target = target_for(f"{place.url}&timeout=0.3")
    target.send(batch(1, 1))
    place.server.freeze()
    try:
        with pytest.raises(RetryableError, match=r"did not answer within 0\.3 s"):
            target.send(batch(2, 2))
    finally:
        place.server.thaw()
    target.send(batch(2, 2))
    target.close()
    assert [ident for ident, _ in place.rows()] == idents(1, 2)


@needs_chdb
def test_a_modern_server_knows_a_batch_again_by_its_token():
    place = ModernPlace()
    for _ in range(3):
        place.target().send(batch(1, 100))
    assert place.server.settings == {"insert_deduplication_token": batch(1, 100).token, "async_insert": "0"}
    assert place.server.rows(f"SELECT toInt32(count()) FROM {place.tables.table}") == [[100]]


@needs_chdb
def test_what_a_token_does_not_tell_the_table_does():
    place = ModernPlace()
    place.target().send(batch(1, 100))
    place.target().send(batch(51, 150))
    assert [ident for ident, _ in place.rows()] == idents(1, 150)
    place.server.execute(f"OPTIMIZE TABLE {place.tables.table} FINAL")
    assert int(place.server.rows(f"SELECT count() FROM {place.tables.table}")[0][0]) == 150


@needs_chdb
def test_a_modern_server_tells_what_it_lacks():
    place = ModernPlace()
    target = place.target()
    target.send(batch(1, 10))
    time = datetime(2026, 11, 20, 0, 0, 3)
    mentions = [Mention(ident(3), time), Mention(ident(11), time.replace(second=11))]
    assert target.absent(mentions) == {ident(11)}
    assert target.absent([*mentions, Mention("timeless", None)]) == {ident(11), "timeless"}
    assert target.absent([Mention(ident(3), time.replace(year=1900))]) == set()
    assert target.counts([entry(1).writer, "nobody"]) == {entry(1).writer: 10}


def test_events_of_more_months_than_an_insert_takes_come_in_parts():
    text = "Too many partitions for single INSERT block (more than 100)"
    error = modern_problem(f"Code: 252. DB::Exception: {text}. (TOO_MANY_PARTS)")
    assert isinstance(error, TooLargeError)


@needs_chdb
def test_a_modern_server_takes_events_of_three_hundred_months(tmp_path):
    place = ModernPlace()
    months = [(1980 + number // 12, number % 12 + 1) for number in range(300)]
    bodies = [body(n, timestamp=f"{year}-{month:02d}-01T00:00:00Z") for n, (year, month) in enumerate(months)]
    write_events(tmp_path, bodies)
    assert TestModernServer().shipper(tmp_path, place.target()).run_once()
    assert len(place.rows()) == 300


# What is not usable.

UNUSABLE = {
    "an unknown database": (lambda server: server.url("nowhere"), "Database nowhere doesn't exist"),
    "a wrong password": (lambda server: server.url(user="keeper:guess"), "Wrong password for user keeper"),
    "an unknown user": (lambda server: server.url(user="somebody"), "Unknown user somebody"),
    "an unknown cluster": (lambda server: server.url(cluster="far", table="far"), "cluster 'far' not found"),
}


@needs_server
@pytest.mark.parametrize("case", UNUSABLE)
def test_what_the_server_refuses_is_told_in_its_words(server, case):
    url, words = UNUSABLE[case]
    target = target_for(url(server))
    with pytest.raises(UnusableError) as caught:
        target.send(batch(1, 1))
    target.close()
    assert words in caught.value.reason
    assert "guess" not in caught.value.reason


@needs_server
def test_a_user_with_a_password_may_insert(server):
    table = f"events_{next(numbers)}"
    target = target_for(server.url(user=f"keeper:{PASSWORD.replace(' ', '%20')}", table=table))
    assert target.send(batch(1, 3)) == Accepted(3)
    target.close()
    assert server.rows(f"SELECT count() FROM {table}") == [["3"]]


@needs_server
def test_a_password_in_the_environment_lets_in_and_is_nowhere_to_be_seen(server, tmp_path):
    write_events(tmp_path, [body(1), body(2)])
    url = server.url(user="keeper", table=f"events_{next(numbers)}")
    refused = CliRunner(env={"CLICKHOUSE_PASSWORD": "guess"}).invoke(
        program, ["ship", str(tmp_path), "--to", url, "--once"]
    )
    cli = CliRunner(env={"CLICKHOUSE_PASSWORD": PASSWORD})
    done = [
        cli.invoke(program, arguments)
        for arguments in (
            ["ship", str(tmp_path), "--to", url, "--once"],
            ["ship", str(tmp_path), "--status"],
            ["reconcile", str(tmp_path), url],
        )
    ]
    assert (refused.exit_code, [each.exit_code for each in done]) == (3, [0, 0, 0])
    written = b"".join(file.read_bytes() for file in (tmp_path / "ship").rglob("*") if file.is_file())
    for said in (refused.output, *(each.output for each in done), written.decode()):
        assert PASSWORD not in said
        assert "guess" not in said


@needs_server
@pytest.mark.parametrize(
    ("version", "words"),
    [(VERSION + 1, "a newer auditmw made them"), (0, "no auditmw can bring them up to date")],
    ids=["newer", "older"],
)
def test_tables_of_another_version_are_left_alone(place, version, words):
    place.server.query(f"CREATE VIEW {place.table}_version AS SELECT toUInt32({version}) AS version")
    with pytest.raises(UnusableError, match=words):
        place.target().send(batch(1, 1))
    assert place.server.rows(f"SELECT count() FROM system.tables WHERE name = '{place.table}'") == [["0"]]


@needs_server
def test_a_table_of_somebody_else_is_left_alone(place):
    place.server.query(f"CREATE TABLE {place.table} (id String) ENGINE = Log")
    with pytest.raises(UnusableError, match="is not ours"):
        place.target().send(batch(1, 1))
    assert place.server.rows(f"SELECT count() FROM {place.table}") == [["0"]]


@needs_server
def test_tables_that_were_half_made_are_completed(cluster):
    first, second = cluster.shards
    made = statements(Tables(cluster.table, CLUSTER), is_modern=False)
    first.query(made[f"{cluster.table}_version"])
    second.query(made[f"{cluster.table}_version"])
    second.query(made[f"{cluster.table}_local"])
    ship(cluster)
    assert len(cluster.rows()) == 1


@needs_server
def test_a_table_that_is_dropped_under_way_is_made_again(place):
    target = place.target()
    target.send(batch(1, 5))
    place.server.query(f"DROP TABLE {place.table}")
    with pytest.raises(UnusableError, match=r"\(code 60\)"):
        target.send(batch(6, 10))
    target.send(batch(6, 10))
    assert [ident for ident, _ in place.rows()] == idents(6, 10)


@needs_server
def test_a_port_that_speaks_something_else_is_told(server):
    target = target_for(f"clickhouse://{HOST}:{server.peer_port}/?table=other")
    with pytest.raises((UnusableError, RetryableError)) as caught:
        target.send(batch(1, 1))
    target.close()
    assert len(caught.value.reason) > 20


# TLS.


@needs_server
@pytest.mark.needs("openssl")
def test_over_tls_the_certificate_is_checked():
    with clickhouse(1, tls=True) as [server]:
        certificate = server.certificate
        place = f"{HOST}:{server.tls_port}/?table=secret&pause=0.001"
        for url in (f"clickhouses://{place}&ca={certificate}", f"clickhouse://{place}&secure=yes&ca={certificate}"):
            target = target_for(url)
            assert target.send(batch(1, 2)) == Accepted(2)
            target.close()
        assert server.rows("SELECT count() FROM secret FINAL") == [["2"]]
        stranger = target_for(f"clickhouses://{place}")
        with pytest.raises(UnusableError, match="not trusted"):
            stranger.send(batch(3, 3))
        stranger.close()


# The URL.

WRONG_URLS = {
    "clickhouse://host/?table=a-b": "expected the name of a table",
    "clickhouse://host/?table=`": "expected the name of a table",
    "clickhouse://host/?cluster=a'b": "expected the name of a cluster",
    "clickhouse://host/?secure=perhaps": "expected yes or no for secure",
    "clickhouse://host/?tabel=x": "has no option 'tabel'",
    "clickhouse://one,two/?tabel=x": "has no option 'tabel'",
    "clickhouse://host/?ca=/etc/ca.pem": "expected https",
    "clickhouse://host/?batch=0": "expected a whole number above 0 for batch",
}


@pytest.mark.parametrize("url", WRONG_URLS)
def test_a_url_that_is_wrong_is_told_before_anything_is_sent(url):
    with pytest.raises(AddressError, match=WRONG_URLS[url]):
        target_for(url)


def test_the_target_needs_nothing_that_an_extra_brings():
    code = "import sys; sys.modules['duckdb'] = None; from auditmw.ship.targets import target_for; target_for('clickhouse://h')"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_there_is_no_format_to_choose():
    with pytest.raises(AddressError, match="takes no format"):
        target_for("clickhouse://host/", "ecs")


def test_the_batch_is_as_large_as_the_url_says():
    assert target_for("clickhouse://host/?batch=77").max_events == 77
    assert target_for("clickhouse://host/").max_events == 20_000


# Pace.


class Recorder:
    """A modern server that takes everything."""

    shown = "recorder"

    def __init__(self) -> None:
        self.inserts: list[int] = []

    def execute(self, statement: str) -> bytes:
        return b""

    def rows(self, statement: str) -> list[list[Any]]:
        if "version()" in statement:
            return [["26.3.1"]]
        return [["DateTime64(6, 'UTC')"]] if "system.columns" in statement else []

    def insert(self, statement: str, data: bytes, settings: Any) -> None:
        self.inserts.append(data.count(b"\n") + 1)

    def close(self) -> None:
        pass


def test_small_inserts_are_kept_apart_and_large_ones_are_not():
    now, waits = [0.0], []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    target = ClickHouseTarget([Recorder()], Tables("t", ""), 1.0, clock=lambda: now[0], sleep=sleep)
    target.max_events = 100
    target.send(batch(1, 10))
    assert waits == []
    now[0] += 0.25
    target.send(batch(11, 20))
    assert waits == [0.75]
    now[0] += 5
    target.send(batch(21, 100))
    target.send(batch(101, 200))
    target.send(batch(201, 210))
    assert waits == [0.75]


# What errors mean.


def modern_problem(text: str, **headers: str) -> Exception:
    from http.client import HTTPMessage

    from auditmw.ship.http_client import Answer
    from auditmw.ship.targets.clickhouse.errors import problem

    message = HTTPMessage()
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    return problem("clickhouse://host", Answer(500, message, text.encode()))


ERRORS = {
    "too many parts": (
        "Code: 252. DB::Exception: Too many parts (300). Merges. (TOO_MANY_PARTS)",
        RetryableError,
    ),
    "out of memory": (
        "Code: 241. DB::Exception: Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)",
        RetryableError,
    ),
    "a constraint": ("Code: 469. DB::Exception: Constraint `c` is violated. (VIOLATED_CONSTRAINT)", RejectedError),
    "a column that is not there": ("Code: 117. DB::Exception: Unknown field found: x. (INCORRECT_DATA)", UnusableError),
    "no privilege": ("Code: 497. DB::Exception: u: Not enough privileges. (ACCESS_DENIED)", UnusableError),
    "an error of a version to come": ("Code: 4711. DB::Exception: Something. (SOMETHING)", UnusableError),
    "a proxy without a server": ("<html>Bad Gateway", RetryableError),
}


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_is_the_event_s_fault_only_where_it_is_known_to_be(case):
    text, kind = ERRORS[case]
    assert type(modern_problem(text)) is kind


def test_the_number_in_the_header_is_believed_and_the_words_are_short():
    text = "Code: 1. DB::Exception: So it is. (X) (version 24.8.1.1 (official build))"
    error = modern_problem(text, X_ClickHouse_Exception_Code="241")
    assert isinstance(error, RetryableError)
    assert error.reason == "clickhouse://host answered: So it is. (X) (code 241)"


@needs_chdb
def test_the_numbers_of_errors_are_those_of_clickhouse():
    from auditmw.ship.targets.clickhouse.errors import REJECTED, RETRYABLE

    known = {**RETRYABLE, **REJECTED}
    asked = ", ".join(f"errorCodeToName({code})" for code in known.values())
    [names] = ModernServer().rows(f"SELECT {asked}")
    assert names == list(known)


# The modern schema.


@needs_chdb
def test_a_modern_server_has_modern_types_also_over_a_cluster():
    server, tables = ModernServer(), Tables(f"events_{next(numbers)}", chdb_server.CLUSTER)
    assert prepare(server, tables) == (True, False)
    assert prepare(server, tables) == (True, False)
    columns = "SELECT name, type FROM system.columns WHERE table = '{}' AND database = currentDatabase()"
    stored, over = (server.rows(columns.format(name)) for name in (tables.stored, tables.table))
    assert stored == over
    assert dict(stored)["time"] == "DateTime64(6, 'UTC')"
    assert dict(stored)["method"] == "LowCardinality(Nullable(String))"
    assert "microsecond" not in dict(stored)


@needs_chdb
def test_tables_that_an_old_server_made_are_filled_by_a_modern_one_as_they_are():
    place = ModernPlace()
    for statement in statements(place.tables, is_modern=False).values():
        place.server.execute(statement)
    place.target().send(Batch([entry(1, timestamp="2026-11-20T01:02:03.000456Z")]))
    [[time, rest]] = place.server.rows(f"SELECT toString(time), microsecond FROM {place.tables.table}")
    assert (time, rest) == ("2026-11-20 01:02:03", 456)


@needs_chdb
def test_a_lookup_of_one_value_reads_few_granules():
    place = ModernPlace()
    many = [entry(n, trace={"trace_id": f"{n:032x}"}) for n in range(40_000)]
    place.target().send(Batch(many))
    sql = f"SELECT count() FROM {place.tables.table} WHERE trace = '{7:032x}'"
    assert int(place.server.rows(sql)[0][0]) == 1
    plan = json.dumps(place.server.rows(f"EXPLAIN indexes = 1 {sql}"))
    assert "by_trace" in plan


# The documentation.

SECTION = (
    (Path(__file__).parent.parent / "docs" / "shipping-targets.md")
    .read_text(encoding="utf-8")
    .partition("\n## ClickHouse\n")[2]
    .partition("\n## ")[0]
)
DOCUMENTED = [
    statement.strip()
    for block in re.findall(r"```sql\n(.*?)```", SECTION.partition("### Queries")[2], re.DOTALL)
    for statement in block.split(";")
    if statement.strip()
]


@needs_chdb
@pytest.mark.parametrize("statement", DOCUMENTED, ids=lambda text: text.splitlines()[0].lstrip("- ")[:40])
def test_the_statements_of_the_documentation_work(statement):
    place = ModernPlace()
    event = entry(1, actor={"id": "alice"}, data={"order": {"id": 17}}, duration_ns=5_000_000)
    place.target().send(Batch([event]))
    answer = place.server.execute(statement.replace("auditmw_events", place.tables.table))
    if "data" in statement:
        assert json.loads(answer)["data"] == [["2026-11-20 00:00:01.000001", "alice"]]


@needs_chdb
def test_the_documentation_has_the_columns_and_their_types():
    place = ModernPlace()
    prepare(place.server, place.tables)
    types = dict(place.server.rows(f"SELECT name, type FROM system.columns WHERE table = '{place.tables.table}'"))
    few = re.search(r"\| (`event`.*?) \| `LowCardinality\(Nullable", SECTION)
    assert few is not None
    documented = re.findall("`([a-z_]+)`", few[1])
    assert documented == [name for name, kind in types.items() if kind == "LowCardinality(Nullable(String))"]
    assert [name for name, kind in types.items() if kind == "Nullable(Int64)"] == ["status", "size", "dur"]
    for option in ("table", "cluster", "secure", "batch", "pause", "timeout", "ca", "token_file", "gzip"):
        assert f"`{option}`" in SECTION
