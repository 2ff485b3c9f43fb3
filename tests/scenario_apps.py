"""The apps of the scenario table: each does one thing, and notes what it saw of its server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any

import auditmw

WSGIApp = Callable[[dict[str, Any], Any], Any]
ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]
Head = Iterable[tuple[Any, Any]]

PLAIN = (("Content-Type", "text/plain"),)
ZERO_COPY = "http.response.zerocopysend"


class Notes(list[Any]):
    """What an app noted about itself: compared between the bare and the wrapped run."""

    raised: BaseException | None = None

    def will_raise(self, error: BaseException) -> BaseException:
        """Remembers the exception object, which must reach the server as the same object."""
        self.raised = error
        return error


# -------------------------------------------------------------------------------------------------- app factories


def reason(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}"


def as_list(chunks: Iterable[bytes]) -> Any:
    return list(chunks)


def as_generator(chunks: Iterable[bytes]) -> Any:
    yield from chunks


def answers(
    *chunks: bytes,
    status: int = 200,
    headers: tuple[tuple[str, str], ...] = PLAIN,
    shape: Callable[[Iterable[bytes]], Any] = as_list,
    before: Callable[[], object] | None = None,
) -> dict[str, Any]:
    """One behaviour in both protocols: a head, then these chunks. ``before`` runs in the app first."""

    def wsgi(notes: Notes) -> WSGIApp:
        def app(environ: dict[str, Any], start_response: Any) -> Any:
            if before:
                before()
            start_response(reason(status), list(headers))
            return shape(chunks)

        return app

    def asgi(notes: Notes) -> ASGIApp:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            if before:
                before()
            await send(start(status, headers))
            for chunk in chunks[:-1]:
                await send(body(chunk, more=True))
            await send(body(chunks[-1] if chunks else b""))

        return app

    return {"wsgi": wsgi, "asgi": asgi}


def raising(
    error: Callable[[], BaseException], *, after: int | None = None, headers: tuple[tuple[str, str], ...] = PLAIN
) -> dict[str, Any]:
    """An app that raises before its head (``after=None``) or after that many chunks of five bytes."""

    def wsgi(notes: Notes) -> WSGIApp:
        def stream() -> Iterator[bytes]:
            yield from [b"hello"] * (after or 0)
            raise notes.will_raise(error())

        def app(environ: dict[str, Any], start_response: Any) -> Any:
            if after is None:
                raise notes.will_raise(error())
            start_response("200 OK", list(headers))
            return stream()

        return app

    def asgi(notes: Notes) -> ASGIApp:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            if after is None:
                raise notes.will_raise(error())
            await send(start(200, headers))
            for _ in range(after):
                await send(body(b"hello", more=True))
            raise notes.will_raise(error())

        return app

    return {"wsgi": wsgi, "asgi": asgi}


def reads_and_counts(sizes: tuple[int, ...] = (-1,)) -> dict[str, Any]:
    """An app that reads its request body and answers with the number of bytes."""

    def wsgi(notes: Notes) -> WSGIApp:
        def app(environ: dict[str, Any], start_response: Any) -> Any:
            text = b"%d" % sum(len(environ["wsgi.input"].read(size)) for size in sizes)
            start_response("200 OK", list(PLAIN))
            return [text]

        return app

    def asgi(notes: Notes) -> ASGIApp:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            size, more = 0, True
            while more:
                message = await receive()
                size += len(message.get("body", b""))
                more = message.get("more_body", False)
            await send(start(200))
            await send(body(b"%d" % size))

        return app

    return {"wsgi": wsgi, "asgi": asgi}


def endless(notes: Notes) -> WSGIApp:
    """A stream that notes how it was ended."""

    def stream() -> Iterator[bytes]:
        try:
            while True:
                yield b"hello"
        except GeneratorExit:
            notes.append("generator closed")
            raise
        finally:
            notes.append("cleaned up")

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", list(PLAIN))
        return stream()

    return app


def endless_asgi(notes: Notes) -> ASGIApp:
    """The same, at most 50 messages, deaf to its client."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await send(start(200))
            for _ in range(50):
                await send(body(b"hello", more=True))
            await send(body(b""))
        except BaseException as error:
            notes.append(type(error))
            raise
        finally:
            notes.append("cleaned up")

    return app


# ------------------------------------------------------------------------------------------------------- WSGI apps


def wsgi(app: Callable[[Notes, dict[str, Any], Any], Any]) -> Callable[[Notes], WSGIApp]:
    """A factory from a plain function ``app(notes, environ, start_response)``."""
    return lambda notes: lambda environ, start_response: app(notes, environ, start_response)


class Chunks:
    """A custom iterable; ``close`` and ``__len__`` come with the subclasses."""

    def __init__(self, notes: Notes, *chunks: Any) -> None:
        self.notes = notes
        self.chunks = chunks

    def __iter__(self) -> Iterator[Any]:
        return iter(self.chunks)


class ClosedChunks(Chunks):
    def close(self) -> None:
        self.notes.append("close")


class SizedChunks(ClosedChunks):
    def __len__(self) -> int:
        return len(self.chunks)


class SelfIterating(ClosedChunks):
    """Its own iterator, as a file is."""

    def __init__(self, notes: Notes, *chunks: Any) -> None:
        super().__init__(notes, *chunks)
        self.left = list(chunks)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if not self.left:
            raise StopIteration
        return self.left.pop(0)


class BadlyClosed(Chunks):
    def close(self) -> None:
        self.notes.append("close")
        raise self.notes.will_raise(RuntimeError("close failed"))


class ClosedList(list[bytes]):
    """A list that wants to be closed."""

    def __init__(self, notes: Notes) -> None:
        super().__init__([b"hello"])
        self.notes = notes

    def close(self) -> None:
        self.notes.append("close")


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("nobody may see this")

    __repr__ = __str__


class OldSequence:
    """Iterable by ``__getitem__`` alone."""

    def __getitem__(self, index: int) -> bytes:
        return [b"hel", b"lo"][index]


def returns(result: Callable[[Notes], Any], status: str = "200 OK", headers: Any = PLAIN) -> Callable[[Notes], WSGIApp]:
    """A factory for an app that starts and returns ``result(notes)``."""

    def app(notes: Notes, environ: dict[str, Any], start_response: Any) -> Any:
        start_response(status, list(headers))
        return result(notes)

    return wsgi(app)


def writes(*chunks: Any, then: tuple[bytes, ...] = (), headers: Any = PLAIN) -> Callable[[Notes], WSGIApp]:
    def app(notes: Notes, environ: dict[str, Any], start_response: Any) -> Any:
        write = start_response("200 OK", list(headers))
        for chunk in chunks:
            write(chunk)
        return list(then)

    return wsgi(app)


def writes_then_raises(notes: Notes, environ: dict[str, Any], start_response: Any) -> Any:
    write = start_response("200 OK", list(PLAIN))
    write(b"hello")
    raise notes.will_raise(ValueError("after write"))


def a_file(size: int = 70_000) -> Any:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the server closes it
    file.write(b"x" * size)
    file.seek(0)
    return file


class NotedFile:
    def __init__(self, notes: Notes, size: int) -> None:
        self.notes = notes
        self.left = size

    def read(self, size: int = -1) -> bytes:
        size = self.left if size < 0 else min(size, self.left)
        self.left -= size
        return b"x" * size

    def close(self) -> None:
        self.notes.append("file closed")


def sends_file(length: bool) -> Callable[[Notes], WSGIApp]:
    def app(notes: Notes, environ: dict[str, Any], start_response: Any) -> Any:
        headers = [*PLAIN, ("Content-Length", "70000")] if length else list(PLAIN)
        start_response("200 OK", headers)
        return environ["wsgi.file_wrapper"](NotedFile(notes, 70_000))

    return wsgi(app)


def starts_lazily(notes: Notes, environ: dict[str, Any], start_response: Any) -> Any:
    notes.append("called")
    start_response("202 Accepted", list(PLAIN))
    yield b"hello"


def restarts(after_bytes: bool) -> Callable[[Notes], WSGIApp]:
    """An app that finds an error while it answers, and starts again with ``exc_info`` (PEP 3333, Error Handling)."""

    def app(notes: Notes, environ: dict[str, Any], start_response: Any) -> Any:
        def stream() -> Iterator[bytes]:
            yield b"hello" if after_bytes else b""
            try:
                raise notes.will_raise(ValueError("half way")) if after_bytes else ValueError("half way")
            except ValueError:
                start_response("500 Oops", [*PLAIN, ("X-Page", "error")], sys.exc_info())
            yield b"sorry"

        start_response("200 OK", list(PLAIN))
        return stream()

    return wsgi(app)


def restarts_with_less(notes: Notes, environ: dict[str, Any], start_response: Any) -> Any:
    """Nothing of the first head is true of the error page that takes its place."""
    promised = [("Location", "/x"), ("X-Userid", "u7"), ("X-Request-ID", "r-1"), ("Cache-Control", "public")]
    start_response("302 Found", [*PLAIN, *promised, ("Content-Length", "3")])
    try:
        raise ValueError("half way")
    except ValueError:
        start_response("500 Oops", [], sys.exc_info())
    return as_generator([b"sorry", b"!"])


def starts_twice(notes: Notes, environ: dict[str, Any], start_response: Any) -> Any:
    start_response("200 OK", list(PLAIN))
    start_response("201 Created", list(PLAIN))
    return [b"hello"]


def keeps_start_exception(notes: Notes, environ: dict[str, Any], start_response: Any) -> Any:
    """The server refuses a second start; the app catches that and goes on."""
    start_response("200 OK", list(PLAIN))
    try:
        start_response("201 Created", list(PLAIN))
    except AssertionError as error:
        notes.append(str(error))
    return [b"hello"]


def never_starts(notes: Notes, environ: dict[str, Any], start_response: Any) -> Any:
    return [b"hello"]


def never_starts_generator(notes: Notes, environ: dict[str, Any], start_response: Any) -> Any:
    yield b"hello"


def reads_its_wrapper(notes: Notes, environ: dict[str, Any], start_response: Any) -> Any:
    """The app wraps a file and hands out something else around it, as a compressing middleware does."""
    start_response("200 OK", list(PLAIN))
    return as_generator(environ["wsgi.file_wrapper"](NotedFile(notes, 70_000)))


def hints_early(notes: Notes, environ: dict[str, Any], start_response: Any) -> Any:
    environ["wsgi.early_hints"]([("Link", "</a.css>; rel=preload")])
    start_response("200 OK", list(PLAIN))
    return [b"hello"]


def error_page_wsgi(notes: Notes) -> WSGIApp:
    """What Flask and Django do with an exception of a view: swallow it and answer 500."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        try:
            raise ValueError("in the view")
        except ValueError:
            start_response("500 Internal Server Error", list(PLAIN))
            return [b"sorry"]

    return app


def error_page_asgi(notes: Notes) -> ASGIApp:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            raise ValueError("in the view")
        except ValueError:
            await send(start(500))
            await send(body(b"sorry"))

    return app


def late_error_page_wsgi(notes: Notes) -> WSGIApp:
    """The page is made after the except block is over: nothing tells a middleware what went wrong."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        with contextlib.suppress(ValueError):
            raise ValueError("in the view")
        start_response("500 Internal Server Error", list(PLAIN))
        return [b"sorry"]

    return app


def late_error_page_asgi(notes: Notes) -> ASGIApp:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with contextlib.suppress(ValueError):
            raise ValueError("in the view")
        await send(start(500))
        await send(body(b"sorry"))

    return app


def fallback_wsgi(notes: Notes) -> WSGIApp:
    """An exception that is part of the work: a cache miss that is answered from elsewhere."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        try:
            raise KeyError("not in the cache")
        except KeyError:
            start_response("200 OK", list(PLAIN))
            return [b"hello"]

    return app


def fallback_asgi(notes: Notes) -> ASGIApp:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            raise KeyError("not in the cache")
        except KeyError:
            await send(start(200))
            await send(body(b"hello"))

    return app


def reuses_list(notes: Notes) -> WSGIApp:
    shared = [("Content-Type", "text/plain"), ("X-Userid", "u7")]

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", shared)
        notes.append(list(shared))
        return [b"hello"]

    return app


def headers_as_tuple(notes: Notes, environ: dict[str, Any], start_response: Any) -> Any:
    """Against PEP 3333, which wants a list; servers take it."""
    start_response("200 OK", PLAIN)
    return [b"hello"]


def numbers_as_headers(notes: Notes, environ: dict[str, Any], start_response: Any) -> Any:
    """Against PEP 3333, and the server's to refuse."""
    start_response("200 OK", [*PLAIN, ("X-Userid", 7), ("X-Sessionid", None), ("Content-Length", 5)])
    return [b"hello"]


def starts_without_headers(notes: Notes, environ: dict[str, Any], start_response: Any) -> Any:
    start_response("200 OK", None)
    return [b"hello"]


def starts_with_exc_info(notes: Notes, environ: dict[str, Any], start_response: Any) -> Any:
    """The first and only start carries exc_info, as PEP 3333's own example of an error handler does."""
    try:
        raise ValueError("in the view")
    except ValueError:
        start_response("500 Oops", list(PLAIN), sys.exc_info())
    return [b"sorry"]


def changes_environ(notes: Notes, environ: dict[str, Any], start_response: Any) -> Any:
    """The environ must be a plain dict that the app may change (PEP 3333)."""
    notes.append(type(environ))
    environ["PATH_INFO"] = "/elsewhere"
    environ.pop("HTTP_HOST")
    start_response("200 OK", list(PLAIN))
    return as_generator([b"hello"])


# ------------------------------------------------------------------------------------------------------- ASGI apps


def start(status: int = 200, headers: Head = PLAIN, **more: Any) -> dict[str, Any]:
    raw = [(as_bytes(name).lower(), as_bytes(value)) for name, value in headers]
    return {"type": "http.response.start", "status": status, "headers": raw, **more}


def as_bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("latin-1")


def body(data: Any, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def asgi(app: Callable[[Notes, Any, Any, Any], Awaitable[None]]) -> Callable[[Notes], ASGIApp]:
    """A factory from a plain function ``app(notes, scope, receive, send)``."""

    def make(notes: Notes) -> ASGIApp:
        async def called(scope: Any, receive: Any, send: Any) -> None:
            await app(notes, scope, receive, send)

        return called

    return make


def sends(*messages: dict[str, Any], then: Callable[[], BaseException] | None = None) -> Callable[[Notes], ASGIApp]:
    """A factory for an app that sends these messages, and then perhaps raises."""

    async def app(notes: Notes, scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(dict(message))
        if then:
            raise notes.will_raise(then())

    return asgi(app)


async def never_answers(notes: Notes, scope: Any, receive: Any, send: Any) -> None:
    try:
        while True:
            notes.append((await receive())["type"])
    except BaseException as error:
        notes.append(type(error))
        raise


async def returns_at_once(notes: Notes, scope: Any, receive: Any, send: Any) -> None:
    notes.append("returned")


async def returns_after_head(notes: Notes, scope: Any, receive: Any, send: Any) -> None:
    await send(start(200))


async def keeps_refusal(notes: Notes, scope: Any, receive: Any, send: Any) -> None:
    await send(start(200))
    try:
        await send(start(201))
    except RuntimeError as error:
        notes.append(str(error))
    await send(body(b"hello"))


async def streams_until_disconnect(notes: Notes, scope: Any, receive: Any, send: Any) -> None:
    """Server-sent events as Starlette does them: looks for the disconnect, then stops without a last message."""
    await receive()
    await send(start(200))
    for _ in range(3):
        await send(body(b"hello", more=True))
    message = await receive()
    notes.append(message)


async def waits_for_disconnect_after(notes: Notes, scope: Any, receive: Any, send: Any) -> None:
    """A complete answer; then the app listens for the end of the connection, which comes after every answer."""
    await receive()
    await send(start(200))
    await send(body(b"hello"))
    notes.append(await receive())


async def goes_on_after_disconnect(notes: Notes, scope: Any, receive: Any, send: Any) -> None:
    """The client is away before the answer begins; the app does its work all the same."""
    notes.append((await receive())["type"])
    notes.append((await receive())["type"])
    await send(start(200))
    await send(body(b"hello"))


async def swallows_cancellation(notes: Notes, scope: Any, receive: Any, send: Any) -> None:
    try:
        await send(start(200))
    except asyncio.CancelledError:
        notes.append("cancelled")
    await send(body(b"bye"))


async def streams_slowly(notes: Notes, scope: Any, receive: Any, send: Any) -> None:
    await send(start(200))
    for number in range(300):
        await send(body(b"x" * (number % 3), more=True))
    await send(body(b""))


async def zero_copies(notes: Notes, scope: Any, receive: Any, send: Any) -> None:
    with a_file() as file:
        fd = file.fileno()
        os.lseek(fd, 1000, os.SEEK_SET)
        await send(start(200))
        await send({"type": ZERO_COPY, "file": fd, "offset": 10, "count": 500, "more_body": True})
        await send({"type": ZERO_COPY, "file": fd, "count": 200})
        notes.append(os.lseek(fd, 0, os.SEEK_CUR))


async def zero_copies_a_pipe(notes: Notes, scope: Any, receive: Any, send: Any) -> None:
    """A descriptor that cannot be asked for its size or position."""
    reader, writer = os.pipe()
    try:
        os.write(writer, b"hello")
        await send(start(200))
        await send({"type": ZERO_COPY, "file": reader, "count": 5})
    finally:
        os.close(reader)
        os.close(writer)


async def push_and_debug(notes: Notes, scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.debug", "info": {"template": "a.html"}})
    await send(start(200))
    await send({"type": "http.response.push", "path": "/a.css", "headers": []})
    await send(body(b"hello"))


async def reuses_message(notes: Notes, scope: Any, receive: Any, send: Any) -> None:
    headers = [(b"content-type", b"text/plain"), (b"x-userid", b"u7")]
    message = {"type": "http.response.start", "status": 200, "headers": headers}
    await send(message)
    notes.append((list(headers), message["headers"] is headers, sorted(message)))
    await send(body(b"hello"))


async def one_shot_headers(notes: Notes, scope: Any, receive: Any, send: Any) -> None:
    pairs = iter([(b"content-type", b"text/plain"), (b"x-a", b"1")])
    await send({"type": "http.response.start", "status": 200, "headers": (pair for pair in pairs)})
    await send(body(b"hello"))


async def error_page_then_raises(notes: Notes, scope: Any, receive: Any, send: Any) -> None:
    """Starlette's ServerErrorMiddleware: the page leaves, then the exception goes on to the server."""
    await send(start(500))
    await send(body(b"sorry"))
    raise notes.will_raise(ValueError("in the view"))


async def looks_at_scope(notes: Notes, scope: Any, receive: Any, send: Any) -> None:
    """The app may put its own keys into the scope."""
    notes.append(type(scope))
    scope["path"] = "/elsewhere"
    scope["state"]["seen"] = True
    await send(start(200))
    await send(body(b"hello"))


# --- websocket


async def echoes(notes: Notes, scope: Any, receive: Any, send: Any) -> None:
    """Accepts, answers every message, and ends with the client."""
    notes.append((await receive())["type"])
    await send({"type": "websocket.accept", "headers": [(b"x-a", b"1")]})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", **{key: message[key] for key in ("text", "bytes") if key in message}})
    notes.append(message)


async def closes_itself(notes: Notes, scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": 4001, "reason": "enough"})


async def denies(notes: Notes, scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.close"})


async def denies_with_page(notes: Notes, scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-a", b"1")]})
    await send({"type": "websocket.http.response.body", "body": b"login first"})


async def fails_in_websocket(notes: Notes, scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    raise notes.will_raise(ValueError("in the socket"))


async def fails_before_accept(notes: Notes, scope: Any, receive: Any, send: Any) -> None:
    await receive()
    raise notes.will_raise(ValueError("in the socket"))


async def forgets_websocket(notes: Notes, scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})


# --- lifespan and others


async def lives(notes: Notes, scope: Any, receive: Any, send: Any) -> None:
    notes.append((await receive())["type"])
    scope["state"]["pool"] = object
    await send({"type": "lifespan.startup.complete"})
    notes.append((await receive())["type"])
    await send({"type": "lifespan.shutdown.complete"})


async def fails_to_start(notes: Notes, scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


async def raises_at_start(notes: Notes, scope: Any, receive: Any, send: Any) -> None:
    await receive()
    raise notes.will_raise(OSError("no database"))


async def knows_only_http(notes: Notes, scope: Any, receive: Any, send: Any) -> None:
    raise notes.will_raise(AssertionError(f"unsupported scope {scope['type']}"))


# ------------------------------------------------------------------------------------------ what apps tell auditmw


def identified() -> None:
    auditmw.identify("u7", session="s3cret", roles=["clerk"])


def oddly_identified() -> None:
    auditmw.identify('zoë, the "1st"\r\n')


def annotated() -> None:
    auditmw.annotate(message="Listed orders", target={"type": "order", "id": "7"}, data={"count": 2})


def recorded() -> None:
    auditmw.record("order_shipped", target={"type": "order", "id": "7"}, carrier="post")


def warned() -> None:
    auditmw.annotate(level="critical")


def annotates_late(notes: Notes, environ: dict[str, Any], start_response: Any) -> Any:
    class Late(Chunks):
        def close(self) -> None:
            auditmw.annotate(message="too late")
            self.notes.append("close")

    start_response("200 OK", list(PLAIN))
    return Late(notes, b"hello")


async def annotates_late_asgi(notes: Notes, scope: Any, receive: Any, send: Any) -> None:
    await send(start(200))
    await send(body(b"hello"))
    auditmw.annotate(message="too late")


def annotates_in_stream(notes: Notes, environ: dict[str, Any], start_response: Any) -> Any:
    start_response("200 OK", list(PLAIN))
    yield b"hel"
    auditmw.annotate(message="from the stream")
    auditmw.identify("u7")
    yield b"lo"


async def annotates_in_stream_asgi(notes: Notes, scope: Any, receive: Any, send: Any) -> None:
    await send(start(200))
    await send(body(b"hel", more=True))
    auditmw.annotate(message="from the stream")
    auditmw.identify("u7")
    await send(body(b"lo"))


def header(name: str, value: str, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return (*PLAIN, (name, value), *more)


def identified_only() -> None:
    auditmw.identify("u7")


# --- who is calling: resolvers, and apps that find it out on their way


def by_carrier(request: auditmw.Request) -> auditmw.Identity | None:
    """What a framework put into the environ or the scope."""
    user = request.carrier.get("app.user")
    return auditmw.Identity(user) if user else None


async def by_carrier_async(request: auditmw.Request) -> auditmw.Identity | None:
    return by_carrier(request)


def fails_to_resolve(request: auditmw.Request) -> auditmw.Identity | None:
    raise LookupError("the user store is away")


async def fails_to_resolve_async(request: auditmw.Request) -> auditmw.Identity | None:
    raise LookupError("the user store is away")


def authenticates(notes: Notes, environ: dict[str, Any], start_response: Any) -> Any:
    environ["app.user"] = "u7"
    start_response("200 OK", list(PLAIN))
    return [b"hello"]


async def authenticates_asgi(notes: Notes, scope: Any, receive: Any, send: Any) -> None:
    scope["app.user"] = "u7"
    await send(start(200))
    await send(body(b"hello"))


def authenticates_late(notes: Notes, environ: dict[str, Any], start_response: Any) -> Any:
    start_response("200 OK", list(PLAIN))
    yield b"hel"
    environ["app.user"] = "u7"
    yield b"lo"


async def authenticates_late_asgi(notes: Notes, scope: Any, receive: Any, send: Any) -> None:
    await send(start(200))
    await send(body(b"hel", more=True))
    scope["app.user"] = "u7"
    await send(body(b"lo"))
