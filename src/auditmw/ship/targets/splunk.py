"""`splunk+http://`, `splunk+https://`: the HTTP Event Collector of Splunk.

At least once. Splunk answers when it has read the events, which is before they are on disk; with `ack=yes`, for a token
with indexer acknowledgement, a batch counts when Splunk says that it is indexed
(https://help.splunk.com/en/splunk-enterprise/get-started/get-data-in, "HTTP Event Collector indexer acknowledgment").
"""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable
from typing import Any

import orjson

from auditmw.formats.mapping import nanoseconds, text_at
from auditmw.formats.record import RecordFormat
from auditmw.formats.records import record_format
from auditmw.ship.address import Address, AddressError
from auditmw.ship.batch import Batch, Entry
from auditmw.ship.http_client import Answer, HttpClient, failure, path_of
from auditmw.ship.target import Accepted, RetryableError, Target, UnusableError

SOURCETYPE = "auditmw:event"
_ASK_AGAIN_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)
_OURS = frozenset({7, 10, 11, 14})  # codes of a 400 that is not about the event: index, channel, acknowledgement


class SplunkTarget(Target):
    """Posts events. `metadata`: what each gets, such as its index.

    `ack_seconds`: how long to wait for an acknowledgement; None for not at all. `wait`: waits so many seconds.
    """

    def __init__(
        self,
        client: HttpClient,
        path: str,
        chosen: RecordFormat | None,
        *,
        metadata: dict[str, str],
        ack_seconds: float | None = None,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.format = chosen
        self._client = client
        self._path = path
        self._metadata = metadata
        self._ack_seconds = ack_seconds
        self._wait = wait
        self._channel = str(uuid.uuid4())
        self._headers = {"Content-Type": "application/json", "X-Splunk-Request-Channel": self._channel}

    def send(self, batch: Batch) -> Accepted:
        """Post the batch, and wait for its acknowledgement where there is to be one."""
        if not len(batch):
            return Accepted(0)
        content = self._asked(self._path, b"\n".join(self._envelope(entry) for entry in batch))
        if self._ack_seconds is not None:
            self._await(content.get("ackId"), self._ack_seconds)
        return Accepted(len(batch))

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _envelope(self, entry: Entry) -> bytes:
        """Return an event as the collector takes it; the record stays as it is, to the byte."""
        about: dict[str, Any] = dict(self._metadata)
        event = entry.event
        time_ns = nanoseconds(event.get("timestamp"))
        if time_ns is not None:
            about["time"] = f"{time_ns // 1_000_000_000}.{time_ns % 1_000_000_000 // 1000:06d}"
        host = text_at(event, "service.host")
        if host:
            about["host"] = host[:255].encode("utf-8", "replace").decode()
        return orjson.dumps(about)[:-1] + b',"event":' + entry.record + b"}"

    def _asked(self, path: str, body: bytes) -> dict[str, Any]:
        """Post something and return the answer. Raises what a refusal means."""
        answer = self._client.post(path, body, self._headers)
        content = _content(answer)
        if not answer.is_success:
            error = failure(self._client.shown, answer)
            raise UnusableError(error.reason) if content.get("code") in _OURS else error
        return content

    def _is_indexed(self, path: str, ack: int) -> bool:
        acks = self._asked(path, orjson.dumps({"acks": [ack]})).get("acks")
        return isinstance(acks, dict) and acks.get(str(ack)) is True

    def _await(self, ack: Any, seconds: float) -> None:
        if not isinstance(ack, int):
            raise UnusableError(
                f"{self._client.shown} acknowledges nothing: its token has no indexer acknowledgement; enable it, or "
                "leave out ack=yes"
            )
        path = f"{self._path.removesuffix('/event')}/ack?channel={self._channel}"
        pauses = itertools.chain(_ASK_AGAIN_SECONDS, itertools.repeat(_ASK_AGAIN_SECONDS[-1]))
        waited = 0.0
        while not self._is_indexed(path, ack):
            if waited >= seconds:
                raise RetryableError(
                    f"{self._client.shown} has not acknowledged a batch in {seconds:g} s; it may be indexed yet"
                )
            pause = next(pauses)
            self._wait(pause)
            waited += pause


def _content(answer: Answer) -> dict[str, Any]:
    try:
        content = orjson.loads(answer.body)
    except ValueError:
        content = None
    if isinstance(content, dict):
        return content
    if answer.is_success:
        raise UnusableError(f"expected an answer of Splunk's event collector, not {answer.text!r}")
    return {}


def open_target(address: Address, format: str | None) -> Target:
    """`splunk+https://host:8088?token_file=FILE`; the options are told in docs/shipping-targets.md."""
    client = HttpClient(address, port=8088, compressed=True, auth_scheme="Splunk")
    metadata = {
        "source": address.text("source", "auditmw"),
        "sourcetype": address.text("sourcetype", SOURCETYPE),
        "index": address.text("index", ""),
    }
    is_acknowledged, ack_seconds = address.flag("ack", False), address.seconds("ack_timeout", 60.0)
    max_events = address.whole("batch", Target.max_events)
    address.done()
    chosen = None if format is None else record_format(format)
    if chosen is not None and chosen.media_type != "application/json":
        raise AddressError(f"expected a format of JSON for {address.scheme}:, such as native or ocsf, not {format!r}")
    target = SplunkTarget(
        client,
        path_of(address, "services/collector/event"),
        chosen,
        metadata={name: value for name, value in metadata.items() if value},
        ack_seconds=ack_seconds if is_acknowledged else None,
    )
    target.max_events = max_events
    return target
