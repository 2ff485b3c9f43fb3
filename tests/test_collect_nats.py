"""Collecting from real nats-servers: what is there, what comes, restarts, kill -9 of collector and servers."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import auditmw
from auditmw.cli.program import program
from auditmw.collect.collector import Collector
from auditmw.collect.feeds import feed_for
from auditmw.journal import journal_files, writer_of
from auditmw.ship.batch import Batch, Entry
from auditmw.ship.shipper import Shipper
from auditmw.ship.target import RetryableError, UnusableError
from auditmw.ship.targets import target_for
from nats_server import NatsCluster, NatsServer, look, running_server
from servers import HOST, poll
from ship_conformance import body, ident, idents, write_events

pytestmark = pytest.mark.needs("nats-server", "nats", "duckdb")

_names = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[NatsServer]:
    with running_server(tmp_path_factory.mktemp("nats")) as running:
        yield running


@pytest.fixture
def url(server) -> str:
    return f"{server.url}/C{next(_names)}"


def send(url: str, first: int, last: int) -> None:
    entries = [Entry("w", n, ident(n), body(n), body(n)) for n in range(first, last + 1)]
    target = target_for(url)
    try:
        for at in range(0, len(entries), 1000):
            target.send(Batch(entries[at : at + 1000]))
    finally:
        target.close()


def collector(directory: Path, url: str, **options: Any) -> Collector:
    return Collector(directory, feed_for(url), shown=url, **options)


def found(directory: Path) -> list[str]:
    return sorted(event["id"] for event in auditmw.read(directory))


def test_what_was_shipped_is_collected_once_and_to_the_byte(tmp_path, url):
    send(url, 1, 3000)
    each = collector(tmp_path, url, most_events=2500)
    assert each.run_once()
    assert found(tmp_path) == idents(1, 3000)
    assert body(17)[:-1] in journal_files(tmp_path)[0].read_bytes()
    send(url, 3001, 3010)
    assert collector(tmp_path, url).run_once()
    assert collector(tmp_path, url).run_once()
    assert found(tmp_path) == idents(1, 3010)
    assert [writer_of(file)[25:] for file in journal_files(tmp_path)] == ["1-2500", "2501-3000", "3001-3010"]


def test_what_is_collected_is_acknowledged_and_nothing_else(tmp_path, server, url):
    send(url, 1, 20)
    each = collector(tmp_path, url)
    assert each._begin()
    while each._gather(0.2):
        pass

    def consumer() -> Any:
        async def ask(client: Any) -> Any:
            return (await client.jetstream().consumers_info(url.rpartition("/")[2]))[0]

        return look([server.url], ask)

    assert consumer().num_ack_pending == 20
    each._flush()
    poll(lambda: consumer().num_ack_pending == 0, "the acknowledgement to arrive")
    assert consumer().config.description == "auditmw collect"
    each._let_go()


def test_several_hosts_become_one_archive(tmp_path, url):
    for host in range(3):
        directory = tmp_path / f"host{host}"
        directory.mkdir()
        write_events(directory, [body(number) for number in range(host * 100 + 1, host * 100 + 101)])
        assert Shipper(directory, target_for(url), name="out").run_once()
    assert collector(tmp_path / "archive", url).run_once()
    assert found(tmp_path / "archive") == idents(1, 300)


def test_what_the_stream_has_twice_is_collected_once(tmp_path, server, url):
    stream = url.rpartition("/")[2]

    async def make(client: Any) -> None:
        context = client.jetstream()
        await context.add_stream(name=stream, subjects=[f"{stream}.events"])
        for number in (1, 2, 1, 3, 2):  # without Nats-Msg-Id: long after the window
            await context.publish(f"{stream}.events", body(number))
        await context.publish(f"{stream}.events", b"not an event")

    look([server.url], make)
    each = collector(tmp_path, url)
    assert each.run_once()
    assert found(tmp_path) == idents(1, 3)
    assert (each.counts.collected, each.counts.doubles, each.counts.set_aside) == (3, 2, 1)


def test_messages_that_the_stream_forgot_are_told(tmp_path, server, url):
    stream = url.rpartition("/")[2]
    send(url, 1, 50)
    look([server.url], lambda client: client.jetstream().purge_stream(stream, seq=21))
    each = collector(tmp_path, url)
    assert each.run_once()
    assert each.counts.missing == 20
    [gap] = [event for event in auditmw.read(tmp_path) if event["event"] == "auditmw.gap"]
    assert gap["data"]["count"] == 20


def test_a_stream_that_was_made_again_begins_again(tmp_path, server, url):
    stream = url.rpartition("/")[2]
    send(url, 1, 30)
    assert collector(tmp_path, url).run_once()
    look([server.url], lambda client: client.jetstream().delete_stream(stream))
    send(url, 25, 60)
    assert collector(tmp_path, url).run_once()
    assert found(tmp_path) == idents(1, 60)


@pytest.mark.parametrize("retention", ["workqueue", "interest"])
def test_a_stream_that_forgets_what_was_acknowledged_is_refused(tmp_path, server, url, retention):
    stream = url.rpartition("/")[2]
    look(
        [server.url], lambda client: client.jetstream().add_stream(name=stream, subjects=[stream], retention=retention)
    )
    with pytest.raises(UnusableError, match="retention limits"):
        collector(tmp_path, url).run_once()


def test_a_stream_that_is_not_there_yet_is_waited_for(tmp_path, url):
    with pytest.raises(RetryableError, match="no stream"):
        collector(tmp_path, url).run_once()
    send(url, 1, 3)
    assert collector(tmp_path, url).run_once()
    assert found(tmp_path) == idents(1, 3)


ACCOUNTS = """
authorization { users = [
  { user: "shipper", password: "s3cret" }
  { user: "narrow", password: "s3cret", permissions: { subscribe: "_INBOX.>", publish: [
      "$JS.API.STREAM.INFO.AUDIT", "$JS.API.CONSUMER.>", "$JS.ACK.AUDIT.>" ] } }
] }
"""


def test_the_permissions_that_the_documentation_names_are_enough(tmp_path):
    with running_server(tmp_path / "server", more=ACCOUNTS) as server:
        send(f"nats://shipper:s3cret@{HOST}:{server.port}/AUDIT", 1, 10)
        each = collector(tmp_path / "archive", f"nats://narrow:s3cret@{HOST}:{server.port}/AUDIT?timeout=3")
        assert each.run_once()
    assert found(tmp_path / "archive") == idents(1, 10)


COLLECT = "import sys; from auditmw.cli import main; sys.exit(main())"


def collect(url: str, directory: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", COLLECT, "collect", url, "--into", str(directory), *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE)


def test_the_command_goes_on_until_it_is_stopped_and_tells_what_it_did(tmp_path, url):
    send(url, 1, 10)
    child = collect(url, tmp_path, "--every", "0.1", "-o", "ndjson")
    try:
        poll(lambda: len(journal_files(tmp_path)) == 1, "the first file", 60)
        send(url, 11, 20)
        poll(lambda: len(journal_files(tmp_path)) == 2, "the second file")
    finally:
        child.send_signal(signal.SIGTERM)
        out, told = child.communicate(timeout=30)
    assert child.returncode == 0, told
    assert json.loads(out) == {"collected": 20, "doubles": 0, "set_aside": 0, "missing": 0, "files": 2}
    assert found(tmp_path) == idents(1, 20)


def test_a_collector_that_is_killed_again_and_again_loses_and_doubles_nothing(tmp_path, url):
    enough = threading.Event()
    sent = [0]

    def keep_sending() -> None:
        while not enough.is_set():
            send(url, sent[0] + 1, sent[0] + 50)
            sent[0] += 50

    sending = threading.Thread(target=keep_sending)
    sending.start()
    try:
        for _ in range(3):
            before = len(journal_files(tmp_path))
            child = collect(url, tmp_path, "--every", "0.05")
            poll(lambda least=before + 2: len(journal_files(tmp_path)) >= least, "two more files", 60)
            os.kill(child.pid, signal.SIGKILL)
            child.communicate()
    finally:
        enough.set()
        sending.join()
    assert collector(tmp_path, url).run_once()
    assert found(tmp_path) == idents(1, sent[0])


def test_a_cluster_whose_nodes_are_killed_one_after_the_other_loses_nothing_on_the_way(tmp_path):
    with NatsCluster(tmp_path / "cluster") as cluster:
        url = f"nats://{cluster.authority}/AUDIT?timeout=4"
        send(url, 1, 1000)
        each = collector(tmp_path / "archive", url, every_seconds=0.2)
        running = threading.Thread(target=each.run)
        running.start()
        try:
            for at, node in enumerate(cluster.nodes):
                node.kill()
                first = 1001 + 500 * at

                def sent(first: int = first) -> bool:
                    try:
                        send(url, first, first + 499)
                    except RetryableError:
                        return False
                    return True

                poll(sent, "the two others to take events", 60)
                node.start()
            cluster.start()
            poll(lambda: each.counts.collected == 2500, "everything to be collected", 90)
        finally:
            each.stop()
            running.join()
    assert found(tmp_path / "archive") == idents(1, 2500)


WRONG = {
    "another scheme": (["postgresql://h/d", "--into", "x"], 2, "expected one of nats:, kafka:"),
    "no stream's name": (["nats://h/a.b", "--into", "x"], 2, "expected the name of a stream"),
    "an unknown option": (["nats://h/A?subject=a", "--into", "x"], 2, "no option 'subject'"),
    "nobody listens": (["nats://127.0.0.1:1/A?timeout=1", "--into", "x", "--once"], 3, "cannot be used now"),
    "a file for a directory": (["nats://h/A", "--into", "a-file"], 3, "not a directory"),
}


@pytest.mark.parametrize(("arguments", "code", "said"), WRONG.values(), ids=WRONG)
def test_errors_of_the_command_say_what_is_wrong(tmp_path, monkeypatch, arguments, code, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").touch()
    result = CliRunner().invoke(program, ["collect", *arguments])
    assert result.exit_code == code
    assert said in result.output
