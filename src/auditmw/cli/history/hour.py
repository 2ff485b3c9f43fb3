"""What is written within one hour: requests and recorded events, each with its time and its writer."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from auditmw.cli.history.chance import spread
from auditmw.cli.history.failures import BUG, NO_DATABASE, UNAVAILABLE, Failure
from auditmw.cli.history.lines import (
    SERVICES,
    Service,
    Trace,
    inner_context,
    inner_trace,
    outer_trace,
    timestamp,
    verdict,
)
from auditmw.cli.history.rhythm import Trouble
from auditmw.cli.history.shop import Page

_FIRST_SLOT = {service.name: sum(s.workers for s in SERVICES[:n]) for n, service in enumerate(SERVICES)}
SLOTS = sum(service.workers for service in SERVICES)

_RECORDED_BEFORE_END_NS = 300_000
_ERROR_PAGE_BYTES = 162
_ADDRESS = {b"shop": b"10.0.3.11", b"api": b"10.0.3.12"}  # of the services that call others
_FIRST_PORT = 32_768  # of the ephemeral ports of Linux (ip_local_port_range, ip(7))


class Who(NamedTuple):
    """Who makes a request: the user agent, and the context that all events of it have."""

    agent: bytes
    context: bytes


Item = tuple[int, int, bytes]
"""One event: when it was written in ns, by which of the writers, and its JSON behind the id."""


class Hour:
    """Collects what is written in one hour, in no order.

    `rng` decides everything; `troubles` is what goes wrong meanwhile; nothing is written at `end_ns` or later.
    """

    def __init__(self, rng: Random, troubles: list[Trouble], end_ns: int) -> None:
        self.rng = rng
        self.items: list[Item] = []
        self._troubles = troubles
        self._end_ns = end_ns

    def new_trace(self) -> Trace:
        """The trace of a request from outside."""
        return outer_trace(self.rng.getrandbits(192))

    def request(
        self,
        page: Page,
        start_ns: int,
        who: Who,
        path: bytes,
        query: bytes = b"",
        *,
        referrer: bytes = b"",
        status: int = 0,
        trace: Trace | None = None,
        inner_ns: int = 0,
        failure: Failure | None = None,
    ) -> int:
        """Write one request; return when it ended. `inner_ns`: how long it waited for other services."""
        service, method, route, milliseconds, size, content_type, usual, sends, sent_bytes = page
        bits = self.rng.getrandbits(64)
        slower = 1.0
        if failure is None and (self._troubles or not bits >> 53):
            failure, slower = self._trouble(page, start_ns)
        status, error = failure or (status or usual, b"")
        duration_ns = int(milliseconds * slower * spread(bits) * 1e6) + (bits >> 12 & 0xFFFF) + inner_ns
        if status >= 400:
            size = _ERROR_PAGE_BYTES
        elif size >= 100:
            size = int(size * (0.6 + 0.4 * spread(bits >> 28)))
        trace, end_ns = trace or self.new_trace(), start_ns + duration_ns
        rest = service.request % (
            timestamp(end_ns),
            timestamp(start_ns),
            duration_ns,
            verdict(method, status, bool(error)),
            method.encode(),
            who.agent,
            b',"referrer":"%b"' % referrer if referrer else b"",
            b',"content_type":"%b","body_size":%d' % (sends, sent_bytes + (bits >> 44 & 15)) if sends else b"",
            status,
            size,
            content_type,
            b',"route":"%b"' % route if route else b"",
            path,
            b',"query":"%b"' % query if query else b"",
            trace.member,
            trace.request_id,
            who.context,
            error,
        )
        self._write(end_ns, service, bits, rest)
        return end_ns

    def inner(
        self, caller: Service, trace: Trace, page: Page, start_ns: int, path: bytes, failure: Failure | None = None
    ) -> int:
        """Write a request that `caller` makes to another of our services; return how long it took, in ns."""
        bits = self.rng.getrandbits(80)
        who = Who(b"python-httpx/0.28.1", inner_context(_ADDRESS[caller.name], _FIRST_PORT + (bits >> 64) % 28_000))
        began_ns, inner = start_ns + 900_000, inner_trace(trace, bits & 0xFFFFFFFFFFFFFFFF)
        return self.request(page, began_ns, who, path, trace=inner, failure=failure) - began_ns

    def record(self, page: Page, end_ns: int, who: Who, trace: Trace, name: bytes, level: bytes, said: bytes) -> None:
        """Write an event that the application records in a request for `page` that ends at `end_ns`.

        `said`: what is of this event only, outcome and all.
        """
        bits = self.rng.getrandbits(64)
        time_ns = end_ns - _RECORDED_BEFORE_END_NS - (bits >> 44)
        rest = page.service.record % (
            timestamp(time_ns),
            name,
            level,
            trace.member,
            trace.request_id,
            who.context,
            page.method.encode(),
            who.agent,
            page.route,
            said,
        )
        self._write(time_ns, page.service, bits, rest)

    def record_alone(self, service: Service, time_ns: int, name: bytes, level: bytes, said: bytes) -> None:
        """Write an event that belongs to no request, such as that of a nightly job."""
        bits = self.rng.getrandbits(192)
        digits = b"%048x" % bits
        rest = service.alone % (timestamp(time_ns), name, level, digits[:32], digits[32:], said)
        self._write(time_ns, service, bits, rest)

    def is_troubled(self, kind: str, time_ns: int) -> bool:
        """Whether this kind of trouble is on."""
        return any(trouble.kind == kind and trouble.start_ns <= time_ns < trouble.end_ns for trouble in self._troubles)

    def _write(self, time_ns: int, service: Service, bits: int, rest: bytes) -> None:
        if time_ns < self._end_ns:
            self.items.append((time_ns, _FIRST_SLOT[service.name] + (bits >> 49) % service.workers, rest))

    def _trouble(self, page: Page, start_ns: int) -> tuple[Failure | None, float]:
        """What goes wrong with a request at this time, and how much slower it is."""
        chance = self.rng.random()
        if self.is_troubled("deploy", start_ns):
            return (UNAVAILABLE if chance < 0.5 else None), 1.5
        if self.is_troubled("database", start_ns) and page.size >= 100:
            return (NO_DATABASE if chance < 0.2 else None), 9.0
        if not self._troubles and chance < 0.8:
            return BUG, 1.0
        return None, 1.0
