"""Collecting from librdkafka's mock cluster: partitions, restarts, what is gone, errors of the protocol."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

import auditmw
from auditmw.collect.collector import Collector
from auditmw.collect.feeds import feed_for
from auditmw.collect.kafka import KafkaFeed
from auditmw.journal import journal_files, writer_of
from auditmw.ship.batch import Batch, Entry
from auditmw.ship.target import RetryableError, UnusableError
from auditmw.ship.targets import target_for
from kafka_mock import FETCH, METADATA, MockKafka, mock_kafka
from servers import HOST, free_ports, poll
from ship_conformance import body, ident, idents

pytestmark = pytest.mark.needs("confluent_kafka", "duckdb")

_names = itertools.count(1)


@pytest.fixture(scope="module")
def kafka() -> Iterator[MockKafka]:
    with mock_kafka() as cluster:
        yield cluster


@pytest.fixture
def topic(kafka) -> str:
    name = f"collected{next(_names)}"
    kafka.topic(name, partitions=3)
    return name


def send(kafka: MockKafka, topic: str, first: int, last: int) -> None:
    entries = [Entry("w", n, ident(n), body(n, session={"id": str(n % 10)}), body(n)) for n in range(first, last + 1)]
    target = target_for(f"kafka://{kafka.servers}/{topic}")
    target.send(Batch(entries))
    target.close()


def collector(directory: Path, kafka: MockKafka, topic: str, **options: Any) -> Collector:
    url = f"kafka://{kafka.servers}/{topic}?timeout=5"
    return Collector(directory, feed_for(url), shown=url, **options)


def found(directory: Path) -> list[str]:
    return sorted(event["id"] for event in auditmw.read(directory))


def test_all_partitions_are_collected_once_and_the_rest_after_a_restart(tmp_path, kafka, topic):
    send(kafka, topic, 1, 1000)
    assert collector(tmp_path, kafka, topic).run_once()
    assert found(tmp_path) == idents(1, 1000)
    assert len({writer_of(file)[8:24] for file in journal_files(tmp_path)}) > 1
    send(kafka, topic, 1001, 1100)
    assert collector(tmp_path, kafka, topic).run_once()
    assert collector(tmp_path, kafka, topic).run_once()
    assert found(tmp_path) == idents(1, 1100)


def test_what_is_there_twice_or_no_event_is_left_out_and_counted(tmp_path, kafka, topic):
    send(kafka, topic, 1, 100)
    send(kafka, topic, 91, 110)
    producer = Producer({"bootstrap.servers": kafka.servers})
    producer.produce(topic, b"not an event")
    producer.produce(topic, None, key=b"deleted")
    producer.flush()
    each = collector(tmp_path, kafka, topic)
    assert each.run_once()
    assert found(tmp_path) == idents(1, 110)
    assert (each.counts.collected, each.counts.doubles, each.counts.set_aside) == (110, 10, 2)


def test_what_is_collected_is_committed_for_others_to_see(tmp_path, kafka, topic):
    send(kafka, topic, 1, 90)
    assert collector(tmp_path, kafka, topic).run_once()
    reader = Consumer({"bootstrap.servers": kafka.servers, "group.id": "auditmw-collect"})
    places = reader.committed([TopicPartition(topic, each) for each in range(3)], timeout=10)
    reader.close()
    assert sum(max(place.offset, 0) for place in places) == 90


def test_messages_that_were_gone_are_told(tmp_path, kafka):
    name = f"collected{next(_names)}"
    kafka.topic(name)
    producer = Producer({"bootstrap.servers": kafka.servers})
    for number in range(1, 41):  # the mock keeps some megabytes of a partition
        producer.produce(name, body(number, note="x" * 400_000))
        producer.flush()
    each = collector(tmp_path, kafka, name)
    assert each.run_once()
    events = list(auditmw.read(tmp_path))
    [gap] = [event for event in events if event["event"] == "auditmw.gap"]
    assert gap["data"]["count"] == each.counts.missing > 0
    assert each.counts.collected + each.counts.missing == 40


def test_a_topic_that_was_made_again_is_refused(tmp_path, kafka, topic):
    send(kafka, topic, 1, 100)
    feed = feed_for(f"kafka://{kafka.servers}/{topic}?timeout=5")
    feed.connect()
    with pytest.raises(UnusableError, match="made again"):
        feed.begin(lambda track: 5000)
    feed.close()


@pytest.mark.parametrize("code", [KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.REQUEST_TIMED_OUT])
def test_an_error_that_passes_costs_no_event(tmp_path, kafka, topic, code):
    send(kafka, topic, 1, 100)
    kafka.fail(FETCH, code, code)
    each = collector(tmp_path, kafka, topic)

    def collected() -> bool:
        try:
            return each.run_once()
        except RetryableError:
            return False

    poll(collected, "the errors to pass")
    assert found(tmp_path) == idents(1, 100)


def test_a_lack_of_permission_is_told(tmp_path, kafka, topic):
    send(kafka, topic, 1, 10)
    kafka.fail(METADATA, *[KafkaError.TOPIC_AUTHORIZATION_FAILED] * 20)
    try:
        with pytest.raises(UnusableError, match="refuses us"):
            collector(tmp_path, kafka, topic).run_once()
    finally:
        kafka.forgive(METADATA)


def test_where_nobody_listens_one_waits(tmp_path):
    (port,) = free_ports(1)
    url = f"kafka://{HOST}:{port}/audit?timeout=1"
    with pytest.raises(RetryableError, match="cannot be used now"):
        Collector(tmp_path, feed_for(url), shown=url).run_once()


def test_partitions_that_were_added_are_noticed(kafka, topic):
    seconds = [0.0]
    feed = feed_for(f"kafka://{kafka.servers}/{topic}?timeout=5")
    assert isinstance(feed, KafkaFeed)
    feed._clock = lambda: seconds[0]
    feed.connect()
    feed.begin(lambda track: 0)
    assert feed.read(10, 0.1) == []
    feed._tracks.pop(2)  # as if it had come since
    assert feed.read(10, 0.1) == []
    seconds[0] = 61.0
    with pytest.raises(RetryableError, match="other partitions"):
        feed.read(10, 0.1)
    feed.close()
