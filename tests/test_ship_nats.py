"""`nats://` against real servers: the suite of all targets, what the server says, and what it survives."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from auditmw.parsing import parse_event
from auditmw.ship.address import AddressError
from auditmw.ship.batch import Batch, Entry, identified
from auditmw.ship.shipper import Shipper
from auditmw.ship.target import Accepted, RetryableError, Target, UnusableError
from auditmw.ship.targets import target_for
from auditmw.ship.targets.nats import message_id
from nats_server import NatsCluster, NatsServer, look, running_server, stored
from servers import HOST, poll
from ship_conformance import FakeTime, Place, ShipConformance, body, ident, idents, write_events

pytestmark = pytest.mark.needs("nats-server", "nats")

_names = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[NatsServer]:
    with running_server(tmp_path_factory.mktemp("nats")) as running:
        yield running


@pytest.fixture
def cluster(tmp_path) -> Iterator[NatsCluster]:
    with NatsCluster(tmp_path / "cluster") as running:
        yield running


def entry(number: int, record: bytes | None = None) -> Entry:
    each = record or body(number)
    event = json.loads(each)
    return Entry("w", number, identified(event, "w", number), each, each)


def batch(first: int, last: int) -> Batch:
    return Batch([entry(number) for number in range(first, last + 1)])


def ids_in(urls: list[str], stream: str) -> list[str]:
    return [json.loads(data)["id"] for _, _, data in stored(urls, stream)]


class StreamPlace(Place):
    """A stream of its own on a server that is stopped and started."""

    def __init__(self, server: NatsServer) -> None:
        self.server = server
        self.stream = f"S{next(_names)}"

    def target(self) -> Target:
        return target_for(f"{self.server.url}/{self.stream}?timeout=3")

    def rows(self) -> list[tuple[str, bytes]]:
        rows = stored([self.server.url], self.stream)
        return [(self.ident(data, at), data) for at, (_, _, data) in enumerate(rows)]

    def ident(self, data: bytes, at: int) -> str:
        return identified(parse_event(data), "row", at)

    def down(self) -> None:
        self.server.kill()

    def up(self) -> None:
        self.server.start()


class TestNats(ShipConformance):
    @pytest.fixture
    def place(self, server: NatsServer) -> Place:
        return StreamPlace(server)


# ------------------------------------------------------------------------------------------------ what is in a message


def test_a_message_carries_the_bytes_of_the_event_and_its_id(server):
    target = target_for(f"{server.url}/carried?subject=audit.shop")
    assert target.send(batch(1, 2)) == Accepted(2)
    target.close()
    first, second = stored([server.url], "carried")
    assert first[2] == body(1)
    assert first[1]["Nats-Msg-Id"] == ident(1)
    assert second[1]["Nats-Msg-Id"] == ident(2)


def test_what_comes_again_is_stored_once(server):
    target = target_for(f"{server.url}/again")
    assert target.send(batch(1, 300)) == Accepted(300)
    assert target.send(batch(200, 400)) == Accepted(201)
    target.close()
    assert ids_in([server.url], "again") == idents(1, 400)


def test_a_record_in_another_format_says_which(server):
    target = target_for(f"{server.url}/formatted", "ecs")
    each = entry(1)
    assert target.format is not None
    assert target.send(Batch([each._replace(record=target.format.render(each.event))])) == Accepted(1)
    target.close()
    [(_, headers, data)] = stored([server.url], "formatted")
    assert headers["Content-Type"] == target.format.media_type
    assert "@timestamp" in json.loads(data)


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ("019aa000-0000-7000-8000-000000000001", True),
        ("a b", False),
        ("ü", False),
        ("\r\nX: y", False),
        ("x" * 129, False),
    ],
    ids=repr,
)
def test_an_odd_id_becomes_a_digest_that_a_header_can_carry(given, plain):
    made = message_id(given)
    assert (made == given) is plain
    assert made.isascii()
    assert made.isprintable()
    assert message_id(given) == made


def test_ids_that_a_header_would_change_do_not_make_doubles_of_different_events(server):
    records = [
        json.dumps({"id": each, "event": "x"}).encode() for each in ("a", " a", "a\n", "a\r\nNats-Msg-Id: b", "b")
    ]
    target = target_for(f"{server.url}/odd")
    assert target.send(Batch([entry(at, record) for at, record in enumerate(records)])) == Accepted(5)
    target.close()
    assert [data for _, _, data in stored([server.url], "odd")] == records


# --------------------------------------------------------------------------------------------------- the server says no


def test_an_event_beyond_max_payload_is_refused_and_the_others_arrive(tmp_path):
    with running_server(tmp_path, max_payload=2000) as server:
        target = target_for(f"{server.url}/small")
        done = target.send(Batch([entry(1), entry(2, body(2, note="x" * 3000)), entry(3)]))
        target.close()
        assert done.events == 2
        assert list(done.refused) == [1]
        assert "max_payload 2000" in done.refused[1]
        assert ids_in([server.url], "small") == [ident(1), ident(3)]


@pytest.mark.parametrize("over", range(-120, 1, 8))
def test_no_event_is_so_large_that_the_server_hangs_up(tmp_path_factory, over, server):
    """The limit counts headers too: whatever is sent is within it, whatever is not sent is refused."""
    size = server.max_payload
    target = target_for(f"{server.url}/edge")
    each = entry(1, body(1, note=""))
    record = body(1, note="x" * (size + over - len(each.record)))
    done = target.send(Batch([each._replace(id=f"edge{over}", record=record)]))
    target.close()
    assert done.events + len(done.refused) == 1


def test_what_a_stream_finds_too_large_is_refused_and_the_others_arrive(server):
    look(
        [server.url],
        lambda client: client.jetstream().add_stream(name="tiny", subjects=["tiny.events"], max_msg_size=600),
    )
    target = target_for(f"{server.url}/tiny")
    done = target.send(Batch([entry(1), entry(2, body(2, note="x" * 700)), entry(3)]))
    target.close()
    assert (done.events, list(done.refused)) == (2, [1])
    assert "tiny" in done.refused[1]


def test_a_full_stream_makes_shipping_wait_and_forgets_nothing(server):
    async def make(client: Any) -> None:
        await client.jetstream().add_stream(name="full", subjects=["full.events"], max_msgs=5, discard="new")

    look([server.url], make)
    target = target_for(f"{server.url}/full")
    with pytest.raises(RetryableError, match="maximum messages"):
        target.send(batch(1, 10))
    target.close()
    assert ids_in([server.url], "full") == idents(1, 5)


def test_a_stream_that_listens_to_something_else_is_told(server):
    look([server.url], lambda client: client.jetstream().add_stream(name="deaf", subjects=["deaf.other"]))
    target = target_for(f"{server.url}/deaf")
    with pytest.raises(RetryableError, match=r"does not listen to deaf\.events"):
        target.send(batch(1, 1))
    target.close()


def test_a_subject_that_belongs_to_another_stream_is_told(server):
    async def make(client: Any) -> None:
        await client.jetstream().add_stream(name="owner", subjects=["owned.>"])
        await client.jetstream().add_stream(name="visitor", subjects=["visitor.events"])

    look([server.url], make)
    target = target_for(f"{server.url}/visitor?subject=owned.events")
    with pytest.raises(UnusableError, match="expected stream does not match"):
        target.send(batch(1, 1))
    target.close()
    assert stored([server.url], "owner") == []


def test_a_stream_that_was_deleted_is_made_again(server):
    target = target_for(f"{server.url}/gone")
    assert target.send(batch(1, 3)) == Accepted(3)
    look([server.url], lambda client: client.jetstream().delete_stream("gone"))
    with pytest.raises(RetryableError):
        target.send(batch(4, 6))
    assert target.send(batch(4, 6)) == Accepted(3)
    target.close()
    assert ids_in([server.url], "gone") == idents(4, 6)


def test_a_server_that_does_not_answer_costs_bounded_time(server):
    target = target_for(f"{server.url}/frozen?timeout=0.3")
    assert target.send(batch(1, 1)) == Accepted(1)
    server.freeze()
    try:
        for _ in range(2):  # on the old connection, and on a new one
            with pytest.raises(RetryableError, match=r"acknowledgement|no answer"):
                target.send(batch(2, 3))
    finally:
        server.thaw()
    poll(server.is_healthy, "nats-server to go on")
    assert target.send(batch(2, 3)) == Accepted(2)
    target.close()
    assert ids_in([server.url], "frozen") == idents(1, 3)


def test_a_connection_that_was_idle_for_long_is_opened_anew(server):
    time = FakeTime()
    target = target_for(f"{server.url}/idle")
    target._connection._clock = time.clock
    assert target.send(batch(1, 1)) == Accepted(1)
    before = server.ask("/varz")[1]["total_connections"]
    time.seconds += 30
    assert target.send(batch(2, 2)) == Accepted(1)
    assert server.ask("/varz")[1]["total_connections"] == before
    time.seconds += 3000
    assert target.send(batch(3, 3)) == Accepted(1)
    assert server.ask("/varz")[1]["total_connections"] == before + 1
    target.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nats://h/a.b", "name of a stream"),
        ("nats://h/a/b", "name of a stream"),
        ("nats://h/A?subject=a.*", "without wildcards"),
        ("nats://h/A?subject=a..b", "without wildcards"),
        ("nats://h/A?windw=3", "no option 'windw'"),
        ("nats://h/A?window=0", "above 0"),
        ("nats://h/A?tls=maybe", "yes or no"),
    ],
)
def test_a_url_that_says_nothing_usable_is_refused_before_anything_happens(url, said):
    with pytest.raises(AddressError, match=said):
        target_for(url)


# -------------------------------------------------------------------------------------------------- who we are, and TLS

ACCOUNTS = """
authorization {{ users = [
  {{ user: "shipper", password: "s3cret" }}
  {{ user: "reader", password: "s3cret", permissions: {{ publish: "$JS.API.>", subscribe: "_INBOX.>" }} }}
  {{ user: "narrow", password: "s3cret", permissions: {{ subscribe: "_INBOX.>", publish: [
       "narrow.events", "$JS.API.STREAM.INFO.narrow", "$JS.API.STREAM.CREATE.narrow" ] }} }}
  {{ nkey: {nkey} }}
] }}
"""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory) -> Iterator[tuple[NatsServer, Path]]:
    """A server that asks who we are, and the file of a seed that it knows."""
    nkeys = pytest.importorskip("nkeys")
    root = tmp_path_factory.mktemp("guarded")
    seed = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER)
    (root / "seed").write_bytes(seed)
    public = nkeys.from_seed(bytearray(seed)).public_key.decode()
    with running_server(root / "server", more=ACCOUNTS.format(nkey=public)) as running:
        yield running, root / "seed"


def test_user_and_password_open_the_door(guarded):
    server, _ = guarded
    target = target_for(f"nats://shipper:s3cret@{HOST}:{server.port}/doors")
    assert target.send(batch(1, 1)) == Accepted(1)
    target.close()


def test_the_permissions_that_the_documentation_names_are_enough(guarded):
    server, _ = guarded
    target = target_for(f"nats://narrow:s3cret@{HOST}:{server.port}/narrow")
    assert target.send(batch(1, 1)) == Accepted(1)
    target.close()


def test_an_nkey_opens_the_door(guarded):
    server, seed = guarded
    target = target_for(f"nats://{HOST}:{server.port}/nkeys?nkey={seed}")
    assert target.send(batch(1, 1)) == Accepted(1)
    target.close()


@pytest.mark.parametrize("who", ["", "shipper:wrong@", "nobody:s3cret@", "atoken@"], ids=repr)
def test_wrong_credentials_are_told_without_showing_them(guarded, who):
    server, _ = guarded
    target = target_for(f"nats://{who}{HOST}:{server.port}/doors")
    with pytest.raises(UnusableError, match=r"(?i)authorization") as caught:
        target.send(batch(1, 1))
    assert "wrong" not in str(caught.value)
    assert "s3cret" not in str(caught.value)
    target.close()


def test_a_user_who_may_not_publish_is_told_so_at_once(guarded):
    server, _ = guarded
    target = target_for(f"nats://reader:s3cret@{HOST}:{server.port}/reading?timeout=5")
    with pytest.raises(UnusableError, match=r"(?i)permissions violation for publish"):
        target.send(batch(1, 1))
    target.close()


def test_a_file_of_keys_that_is_not_there_is_told(server):
    target = target_for(f"{server.url}/A?credentials=/nowhere/user.creds")
    with pytest.raises(UnusableError, match=r"user\.creds"):
        target.send(batch(1, 1))
    target.close()


def test_a_token_opens_the_door(tmp_path):
    with running_server(tmp_path, more='authorization { token: "t0ken" }') as server:
        target = target_for(f"nats://t0ken@{HOST}:{server.port}/tokens")
        assert target.send(batch(1, 1)) == Accepted(1)
        target.close()


def openssl(*arguments: str, cwd: Path) -> None:
    subprocess.run(["openssl", *arguments], cwd=cwd, check=True, capture_output=True)


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> Path:
    """A folder with a certificate authority, a server's certificate and a client's."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    root = tmp_path_factory.mktemp("keys")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test", cwd=root)
    for name, usage in (("server", "serverAuth"), ("client", "clientAuth")):
        (root / f"{name}.ext").write_text(f"subjectAltName=IP:{HOST},DNS:localhost\nextendedKeyUsage={usage}\n")
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}", cwd=root)
        sign = (
            "x509",
            "-req",
            "-in",
            f"{name}.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
        )
        openssl(*sign, "-extfile", f"{name}.ext", "-out", f"{name}.pem", cwd=root)
    return root


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory, keys) -> Iterator[NatsServer]:
    """A server that asks for a client's certificate."""
    files = f'cert_file: "{keys}/server.pem", key_file: "{keys}/server.key", ca_file: "{keys}/ca.pem"'
    more = f"tls {{ {files}, verify: true }}"
    with running_server(tmp_path_factory.mktemp("encrypted"), more=more) as running:
        yield running


def test_a_connection_is_encrypted_and_both_ends_are_checked(encrypted, keys):
    options = f"ca={keys}/ca.pem&certificate={keys}/client.pem&key={keys}/client.key"
    target = target_for(f"{encrypted.url}/tls?{options}")
    assert target.send(batch(1, 1)) == Accepted(1)
    target.close()


def test_a_server_whose_certificate_nobody_signed_is_not_trusted(encrypted):
    target = target_for(f"{encrypted.url}/tls?tls=yes")
    with pytest.raises(UnusableError, match=r"(?i)certificate verify failed"):
        target.send(batch(1, 1))
    target.close()


def test_a_missing_client_certificate_is_told(encrypted, keys):
    target = target_for(f"{encrypted.url}/tls?ca={keys}/ca.pem")
    with pytest.raises((UnusableError, RetryableError)):
        target.send(batch(1, 1))
    target.close()


def test_tls_is_not_given_up_when_the_server_has_none(server):
    target = target_for(f"{server.url}/plain?tls=yes")
    try:
        with pytest.raises(UnusableError, match="secure connection"):
            target.send(batch(1, 1))
    finally:
        target.close()


# ---------------------------------------------------------------------------------------------------------- the cluster


def test_a_cluster_gets_a_stream_with_three_replicas_and_a_server_one(server, cluster):
    target = target_for(f"nats://{cluster.authority}/AUDIT")
    assert target.send(batch(1, 10)) == Accepted(10)
    target.close()
    info = look(cluster.urls, lambda client: client.jetstream().stream_info("AUDIT"))
    assert info.config.num_replicas == 3
    assert info.config.duplicate_window == 120
    target = target_for(f"{server.url}/alone")
    assert target.send(batch(1, 1)) == Accepted(1)
    target.close()
    info = look([server.url], lambda client: client.jetstream().stream_info("alone"))
    assert info.config.num_replicas == 1


def test_a_stream_is_not_made_with_fewer_replicas_than_were_asked_for(server):
    target = target_for(f"{server.url}/strict?replicas=3")
    with pytest.raises(RetryableError, match="cannot be made with 3 replicas"):
        target.send(batch(1, 1))
    target.close()
    assert stored([server.url], "strict") == []


def ship_through(
    cluster: NatsCluster, directory: Path, fault: Any, *, events: int, at: int, mend: Any = lambda: None
) -> list[str]:
    """Ship while `fault` happens to the batch with event `at`; return the ids in the stream. `mend`: afterwards."""
    directory.mkdir()
    write_events(directory, [body(number) for number in range(1, events + 1)])
    target = target_for(f"nats://{cluster.authority}/AUDIT?timeout=4&batch=500")
    happening = threading.Thread(target=fault)
    inner = target.send

    def send(some: Batch) -> Accepted:
        if happening.ident is None and any(each.id == ident(at) for each in some):
            happening.start()
        return inner(some)

    target.send = send  # type: ignore[method-assign]
    shipper = Shipper(directory, target, name="cluster")

    def shipped() -> bool:
        try:
            return shipper.run_once()
        except RetryableError:
            happening.join()
            mend()
            return False

    poll(shipped, "everything to be shipped", 90)
    happening.join()
    return ids_in(cluster.urls, "AUDIT")


@pytest.mark.parametrize("fault", ["kill", "freeze"])
def test_a_leader_that_is_gone_costs_no_event_and_makes_no_double(cluster, tmp_path, fault):
    target = target_for(f"nats://{cluster.authority}/AUDIT")
    target.send(batch(1, 1))
    target.close()
    leader = cluster.leader("AUDIT")
    try:
        found = ship_through(cluster, tmp_path / "audit", getattr(leader, fault), events=5000, at=1700)
    finally:
        if fault == "freeze":
            leader.thaw()
    assert sorted(found) == idents(1, 5000)


def test_all_nodes_killed_and_started_again_lose_nothing(cluster, tmp_path):
    found = ship_through(cluster, tmp_path / "audit", cluster.kill, events=5000, at=1700, mend=cluster.start)
    assert sorted(found) == idents(1, 5000)


def test_without_a_majority_nothing_counts_as_shipped(cluster):
    target = target_for(f"nats://{cluster.authority}/AUDIT?timeout=2")
    assert target.send(batch(1, 5)) == Accepted(5)
    for node in cluster.nodes[1:]:
        node.kill()
    for _ in range(3):
        with pytest.raises(RetryableError):
            target.send(batch(6, 10))
    cluster.start()

    def sent() -> bool:
        try:
            return target.send(batch(6, 10)) == Accepted(5)
        except RetryableError:
            return False

    poll(sent, "the majority to be back", 60)
    target.close()
    assert sorted(ids_in(cluster.urls, "AUDIT")) == idents(1, 10)
