"""What an `Audit` decided at construction, for every request to look up."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from auditmw.event import Event
from auditmw.head import HeaderKinds, ResponseHeaders, cgi_name
from auditmw.identity import Identity, Pseudonyms
from auditmw.peer import Proxies
from auditmw.redact import Redactor
from auditmw.request import Request
from auditmw.trace import Tracer

_OWN_FIELDS = ("host", "user-agent", "referer", "content-type", "content-length", "origin")
_CAPTURED_RESPONSE = ("location", "cache-control", "retry-after")
_GETTING = {"trusted": {True}, "always": {True, False}, "never": set[bool]()}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Policy:
    """Decisions, and ways out: `emit` an event, `finish` a request, `commit` what was emitted, `count` a failure."""

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
    finish: Callable[[Event], bool]  # the same for the final event of a request with an intent record
    commit: Callable[[], bool] | None  # durability="disk": True when all that was emitted is on stable storage
    count: Callable[..., None]  # (kind, exception or text)
    mark: str = field(init=False)  # the key in environ and scope that says: recorded already
    # The request headers that tell the trace, the one that tells the client, and those that are captured on demand.
    claims: Mapping[str, str] = field(init=False)  # as CGI names them, to their lower-case names
    forwarded: str = field(init=False)  # "" where none does
    forwarded_variable: str = field(init=False)
    extra_variables: tuple[tuple[str, str], ...] = field(init=False)
    raw_names: Mapping[bytes, str] = field(init=False)  # all that are read, as ASGI names them
    response_captured: frozenset[str] = field(init=False)
    kinds: HeaderKinds = field(init=False)
    identified: frozenset[bool] = field(init=False)  # whether trusted and whether other peers get the identity headers
    resolves: bool = field(init=False)  # somebody can be asked who is calling
    hides_addresses: bool = field(init=False)
    harmless: set[str] = field(init=False)  # short texts that may be written as they came; most come again

    def __post_init__(self) -> None:
        forwarded = self.proxies.header or ""
        read = (*_OWN_FIELDS, forwarded, *self.extra_headers)
        response = frozenset((*_CAPTURED_RESPONSE, *self.extra_headers))
        for name, value in {
            "mark": f"auditmw.{id(self.emit):x}",
            "claims": {cgi_name(name): name for name in self.tracer.names},
            "forwarded": forwarded,
            "forwarded_variable": cgi_name(forwarded),
            "extra_variables": tuple((cgi_name(name), name) for name in self.extra_headers),
            "raw_names": {name.encode("latin-1"): name for name in (*self.tracer.names, *read)},
            "response_captured": response,
            "kinds": HeaderKinds(self.headers, response),
            "identified": frozenset(_GETTING[self.headers.identify_to]),
            "resolves": self.resolver is not None or self.async_resolver is not None,
            "hides_addresses": self.pseudonyms.hash_ip != "none",
            "harmless": set[str](),
        }.items():
            object.__setattr__(self, name, value)  # the instance is frozen

    def exempts(self, path: str) -> bool:
        """Whether requests of this path are not recorded unless they fail; looks at its first 2,048 characters.

        A path with ``..`` is never exempt: an application may take it for another one.
        """
        return ".." not in path and any(pattern.search(path[:2048]) is not None for pattern in self.exempt)
