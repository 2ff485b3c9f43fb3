"""`nats://host,host/STREAM` publishes one event a message to a stream of NATS JetStream.

At least once. `Nats-Msg-Id` is the event's id, so that the stream takes what comes again within its window for doubles
(2 minutes unless it says otherwise) only once. Each event counts when its PubAck is here; up to `window` are awaited.

A PubAck says that a majority of the replicas has the message. What they have may be in memory for the sync interval of
the servers (2 minutes by default): a crash of processes loses nothing, a power failure of a majority may.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import logging
import re

import orjson
from nats.aio.msg import Msg
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig, StreamInfo
from nats.js.errors import APIError, NotFoundError

from auditmw.formats.record import RecordFormat
from auditmw.formats.records import record_format
from auditmw.ship.address import Address, AddressError
from auditmw.ship.batch import Batch
from auditmw.ship.jetstream import Connection, Place, server_said
from auditmw.ship.target import Accepted, RetryableError, ShipError, Target, UnusableError

WINDOW = 256
DUPLICATE_WINDOW_SECONDS = 120.0
REPLICAS = 3

_NO_RESPONDERS = "503"
_TOO_LARGE_FOR_STREAM = 10054  # error codes of nats-server/server/errors.json
_FOUND_MEANWHILE = 10058
_NO_PEERS = (10005, 10074)
_HEADER_BYTES = 80  # more than the first line and the names of the headers take
_PLAIN_ID = re.compile(r"[!-~]{1,128}")
_SUBJECT = re.compile(r"[^\s.*>]+(\.[^\s.*>]+)*")

_log = logging.getLogger("auditmw.ship")


class _Round:
    """The acknowledgements of one batch, as they come."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.awaited: set[int] = set()
        self.refused: dict[int, str] = {}
        self.acknowledged = 0
        self.trouble: ShipError | None = None
        self._low = 0
        self._changed = asyncio.Event()

    def fail(self, error: ShipError) -> None:
        """End the round."""
        self.trouble = self.trouble or error
        self._changed.set()

    def settle(self, position: int, reason: str | None) -> None:
        """Count an acknowledgement, or a refusal."""
        if position not in self.awaited:
            return
        self.awaited.discard(position)
        if reason is None:
            self.acknowledged += 1
        else:
            self.refused[position] = reason
        if len(self.awaited) <= self._low:
            self._changed.set()

    async def shrink(self, low: int, patience_seconds: float) -> None:
        """Wait until no more than `low` are awaited. Raises what went wrong; RetryableError when none comes."""
        self._low = low
        while self.trouble is None and len(self.awaited) > low:
            before = len(self.awaited)
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), patience_seconds)
            except TimeoutError:
                if len(self.awaited) == before:
                    raise RetryableError(
                        f"no acknowledgement in {patience_seconds:g} s; {before} are missing, of events that may have "
                        "arrived or not"
                    ) from None
        if self.trouble is not None:
            raise self.trouble


class NatsTarget(Target):
    """Publishes to `subject` of the stream that `place` names, and makes that stream where there is none.

    `window`: how many messages go without an acknowledgement. `replicas`: of a stream that is made; None for three in a
    cluster, and one on a server of its own. `duplicate_window_seconds`, `max_age_seconds` (0: for ever): of a stream
    that is made. A stream that is there stays as it is.
    """

    def __init__(
        self,
        place: Place,
        *,
        subject: str,
        chosen: RecordFormat | None = None,
        window: int = WINDOW,
        replicas: int | None = None,
        duplicate_window_seconds: float = DUPLICATE_WINDOW_SECONDS,
        max_age_seconds: float = 0.0,
    ) -> None:
        self.format = chosen
        self._place = place
        self._subject = subject
        self._window = window
        self._replicas = replicas
        self._duplicate_window_seconds = duplicate_window_seconds
        self._max_age_seconds = max_age_seconds
        self._rounds = itertools.count(1)
        self._round: _Round | None = None
        self._inbox = ""
        self._connection = Connection(place, self._prepare, self._trouble)
        self._headers = {"Nats-Msg-Id": "", "Nats-Expected-Stream": place.stream}
        if chosen is not None:
            self._headers["Content-Type"] = chosen.media_type

    def send(self, batch: Batch) -> Accepted:
        """Publish the batch, and wait for all acknowledgements."""
        if not len(batch):
            return Accepted(0)
        return self._connection.run(lambda: self._publish(batch))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _trouble(self, error: ShipError) -> None:
        if self._round is not None:
            self._round.fail(error)

    async def _prepare(self, connection: Connection) -> None:
        """See to the stream, and listen for acknowledgements."""
        try:
            info = await connection.stream_api.stream_info(self._place.stream)
        except NotFoundError:
            info = await self._make_stream(connection)
        self._look_at(info)
        self._inbox = connection.client.new_inbox()
        await connection.client.subscribe(
            f"{self._inbox}.*.*", cb=self._hear, pending_msgs_limit=0, pending_bytes_limit=0
        )

    async def _make_stream(self, connection: Connection) -> StreamInfo:
        replicas = self._replicas or (REPLICAS if connection.is_clustered else 1)
        config = StreamConfig(
            name=self._place.stream,
            subjects=[self._subject],
            retention=RetentionPolicy.LIMITS,
            discard=DiscardPolicy.NEW,  # a full stream refuses, and shipping waits; it does not forget
            storage=StorageType.FILE,
            num_replicas=replicas,
            duplicate_window=self._duplicate_window_seconds,
            max_age=self._max_age_seconds,
        )
        try:
            return await connection.stream_api.add_stream(config)
        except APIError as error:
            if error.err_code == _FOUND_MEANWHILE:
                return await connection.stream_api.stream_info(self._place.stream)
            if error.err_code in _NO_PEERS:
                raise RetryableError(
                    f"stream {self._place.stream} cannot be made with {replicas} replicas: {server_said(error)}; start "
                    f"the servers that are missing, or say ?replicas=1 to do without"
                ) from error
            raise

    def _look_at(self, info: StreamInfo) -> None:
        config = info.config
        if config.storage == StorageType.MEMORY:
            _log.warning("auditmw: stream %s of %s keeps messages in memory only", config.name, self._place.shown)
        if not config.duplicate_window:
            _log.warning("auditmw: stream %s of %s has no duplicate window", config.name, self._place.shown)

    async def _publish(self, batch: Batch) -> Accepted:
        current = self._round = _Round(next(self._rounds))
        client, patience = self._connection.client, self._place.timeout_seconds
        try:
            for position, entry in enumerate(batch):
                if current.trouble is not None or len(current.awaited) >= self._window:
                    await current.shrink(self._window // 2, patience)
                headers = self._headers | {"Nats-Msg-Id": message_id(entry.id)}
                size = len(entry.record) + _HEADER_BYTES + sum(map(len, headers.values()))
                if size > client.max_payload:
                    current.refused[position] = (
                        f"{len(entry.record)} bytes are more than the server takes (max_payload {client.max_payload})"
                    )
                    continue
                current.awaited.add(position)
                reply = f"{self._inbox}.{current.number}.{position}"
                await client.publish(self._subject, entry.record, reply, headers)
            await current.shrink(0, patience)
        finally:
            self._round = None
        return Accepted(current.acknowledged, current.refused)

    async def _hear(self, message: Msg) -> None:
        """Take an acknowledgement."""
        current = self._round
        number, _, position = message.subject[len(self._inbox) + 1 :].partition(".")
        if current is None or int(number) != current.number:
            return  # of a batch that was given up
        if message.headers is not None and message.headers.get("Status") == _NO_RESPONDERS:
            current.fail(
                RetryableError(
                    f"stream {self._place.stream} does not answer: its replicas have no leader, or it was deleted, or "
                    f"does not listen to {self._subject}"
                )
            )
            return
        try:
            answer = orjson.loads(message.data)
        except ValueError:
            answer = {"error": {"description": f"expected an acknowledgement, not {message.data[:60]!r}"}}
        if "error" not in answer:
            current.settle(int(position), None)
        else:
            self._refused(current, int(position), answer["error"])

    def _refused(self, current: _Round, position: int, error: dict[str, object]) -> None:
        said = f"{error.get('description', json.dumps(error))} ({error.get('err_code')})"[:200]
        if error.get("err_code") == _TOO_LARGE_FOR_STREAM:
            current.settle(position, f"stream {self._place.stream}: {said}")
        elif error.get("code") == 400 or error.get("code") == 403:
            current.fail(UnusableError(f"stream {self._place.stream} does not take events: {said}"))
        else:
            current.fail(RetryableError(f"stream {self._place.stream} does not take events now: {said}"))


def message_id(ident: str) -> str:
    """Return an event's id as a header can carry it: itself, or a digest of an odd one."""
    if _PLAIN_ID.fullmatch(ident):
        return ident
    return hashlib.sha256(ident.encode("utf-8", "surrogatepass")).hexdigest()


def open_target(address: Address, format: str | None) -> Target:
    """`nats://user:password@host:port,host/STREAM`; the options are told in docs/shipping-targets.md."""
    place = Place.of(address)
    subject = address.text("subject", f"{place.stream}.events")
    if not _SUBJECT.fullmatch(subject):
        raise AddressError(f"expected a subject such as audit.events, without wildcards, not {subject!r}")
    replicas = address.whole("replicas", 0)
    window = address.whole("window", WINDOW)
    duplicates = address.seconds("duplicate_window", DUPLICATE_WINDOW_SECONDS)
    max_age = address.seconds("max_age", 0.0)
    max_events = address.whole("batch", Target.max_events)
    address.done()
    target = NatsTarget(
        place,
        subject=subject,
        chosen=None if format is None else record_format(format),
        window=window,
        replicas=replicas or None,
        duplicate_window_seconds=duplicates,
        max_age_seconds=max_age,
    )
    target.max_events = max_events
    return target
