"""Caddy's access log in JSON, its default encoder.

Sources: Caddy's documentation of the `log` directive, `modules/caddyhttp/marshalers.go`, and what Caddy 2.6.2 wrote.
Unless the encoder was told otherwise, `ts` is the end of the request and `duration` its length, in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from auditmw.formats.line import Event, LineError, TimeBasis
from auditmw.formats.lines import times
from auditmw.formats.lines.headers import headers_of, put_header
from auditmw.formats.lines.homes import Duration, Home, Moment, Number, Text, member
from auditmw.formats.lines.http_homes import ADDRESS, BODY_SIZE, METHOD, TARGET, VERSION, Host
from auditmw.formats.lines.json_object import STATUS_NUMBER, JsonObjectFormat, Member, named_after, object_of, path_of

_LOGGER, _MESSAGE = "http.log.access", "handled request"
_HEADERS = {"request.headers": "request", "resp_headers": "response"}
# The numbers of TLS (RFC 8446 §4.1.2; RFC 5246 §A.1) and of its cipher suites (IANA, TLS Cipher Suites).
_VERSIONS = {"769": "TLSv1", "770": "TLSv1.1", "771": "TLSv1.2", "772": "TLSv1.3"}
_CIPHERS = {
    "4865": "TLS_AES_128_GCM_SHA256",
    "4866": "TLS_AES_256_GCM_SHA384",
    "4867": "TLS_CHACHA20_POLY1305_SHA256",
    "49195": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "49196": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "49199": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "49200": "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "52392": "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "52393": "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
}


class Named(Text):
    """A number that stands for a name."""

    def __init__(self, names: Mapping[str, str], *path: str) -> None:
        super().__init__(*path)
        self.names = names
        self.numbers = {name: number for number, name in names.items()}

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write the name."""
        if text not in self.names:
            raise ValueError("expected a number with a name")
        return super().put(event, self.names[text])

    def get(self, event: Event) -> str | None:
        """Return the number."""
        return self.numbers.get(super().get(event) or "")


def _decimal(nanoseconds: int) -> str:
    """Return seconds as Go writes a float: with the decimals that it needs."""
    return f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09d}".rstrip("0").rstrip(".")


def _as_unix(moment: str) -> str:
    seconds, _, milliseconds = times.as_unix(moment).partition(".")
    return f"{seconds}.{milliseconds}{moment[23:26]}".rstrip("0").rstrip(".")


_COMMON = (
    Member("request.proto", VERSION),
    Member("request.method", METHOD),
    Member("request.host", Host("url", "host")),
    Member("request.uri", TARGET),
    Member("request.tls.version", Named(_VERSIONS, "tls", "version"), number=True),
    Member("request.tls.cipher_suite", Named(_CIPHERS, "tls", "cipher"), number=True),
    Member("request.tls.server_name", Text("tls", "server_name")),
    Member("bytes_read", Number("http", "request", "body_size"), number=True),
    Member("user_id", Text("actor", "id")),
    Member("duration", Duration(times.seconds, _decimal), number=True),
    Member("size", BODY_SIZE, number=True),
    Member("status", STATUS_NUMBER, number=True),
)
_PEER: tuple[tuple[str, Home], ...] = (
    ("request.remote_ip", Text("client", "peer_address")),
    ("request.remote_port", Number("client", "peer_port", most=65_535)),
    ("request.client_ip", ADDRESS),
)
_ONLY_CLIENT: tuple[tuple[str, Home], ...] = (  # before Caddy 2.7 nothing tells them apart
    ("request.remote_ip", ADDRESS),
    ("request.remote_port", Number("client", "port", most=65_535)),
)


class CaddyFormat(JsonObjectFormat):
    """The lines of Caddy's loggers `http.log.access`; of its other lines no event is made."""

    name = "caddy:json"
    basis: TimeBasis = "end"
    order = (
        *("level", "ts", "logger", "msg", "request.remote_ip", "request.remote_port", "request.client_ip"),
        *("request.proto", "request.method", "request.host", "request.uri", "request.headers"),
        *("request.transfer_encoding", "request.tls.resumed", "request.tls.version", "request.tls.cipher_suite"),
        *(
            "request.tls.proto",
            "request.tls",
            "request",
            "bytes_read",
            "user_id",
            "duration",
            "size",
            "status",
            "resp_headers",
        ),
    )
    _epoch = Member("ts", Moment(times.unix_time, _as_unix, rank=0), number=True)
    _written = Member("ts", Moment(times.iso_time, times.as_iso, rank=0))

    def parse(self, line: bytes) -> Event | None:
        """Return the event of one line, None for a blank one and for what other loggers wrote. Raises LineError."""
        line = line.strip()
        if not line:
            return None
        found = object_of(line)
        if found is None or "ts" not in found or not isinstance(found.get("msg"), str):
            self.refuse(line)
        logger = found.get("logger", _LOGGER)
        if not isinstance(found.get("request"), dict) or "status" not in found or not str(logger).startswith(_LOGGER):
            return None
        event = self.event(found, len(line))
        if "timestamp" not in event:
            raise LineError(f"expected ts in seconds since 1970 or as 2026-11-20T20:20:11Z, not {found['ts']!r}")
        return event

    def members(self, event: Event, values: Mapping[str, Any]) -> Sequence[Member]:
        """Return the known members."""
        known_peer = "request.client_ip" in values or member(event, ("client", "peer_address")) is not None
        who = [Member(path, home) for path, home in (_PEER if known_peer else _ONLY_CLIENT)]
        when = self._written if type(values.get("ts")) is str else self._epoch
        return [when, *who, *_COMMON]

    def put_objects(self, event: Event, values: dict[str, Any]) -> None:
        """Take the headers."""
        for path in list(values):
            for place, message in _HEADERS.items():
                if path.startswith(f"{place}.") and put_header(event, message, named_after(path, place), values[path]):
                    del values[path]

    def objects_of(self, event: Event) -> dict[str, Any]:
        """Return the headers."""
        found = [(place, headers_of(event, message)) for place, message in _HEADERS.items()]
        return {path_of(place, name): values for place, headers in found for name, values in headers}

    def implied(self, event: Event) -> dict[str, Any]:
        """Return what Caddy writes of every request."""
        failed = (STATUS_NUMBER.get(event) or "000") >= "400"
        return {"level": "error" if failed else "info", "msg": _MESSAGE, "user_id": ""}
