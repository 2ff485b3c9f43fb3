"""Traefik's access log in its default format (`accessLog.format: common`).

Sources: Traefik's documentation of its access logs, and its `pkg/middlewares/accesslog/logger_formatters.go`.

1. It is the combined format, and then: how many requests Traefik has had, router, URL of the server, duration in whole
   milliseconds. The time is the beginning of the request. `-` stands where there is nothing.
2. What is in quotes after the request is escaped as Go's `strconv.Quote` does, since Traefik's pull request 13180 (May
   2026). Before that it stood as it came, quotes and all, as client, user and request still do.
3. Traefik 1.4 wrote the `-` of a referrer without quotes, and Traefik 2.1 that of a server.
4. Where a request has an X-Forwarded-For, all of that stands in the place of the client.
"""

from __future__ import annotations

import re
from typing import Any

from auditmw.formats.line import Event, LineError
from auditmw.formats.lines import escapes, times
from auditmw.formats.lines.assembly import Values, Variable, written
from auditmw.formats.lines.escapes import Dialect
from auditmw.formats.lines.homes import Duration, MaybeEmpty, Moment, Text
from auditmw.formats.lines.http_homes import BODY_SIZE, REQUEST, Upstream, upstream_address
from auditmw.formats.lines.json_object import STATUS_NUMBER
from auditmw.formats.lines.template import FLAGS, Part, Slot
from auditmw.formats.lines.text import Family, TextFormat
from auditmw.formats.traefik import Client

_MILLISECOND = 10**6  # nanoseconds
_DURATION = re.compile(r"([0-9]{1,16})ms")
_PLAIN_URL = re.compile(r"http://([^\s/?#@,]+)")
_NUMBER = r"[0-9]{1,19}"


class ServerUrl(Upstream):
    """The URL of the server that Traefik asked: of a plain one, its address."""

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write the address."""
        match = _PLAIN_URL.fullmatch(text)
        if not match:
            raise ValueError("expected http:// and an address")
        return super().put(event, match[1], escaped)

    def get(self, event: Event) -> str | None:
        """Return the URL."""
        address = super().get(event)
        return None if address is None else f"http://{address}"


def _nanoseconds(text: str) -> int:
    match = _DURATION.fullmatch(text)
    if not match:
        raise ValueError("expected milliseconds, as 17ms")
    return int(match[1]) * _MILLISECOND


def _as_milliseconds(nanoseconds: int) -> str:
    return f"{nanoseconds // _MILLISECOND}ms"


# Named as in Traefik's JSON.
_CLIENT = Variable("ClientHost", Client("client", "address"))
_USER = Variable("ClientUsername", Text("actor", "name"))
_TIME = Variable("time", Moment(times.clf_timestamp, times.as_clf, rank=0, of="start"))
_REQUEST = Variable("RequestLine", REQUEST)
_AS_THEY_CAME = frozenset({_CLIENT.name, _USER.name, _REQUEST.name})
_PARTS: tuple[Part, ...] = (
    Slot(_CLIENT, r'(?:[^ "]+, )*+[^ "]++'),
    " - ",
    Slot(_USER, spaced=True),
    " [",
    Slot(_TIME, times.CLF, fixed=True),
    '] "',
    Slot(_REQUEST, spaced=True),
    '" ',
    Slot(Variable("DownstreamStatus", STATUS_NUMBER), _NUMBER),
    " ",
    Slot(Variable("DownstreamContentSize", BODY_SIZE), _NUMBER),
    ' "',
    Slot(Variable("request_Referer", MaybeEmpty("http", "request", "referrer"))),
    '" "',
    Slot(Variable("request_User-Agent", MaybeEmpty("http", "request", "user_agent"))),
    '" ',
    Slot(Variable("RequestCount"), _NUMBER),
    ' "',
    Slot(Variable("RouterName")),
    '" "',
    Slot(Variable("ServiceURL", ServerUrl("address", upstream_address, str))),
    '" ',
    Slot(Variable("Duration", Duration(_nanoseconds, _as_milliseconds)), r"[0-9]{1,16}ms"),
)
_FAMILY = Family(escapes.GO, "start", combined=(), size="", time=_TIME.name)
# Older lines: a value may hold quotes, and nothing has none. Each `(?>` is settled once, so that time stays linear.
_OLDER = re.compile(
    rf'(?>(.*?) - )(?>(.*?) \[({times.CLF}|-)\] ")(?>(.*?)" ({_NUMBER}|-) ({_NUMBER}|-) )(?>(".*?"|-) (?="|-))'
    rf'(".*"|-) ({_NUMBER}|-) ("[^"]*"|-) ("[^"]*"|-) ([0-9]{{1,16}}ms)',
    FLAGS,
)


class TraefikCommonFormat(TextFormat):
    """The lines of the access log. What Traefik wrote before it escaped anything is read, and given back escaped."""

    def __init__(self) -> None:
        super().__init__("traefik:clf", _PARTS, _FAMILY)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as what it was made of: regular expressions are compiled anew."""
        return type(self), ()

    def event(self, values: Values, length: int, dialect: Dialect | None = None) -> Event:
        """Return the event of these values, from a line of this length in bytes. Raises LineError."""
        escaped = [(each, _escaped(value) if each.name in _AS_THEY_CAME else value) for each, value in values]
        return super().event(escaped, length, dialect)

    def parse_other(self, text: str, length: int) -> Event:
        """Return the event of a line in which nothing is escaped. Raises LineError."""
        match = _OLDER.fullmatch(text)
        if match is None:
            return self.refuse(text)
        values = [value[1:-1] if value.startswith('"') else value for value in match.groups()[6:]]
        values = [*match.groups()[:6], *(_escaped(value) for value in values)]
        return self.event(zip(self.variables, values, strict=True), length)

    def render(self, event: Event) -> bytes:
        """Return the line of an event, without a line feed. Raises LineError for one that is no HTTP request."""
        if event.get("event") != "http_request":
            raise LineError(f"expected an http_request, which is all that {self.name} can say: {event.get('event')!r}")
        return b"".join(
            part.encode() if isinstance(part, str) else _value(event, part.variable) for part in self._parts
        )


def _value(event: Event, variable: Variable) -> bytes:
    if variable.name not in _AS_THEY_CAME:
        return written(event, variable, escapes.GO)
    return written(event, variable, escapes.NONE).replace(b"\n", b"\\n").replace(b"\r", b"\\r")  # one line, in any case


def _escaped(value: str | None) -> str | None:
    """Return a value that stands as it came in the line as it would stand there escaped."""
    if value is None or (value.isascii() and value.isprintable() and "\\" not in value and '"' not in value):
        return value
    return escapes.GO.encode(value.encode("utf-8", "surrogateescape")).decode()
