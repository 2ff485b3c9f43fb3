"""The class of OCSF that an event asks for, and the objects that the class requires."""

from __future__ import annotations

import re
from typing import Any

from auditmw.formats.mapping import at, text_at
from auditmw.formats.record import Event

AUTHENTICATION, HTTP, API, FILE = 3002, 4002, 6003, 6006

_OTHER = 99
_HTTP_ACTIVITIES = {
    "CONNECT": 1,
    "DELETE": 2,
    "GET": 3,
    "HEAD": 4,
    "OPTIONS": 5,
    "POST": 6,
    "PUT": 7,
    "TRACE": 8,
    "PATCH": 9,
}
_API_ACTIVITIES = {"create": 1, "read": 2, "update": 3, "delete": 4}
_FILE_ACTIVITIES = {"create": 1, "read": 2, "update": 3, "delete": 4, "restore": 8}
_LOGON, _LOGOFF = 1, 2
_LOGOFF_NAME = re.compile(r"(log|sign)(ged|ned)?_?(out|off)")
_REGULAR_FILE = 1
_SHA_256 = {"algorithm": "SHA-256", "algorithm_id": 3}
_UNKNOWN = "unknown"
# `actor` is no attribute of HTTP Activity but of the profile Host, and `trace` of the profile Trace.
_PROFILES = {HTTP: {"actor": "host", "trace": "trace"}, API: {"trace": "trace"}}


def class_of(event: Event) -> int:
    """Return the class_uid: by the category, then by what the event is about."""
    category, is_request = event.get("category"), event.get("event") == "http_request"
    if category == "authentication":
        return AUTHENTICATION
    if category == "file" or (at(event, "target.type") == "file" and not is_request):
        return FILE
    return HTTP if is_request else API


def activity(event: Event, class_uid: int) -> tuple[int, str | None]:
    """Return activity_id, and for "other" the name that it has in the event; 0 is unknown."""
    action = text_at(event, "action") or ""
    if class_uid == HTTP:
        name = text_at(event, "http.request.method")
        number = _HTTP_ACTIVITIES.get(name or "")
    elif class_uid == AUTHENTICATION:
        name = action or text_at(event, "event")
        number = _authentication(action, text_at(event, "event") or "")
    else:
        verb = action.partition("/")[0]
        name = None if verb in ("", "unknown") else action
        number = (_FILE_ACTIVITIES if class_uid == FILE else _API_ACTIVITIES).get(verb)
    if number is not None:
        return number, None
    return (_OTHER, name) if name else (0, None)


def _authentication(action: str, name: str) -> int | None:
    if action == "authenticate/logout" or _LOGOFF_NAME.search(name):
        return _LOGOFF
    return _LOGON if action.partition("/")[0] in ("authenticate", "create") else None


def say_who_and_what(record: dict[str, Any], event: Event, class_uid: int) -> None:
    """Add the objects that the class requires, from what the event has, and `unknown` where it has nothing."""
    service = text_at(event, "service.name")
    if service or class_uid in (API, FILE):
        record.setdefault("actor", {})["app_name"] = service or _UNKNOWN
    if "src_endpoint" not in record and class_uid in (API, FILE):
        record["src_endpoint"] = {"svc_name": service or _UNKNOWN}
    if class_uid == API:
        record["api"] = {"operation": text_at(event, "event") or _UNKNOWN}
        resource = _resource(event)
        if resource:
            record["resources"] = [resource]
    elif class_uid == FILE:
        record["file"] = _file(event)
    elif class_uid == AUTHENTICATION:
        record["user"] = _user(record, event)
        record["service"] = {"name": service or _UNKNOWN}
    elif "http_response" not in record:
        record.setdefault("http_request", {})
    profiles = [profile for name, profile in _PROFILES.get(class_uid, {}).items() if name in record]
    if profiles:
        record["metadata"]["profiles"] = profiles


def _resource(event: Event) -> dict[str, str]:
    """What was acted on; nothing where it has neither an id nor a name."""
    names = {"uid": "target.id", "name": "target.name", "type": "target.type"}
    found = {name: text_at(event, path) for name, path in names.items()}
    return {name: text for name, text in found.items() if text} if found["uid"] or found["name"] else {}


def _file(event: Event) -> dict[str, Any]:
    uid, name = text_at(event, "target.id"), text_at(event, "target.name")
    file: dict[str, Any] = {"name": name or uid or _UNKNOWN, "type_id": _REGULAR_FILE}
    if uid:
        file["uid"] = uid
    mime_type = text_at(event, "target.attributes.mime_type")
    if mime_type:
        file["mime_type"] = mime_type
    size = at(event, "target.attributes.size")
    if type(size) is int:
        file["size"] = size
    sha256 = text_at(event, "target.attributes.sha256")
    if sha256:
        file["hashes"] = [{**_SHA_256, "value": sha256}]
    return file


def _user(record: dict[str, Any], event: Event) -> dict[str, Any]:
    """Whose login it was: the target where that is a user, else the actor."""
    resource = _resource(event)
    if resource.pop("type", None) == "user":
        return resource
    user: dict[str, Any] = record.get("actor", {}).get("user") or {"name": _UNKNOWN}
    return user
