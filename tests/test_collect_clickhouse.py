"""Three nats-servers, a collector, and ClickHouse behind it: killed collectors, servers that are down, poison."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import kafka_mock
from auditmw.cli.program import program
from auditmw.collect.progress import COLLECT, collecting
from auditmw.ship.address import Address
from auditmw.ship.batch import Batch, Entry
from auditmw.ship.targets import target_for
from auditmw.ship.targets.clickhouse.schema import Place
from auditmw.ship.targets.clickhouse.target import ClickHouseTarget
from chdb_server import ModernServer
from clickhouse_server import ClickHouse, clickhouse
from listed_feed import TRACK, Listed, bodies
from nats_server import NatsCluster, look
from postgres_server import postgres
from servers import poll
from ship_conformance import between, body, ident, idents
from test_collect_straight import straight

_names = itertools.count(1)
REFUSE = "ADD COLUMN refused UInt8 MATERIALIZED throwIf(ifNull(event, '') = 'poison')"
COMMAND = "import sys; from auditmw.cli import main; sys.exit(main())"

# The process is gone after an INSERT that the server has answered, before anybody took note of the answer.
DIES = """
import os, signal, sys
from auditmw.ship.targets.clickhouse import target
insert, left = target.ClickHouseTarget.send, [int(sys.argv.pop(1))]
def send(self, batch):
    accepted = insert(self, batch)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return accepted
target.ClickHouseTarget.send = send
"""


@pytest.fixture(scope="module")
def nodes(tmp_path_factory) -> Iterator[NatsCluster]:
    with NatsCluster(tmp_path_factory.mktemp("nats")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def server() -> Iterator[ClickHouse]:
    with clickhouse(1) as [running]:
        yield running


@pytest.fixture
def stream(nodes) -> str:
    return f"nats://{nodes.authority}/S{next(_names)}?timeout=5"


@pytest.fixture
def table() -> str:
    return f"collected_{next(_names)}"


def send(url: str, first: int, last: int, **fields: Any) -> None:
    """Put events where they are collected from, as a shipper does."""
    each = {n: body(n, **fields) for n in range(first, last + 1)}
    target = target_for(url)
    try:
        for at in range(first, last + 1, 500):
            some = range(at, min(at + 500, last + 1))
            target.send(Batch([Entry("w", n, ident(n), each[n], each[n]) for n in some]))
    finally:
        target.close()


def collect(stream: str, to: str, state: Path, *options: str, before: str = "", at: int = 0) -> subprocess.Popen[bytes]:
    arguments = [*([str(at)] if before else []), "collect", stream, "--to", to, "--state", str(state), *options]
    command = [sys.executable, "-c", before + COMMAND, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(child: subprocess.Popen[bytes], code: int = 0) -> str:
    out, told = child.communicate(timeout=120)
    assert child.returncode == code, told.decode()
    return out.decode()


def rows(server: ClickHouse, table: str) -> list[tuple[str, str]]:
    """The ids and the events, as whoever asks with FINAL gets them."""
    return [(i, b) for i, b in server.rows(f"SELECT id, body FROM {table} FINAL ORDER BY id")]


def acknowledged(nodes: NatsCluster, stream: str) -> list[int]:
    """How far each consumer of a stream has acknowledged."""
    name = Address(stream).path
    infos = look(nodes.urls, lambda client: client.jetstream().consumers_info(name))
    return [info.ack_floor.stream_seq for info in infos]


@pytest.mark.needs("nats-server", "nats", "clickhouse-server")
def test_events_go_from_the_stream_into_clickhouse_and_are_there_to_the_byte(tmp_path, nodes, server, stream, table):
    send(stream, 1, 1200)
    finish(collect(stream, server.url(table=table, batch="500"), tmp_path, "--once"))
    assert rows(server, table) == [(ident(n), body(n).decode()) for n in range(1, 1201)]
    assert acknowledged(nodes, stream) == [1200]
    send(stream, 1201, 1210)
    finish(collect(stream, server.url(table=table, batch="500"), tmp_path, "--once"))
    assert server.rows(f"SELECT count() FROM {table}") == [["1210"]]


@pytest.mark.needs("nats-server", "nats", "clickhouse-server")
def test_a_collector_that_is_killed_between_insert_and_acknowledgement_doubles_nothing(
    tmp_path, nodes, server, stream, table
):
    send(stream, 1, 1000)
    to = server.url(table=table, batch="100", pause="0.001")
    for at in (1, 2, 3):
        child = collect(stream, to, tmp_path, "--once", before=DIES, at=at)
        child.communicate(timeout=120)
        assert child.returncode == -signal.SIGKILL
        collected = int(server.rows(f"SELECT uniqExact(id) FROM {table}")[0][0])
        assert collected >= 100
        assert max(acknowledged(nodes, stream)) < collected
    finish(collect(stream, to, tmp_path, "--once"))
    assert [each for each, _ in rows(server, table)] == idents(1, 1000)
    assert 1000 <= int(server.rows(f"SELECT count() FROM {table}")[0][0]) <= 1300  # before parts are merged


@pytest.mark.needs("nats-server", "nats", "clickhouse-server")
def test_a_collector_that_is_killed_whenever_it_may_be_loses_and_doubles_nothing(tmp_path, server, stream, table):
    send(stream, 1, 20)
    to = server.url(table=table, batch="25", pause="0.001")
    finish(collect(stream, to, tmp_path, "--once"))
    for round_ in range(3):
        first = 21 + 1000 * round_
        send(stream, first, first + 999)
        child = collect(stream, to, tmp_path, "--every", "0.05")
        enough = first + 150 * (round_ + 1)

        def has_some(enough: int = enough) -> bool:
            return int(server.rows(f"SELECT uniqExact(id) FROM {table}")[0][0]) >= enough

        poll(has_some, "some of the events", 60)
        child.kill()
        child.communicate()
    finish(collect(stream, to, tmp_path, "--once"))
    assert [each for each, _ in rows(server, table)] == idents(1, 3020)


@pytest.mark.needs("chdb")
def test_a_modern_clickhouse_knows_the_batch_again_that_was_cut_off(tmp_path):
    feed, tables, modern = Listed({TRACK: bodies(1, 250)}), Place(f"collected_{next(_names)}", ""), ModernServer()

    def die(batch: Batch) -> None:
        raise KeyboardInterrupt

    def clickhouse_target() -> ClickHouseTarget:
        target = ClickHouseTarget([modern], tables, 0.001)
        target.max_events = 100
        return target

    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            straight(tmp_path, feed, between(clickhouse_target(), die)).run_once()
    assert straight(tmp_path, feed, clickhouse_target()).run_once()
    assert modern.rows(f"SELECT toInt32(count()), toInt32(uniqExact(id)) FROM {tables.table}") == [[250, 250]]


@pytest.mark.needs("nats-server", "nats", "clickhouse-server")
def test_while_clickhouse_is_down_events_wait_in_the_stream(tmp_path, nodes, server, stream, table):
    send(stream, 1, 100)
    child = collect(stream, server.url(table=table, pause="0.001"), tmp_path, "--every", "0.1")
    try:
        poll(lambda: _status(tmp_path).get("shipped") == 100, "the first events", 60)
        server.kill()
        send(stream, 101, 300)
        poll(lambda: collecting(tmp_path)[0].state == "retrying", "the failure to be told", 60)
        [status] = collecting(tmp_path)
        assert status.lag.events > 0
        assert "127.0.0.1" in status.last_error
        server.start()
        poll(lambda: _status(tmp_path).get("shipped") == 300, "everything", 90)
    finally:
        child.send_signal(signal.SIGTERM)
        finish(child)
        if not server.alive():
            server.start()
    assert [each for each, _ in rows(server, table)] == idents(1, 300)
    [status] = collecting(tmp_path)
    assert (status.state, status.lag.events) == ("stopped", 0)


def _status(state: Path) -> dict[str, int]:
    return dict(collecting(state)[0].counts) if collecting(state) else {}


@pytest.mark.needs("nats-server", "nats", "clickhouse-server")
def test_a_poison_event_and_what_is_no_event_hold_up_nobody(tmp_path, nodes, server, stream, table):
    send(stream, 1, 50)
    to = server.url(table=table, pause="0.001")
    finish(collect(stream, to, tmp_path, "--once"))
    server.query(f"ALTER TABLE {table} {REFUSE}")
    send(stream, 51, 60)
    send(stream, 999, 999, event="poison")
    look(nodes.urls, lambda client: client.jetstream().publish(f"{Address(stream).path}.events", b"not an event"))
    send(stream, 61, 70)
    finish(collect(stream, to, tmp_path, "--once"), 1)
    assert [each for each, _ in rows(server, table)] == idents(1, 70)
    [status] = collecting(tmp_path)
    assert (status.counts["shipped"], status.dead_letters, status.counts["set_aside"]) == (70, 1, 1)
    folder = tmp_path / COLLECT / status.name
    assert json.loads((folder / "dead.jsonl").read_text())["event"]["event"] == "poison"
    assert json.loads((folder / "aside.jsonl").read_text())["message"] == "not an event"
    finish(collect(stream, to, tmp_path, "--once"))  # nothing new is wrong
    server.query(f"ALTER TABLE {table} DROP COLUMN refused")
    finish(collect(stream, to, tmp_path, "--replay"))
    assert len(rows(server, table)) == 71
    shown = CliRunner().invoke(program, ["collect", "--status", "--state", str(tmp_path)])
    assert shown.exit_code == 1
    assert "1 messages are no events, and were set aside" in shown.output


@pytest.mark.needs("nats-server", "nats", "clickhouse-server")
def test_nodes_of_the_stream_that_are_killed_cost_no_event(tmp_path, nodes, server, stream, table):
    send(stream, 1, 500)
    child = collect(stream, server.url(table=table, pause="0.001"), tmp_path, "--every", "0.1")
    try:
        poll(lambda: _status(tmp_path).get("shipped", 0) > 0, "the first events", 60)
        leader = nodes.leader(Address(stream).path)
        leader.kill()
        poll(lambda: _sent(stream, 501, 800), "the two others to take events", 60)
        leader.start()
        poll(lambda: _status(tmp_path).get("shipped", 0) >= 800, "everything", 90)
    finally:
        nodes.start()
        child.send_signal(signal.SIGTERM)
        finish(child)
    assert [each for each, _ in rows(server, table)] == idents(1, 800)


def _sent(stream: str, first: int, last: int) -> bool:
    from auditmw.ship.target import RetryableError

    try:
        send(stream, first, last)
    except RetryableError:
        return False
    return True


@pytest.mark.needs("nats-server", "nats", "postgres", "psycopg")
def test_postgresql_has_each_event_once_also_when_the_state_is_lost(tmp_path, nodes, stream):
    with postgres() as database:
        send(stream, 1, 300)
        finish(collect(stream, database.url(), tmp_path / "one", "--once"))
        send(stream, 301, 320)
        finish(collect(stream, database.url(), tmp_path / "two", "--once"))
        found = [row[0] for row in database.execute("SELECT id FROM auditmw.events ORDER BY id")]
        assert found == idents(1, 320)
        subject = f"{Address(stream).path}.events"
        for number in (321, 322, 321, 5, 323, 321):  # without Nats-Msg-Id, as long after the duplicate window
            look(nodes.urls, lambda client, number=number: client.jetstream().publish(subject, body(number)))
        finish(collect(stream, database.url(), tmp_path / "two", "--once"))
        found = database.execute(f"SELECT id, collides_with FROM auditmw.events WHERE id > '{ident(320)}'")
        assert sorted(found) == [(each, None) for each in idents(321, 323)]
        assert _status(tmp_path / "two")["shipped"] == 326  # 320 of them by the cursor that was in the database


@pytest.mark.needs("confluent_kafka", "clickhouse-server")
def test_kafka_goes_into_clickhouse_too(tmp_path, server, table):
    with kafka_mock.mock_kafka() as kafka:
        kafka.topic("audit", partitions=3)
        topic = f"kafka://{kafka.servers}/audit?timeout=5"
        send(topic, 1, 400)
        send(topic, 391, 410)  # some come twice
        finish(collect(topic, server.url(table=table), tmp_path, "--once"))
        finish(collect(topic, server.url(table=table), tmp_path, "--once"))
    assert [each for each, _ in rows(server, table)] == idents(1, 410)
    assert _status(tmp_path)["shipped"] == 420
