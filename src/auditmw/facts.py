"""What is known of one request, and how that reads as an event."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from os import getpid
from typing import Any

from auditmw import forks
from auditmw.event import ACTIONS, SCHEMA, SEVERITY, SHORT, Event, Notes, new_id, timestamp, wire_text
from auditmw.failure import describe_error
from auditmw.head import safe_path, split_host
from auditmw.identity import Actor, Identity, describe
from auditmw.outcome import SUCCESS, judge
from auditmw.peer import Client, peer_address
from auditmw.policy import Changed, Policy
from auditmw.trace import Trace

_NO_BODY = frozenset({204, 304})  # RFC 9110 §6.4.1
_UNKNOWN = {"type": "unknown"}
_ANONYMOUS = {"type": "anonymous", "authenticated": False}
_SCHEMES = frozenset({"http", "https", "ws", "wss"})
_SOURCES: dict[str, dict[str, str]] = {name: {"kind": "middleware", "format": name} for name in ("wsgi", "asgi")}

_NOTHING: dict[str, Any] = {}

_VERSIONS = frozenset({"0.9", "1.0", "1.1", "2", "2.0", "3", "3.0"})


ReadHeaders = Callable[[Any], dict[str, str]]


class Facts:
    """Plain data of one request and its answer, at first of a request to which nothing came yet."""

    policy: Policy
    protocol: str  # "wsgi" or "asgi"
    carrier: Any
    read_headers: ReadHeaders
    found: Mapping[Any, str]  # the request headers that tell the trace and the client, by lower-case name
    fields: Mapping[str, Any]  # the other request headers that are written, by CGI name (RFC 3875 §4.1.18)
    method: str
    path: str
    query: str
    scheme: str
    version: str  # of HTTP
    peer: str  # the socket's other end
    port: int | None
    trusted: bool  # the peer is one of the trusted proxies
    trace: Trace
    started_ns: int
    process: int  # the id of the process that began it
    exempt: bool
    id: str | None  # only where an intent record made it known before the end
    event: str
    target: str | None  # the request-target as received, where path and query do not tell it
    route: str | None
    status: int  # 0: no response was started
    reason: str | None  # where it is not the registered one
    content_type: str | None
    content_length: str | None
    captured: dict[str, list[str]] | None
    has_request_id: bool  # the application set the header itself
    caching: list[tuple[str, str]] | None  # the response's header fields that speak to caches
    remaining_bytes: int  # of the body, that the head still promises; below 0: it promised nothing
    body_bytes: int | None  # None: not known
    received_bytes: int | None
    complete: bool  # the response was handed over to its last byte
    client_gone: bool
    done: bool  # the event was written
    error: BaseException | None
    handled: bool  # an error page answered the error
    asking: bool  # a resolver is being asked, or left without an answer
    identity: Identity | None
    session_wanted: bool  # the application named the user, and the resolver may know the session
    app_user: str | None  # X-Userid as the application set it
    app_session: str | None
    actor: Actor | None
    annotations: dict[str, Any] | None
    data: dict[str, Any] | None
    notes: Notes | None

    # Slots, all set at once: attributes that a class holds a default for are several times as slow in CPython.
    __slots__ = tuple(__annotations__)

    def __init__(
        self,
        policy: Policy,
        protocol: str,
        carrier: Any,
        read_headers: ReadHeaders,
        found: Mapping[Any, str],
        fields: Mapping[str, Any],
        method: str,
        path: str,
        query: str,
        scheme: str,
        version: str,
        peer: object,
        port: int | None,
    ) -> None:
        self.started_ns = time.perf_counter_ns()
        if getpid() != forks.process:
            forks.renew()
        self.policy, self.protocol, self.carrier, self.read_headers = policy, protocol, carrier, read_headers
        self.found, self.fields, self.version, self.port = found, fields, version, port
        self.method, self.path, self.query, self.scheme = method, path, query, scheme
        self.peer = peer = peer_address(peer)
        self.trusted = trusted = policy.proxies.trusts(peer)
        self.trace = policy.tracer.begin(found, trusted)
        self.event, self.status, self.body_bytes, self.remaining_bytes = "http_request", 0, 0, -1
        self.exempt = policy.exempt != () and policy.exempts(path)
        self.complete = self.client_gone = self.done = self.handled = self.has_request_id = self.asking = False
        self.session_wanted = False
        self.id = self.reason = self.content_type = self.content_length = self.captured = self.received_bytes = None
        self.error = self.identity = self.app_user = self.app_session = self.actor = self.notes = None
        self.route = self.target = self.annotations = self.data = self.caching = None
        self.process = forks.process

    def compose(self, now_ns: int, duration_ns: int) -> Event:
        """The event of this request, ended at `now_ns` since the epoch after `duration_ns`."""
        outcome, level = SUCCESS
        if self.status >= 400 or not self.complete or self.error is not None or self.client_gone:
            outcome, level = judge(self.status, self.complete, self.client_gone, self.error, self.handled)
        http: dict[str, Any] = {"request": self._request()}
        if self.version in _VERSIONS:
            http["version"] = self.version
        if self.status:
            http["response"] = self._response()
        if self.route is not None:
            http["route"] = self.route
        event: Event = {
            "schema": SCHEMA,
            "id": self.id or new_id(now_ns),
            "timestamp": timestamp(now_ns),
            "start": timestamp(now_ns - duration_ns),
            "duration_ns": duration_ns,
            "event": self.event,
            "level": level,
            "severity": SEVERITY[level],
            "category": "web",
            "action": ACTIONS.get(self.method, "unknown"),
            "outcome": outcome,
            "http": http,
            "url": self._url(),
            "source": _SOURCES[self.protocol],
        }
        self.add_context(event)
        if self.error is not None:
            event["error"] = self.describe_failure(self.error, handled=self.handled)
        if self.data:
            event["data"] = self.data
        if self.annotations is not None:
            self._annotate(event)
        return event if self.notes is None else self.notes.written_into(event)

    def compose_least(self, now_ns: int, duration_ns: int) -> Event:
        """The event of this request when it cannot be composed: what auditmw itself knows."""
        trace = self.trace
        return {
            "schema": SCHEMA,
            "id": self.id or new_id(now_ns),
            "timestamp": timestamp(now_ns),
            "duration_ns": duration_ns,
            "event": self.event,
            "level": "error",
            "severity": SEVERITY["error"],
            "outcome": {"result": "unknown", "reason": "not_composable"},
            "trace": {"trace_id": trace.trace_id, "span_id": trace.span_id, "flags": trace.flags},
            "request_id": trace.request_id,
            "http": {},
            "service": self.policy.service,
            "source": _SOURCES[self.protocol],
            "meta": {"truncated": ["/http", "/url"]},
        }

    def add_context(self, event: Event) -> None:
        """Add what this request's event shares with every event that the application records while it runs."""
        trace_id, span_id, parent_id, flags, state, origin, remote, request_id, correlation_id = self.trace
        event["trace"] = trace = {"trace_id": trace_id, "span_id": span_id, "flags": flags, "origin": origin}
        event["request_id"] = request_id
        if parent_id is not None:
            trace["parent_id"] = parent_id
            if state is not None:
                trace["state"] = state
        if remote is not None:
            trace["remote"] = (
                {"trace_id": remote[0]} if remote[1] is None else {"trace_id": remote[0], "span_id": remote[1]}
            )
        if correlation_id is not None:
            event["correlation_id"] = correlation_id
        address, port, where, forwarded, _, host = self.client()
        client: dict[str, Any] = {"address": address, "peer_address": self.peer, "origin": where}
        if port is not None:
            client["port"] = port
        if self.port is not None:
            client["peer_port"] = self.port
        if forwarded:
            client["forwarded"] = [self._changed(self.policy.texts[hop], "/client/forwarded") for hop in forwarded]
        event["client"] = client
        if self.policy.pseudonyms.hash_ip != "none":
            self._hide_addresses(event)
        if host is not None:
            name, at = split_host(host)
            event["server"] = {"address": name} if at is None else {"address": name, "port": at}
        self._add_actor(event)
        event["service"] = self.policy.service

    def client(self) -> Client:
        """Where the request came from, as far as trusted proxies tell."""
        proxies = self.policy.proxies
        return proxies.client(self.peer, self.port, self.found.get(proxies.header))

    def promised_bytes(self) -> int | None:
        """How long the body will be, where the response's head tells it (RFC 9110 §8.6)."""
        if self.status in _NO_BODY or self.method == "HEAD":
            return 0
        length = self.content_length
        if length is None:
            return None
        length = length.strip(" \t")
        return int(length) if length.isascii() and length.isdigit() and len(length) < 18 else None

    def has_no_body(self) -> bool:
        """Whether the response goes out without a body, whatever the application gives."""
        return self.method == "HEAD" or self.status in _NO_BODY

    def describe_actor(self) -> Actor | None:
        """The identity made safe to write, decided once; None when nobody named one."""
        if self.actor is not None:
            return self.actor
        identity = self.identity
        if identity is None:  # the application's own headers are the identity of last resort
            user, session = self.app_user, self.app_session
            if user is None and session is None:
                return None
            identity = Identity(id=user and wire_text(user)[0], session=session and wire_text(session)[0])
        self.actor = actor = describe(identity, self.policy.pseudonyms)
        for problem in actor.problems:
            self.policy.count("identity_problems", problem)
        return actor

    def describe_failure(self, error: BaseException, *, handled: bool) -> dict[str, Any]:
        """The event's `error`, without secrets."""
        described = describe_error(error, handled=handled)
        for name in ("message", "stacktrace"):
            if name in described:
                text = self.policy.redactor.prose(described[name])
                if text is not described[name]:
                    self.noted().redacted.append(f"/error/{name}")
                    described[name] = text
        return described

    def noted(self) -> Notes:
        """Where changes to this event are noted."""
        if self.notes is None:
            self.notes = Notes()
        return self.notes

    def _add_actor(self, event: Event) -> None:
        actor = self.actor or self.describe_actor()
        if actor is None:
            if self.policy.resolver is not None or self.policy.async_resolver is not None:
                event["actor"] = _UNKNOWN if self.asking else _ANONYMOUS
            return
        event["actor"] = actor.actor
        if actor.session is not None:
            event["session"] = actor.session
        if actor.pseudonymised:
            known = event.get("meta", _NOTHING).get("pseudonymised", _NOTHING)
            event["meta"] = {"pseudonymised": {**known, **actor.pseudonymised}}

    def _hide_addresses(self, event: Event) -> None:
        """Replace the client's addresses as `Pseudonyms.ip` says; a trusted proxy's own address is not a person's."""
        pseudonyms, client = self.policy.pseudonyms, event["client"]
        hidden = ["address"] if self.trusted else ["address", "peer_address"]
        scheme = pseudonyms.scheme if pseudonyms.hash_ip == "hmac" else "prefix:24,48"
        event["meta"] = {"pseudonymised": {f"/client/{name}": scheme for name in hidden}}
        for name in hidden:
            client[name] = pseudonyms.ip(client[name])
        if "forwarded" in client:
            client["forwarded"] = [pseudonyms.ip(address) for address in client["forwarded"]]
            event["meta"]["pseudonymised"]["/client/forwarded"] = scheme

    def _request(self) -> dict[str, Any]:
        policy, get = self.policy, self.fields.get
        request: dict[str, Any] = {"method": self.method if self.method in ACTIONS else self.method[:64] or "UNKNOWN"}
        agent = get("HTTP_USER_AGENT")
        if agent is not None:
            text = policy.texts[agent]
            request["user_agent"] = text if type(text) is str else self._changed(text, "/http/request/user_agent")
        referrer = get("HTTP_REFERER")
        if referrer:
            if not referrer.isascii():
                referrer = self._wire(referrer, "/http/request/referrer")
            clean = policy.redactor.url(referrer)
            if clean is not referrer:
                self.noted().redacted.append("/http/request/referrer")
            request["referrer"] = clean
        content_type = get("CONTENT_TYPE")
        if content_type:
            request["content_type"] = self._short(content_type, "/http/request/content_type")
        size = get("CONTENT_LENGTH")
        if size and size.isascii() and size.isdigit() and len(size) < 16:
            request["body_size"] = int(size)
        elif self.received_bytes is not None:
            request["body_size"] = self.received_bytes
        headers = {}
        for key, name in policy.request_captured:
            value = get(key)
            if value:
                text = policy.texts[value]
                headers[name] = [text if type(text) is str else self._changed(text, f"/http/request/headers/{name}/0")]
        if headers:
            request["headers"] = headers
        if self.target is not None:
            text = policy.texts[self.target]
            request["target"] = text if type(text) is str else self._changed(text, "/http/request/target")
        return request

    def _response(self) -> dict[str, Any]:
        response: dict[str, Any] = {"status_code": self.status} if 0 < self.status <= 999 else {}
        if self.body_bytes is not None:
            response["body_size"] = 0 if self.has_no_body() else self.body_bytes
        if self.content_type is not None:
            response["content_type"] = self._short(self.content_type, "/http/response/content_type")
        if self.reason is not None:
            response["reason"] = self.reason
        if self.captured is not None:
            response["headers"] = self.captured
        return response

    def _url(self) -> dict[str, Any]:
        redactor, path, query = self.policy.redactor, self.path, self.query
        url: dict[str, Any] = {}
        if self.scheme in _SCHEMES:
            url["scheme"] = self.scheme
        value = self.fields.get("HTTP_HOST")
        if value:
            name, port = split_host(value[:300] if value.isascii() else wire_text(value[:300])[0])
            url["host"] = name
            if port is not None:
                url["port"] = port
        if not (path.isascii() and path.isprintable()):
            path = safe_path(path)
        text = redactor.path(path)
        if text is not path:
            self.noted().redacted.append("/url/path")
        url["path"] = text
        if query:
            if not query.isascii():
                query = self._wire(query, "/url/query")
            text = redactor.query(query)
            if text is not query:
                self.noted().redacted.append("/url/query")
            url["query"] = text
        return url

    def _changed(self, text: str | Changed, pointer: str) -> str:
        """The text, and a note of what had to be changed in it."""
        if isinstance(text, str):
            return text
        if text.escaped:
            self.noted().escaped.append(pointer)
        if text.redacted:
            self.noted().redacted.append(pointer)
        return text.text

    def _wire(self, value: str, pointer: str) -> str:
        if value.isascii():
            return value
        text, escaped = wire_text(value)
        if escaped:
            self.noted().escaped.append(pointer)
        return text

    def _short(self, value: str, pointer: str) -> str:
        if len(value) > SHORT:
            self.noted().truncated.append(pointer)
            value = value[:SHORT]
        return self._changed(self.policy.texts[value], pointer)

    def _annotate(self, event: Event) -> None:
        for name, value in (self.annotations or {}).items():
            event[name] = {**event["outcome"], **value} if name == "outcome" else value
        event["severity"] = SEVERITY[event["level"]]
