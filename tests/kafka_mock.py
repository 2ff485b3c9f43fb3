"""librdkafka's mock cluster, by way of the library in the wheel of confluent-kafka: brokers that fail as they are told.

It speaks Kafka's protocol on loopback ports, keeps some megabytes of each partition in memory, and ends with the
process. Its interface is rdkafka_mock.h, which upstream calls experimental.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import confluent_kafka
from confluent_kafka import Consumer, KafkaError, TopicPartition

PRODUCE, FETCH, METADATA = 0, 1, 3  # ApiKey of Kafka's protocol
_POINTER, _INT, _TEXT = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "rd_kafka_conf_new": (_POINTER, []),
    "rd_kafka_new": (_POINTER, [_INT, _POINTER, _TEXT, ctypes.c_size_t]),
    "rd_kafka_destroy": (None, [_POINTER]),
    "rd_kafka_mock_cluster_new": (_POINTER, [_POINTER, _INT]),
    "rd_kafka_mock_cluster_destroy": (None, [_POINTER]),
    "rd_kafka_mock_cluster_bootstraps": (_TEXT, [_POINTER]),
    "rd_kafka_mock_topic_create": (_INT, [_POINTER, _TEXT, _INT, _INT]),
    "rd_kafka_mock_broker_set_down": (_INT, [_POINTER, ctypes.c_int32]),
    "rd_kafka_mock_broker_set_up": (_INT, [_POINTER, ctypes.c_int32]),
    "rd_kafka_mock_broker_set_rtt": (_INT, [_POINTER, ctypes.c_int32, _INT]),
    "rd_kafka_mock_partition_set_leader": (_INT, [_POINTER, _TEXT, ctypes.c_int32, ctypes.c_int32]),
    "rd_kafka_mock_push_request_errors_array": (
        None,
        [_POINTER, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(_INT)],
    ),
    "rd_kafka_mock_clear_request_errors": (None, [_POINTER, ctypes.c_int16]),
}


def _library() -> ctypes.CDLL:
    wheel = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
    library = ctypes.CDLL(str(next(wheel.glob("librdkafka-*.so*"))))
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class Row(NamedTuple):
    """A message as a consumer sees it."""

    partition: int
    offset: int
    key: bytes | None
    headers: dict[str, bytes]
    value: bytes


class MockKafka:
    """A cluster of brokers 1 to `brokers`. `servers`: what to give to a client."""

    def __init__(self, brokers: int = 3) -> None:
        self._kafka = _library()
        text = ctypes.create_string_buffer(512)
        self._client = self._kafka.rd_kafka_new(0, self._kafka.rd_kafka_conf_new(), text, 512)
        assert self._client, text.value
        self._mock = self._kafka.rd_kafka_mock_cluster_new(self._client, brokers)
        self.brokers = range(1, brokers + 1)
        self.servers: str = self._kafka.rd_kafka_mock_cluster_bootstraps(self._mock).decode()

    def topic(self, name: str, partitions: int = 1) -> None:
        code = self._kafka.rd_kafka_mock_topic_create(self._mock, name.encode(), partitions, len(self.brokers))
        assert not code, KafkaError(code)

    def down(self, *brokers: int) -> None:
        for broker in brokers or self.brokers:
            self._kafka.rd_kafka_mock_broker_set_down(self._mock, broker)

    def up(self) -> None:
        for broker in self.brokers:
            self._kafka.rd_kafka_mock_broker_set_up(self._mock, broker)

    def slow(self, milliseconds: int) -> None:
        for broker in self.brokers:
            self._kafka.rd_kafka_mock_broker_set_rtt(self._mock, broker, milliseconds)

    def lead(self, topic: str, partition: int, broker: int) -> None:
        self._kafka.rd_kafka_mock_partition_set_leader(self._mock, topic.encode(), partition, broker)

    def fail(self, request: int, *codes: int) -> None:
        """Answer the next requests of this kind with these error codes."""
        array = (ctypes.c_int * len(codes))(*codes)
        self._kafka.rd_kafka_mock_push_request_errors_array(self._mock, request, len(codes), array)

    def forgive(self, request: int) -> None:
        """Forget the error codes that are left."""
        self._kafka.rd_kafka_mock_clear_request_errors(self._mock, request)

    def rows(self, topic: str) -> list[Row]:
        """Every message of a topic."""
        consumer = Consumer({"bootstrap.servers": self.servers, "group.id": "look", "auto.offset.reset": "earliest"})
        try:
            partitions = sorted(consumer.list_topics(topic, 10).topics[topic].partitions)
            ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), 10)[1] for p in partitions}
            consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
            found: list[Row] = []
            while len(found) < sum(ends.values()):
                message = consumer.poll(10)
                assert message is not None, f"{len(found)} of {sum(ends.values())} messages came"
                if message.error() is None:
                    headers = dict(message.headers() or [])
                    found.append(
                        Row(message.partition(), message.offset(), message.key(), headers, message.value() or b"")
                    )
            return sorted(found)
        finally:
            consumer.close()

    def close(self) -> None:
        self._kafka.rd_kafka_mock_cluster_destroy(self._mock)
        self._kafka.rd_kafka_destroy(self._client)


@contextlib.contextmanager
def mock_kafka() -> Iterator[MockKafka]:
    cluster = MockKafka()
    try:
        yield cluster
    finally:
        cluster.close()
