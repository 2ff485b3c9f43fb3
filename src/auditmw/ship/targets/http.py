"""`http://`, `https://`: a POST of newline-delimited JSON for each batch.

At least once: a batch counts when the answer is 2xx, and comes again with the same `Idempotency-Key`
(draft-ietf-httpapi-idempotency-key-header) when an answer was lost, so a server that keeps keys has each event once.
"""

from __future__ import annotations

from auditmw.formats.record import RecordFormat, framed
from auditmw.formats.records import record_format
from auditmw.ship.address import Address
from auditmw.ship.batch import Batch
from auditmw.ship.http_client import HttpClient, failure, path_of
from auditmw.ship.target import Accepted, Target

_MEDIA_TYPES = {"application/json": "application/x-ndjson"}


class HttpTarget(Target):
    """Posts batches to `path`."""

    def __init__(self, client: HttpClient, path: str, chosen: RecordFormat | None) -> None:
        self.format = chosen
        self._client = client
        self._path = path
        self._framed_as = chosen.media_type if chosen is not None else "application/json"
        self._media_type = _MEDIA_TYPES.get(self._framed_as, self._framed_as)

    def send(self, batch: Batch) -> Accepted:
        """Post the batch."""
        if not len(batch):
            return Accepted(0)
        body = b"".join(framed(entry.record, self._framed_as) for entry in batch)
        headers = {"Content-Type": self._media_type, "Idempotency-Key": f'"{batch.token}"'}
        answer = self._client.post(self._path, body, headers)
        if not answer.is_success:
            raise failure(self._client.shown, answer)
        return Accepted(len(batch))

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def open_target(address: Address, format: str | None) -> Target:
    """`https://user:password@host:port/path`; the options are told in docs/shipping-targets.md."""
    client = HttpClient(address)
    max_events = address.whole("batch", Target.max_events)
    address.done()
    target = HttpTarget(client, path_of(address), None if format is None else record_format(format))
    target.max_events = max_events
    return target
