"""`kafka://` against librdkafka's mock cluster: it shows the protocol and the errors, not that a cluster is durable."""

from __future__ import annotations

import itertools
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaError

from auditmw.parsing import parse_event
from auditmw.ship.address import AddressError
from auditmw.ship.batch import Batch, Entry, identified
from auditmw.ship.kafka_broker import OnceAMinute, trouble_of
from auditmw.ship.target import Accepted, RetryableError, Target, UnusableError
from auditmw.ship.targets import target_for
from auditmw.ship.targets.kafka import key_of
from kafka_mock import METADATA, PRODUCE, MockKafka, mock_kafka
from servers import HOST, free_ports
from ship_conformance import Place, ShipConformance, body, ident, idents

pytestmark = pytest.mark.needs("confluent_kafka")

_names = itertools.count(1)


@pytest.fixture(scope="module")
def kafka() -> Iterator[MockKafka]:
    with mock_kafka() as cluster:
        yield cluster


@pytest.fixture
def topic(kafka) -> str:
    name = f"topic{next(_names)}"
    kafka.topic(name)
    return name


def entry(number: int, **fields: Any) -> Entry:
    each = body(number, **fields)
    return Entry("w", number, ident(number), each, each)


def batch(first: int, last: int) -> Batch:
    return Batch([entry(number) for number in range(first, last + 1)])


class TopicPlace(Place):
    """A topic with one partition."""

    def __init__(self, kafka: MockKafka) -> None:
        self.kafka = kafka
        self.topic = f"topic{next(_names)}"
        kafka.topic(self.topic)

    def target(self) -> Target:
        return target_for(f"kafka://{self.kafka.servers}/{self.topic}?timeout=3")

    def rows(self) -> list[tuple[str, bytes]]:
        return [
            (identified(parse_event(row.value), "row", row.offset), row.value) for row in self.kafka.rows(self.topic)
        ]

    def down(self) -> None:
        self.kafka.down()

    def up(self) -> None:
        self.kafka.up()


class TestKafka(ShipConformance):
    @pytest.fixture
    def place(self, kafka: MockKafka) -> Place:
        return TopicPlace(kafka)


def test_a_message_carries_the_bytes_of_the_event_its_key_and_its_id(kafka, topic):
    target = target_for(f"kafka://{kafka.servers}/{topic}")
    assert target.send(Batch([entry(1, session={"id": "s-1"}, actor={"id": "u-1"}), entry(2)])) == Accepted(2)
    target.close()
    first, second = kafka.rows(topic)
    assert first.value == body(1, session={"id": "s-1"}, actor={"id": "u-1"})
    assert first.key == b"s-1"
    assert first.headers == {"id": ident(1).encode(), "content-type": b"application/json"}
    assert second.key is None


@pytest.mark.parametrize(
    ("event", "key"),
    [
        ({"session": {"id": "s"}, "actor": {"id": "u"}}, b"s"),
        ({"session": {}, "actor": {"id": "u"}}, b"u"),
        ({"session": "s", "actor": {"id": "\ud800"}}, b"\xed\xa0\x80"),
        ({"session": {"id": 7}, "actor": {"id": ""}}, None),
        ({}, None),
    ],
    ids=["session", "user", "half a surrogate pair", "other types", "nothing"],
)
def test_the_key_is_the_session_or_else_the_user(event, key):
    assert key_of(event) == key


def test_the_events_of_one_session_stay_in_order_on_one_partition(kafka):
    kafka.topic("keyed", partitions=3)
    target = target_for(f"kafka://{kafka.servers}/keyed")
    entries = [entry(number, session={"id": f"s-{number % 7}"}) for number in range(1, 701)]
    assert target.send(Batch(entries)) == Accepted(700)
    target.close()
    rows = kafka.rows("keyed")
    assert len({row.partition for row in rows}) > 1
    for session in range(7):
        mine = [row for row in rows if row.key == f"s-{session}".encode()]
        assert len({row.partition for row in mine}) == 1
        assert [json.loads(row.value)["id"] for row in mine] == [
            ident(number) for number in range(1, 701) if number % 7 == session
        ]


TRANSIENT = {
    "not enough replicas": KafkaError.NOT_ENOUGH_REPLICAS,
    "not the leader any more": KafkaError.NOT_LEADER_FOR_PARTITION,
    "no leader": KafkaError.LEADER_NOT_AVAILABLE,
    "timed out": KafkaError.REQUEST_TIMED_OUT,
    "too few replicas after the append": KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
}


@pytest.mark.parametrize("code", TRANSIENT.values(), ids=TRANSIENT)
def test_an_error_that_passes_is_overcome_without_a_double(kafka, topic, code):
    target = target_for(f"kafka://{kafka.servers}/{topic}")
    kafka.fail(PRODUCE, code, code)
    assert target.send(batch(1, 500)) == Accepted(500)
    target.close()
    assert [json.loads(row.value)["id"] for row in kafka.rows(topic)] == idents(1, 500)


LASTING = {
    "no authorization": (KafkaError.TOPIC_AUTHORIZATION_FAILED, UnusableError),
    "cluster authorization": (KafkaError.CLUSTER_AUTHORIZATION_FAILED, UnusableError),
}


@pytest.mark.parametrize(("code", "expected"), LASTING.values(), ids=LASTING)
def test_an_error_about_us_sets_no_event_aside(kafka, topic, code, expected):
    target = target_for(f"kafka://{kafka.servers}/{topic}?timeout=5")
    kafka.fail(PRODUCE, *[code] * 50)
    try:
        with pytest.raises(expected, match="refuses us"):
            target.send(batch(1, 5))
    finally:
        kafka.forgive(PRODUCE)
    assert target.send(batch(1, 5)) == Accepted(5)
    target.close()
    assert set(idents(1, 5)) <= {json.loads(row.value)["id"] for row in kafka.rows(topic)}


def test_an_event_that_is_too_large_for_the_broker_is_refused_and_the_next_batch_arrives(kafka, topic):
    target = target_for(f"kafka://{kafka.servers}/{topic}")
    kafka.fail(PRODUCE, KafkaError.MSG_SIZE_TOO_LARGE)
    done = target.send(batch(1, 1))
    assert (done.events, list(done.refused)) == (0, [0])
    assert "MSG_SIZE_TOO_LARGE" in done.refused[0]
    assert target.send(batch(2, 3)) == Accepted(2)
    target.close()


def test_an_event_that_is_too_large_for_the_library_is_refused_and_the_others_arrive(kafka, topic):
    target = target_for(f"kafka://{kafka.servers}/{topic}")
    huge = entry(2)._replace(record=b'{"x":"' + b"x" * 1_300_000 + b'"}')
    done = target.send(Batch([entry(1), huge, entry(3)]))
    target.close()
    assert (done.events, list(done.refused)) == (2, [1])
    assert [json.loads(row.value)["id"] for row in kafka.rows(topic)] == [ident(1), ident(3)]


def test_a_leader_that_moves_while_events_flow_costs_nothing(kafka, topic):
    target = target_for(f"kafka://{kafka.servers}/{topic}")
    moved = threading.Event()
    for first in range(1, 5001, 500):
        if first == 2001:
            kafka.lead(topic, 0, 2)
            kafka.down(1)
            moved.set()
        assert target.send(batch(first, first + 499)) == Accepted(500)
    target.close()
    kafka.up()
    assert moved.is_set()
    assert [json.loads(row.value)["id"] for row in kafka.rows(topic)] == idents(1, 5000)


def sent_at_last(target, some, attempts=60):
    """Send as the shipper does: again, where a busy machine or answers that are still held back take too long."""
    for _ in range(attempts - 1):
        try:
            return target.send(some)
        except RetryableError:
            continue
    return target.send(some)


def test_brokers_that_answer_too_slowly_cost_bounded_time_and_no_event(kafka, topic):
    target = target_for(f"kafka://{kafka.servers}/{topic}?timeout=1")
    assert sent_at_last(target, batch(1, 1)) == Accepted(1)
    kafka.slow(5000)
    try:
        with pytest.raises(RetryableError):
            target.send(batch(2, 3))
    finally:
        kafka.slow(0)
    assert sent_at_last(target, batch(2, 3)) == Accepted(2)
    target.close()
    assert set(idents(1, 3)) == {json.loads(row.value)["id"] for row in kafka.rows(topic)}


def test_where_nobody_listens_shipping_waits():
    (port,) = free_ports(1)
    target = target_for(f"kafka://{HOST}:{port}/audit?timeout=1")
    with pytest.raises(RetryableError, match="cannot be used now"):
        target.send(batch(1, 1))
    target.close()


def test_what_the_library_says_of_every_attempt_is_logged_once_a_minute(caplog):
    (port,) = free_ports(1)
    for _ in range(2):  # clients with different names
        target = target_for(f"kafka://{HOST}:{port}/audit?timeout=1")
        with pytest.raises(RetryableError):
            target.send(batch(1, 1))
        target.close()
    said = [record.getMessage() for record in caplog.records if record.name == "auditmw.ship.kafka"]
    assert len([text for text in said if "Connection refused" in text]) == 1


def test_something_else_is_logged_at_once_and_the_same_after_a_minute():
    now = [0.0]
    once = OnceAMinute(lambda: now[0])

    def says(text: str) -> bool:
        return once.filter(logging.LogRecord("kafka", logging.ERROR, "", 0, "%s [%s]", ("FAIL", text), None))

    assert says("a#producer-1: refused (after 0ms)")
    assert not says("a#producer-2: refused (after 14ms)")
    assert says("a#producer-1: refused by another (after 0ms)")
    now[0] = 60.0
    assert says("a#producer-1: refused (after 1ms)")


@pytest.mark.parametrize("code", [KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError._SSL, KafkaError._AUTHENTICATION])
def test_wrong_credentials_and_keys_are_about_us(code):
    assert isinstance(trouble_of(KafkaError(code), "kafka://h/t"), UnusableError)


def test_a_topic_that_does_not_exist_is_told(kafka):
    target = target_for(f"kafka://{kafka.servers}/nowhere?timeout=2")
    kafka.fail(METADATA, *[KafkaError.UNKNOWN_TOPIC_OR_PART] * 50)
    try:
        with pytest.raises((UnusableError, RetryableError)):
            target.send(batch(1, 1))
    finally:
        kafka.forgive(METADATA)
        target.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("kafka://h", "expected a topic"),
        ("kafka://h/a/b", "expected a topic"),
        ("kafka://user@h/a", "user:password@"),
        ("kafka://h/a?compression=best", "one of none"),
        ("kafka://h/a?acks=1", "no option 'acks'"),
    ],
)
def test_a_url_that_says_nothing_usable_is_refused_before_anything_happens(url, said):
    with pytest.raises(AddressError, match=said):
        target_for(url)
