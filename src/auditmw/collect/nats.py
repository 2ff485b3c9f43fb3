"""A stream of NATS JetStream as a feed.

The position is what the names of our files say, in the stream's own numbers; so each connection makes a consumer that
begins there, and the server forgets it when nobody asks any more. Acknowledgements only show others how far we are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, RetentionPolicy, StreamInfo
from nats.js.errors import NotFoundError

from auditmw.collect.feed import Message, Positions
from auditmw.ship.address import Address
from auditmw.ship.jetstream import Connection, Place
from auditmw.ship.target import RetryableError, ShipError, UnusableError

_AT_ONCE = 2_000  # messages of one request
_FORGET_SECONDS = 60.0
_ACK_SECONDS = 300.0


class NatsFeed:
    """The messages of a stream, all of them: one track."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._connection = Connection(place, self._prepare, self._hear)
        self._subscription: JetStreamContext.PullSubscription | None = None
        self._track = ""
        self._stream: StreamInfo | None = None
        self._last = self._delivered = self._pending = 0
        self._unacknowledged: list[Msg] = []
        self._trouble: ShipError | None = None

    def connect(self) -> str:
        """Connect; return the stream's name with the time at which it was made."""
        self.close()
        self._connection.run(self._look)
        return f"nats-{self._place.stream}-{self._track}"

    def begin(self, positions: Positions) -> None:
        """Make a consumer that begins behind what is collected."""
        self._connection.run(lambda: self._begin(positions(self._track)))

    def read(self, most: int, seconds: float) -> Sequence[Message]:
        """Return up to `most` messages."""
        return self._connection.run(lambda: self._read(min(most, _AT_ONCE), seconds))

    def is_at_end(self) -> bool:
        """Return whether the last message had none behind it."""
        return self._pending == 0

    def left(self) -> int:
        """Return how many messages there were behind the last one."""
        return self._pending

    def acknowledge(self, collected: Mapping[str, int]) -> None:
        """Tell the server: the last message stands for all before it."""
        last = collected.get(self._track, 0)
        done = [message for message in self._unacknowledged if message.metadata.sequence.stream <= last]
        if done:
            self._unacknowledged = self._unacknowledged[len(done) :]
            self._connection.run(done[-1].ack)

    def close(self) -> None:
        """Close the connection; the server forgets the consumer by itself."""
        self._subscription, self._stream = None, None
        self._unacknowledged.clear()
        self._connection.close()

    def _hear(self, error: ShipError) -> None:
        self._trouble = error

    async def _prepare(self, connection: Connection) -> None:
        """Refuse a connection that came after the one that has the consumer."""
        if self._subscription is not None:
            raise RetryableError(f"the connection to {self._place.shown} was lost")

    async def _look(self) -> None:
        try:
            info = await self._connection.stream_api.stream_info(self._place.stream)
        except NotFoundError:
            raise RetryableError(
                f"{self._place.shown} has no stream {self._place.stream} yet: what ships to it makes it"
            ) from None
        if info.config.retention != RetentionPolicy.LIMITS:
            raise UnusableError(
                f"expected stream {self._place.stream} to keep messages that were acknowledged (retention limits), not "
                f"{info.config.retention}"
            )
        made = f"{info.config.name}\0{info.created.isoformat() if info.created else ''}"
        self._track = hashlib.sha256(made.encode()).hexdigest()[:16]
        self._stream, self._trouble = info, None

    async def _begin(self, position: int) -> None:
        assert self._stream is not None  # noqa: S101 - `connect` came before
        if self._stream.state.last_seq < position:
            raise UnusableError(
                f"stream {self._place.stream} ends at message {self._stream.state.last_seq}, but {position} are "
                "collected: it has lost messages, or is an older copy. Collect into a new directory"
            )
        config = ConsumerConfig(
            description="auditmw collect",
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=position + 1,
            ack_policy=AckPolicy.ALL,
            ack_wait=_ACK_SECONDS,
            max_ack_pending=-1,
            inactive_threshold=_FORGET_SECONDS,
        )
        context = self._connection.stream_api
        consumer = await context.add_consumer(self._place.stream, config)
        self._subscription = await context.pull_subscribe_bind(consumer.name, self._place.stream)
        self._last, self._delivered, self._pending = position, 0, consumer.num_pending or 0

    async def _read(self, most: int, seconds: float) -> list[Message]:
        if self._trouble is not None:
            raise self._trouble
        if self._subscription is None:
            raise RetryableError(f"the connection to {self._place.shown} was lost")
        try:
            fetched = await self._subscription.fetch(most, timeout=seconds)
        except TimeoutError:
            await self._subscription.consumer_info()  # is there a consumer still?
            return []
        return [message for message in map(self._message, fetched) if message is not None]

    def _message(self, fetched: Msg) -> Message | None:
        """Return a message; None for one that was there before. Raises RetryableError when one was left out."""
        numbers = fetched.metadata.sequence
        if fetched.metadata.num_delivered and fetched.metadata.num_delivered > 1:
            raise RetryableError(f"{self._place.shown} began to deliver anew")
        if numbers.consumer != self._delivered + 1:
            raise RetryableError(f"a message of {self._place.shown} was lost on its way")
        missing = numbers.stream - self._last - 1
        self._delivered, self._last = numbers.consumer, numbers.stream
        self._pending = fetched.metadata.num_pending or 0
        self._unacknowledged.append(fetched)
        return Message(self._track, numbers.stream, fetched.data, missing)


def open_feed(address: Address) -> NatsFeed:
    """`nats://user:password@host:port,host/STREAM`, with the options of the target that say who we are."""
    place = Place.of(address)
    address.done()
    return NatsFeed(place)
