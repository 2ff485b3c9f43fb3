"""`redis://` against a real server: the conformance suite, and what can go wrong with Redis."""

from __future__ import annotations

import itertools
import os
import random
import re
import signal
import threading
from contextlib import closing
from pathlib import Path

import pytest

from auditmw.journal import Journal
from auditmw.ship.address import AddressError
from auditmw.ship.shipper import Shipper
from auditmw.ship.status import statuses
from auditmw.ship.target import FencedError, RetryableError, Target, UnusableError
from auditmw.ship.targets import target_for
from certificates import Certificates
from redis_server import Redis
from servers import free_ports, poll
from ship_batches import batch_of
from ship_conformance import Place, ShipConformance, body, ident, idents, kept, write_events

pytestmark = [pytest.mark.needs("redis"), pytest.mark.needs("redis-server")]

numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Redis(tmp_path_factory.mktemp("redis")) as started:
        yield started


class RedisPlace(Place):
    """A stream of its own."""

    once = True

    def __init__(self, server: Redis, **options: str) -> None:
        self.server = server
        self.stream = f"place-{next(numbers)}"
        self.url = server.url(stream=self.stream, **options)
        self.targets: list[Target] = []

    def target(self) -> Target:
        self.targets.append(target_for(self.url))
        return self.targets[-1]

    def close(self) -> None:
        for target in self.targets:
            target.close()

    def rows(self):
        with self.server.client() as client:
            entries = [fields for _, fields in client.xrange(self.stream)]
        return [(fields[b"id"].decode("utf-8", "surrogatepass"), fields[b"event"]) for fields in entries]

    def down(self):
        self.server.kill()

    def up(self):
        self.server.start()


@pytest.fixture
def place(server):
    place = RedisPlace(server)
    yield place
    place.close()


class TestRedis(ShipConformance):
    @pytest.fixture
    def place(self, place):
        return place


def ids(place: RedisPlace) -> list[str]:
    return [ident for ident, _ in place.rows()]


def test_a_batch_whose_answer_was_lost_is_known_again(place):
    target = place.target()
    epoch = target.claim("journal/name").epoch
    for _ in range(3):
        assert target.send_with_cursor(batch_of(body(1), body(2)), kept("journal/name", epoch, b"2")).events == 2
    assert target.send_with_cursor(batch_of(body(3)), kept("journal/name", epoch, b"3")).events == 1
    assert ids(place) == idents(1, 3)
    assert target.claim("journal/name").data == b"3"


def test_a_format_is_what_the_field_event_holds(place, tmp_path):
    write_events(tmp_path, [body(1)])
    with closing(target_for(place.url, "ecs")) as target:
        assert Shipper(tmp_path, target, name="ecs").run_once()
    [(found, record)] = place.rows()
    assert found == ident(1)
    assert b'"@timestamp"' in record


def test_a_stream_with_a_limit_drops_its_oldest(server, place):
    with closing(target_for(f"{place.url}&maxlen=100")) as target:
        for first in range(1, 3001, 500):
            target.send(batch_of(*(body(n) for n in range(first, first + 500))))
    found = ids(place)
    assert 100 <= len(found) < 1000
    assert found[-1] == ident(3000)


def test_a_wrong_password_is_told_without_the_right_one(tmp_path):
    with Redis(tmp_path / "redis", "--requirepass", "hunter2") as server:
        for user in ("", ":wr0ng@"):
            with closing(target_for(server.url().replace("//", f"//{user}"))) as target:
                with pytest.raises(UnusableError) as caught:
                    target.claim("journal/name")
                assert "wr0ng" not in caught.value.reason
        with closing(target_for(server.url().replace("//", "//:hunter2@"))) as target:
            assert target.claim("journal/name").epoch == 1


def test_a_user_who_may_not_append_is_told_so(server, place):
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "reader", "on", ">x", "~*", "+@all", "-xadd")
    with closing(target_for(place.url.replace("//", "//reader:x@"))) as target, pytest.raises(UnusableError):
        target.send(batch_of(body(1)))
    assert ids(place) == []


def test_the_documented_permissions_are_enough(server):
    page = (Path(__file__).parent.parent / "docs" / "shipping-targets.md").read_text()
    [commands] = re.findall(r"`(\+eval [^`]*)`", page)
    with server.client() as client:
        keys = ("~orders", "~{orders}:cursor:*")
        client.execute_command("ACL", "SETUSER", "shop", "on", ">x", *keys, *commands.split())
    with closing(target_for(server.url(stream="orders").replace("//", "//shop:x@"))) as target:
        epoch = target.claim("journal/name").epoch
        assert target.send_with_cursor(batch_of(body(1)), kept("journal/name", epoch, b"1")).events == 1
    others = target_for(server.url(stream="others").replace("//", "//shop:x@"))
    with closing(others), pytest.raises(UnusableError):
        others.claim("journal/name")


def test_a_key_of_another_type_is_told(server, place):
    with server.client() as client:
        client.set(place.stream, "text")
    with closing(place.target()) as target, pytest.raises(UnusableError, match="wrong kind of value"):
        target.send(batch_of(body(1)))


def test_full_memory_is_waited_for_and_nothing_of_the_batch_is_there(tmp_path):
    with Redis(tmp_path / "redis") as server, server.client() as client, closing(target_for(server.url())) as target:
        client.config_set("maxmemory", "1")
        with pytest.raises(RetryableError, match="maxmemory"):
            target.send(batch_of(*(body(n) for n in range(1, 100))))
        assert client.xlen("auditmw") == 0
        client.config_set("maxmemory", "0")
        assert target.send(batch_of(body(1))).events == 1


def test_a_server_that_has_stopped_is_given_up_in_time(server, place):
    assert server.child is not None
    target = target_for(f"{place.url}&timeout=0.2&wait=0.1")
    epoch = target.claim("journal/name").epoch
    os.kill(server.child.pid, signal.SIGSTOP)
    try:
        with pytest.raises(RetryableError, match=r"[Tt]imeout"):
            target.send_with_cursor(batch_of(body(1)), kept("journal/name", epoch, b"1"))
    finally:
        os.kill(server.child.pid, signal.SIGCONT)
    with closing(target):
        poll(lambda: ids(place), "the batch that was sent to be appended")
        target.send_with_cursor(batch_of(body(1)), kept("journal/name", epoch, b"1"))
    assert ids(place) == idents(1, 1)


def test_replicas_that_were_asked_for_and_are_missing_hold_up_the_cursor_and_make_no_doubles(place, tmp_path):
    write_events(tmp_path, [body(n) for n in range(1, 11)])
    with closing(target_for(f"{place.url}&replicas=1&wait=0.05")) as target:
        with pytest.raises(RetryableError, match=r"expected 1 replicas to have the batch within 0\.05 s, not 0"):
            target.claim("journal/name")
        epoch = 7
        for _ in range(3):
            with pytest.raises(RetryableError, match="not 0"):
                target.send_with_cursor(batch_of(body(1)), kept("journal/name", epoch, b"1"))
    assert ids(place) == idents(1, 1)


def test_a_replica_that_was_waited_for_has_everything_when_its_master_dies(tmp_path):
    write_events(tmp_path / "audit", [body(n) for n in range(1, 3001)])
    with Redis(tmp_path / "master") as master, Redis(tmp_path / "replica", replica_of=master.port) as replica:
        with closing(target_for(master.url(replicas="1"))) as target:
            poll(lambda: replica.client().info("replication")["master_link_status"] == "up", "the replica to follow")
            assert Shipper(tmp_path / "audit", target, name="place").run_once()
        master.kill()
        assert replica.client().xlen("auditmw") == 3000


def test_a_server_without_what_it_had_is_told(server, place):
    with closing(place.target()) as target:
        epoch = target.claim("journal/name").epoch
        with server.client() as client:
            client.flushdb()
        accepted = target.send_with_cursor(batch_of(body(1)), kept("journal/name", epoch, b"1"))
        assert "has lost what it had" in accepted.note
        assert target.send_with_cursor(batch_of(body(2)), kept("journal/name", epoch, b"2")).note == ""


def test_a_read_only_replica_is_waited_for(tmp_path):
    with Redis(tmp_path / "master") as master, Redis(tmp_path / "replica", replica_of=master.port) as replica:
        poll(lambda: replica.client().info("replication")["master_link_status"] == "up", "the replica to follow")
        with closing(target_for(replica.url())) as target, pytest.raises(RetryableError, match="read only"):
            target.send(batch_of(body(1)))


def test_tls_is_verified(tmp_path):
    files = Certificates(tmp_path)
    (secure,) = free_ports(1)
    tls = [
        "--tls-port",
        str(secure),
        "--tls-cert-file",
        files.path("server.pem"),
        "--tls-key-file",
        files.path("server.key"),
    ]
    with Redis(tmp_path / "redis", *tls, "--tls-ca-cert-file", files.path("ca.pem"), "--tls-auth-clients", "no"):
        url = f"rediss://127.0.0.1:{secure}/0"
        with closing(target_for(url)) as target, pytest.raises(UnusableError, match="certificate verify failed"):
            target.send(batch_of(body(1)))
        with closing(target_for(f"{url}?{files.options}")) as target:
            assert target.send(batch_of(body(1))).events == 1
        plain_url = f"redis://127.0.0.1:{secure}/0?timeout=2&wait=0.1"
        with closing(target_for(plain_url)) as target, pytest.raises((RetryableError, UnusableError)):
            target.send(batch_of(body(1)))


def test_killed_again_and_again_while_events_flow_it_has_each_event_once(tmp_path):
    chance = random.Random(20_261_121)
    directory = tmp_path / "audit"
    directory.mkdir()
    journal = Journal(directory)
    with Redis(tmp_path / "redis") as server:
        target = target_for(server.url(connect_timeout="2", timeout="5"))
        target.max_events = 50
        shipper = Shipper(directory, target, name="place", wait=lambda seconds: shipper_waits(min(seconds, 0.05)))
        shipper_waits = threading.Event().wait
        thread = threading.Thread(target=shipper.run)
        thread.start()
        try:
            for round_ in range(8):
                for number in range(round_ * 500 + 1, round_ * 500 + 501):
                    journal.append(body(number))
                shipper_waits(chance.random() * 0.2)
                server.kill()
                server.start()
            journal.close()
            poll(lambda: [each.lag.events for each in statuses(directory)] == [0], "everything to be shipped", 60)
        finally:
            shipper.stop()
            thread.join(30)
        with server.client() as client:
            found = [fields[b"id"].decode() for _, fields in client.xrange("auditmw")]
    assert found == idents(1, 4000)


def test_two_shippers_of_one_journal_make_no_doubles(place, tmp_path):
    write_events(tmp_path, [body(n) for n in range(1, 501)])
    first, second = place.target(), place.target()
    first.max_events = second.max_events = 20
    old = Shipper(tmp_path, first, name="place")
    told = []
    send = first.send_with_cursor

    def overtaken(batch, cursor):
        if not told:
            told.append(Shipper(tmp_path, second, name="place").run_once(take_over=True))
        return send(batch, cursor)

    first.send_with_cursor = overtaken
    with pytest.raises(FencedError):
        old.run_once()
    assert told == [True]
    assert ids(place) == idents(1, 500)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        pytest.param("redis://a,b/0", "expected redis://host:port/number", id="two hosts"),
        pytest.param("redis://a/name", "expected redis://host:port/number", id="a name for a database"),
        pytest.param("redis://a/0?maxlen=none", "a whole number above 0 for maxlen", id="a limit that is none"),
        pytest.param("redis://a/0?strem=x", "has no option 'strem'", id="an option that there is not"),
        pytest.param("redis://a/0?ca=x", "has no option 'ca'", id="a certificate without TLS"),
    ],
)
def test_a_url_that_says_nothing_clear_is_refused(url, message):
    with pytest.raises(AddressError, match=message):
        target_for(url)


def test_a_server_that_is_not_there_is_waited_for():
    (port,) = free_ports(1)
    with closing(target_for(f"redis://127.0.0.1:{port}/0")) as target, pytest.raises(RetryableError, match="refused"):
        target.send(batch_of(body(1)))
