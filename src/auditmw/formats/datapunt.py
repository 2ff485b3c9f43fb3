"""The lines of the DataPunt audit logs: what datapunt-audit-log 0.4 prints, and what its README describes.

Source: datapunt-audit-log 0.4.0 (`AuditLogFormatter`, `AuditLogger`), which writes with `json.dumps` and its defaults;
the README of datapunt-flask-audit-log, which has no "audit" around it, a flat user, and no member that was not set.

A line becomes an event and that event the same JSON again. What has no place in the event, or would read otherwise
when it comes back, stands as JSON in `source.fields` under the name of its part; "" there means that the part is
missing. Lines tell no time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, TypeGuard

from auditmw.event import SEVERITY, Notes, plain
from auditmw.formats.line import Event, FormatError, LineError
from auditmw.formats.line_record import whole_url
from auditmw.formats.lines.homes import member
from auditmw.formats.lines.limits import fitted
from auditmw.formats.lines.requests import action_of, judge, new_event, url_of

_PARTS = ("http_request", "http_response", "user", "filter", "results", "type", "message")
_HEADER_NAMES = "http_response.headers"  # in `source.fields`: how they were written
_SHORT, _LONG, _AGENT, _METHOD = 1024, 8192, 2048, 64  # characters; limits of the schema
_LONGEST_NAME, _MOST_ROLES, _MOST_HEADERS = 256, 128, 128

_Part = dict[str, Any]


class DatapuntFormat:
    """Lines of one profile: `0.4`, what the package prints, or `readme`, what its documentation says."""

    def __init__(self, profile: str = "0.4") -> None:
        if profile not in ("0.4", "readme"):
            raise FormatError(f"expected 0.4 or readme as the profile of DataPunt's lines, not {profile!r}")
        self.name = f"datapunt:{profile}"
        self._profile = profile
        self._is_readme = profile == "readme"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as what it was made of."""
        return type(self), (self._profile,)

    def is_header(self, line: bytes) -> bool:
        """Return False: every line is read alone."""
        return False

    def parse(self, line: bytes) -> Event | None:
        """Return the event of one line, None for a blank one. Raises LineError."""
        if not line.strip():
            return None
        audit = self._audit(line)
        event = new_event(self.name, "unknown")
        _read_request(event, audit.get("http_request"))
        _read_response(event, audit.get("http_response"))
        _read_user(event, audit.get("user"))
        _read_rest(event, audit)
        fields = self._otherwise(event, audit)
        if fields:
            event["source"]["fields"] = {**event["source"].get("fields", {}), **fields}
        return fitted(event, len(line))

    def render(self, event: Event) -> bytes:
        """Return the line of an event; what DataPunt has no member for is left out."""
        parts = self._parts(event)
        for name, text in self._kept(event).items():
            if name == _HEADER_NAMES:
                continue
            if text:
                parts[name] = _loads(text)
            else:
                parts.pop(name, None)
        return json.dumps(parts if self._is_readme else {"audit": parts}).encode()

    def _audit(self, line: bytes) -> _Part:
        """Return the parts of a line. Raises LineError."""
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise LineError(f"expected a JSON object for {self.name}: {error}, in {line[:80]!r}") from None
        if not self._is_readme:
            found = found.get("audit") if isinstance(found, dict) and len(found) == 1 else None
        if not isinstance(found, dict) or (found and not found.keys() & set(_PARTS)):
            shape = "an object of http_request and its like" if self._is_readme else '{"audit": {...}}'
            raise LineError(f"expected {shape} for {self.name}, not {line[:80]!r}")
        return found

    def _otherwise(self, event: Event, audit: _Part) -> dict[str, str]:
        """Return the parts, as JSON, that would not come back from the event as they are."""
        names = list(audit["http_response"]["headers"]) if member(event, ("http", "response", "headers")) else []
        fields = {} if names == [_titled(name) for name in names] else {_HEADER_NAMES: json.dumps(names)}
        event["source"]["fields"] = fields
        again = self._parts(event)
        del event["source"]["fields"]
        for name in dict.fromkeys([*audit, *again]):
            text = json.dumps(audit[name]) if name in audit else ""
            if name not in again or text != json.dumps(again[name]):
                fields[name] = text
        return fields

    def _parts(self, event: Event) -> _Part:
        parts: _Part = {
            "http_request": _request(event),
            "http_response": _response(event, self._kept(event).get(_HEADER_NAMES)),
            "user": self._user(event),
            "filter": self._filter(event.get("filter")),
            "results": event.get("results"),
        }
        message = event.get("message")
        if message is None and event.get("event") != "http_request":
            message = event.get("event")
        level = str(event.get("level", "info")).upper()
        if not self._is_readme:
            return {**parts, "type": level, "message": message or ""}
        parts = {name: part for name, part in parts.items() if part is not None}
        return parts if message is None and level == "INFO" else {**parts, "type": level, "message": message or ""}

    def _kept(self, event: Event) -> Mapping[str, str]:
        source = event.get("source", {})
        return source.get("fields", {}) if source.get("format") == self.name else {}

    def _user(self, event: Event) -> _Part | None:
        actor, address = event.get("actor"), member(event, ("client", "address"))
        if actor is None and address is None:
            return None
        actor = actor or {}
        user = {
            "authenticated": actor.get("authenticated", "id" in actor),
            "email": actor.get("email", ""),
            "roles": actor.get("roles", []),
            "ip": address or "",
        }
        provider, realm = actor.get("provider", ""), actor.get("realm", "")
        if not self._is_readme:
            return {**user, "provider": {"name": provider, "realm": realm}}
        return {"authenticated": user.pop("authenticated"), "provider": provider, "realm": realm, **user}

    def _filter(self, found: _Part | None) -> _Part | None:
        if found is None:
            return None
        kwargs = found.get("kwargs", {})
        others = {name: value for name, value in found.items() if name != "kwargs"}
        if not self._is_readme:
            return {"object": others.pop("object"), "kwargs": {**kwargs, **others}}
        if kwargs and len(others) == 1:
            return {**others, "fields": list(kwargs), "terms": list(kwargs.values())}
        return {**others, "kwargs": kwargs} if kwargs else others


def _request(event: Event) -> _Part | None:
    request, url = member(event, ("http", "request")) or {}, whole_url(event.get("url", {}))
    if not url and "method" not in request:
        return None
    return {"method": request.get("method", ""), "url": url, "user_agent": request.get("user_agent", "")}


def _response(event: Event, names: str | None) -> _Part | None:
    response = member(event, ("http", "response"))
    if not response:
        return None
    status = response.get("status_code")
    reason = response.get("reason")
    if reason is None:
        reason = HTTPStatus(status).phrase if status in HTTPStatus.__members__.values() else ""
    return {"status_code": status, "reason": reason, "headers": _headers(response.get("headers"), names)}


def _headers(headers: Mapping[str, list[str]] | None, names: str | None) -> _Part | None:
    if headers is None:
        return None
    if names is None:
        return {_titled(name): ", ".join(values) for name, values in headers.items()}
    left = {name: list(values) for name, values in headers.items()}
    found = _loads(names)
    known = [name for name in found if left.get(name.lower())] if isinstance(found, list) else []
    return {name: left[name.lower()].pop(0) for name in known}


def _titled(name: str) -> str:
    """Return a header's name as most servers write it: `Content-Type`."""
    return "-".join(part.capitalize() for part in name.split("-"))


def _loads(text: str) -> Any:
    """Return the value of a field; the text itself where something was replaced in it."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _read_request(event: Event, part: Any) -> None:
    if not isinstance(part, dict):
        return
    method, url, agent = part.get("method"), part.get("url"), part.get("user_agent")
    request: _Part = {}
    if _is_text(method, _METHOD):
        request["method"] = method
        event["action"] = action_of(method)
    if _is_text(agent, _AGENT):
        request["user_agent"] = agent
    if request:
        event["http"]["request"] = request
    if _is_text(url, _LONG):
        event["url"] = {"full": url, **url_of(url)}


def _read_response(event: Event, part: Any) -> None:
    if not isinstance(part, dict):
        return
    status, reason, headers = part.get("status_code"), part.get("reason"), part.get("headers")
    response: _Part = {}
    if type(status) is int and 0 <= status <= 999:
        response["status_code"] = status
        event["level"], event["outcome"] = judge(status)
    if reason == "" or _is_text(reason, _SHORT):
        response["reason"] = reason
    if isinstance(headers, dict) and len(headers) <= _MOST_HEADERS and all(map(_is_header, headers.items())):
        collected: dict[str, list[str]] = {}
        for name, value in headers.items():
            collected.setdefault(name.lower(), []).append(value)
        response["headers"] = collected
        for value in collected.get("content-type", [])[:1]:
            response["content_type"] = value[:_SHORT]
    if response:
        event["http"]["response"] = response


def _is_header(pair: tuple[str, Any]) -> bool:
    name, value = pair
    token = name.replace("-", "").replace("_", "")
    is_name = token.isascii() and token.isalnum() and len(name) <= _LONGEST_NAME
    return is_name and (value == "" or _is_text(value, _LONG))


def _read_user(event: Event, part: Any) -> None:
    if not isinstance(part, dict):
        return
    provider = part.get("provider")
    if isinstance(provider, dict):
        part = {**part, "provider": provider.get("name"), "realm": provider.get("realm")}
    actor: _Part = {}
    if isinstance(part.get("authenticated"), bool):
        actor = {"type": "user" if part["authenticated"] else "anonymous", "authenticated": part["authenticated"]}
    actor |= {name: part[name] for name in ("email", "provider", "realm") if _is_text(part.get(name), _SHORT)}
    roles = part.get("roles")
    if isinstance(roles, list) and 0 < len(roles) <= _MOST_ROLES and all(_is_text(role, _SHORT) for role in roles):
        actor["roles"] = roles
    if actor:
        event["actor"] = actor
    if _is_text(part.get("ip"), _SHORT):
        event["client"] = {"address": part["ip"], "origin": "log"}


def _read_rest(event: Event, audit: _Part) -> None:
    notes = Notes()
    found = audit.get("filter")
    if isinstance(found, dict) and _is_text(found.get("object"), _SHORT) and isinstance(found.get("kwargs", {}), dict):
        known = {name: found[name] for name in ("object", "fields", "terms", "kwargs") if name in found}
        event["filter"] = plain(known, "/filter", notes)
    if audit.get("results") is not None:
        event["results"] = plain(audit["results"], "/results", notes)
    level, message = audit.get("type"), audit.get("message")
    if isinstance(level, str) and level.lower() in SEVERITY:
        event["level"] = level.lower()
    event["severity"] = SEVERITY[event["level"]]
    if _is_text(message, _LONG):
        event["message"] = plain(message, "/message", notes)
    if notes.truncated or notes.escaped:
        event["meta"] = notes.written_into({})["meta"]


def _is_text(value: Any, most: int) -> TypeGuard[str]:
    if not isinstance(value, str) or not 0 < len(value) <= most:
        return False
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)
