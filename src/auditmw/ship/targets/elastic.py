"""`elastic+http://`, `elastic+https://`: the `_bulk` interface of Elasticsearch and OpenSearch, in ECS.

At least once, and each event once within an index: a document has the event's id as its `_id` and is only ever created,
so one that comes again is answered with 409 and counts as there
(https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk). A data stream knows ids within its current
backing index: what comes again after a rollover is there twice.
"""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from auditmw.formats.record import RecordFormat
from auditmw.formats.records import record_format
from auditmw.ship.address import Address, AddressError
from auditmw.ship.batch import Batch
from auditmw.ship.http_client import RETRYABLE, Answer, HttpClient, failure, path_of
from auditmw.ship.target import Accepted, RetryableError, Target, UnusableError
from auditmw.ship.wire import LONGEST_REASON

INDEX = "logs-auditmw-default"
"""Elasticsearch makes a data stream of this name by its own template for `logs-*-*`."""

_HEADERS = {"Content-Type": "application/x-ndjson"}
_FILTER = "filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason"
_MOST_ID_BYTES = 512
_THERE_ALREADY = 409
_POISON = frozenset({400, 413, 422})


class ElasticTarget(Target):
    """Creates documents in the index at `path`."""

    def __init__(self, client: HttpClient, path: str, chosen: RecordFormat | None) -> None:
        self.format = chosen
        self._client = client
        self._path = f"{path}/_bulk?{_FILTER}"

    def send(self, batch: Batch) -> Accepted:
        """Create a document for each event."""
        if not len(batch):
            return Accepted(0)
        lines: list[bytes] = []
        for entry in batch:
            lines += (orjson.dumps({"create": {"_id": document_id(entry.id)}}), entry.record)
        answer = self._client.post(self._path, b"\n".join(lines) + b"\n", _HEADERS)
        if not answer.is_success:
            raise failure(self._client.shown, answer)
        return self._outcome(self._results(answer, len(batch)), len(batch))

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _results(self, answer: Answer, count: int) -> list[dict[str, Any]]:
        """Return what came of each document; none when there were no errors."""
        try:
            content = orjson.loads(answer.body)
            if content["errors"] is False:
                return []
            results = [next(iter(item.values())) for item in content["items"]]
            if len(results) == count and all(isinstance(result["status"], int) for result in results):
                return results
        except (ValueError, KeyError, TypeError, AttributeError, StopIteration):
            pass
        raise UnusableError(
            f"expected {self._client.shown} to answer a bulk request with {count} items, not with {answer.text!r}"
        )

    def _outcome(self, results: list[dict[str, Any]], count: int) -> Accepted:
        refused: dict[int, str] = {}
        for position, result in enumerate(results):
            status = result["status"]
            if status < 300 or status == _THERE_ALREADY:
                continue
            reason = f"{self._client.shown} answered {status}: {_said(result.get('error'))}"
            if status in _POISON:
                refused[position] = reason
            elif status in RETRYABLE:
                raise RetryableError(reason)  # what was created now is answered with 409 then
            else:
                raise UnusableError(reason)
        return Accepted(count - len(refused), refused)


def document_id(ident: str) -> str:
    """Return an event's id as a document may have it: itself, or a digest of one that is too long or not Unicode."""
    encoded = ident.encode("utf-8", "surrogatepass")
    try:
        encoded.decode()
    except UnicodeDecodeError:
        return hashlib.sha256(encoded).hexdigest()
    return ident if len(encoded) <= _MOST_ID_BYTES else hashlib.sha256(encoded).hexdigest()


def _said(error: Any) -> str:
    if isinstance(error, dict):
        return f"{error.get('type')}: {error.get('reason')}"[:LONGEST_REASON]
    return str(error)[:LONGEST_REASON]


def open_target(address: Address, format: str | None) -> Target:
    """`elastic+https://user:password@host:9200/INDEX`; the options are told in docs/shipping-targets.md."""
    client = HttpClient(address, port=9200, compressed=True, auth_scheme="ApiKey")
    max_events = address.whole("batch", Target.max_events)
    address.done()
    if "/" in address.path:
        raise AddressError(f"expected the name of an index after the host in {address.shown}, not {address.path!r}")
    chosen = record_format(format or "ecs")
    if chosen.media_type != "application/json":
        raise AddressError(f"expected a format of JSON for {address.scheme}:, such as ecs or native, not {format!r}")
    target = ElasticTarget(client, path_of(address, INDEX), None if format == "native" else chosen)
    target.max_events = max_events
    return target
