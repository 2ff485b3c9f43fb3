"""Formats of access logs as formats of records: what the middleware knows, told as a proxy would have logged it.

An event that was imported from a line of the same format becomes that line again. Of any other, the line says what a
server in front would have said:

1. A request that ended without a status has 499 when the client was away (as nginx logs it), 500 when the application
   failed, and else 000 (nginx: nothing was sent).
2. Of the sizes with and without the header the one stands in for the other; unknown, nothing was sent.
3. The target is what is known of the URL, percent-encoded (RFC 3986 §3.3); HTTP/2 reads `HTTP/2.0`, as nginx has it.
4. The address is one word: of a list (a whole X-Forwarded-For) the first.
5. What another of nginx's formats kept as it stood (a request line that is none, a local time) stands so again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from auditmw.formats.line import Event, LineError, LineFormat

_SAFE = "%/:@!$&'()*+,;=-._~"  # what a path may hold (RFC 3986 §3.3), and what is percent-encoded already
_WORD = re.compile(r'[^\s",]+')
_CLIENT_CLOSED, _FAILED, _NOTHING_SENT = 499, 500, 0
_MINOR = {"2": "2.0", "3": "3.0"}


class LineRecord:
    """A format of lines as a format of records; `prepare` makes of an event from elsewhere one that has a line."""

    def __init__(self, line: LineFormat, media_type: str, prepare: Callable[[Event], Event] | None = None) -> None:
        self.name, self.media_type = line.name, media_type
        self._render, self._prepare = line.render, prepare

    def render(self, event: Event) -> bytes:
        """Return the event's line. Raises LineError for an event that the format has no line for."""
        if self._prepare is not None and event.get("source", {}).get("format") != self.name:
            event = self._prepare(event)
        return self._render(event)


def logged(event: Event) -> Event:
    """Return a request's event with what every access log says of a request. Raises LineError for other events."""
    outcome, source = event.get("outcome", {}), event.get("source", {})
    if event.get("event") != "http_request":
        raise LineError(f"an access log has lines for requests alone, not for {event.get('event')!r}")
    if outcome.get("result") == "pending":
        raise LineError("an access log has lines for requests that have ended; this one has begun")
    http, target = event.get("http", {}), target_of(event)
    request = {**_without(http.get("request", {}), "target"), **({"target": target} if target else {})}
    return {
        **event,
        "source": {**source} if source.get("format", "").startswith("nginx:") else _without(source, "fields"),
        "client": _client(event.get("client", {})),
        "http": {
            **http,
            "version": _MINOR.get(http.get("version"), http.get("version") or "1.1"),
            "request": request,
            "response": _response(http.get("response", {}), event),
        },
    }


def logged_by_reblaze(event: Event) -> Event:
    """Return what `logged` does with what Reblaze adds to it. Raises LineError without a method and a target."""
    event = logged(event)
    http, outcome = event["http"], event.get("outcome", {})
    request = http["request"]
    if not {"method", "target"} <= request.keys():
        raise LineError("reblaze has lines for requests with a method and a target")
    if http["version"] == "0.9":  # whose request lines have no protocol, but those of Reblaze
        request["target"] += " HTTP/0.9"
    event["source"]["fields"] = {
        "blocked": "1" if outcome.get("reason") == "denied" else "0",
        "block_reason": outcome.get("reason", ""),
    }
    return event


def target_of(event: Event) -> str:
    """Return the target of an event's request: as it came, or path and query; "" where nothing is known of it."""
    return str(event.get("http", {}).get("request", {}).get("target") or _path_and_query(event.get("url", {})))


def whole_url(url: dict[str, Any]) -> str:
    """Return the text of an event's `url`, with scheme and host where they are known; "" where nothing is."""
    if "full" in url:
        return str(url["full"])
    scheme, host, port = url.get("scheme"), url.get("host"), url.get("port")
    at = ""
    if host:
        at = f"[{host}]" if ":" in host else host
        at += "" if port is None or (scheme, port) in (("http", 80), ("https", 443)) else f":{port}"
        at = f"{scheme}://{at}" if scheme else f"//{at}"
    return at + _path_and_query(url)


def _path_and_query(url: dict[str, Any]) -> str:
    path, query = url.get("path", ""), url.get("query")
    return quote(path, safe=_SAFE) + ("" if query is None else f"?{query}")


def _response(response: dict[str, Any], event: Event) -> dict[str, Any]:
    sizes = [response[key] for key in ("body_size", "size") if key in response] or [0]
    return {"body_size": sizes[0], "size": sizes[-1], "status_code": _status(event), **response}


def _status(event: Event) -> int:
    """Return the status of a request that has none."""
    outcome = event.get("outcome", {})
    if outcome.get("reason") in ("client_disconnected", "cancelled"):
        return _CLIENT_CLOSED
    return _FAILED if "error" in event or outcome.get("result") == "failure" else _NOTHING_SENT


def _client(client: dict[str, Any]) -> dict[str, Any]:
    word = _WORD.search(client.get("address", ""))
    known = {"address": word[0]} if word and word[0] != "-" else {}
    return {**_without(client, "address"), **known}


def _without(part: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in part.items() if key != name}
