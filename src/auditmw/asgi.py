"""The ASGI shell (ASGI 3): wraps any ASGI callable, whatever the event loop.

Rules:

1. Messages pass unchanged but for the headers added to a response's start; exceptions and cancellation pass unchanged;
   lifespan and unknown scopes are not looked at.
2. The event is written before the message that carries the last byte is sent; else when the application returns.
3. `receive` is never called on our own, and nothing is buffered.
4. Nothing here knows asyncio, but for one thing: with `durability="disk"` on asyncio the flush waits in a thread.
"""

from __future__ import annotations

import sys
import time
from abc import abstractmethod
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from operator import methodcaller
from typing import TYPE_CHECKING, Any, ClassVar

from auditmw.context import current_exchange, leave
from auditmw.exchange import Exchange, begun
from auditmw.head import HTTP_VERSIONS, port_number
from auditmw.routes import template

if TYPE_CHECKING:
    from auditmw.audit import Audit, Resolver
    from auditmw.policy import Policy

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_REFUSED = b"The audit record of this request could not be written.\n"
_WHOLE = (list, tuple)
_text = methodcaller("decode", "latin-1")
_NORMAL_CLOSURE = frozenset({1000, 1001, 1005})  # RFC 6455 §7.4.1


class ASGIAudit:
    """ASGI middleware: every request and every websocket connection to `app` becomes one event of `audit`.

    `resolver` is asked who is calling where the audit was given none.
    """

    def __init__(self, app: ASGIApp, audit: Audit, *, resolver: Resolver | None = None) -> None:
        if not callable(app):
            raise TypeError(f"expected an ASGI application as the first argument, not {app!r}")
        if not hasattr(audit, "policy_with"):
            raise TypeError(f"expected an auditmw.Audit as the second argument, not {audit!r}")
        self.app = app
        self.audit = audit
        self._policy = audit.policy_with(resolver, blocking=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        kind = scope["type"]
        if kind != "http" and kind != "websocket":
            return await self.app(scope, receive, send)
        exchange = self.begin(scope)
        if exchange is None:
            return await self.app(scope, receive, send)
        policy = self._policy
        if policy.intent and not exchange.begin():
            return await _refuse(kind, send)
        exchange.connect(receive, send)
        token = current_exchange.set(exchange)
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except BaseException as error:
            exchange.failed(error)
            raise
        finally:
            if not exchange.done:
                exchange.end()
                if policy.commit is not None:
                    policy.commit()
            exchange.release()
            leave(token)

    def begin(self, scope: Scope) -> ASGIExchange | None:
        """A new exchange; None where a shell outside of this one has made it already."""
        return begun(HTTPExchange if scope["type"] == "http" else WebSocketExchange, self._policy, scope)


class ASGIExchange(Exchange):
    """One request as a scope tells it, and what the application and the server tell each other about it."""

    SOURCE: ClassVar = {"kind": "middleware", "format": "asgi"}

    __slots__ = ("_receive", "_send", "trailers")

    _receive: Receive  # the server's own
    _send: Send
    trailers: bool  # the response ends with them

    def read(self, policy: Policy, scope: Scope) -> None:
        """Read the request from the scope; may raise."""
        self.started_ns = time.perf_counter_ns()
        names = policy.raw_names
        found: dict[str, str] = {}
        headers = scope["headers"]
        if not isinstance(headers, _WHOLE):
            headers = scope["headers"] = list(headers)  # perhaps one that can be read only once
        for raw, value in headers:
            if raw in names:
                name = names[raw]
                found[name] = f"{found[name]},{value.decode('latin-1')}" if name in found else value.decode("latin-1")
        path = scope["path"]
        self.path = path or "/"
        self.query = query = (scope.get("query_string") or b"").decode("latin-1")
        self.method = scope.get("method", "GET")
        self.scheme = scope.get("scheme", "http")
        version = scope.get("http_version", "1.1")
        self.version = version if version in HTTP_VERSIONS else None
        client = scope.get("client")
        if client:
            peer, self.port = client[0], port_number(client[1])
        else:  # a unix socket has none; nor has a client that was gone before the server asked for its address
            server = scope.get("server")
            peer, self.port = "unknown" if server and server[1] is not None else "unix:", None
        get = found.get
        self.fields = (
            get("host"),
            get("user-agent"),
            get("referer"),
            get("content-type"),
            get("content-length"),
            get("origin"),
            get(policy.forwarded),
        )
        self.start(policy, scope, peer, found)
        raw = scope.get("raw_path")
        if raw is not None and (target := raw.decode("latin-1")) != path:
            target = target.partition("?")[0]
            self.more().target = f"{target}?{query}" if query else target
        if policy.extra_headers and (sent := {name: found[name] for name in policy.extra_headers if found.get(name)}):
            self.more().sent = sent

    @staticmethod
    def read_headers(carrier: Scope) -> dict[str, str]:
        """All request headers: lower-case name to value, several fields of a name joined with a comma."""
        headers: dict[str, str] = {}
        for raw, value in carrier["headers"]:
            name, text = raw.decode("latin-1").lower(), value.decode("latin-1")
            headers[name] = f"{headers[name]},{text}" if name in headers else text
        return headers

    def connect(self, receive: Receive, send: Send) -> None:
        """Stand between the application and the server, whose these are."""
        self._receive, self._send = receive, send
        self.trailers = False

    @abstractmethod
    async def receive(self) -> Message:
        """What the application is given in place of the server's."""

    @abstractmethod
    async def send(self, message: Message) -> None:
        """What the application is given in place of the server's."""

    def end(self) -> None:
        """Write the event."""
        scope = self.carrier
        if ("route" in scope or "endpoint" in scope) and self.extra.route is None:
            self.more().route = template(scope)
        self.finish()

    async def _end(self) -> None:
        """Write the event before the message is sent that carries the last byte."""
        policy = self.policy
        if policy.async_resolver is not None and self.must_ask():
            await self.resolve_async()
        self.end()
        if policy.commit is not None:
            await in_a_thread(policy.commit)

    def _started(self, message: Message) -> Message:
        """The message that starts a response, with our headers; what is malformed is the server's to refuse."""
        headers = message.get("headers") or []
        try:
            if not isinstance(headers, list):
                headers = list(headers)  # perhaps one that can be read only once
            if "status" in message:
                self.status = int(message["status"])
            if message.get("trailers", False):  # which a server that does not know them leaves out
                self.trailers = "http.response.trailers" in (self.carrier.get("extensions") or ())
            passed = self.answered(headers, _text)
            added = [(_raw_name(name), value.encode("latin-1")) for name, value in self.added()]
            return {**message, "headers": passed + added}
        except Exception as error:
            self.policy.count("internal_errors", error)
            without_identity = self.policy.kinds.without_identity
            return {**message, "headers": without_identity(headers)} if "headers" in message else message


class HTTPExchange(ASGIExchange):
    """One HTTP request."""

    __slots__ = ()

    async def receive(self) -> Message:
        """Note how long the request's body is, and whether the client has gone."""
        message = await self._receive()
        try:
            kind = message["type"]
            if kind == "http.request":
                self.received_bytes = (self.received_bytes or 0) + len(message.get("body") or b"")
            elif kind == "http.disconnect" and not self.complete:
                self.more().client_gone = True
        except Exception as error:  # a malformed message is the application's to refuse
            self.policy.count("internal_errors", error)
        return message

    async def send(self, message: Message) -> None:
        """Note what a message says, and write the event before the one that carries the last byte."""
        try:
            kind = message["type"]
            if kind == "http.response.start":
                if self.policy.async_resolver is not None and self.must_ask():
                    await self.resolve_async()
                if self.status == 0:
                    message = self._started(message)
                last = not self.trailers and not self.done and self.account(0)  # the head is the whole response
            else:
                last = self._is_last(kind, message) and self.status != 0
            if last:
                self.complete = True
                if not self.done:
                    await self._end()
        except Exception as error:  # a malformed message is the server's to refuse
            self.policy.count("internal_errors", error)
        try:
            await self._send(message)
        except OSError:  # what servers raise when the client has gone (ASGI HTTP §2.4, "send")
            self.more().client_gone = True
            raise

    def _is_last(self, kind: str, message: Message) -> bool:
        """Account for a part of the body; whether nothing comes after it that could reach the client."""
        if kind == "http.response.body":
            size = len(message.get("body") or b"")
            if self.trailers or message.get("more_body", False):
                return self.account(size) and not self.trailers
            if self.body_bytes is not None:
                self.body_bytes += size
            return True
        if kind == "http.response.zerocopysend":
            count = message.get("count")
            self.body_bytes = None if count is None or self.body_bytes is None else self.body_bytes + count
            return not message.get("more_body", False) and not self.trailers
        if kind == "http.response.pathsend":
            self.body_bytes = self.promised_bytes()
            return not self.trailers
        return kind == "http.response.trailers" and not message.get("more_trailers", False)


class WebSocketExchange(ASGIExchange):
    """One websocket connection."""

    __slots__ = ("close_code", "counts")

    close_code: int | None
    counts: dict[str, int]

    def connect(self, receive: Receive, send: Send) -> None:
        """Stand between the application and the server, whose these are."""
        super().connect(receive, send)
        self.more().event = "websocket_connection"
        self.body_bytes = None
        self.close_code = None
        self.counts = {"messages_received": 0, "received_bytes": 0, "messages_sent": 0, "sent_bytes": 0}

    async def receive(self) -> Message:
        """Note what the client says."""
        message = await self._receive()
        kind = message["type"]
        if kind == "websocket.receive":
            self.counts["messages_received"] += 1
            self.counts["received_bytes"] += _size(message)
        elif kind == "websocket.disconnect":
            code = message.get("code", 1005)
            if self.close_code is None:
                self.close_code = code
            self.complete = code in _NORMAL_CLOSURE
            self.more().client_gone = not self.complete
        return message

    async def send(self, message: Message) -> None:
        """Note what the application says, and write the event before the connection ends."""
        kind = message["type"]
        if kind == "websocket.send":
            self.counts["messages_sent"] += 1
            self.counts["sent_bytes"] += _size(message)
        elif kind == "websocket.accept":
            await self.resolve_async()
            self.status = 101
            message = self._started(message)
        elif kind == "websocket.close":
            self._closed(message.get("code", 1000))
            await self._end_once()
        elif kind == "websocket.http.response.start":
            await self.resolve_async()
            if self.status == 0:
                message = self._started(message)
        elif kind == "websocket.http.response.body":
            self.body_bytes = (self.body_bytes or 0) + len(message.get("body") or b"")
            if not message.get("more_body", False):
                self.complete = True
                await self._end_once()
        await self._send(message)

    def end(self) -> None:
        """Write the event."""
        if self.status == 101:
            code = {} if self.close_code is None else {"close_code": self.close_code}
            self.more().data = {**(self.extra.data or {}), "websocket": {**code, **self.counts}}
        super().end()

    def _closed(self, code: int) -> None:
        self.complete = True
        if self.status == 0:
            self.status = 403  # a close before the accept (ASGI websocket, "Close - send event")
        elif self.close_code is None:
            self.close_code = code
            if code not in _NORMAL_CLOSURE:
                said = {"outcome": {"result": "failure", "reason": f"websocket_{code}"}, "level": "warning"}
                self.more().annotations = {**said, **(self.extra.annotations or {})}

    async def _end_once(self) -> None:
        if not self.done:
            self.end()
            if self.policy.commit is not None:
                await in_a_thread(self.policy.commit)


@lru_cache(maxsize=64)
def _raw_name(name: str) -> bytes:
    return name.lower().encode("latin-1")


async def _refuse(kind: str, send: Send) -> None:
    if kind == "websocket":
        await send({"type": "websocket.close", "code": 1013})  # "try again later", the registered code
        return
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(_REFUSED)).encode())]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": _REFUSED})


async def in_a_thread(commit: Callable[[], object]) -> None:
    """Wait for the disk without stopping the loop, where the loop is asyncio's."""
    asyncio = sys.modules.get("asyncio")
    try:
        loop = asyncio.get_running_loop() if asyncio is not None else None
    except RuntimeError:  # trio, curio: their threads would need their packages
        loop = None
    if loop is None:
        commit()
    else:
        await loop.run_in_executor(None, commit)


def _size(message: Message) -> int:
    text = message.get("text")
    return len(text.encode("utf-8", "replace")) if text is not None else len(message.get("bytes") or b"")
