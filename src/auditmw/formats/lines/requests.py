"""One request of an access log as an event: its request line, its URL, and what its status says."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from auditmw.event import ACTIONS, SCHEMA, SEVERITY
from auditmw.formats.line import Event, TimeBasis

_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")  # RFC 9110 §9.1, as long as the schema allows
_PROTOCOL = re.compile(r"HTTP/([1-9](?:\.[0-9])?)")
_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,31})://([^/?#]*)(.*)", re.DOTALL)
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^:]*)(?::([0-9]{1,5}))?")
_PERCENT = re.compile(r"%([0-9A-Fa-f]{2})")
_ESCAPED = re.compile(r"\\x([0-9A-Fa-f]{2})")
_PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
_SHORT = 1024  # characters: the schema's limit of a short string
_NOTHING_SENT, _CLIENT_CLOSED = 0, 499  # as nginx logs them


def new_event(name: str, basis: TimeBasis) -> Event:
    """Return the event of an imported request of which nothing is known yet; without its timestamp."""
    return {
        "schema": SCHEMA,
        "event": "http_request",
        "level": "info",
        "severity": SEVERITY["info"],
        "category": "web",
        "outcome": {"result": "unknown"},
        "http": {},
        "source": {"kind": "import", "format": name, "time_basis": basis},
    }


def judge(status: int) -> tuple[str, dict[str, str]]:
    """Return the event's level and outcome for a status code: 499 is a client that was gone, 0 nothing sent."""
    if status == _CLIENT_CLOSED:
        return "warning", {"result": "unknown", "reason": "client_disconnected"}
    if status == _NOTHING_SENT:
        return "warning", {"result": "unknown", "reason": "no_response"}
    if status < 400:
        return "info", {"result": "success"}
    return "warning" if status < 500 else "error", {"result": "failure", "reason": f"http_{status}"}


def action_of(method: str) -> str:
    """Return the CADF verb of an HTTP method."""
    return ACTIONS.get(method, "unknown")


def split_request(line: str) -> tuple[str, str, str] | None:
    """Return method, target and version of a request line, None when it is none; `join_request` gives it back.

    A target may hold spaces: servers log what they refuse too. A line without a protocol is HTTP/0.9's.
    """
    method, _, rest = line.partition(" ")
    if not _METHOD.fullmatch(method):
        return None
    target, _, protocol = rest.rpartition(" ")
    match = _PROTOCOL.fullmatch(protocol)
    if match and target:
        return method, target, match[1]
    return (method, rest, "0.9") if method == "GET" and rest.startswith("/") and " " not in rest else None


def join_request(method: str, target: str, version: str) -> str:
    """Return the request line of method, target and version."""
    return f"{method} {target}" if version == "0.9" else f"{method} {target} HTTP/{version}"


def url_of(target: str, *, method: str = "GET", escaped: bool = False) -> dict[str, Any]:
    r"""Return the event's `url` for a request target (RFC 9112 §3.2); `escaped` when bytes stand in it as `\xHH`."""
    if target.startswith("/"):
        return _path_and_query(target, escaped)
    if method == "CONNECT":
        return _authority(target)
    match = _ABSOLUTE.fullmatch(target)
    if not match:
        return _path_and_query(target, escaped)
    return {"scheme": match[1].lower(), **_authority(match[2]), **_path_and_query(match[3] or "/", escaped)}


def split_host(value: str) -> tuple[str, int | None] | None:
    """Return name and port of a Host header (RFC 9110 §7.2), None when it is none."""
    match = _AUTHORITY.fullmatch(value)
    if not match or not match[1] or "@" in value or len(value) > _SHORT:
        return None
    port = int(match[2]) if match[2] else None
    return (match[1].strip("[]").lower(), port) if port is None or port <= 65535 else None


def readable_path(path: str, *, escaped: bool = False) -> str:
    """Return a path as the middleware writes it: printable ASCII, of which only what is not stays percent-encoded."""
    if escaped:
        path = _ESCAPED.sub(lambda match: f"%{match[1]}", path)
    return _PERCENT.sub(_readable, quote(path, safe=_PRINTABLE))


def _readable(match: re.Match[str]) -> str:
    byte = int(match[1], 16)
    return chr(byte) if 0x20 <= byte < 0x7F else f"%{byte:02X}"


def _path_and_query(target: str, escaped: bool) -> dict[str, Any]:
    path, _, query = target.partition("?")
    url = {"path": readable_path(path, escaped=escaped)}
    if query:
        url["query"] = query
    return url


def _authority(text: str) -> dict[str, Any]:
    parts = split_host(text.rpartition("@")[2])
    if parts is None:
        return {}
    name, port = parts
    return {"host": name} if port is None else {"host": name, "port": port}
