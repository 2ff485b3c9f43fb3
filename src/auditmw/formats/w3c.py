"""W3C extended logs: IIS, Amazon CloudFront, and whatever else says in `#Fields:` what stands in its lines.

Sources: W3C, Extended Log File Format (WD-logfile-960323); Microsoft, IIS "W3C Extended Log File Format"; Amazon
CloudFront, "Standard logs". Times are UTC and those of the end. `time-taken` is in milliseconds in IIS, in seconds
elsewhere. IIS writes a space in a header or a name as `+` (a `+` that was one cannot be told), CloudFront encodes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from auditmw.formats.line import Event, LineError, TimeBasis
from auditmw.formats.lines import escapes, times
from auditmw.formats.lines.assembly import Variable, complete, with_homes_once, written
from auditmw.formats.lines.homes import Duration, Home, MaybeEmpty, Moment, Number, Text
from auditmw.formats.lines.http_homes import (
    ADDRESS,
    BODY_SIZE,
    FORWARDED,
    METHOD,
    PATH,
    RECEIVED_SIZE,
    REQUEST_ID,
    SCHEME,
    SIZE,
    STATUS,
    TARGET,
    VERSION,
    Header,
    Host,
)
from auditmw.formats.lines.requests import new_event

_DIRECTIVE = re.compile(r"#\s*([A-Za-z-]+)\s*:\s*(.*)", re.DOTALL)
_VALUE = re.compile(r'"((?:[^"]|"")*+)"(?=[ \t]|\Z)|([^ \t]++)')
_HEADER = re.compile(r"(cs|sc)\(([!#$%&'*+.^_`|~0-9A-Za-z-]+)\)")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\b", re.ASCII)
_MILLISECONDS = re.compile(r"[0-9]{1,10}", re.ASCII)
_SHOWN = 60  # characters of a line in a message
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_IIS_ONLY = {"sc-substatus", "sc-win32-status"}
# What CloudFront leaves as it is, of printable ASCII.
_CLOUDFRONT_SAFE = "".join(char for char in map(chr, range(0x21, 0x7F)) if char not in "<>\"#%{|}\\^~[]`'")


def _milliseconds(text: str) -> int:
    if not _MILLISECONDS.fullmatch(text):
        raise ValueError("expected milliseconds")
    return int(text) * 1_000_000


def _as_milliseconds(nanoseconds: int) -> str:
    return str(nanoseconds // 1_000_000)


def _as_date_and_time(moment: str) -> str:
    return f"{moment[:10]} {moment[11:19]}"


_HOMES: dict[str, Home] = {
    "time": Moment(times.iso_time, _as_date_and_time, rank=0),
    "c-ip": ADDRESS,
    "c-port": Number("client", "port", most=65_535),
    "cs-username": Text("actor", "name"),
    "cs-method": METHOD,
    "cs-uri": TARGET,
    "cs-uri-stem": PATH,
    "cs-uri-query": Text("url", "query"),
    "cs-version": VERSION,
    "cs-protocol": SCHEME,
    "cs-protocol-version": VERSION,
    "cs-host": Host("url", "host"),
    "x-host-header": Host("url", "host"),
    "cs(host)": Host("url", "host"),
    "cs(user-agent)": MaybeEmpty("http", "request", "user_agent"),
    "cs(referer)": MaybeEmpty("http", "request", "referrer"),
    "cs(content-type)": Text("http", "request", "content_type"),
    "x-forwarded-for": FORWARDED,
    "cs(x-forwarded-for)": FORWARDED,
    "cs-bytes": RECEIVED_SIZE,
    "sc-status": STATUS,
    "sc-bytes": SIZE,
    "sc-content-len": BODY_SIZE,
    "sc-content-type": Text("http", "response", "content_type"),
    "s-ip": Text("server", "address"),
    "s-port": Number("server", "port", most=65_535),
    "s-computername": Text("server", "hostname"),
    "ssl-protocol": Text("tls", "version"),
    "ssl-cipher": Text("tls", "cipher"),
    "x-edge-request-id": REQUEST_ID,
    "x-edge-result-type": Text("http", "response", "cache_status"),
}
_IIS_DURATION = Duration(_milliseconds, _as_milliseconds)
_DURATION = Duration(times.seconds, times.as_seconds)


class _Coding(NamedTuple):
    """How values with spaces are written."""

    decode: Callable[[str], str]
    encode: Callable[[str], str]


def _percent_decoded(text: str) -> str:
    return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def _percent_encoded(text: str) -> str:
    return quote_from_bytes(text.encode("utf-8", "surrogateescape"), safe=_CLOUDFRONT_SAFE)


_PLUS = _Coding(lambda text: text.replace("+", " "), lambda text: text.replace(" ", "+"))
_PERCENT = _Coding(_percent_decoded, _percent_encoded)


class W3cFormat:
    """Lines of the fields that the last `#Fields:` named; without `fields` (their names), one must come first."""

    name = "w3c"
    basis: TimeBasis = "end"

    def __init__(self, fields: str = "", software: str = "", date: str = "") -> None:
        self._directives = {"fields": fields, "software": software, "date": date}
        self._understand()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as what the directives said so far."""
        return type(self), tuple(self._directives.values())

    def parse(self, line: bytes) -> Event | None:
        """Return the event of one line; None for a blank one, and for a directive, which is kept. Raises LineError."""
        text = line.removeprefix(_BYTE_ORDER_MARK).decode("utf-8", "surrogateescape").strip("\r\n\0 ")
        if not text:  # a server that died leaves zeros behind
            return None
        if text.startswith("#"):
            self._learn(text)
            return None
        if not self._variables:
            raise LineError(f"expected #Fields: before the first line, not {text[:_SHOWN]!r}")
        raw = dict(zip(self._names, self._values(text), strict=True))
        event = self._complete(raw, len(line))
        if "timestamp" not in event and "time" in raw:
            raise LineError(f"expected date and time as 2026-11-20 20:20:11, not {self._moment(raw)!r}")
        return event

    def is_header(self, line: bytes) -> bool:
        """Return whether the line is a directive."""
        return line.removeprefix(_BYTE_ORDER_MARK).startswith(b"#")

    def render(self, event: Event) -> bytes:
        """Return the line of an event, without a line feed, with the fields of the last `#Fields:`.

        Raises LineError for an event that is no HTTP request, and where no fields are known.
        """
        if event.get("event") != "http_request" or not self._variables:
            what = "expected an http_request and the names of the fields"
            raise LineError(f"{what}, not {event.get('event')!r} and {self._directives['fields']!r}")
        kept = event["source"].get("fields", {})
        values = [self._rendered(event, name, kept) for name in self._names]
        return ("\t" if self._is_cloudfront else " ").join(values).encode("utf-8", "surrogateescape")

    def _learn(self, text: str) -> None:
        match = _DIRECTIVE.match(text)
        if match and match[1].lower() in self._directives:
            self._directives[match[1].lower()] = match[2].strip()
            self._understand()

    def _understand(self) -> None:
        """Decide what the fields mean."""
        names = self._directives["fields"].split()
        self._names = [name if name not in names[:n] else f"{name}-{n}" for n, name in enumerate(names)]
        lower = {name.lower() for name in names}
        self._is_iis = "Microsoft" in self._directives["software"] or not lower.isdisjoint(_IIS_ONLY)
        self._is_cloudfront = any(name.startswith("x-edge-") for name in lower)
        homes = {name: self._home(name.lower(), lower) for name in self._names if name.lower() != "date"}
        variables = with_homes_once([Variable(name, home) for name, home in homes.items()])
        self._variables = {variable.name: variable for variable in variables}

    def _home(self, name: str, others: set[str]) -> Home | None:
        if name == "time-taken":
            return _IIS_DURATION if self._is_iis else _DURATION
        if name == "cs(host)" and "x-host-header" in others:  # CloudFront: the distribution, and what was asked for
            return Text("server", "address")
        header = _HEADER.fullmatch(name)
        if header is None or name in _HOMES:
            return _HOMES.get(name)
        return Header("http", "request" if header[1] == "cs" else "response", "headers", header[2])

    def _coding(self, name: str) -> _Coding | None:
        """Return how the values of a field are written, None when they are as they are."""
        lower = name.lower()
        if self._is_cloudfront:
            return _PERCENT if lower in ("cs(user-agent)", "cs(cookie)") else None
        spaced = lower in ("cs-username", "x-forwarded-for") or (lower.startswith("cs(") and lower != "cs(referer)")
        return _PLUS if self._is_iis and spaced else None

    def _values(self, text: str) -> list[str]:
        if "\t" in text and text.count("\t") + 1 == len(self._names):
            return text.split("\t")
        found = [quoted.replace('""', '"') or plain for quoted, plain in _VALUE.findall(text)]
        if len(found) != len(self._names):
            raise LineError(
                f"expected {len(self._names)} values, as #Fields: says, not {len(found)}: {text[:_SHOWN]!r}"
            )
        return found

    def _moment(self, raw: dict[str, str]) -> str:
        date = _DATE.match(self._directives["date"])
        return f"{raw.get('date') or (date[0] if date else '')} {raw['time']}"

    def _complete(self, raw: dict[str, str], length: int) -> Event:
        values: list[tuple[Variable, str | None]] = []
        for name, variable in self._variables.items():
            coding = self._coding(name)
            value = self._moment(raw) if name == "time" else coding.decode(raw[name]) if coding else raw[name]
            values.append((variable, value))
        event = complete(new_event(self.name, self.basis), values, escapes.NONE, length)
        fields: dict[str, str] = event["source"].get("fields", {})
        for name in self._names:
            coding = self._coding(name)
            lossy = coding is not None and coding.encode(coding.decode(raw[name])) != raw[name]
            if lossy or (name in fields and (coding or name == "time")):
                fields[name] = raw[name]
        if fields:
            event["source"]["fields"] = fields
        return event

    def _rendered(self, event: Event, name: str, kept: dict[str, str]) -> str:
        if name in kept and (self._coding(name) or name == "time"):
            return kept[name]
        if name.lower() == "date":
            return str(event.get("timestamp", "-"))[:10]
        value = written(event, self._variables[name], escapes.NONE).decode("utf-8", "surrogateescape")
        coding = self._coding(name)
        if name == "time":
            value = value[11:]
        if coding is not None:
            return coding.encode(value)
        quote = '"' in value or " " in value or value == ""
        return f'"{value.replace(chr(34), chr(34) * 2)}"' if quote and not self._is_cloudfront else value
