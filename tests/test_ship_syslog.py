"""`syslog+tcp://`, `syslog+tls://` and `syslog+relp://` against a real rsyslogd, and against peers that misbehave."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from auditmw.formats.syslog import SyslogFormat
from auditmw.parsing import parse_event
from auditmw.ship.address import AddressError
from auditmw.ship.batch import Batch, Entry, identified
from auditmw.ship.status import statuses
from auditmw.ship.target import Accepted, RetryableError, Target, UnusableError
from auditmw.ship.targets import target_for
from certificates import Certificates
from servers import HOST, poll
from ship_conformance import Between, Place, ShipConformance, body, ident, idents, write_events
from syslog_server import SecureRsyslog

SYSLOG = SyslogFormat()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def rsyslog(tmp_path_factory, certificates) -> Iterator[SecureRsyslog]:
    with SecureRsyslog(tmp_path_factory.mktemp("rsyslog"), certificates) as running:
        yield running


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "audit"
    path.mkdir()
    return path


def url(server: SecureRsyslog, kind: str) -> str:
    keys = server.certificates.options
    return {
        "tcp": f"syslog+tcp://{HOST}:{server.port}?timeout=5",
        "tls": f"syslog+tls://{HOST}:{server.tls}?timeout=5&{keys}",
        "relp": f"syslog+relp://{HOST}:{server.relp}?timeout=5",
        "relp over tls": f"syslog+relp://{HOST}:{server.relp_tls}?timeout=5&{keys}",
    }[kind]


class SyslogPlace(Place):
    """What rsyslogd writes from now on; it is asked when it has written all that a target had accepted."""

    exact = False

    def __init__(self, server: SecureRsyslog, kind: str) -> None:
        self.server, self.kind = server, kind
        self.offset = server.out.stat().st_size if server.out.exists() else 0
        self.accepted = 0

    def target(self) -> Target:
        return Between(Counted(target_for(url(self.server, self.kind)), self), lambda batch: None)

    def rows(self) -> list[tuple[str, bytes]]:
        poll(lambda: len(self.server.lines(self.offset)) >= self.accepted, "rsyslogd to write what it took")
        return [(row(line["message"]), b"") for line in self.server.lines(self.offset)]

    def down(self) -> None:
        self.rows()
        self.server.kill()

    def up(self) -> None:
        self.server.start()


class Counted(Target):
    """Tells a place what was accepted."""

    def __init__(self, target: Target, place: SyslogPlace) -> None:
        self.max_events, self.max_bytes, self.format = target.max_events, target.max_bytes, target.format
        self._target, self._place = target, place

    def send(self, batch: Batch) -> Accepted:
        accepted = self._target.send(batch)
        self._place.accepted += accepted.events
        return accepted

    def close(self) -> None:
        self._target.close()


def row(message: str) -> str:
    return str(json.loads(message).get("id"))


@pytest.mark.needs("rsyslogd", "openssl")
class TestRsyslog(ShipConformance):
    @pytest.fixture(params=["tcp", "tls", "relp", "relp over tls"])
    def place(self, rsyslog, request):
        return SyslogPlace(rsyslog, request.param)


# ---------------------------------------------------------------------------------------------------------- real faults


def entry(number: int, each: bytes | None = None) -> Entry:
    each = body(number) if each is None else each
    event = parse_event(each)
    return Entry("w", number, identified(event, "w", number), each, SYSLOG.render(event))


def batch(first: int, last: int) -> Batch:
    return Batch([entry(number) for number in range(first, last + 1)])


def kill_after(server: SecureRsyslog, count: int) -> None:
    poll(lambda: len(server.lines()) > count, "rsyslogd to be at work")
    server.kill()


@pytest.mark.needs("rsyslogd", "openssl")
@pytest.mark.parametrize("kind", ["relp", "relp over tls"])
def test_over_relp_nothing_is_lost_when_rsyslogd_is_killed_again_and_again(tmp_path, certificates, directory, kind):
    write_events(directory, [body(number) for number in range(1, 3001)])
    with SecureRsyslog(tmp_path / "rsyslog", certificates) as server:
        suite, kills = ShipConformance(), 0
        while True:
            target = target_for(url(server, kind))
            target.max_events = 200
            killing = Between(target, lambda batch: None)
            thread = threading.Thread(target=kill_after, args=(server, len(server.lines()) + 50))
            if kills < 3:
                thread.start()
            try:
                assert suite.shipper(directory, killing).run_once()
                break
            except RetryableError:
                thread.join()
                kills += 1
                server.start()
        found = [row(line["message"]) for line in server.lines()]
    assert kills == 3
    assert set(found) == set(idents(1, 3000))
    assert list(dict.fromkeys(found)) == idents(1, 3000)
    [status] = statuses(directory)
    assert (status.counts["shipped"], status.dead_letters) == (3000, 0)


@pytest.mark.needs("rsyslogd", "openssl")
@pytest.mark.parametrize("kind", ["tls", "relp over tls"])
class TestTls:
    def test_without_a_client_certificate_nothing_counts_as_delivered(self, rsyslog, certificates, kind):
        before = len(rsyslog.lines())
        place = url(rsyslog, kind).partition("?")[0]
        target = target_for(f"{place}?timeout=5&ca={certificates.path('ca.pem')}")
        for _ in range(3):
            with pytest.raises((UnusableError, RetryableError)) as caught:
                target.send(batch(1, 10))
            assert isinstance(caught.value, UnusableError) or kind != "tls"
        target.close()
        assert len(rsyslog.lines()) == before

    def test_a_server_of_another_authority_is_not_trusted(self, rsyslog, certificates, kind):
        place = url(rsyslog, kind).partition("?")[0]
        target = target_for(f"{place}?timeout=5&ca={certificates.path('other.pem')}")
        with pytest.raises(UnusableError, match="not trusted"):
            target.send(batch(1, 10))

    def test_a_peer_without_tls_is_told(self, rsyslog, certificates, kind):
        place = url(rsyslog, kind).partition("?")[0].rpartition(":")[0]
        port = rsyslog.port if kind == "tls" else rsyslog.relp
        target = target_for(f"{place}:{port}?timeout=0.5&{certificates.options}")
        with pytest.raises((UnusableError, RetryableError), match=r"TLS|answer|broke off"):
            target.send(batch(1, 10))


@pytest.mark.needs("rsyslogd", "openssl")
def test_a_relp_receiver_that_wants_tls_is_told_from_one_that_is_away(rsyslog):
    target = target_for(f"syslog+relp://{HOST}:{rsyslog.relp_tls}?timeout=2")
    with pytest.raises((UnusableError, RetryableError), match=r"speak RELP|may want TLS|broke off|answer"):
        target.send(batch(1, 1))


@pytest.mark.needs("rsyslogd", "openssl")
def test_plain_messages_to_a_receiver_that_wants_tls_do_not_count(rsyslog):
    target = target_for(f"syslog+tcp://{HOST}:{rsyslog.tls}?timeout=2")
    for _ in range(2):
        with pytest.raises(RetryableError, match=r"it may want TLS|broke off"):
            target.send(batch(1, 10))
    target.close()


# ------------------------------------------------------------------------------------------------------ scripted peers


@contextmanager
def peer(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port whose connections are served by a function, one after the other."""
    listening = socket.create_server((HOST, 0))
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            try:
                connected, _ = listening.accept()
            except OSError:
                return
            with connected, suppress(OSError):
                connected.settimeout(10)
                serve(connected)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        over.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def frames(incoming) -> Iterator[tuple[int, bytes, bytes]]:
    """The RELP frames that come in: number, command, data."""
    while True:
        header = b""
        while not header.endswith((b"\n",)) and header.count(b" ") < 3:
            byte = incoming.read(1)
            if not byte:
                return
            header += byte
        number, command, length = header.split()
        data = incoming.read(int(length) + 1)[:-1] if header.endswith(b" ") else b""
        yield int(number), command, data


def relp(answers: Callable[[int, bytes, bytes], bytes | None]) -> Callable[[socket.socket], None]:
    """Serves RELP: what to answer to a frame; None to close the connection."""

    def serve(connected: socket.socket) -> None:
        with connected.makefile("rb") as incoming:
            for number, command, data in frames(incoming):
                answer = answers(number, command, data)
                if answer is None:
                    return
                connected.sendall(answer)

    return serve


def rsp(number: int, text: bytes) -> bytes:
    return b"%d rsp %d %s\n" % (number, len(text), text)


OPENED = b"200 OK\nrelp_version=0\nrelp_software=a test\ncommands=syslog"


def usual(number: int, command: bytes, data: bytes) -> bytes:
    return rsp(number, OPENED if command == b"open" else b"200 OK")


def test_relp_says_what_it_offers_and_numbers_its_frames():
    heard: list[tuple[int, bytes, bytes]] = []

    def listen(number: int, command: bytes, data: bytes) -> bytes:
        heard.append((number, command, data))
        return usual(number, command, data)

    with peer(relp(listen)) as port:
        target = target_for(f"syslog+relp://{HOST}:{port}?facility=10&enterprise=99")
        assert isinstance(target.format, SyslogFormat)
        record = target.format.render(entry(1).event)
        assert target.send(Batch([entry(1)._replace(record=record), entry(2)])) == Accepted(2)
        assert target.send(batch(3, 3)) == Accepted(1)
        target.close()
    assert heard == [
        (1, b"open", b"relp_version=0\nrelp_software=auditmw\ncommands=syslog"),
        (2, b"syslog", record),
        (3, b"syslog", entry(2).record),
        (4, b"syslog", entry(3).record),
        (5, b"close", b""),
    ]
    assert record.startswith(b"<86>1 ")  # facility 10, informational
    assert b"[auditmw@99 " in record


def with_syslog(answer: Callable[[int], bytes | None]) -> Callable[[int, bytes, bytes], bytes | None]:
    """Opens a session as usual, and answers messages by their number."""
    return lambda number, command, data: answer(number) if command == b"syslog" else usual(number, command, data)


@pytest.mark.parametrize(
    ("answers", "error", "words"),
    [
        (with_syslog(lambda number: rsp(number, b"500 disk full")), RetryableError, "500 disk full"),
        (with_syslog(lambda number: None), RetryableError, "closed the connection"),
        (with_syslog(lambda number: rsp(number, b"200 OK")[:7]), RetryableError, "did not answer"),
        (with_syslog(lambda number: b""), RetryableError, "did not answer"),
        (with_syslog(lambda number: b"0 serverclose 0\n"), RetryableError, "closes the session"),
        (with_syslog(lambda number: rsp(number + 1000, b"200 OK")), UnusableError, "awaits none"),
        (with_syslog(lambda number: b"HTTP/1.1 400 Bad Request\r\n"), UnusableError, "speak RELP"),
        (with_syslog(lambda number: b"%d rsp 99999999 2\n" % number), UnusableError, "speak RELP"),
        (with_syslog(lambda number: b"x" * 100_000), UnusableError, "speak RELP"),
        (lambda number, command, data: rsp(number, b"500 syslog not wanted"), UnusableError, "500 syslog not wanted"),
        (lambda number, command, data: None, RetryableError, "closed the connection"),
    ],
    ids=[
        "an error",
        "a closed connection",
        "half of an answer",
        "no answer",
        "the server goes",
        "an answer to nothing",
        "HTTP",
        "a length that cannot be",
        "no line",
        "a session that is refused",
        "a session that is not answered",
    ],
)
def test_what_goes_wrong_over_relp_is_told_and_nothing_counts(answers, error, words):
    with peer(relp(answers)) as port:
        target = target_for(f"syslog+relp://{HOST}:{port}?timeout=0.3")
        with pytest.raises(error, match=words) as caught:
            target.send(batch(1, 3))
        assert type(caught.value) is error
        target.close()


def test_an_answer_of_relp_may_have_several_lines():
    with peer(relp(with_syslog(lambda number: rsp(number, b"200 OK\nand\nmore")))) as port:
        target = target_for(f"syslog+relp://{HOST}:{port}?timeout=2")
        assert target.send(batch(1, 3)) == Accepted(3)
        target.close()


def test_no_more_than_a_window_of_relp_goes_without_an_answer():
    most = 0

    def serve(connected: socket.socket) -> None:
        """Answers when nothing more comes."""
        nonlocal most
        connected.settimeout(0.1)
        came = b""
        while True:
            try:
                data = connected.recv(1_000_000)
            except TimeoutError:
                heads = re.findall(rb"^(\d+) (open|syslog|close) \d", came, re.MULTILINE)
                most = max(most, len(heads))
                connected.sendall(b"".join(usual(int(number), command, b"") for number, command in heads))
                came = b""
                continue
            if not data:
                return
            came += data

    with peer(serve) as port:
        target = target_for(f"syslog+relp://{HOST}:{port}?timeout=20")
        assert target.send(batch(1, 500)) == Accepted(500)
        target.close()
    assert most == 128


def test_a_peer_of_tcp_that_never_reads_is_given_up():
    over = threading.Event()
    with peer(lambda connected: over.wait(10) and None) as port:
        target = target_for(f"syslog+tcp://{HOST}:{port}?timeout=0.3")
        large = Batch([entry(number, body(number, note="x" * 1_000_000)) for number in range(1, 13)])
        with pytest.raises(RetryableError, match=r"did not answer within 0\.3 s"):
            target.send(large)
        over.set()
        target.close()


def test_a_peer_of_tcp_that_closes_while_a_batch_is_under_way_has_nothing():
    with peer(lambda connected: connected.recv(10) and None) as port:
        target = target_for(f"syslog+tcp://{HOST}:{port}?timeout=2")
        large = Batch([entry(number, body(number, note="x" * 1_000_000)) for number in range(1, 13)])
        for _ in range(2):
            with pytest.raises(RetryableError, match=r"broke off|closed the connection"):
                target.send(large)
        target.close()


def test_a_connection_that_was_closed_between_two_batches_is_opened_anew():
    heard: list[bytes] = []

    def one_frame(connected: socket.socket) -> None:
        with connected.makefile("rb") as incoming:
            length = b""
            while not length.endswith(b" "):
                length += incoming.read(1)
            heard.append(incoming.read(int(length)))
            connected.recv(1) if len(heard) == 2 else None

    with peer(one_frame) as port:
        target = target_for(f"syslog+tcp://{HOST}:{port}?timeout=2")
        with suppress(RetryableError):  # when the peer was quicker than we
            target.send(batch(1, 1))
        poll(lambda: target._wire is None or not target._wire.is_usable(), "the peer to close")
        assert target.send(batch(2, 2)) == Accepted(1)
        target.close()
    assert heard == [entry(1).record, entry(2).record]


def test_frames_count_octets():
    heard: list[bytes] = []
    event = entry(1, body(1, user="ü", note="a\nb"))

    def listen(connected: socket.socket) -> None:
        while data := connected.recv(65536):
            heard.append(data)

    with peer(listen) as port:
        target = target_for(f"syslog+tcp://{HOST}:{port}")
        assert target.send(Batch([event, entry(2)])) == Accepted(2)
        target.close()
        first, second = event.record, entry(2).record
        expected = b"%d %s%d %s" % (len(first), first, len(second), second)
        poll(lambda: len(b"".join(heard)) >= len(expected), "the frames to be read")
    assert b"".join(heard) == expected


@pytest.mark.parametrize("scheme", ["syslog+tcp", "syslog+relp"])
def test_messages_that_the_receiver_would_cut_are_refused(scheme):
    serve = relp(usual) if scheme == "syslog+relp" else lambda connected: connected.recv(1_000_000) and None
    with peer(serve) as port:
        target = target_for(f"{scheme}://{HOST}:{port}?max_message=2000&timeout=2")
        long = entry(2, body(2, note="x" * 2000))
        assert target.send(Batch([long])) == Accepted(0, {0: reason(long)})
        with suppress(RetryableError):  # the plain peer closes
            assert target.send(Batch([entry(1), long])) == Accepted(1, {1: reason(long)})
        target.close()


def reason(each: Entry) -> str:
    return f"a message of {len(each.record)} bytes is longer than max_message=2000"


@pytest.mark.parametrize(
    ("address", "format", "words"),
    [
        ("syslog+tcp://h", "ecs", "leave out the format"),
        ("syslog+relp://h", "native", "leave out the format"),
        ("syslog+tcp://h?facility=24", None, "a facility from 0 to 23"),
        ("syslog+tcp://h?facility=audit", None, "a facility from 0 to 23"),
        ("syslog+tcp://h?enterprise=me", None, "a whole number above 0"),
        ("syslog+tcp://h?ca=ca.pem", None, r"expected syslog\+tls:"),
        ("syslog+tls://me@h", None, "without user and path"),
        ("syslog+udp://h", None, r"syslog\+tcp:, syslog\+tls:, syslog\+relp:"),
        ("syslog+tcp://h?retries=3", None, "has no option 'retries'"),
    ],
    ids=lambda value: value,
)
def test_a_url_that_cannot_be_meant_is_refused(address, format, words):
    with pytest.raises(AddressError, match=words):
        target_for(address, format)


def test_the_format_may_be_named():
    assert isinstance(target_for("syslog+tcp://h", "syslog").format, SyslogFormat)
    assert ident(1) in entry(1).record.decode()
