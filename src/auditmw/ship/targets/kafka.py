"""`kafka://host,host/TOPIC` produces one event a message to a topic of Apache Kafka.

At least once. The producer is idempotent and waits for all replicas in sync (`acks=all`): what it sends again itself is
there once. A batch that was given up is sent anew, and so may be there twice: with the same `id`, also as a header. The
topic's own `min.insync.replicas` says how many replicas there have to be; give it 2 or more, with 3 replicas.

The key is the session, or else the user: the events of one go to one partition, in order.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from auditmw.formats.record import RecordFormat
from auditmw.formats.records import record_format
from auditmw.ship.address import Address
from auditmw.ship.batch import Batch, Entry
from auditmw.ship.kafka_broker import Broker, text_of, trouble_of
from auditmw.ship.target import Accepted, RetryableError, ShipError, Target

_TOO_LARGE = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE, KafkaError.RECORD_LIST_TOO_LARGE}
_REFUSED = {KafkaError.INVALID_RECORD, KafkaError.INVALID_TIMESTAMP}
_LARGEST_BYTES = 1_200_000  # more than an event has: what the broker takes, it says itself
_STEP_SECONDS = 0.1


class _Delivery:
    """What comes of one batch."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.open = number
        self.refused: dict[int, str] = {}
        self.trouble: ShipError | None = None

    def tell(self, position: int, error: KafkaError | None, shown: str) -> None:
        """Take the report of one message."""
        self.open -= 1
        if error is None:
            return
        if error.code() in _TOO_LARGE | _REFUSED:
            self.refused[position] = text_of(error)
        else:
            self.trouble = self.trouble or trouble_of(error, shown)


class KafkaTarget(Target):
    """Produces to the topic that `broker` names. `compression`: of the messages, by the name that librdkafka has."""

    def __init__(self, broker: Broker, *, chosen: RecordFormat | None = None, compression: str = "zstd") -> None:
        self.format = chosen
        self._broker = broker
        self._compression = compression
        self._media_type = (chosen.media_type if chosen is not None else "application/json").encode()
        self._producer: Producer | None = None
        self._refusal: ShipError | None = None

    def send(self, batch: Batch) -> Accepted:
        """Produce the batch, and wait for the reports of all messages."""
        if not len(batch):
            return Accepted(0)
        delivery = _Delivery(len(batch))
        try:
            producer = self._opened()
            for position, entry in enumerate(batch):
                self._produce(producer, delivery, position, entry)
            self._wait(producer, delivery)
        except KafkaException as error:
            self.close()
            raise trouble_of(error.args[0], self._broker.shown) from error
        except BaseException:
            self.close()
            raise
        return Accepted(len(batch) - len(delivery.refused), delivery.refused)

    def close(self) -> None:
        """Let go of the producer, and of what it still has: the shipper sends that again."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(Exception):
                producer.purge()
                producer.poll(0)

    def _opened(self) -> Producer:
        if self._producer is None:
            self._refusal = None
            self._producer = Producer(
                self._broker.configuration()
                | {
                    "enable.idempotence": True,
                    "acks": "all",
                    "compression.type": self._compression,
                    "linger.ms": 5,
                    "message.max.bytes": _LARGEST_BYTES,
                    "message.timeout.ms": round(self._broker.timeout_seconds * 1000),
                    "queue.buffering.max.messages": 100_000,
                    "error_cb": self._hear,
                }
            )
        return self._producer

    def _hear(self, error: KafkaError) -> None:
        """Keep what says that we are refused: messages alone would only time out."""
        trouble = trouble_of(error, self._broker.shown)
        if error.fatal() or not isinstance(trouble, RetryableError):
            self._refusal = trouble

    def _produce(self, producer: Producer, delivery: _Delivery, position: int, entry: Entry) -> None:
        def tell(error: KafkaError | None, message: Message) -> None:
            delivery.tell(position, error, self._broker.shown)

        try:
            producer.produce(
                self._broker.topic,
                value=entry.record,
                key=key_of(entry.event),
                headers=[("id", entry.id.encode("utf-8", "surrogatepass")), ("content-type", self._media_type)],
                on_delivery=tell,
            )
        except KafkaException as error:  # at once: larger than message.max.bytes
            delivery.tell(position, error.args[0], self._broker.shown)
        if position % 100 == 0:
            producer.poll(0)

    def _wait(self, producer: Producer, delivery: _Delivery) -> None:
        """Wait for all reports. librdkafka gives each message up after `timeout`, so they come."""
        end = time.monotonic() + 2 * self._broker.timeout_seconds
        while delivery.open and self._refusal is None and delivery.trouble is None:
            if time.monotonic() > end:
                raise RetryableError(f"{self._broker.shown} did not tell of {delivery.open} messages in time")
            producer.poll(_STEP_SECONDS)
        trouble = self._refusal or delivery.trouble
        if trouble is not None:
            raise trouble


def key_of(event: Mapping[str, Any]) -> bytes | None:
    """Return the session of an event, or else its user; None, for any partition, where there is neither."""
    for section in ("session", "actor"):
        found = event.get(section)
        ident = found.get("id") if isinstance(found, Mapping) else None
        if isinstance(ident, str) and ident:
            return ident.encode("utf-8", "surrogatepass")
    return None


def open_target(address: Address, format: str | None) -> Target:
    """`kafka://user:password@host:port,host/TOPIC`; the options are told in docs/shipping-targets.md."""
    broker = Broker.of(address)
    compression = address.choice("compression", "zstd", ("none", "gzip", "snappy", "lz4", "zstd"))
    max_events = address.whole("batch", Target.max_events)
    address.done()
    chosen = None if format is None else record_format(format)
    target = KafkaTarget(broker, chosen=chosen, compression=compression)
    target.max_events = max_events
    return target
