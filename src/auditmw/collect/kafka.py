"""A topic of Apache Kafka as a feed: each partition is a track, and the number of a message is its offset and 1.

The position is what the names of our files say. What is committed to the consumer group shows others how far we are.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as Fetched

from auditmw.collect.feed import Message, Positions
from auditmw.ship.address import Address
from auditmw.ship.kafka_broker import Broker, trouble_of
from auditmw.ship.target import RetryableError, ShipError, UnusableError

_LOOK_AGAIN_SECONDS = 60.0  # for partitions that were added


class KafkaFeed:
    """The messages of all partitions of a topic. `group`: what the consumer group is called."""

    def __init__(self, broker: Broker, *, group: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._broker = broker
        self._group = group
        self._clock = clock
        self._consumer: Consumer | None = None
        self._partitions: dict[str, int] = {}  # by track
        self._tracks: dict[int, str] = {}
        self._missing: dict[str, int] = {}
        self._ended: set[int] = set()
        self._read_up_to: dict[int, int] = {}  # by partition: the next offset
        self._looked_at = 0.0
        self._refusal: ShipError | None = None

    def connect(self) -> str:
        """Connect; return the topic's name with its cluster's."""
        self.close()
        self._refusal = None
        settings = {
            "group.id": self._group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "queued.max.messages.kbytes": 16 * 1024,
            "fetch.message.max.bytes": 2 * 1024 * 1024,
            "error_cb": self._hear,
        }
        self._consumer = Consumer(self._broker.configuration() | settings)
        cluster, partitions = self._look(self._consumer)
        self._tracks = {
            partition: hashlib.sha256(f"{cluster}\0{self._broker.topic}\0{partition}".encode()).hexdigest()[:16]
            for partition in partitions
        }
        self._partitions = {track: partition for partition, track in self._tracks.items()}
        return f"kafka-{self._broker.topic}-{hashlib.sha256(cluster.encode()).hexdigest()[:8]}"

    def begin(self, positions: Positions) -> None:
        """Begin behind what is collected, or with the oldest message that there is."""
        consumer = self._connected()
        self._missing.clear()
        self._ended.clear()
        self._read_up_to.clear()
        places = []
        try:
            for partition, track in self._tracks.items():
                position = positions(track)
                place = TopicPartition(self._broker.topic, partition, position)
                low, high = consumer.get_watermark_offsets(place, timeout=self._broker.timeout_seconds)
                if position > high:
                    raise UnusableError(
                        f"partition {partition} of {self._broker.shown} ends at offset {high}, but {position} are "
                        "collected: the topic was made again, or has lost messages. Collect into a new directory"
                    )
                if position < low:
                    self._missing[track] = low - position
                    place.offset = low
                places.append(place)
                self._read_up_to[partition] = place.offset
            consumer.assign(places)
        except KafkaException as error:
            raise trouble_of(error.args[0], self._broker.shown) from error

    def read(self, most: int, seconds: float) -> Sequence[Message]:
        """Return up to `most` messages."""
        consumer = self._connected()
        if self._refusal is not None:
            raise self._refusal
        fetched = consumer.consume(most, timeout=seconds)
        if self._clock() >= self._looked_at + _LOOK_AGAIN_SECONDS and set(self._look(consumer)[1]) != set(self._tracks):
            raise RetryableError(f"{self._broker.shown} has other partitions now")
        return [message for message in map(self._message, fetched) if message is not None]

    def is_at_end(self) -> bool:
        """Return whether every partition was read to its end."""
        return self._ended >= set(self._tracks)

    def left(self) -> int:
        """Return how many offsets there are up to the ends of the partitions, as they were told last."""
        return sum(max(0, self._end(partition) - at) for partition, at in self._read_up_to.items())

    def acknowledge(self, collected: Mapping[str, int]) -> None:
        """Commit to the consumer group."""
        places = [
            TopicPartition(self._broker.topic, self._partitions[track], number) for track, number in collected.items()
        ]
        with contextlib.suppress(KafkaException):  # it is for others to see
            self._connected().commit(offsets=places, asynchronous=True)

    def close(self) -> None:
        """Let go of the consumer."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with contextlib.suppress(Exception):
                consumer.close()

    def _end(self, partition: int) -> int:
        """Return where a partition ended when a broker last said so."""
        with contextlib.suppress(KafkaException, RetryableError):
            place = TopicPartition(self._broker.topic, partition)
            _low, high = self._connected().get_watermark_offsets(place, cached=True)
            return int(high)
        return 0

    def _connected(self) -> Consumer:
        if self._consumer is None:
            raise RetryableError(f"there is no connection to {self._broker.shown}")
        return self._consumer

    def _look(self, consumer: Consumer) -> tuple[str, list[int]]:
        """Return the cluster's id, and the numbers of the topic's partitions."""
        try:
            found = consumer.list_topics(self._broker.topic, timeout=self._broker.timeout_seconds)
        except KafkaException as error:
            raise self._refusal or trouble_of(error.args[0], self._broker.shown) from error
        topic = found.topics[self._broker.topic]
        if topic.error is not None:
            raise trouble_of(topic.error, self._broker.shown)
        self._looked_at = self._clock()
        return found.cluster_id or "", sorted(topic.partitions)

    def _hear(self, error: KafkaError) -> None:
        trouble = trouble_of(error, self._broker.shown)
        if not isinstance(trouble, RetryableError):
            self._refusal = trouble

    def _message(self, fetched: Fetched) -> Message | None:
        """Return a message; None where a partition ends."""
        error, partition = fetched.error(), fetched.partition() or 0
        if error is not None and error.code() == KafkaError._PARTITION_EOF:
            self._ended.add(partition)
            return None
        if error is not None:
            raise trouble_of(error, self._broker.shown)
        self._ended.discard(partition)
        track = self._tracks[partition]
        number = self._read_up_to[partition] = (fetched.offset() or 0) + 1
        return Message(track, number, fetched.value() or b"", self._missing.pop(track, 0))


def open_feed(address: Address) -> KafkaFeed:
    """`kafka://user:password@host:port,host/TOPIC`, with the options of the target that say who we are."""
    broker = Broker.of(address)
    group = address.text("group", "auditmw-collect")
    address.done()
    return KafkaFeed(broker, group=group)
