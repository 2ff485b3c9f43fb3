"""Open Cybersecurity Schema Framework 1.8: what SIEMs and security lakes read; nothing of an event is lost.

The class is the one that the event asks for: Authentication (3002), File Hosting Activity (6006), HTTP Activity (4002),
and API Activity (6003) for everything else. Classes, objects and their attributes: https://schema.ocsf.io/1.8.0/. What
has no attribute in the class is in `unmapped.auditmw`, in the event's own shape.
"""

from __future__ import annotations

import functools
import re
from typing import Any

from auditmw.formats import json_record
from auditmw.formats.mapping import (
    INTEGER,
    TEXT,
    UNFIT,
    Field,
    Kind,
    Mapping,
    at,
    is_ip,
    nanoseconds,
    text_at,
    text_that,
)
from auditmw.formats.ocsf_class import API, HTTP, activity, class_of, say_who_and_what
from auditmw.formats.record import Event, RecordError

VERSION = "1.8.0"

_METHODS = {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
_EMAIL = re.compile(r"[a-zA-Z0-9!#$%&'*+-/=?^_`{|}~.]+@[a-zA-Z0-9-]+\.[a-zA-Z0-9-.]+")  # its data type email_t
_SEVERITIES = {"debug": 1, "info": 1, "warning": 3, "error": 4, "critical": 5}
_STATUSES = {"success": 1, "failure": 2, "unknown": 0, "pending": 99}
_USER_TYPES = {"user": 1, "system": 3, "service": 4, "anonymous": 99}


def _header_list(headers: dict[str, Any]) -> Any:
    """Headers as OCSF has them: a list of names and values."""
    pairs = []
    for name, values in headers.items():
        if type(values) is not list or not values:
            return UNFIT
        for value in values:
            if type(value) is not str:
                return UNFIT
            pairs.append({"name": name, "value": value})
    return pairs or UNFIT


def _header_lists(pairs: list[Any]) -> dict[str, list[str]]:
    """The way back: each name with its values."""
    headers: dict[str, list[str]] = {}
    for pair in pairs:
        headers.setdefault(pair["name"], []).append(pair["value"])
    return headers


_HEADERS = Kind(dict, list, _header_list, _header_lists)
_PORT = Kind(int, int, lambda number: number if number in range(65_536) else UNFIT)

FIELDS = (
    Field("id", "metadata.uid", TEXT),
    Field("timestamp", "metadata.original_time", TEXT),
    Field("event", "metadata.event_code", TEXT),
    Field("level", "metadata.log_level", TEXT),
    Field("message", "message", TEXT),
    Field("outcome.reason", "status_detail", TEXT),
    Field("trace.trace_id", "trace.uid", TEXT),
    Field("trace.span_id", "trace.span.uid", TEXT),
    Field("trace.parent_id", "trace.span.parent_uid", TEXT),
    Field("request_id", "http_request.uid", TEXT),
    Field("correlation_id", "metadata.correlation_uid", TEXT),
    Field("actor.id", "actor.user.uid", TEXT),
    Field("actor.name", "actor.user.name", TEXT),
    Field("actor.email", "actor.user.email_addr", text_that(_EMAIL.fullmatch)),
    Field("actor.realm", "actor.user.domain", TEXT),
    Field("session.id", "actor.session.uid", TEXT),
    Field("client.port", "src_endpoint.port", _PORT),
    Field("server.address", "dst_endpoint.hostname", TEXT),
    Field("server.port", "dst_endpoint.port", _PORT),
    Field("server.hostname", "dst_endpoint.name", TEXT),
    Field("http.version", "http_request.version", TEXT),
    Field("http.request.method", "http_request.http_method", text_that(_METHODS.__contains__)),
    Field("http.request.headers", "http_request.http_headers", _HEADERS),
    Field("http.request.user_agent", "http_request.user_agent", TEXT),
    Field("http.request.referrer", "http_request.referrer", TEXT),
    Field("http.request.size", "http_request.length", INTEGER),
    Field("http.request.body_size", "http_request.body_length", INTEGER),
    Field("http.response.status_code", "http_response.code", INTEGER),
    Field("http.response.reason", "http_response.message", TEXT),
    Field("http.response.headers", "http_response.http_headers", _HEADERS),
    Field("http.response.content_type", "http_response.content_type", TEXT),
    Field("http.response.size", "http_response.length", INTEGER),
    Field("http.response.body_size", "http_response.body_length", INTEGER),
    Field("url.full", "http_request.url.url_string", TEXT),
    Field("url.scheme", "http_request.url.scheme", TEXT),
    Field("url.host", "http_request.url.hostname", TEXT),
    Field("url.port", "http_request.url.port", _PORT),
    Field("url.path", "http_request.url.path", TEXT),
    Field("url.query", "http_request.url.query_string", TEXT),
    Field("source.format", "metadata.log_format", TEXT),
    Field("source.raw", "raw_data", TEXT),
)
ADDRESSES = (
    Field("client.address", "src_endpoint.ip", text_that(is_ip)),
    Field("client.address", "src_endpoint.hostname", TEXT),
)
DERIVED = {
    "timestamp": "time",
    "start": "start_time",
    "duration_ns": "duration",
    "level": "severity_id",
    "category": "class_uid",
    "action": "activity_id",
    "outcome.result": "status_id",
    "actor.type": "actor.user.type_id",
    "client.forwarded": "src_endpoint.intermediate_ips",
    "http.response.status_code": "status_code",
    "service.name": "actor.app_name",
    "target": "file (6006), resources (6003), user (3002)",
}
"""What is said a second time, in a coarser or another form; it is not read back."""
REMAINDER = "auditmw"


@functools.cache
def _mapping(without: tuple[str, ...], by_ip: bool) -> Mapping:
    """The table but for the attributes that begin with one of these: the class has none, or they would be half."""
    fields = (*FIELDS, ADDRESSES[0 if by_ip else 1])
    return Mapping(field for field in fields if not field.target.startswith(without))


def _missing(event: Event, class_uid: int) -> tuple[str, ...]:
    """Where the event lacks what OCSF requires of an object, the rest of that object is in the remainder."""
    without = []
    if class_uid not in (HTTP, API) or text_at(event, "trace.trace_id") is None:
        without.append("trace.")
    elif text_at(event, "trace.span_id") is None or nanoseconds(event.get("start")) is None:
        without.append("trace.span.")
    if type(at(event, "http.response.status_code")) is not int:
        without.append("http_response.")
    if not (text_at(event, "url.full") or text_at(event, "url.path")):
        without.append("http_request.url.")
    if not (text_at(event, "actor.id") or text_at(event, "actor.name")):
        without.append("actor.user.")
    if text_at(event, "client.address") is None:
        without.append("src_endpoint.")
    if not (text_at(event, "server.address") or text_at(event, "server.hostname")):
        without.append("dst_endpoint.")
    return tuple(without)


class OcsfFormat:
    """OCSF, one JSON object an event."""

    name = "ocsf"
    media_type = "application/json"

    def render(self, event: Event) -> bytes:
        """Return the OCSF event of an event.

        Raises RecordError for one whose `timestamp` is none since 1970: every OCSF event has a `time`.
        """
        class_uid = class_of(event)
        by_ip = is_ip(text_at(event, "client.address") or "")
        record, rest = _mapping(_missing(event, class_uid), by_ip).rendered(event)
        _derive(record, event, class_uid)
        say_who_and_what(record, event, class_uid)
        record["unmapped"] = {REMAINDER: rest}
        return json_record.written(record)

    def parse(self, record: bytes) -> Event:
        """Return the event of an OCSF event that `render` made; what others added to it is ignored."""
        document = json_record.read(record, "an OCSF event")
        unmapped = json_record.member(document, "unmapped", "an OCSF event")
        rest = json_record.member(unmapped, REMAINDER, "an OCSF event")
        return _mapping((), at(document, "src_endpoint.ip") is not None).restored(document, rest)


def _derive(record: dict[str, Any], event: Event, class_uid: int) -> None:
    """Add what OCSF says in its own terms; the exact value is above, or in the remainder."""
    time_ns = nanoseconds(event.get("timestamp"))
    if time_ns is None:
        raise RecordError(f"expected an event with a timestamp since 1970, not {event.get('timestamp')!r:.80}")
    activity_id, activity_name = activity(event, class_uid)
    record |= {
        "time": time_ns // 1_000_000,
        "class_uid": class_uid,
        "category_uid": class_uid // 1000,
        "activity_id": activity_id,
        "type_uid": class_uid * 100 + activity_id,
        "severity_id": _SEVERITIES.get(text_at(event, "level") or "", 0),
        "status_id": _STATUSES.get(text_at(event, "outcome.result") or "", 0),
    }
    if activity_name:
        record["activity_name"] = activity_name
    if record["status_id"] == 99:
        record["status"] = "pending"
    metadata = record.setdefault("metadata", {})
    metadata["version"] = VERSION
    metadata["product"] = {"name": "auditmw"}
    start_ns = nanoseconds(event.get("start"))
    if start_ns is not None:
        record["start_time"] = start_ns // 1_000_000
    duration_ns = event.get("duration_ns")
    if type(duration_ns) is int:
        record["duration"] = duration_ns // 1_000_000
    if "http_response" in record:
        record["status_code"] = str(record["http_response"]["code"])
    if "span" in record.get("trace", ()):
        record["trace"]["span"] |= {"start_time": record["start_time"], "end_time": record["time"]}
    _derive_people(record, event)


def _derive_people(record: dict[str, Any], event: Event) -> None:
    forwarded = at(event, "client.forwarded")
    if type(forwarded) is list and "src_endpoint" in record:
        addresses = [address for address in forwarded if type(address) is str and is_ip(address)]
        if addresses:
            record["src_endpoint"]["intermediate_ips"] = addresses
    kind = text_at(event, "actor.type")
    if kind and "user" in record.get("actor", ()):
        record["actor"]["user"]["type_id"] = _USER_TYPES.get(kind, 0)
