"""Traefik's access log in JSON (`accessLog.format: json`).

Source: Traefik's `pkg/middlewares/accesslog/logdata.go` and `logger.go`. `StartUTC` is the beginning of the request;
durations are nanoseconds, sizes bytes. Where a request has an X-Forwarded-For, `ClientHost` is all of that, which
anybody can claim; `ClientAddr` is always the other end of the connection.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from auditmw.formats.line import Event, LineError, TimeBasis
from auditmw.formats.lines import times
from auditmw.formats.lines.headers import headers_of, put_header
from auditmw.formats.lines.homes import Duration, Matching, Moment, Number, Place, Text, member
from auditmw.formats.lines.http_homes import (
    ADDRESS,
    BODY_SIZE,
    FORWARDED,
    METHOD,
    SCHEME,
    TARGET,
    UPSTREAM_ADDRESS,
    UPSTREAM_STATUS,
    VERSION,
    Host,
    Upstream,
)
from auditmw.formats.lines.json_object import STATUS_NUMBER, JsonObjectFormat, Member, object_of, path_of

_HEADERS = {"request_": "request", "downstream_": "response"}
_MOST_NANOSECONDS = 2**53  # the schema's limit
_ADDRESS = re.compile(r"\[?([^\[\]]*)\]?:([0-9]{1,5})")


class Peer(Place):
    """The other end of the connection, address and port, which is the client where nobody claims another one."""

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write address and port."""
        match = _ADDRESS.fullmatch(text)
        if not match or int(match[2]) > 65_535:
            raise ValueError("expected an address and a port")
        self.set(event, match[1])
        event["client"]["peer_port"] = int(match[2])
        return self.get(event) == text

    def get(self, event: Event) -> str | None:
        """Return address and port."""
        address, port = member(event, self.path), member(event, ("client", "peer_port"))
        if address is None or port is None:
            return None
        return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


class Client(Place):
    """An address, or the chain that X-Forwarded-For claims."""

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write the address; of a chain, the other end of the connection is what is known of the client."""
        if "," not in text:
            return ADDRESS.put(event, text)
        peer = member(event, ("client", "peer_address"))
        if peer is not None:
            ADDRESS.put(event, peer)
        return FORWARDED.put(event, text)

    def get(self, event: Event) -> str | None:
        """Return the chain, or the address."""
        return FORWARDED.get(event) or ADDRESS.get(event)

    def texts(self, event: Event) -> Iterator[str]:
        """Return the JSON pointers of the texts that `put` wrote as they came."""
        return (FORWARDED if FORWARDED.get(event) else ADDRESS).texts(event)


class UserName(Text):
    """The user's name; `-` is written where there is none."""

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write the name."""
        if text == "-":
            raise ValueError("expected a name")
        return super().put(event, text)


class Deprecated(Matching):
    """An id under a name that Traefik gives up: the line's own name is kept beside it."""

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write the id."""
        super().put(event, text)
        return False

    def get(self, event: Event) -> str | None:
        """Return nothing: what the line has is kept."""
        return None


class Protocol(Text):
    """The version of TLS, as `1.3`."""

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write the version as OpenSSL calls it."""
        return super().put(event, f"TLSv{text}") and self.get(event) == text

    def get(self, event: Event) -> str | None:
        """Return the version."""
        name = super().get(event)
        return None if name is None else name.removeprefix("TLSv")


def _nanoseconds(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) >= _MOST_NANOSECONDS:
        raise ValueError("expected nanoseconds, of at most 104 days")
    return int(text)


def _as_iso(moment: str) -> str:
    """Return a timestamp as Go writes it in UTC: with the decimals that it needs."""
    return f"{moment[:26].rstrip('0').rstrip('.')}Z"


_START = Moment(times.iso_time, _as_iso, rank=0, of="start")
_COMMON = (
    Member("ClientAddr", Peer("client", "peer_address")),
    Member("ClientHost", Client("client", "address")),
    Member("ClientPort", Number("client", "peer_port", most=65_535), derived=True),
    Member("ClientUsername", UserName("actor", "name")),
    Member("RequestMethod", METHOD),
    Member("RequestPath", TARGET),
    Member("RequestProtocol", VERSION),
    Member("RequestScheme", SCHEME),
    Member("RequestAddr", Host("url", "host")),
    Member("RequestHost", Text("url", "host"), derived=True),
    Member("RequestPort", Number("url", "port", most=65_535), derived=True),
    Member("RequestContentSize", Number("http", "request", "body_size"), number=True),
    Member("Duration", Duration(_nanoseconds, str), number=True),
    Member("DownstreamStatus", STATUS_NUMBER, number=True),
    Member("DownstreamContentSize", BODY_SIZE, number=True),
    Member("ServiceAddr", UPSTREAM_ADDRESS),
    Member("OriginStatus", UPSTREAM_STATUS, number=True),
    Member("OriginDuration", Upstream("duration_ns", _nanoseconds, str), number=True),
    Member("TLSVersion", Protocol("tls", "version")),
    Member("TLSCipher", Text("tls", "cipher")),
)
_TRACE_ID, _SPAN_ID = r"(?!0{32})[0-9a-f]{32}", r"(?!0{16})[0-9a-f]{16}"
_TRACE = (
    Member("trace_id", Matching(_TRACE_ID, "trace", "trace_id")),
    Member("span_id", Matching(_SPAN_ID, "trace", "span_id")),
)
_DEPRECATED_TRACE = (
    *(Member(name, Deprecated(_TRACE_ID, "trace", "trace_id")) for name in ("TraceId", "trace_id")),
    *(Member(name, Deprecated(_SPAN_ID, "trace", "span_id")) for name in ("SpanId", "span_id")),
)


class TraefikFormat(JsonObjectFormat):
    """The lines of the access log; of the lines that Traefik writes about itself no event is made."""

    name = "traefik:json"
    basis: TimeBasis = "start"
    order = ()

    def parse(self, line: bytes) -> Event | None:
        """Return the event of one line, None for a blank one and for what is no request. Raises LineError."""
        line = line.strip()
        if not line:
            return None
        found = object_of(line)
        if found is None or "level" not in found or "time" not in found:
            self.refuse(line)
        if "RequestMethod" not in found and "DownstreamStatus" not in found:
            return None
        event = self.event(found, len(line))
        trace = event.get("trace")
        if trace is not None and "trace_id" not in trace:  # a span is one of a trace
            del event["trace"]
            if "span_id" in found:
                event["source"].setdefault("fields", {})["span_id"] = found["span_id"]
        if "timestamp" not in event:
            start = found.get("StartUTC", found.get("StartLocal"))
            raise LineError(f"expected StartUTC or StartLocal as 2026-11-20T20:20:11.5Z, not {start!r}")
        return event

    def members(self, event: Event, values: Mapping[str, Any]) -> Sequence[Member]:
        """Return the known members."""
        start = Member("StartUTC", _START)
        local = Member("StartLocal", _START, derived="StartUTC" in values or not values)
        old = "TraceId" in values or "TraceId" in (member(event, ("source", "fields")) or {})
        return [start, local, *_COMMON, *(_DEPRECATED_TRACE if old else _TRACE)]

    def put_objects(self, event: Event, values: dict[str, Any]) -> None:
        """Take the headers; Traefik joins those of one name."""
        for path in list(values):
            for beginning, message in _HEADERS.items():
                name = path.removeprefix(beginning)
                if name != path and "%" not in name and put_header(event, message, name, [values[path]]):
                    del values[path]

    def objects_of(self, event: Event) -> dict[str, Any]:
        """Return the headers."""
        found = [(beginning, headers_of(event, message)) for beginning, message in _HEADERS.items()]
        return {
            path_of("", f"{beginning}{name}"): ",".join(values)
            for beginning, headers in found
            for name, values in headers
        }

    def implied(self, event: Event) -> dict[str, Any]:
        """Return what Traefik writes of every request."""
        port = member(event, ("client", "peer_port"))
        host = member(event, ("url", "host"))
        said = {"level": "info", "msg": "", "ClientUsername": "-", "RequestPort": "-"}
        return {**said, **({"ClientPort": str(port)} if port else {}), **({"RequestHost": host} if host else {})}
