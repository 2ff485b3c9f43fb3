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
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from auditmw.context import current_exchange, leave
from auditmw.exchange import Exchange, begun
from auditmw.head import cgi_name, port_number
from auditmw.routes import template

if TYPE_CHECKING:
    from auditmw.audit import Audit, Resolver

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_REFUSED = b"The audit record of this request could not be written.\n"
_NORMAL_CLOSURE = frozenset({1000, 1001, 1005})  # RFC 6455 §7.4.1

_encoded: dict[str, bytes] = {}  # the names of our own headers, as ASGI wants them


def read_headers(scope: Scope) -> dict[str, str]:
    """All request headers: lower-case name to value."""
    headers: dict[str, str] = {}
    for raw, value in scope["headers"]:
        name, text = raw.decode("latin-1").lower(), value.decode("latin-1")
        headers[name] = f"{headers[name]},{text}" if name in headers else text
    return headers


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
        policy = self._policy
        self._names = {name.encode("latin-1"): cgi_name(name) for name in policy.field_names}
        self._names |= {name.encode("latin-1"): name for name in policy.found_names}

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
        channel = _Http(exchange, receive, send) if kind == "http" else _WebSocket(exchange, receive, send)
        token = current_exchange.set(exchange)
        try:
            await self.app(scope, channel.receive, channel.send)
        except BaseException as error:
            exchange.failed(error)
            raise
        finally:
            if not exchange.done:
                channel.end()
                if policy.commit is not None:
                    policy.commit()
            exchange.release()
            leave(token)

    def begin(self, scope: Scope) -> Exchange | None:
        """A new exchange; None where a shell outside of this one has made it already, or where it cannot be made."""
        return begun(self._policy, "asgi", scope, read_headers, self._exchange)

    def _exchange(self, scope: Scope) -> Exchange:
        names = self._names
        found: dict[str, str] = {}
        headers = scope["headers"]
        if not isinstance(headers, (list, tuple)):
            headers = scope["headers"] = list(headers)  # perhaps one that can be read only once
        for raw, value in headers:
            if raw in names:
                name = names[raw]
                found[name] = f"{found[name]},{value.decode('latin-1')}" if name in found else value.decode("latin-1")
        path = scope["path"]
        query = scope.get("query_string") or b""
        client = scope.get("client")
        if client:
            peer, port = client[0], port_number(client[1])
        else:  # a unix socket has none; nor has a client that was gone before the server asked for its address
            server = scope.get("server")
            peer, port = "unknown" if server and server[1] is not None else "unix:", None
        exchange = Exchange(
            self._policy,
            "asgi",
            scope,
            read_headers,
            found,
            found,
            scope.get("method", "GET"),
            path or "/",
            query.decode("latin-1"),
            scope.get("scheme", "http"),
            scope.get("http_version", "1.1"),
            peer,
            port,
        )
        raw = scope.get("raw_path")
        if raw is not None:
            target = raw.decode("latin-1")
            if target != path:
                target = target.partition("?")[0]
                exchange.target = f"{target}?{exchange.query}" if query else target
        return exchange


class _Http:
    """`receive` and `send` of one request, watched."""

    __slots__ = ("_receive", "_send", "exchange", "trailers")

    def __init__(self, exchange: Exchange, receive: Receive, send: Send) -> None:
        self.exchange = exchange
        self._receive = receive
        self._send = send
        self.trailers = False  # the response ends with them

    async def receive(self) -> Message:
        message = await self._receive()
        exchange = self.exchange
        try:
            kind = message["type"]
            if kind == "http.request":
                exchange.received_bytes = (exchange.received_bytes or 0) + len(message.get("body") or b"")
            elif kind == "http.disconnect" and not exchange.complete:
                exchange.client_gone = True
        except Exception as error:  # a malformed message is the application's to refuse
            exchange.policy.count("internal_errors", error)
        return message

    def send(self, message: Message) -> Awaitable[None]:
        try:
            pass_on = self._note(message)
        except Exception as error:  # a malformed message is the server's to refuse
            self.exchange.policy.count("internal_errors", error)
            pass_on = self._send
        return pass_on(message)

    def _note(self, message: Message) -> Send:
        """Note what a message says; returns what is to send it."""
        exchange = self.exchange
        kind = message["type"]
        if kind == "http.response.start":
            return self._resolve_and_start if exchange.must_ask() else self._start
        more = True
        if kind == "http.response.body":
            whole = exchange.account(len(message.get("body") or b""))  # what comes after does not reach the client
            more = (message.get("more_body", False) and not whole) or self.trailers
        elif kind == "http.response.zerocopysend":
            count = message.get("count")
            exchange.body_bytes = None if count is None or exchange.body_bytes is None else exchange.body_bytes + count
            more = message.get("more_body", False) or self.trailers
        elif kind == "http.response.pathsend":
            exchange.body_bytes = exchange.promised_bytes()
            more = self.trailers
        elif kind == "http.response.trailers":
            more = message.get("more_trailers", False)
        if more or not exchange.status:
            return self._pass
        exchange.complete = True
        return self._end_and_send

    def end(self) -> None:
        """Write the event."""
        exchange = self.exchange
        if exchange.route is None:
            exchange.route = template(exchange.carrier)
        exchange.finish()

    def _end_and_send(self, message: Message) -> Awaitable[None]:
        exchange = self.exchange
        policy = exchange.policy
        if not exchange.done and exchange.must_ask():
            return self._resolve_and_end(message)
        if not exchange.done:
            self.end()
            if policy.commit is not None:
                return self._commit_and_send(message)
        return self._pass(message)

    async def _pass(self, message: Message) -> None:
        try:
            await self._send(message)
        except OSError:  # what servers raise when the client has gone (ASGI HTTP §2.4, "send")
            self.exchange.client_gone = True
            raise

    def _start(self, message: Message) -> Awaitable[None]:
        exchange = self.exchange
        message = started(exchange, message, self)
        if self.trailers or exchange.done:
            return self._pass(message)
        if exchange.account(0):  # the head is the whole response
            return self._end_and_send(message)
        return self._pass(message)

    async def _resolve_and_start(self, message: Message) -> None:
        await self.exchange.resolve_async()
        await self._start(message)

    async def _resolve_and_end(self, message: Message) -> None:
        await self.exchange.resolve_async()
        self.end()
        await self._commit_and_send(message)

    async def _commit_and_send(self, message: Message) -> None:
        commit = self.exchange.policy.commit
        if commit is not None:
            await in_a_thread(commit)
        await self._pass(message)


class _WebSocket:
    """`receive` and `send` of one websocket connection, watched."""

    __slots__ = ("_receive", "_send", "close_code", "counts", "exchange", "trailers")

    def __init__(self, exchange: Exchange, receive: Receive, send: Send) -> None:
        exchange.event = "websocket_connection"
        exchange.body_bytes = None
        self.exchange = exchange
        self._receive = receive
        self._send = send
        self.trailers = False
        self.close_code: int | None = None
        self.counts = {"messages_received": 0, "received_bytes": 0, "messages_sent": 0, "sent_bytes": 0}

    async def receive(self) -> Message:
        message = await self._receive()
        kind = message["type"]
        if kind == "websocket.receive":
            self.counts["messages_received"] += 1
            self.counts["received_bytes"] += _size(message)
        elif kind == "websocket.disconnect":
            code = message.get("code", 1005)
            if self.close_code is None:
                self.close_code = code
            self.exchange.complete = code in _NORMAL_CLOSURE
            self.exchange.client_gone = not self.exchange.complete
        return message

    async def send(self, message: Message) -> None:
        exchange = self.exchange
        kind = message["type"]
        if kind == "websocket.send":
            self.counts["messages_sent"] += 1
            self.counts["sent_bytes"] += _size(message)
        elif kind == "websocket.accept":
            await exchange.resolve_async()
            exchange.status = 101
            message = started(exchange, message, self)
        elif kind == "websocket.close":
            self._closed(message.get("code", 1000))
            await self._end_and_commit()
        elif kind == "websocket.http.response.start":
            await exchange.resolve_async()
            message = started(exchange, message, self)
        elif kind == "websocket.http.response.body":
            exchange.body_bytes = (exchange.body_bytes or 0) + len(message.get("body") or b"")
            if not message.get("more_body", False):
                exchange.complete = True
                await self._end_and_commit()
        await self._send(message)

    def end(self) -> None:
        """Write the event."""
        exchange = self.exchange
        if exchange.status == 101:
            code = {} if self.close_code is None else {"close_code": self.close_code}
            exchange.data = {**(exchange.data or {}), "websocket": {**code, **self.counts}}
        if exchange.route is None:
            exchange.route = template(exchange.carrier)
        exchange.finish()

    def _closed(self, code: int) -> None:
        exchange = self.exchange
        exchange.complete = True
        if exchange.status == 0:
            exchange.status = 403  # a close before the accept (ASGI websocket, "Close - send event")
        elif self.close_code is None:
            self.close_code = code
            if code not in _NORMAL_CLOSURE:
                said = {"outcome": {"result": "failure", "reason": f"websocket_{code}"}, "level": "warning"}
                exchange.annotations = {**said, **(exchange.annotations or {})}

    async def _end_and_commit(self) -> None:
        if not self.exchange.done:
            self.end()
            if self.exchange.policy.commit is not None:
                await in_a_thread(self.exchange.policy.commit)


def started(exchange: Exchange, message: Message, channel: _Http | _WebSocket) -> Message:
    """The message that starts a response, with our headers; what is malformed is the server's to refuse."""
    first = exchange.status == 0 or message["type"] == "websocket.accept"
    if not first:
        return message
    headers = message.get("headers") or ()
    kinds = exchange.policy.kinds
    try:
        if not isinstance(headers, list):
            headers = list(headers)  # perhaps one that can be read only once
        if "status" in message:
            exchange.status = int(message["status"])
        if message.get("trailers", False):  # which a server that does not know them leaves out
            channel.trailers = "http.response.trailers" in (exchange.carrier.get("extensions") or ())
        passed = [
            header
            for header in headers
            if not (kind := kinds[header[0]])
            or exchange.response_header(kind, header[0].decode("latin-1"), header[1].decode("latin-1"))
        ]
        for name, value in exchange.response_started():
            raw = _encoded.get(name)
            if raw is None:
                raw = _encoded[name] = name.lower().encode("latin-1")
            passed.append((raw, value.encode("latin-1")))
        return {**message, "headers": passed}
    except Exception as error:
        exchange.policy.count("internal_errors", error)
        return {**message, "headers": kinds.without_identity(headers)} if "headers" in message else message


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
