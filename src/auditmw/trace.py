"""The ids of one request: W3C trace context level 2, the older trace headers, request and correlation id.

A `Tracer` decides them once, when the request begins, from the headers and from whether the peer is trusted.
A header that is not exactly what its format says is as good as absent: its text goes nowhere. Whoever is not
trusted gets a new trace and a new request id (W3C calls that restarting the trace), and what he claimed is kept,
validated, as `Trace.remote`.

Sources: https://www.w3.org/TR/trace-context-2/ (traceparent §3.2, tracestate §3.3),
https://github.com/openzipkin/b3-propagation, the documentation of Amazon's Application Load Balancer
(X-Amzn-Trace-Id) and of Google Cloud Trace (X-Cloud-Trace-Context), RFC 9110 §5.6.3 (optional whitespace).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, Literal, NamedTuple, TypeAlias

from auditmw import forks

DEFAULT_ACCEPT: Final = ("traceparent", "x-trace-id", "x-request-id", "x-correlation-id")

# Family -> the headers it reads. The order decides: the first family with a valid trace id wins.
_FAMILIES: Final[Mapping[str, tuple[str, ...]]] = {
    "traceparent": ("traceparent", "tracestate"),
    "b3": ("b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags"),
    "x-amzn-trace-id": ("x-amzn-trace-id",),
    "x-cloud-trace-context": ("x-cloud-trace-context",),
    "x-trace-id": ("x-trace-id",),
    "x-request-id": ("x-request-id",),
    "x-correlation-id": ("x-correlation-id",),
}
_BELIEVES: Final[Mapping[str, bool | None]] = {"trusted": None, "always": True, "never": False}

_SAMPLED: Final = 1
_RANDOM: Final = 2
_OWS: Final = " \t"
_MAX_HEADER_CHARS: Final = 512
_ZERO_TRACE: Final = "0" * 32
_ZERO_SPAN: Final = "0" * 16

# fullmatch everywhere: `$` would let a trailing newline pass. No class here matches anything but ASCII.
_traceparent_match = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[\t -~]*)?").fullmatch
_b3_match = re.compile(r"([0-9a-f]{32}|[0-9a-f]{16})-([0-9a-f]{16})(?:-([01d])(?:-[0-9a-f]{16})?)?").fullmatch
_b3_trace_match = re.compile(r"[0-9a-f]{32}|[0-9a-f]{16}").fullmatch
_amazon_root_match = re.compile(r"1-([0-9A-Fa-f]{8})-([0-9A-Fa-f]{24})").fullmatch
_cloud_match = re.compile(r"([0-9A-Fa-f]{32})(?:/([0-9]{1,20}))?(?:;o=([01]))?").fullmatch
_span_match = re.compile(r"[0-9A-Fa-f]{16}").fullmatch
_lower_span_match = re.compile(r"[0-9a-f]{16}").fullmatch
_hex32_match = re.compile(r"[0-9A-Fa-f]{32}").fullmatch
_hex_id_match = re.compile(
    r"[0-9A-Fa-f]{32}|[0-9A-Fa-f]{16}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
).fullmatch
_token_match = re.compile(r"[A-Za-z0-9._~:/+=@-]{1,128}").fullmatch
# A value: 0 to 255 of SP and visible, then one visible; never "," or "=".
_member_match = re.compile(r"([a-z0-9][a-z0-9_*/@-]{0,255})=[ -+\--<>-~]{0,255}[!-+\--<>-~]").fullmatch

_MAX_STATE_MEMBERS: Final = 32
_MAX_STATE_READ_CHARS: Final = 32_768
_LARGE_MEMBER_CHARS: Final = 128
# The longest member and its comma have 514 characters, so that at least 512 stay, whatever has to be cut off.
_MAX_STATE_CHARS: Final = 1025

# What a header claims: trace id, the caller's span id, flags (None: the caller left sampling to us), origin.
_Claim: TypeAlias = tuple[str | None, str | None, int | None, str]
_Headers: TypeAlias = Mapping[str, str]


class Trace(NamedTuple):
    """The ids of one request, decided.

    `trace_id` has 32 lower-case hexadecimal digits; `span_id` has 16, is ours and always fresh; `parent_id` is the
    span id of a believed caller. `flags` knows two bits: 1 sampled, 2 random. `state` is the tracestate to keep and
    to pass on, validated and combined. `origin` is the event's `trace.origin`. `remote` is the validated
    (trace id, span id) that an untrusted caller claimed. `request_id` is the caller's, where believed, or 32 fresh
    hexadecimal digits.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    flags: int
    state: str | None
    origin: str
    remote: tuple[str, str | None] | None
    request_id: str
    correlation_id: str | None


# Half the time of Trace(...), and on the way of every request.
_trace: Callable[[tuple[object, ...]], Trace] = partial(tuple.__new__, Trace)

_trace_ids: list[str] = []
_span_ids: list[str] = []
_next_trace_id, _next_span_id = _trace_ids.pop, _span_ids.pop
forks.in_child(_trace_ids.clear)  # parent and child must not give out the same ids
forks.in_child(_span_ids.clear)


def _refill() -> None:
    # Two system calls for 512 ids. Two threads that come here together add two lots, which does no harm.
    _trace_ids.extend(os.urandom(16 * 256).hex("-", 16).split("-"))
    _span_ids.extend(os.urandom(8 * 256).hex("-", 8).split("-"))


def new_trace_id() -> str:
    """Return 32 random lower-case hexadecimal digits (128 bits of the system's generator)."""
    while True:
        try:
            return _next_trace_id()
        except IndexError:
            _refill()


def new_span_id() -> str:
    """Return 16 random lower-case hexadecimal digits (64 bits of the system's generator)."""
    while True:
        try:
            return _next_span_id()
        except IndexError:
            _refill()


class Tracer:
    """Decides the ids of each request.

    Args:
        trust: whose headers are believed: those of `"trusted"` peers, of everybody (`"always"`), of nobody (`"never"`).
        accept: the header families that are read: `traceparent`, `b3` (both forms), `x-amzn-trace-id`,
            `x-cloud-trace-context`, `x-trace-id`, `x-request-id`, `x-correlation-id`. That order decides, not the
            order given: the first with a valid trace id wins.
        sampled: the sampled bit of a trace whose caller has not decided it.

    `names` are the request headers that `begin` looks at, lower-case.

    Raises:
        ValueError: an unknown `trust` or family.
    """

    def __init__(
        self,
        *,
        trust: Literal["trusted", "always", "never"] = "trusted",
        accept: Sequence[str] = DEFAULT_ACCEPT,
        sampled: bool = False,
    ) -> None:
        if trust not in _BELIEVES:
            raise ValueError(f"expected trust to be one of {', '.join(_BELIEVES)}, not {trust!r}")
        self._accept = _accepted(accept)
        self._believes = _BELIEVES[trust]
        self._sampled = int(bool(sampled))
        self._new_flags = _RANDOM | self._sampled
        families = [family for family in _FAMILIES if family in self._accept]
        self._parsers = tuple(
            (name, _PARSERS[family]) for family in families if family in _PARSERS for name in _FAMILIES[family]
        )
        self.names: tuple[str, ...] = tuple(name for family in families for name in _FAMILIES[family])
        self._unclaimed = frozenset(self.names).isdisjoint
        self._alone = (frozenset(self.names) - {"traceparent"}).isdisjoint

    def begin(self, headers: Mapping[str, str], trusted: bool) -> Trace:
        """Return the ids of a request that came with `headers` from a peer that is `trusted` or not; never raises.

        `headers` maps lower-case names to values, the fields of one name joined with `,` (RFC 9110 §5.3).
        """
        if self._unclaimed(headers):
            return self.start()
        trace_id, parent_id, flags, origin = self._claim(headers)
        if not (trusted if self._believes is None else self._believes):
            return self.start(None if trace_id is None else (trace_id, parent_id))
        if flags is None:
            flags = self._sampled
        if trace_id is None:
            trace_id = new_trace_id()
            flags |= _RANDOM
        state = request_id = correlation_id = None
        if not self._alone(headers):
            state = _state(headers["tracestate"]) if origin == "traceparent" and "tracestate" in headers else None
            request_id = self._token(headers, "x-request-id")
            correlation_id = self._correlation_id(headers)
        request_id = request_id or new_trace_id()
        return _trace((trace_id, new_span_id(), parent_id, flags, state, origin, None, request_id, correlation_id))

    def start(self, remote: tuple[str, str | None] | None = None) -> Trace:
        """Return fresh ids, for a request that came with no headers that `begin` would look at."""
        while True:
            try:
                trace_id, span_id, request_id = _next_trace_id(), _next_span_id(), _next_trace_id()
            except IndexError:
                _refill()
            else:
                return _trace((trace_id, span_id, None, self._new_flags, None, "generated", remote, request_id, None))

    def _claim(self, headers: _Headers) -> _Claim:
        decision = None
        for name, parse in self._parsers:
            claim = parse(headers) if name in headers else None
            if claim is None:
                continue
            trace_id, span_id, flags, origin = claim
            if trace_id is not None:
                return trace_id, span_id, decision if flags is None else flags, origin
            decision = flags  # B3 may send a decision about sampling and no ids
        return None, None, decision, "generated"

    def _token(self, headers: _Headers, name: str) -> str | None:
        if name not in headers or name not in self._accept:
            return None
        value = headers[name].strip(_OWS)
        return value if _token_match(value) else None

    def _correlation_id(self, headers: _Headers) -> str | None:
        token = self._token(headers, "x-correlation-id")
        if token is None and (token := self._token(headers, "x-trace-id")) and _hex_id_match(token):
            return None  # a trace id, better or worse than another
        return token


def is_token(value: str) -> bool:
    """Whether the value can be a request or correlation id: 1 to 128 of ``A-Za-z0-9._~:/+=@-``."""
    return _token_match(value) is not None


def traceparent(trace_id: str, span_id: str, flags: int) -> str:
    """Return the `traceparent` header value, version 00; of `flags` only the two known bits are sent."""
    return f"00-{trace_id}-{span_id}-0{flags & 3}"


def outgoing(trace: Trace) -> dict[str, str]:
    """Return the headers that carry `trace` on to a downstream call, with our span as its parent."""
    headers = {
        "traceparent": traceparent(trace.trace_id, trace.span_id, trace.flags),
        "x-request-id": trace.request_id,
    }
    if trace.state is not None:
        headers["tracestate"] = trace.state
    if trace.correlation_id is not None:
        headers["x-correlation-id"] = trace.correlation_id
    return headers


def _accepted(accept: Sequence[str]) -> frozenset[str]:
    names = (accept,) if isinstance(accept, str) else accept
    families = frozenset(str(name).lower() for name in names)
    if unknown := sorted(families.difference(_FAMILIES)):
        raise ValueError(f"expected accept to name header families of {', '.join(_FAMILIES)}, not {unknown[0]!r}")
    return families


def _from_traceparent(headers: _Headers) -> _Claim | None:
    value = headers.get("traceparent")
    if value is None:
        return None
    value = value.strip(_OWS)
    match = _traceparent_match(value) if len(value) <= _MAX_HEADER_CHARS else None
    if match is None:
        return None
    version, trace_id, span_id, flags, future = match.groups()
    if version == "ff" or trace_id == _ZERO_TRACE or span_id == _ZERO_SPAN or (future is not None and version == "00"):
        return None
    return trace_id, span_id, int(flags, 16) & 3, "traceparent"


def _from_b3(headers: _Headers) -> _Claim | None:
    value = headers.get("b3")
    if value is not None and (claim := _from_b3_single(value.strip(_OWS))) is not None:
        return claim
    return _from_b3_multi(headers)


def _from_b3_single(value: str) -> _Claim | None:
    if value in _B3_DECISIONS:
        return None, None, _B3_DECISIONS[value], "b3"
    match = _b3_match(value)
    if match is None:
        return None
    trace_id, span_id, decision = match.groups()
    return _checked(trace_id, span_id, _B3_DECISIONS.get(decision), "b3")


def _from_b3_multi(headers: _Headers) -> _Claim | None:
    trace_id, span_id, parent_id, sampled, debug = (
        headers.get(name, "").partition(",")[0].strip(_OWS) for name in _FAMILIES["b3"][1:]
    )
    decision = 1 if debug == "1" else _B3_SAMPLED.get(sampled.lower())
    if sampled and decision is None:
        return None
    if not (trace_id or span_id or parent_id):
        return None if decision is None else (None, None, decision, "x-b3")
    if not _b3_trace_match(trace_id) or not _lower_span_match(span_id):
        return None
    if parent_id and not _lower_span_match(parent_id):
        return None
    return _checked(trace_id, span_id, decision, "x-b3")


_B3_DECISIONS: Final[Mapping[str, int]] = {"0": 0, "1": 1, "d": 1}
_B3_SAMPLED: Final[Mapping[str, int]] = {"0": 0, "1": 1, "false": 0, "true": 1}


def _from_amazon(headers: _Headers) -> _Claim | None:
    value = headers.get("x-amzn-trace-id", "")
    if not value or len(value) > _MAX_HEADER_CHARS:
        return None
    pairs = [part.strip(_OWS).partition("=")[::2] for part in value.split(";")]
    fields = dict(pairs)
    root = _amazon_root_match(fields.get("Root", ""))
    parent = fields.get("Parent")
    decision = fields.get("Sampled", "?")  # "?" asks us to decide
    if root is None or len(fields) < len(pairs) or decision not in {"0", "1", "?"}:
        return None
    if parent is not None and not _span_match(parent):
        return None
    return _checked(root[1] + root[2], parent, None if decision == "?" else int(decision), "x-amzn-trace-id")


def _from_cloud(headers: _Headers) -> _Claim | None:
    match = _cloud_match(headers.get("x-cloud-trace-context", "").strip(_OWS))
    if match is None:
        return None
    trace_id, decimal, decision = match.groups()
    span = int(decimal or 0)
    if span >= 1 << 64:
        return None
    return _checked(
        trace_id, f"{span:016x}" if span else None, None if decision is None else int(decision), "x-cloud-trace-context"
    )


def _from_x_trace_id(headers: _Headers) -> _Claim | None:
    value = headers.get("x-trace-id", "").strip(_OWS)
    return _checked(value.replace("-", ""), None, None, "x-trace-id") if _hex_id_match(value) else None


def _from_x_request_id(headers: _Headers) -> _Claim | None:
    value = headers.get("x-request-id", "").strip(_OWS)
    return _checked(value, None, None, "x-request-id") if _hex32_match(value) else None


def _checked(trace_id: str, span_id: str | None, flags: int | None, origin: str) -> _Claim | None:
    # Of these families only the sampled bit is known: nobody promised that the digits are random.
    if trace_id.strip("0") == "" or span_id == _ZERO_SPAN:
        return None
    return trace_id.lower().rjust(32, "0"), span_id and span_id.lower(), flags, origin


_PARSERS: Final[Mapping[str, Callable[[_Headers], _Claim | None]]] = {
    "traceparent": _from_traceparent,
    "b3": _from_b3,
    "x-amzn-trace-id": _from_amazon,
    "x-cloud-trace-context": _from_cloud,
    "x-trace-id": _from_x_trace_id,
    "x-request-id": _from_x_request_id,
}


def _state(value: str) -> str | None:
    """Return the tracestate to keep: all of it is dropped for one bad member or for more than 32."""
    if len(value) > _MAX_STATE_READ_CHARS:
        return None
    members: dict[str, str] = {}
    texts = [text for part in value.split(",") if (text := part.strip(_OWS))]
    if len(texts) > _MAX_STATE_MEMBERS:
        return None
    for text in texts:
        match = _member_match(text)
        if match is None:
            return None
        members.setdefault(match[1], text)  # the left-most of a key is the latest
    return _cut(list(members.values())) or None


def _cut(members: list[str]) -> str:
    state = ",".join(members)
    if len(state) <= _MAX_STATE_CHARS:
        return state
    right_to_left = members[::-1]
    for member in sorted(right_to_left, key=lambda text: len(text) <= _LARGE_MEMBER_CHARS):
        members.remove(member)
        state = ",".join(members)
        if len(state) <= _MAX_STATE_CHARS:
            break
    return state
