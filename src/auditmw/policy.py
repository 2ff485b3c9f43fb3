"""What an `Audit` decided at construction, for every request to look up."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from auditmw.event import Event
from auditmw.head import HeaderKinds
from auditmw.identity import Identity, Pseudonyms
from auditmw.peer import Proxies
from auditmw.redact import Redactor
from auditmw.request import Request
from auditmw.trace import Tracer


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
    exempt: re.Pattern[str] | None
    exempt_errors: bool
    intent: bool
    refuse: bool
    kinds: HeaderKinds
    user_header: str
    session_header: str
    request_id_header: str
    identify_to: str  # "trusted", "always" or "never"
    server_timing: bool
    request_names: tuple[str, ...]  # the request headers that a shell reads, lower-case
    request_captured: Mapping[str, Callable[[str], str]]  # header name to what makes its value safe to write
    response_captured: Mapping[str, Callable[[str], str]]
    emit: Callable[[Event], bool]  # False: the event is lost, and counted
    commit: Callable[[], None] | None  # durability="disk": returns when all that was emitted is on stable storage
    count: Callable[..., None]  # (kind, exception or text)
