"""`loki+http://`, `loki+https://`: the push interface of Grafana Loki.

https://grafana.com/docs/loki/latest/reference/loki-http-api/. At least once; Loki leaves out a line that a stream has
already at the same time, so what comes again is there once. The labels are few, as Loki wants them: `job`,
`service_name` and `level`. The time is the event's: Loki refuses what is older than its `reject_old_samples_max_age` (a
week by default), and that becomes dead letters.
"""

from __future__ import annotations

from typing import Any

import orjson

from auditmw.formats.mapping import nanoseconds, text_at
from auditmw.formats.record import Event, RecordFormat
from auditmw.formats.records import record_format
from auditmw.ship.address import Address, AddressError
from auditmw.ship.batch import Batch
from auditmw.ship.http_client import HttpClient, failure, path_of
from auditmw.ship.target import Accepted, Target

JOB = "auditmw"
_LABELS = {"service_name": "service.name", "level": "level"}
_NO_TIME = "Loki keeps lines by their time, and this event's is none: expected such as 2026-11-20T12:00:00.000000Z"
_NO_TEXT = "Loki keeps text, and this event is not UTF-8"


class LokiTarget(Target):
    """Pushes lines. `tenant`: whose they are, where Loki serves several ("" for no header)."""

    def __init__(self, client: HttpClient, path: str, chosen: RecordFormat | None, *, job: str, tenant: str) -> None:
        self.format = chosen
        self._client = client
        self._path = path
        self._job = job
        self._headers = {"Content-Type": "application/json"} | ({"X-Scope-OrgID": tenant} if tenant else {})

    def send(self, batch: Batch) -> Accepted:
        """Push the events that have a time; the others are refused."""
        refused: dict[int, str] = {}
        streams: dict[bytes, dict[str, Any]] = {}
        for position, entry in enumerate(batch):
            event = entry.event
            time_ns = nanoseconds(event.get("timestamp"))
            text = _text(entry.record)
            if time_ns is None or text is None:
                refused[position] = _NO_TIME if time_ns is None else _NO_TEXT
                continue
            labels = self._labels(event)
            stream = streams.setdefault(orjson.dumps(labels), {"stream": labels, "values": []})
            stream["values"].append([str(time_ns), text])
        if streams:
            answer = self._client.post(self._path, orjson.dumps({"streams": list(streams.values())}), self._headers)
            if not answer.is_success:
                raise failure(self._client.shown, answer)
        return Accepted(len(batch) - len(refused), refused)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _labels(self, event: Event) -> dict[str, str]:
        found = {label: text_at(event, path) for label, path in _LABELS.items()}
        return {"job": self._job} | {label: _sound(text) for label, text in found.items() if text}


def _text(record: bytes) -> str | None:
    try:
        return record.decode()
    except UnicodeDecodeError:
        return None


def _sound(text: str) -> str:
    return text[:1024].encode("utf-8", "replace").decode()


def open_target(address: Address, format: str | None) -> Target:
    """`loki+https://user:password@host:3100`; the options are told in docs/shipping-targets.md."""
    client = HttpClient(address, port=3100, compressed=True)
    job, tenant = address.text("job", JOB), address.text("tenant", "")
    if not (tenant.isascii() and tenant.isprintable()):
        raise AddressError(f"expected the name of a tenant in {address.shown}, not {tenant!r}")
    max_events = address.whole("batch", Target.max_events)
    address.done()
    chosen = None if format is None else record_format(format)
    if chosen is not None and chosen.media_type not in ("application/json", "text/plain"):
        raise AddressError(f"expected a format of lines for {address.scheme}:, not {format!r}")
    target = LokiTarget(client, path_of(address, "loki/api/v1/push"), chosen, job=job, tenant=tenant)
    target.max_events = max_events
    return target
