"""Reblaze's access log: 42 fields and, at their right, whatever is added later.

Source: Reblaze's description of its access log structure, with a regular expression of 43 groups. What that matches is
split here in the same way; what it does not is read as well: `"-"` and malformed requests, HTTP/2. Values are escaped
as nginx does it. The request's headers stand in the line as base64 of JSON, with the parsed body among them.
"""

from __future__ import annotations

import re

from auditmw.event import SEVERITY
from auditmw.formats.line import Event, LineError
from auditmw.formats.lines import times
from auditmw.formats.lines.assembly import Variable, complete, with_homes_once, written
from auditmw.formats.lines.escapes import DEFAULT, NONE, text_of, value_of
from auditmw.formats.lines.homes import Home, MaybeEmpty, Moment, Text, member
from auditmw.formats.lines.http_homes import (
    ADDRESS,
    PATH,
    RECEIVED_SIZE,
    REQUEST,
    REQUEST_ID,
    SECONDS,
    SIZE,
    STATUS,
    UPSTREAM_ADDRESS,
    UPSTREAM_SECONDS,
    UPSTREAM_STATUS,
    Header,
    Host,
)
from auditmw.formats.lines.reblaze_homes import HEADERS, ORGANIZATION, RESPONSE_TYPE
from auditmw.formats.lines.requests import new_event

_HOMES: dict[str, Home] = {
    "remote_addr": ADDRESS,
    "timestamp": Moment(times.unix_time, times.as_unix, rank=0),
    "status": STATUS,
    "bytes_sent": SIZE,
    "request": REQUEST,
    "geoip_city_country_name": Text("client", "geo", "country_name"),
    "geoip_city": Text("client", "geo", "city_name"),
    "request_id": REQUEST_ID,
    "request_time": SECONDS,
    "upstream_addr": UPSTREAM_ADDRESS,
    "upstream_response_time": UPSTREAM_SECONDS,
    "domain_name": Text("server", "address"),
    "host": Host("url", "host"),
    "referer": MaybeEmpty("http", "request", "referrer"),
    "user_agent": MaybeEmpty("http", "request", "user_agent"),
    "request_headers": HEADERS,
    "organization": ORGANIZATION,
    "upstream_status": UPSTREAM_STATUS,
    "uri": PATH,
    "hostname": Text("server", "hostname"),
    "rbzsessionid": Text("session", "id"),
    "request_length": RECEIVED_SIZE,
    "sent_http_cache_control": Header("http", "response", "headers", "cache-control"),
    "sent_http_expires": Header("http", "response", "headers", "expires"),
    "sent_http_content_type": RESPONSE_TYPE,
    "ssl_protocol": Text("tls", "version"),
    "ssl_cipher": Text("tls", "cipher"),
    "cache_status": Text("http", "response", "cache_status"),
}
_BEFORE = ("remote_addr", "timestamp", "status", "bytes_sent")
_REQUEST = ("method", "request", "proto_version")
_AFTER = (
    *("blocked", "is_human", "block_reason", "geoip_city_country_name", "geoip_city", "request_id", "captured_vector"),
    *("request_time", "upstream_addr", "upstream_response_time", "domain_name", "host", "referer", "user_agent"),
    *("cookie", "request_headers", "organization", "upstream_status", "uri", "hostname", "is_cloud", "is_tor"),
    *("is_vpn", "is_anonymizer", "is_proxy", "rbzsessionid", "request_length", "sent_http_cache_control"),
    *("sent_http_expires", "cookie_rbzid", "sent_http_content_type", "browsersig", "ssl_protocol", "ssl_cipher"),
    "cache_status",
)
REST = "anything_else"
NAMES = (*_BEFORE, *_REQUEST, *_AFTER, REST)
_UNQUOTED = {*_BEFORE, "request_time"}
# What stays among the fields even when it says nothing.
_KEPT = {"sent_http_expires", "cache_status"}

_VARIABLES = with_homes_once(
    [
        Variable(name, _HOMES.get(name), always=name not in _HOMES or name in _KEPT)
        for name in (*_BEFORE, "request", *_AFTER)
    ]
)
_PLACE_OF_REQUEST = len(_BEFORE)
_ANY = r"\s*+" + r"\s++".join([r"(\S++)"] * len(_BEFORE)) + r'\s++"([^"]*+)"'
_ANY += "".join(r"\s++(\S++)" if name in _UNQUOTED else r'\s++"([^"]*+)"' for name in _AFTER) + "(.*+)"
_any = re.compile(_ANY).fullmatch
# A quote in the request is the one thing that cannot be split from left to right: it ends at the last place that fits.
_QUOTED = r"\s".join([r"(\S+)"] * len(_BEFORE)) + r'\s"(\S+)\s(.+)\s(HTTP/\d\.\d)"'
_QUOTED += "".join(r"\s(\S+)" if name in _UNQUOTED else r'\s"([^"]*)"' for name in _AFTER) + "(.*)"
_quoted = re.compile(_QUOTED).fullmatch
_request = re.compile(r"(\S+)\s(.+)\s(HTTP/\d\.\d)").fullmatch
_PROTOCOL = "HTTP/"


def split(line: str) -> dict[str, str] | None:
    """Return the 43 parts of a line by their `NAMES`, None when it has not as many.

    Of a request that has not three parts `method` and `proto_version` are empty.
    """
    match = _any(line)
    if match is not None:
        request = match[_PLACE_OF_REQUEST + 1]
        three = _request(request)
        if three is not None and line.find(_PROTOCOL, match.end(_PLACE_OF_REQUEST + 1)) < 0:
            return _named(match.groups(), three.groups())
    with_quotes = _quoted(line)
    if with_quotes is not None:
        return dict(zip(NAMES, with_quotes.groups(), strict=True))
    return None if match is None else _named(match.groups(), ("", match[_PLACE_OF_REQUEST + 1], ""))


class ReblazeFormat:
    """Lines of Reblaze; the time is that of the end of the request, to the millisecond."""

    name = "reblaze"

    def parse(self, line: bytes) -> Event | None:
        """Return the event of one line, None for a blank one. Raises LineError."""
        text = line.decode("utf-8", "surrogateescape")
        if not text or text.isspace():
            return None
        found = split(text)
        if found is None:
            raise LineError(f"not a line of reblaze: expected {len(NAMES) - 1} fields, not {text[:80]!r}")
        if found["method"]:
            found["request"] = " ".join(found[name] for name in _REQUEST)
        rest, is_escaped = text_of(NONE, found[REST])
        event = new_event(self.name, "end")
        event["source"]["fields"] = {REST: rest}
        values = [(variable, found[variable.name]) for variable in _VARIABLES]
        event = complete(event, values, DEFAULT, len(line))
        if is_escaped:
            event.setdefault("meta", {}).setdefault("escaped", []).append(f"/source/fields/{REST}")
        _judge_blocked(event)
        return event

    def is_header(self, line: bytes) -> bool:
        """Return False: every line is read alone."""
        return False

    def render(self, event: Event) -> bytes:
        """Return the line of an event, without a line feed. Raises LineError for one that is no HTTP request."""
        if event.get("event") != "http_request":
            raise LineError(f"expected the event of an HTTP request for reblaze, not {event.get('event')!r}")
        values = []
        for variable in _VARIABLES:
            value = written(event, variable, DEFAULT)
            values.append(value if variable.name in _UNQUOTED else b'"' + value + b'"')
        rest = member(event, ("source", "fields", REST)) or ""
        is_escaped = f"/source/fields/{REST}" in (member(event, ("meta", "escaped")) or ())
        return b" ".join(values) + value_of(NONE, rest, is_escaped)


def _named(found: tuple[str, ...], request: tuple[str, ...]) -> dict[str, str]:
    return dict(zip(NAMES, (*found[:_PLACE_OF_REQUEST], *request, *found[_PLACE_OF_REQUEST + 1 :]), strict=True))


def _judge_blocked(event: Event) -> None:
    """Say that a request that Reblaze blocked failed, whatever its status."""
    fields = event["source"]["fields"]
    if fields.get("blocked") == "1":
        event["outcome"] = {"result": "failure", "reason": fields.get("block_reason", "")[:256] or "denied"}
        if SEVERITY[event["level"]] < SEVERITY["warning"]:
            event["level"], event["severity"] = "warning", SEVERITY["warning"]
