"""The viewer as an ASGI application: the WSGI one in threads, and the tail as server-sent events."""

from __future__ import annotations

import asyncio
import io
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

from asgiref.sync import sync_to_async
from werkzeug.wrappers import Request, Response

from auditmw.query.answers import answer_json
from auditmw.viewer import tail
from auditmw.viewer.app import MAX_BODY, ViewerApp, check_length
from auditmw.viewer.asking import Ask
from auditmw.viewer.headers import secured
from auditmw.viewer.people import read_headers
from auditmw.viewer.refusals import Refusal
from auditmw.viewer.running import Handle

T = TypeVar("T")
Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

STREAM = "/api/tail/stream"
LOOK_SECONDS = 0.5
QUIET_SECONDS = 15.0  # then a comment says that the connection still is
STREAM_SECONDS = 300.0  # then the browser comes again, and is asked again who it is
AT_MOST_STREAMS = 100
_THREADS = 24


class ASGIViewerApp:
    """The viewer for asyncio servers: mount it, or serve it. A client that goes away ends its questions.

    `viewer`: a `ViewerApp`; its `authorize` gets a request whose carrier is the ASGI scope. Lifespan is answered.
    """

    def __init__(self, viewer: ViewerApp) -> None:
        self.viewer = viewer
        self._threads = ThreadPoolExecutor(_THREADS, "auditmw-viewer")
        self._streams = 0
        self._handles: set[Handle] = set()
        self._closed = False

    def close(self) -> None:
        """End what is under way: questions, and streams, which never end by themselves. For a server that ends."""
        self._closed = True
        for handle in tuple(self._handles):
            handle.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(receive)
        environ = _environ(scope, body)
        handle = Handle()
        self._handles.add(handle)
        gone = asyncio.create_task(_until_gone(receive, handle))
        try:
            if environ["PATH_INFO"] == STREAM and scope["method"] == "GET":
                await self._stream(scope, environ, handle, gone, send)
                return
            response = await self._in_thread(self.viewer.respond, environ, carrier=scope, handle=handle, tail="sse")
            await self._send(response, environ, gone, send)
        finally:
            gone.cancel()
            self._handles.discard(handle)

    async def _send(self, response: Response, environ: dict[str, Any], gone: asyncio.Task[None], send: Send) -> None:
        chunks, status, headers = response.get_wsgi_response(environ)
        await send(_start(int(status.partition(" ")[0]), headers))
        parts = iter(chunks)
        try:
            while not gone.done() and (part := await self._in_thread(next, parts, None)) is not None:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        finally:
            response.close()
        await send({"type": "http.response.body", "body": b""})

    async def _stream(
        self, scope: Scope, environ: dict[str, Any], handle: Handle, gone: asyncio.Task[None], send: Send
    ) -> None:
        request = Request(environ)
        try:
            if self._streams >= AT_MOST_STREAMS:
                raise Refusal(503, "too many pages follow the log; try again later", headers={"Retry-After": "30"})
            ask, news = await self._in_thread(self._begin, request, scope, handle)
        except Exception as error:
            await self._send(self.viewer.refused(request, error), environ, gone, send)
            return
        response = secured(Response(content_type="text/event-stream", headers={"X-Accel-Buffering": "no"}))
        await send(_start(200, response.headers.to_wsgi_list()))
        self._streams += 1
        try:
            with suppress(Refusal):  # the browser comes again, and is told then
                await self._follow(ask, news, gone, send)
        finally:
            self._streams -= 1
        await send({"type": "http.response.body", "body": b""})

    async def _follow(self, ask: Ask, news: tail.News, gone: asyncio.Task[None], send: Send) -> None:
        began = told = time.monotonic()
        await send(_said(_event(news)))
        while not (gone.done() or self._closed) and time.monotonic() - began < STREAM_SECONDS:
            await asyncio.wait([gone], timeout=LOOK_SECONDS)
            news = await self._in_thread(tail.look, ask, news.cursor)
            if news.entries or news.behind or news.skipped:
                told = time.monotonic()
                await send(_said(_event(news)))
            elif time.monotonic() - told >= QUIET_SECONDS:
                told = time.monotonic()
                await send(_said(b": still here\n\n"))

    def _begin(self, request: Request, scope: Scope, handle: Handle) -> tuple[Ask, tail.News]:
        check_length(request)
        ask = self.viewer.ask(request, scope, self.viewer.viewer_of(scope), handle, "sse")
        ask.viewed("tail", q=ask.parameters.text("q"))
        return ask, tail.look(ask, request.headers.get("Last-Event-ID") or ask.parameters.text("cursor"))

    async def _in_thread(self, work: Callable[..., T], *arguments: Any, **named: Any) -> T:
        return await sync_to_async(work, thread_sensitive=False, executor=self._threads)(*arguments, **named)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _body(receive: Receive) -> bytes:
    """Return the body, or so much of it that it is seen to be too large."""
    body, more = b"", True
    while more and len(body) <= MAX_BODY:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _until_gone(receive: Receive, handle: Handle) -> None:
    """Wait for the client to go away; that ends its questions."""
    while (await receive())["type"] != "http.disconnect":
        pass
    handle.cancel()


def _environ(scope: Scope, body: bytes) -> dict[str, Any]:
    """Return the WSGI environ (PEP 3333) of an HTTP scope, whose path may or may not have the mount point in it."""
    script, path = scope.get("root_path", "").rstrip("/"), scope["path"]
    if script and (path == script or path.startswith(script + "/")):
        path = path[len(script) :]
    server, client = scope.get("server") or ("localhost", 80), scope.get("client")
    headers = read_headers(scope)
    headers.pop("transfer-encoding", None)  # the server has undone it, and the length is known
    environ = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items() if "_" not in name}
    return environ | {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": script.encode().decode("latin-1"),
        "PATH_INFO": path.encode("utf-8", "replace").decode("latin-1"),
        "QUERY_STRING": scope.get("query_string", b"").decode("latin-1"),
        "CONTENT_TYPE": headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1] or 80),
        "SERVER_PROTOCOL": f"HTTP/{scope.get('http_version', '1.1')}",
        "REMOTE_ADDR": client[0] if client else "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


def _start(status: int, headers: list[tuple[str, str]]) -> Message:
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    return {"type": "http.response.start", "status": status, "headers": encoded}


def _said(body: bytes) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": True}


def _event(news: tail.News) -> bytes:
    """Return news as a server-sent event (https://html.spec.whatwg.org/#server-sent-events)."""
    return b"event: entries\nid: " + news.cursor.encode() + b"\ndata: " + answer_json(news) + b"\n\n"
