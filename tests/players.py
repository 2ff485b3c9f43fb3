"""Servers made of a few lines that play one scenario and write down everything an app did to them.

They are strict where PEP 3333 and the ASGI specification are, and neutral elsewhere: they never repair anything, so
that two recordings are equal only if the two apps did the same. ``play_wsgi`` follows the reference loop of PEP 3333
("The Server/Gateway Side"); ``play_asgi`` is the connection of the ASGI HTTP, WebSocket and Lifespan specifications,
on asyncio or on trio.
"""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from scenario_apps import Notes
from scenarios import OURS, Client


def nothing_written() -> int:
    return 0


def canonical(name: str | bytes) -> str:
    """The name that nginx and CGI-like gateways see: no case, and no difference between ``_`` and ``-``."""
    text = name.decode("latin-1") if isinstance(name, bytes) else str(name)
    return text.lower().replace("_", "-")


@dataclass
class Recording:
    """What a server saw of one app: ``steps`` in order, and how it ended."""

    steps: list[tuple[Any, ...]] = field(default_factory=list)
    written: list[int] = field(default_factory=list)  # journal lines that existed when the step happened
    notes: Notes = field(default_factory=Notes)
    raised: BaseException | None = None
    result: Any = None  # WSGI: what the server was given
    returned: Any = None  # WSGI: what the app itself returned
    method: str = "GET"
    errors: io.StringIO = field(default_factory=io.StringIO)  # WSGI: wsgi.errors
    final: int | None = None  # ASGI: the number of the step that completed the answer
    received: int = 0  # ASGI: how often someone asked for a message
    passed: tuple[Any, ...] = ()  # ASGI: what the app itself was called with
    given: tuple[Any, ...] = ()  # ASGI: what the server called with

    def headers(self) -> list[tuple[str, str]]:
        """The response headers as they were at last, names canonical."""
        heads = [step[2] for step in self.steps if step[0] == "head"]
        pairs = [pair for pair in heads[-1] if len(pair) == 2] if heads else []
        return [(canonical(name), as_text(value)) for name, value in pairs]

    @property
    def bodiless(self) -> bool:
        """Whether the answer goes out without a body, whatever the app gives (RFC 9110 §6.4.1)."""
        statuses = [str(step[1])[:3] for step in self.steps if step[0] == "head"]
        return self.method == "HEAD" or statuses[-1:] in (["204"], ["304"])

    def view(self) -> dict[str, Any]:
        """Everything that must be equal with and without auditmw."""
        sized = hasattr(type(self.result), "__len__")
        return {
            "steps": [without_ours(step) for step in self.steps],
            "notes": list(self.notes),
            "raised": described(self.raised),
            "its own exception": self.notes.raised is None or self.raised is self.notes.raised,
            "length": len(self.result) if sized else None,
            "errors": self.errors.getvalue(),
            "received": self.received,
        }


def described(error: BaseException | None) -> tuple[Any, ...]:
    """Type, arguments and context; trio puts addresses into the arguments of its cancellations."""
    arguments = () if isinstance(error, trio.Cancelled) else getattr(error, "args", ())
    return (type(error), repr(arguments), type(getattr(error, "__context__", None)))


def as_text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def without_ours(step: tuple[Any, ...]) -> tuple[Any, ...]:
    if step[0] != "head":
        return step
    kind, status, headers, *rest = step
    return (kind, status, [pair for pair in headers if canonical(pair[0]) not in OURS], *rest)


# ---------------------------------------------------------------------------------------------------------------- WSGI


class FileWrapper:
    """A ``wsgi.file_wrapper`` that its server recognises by class, as gunicorn and waitress do."""

    def __init__(self, filelike: Any, block_size: int = 8192) -> None:
        self.filelike = filelike
        self.block_size = block_size
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.filelike.read(self.block_size), b"")


class OpaqueFile:
    """What a C server's ``wsgi.file_wrapper`` may return: neither iterable nor assignable (uWSGI)."""

    __slots__ = ("filelike",)

    def __init__(self, filelike: Any) -> None:
        self.filelike = filelike


def opaque_file_wrapper(filelike: Any, block_size: int = 8192) -> OpaqueFile:
    return OpaqueFile(filelike)


class CountedInput(io.BytesIO):
    """``wsgi.input`` that notes every read, whoever reads."""

    def __init__(self, body: bytes, notes: Notes) -> None:
        super().__init__(body)
        self.notes = notes

    def read(self, size: int | None = -1) -> bytes:
        self.notes.append(("input.read", size))
        return super().read(size)


class WSGIServer:
    """The server of PEP 3333, one request long."""

    def __init__(self, client: Client, recording: Recording, written: Callable[[], int]) -> None:
        self.client = client
        self.recording = recording
        self.written = written
        self.head: tuple[str, list[tuple[str, str]]] | None = None
        self.headers_sent = False
        self.taken = 0

    def step(self, *what: Any) -> None:
        self.recording.steps.append(what)
        self.recording.written.append(self.written())

    def environ(self) -> dict[str, Any]:
        client = self.client
        environ: dict[str, Any] = {
            "REQUEST_METHOD": client.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": client.path,
            "QUERY_STRING": client.query,
            "SERVER_NAME": "shop.example",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": client.address,
            "REMOTE_PORT": "50123",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": CountedInput(b"".join(client.body), self.recording.notes),
            "wsgi.errors": self.recording.errors,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "wsgi.file_wrapper": opaque_file_wrapper if client.opaque_files else FileWrapper,
            "wsgi.early_hints": lambda headers: self.step("early_hints", list(headers)),
        }
        for name, value in client.all_headers():
            key = name.upper().replace("-", "_")
            environ[key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"] = value
        return environ

    def start_response(self, status: Any, headers: Any, exc_info: Any = None) -> Callable[[bytes], object]:
        if exc_info:
            try:
                if self.headers_sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self.head is not None:
            raise AssertionError("Headers already set!")
        self.head = (status, list(headers))
        self.step("head", status, list(self.head[1]))
        return self.write

    def write(self, data: Any) -> None:
        self.send("write", data)

    def send(self, how: str, data: Any) -> None:
        if self.head is None:
            raise AssertionError("write() before start_response()")
        if not isinstance(data, bytes):
            raise TypeError(f"a response chunk must be bytes, not {type(data).__name__}")
        if self.client.leaves_after is not None and self.taken >= self.client.leaves_after:
            self.step("left")
            raise BrokenPipeError(32, "Broken pipe")
        if data:
            self.headers_sent = True
        self.taken += 1
        self.step(how, data)

    def serve(self, app: Callable[..., Any]) -> None:
        result = self.recording.result = app(self.environ(), self.start_response)
        self.step("returned")
        try:
            if isinstance(result, (FileWrapper, OpaqueFile)):
                self.step("sendfile", result.filelike.read())
            else:
                for data in result:
                    self.send("chunk", data)
                if self.head is None:
                    raise AssertionError("write() before start_response()")
            self.step("end")
        finally:
            if hasattr(result, "close"):
                result.close()
            self.step("closed")


def play_wsgi(
    make: Callable[[Notes], Callable[..., Any]],
    client: Client,
    wrap: Callable[[Any], Any] = lambda app: app,
    written: Callable[[], int] = nothing_written,
) -> Recording:
    """Plays one request against ``wrap(make(notes))`` and returns what the server saw."""
    recording = Recording(method=client.method)
    app = make(recording.notes)

    def tap(environ: dict[str, Any], start_response: Any) -> Any:
        recording.returned = app(environ, start_response)
        return recording.returned

    try:
        WSGIServer(client, recording, written).serve(wrap(tap))
    except BaseException as error:  # SystemExit and GeneratorExit are scenarios too
        recording.raised = error
    return recording


# ---------------------------------------------------------------------------------------------------------------- ASGI

FINAL_TYPES = {"websocket.close", "lifespan.shutdown.complete", "lifespan.shutdown.failed"}
PATIENCE_SECONDS = 5  # no scenario waits for anything but its own messages


class Connection:
    """The server's end of one ASGI connection: a script of incoming messages, and what the app sent."""

    def __init__(
        self, client: Client, recording: Recording, written: Callable[[], int], event: Callable[[], Any]
    ) -> None:
        self.client = client
        self.recording = recording
        self.written = written
        self.gone = event()  # the client is away, or has its whole answer
        self.stop = event()  # the server wants to cancel the app
        self.sent = 0
        self.started = False
        self.trailers = False
        self.left = False
        self.incoming = list(client.incoming())
        if client.leaves_after == 0:
            self.left = True
            self.gone.set()

    def scope(self) -> dict[str, Any]:
        client = self.client
        asgi = {"version": "3.0", "spec_version": "2.4"}
        if client.scope_type == "lifespan":
            return {"type": "lifespan", "asgi": asgi, "state": {}}
        scope = {
            "type": client.scope_type,
            "asgi": asgi,
            "http_version": "1.1",
            "scheme": "ws" if client.scope_type == "websocket" else "http",
            "path": client.path,
            "raw_path": client.path.encode(),
            "query_string": client.query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in client.all_headers()],
            "client": (client.address, 50123),
            "server": ("shop.example", 80),
            "state": {},
            "extensions": {f"http.response.{name}": {} for name in client.extensions},
        }
        if client.scope_type == "http":
            scope["method"] = client.method
        else:
            scope["subprotocols"] = []
            scope["extensions"] = {"websocket.http.response": {}}
        return scope

    async def receive(self) -> dict[str, Any]:
        self.recording.received += 1
        if self.incoming:
            return self.incoming.pop(0)
        if self.client.cancels_after is not None and self.sent >= self.client.cancels_after:
            self.stop.set()
        await self.gone.wait()
        return self.client.goodbye()

    async def send(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if self.left and self.client.send_fails:
            raise OSError("the client is away")
        self.refuse(kind, message)
        self.sent += 1
        self.recording.steps.append(self.recorded(kind, message))
        self.recording.written.append(self.written())
        if self.finishes(kind, message):
            if self.recording.final is None:
                self.recording.final = len(self.recording.steps) - 1
            self.gone.set()
        if self.client.leaves_after is not None and self.sent >= self.client.leaves_after:
            self.left = True
            self.gone.set()
        if self.sent == self.client.cancels_after:
            self.stop.set()
            await self.gone.wait()

    def refuse(self, kind: str, message: dict[str, Any]) -> None:
        """Raises what uvicorn and hypercorn raise: a body before its start, a second start, a body that is no bytes."""
        if kind == "http.response.start" and self.started:
            raise RuntimeError("Unexpected ASGI message 'http.response.start'")
        if kind == "http.response.body":
            if not self.started:
                raise RuntimeError("Unexpected ASGI message 'http.response.body', expected 'http.response.start'")
            if not isinstance(message.get("body", b""), (bytes, bytearray, memoryview)):
                raise TypeError(f"a body must be bytes, not {type(message['body']).__name__}")
        self.started = self.started or kind == "http.response.start"

    def recorded(self, kind: str, message: dict[str, Any]) -> tuple[Any, ...]:
        rest = {key: value for key, value in message.items() if key not in {"type", "status", "headers"}}
        if kind in {"http.response.start", "websocket.http.response.start", "websocket.accept"}:
            self.trailers = message.get("trailers", False)
            return ("head", message.get("status", kind), [tuple(pair) for pair in message.get("headers", ())], rest)
        if "headers" in message:
            rest["headers"] = list(message["headers"])
        if kind == "http.response.zerocopysend":
            rest["file"] = sent_from(rest["file"], rest.get("offset"), rest["count"])
        if kind == "http.response.pathsend":
            rest["path"] = Path(rest["path"]).stat().st_size
        return (kind, rest)

    def finishes(self, kind: str, message: dict[str, Any]) -> bool:
        if kind in {"http.response.body", "http.response.zerocopysend"}:
            return not message.get("more_body", False) and not self.trailers
        if kind == "http.response.trailers":
            return not message.get("more_trailers", False)
        return kind == "http.response.pathsend" or kind in FINAL_TYPES


def play_asgi(
    make: Callable[[Notes], Callable[..., Awaitable[None]]],
    client: Client,
    wrap: Callable[[Any], Any] = lambda app: app,
    written: Callable[[], int] = nothing_written,
    loop: str = "asyncio",
) -> Recording:
    """Plays one connection against ``wrap(make(notes))`` on ``loop`` and returns what the server saw."""
    recording = Recording(method=client.method)
    app = make(recording.notes)

    async def tap(scope: Any, receive: Any, send: Any) -> None:
        recording.passed = (scope, receive, send)
        await app(scope, receive, send)

    wrapped = wrap(tap)
    connection = Connection(client, recording, written, trio.Event if loop == "trio" else asyncio.Event)
    recording.given = (connection.scope(), connection.receive, connection.send)

    async def run() -> None:
        try:
            await wrapped(*recording.given)
        except BaseException as error:
            recording.raised = error
            if isinstance(error, trio.Cancelled):  # trio wants its own back
                raise
        finally:
            recording.steps.append(("returned",))
            recording.written.append(written())

    if loop == "trio":
        trio.run(on_trio, run, connection)
    else:
        asyncio.run(on_asyncio(run, connection))
    return recording


def sent_from(fd: int, offset: int | None, count: int) -> bytes:
    """What sendfile would send: from the offset, or from the position of the descriptor, which then moves."""
    return os.read(fd, count) if offset is None else os.pread(fd, count, offset)


async def on_asyncio(run: Callable[[], Awaitable[None]], connection: Connection) -> None:
    task = asyncio.ensure_future(run())
    stop = asyncio.ensure_future(connection.stop.wait())
    await asyncio.wait({task, stop}, timeout=PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    task.cancel()
    stop.cancel()
    await asyncio.gather(task, stop, return_exceptions=True)


async def on_trio(run: Callable[[], Awaitable[None]], connection: Connection) -> None:
    async with trio.open_nursery() as nursery:
        with trio.move_on_after(PATIENCE_SECONDS) as scope:

            async def stopper() -> None:
                await connection.stop.wait()
                scope.cancel()

            nursery.start_soon(stopper)
            await run()
        nursery.cancel_scope.cancel()
