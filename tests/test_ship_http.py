"""The HTTP targets against a server that answers as the service's documentation says, and as a test wants."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from auditmw.parsing import parse_event
from auditmw.ship.address import Address, AddressError
from auditmw.ship.batch import Batch, Entry, identified
from auditmw.ship.http_client import HttpClient, retry_after_seconds
from auditmw.ship.status import statuses
from auditmw.ship.target import Accepted, RejectedError, RetryableError, Target, TooLargeError, UnusableError
from auditmw.ship.targets import target_for
from certificates import Certificates
from servers import HOST, Nginx, free_ports
from ship_conformance import Place, ShipConformance, body, ident, idents, write_events
from web_receiver import SILENT, Received, Reply, WebReceiver, as_json

POISON = json.dumps({"id": "poison", "event": "poison", "timestamp": "2026-11-20T00:00:00.000000Z"}).encode()


def is_poison(event: dict[str, Any]) -> bool:
    return "poison" in str(event.get("event"))


class Service:
    """What stands behind a URL. `rows`: what it has."""

    scheme = ""

    def __init__(self) -> None:
        self.rows: list[tuple[Any, bytes]] = []

    def __call__(self, received: Received) -> Reply:
        raise NotImplementedError

    def url(self, place: str) -> str:
        return f"{self.scheme}://{place}"


class Endpoint(Service):
    """Takes lines of JSON, all or none."""

    scheme = "http"

    def __call__(self, received: Received) -> Reply:
        lines = received.body.split(b"\n")[:-1]
        if any(is_poison(parse_event(line)) for line in lines):
            return as_json({"error": "a line is poison"}, 400)
        self.rows += [(parse_event(line).get("id"), line) for line in lines]
        return Reply(204)

    def url(self, place: str) -> str:
        return f"http://{place}/events?timeout=5"


class Elasticsearch(Service):
    """Creates documents; of an id that is there it says 409, and of a document that does not fit the mapping 400."""

    scheme = "elastic+http"

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()

    def __call__(self, received: Received) -> Reply:
        lines = received.body.split(b"\n")[:-1]
        items = [self.create(json.loads(lines[at])["create"]["_id"], lines[at + 1]) for at in range(0, len(lines), 2)]
        return as_json({"errors": any(item["status"] > 299 for item in items), "items": [{"create": i} for i in items]})

    def create(self, document: str, source: bytes) -> dict[str, Any]:
        if is_poison(parse_event(source)):
            return {"status": 400, "error": {"type": "document_parsing_exception", "reason": "failed to parse"}}
        if document in self.ids:
            return {"status": 409, "error": {"type": "version_conflict_engine_exception", "reason": "exists"}}
        self.ids.add(document)
        self.rows.append((document, source))
        return {"status": 201}

    def url(self, place: str) -> str:
        return f"elastic+http://{place}/audit?timeout=5"


class Loki(Service):
    """Keeps lines by stream and time; the same line at the same time is left out."""

    scheme = "loki+http"

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[str, str, str]] = set()

    def __call__(self, received: Received) -> Reply:
        streams = json.loads(received.body)["streams"]
        if any(is_poison(parse_event(line.encode())) for stream in streams for _, line in stream["values"]):
            return Reply(400, b"entry for stream '{job=\"auditmw\"}' has timestamp too old")
        for stream in streams:
            for time_ns, line in stream["values"]:
                assert int(time_ns) >= 0
                key = (json.dumps(stream["stream"], sort_keys=True), time_ns, line)
                if key not in self.seen:
                    self.seen.add(key)
                    self.rows.append((parse_event(line.encode()).get("id"), line.encode()))
        return Reply(204)


class Splunk(Service):
    """Takes objects one after the other, and says `code` with what is wrong."""

    scheme = "splunk+http"

    def __call__(self, received: Received) -> Reply:
        if "/ack?" in received.path:
            return as_json({"acks": dict.fromkeys(map(str, json.loads(received.body)["acks"]), True)})
        taken = []
        for line in received.body.split(b"\n"):
            content = parse_event(line)
            if is_poison(content["event"]):
                return as_json({"text": "Invalid data format", "code": 6, "invalid-event-number": 0}, 400)
            taken.append((content["event"].get("id"), line[line.index(b',"event":') + len(b',"event":') : -1]))
        self.rows += taken
        return as_json({"text": "Success", "code": 0, "ackId": len(self.rows)})


class WebPlace(Place):
    poison = POISON

    def __init__(self, service: Service, receiver: WebReceiver, format: str | None = None) -> None:
        self.service, self.receiver, self.format = service, receiver, format

    def target(self) -> Target:
        return target_for(self.service.url(self.receiver.place), self.format)

    def rows(self) -> list[tuple[str, bytes]]:
        return [(ident if isinstance(ident, str) else str(ident), row) for ident, row in self.service.rows]

    def down(self) -> None:
        self.receiver.stop()

    def up(self) -> None:
        self.receiver.start()


@pytest.fixture
def serve():
    started: list[WebReceiver] = []

    def start(service: Callable[[Received], Reply], context: Any = None) -> WebReceiver:
        started.append(WebReceiver(service, context).start())
        return started[-1]

    yield start
    for each in started:
        each.stop()


class TestHttp(ShipConformance):
    @pytest.fixture
    def place(self, serve):
        service = Endpoint()
        return WebPlace(service, serve(service))


class TestElastic(ShipConformance):
    @pytest.fixture
    def place(self, serve):
        service = Elasticsearch()
        place = WebPlace(service, serve(service), "native")
        place.once = True
        return place


class TestElasticInEcs(ShipConformance):
    @pytest.fixture
    def place(self, serve):
        service = Elasticsearch()
        place = WebPlace(service, serve(service))
        place.once, place.exact = True, False
        return place


class TestLoki(ShipConformance):
    @pytest.fixture
    def place(self, serve):
        service = Loki()
        place = WebPlace(service, serve(service))
        place.once = True
        return place


class TestSplunk(ShipConformance):
    @pytest.fixture
    def place(self, serve):
        service = Splunk()
        return WebPlace(service, serve(service))


# ------------------------------------------------------------------------------------------------------------ requests


def entry(number: int, each: bytes | None = None) -> Entry:
    each = body(number) if each is None else each
    event = parse_event(each)
    return Entry("w", number, identified(event, "w", number), each, each)


def batch(first: int, last: int) -> Batch:
    return Batch([entry(number) for number in range(first, last + 1)])


SERVICES = [Endpoint, Elasticsearch, Loki, Splunk]
each_service = pytest.mark.parametrize("kind", SERVICES, ids=lambda kind: kind.scheme)


def open_service(kind: type[Service], serve: Any, options: str = "", format: str | None = None) -> tuple[Any, Any, Any]:
    service = kind()
    receiver = serve(service)
    url = service.url(receiver.place)
    native = "native" if kind is Elasticsearch and format is None else format
    return service, receiver, target_for(url + ("&" if "?" in url else "?") + options if options else url, native)


def test_a_post_has_lines_of_json_and_a_key_that_is_the_same_for_the_same_batch(serve):
    service, receiver, target = open_service(Endpoint, serve)
    for _ in range(2):
        assert target.send(batch(1, 3)) == Accepted(3)
    target.send(batch(1, 2))
    target.close()
    first, second, third = receiver.received
    assert first.path == "/events"
    assert first.headers["content-type"] == "application/x-ndjson"
    assert first.body == body(1) + b"\n" + body(2) + b"\n" + body(3) + b"\n"
    assert first.headers["idempotency-key"] == f'"{batch(1, 3).token}"'
    assert second.headers["idempotency-key"] == first.headers["idempotency-key"] != third.headers["idempotency-key"]
    assert receiver.connections == 1
    assert len(service.rows) == 8


@each_service
def test_one_connection_serves_many_batches_and_a_new_one_comes_when_the_server_closed_it(serve, kind):
    service, receiver, target = open_service(kind, serve)
    for number in range(1, 6):
        assert target.send(batch(number, number)) == Accepted(1)
    assert receiver.connections == 1
    receiver.stop()
    receiver.start()
    assert target.send(batch(6, 6)) == Accepted(1)
    target.close()
    assert [each for each, _ in service.rows] == idents(1, 6)
    assert receiver.connections == 2


@pytest.mark.parametrize("options", ["", "?gzip=yes"], ids=["plain", "compressed"])
def test_a_body_in_many_pieces_arrives_as_one(serve, options):
    pieces = [b"%d\n" % number for number in range(10_000)]
    receiver = serve(lambda received: Reply(200))
    client = HttpClient(Address(f"http://{receiver.place}/{options}"))
    assert client.post("/", pieces, {}).status == 200
    client.close()
    [received] = receiver.received
    assert received.body == b"".join(pieces)
    assert received.headers.get("content-encoding") == ("gzip" if options else None)


def test_a_bulk_request_creates_documents_by_id_and_asks_for_little(serve):
    _, receiver, target = open_service(Elasticsearch, serve)
    target.send(Batch([entry(1), entry(2, b'{"id":"' + b"x" * 600 + b'"}')]))
    target.close()
    [received] = receiver.received
    assert received.path.startswith("/audit/_bulk?filter_path=errors,items.*.status,")
    assert received.headers["content-encoding"] == "gzip"
    action, document, long_action, _, rest = received.body.split(b"\n")
    assert json.loads(action) == {"create": {"_id": ident(1)}}
    assert document == body(1)
    assert len(json.loads(long_action)["create"]["_id"]) == 64
    assert rest == b""


def test_the_index_of_elasticsearch_is_a_data_stream_unless_the_url_names_one(serve):
    receiver = serve(Elasticsearch())
    target = target_for(f"elastic+http://{receiver.place}")
    assert target.format is not None
    assert target.format.name == "ecs"
    target.send(Batch([entry(1)._replace(record=target.format.render(entry(1).event))]))
    target.close()
    assert receiver.received[0].path.startswith("/logs-auditmw-default/_bulk?")
    assert b'"@timestamp"' in receiver.received[0].body


@pytest.mark.parametrize(
    ("status", "error", "outcome"),
    [
        (409, "version_conflict_engine_exception", Accepted(3)),
        (400, "document_parsing_exception", Accepted(2, {1: "document_parsing_exception"})),
        (429, "es_rejected_execution_exception", RetryableError),
        (503, "unavailable_shards_exception", RetryableError),
        (403, "security_exception", UnusableError),
        (404, "index_not_found_exception", UnusableError),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else None,
)
def test_each_item_of_a_bulk_answer_is_looked_at(serve, status, error, outcome):
    _, receiver, target = open_service(Elasticsearch, serve)
    item = {"create": {"status": status, "error": {"type": error, "reason": "why"}}}
    receiver.script = [
        as_json({"errors": True, "items": [{"create": {"status": 201}}, item, {"create": {"status": 201}}]})
    ]
    if isinstance(outcome, Accepted):
        accepted = target.send(batch(1, 3))
        assert (accepted.events, set(accepted.refused)) == (outcome.events, set(outcome.refused))
        assert all(error in reason for reason in accepted.refused.values())
    else:
        with pytest.raises(outcome, match=f"{status}: {error}: why"):
            target.send(batch(1, 3))
    target.close()


def test_a_bulk_request_that_was_taken_in_part_comes_again_and_nothing_is_there_twice(serve):
    service, receiver, target = open_service(Elasticsearch, serve)

    def busy_with_the_last(reply: Reply) -> Reply:
        content = json.loads(reply.body)
        content["items"][-1] = {"create": {"status": 429, "error": {"type": "busy", "reason": "queue is full"}}}
        document, _ = service.rows.pop()
        service.ids.discard(document)
        return as_json({"errors": True, "items": content["items"]})

    receiver.script = [busy_with_the_last]
    with pytest.raises(RetryableError, match="queue is full"):
        target.send(batch(1, 5))
    assert target.send(batch(1, 5)) == Accepted(5)
    target.close()
    assert [each for each, _ in service.rows] == idents(1, 5)


def test_loki_gets_few_labels_the_time_and_the_line(serve):
    service, receiver, target = open_service(Loki, serve, "job=shop&tenant=acme")
    odd = entry(3, body(3, timestamp="yesterday"))
    assert target.send(Batch([entry(1), entry(2, body(2, level="error")), odd])) == Accepted(2, {2: _no_time()})
    target.close()
    [received] = receiver.received
    assert received.headers["x-scope-orgid"] == "acme"
    assert received.path == "/loki/api/v1/push"
    assert json.loads(received.body)["streams"] == [
        {
            "stream": {"job": "shop", "service_name": "shop", "level": "info"},
            "values": [["1795132801000001000", body(1).decode()]],
        },
        {
            "stream": {"job": "shop", "service_name": "shop", "level": "error"},
            "values": [["1795132802000002000", body(2, level="error").decode()]],
        },
    ]
    assert len(service.rows) == 2


def _no_time() -> str:
    from auditmw.ship.targets.loki import _NO_TIME

    return _NO_TIME


def test_splunk_gets_the_event_to_the_byte_with_its_time_and_the_token(serve):
    _, receiver, target = open_service(Splunk, serve, "token=t0ken&index=audit")
    target.send(batch(1, 1))
    target.close()
    [received] = receiver.received
    assert received.path == "/services/collector/event"
    assert received.headers["authorization"] == "Splunk t0ken"
    assert json.loads(received.body) == {
        "time": "1795132801.000001",
        "source": "auditmw",
        "sourcetype": "auditmw:event",
        "index": "audit",
        "event": json.loads(body(1)),
    }


def test_splunk_is_asked_until_it_acknowledges(serve):
    _, receiver, target = open_service(Splunk, serve, "ack=yes")
    waits: list[float] = []
    target._wait = waits.append
    receiver.script = [lambda reply: reply, *[as_json({"acks": {"1": False}})] * 3]
    assert target.send(batch(1, 1)) == Accepted(1)
    target.close()
    assert waits == [0.05, 0.1, 0.2]
    channel = receiver.received[0].headers["x-splunk-request-channel"]
    assert [each.path for each in receiver.received[1:]] == [f"/services/collector/ack?channel={channel}"] * 4
    assert json.loads(receiver.received[1].body) == {"acks": [1]}


@pytest.mark.parametrize(
    ("script", "error", "words"),
    [
        ([as_json({"text": "Success", "code": 0})], UnusableError, "no indexer acknowledgement"),
        ([as_json({"text": "ACK is disabled", "code": 14}, 400)], UnusableError, "ACK is disabled"),
        (
            [as_json({"ackId": 1}), *[as_json({"acks": {"1": False}})] * 9],
            RetryableError,
            "not acknowledged a batch in 2 s",
        ),
    ],
    ids=["the token has none", "it is disabled", "it never comes"],
)
def test_an_acknowledgement_of_splunk_that_does_not_come_is_told(serve, script, error, words):
    _, receiver, target = open_service(Splunk, serve, "ack=yes&ack_timeout=2")
    target._wait = lambda seconds: None
    receiver.script = list(script)
    with pytest.raises(error, match=words):
        target.send(batch(1, 1))
    target.close()


def test_an_incorrect_index_of_splunk_buries_no_event(serve):
    _, receiver, target = open_service(Splunk, serve)
    receiver.script = [as_json({"text": "Incorrect index", "code": 7}, 400)]
    with pytest.raises(UnusableError, match="Incorrect index"):
        target.send(batch(1, 2))
    target.close()


# ------------------------------------------------------------------------------------------------------------- answers


@each_service
@pytest.mark.parametrize(
    ("reply", "error", "after_seconds"),
    [
        (Reply(429, b"slow down", {"Retry-After": "7"}), RetryableError, 7.0),
        (Reply(503, b"<html>maintenance", {"Retry-After": "999999"}), RetryableError, 3600.0),
        (Reply(503, b"", {"Retry-After": "soon"}), RetryableError, None),
        (Reply(500), RetryableError, None),
        (Reply(502), RetryableError, None),
        (Reply(408), RetryableError, None),
        (Reply(400, b"bad"), RejectedError, None),
        (Reply(422, b"bad"), RejectedError, None),
        (Reply(413, b"too much"), TooLargeError, None),
        (Reply(401, b"who are you"), UnusableError, None),
        (Reply(403), UnusableError, None),
        (Reply(404), UnusableError, None),
        (Reply(301, b"", {"Location": "https://elsewhere.example/"}), UnusableError, None),
        (Reply(501), UnusableError, None),
    ],
    ids=lambda value: f"{value.status} {value.headers.get('Retry-After', '')}" if isinstance(value, Reply) else None,
)
def test_what_an_answer_means(serve, kind, reply, error, after_seconds):
    service, receiver, target = open_service(kind, serve)
    receiver.script = [reply]
    with pytest.raises(error) as caught:
        target.send(batch(1, 2))
    assert str(reply.status) in caught.value.reason
    assert reply.body.decode() in caught.value.reason
    assert type(caught.value) is error
    assert getattr(caught.value, "after_seconds", None) == after_seconds
    assert target.send(batch(1, 2)) == Accepted(2)
    target.close()
    assert len(service.rows) == 2


@each_service
def test_an_answer_that_breaks_off_is_no_acceptance(serve, kind):
    service, receiver, target = open_service(kind, serve)
    receiver.script = [lambda reply: Reply(200, reply.body + b" " * 50, reply.headers, cut=True)]
    with pytest.raises(RetryableError, match="broke off"):
        target.send(batch(1, 2))
    assert target.send(batch(1, 2)) == Accepted(2)
    target.close()
    assert {each for each, _ in service.rows} == set(idents(1, 2))


@each_service
def test_a_server_that_accepts_and_never_answers_is_given_up(serve, kind):
    service = kind()
    receiver = serve(service)
    target = target_for(service.url(receiver.place).partition("?")[0] + "?timeout=0.2")
    receiver.script = [SILENT]
    each = entry(1)
    if target.format is not None:
        each = each._replace(record=target.format.render(each.event))
    with pytest.raises(RetryableError, match=r"did not answer within 0\.2 s"):
        target.send(Batch([each]))
    target.close()


def test_a_server_that_answers_a_byte_at_a_time_is_given_up(serve):
    import socket
    import threading

    listening = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def trickle() -> None:
        connected, _ = listening.accept()
        with connected:
            while not over.wait(0.02):
                try:
                    connected.sendall(b"H")
                except OSError:
                    return

    thread = threading.Thread(target=trickle)
    thread.start()
    target = target_for(f"http://127.0.0.1:{listening.getsockname()[1]}/?timeout=0.3")
    begun = time.monotonic()
    with pytest.raises(RetryableError, match=r"did not answer within 0\.3 s"):
        target.send(batch(1, 1))
    assert time.monotonic() - begun < 5
    target.close()
    over.set()
    thread.join()
    listening.close()


@pytest.mark.parametrize("kind", [Elasticsearch, Splunk], ids=lambda kind: kind.scheme)
@pytest.mark.parametrize("content", [b"<html>welcome", b"[]", b"null", b"", b'{"errors":true,"items":[]}'], ids=repr)
def test_a_success_that_says_nothing_of_events_is_not_believed(serve, kind, content):
    if kind is Splunk and content.startswith(b"{"):
        pytest.skip("an answer of Splunk that says nothing more")
    _, receiver, target = open_service(kind, serve)
    receiver.script = [Reply(200, content)]
    with pytest.raises(UnusableError, match="expected"):
        target.send(batch(1, 2))
    target.close()


def test_a_request_that_is_too_large_comes_in_halves(serve, tmp_path):
    service = Endpoint()

    def at_most_ten(received: Received) -> Reply:
        return Reply(413, b"ten at most") if received.body.count(b"\n") > 10 else service(received)

    receiver = serve(at_most_ten)
    suite = ShipConformance()
    write_events(tmp_path, [body(number) for number in range(1, 101)])
    assert suite.shipper(tmp_path, target_for(service.url(receiver.place))).run_once()
    assert [each for each, _ in service.rows] == idents(1, 100)


@pytest.mark.needs("nginx")
def test_through_a_real_nginx_large_batches_come_in_halves_and_a_backend_that_is_away_is_waited_for(serve, tmp_path):
    service = Endpoint()
    receiver = serve(service)
    (port,) = free_ports(1)
    block = f"""
    client_max_body_size 300k; client_body_buffer_size 300k;
    server {{
        listen {HOST}:{port};
        location / {{ proxy_pass http://{receiver.place}; proxy_set_header Host $http_host; }}
    }}
    """
    directory = tmp_path / "audit"
    directory.mkdir()
    bodies = [body(number, note="x" * (400_000 if number == 50 else 2000)) for number in range(1, 401)]
    write_events(directory, bodies)
    suite = ShipConformance()
    with Nginx(tmp_path / "nginx", block, port):
        target = target_for(f"http://{HOST}:{port}/events?timeout=5")
        receiver.stop()
        with pytest.raises(RetryableError, match="502 Bad Gateway"):
            target.send(batch(1, 1))
        receiver.start()
        assert suite.shipper(directory, target).run_once()
    assert [each for each, _ in service.rows] == [each for each in idents(1, 400) if each != ident(50)]
    [status] = statuses(directory)
    assert (status.counts["shipped"], status.dead_letters) == (399, 1)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("99999999999999999999", 3600.0),
        ("-1", None),
        ("1.5", None),
        ("٣", None),
        ("Fri, 20 Nov 2026 00:00:30 GMT", 30.0),
        ("Thu, 19 Nov 2026 00:00:30 GMT", 0.0),
        ("Fri, 99 Nov 2026 00:00:30 GMT", None),
        ("later", None),
    ],
    ids=repr,
)
def test_retry_after_is_seconds_or_a_date(value, expected):
    assert retry_after_seconds(value, lambda: 1795132800.0) == expected


# ------------------------------------------------------------------------------------------------------ who we are, TLS


@pytest.mark.parametrize(
    ("user", "options", "header", "value"),
    [
        ("me:p%40ss@", "", "authorization", "Basic bWU6cEBzcw=="),
        ("", "token=abc", "authorization", "Bearer abc"),
        ("", "token=abc&token_header=DD-API-KEY", "dd-api-key", "abc"),
    ],
    ids=["a user", "a token", "a token in a header of its own"],
)
def test_who_we_are_is_said_in_a_header(serve, user, options, header, value):
    receiver = serve(Endpoint())
    target = target_for(f"http://{user}{receiver.place}/?{options}")
    target.send(batch(1, 1))
    target.close()
    assert receiver.received[0].headers[header] == value


def test_a_token_in_a_file_is_read_for_each_connection(serve, tmp_path):
    file = tmp_path / "token"
    receiver = serve(Elasticsearch())
    target = target_for(f"elastic+http://{receiver.place}?token_file={file}", "native")
    with pytest.raises(UnusableError, match="cannot read the token"):
        target.send(batch(1, 1))
    for token in ("one", "two"):
        file.write_text(token + "\n")
        target.send(batch(1, 1))
        target.close()
    assert [each.headers["authorization"] for each in receiver.received] == ["ApiKey one", "ApiKey two"]
    file.write_text("a\r\nX-Injected: b")
    with pytest.raises(UnusableError, match="printable"):
        target.send(batch(1, 1))


def test_no_secret_is_in_what_an_operator_reads(serve):
    receiver = serve(Endpoint())
    receiver.script = [Reply(401)]
    target = target_for(f"http://me:hunter2@{receiver.place}/")
    with pytest.raises(UnusableError) as caught:
        target.send(batch(1, 1))
    assert "hunter2" not in caught.value.reason
    target.close()


@pytest.mark.parametrize(
    ("url", "format", "words"),
    [
        ("http://h/?ca=x.pem", None, "expected https"),
        ("http://u:p@h/?token=x", None, "not several"),
        ("http://h/?token=x&token_header=a%0d%0ab", None, "the name of a header"),
        ("loki+http://h/?tenant=a%0d%0ab", None, "the name of a tenant"),
        ("http://h/?tiemout=1", None, "has no option 'tiemout'"),
        ("elastic+http://h/a/b", None, "the name of an index"),
        ("elastic+http://h", "syslog", "expected a format of JSON"),
        ("splunk+http://h", "nginx:combined", "expected a format of JSON"),
    ],
    ids=lambda value: value,
)
def test_a_url_that_cannot_be_meant_is_refused(url, format, words):
    with pytest.raises(AddressError, match=words):
        target_for(url, format)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.mark.needs("openssl")
class TestTls:
    @pytest.fixture
    def receiver(self, serve, certificates):
        return serve(Endpoint(), certificates.of_a_server())

    def test_a_client_with_its_certificate_is_served(self, receiver, certificates):
        target = target_for(f"https://{receiver.place}/?{certificates.options}")
        assert target.send(batch(1, 500)) == Accepted(500)
        assert target.send(batch(1, 500)) == Accepted(500)
        target.close()
        assert receiver.connections == 1

    def test_a_client_without_a_certificate_is_told_so(self, receiver, certificates):
        target = target_for(f"https://{receiver.place}/?ca={certificates.path('ca.pem')}")
        with pytest.raises(UnusableError, match="certificate required"):
            target.send(batch(1, 1))
        target.close()
        assert receiver.received == []

    def test_a_server_of_another_authority_is_not_trusted(self, receiver, certificates):
        target = target_for(f"https://{receiver.place}/?ca={certificates.path('other.pem')}")
        with pytest.raises(UnusableError, match="not trusted"):
            target.send(batch(1, 1))
        assert receiver.received == []

    def test_a_server_by_another_name_is_not_trusted(self, serve, certificates):
        receiver = serve(Endpoint(), certificates.of_a_server(asks=False))
        target = target_for(f"https://127.0.0.2:{receiver.port}/?ca={certificates.path('ca.pem')}&timeout=2")
        with pytest.raises((UnusableError, RetryableError), match=r"mismatch|refused"):
            target.send(batch(1, 1))

    def test_a_server_without_tls_is_told(self, serve, certificates):
        receiver = serve(Endpoint())
        target = target_for(f"https://{receiver.place}/?{certificates.options}&timeout=2")
        with pytest.raises(UnusableError, match=r"do not agree on TLS: .*; is that a port without TLS"):
            target.send(batch(1, 1))

    def test_keys_that_are_none_are_named(self, receiver, tmp_path):
        missing = tmp_path / "missing.pem"
        target = target_for(f"https://{receiver.place}/?ca={missing}")
        with pytest.raises(UnusableError, match=r"missing\.pem"):
            target.send(batch(1, 1))


def test_the_second_host_is_asked_when_the_first_is_down(serve):
    service = Endpoint()
    first, second = serve(service), serve(service)
    target = target_for(f"http://{first.place},{second.place}/")
    first.stop()
    for number in range(1, 4):
        assert target.send(batch(number, number)) == Accepted(1)
    target.close()
    assert second.connections == 1
    second.stop()
    with pytest.raises(RetryableError, match="connection refused"):
        target.send(batch(4, 4))
