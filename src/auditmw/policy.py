"""What an `Audit` decided at construction, for every request to look up."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from auditmw.event import Event, wire_text
from auditmw.head import HeaderKinds, ResponseHeaders, cgi_name
from auditmw.identity import Identity, Pseudonyms
from auditmw.peer import Proxies
from auditmw.redact import Redactor
from auditmw.request import Request
from auditmw.trace import Tracer

# Request headers with a field of their own in the event, and headers that are captured besides.
_OWN_FIELDS = ("host", "user-agent", "referer", "content-type", "content-length")
_CAPTURED_REQUEST = ("origin",)
_CAPTURED_RESPONSE = ("location", "cache-control", "retry-after")
_MEMO_SIZE = 4_096
_MEMO_LONGEST = 512  # characters; what is longer hardly comes again


class Changed(NamedTuple):
    """A text that could not be written as it came."""

    text: str
    escaped: bool
    redacted: bool


class Remembered(dict[str, "str | Changed"]):
    """Text as it came to text as it is written; `make` is asked once for each, and the table is bounded."""

    def __init__(self, make: Callable[[str], str | Changed]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, raw: str) -> str | Changed:
        made = self._make(raw)
        if len(raw) <= _MEMO_LONGEST:
            if len(self) >= _MEMO_SIZE:
                self.clear()
            self[raw] = made
        return made


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Policy:
    """Decisions, and the three ways out: `emit` an event, `commit` what was emitted, `count` a failure of our own."""

    service: Mapping[str, str]
    tracer: Tracer
    proxies: Proxies
    redactor: Redactor
    pseudonyms: Pseudonyms
    resolver: Callable[[Request], Identity | None] | None
    async_resolver: Callable[[Request], Awaitable[Identity | None]] | None
    exempt: tuple[re.Pattern[str], ...]
    exempt_errors: bool
    intent: bool
    refuse: bool
    headers: ResponseHeaders
    extra_headers: tuple[str, ...]  # further request and response headers that are written, lower-case
    emit: Callable[[Event], bool]  # False: the event is lost, and counted
    commit: Callable[[], bool] | None  # durability="disk": True when all that was emitted is on stable storage
    count: Callable[..., None]  # (kind, exception or text)
    mark: str = field(init=False)  # the key in environ and scope that says: recorded already
    found_names: tuple[str, ...] = field(init=False)  # the request headers that tell the trace and the client
    field_names: tuple[str, ...] = field(init=False)  # the other request headers that are written
    request_captured: tuple[tuple[str, str], ...] = field(
        init=False
    )  # those without a field of their own: CGI name, name
    response_captured: frozenset[str] = field(init=False)
    kinds: HeaderKinds = field(init=False)
    texts: Remembered = field(init=False)  # header values

    def __post_init__(self) -> None:
        captured = (*_CAPTURED_REQUEST, *self.extra_headers)
        response = frozenset((*_CAPTURED_RESPONSE, *self.extra_headers))
        forwarded = (self.proxies.header,) if self.proxies.header else ()
        clean = self.redactor.url
        for name, value in {
            "mark": f"auditmw.{id(self.emit):x}",
            "found_names": (*self.tracer.names, *forwarded),
            "field_names": (*_OWN_FIELDS, *captured),
            "request_captured": tuple((cgi_name(name), name) for name in captured),
            "response_captured": response,
            "kinds": HeaderKinds(self.headers, response),
            "texts": Remembered(lambda raw: _written(clean, *wire_text(raw))),
        }.items():
            object.__setattr__(self, name, value)  # the instance is frozen

    def exempts(self, path: str) -> bool:
        """Whether requests of this path are not recorded unless they fail; looks at its first 2,048 characters.

        A path with ``..`` is never exempt: an application may take it for another one.
        """
        return ".." not in path and any(pattern.search(path[:2048]) is not None for pattern in self.exempt)


def _written(clean: Callable[[str], str], text: str, escaped: bool) -> str | Changed:
    safe = clean(text)
    return text if safe is text and not escaped else Changed(safe, escaped, safe is not text)
