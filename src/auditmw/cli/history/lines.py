"""How the middleware writes things: the JSON of requests and of recorded events, member for member, by templates.

Ten million events have to be made in minutes, so each is one %-format of bytes. What comes out lacks its beginning,
the schema and the id: ids count within a writer, and who writes what is decided when all is in order.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from auditmw.event import ACTIONS, SEVERITY
from auditmw.event import timestamp as written_timestamp
from auditmw.outcome import judge

HEAD = b'{"schema":"auditmw.event/1.0","id":"%08x-%04x-7%03x-%b'

_REQUEST = (
    b'","timestamp":"%b","start":"%b","duration_ns":%d,"event":"http_request",%b,"http":{"request":{"method":"%b",'
    b'"user_agent":"%b"%b%b},"version":"1.1","response":{"status_code":%d,"body_size":%d,"content_type":"%b"}%b},'
    b'"url":{"scheme":"SCHEME","host":"HOST","path":"%b"%b},"source":{"kind":"middleware","format":"PROTOCOL"},'
    b'"trace":%b,"request_id":"%b",%b,"service":{"name":"NAME"}%b}'
)
_RECORD = (
    b'","timestamp":"%b","event":"%b",%b,"trace":%b,"request_id":"%b",%b,"service":{"name":"NAME"},'
    b'"http":{"request":{"method":"%b","user_agent":"%b"}},"url":{"path":"%b"},%b,'
    b'"source":{"kind":"app","format":"auditmw"}}'
)
_ALONE = (
    b'","timestamp":"%b","event":"%b",%b,"trace":{"trace_id":"%b","span_id":"%b","flags":2,"origin":"generated"},'
    b'"service":{"name":"NAME"},%b,"source":{"kind":"app","format":"auditmw"}}'
)
_CLIENT = b'"client":{"address":"%b","peer_address":"unix:","origin":"x-forwarded-for","forwarded":["%b"]}'
_INNER_CLIENT = b'"client":{"address":"%b","peer_address":"%b","origin":"peer","port":%d,"peer_port":%d}'
_SESSION = b',"session":{"id":"%b"},"meta":{"pseudonymised":{"/session/id":"hmac-sha256:k1"}}'
_NEW_SESSION = (
    b',"session":{"id":"%b","previous_id":"%b"},'
    b'"meta":{"pseudonymised":{"/session/id":"hmac-sha256:k1","/session/previous_id":"hmac-sha256:k1"}}'
)
_OUTER_TRACE = b'{"trace_id":"%b","span_id":"%b","flags":0,"origin":"x-request-id"}'
_INNER_TRACE = b'{"trace_id":"%b","span_id":"%b","flags":0,"origin":"traceparent","parent_id":"%b"}'


class Service(NamedTuple):
    """One of the services: its templates, and how many worker processes write for it."""

    name: bytes
    workers: int
    request: bytes
    record: bytes
    alone: bytes


def service(name: bytes, scheme: bytes, host: bytes, protocol: bytes, workers: int) -> Service:
    """Return a service with its templates filled as far as they are always the same."""
    filled = _REQUEST.replace(b"SCHEME", scheme).replace(b"HOST", host).replace(b"PROTOCOL", protocol)
    return Service(name, workers, *(text.replace(b"NAME", name) for text in (filled, _RECORD, _ALONE)))


SHOP = service(b"shop", b"https", b"shop.example", b"wsgi", 2)
API = service(b"api", b"https", b"api.shop.example", b"asgi", 2)
CATALOG = service(b"catalog", b"http", b"catalog.internal", b"asgi", 1)
PAYMENTS = service(b"payments", b"http", b"payments.internal", b"wsgi", 1)
SERVICES = (SHOP, API, CATALOG, PAYMENTS)


class Trace(NamedTuple):
    """The ids of one request: its event's `trace`, the request id, and what a service that it calls needs of it."""

    member: bytes
    request_id: bytes
    trace_id: bytes
    span_id: bytes


def outer_trace(bits: int) -> Trace:
    """The trace of a request that came with the proxy's own request id; `bits`: 192 random ones."""
    digits = b"%048x" % bits
    trace_id, span_id = digits[:32], digits[32:]
    return Trace(_OUTER_TRACE % (trace_id, span_id), trace_id, trace_id, span_id)


def inner_trace(caller: Trace, bits: int) -> Trace:
    """The trace of a request that one of our services makes while it serves `caller`; `bits`: 64 random ones."""
    span_id = b"%016x" % bits
    member = _INNER_TRACE % (caller.trace_id, span_id, caller.span_id)
    return Trace(member, caller.request_id, caller.trace_id, span_id)


def context(
    address: bytes,
    user: bytes | None = None,
    session: bytes | None = None,
    *,
    kind: bytes = b"user",
    previous: bytes | None = None,
) -> bytes:
    """Client, actor and session, as every event of one request has them; `previous`: the session before a log-in."""
    client = _CLIENT % (address, address)
    actor = b',"actor":{"type":"anonymous","authenticated":false}'
    if user is not None:
        actor = b',"actor":{"id":"%b","type":"%b"}' % (user, kind)
    if session is None:
        return client + actor
    if previous is None:
        return client + actor + _SESSION % session
    return client + actor + _NEW_SESSION % (session, previous)


def inner_context(peer: bytes, port: int) -> bytes:
    """The client of a request from one of our own services; nobody asks who is calling there."""
    return _INNER_CLIENT % (peer, peer, port, port)


@lru_cache(maxsize=512)
def verdict(method: str, status: int, failed: bool = False) -> bytes:
    """What came of a request, from its level to its outcome; `failed`: by an exception."""
    outcome, level = judge(status, True, False, ValueError() if failed else None, True)
    members = "".join(f',"{name}":"{value}"' for name, value in outcome.items())[1:]
    return (
        f'"level":"{level}","severity":{SEVERITY[level]},"category":"web","action":"{ACTIONS[method]}",'
        f'"outcome":{{{members}}}'
    ).encode()


def level(name: str) -> bytes:
    """The level of a recorded event."""
    return f'"level":"{name}","severity":{SEVERITY[name]}'.encode()


_minutes: dict[int, bytes] = {}


def timestamp(time_ns: int) -> bytes:
    """RFC 3339 in UTC with six digits, as `auditmw.event.timestamp` writes it."""
    minute, microseconds = divmod(time_ns // 1000, 60_000_000)
    prefix = _minutes.get(minute)
    if prefix is None:
        prefix = _minutes[minute] = _minute(minute)
    return b"%b%02d.%06dZ" % (prefix, microseconds // 1_000_000, microseconds % 1_000_000)


def _minute(minute: int) -> bytes:
    if len(_minutes) >= 4096:
        _minutes.clear()
    return written_timestamp(minute * 60_000_000_000)[:17].encode()
