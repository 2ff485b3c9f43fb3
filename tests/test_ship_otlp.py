"""`otlp+http://` and `otlp+grpc://` against a receiver with the official definitions: records, failures, refusals."""

from __future__ import annotations

import json
import sys

import pytest

pytest.importorskip("grpc")
pytest.importorskip("google.rpc.status_pb2")

import grpc

from auditmw.formats.otlp_protobuf import OtlpProtobufFormat
from auditmw.parsing import parse_event
from auditmw.ship.address import AddressError
from auditmw.ship.batch import Batch, Entry, identified
from auditmw.ship.status import statuses
from auditmw.ship.target import Accepted, RejectedError, RetryableError, Target, TooLargeError, UnusableError
from auditmw.ship.targets import MissingExtraError, target_for
from certificates import Certificates
from otlp_receiver import (
    POISON,
    Abort,
    Collected,
    GrpcReceiver,
    as_protobuf,
    attribute,
    partial,
    status_reply,
)
from ship_conformance import DIFFICULT, Place, ShipConformance, body, ident, idents, write_events
from web_receiver import SILENT, Reply, WebReceiver

POISONED = body(999, event=POISON.removeprefix("auditmw."))
CODES = grpc.StatusCode


def entry(number: int, each: bytes | None = None) -> Entry:
    each = body(number) if each is None else each
    event = parse_event(each)
    return Entry("w", number, identified(event, "w", number), each, each)


def batch(first: int, last: int) -> Batch:
    return Batch([entry(number) for number in range(first, last + 1)])


def uids(collected: Collected) -> list[str | None]:
    return [attribute(record, "log.record.uid") for record in collected.records()]


class OtlpPlace(Place):
    exact = False
    poison = POISONED

    def __init__(self, receiver, collected: Collected, scheme: str) -> None:
        self.receiver, self.collected, self.scheme = receiver, collected, scheme

    def target(self) -> Target:
        return target_for(f"{self.scheme}://{self.receiver.place}?timeout=5")

    def rows(self) -> list[tuple[str, bytes]]:
        return [(uid or "", b"") for uid in uids(self.collected)]

    def down(self) -> None:
        self.receiver.stop()

    def up(self) -> None:
        self.receiver.start()


@pytest.fixture
def http():
    with WebReceiver(Collected()) as receiver:
        yield receiver


@pytest.fixture
def rpc():
    receiver = GrpcReceiver().start()
    yield receiver
    receiver.stop()


class TestOtlpOverHttp(ShipConformance):
    @pytest.fixture
    def place(self, http):
        return OtlpPlace(http, http.service, "otlp+http")


class TestOtlpOverGrpc(ShipConformance):
    @pytest.fixture
    def place(self, rpc):
        return OtlpPlace(rpc, rpc.collected, "otlp+grpc")


# ------------------------------------------------------------------------------------------------------------- records


def read_back(requests):
    return [event for each in requests for event in OtlpProtobufFormat().parse_all(each.SerializeToString())]


def test_over_http_a_request_is_compressed_and_has_the_events(http):
    target = target_for(f"otlp+http://{http.place}?token=abc")
    assert target.send(batch(1, 3)) == Accepted(3)
    assert target.send(batch(4, 4)) == Accepted(1)
    target.close()
    assert read_back(http.service.requests) == [json.loads(body(number)) for number in range(1, 5)]
    assert http.received[0].headers["content-encoding"] == "gzip"
    assert http.received[0].headers["authorization"] == "Bearer abc"
    assert http.connections == 1


def test_over_grpc_a_request_has_the_events_and_the_token(rpc):
    target = target_for(f"otlp+grpc://{rpc.place}?token=abc")
    assert target.send(batch(1, 3)) == Accepted(3)
    target.close()
    assert read_back(rpc.collected.requests) == [json.loads(body(number)) for number in range(1, 4)]
    assert rpc.metadata[0]["authorization"] == "Bearer abc"


@pytest.mark.parametrize("scheme", ["otlp+http", "otlp+grpc"])
def test_an_event_that_otlp_has_no_form_for_is_refused_alone(http, rpc, scheme):
    receiver, collected = (http, http.service) if scheme == "otlp+http" else (rpc, rpc.collected)
    target = target_for(f"{scheme}://{receiver.place}")
    accepted = target.send(Batch([entry(1), entry(2, DIFFICULT["half of a surrogate pair, escaped"]), entry(3)]))
    target.close()
    assert (accepted.events, list(accepted.refused)) == (2, [1])
    assert "OTLP has no form for this event" in accepted.refused[1]
    assert uids(collected) == [ident(1), ident(3)]


# ------------------------------------------------------------------------------------------------------------ failures


@pytest.mark.parametrize("scheme", ["otlp+http", "otlp+grpc"])
def test_what_was_rejected_in_a_partial_success_is_counted_and_not_sent_again(http, rpc, scheme, tmp_path):
    receiver, collected = (http, http.service) if scheme == "otlp+http" else (rpc, rpc.collected)
    some, none = partial(3, "too old"), partial(0, "a field is deprecated")
    receiver.script = (
        [lambda reply: as_protobuf(some), lambda reply: as_protobuf(none)] if scheme == "otlp+http" else [some, none]
    )
    directory = tmp_path / "audit"
    directory.mkdir()
    write_events(directory, [body(number) for number in range(1, 1201)])
    target = target_for(f"{scheme}://{receiver.place}")
    assert ShipConformance().shipper(directory, target).run_once()
    assert uids(collected) == idents(1, 1200)
    [status] = statuses(directory)
    assert (status.counts["shipped"], status.counts["rejected"], status.dead_letters) == (1197, 3, 0)


def test_a_warning_comes_along(rpc):
    rpc.script = [partial(0, "a field is deprecated"), partial(-5, ""), partial(99, "")]
    target = target_for(f"otlp+grpc://{rpc.place}")
    assert target.send(batch(1, 2)) == Accepted(2, note="a field is deprecated")
    assert target.send(batch(1, 2)) == Accepted(2)
    accepted = target.send(batch(1, 2))
    assert (accepted.events, accepted.rejected) == (0, 2)
    assert "does not say why" in accepted.note
    target.close()


@pytest.mark.parametrize(
    ("status", "headers", "error", "after_seconds"),
    [
        (429, {"Retry_After": "7"}, RetryableError, 7.0),
        (503, {"Retry_After": "Fri, 20 Nov 1999 00:00:30 GMT"}, RetryableError, 0.0),
        (502, {}, RetryableError, None),
        (504, {}, RetryableError, None),
        (400, {}, RejectedError, None),
        (500, {}, RejectedError, None),
        (413, {}, TooLargeError, None),
        (401, {}, UnusableError, None),
        (403, {}, UnusableError, None),
        (404, {}, UnusableError, None),
        (408, {}, UnusableError, None),
        (501, {}, UnusableError, None),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else None,
)
def test_what_a_status_of_http_means(http, status, headers, error, after_seconds):
    http.script = [status_reply(status, "these are the words", **headers)]
    target = target_for(f"otlp+http://{http.place}")
    with pytest.raises(error, match=f"answered {status}.*: these are the words") as caught:
        target.send(batch(1, 2))
    assert type(caught.value) is error
    assert getattr(caught.value, "after_seconds", None) == after_seconds
    assert target.send(batch(1, 2)) == Accepted(2)
    target.close()
    assert uids(http.service) == idents(1, 2)


@pytest.mark.parametrize(
    ("abort", "error", "after_seconds"),
    [
        (Abort(CODES.CANCELLED), RetryableError, None),
        (Abort(CODES.DEADLINE_EXCEEDED), RetryableError, None),
        (Abort(CODES.ABORTED), RetryableError, None),
        (Abort(CODES.OUT_OF_RANGE), RetryableError, None),
        (Abort(CODES.UNAVAILABLE), RetryableError, None),
        (Abort(CODES.UNAVAILABLE, "busy", 12.5), RetryableError, 12.5),
        (Abort(CODES.DATA_LOSS), RetryableError, None),
        (Abort(CODES.RESOURCE_EXHAUSTED, "busy", 3), RetryableError, 3.0),
        (Abort(CODES.UNAVAILABLE, "gone for long", 1_000_000), RetryableError, 3600.0),
        (Abort(CODES.RESOURCE_EXHAUSTED, "Received message larger than max (9 vs. 4)"), TooLargeError, None),
        (Abort(CODES.RESOURCE_EXHAUSTED, "the quota is used up"), UnusableError, None),
        (Abort(CODES.INVALID_ARGUMENT), RejectedError, None),
        (Abort(CODES.INTERNAL), RejectedError, None),
        (Abort(CODES.UNKNOWN), RejectedError, None),
        (Abort(CODES.FAILED_PRECONDITION), RejectedError, None),
        (Abort(CODES.ALREADY_EXISTS), RejectedError, None),
        (Abort(CODES.UNAUTHENTICATED), UnusableError, None),
        (Abort(CODES.PERMISSION_DENIED), UnusableError, None),
        (Abort(CODES.UNIMPLEMENTED), UnusableError, None),
        (Abort(CODES.NOT_FOUND), UnusableError, None),
    ],
    ids=lambda value: f"{value.code.name} {value.text}" if isinstance(value, Abort) else None,
)
def test_what_a_code_of_grpc_means(rpc, abort, error, after_seconds):
    rpc.script = [abort]
    target = target_for(f"otlp+grpc://{rpc.place}")
    with pytest.raises(error) as caught:
        target.send(batch(1, 2))
    assert type(caught.value) is error
    assert abort.code.name in caught.value.reason
    assert abort.text in caught.value.reason
    assert getattr(caught.value, "after_seconds", None) == after_seconds
    assert target.send(batch(1, 2)) == Accepted(2)
    target.close()


def test_a_request_beyond_what_a_grpc_server_takes_is_too_large(rpc):
    large = Batch([entry(number, body(number, note=str(number) * 1_000_000)) for number in range(1, 7)])
    target = target_for(f"otlp+grpc://{rpc.place}")
    with pytest.raises(TooLargeError, match="larger than max"):
        target.send(large)
    assert target.send(large.part([0, 1])) == Accepted(2)
    target.close()


@pytest.mark.parametrize("scheme", ["otlp+http", "otlp+grpc"])
def test_a_receiver_that_never_answers_is_given_up(http, rpc, scheme):
    http.script, rpc.script = [SILENT], [rpc.hang()]
    receiver = http if scheme == "otlp+http" else rpc
    target = target_for(f"{scheme}://{receiver.place}?timeout=0.3")
    with pytest.raises(RetryableError, match=r"within 0\.3 s|DEADLINE_EXCEEDED"):
        target.send(batch(1, 1))
    target.close()


def test_an_answer_of_http_that_breaks_off_is_no_acceptance(http):
    http.script = [lambda reply: Reply(200, partial(1, "x" * 100).SerializeToString(), reply.headers, cut=True)]
    target = target_for(f"otlp+http://{http.place}")
    with pytest.raises(RetryableError, match="broke off"):
        target.send(batch(1, 1))
    target.close()


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"<html>Please log in", {"Content-Type": "text/html"}),
        Reply(200, b"\xff\xff\xff", {"Content-Type": "application/x-protobuf"}),
        Reply(200, b"{}", {"Content-Type": "application/json"}),
    ],
    ids=["a page", "no message", "JSON"],
)
def test_a_success_that_is_no_response_of_otlp_is_not_believed(http, reply):
    http.script = [reply]
    target = target_for(f"otlp+http://{http.place}")
    with pytest.raises(UnusableError, match=r"expected .* to answer with an ExportLogsServiceResponse"):
        target.send(batch(1, 1))
    target.close()


def test_a_page_of_a_proxy_is_told_as_text(http):
    http.script = [Reply(503, b"<h1>No healthy upstream</h1>", {"Content-Type": "text/html"})]
    target = target_for(f"otlp+http://{http.place}")
    with pytest.raises(RetryableError, match="No healthy upstream"):
        target.send(batch(1, 1))
    target.close()


def test_the_second_collector_is_asked_when_the_first_is_down(rpc):
    other = GrpcReceiver().start()
    other.stop()
    target = target_for(f"otlp+grpc://{other.place},{rpc.place}?timeout=5")
    with pytest.raises(RetryableError, match="UNAVAILABLE"):
        target.send(batch(1, 1))
    assert target.send(batch(1, 1)) == Accepted(1)
    target.close()


# ----------------------------------------------------------------------------------------------------------- TLS, URLs


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.mark.needs("openssl")
class TestTls:
    @pytest.fixture(params=["otlp+https", "otlp+grpc"])
    def place(self, request, certificates):
        if request.param == "otlp+https":
            receiver = WebReceiver(Collected(), certificates.of_a_server())
        else:
            receiver = GrpcReceiver(certificates)
        receiver.start()
        yield f"{request.param}://{receiver.place}"
        receiver.stop()

    def test_a_client_with_its_certificate_is_served(self, place, certificates):
        target = target_for(f"{place}?{certificates.options}")
        assert target.send(batch(1, 3)) == Accepted(3)
        target.close()

    def test_a_client_without_a_certificate_is_refused(self, place, certificates):
        target = target_for(f"{place}?ca={certificates.path('ca.pem')}&timeout=5")
        with pytest.raises((UnusableError, RetryableError)) as caught:
            target.send(batch(1, 3))
        assert place[:12] in caught.value.reason
        target.close()

    def test_a_server_of_another_authority_is_not_trusted(self, place, certificates):
        target = target_for(f"{place}?ca={certificates.path('other.pem')}&timeout=5")
        with pytest.raises(UnusableError, match=r"not trusted|do not agree on TLS"):
            target.send(batch(1, 3))
        target.close()

    def test_keys_that_are_none_are_named(self, place, tmp_path):
        target = target_for(f"{place}?ca={tmp_path / 'missing.pem'}")
        with pytest.raises(UnusableError, match=r"missing\.pem"):
            target.send(batch(1, 1))


@pytest.mark.parametrize(
    ("url", "format", "words"),
    [
        ("otlp+http://h", "ecs", "leave out the format"),
        ("otlp+grpc://h", "otlp", "leave out the format"),
        ("otlp+grpc://h/v1/logs", None, "without user and path"),
        ("otlp+grpc://h?gzip=no", None, "has no option 'gzip'"),
    ],
    ids=lambda value: value,
)
def test_a_url_that_cannot_be_meant_is_refused(url, format, words):
    with pytest.raises(AddressError, match=words):
        target_for(url, format)


@pytest.mark.parametrize(
    ("url", "module", "package"),
    [
        ("otlp+grpc://h", "otlp_grpc", "grpc"),
        ("otlp+http://h", "otlp_http", "opentelemetry.proto.collector.logs.v1.logs_service_pb2"),
    ],
    ids=["grpc", "http"],
)
def test_a_missing_package_is_answered_with_the_extra(monkeypatch, url, module, package):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"auditmw.ship.targets.{module}", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'auditmw\[otlp\]'"):
        target_for(url)
