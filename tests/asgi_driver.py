"""The server's side of an ASGI connection in a few lines, for tests of frameworks: one request, one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Headers = Sequence[tuple[str, str]]


@dataclass
class Answer:
    """What came back: of HTTP its parts, of a websocket the messages; `raised` is what the application raised."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    raised: BaseException | None = None

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


def ask(app: Any, path: str = "/", **options: Any) -> Answer:
    """`answer` in an event loop of its own."""
    return asyncio.run(answer(app, path, **options))


async def answer(
    app: Any, path: str = "/", *, method: str = "GET", headers: Headers = (), leave_after: int | None = None
) -> Answer:
    """Send one request. After `leave_after` chunks the client goes away."""
    got, gone, asked = Answer(), asyncio.Event(), False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        got.messages.append(message)
        if message["type"] == "http.response.start":
            got.status = message["status"]
            got.headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]]
        elif message["type"] == "http.response.body":
            if message.get("body"):
                got.chunks.append(message["body"])
            if not message.get("more_body") or len(got.chunks) == leave_after:
                gone.set()
        await asyncio.sleep(0)  # as a server's does: others get their turn

    try:
        await app(scope(path, "http", headers) | {"method": method}, receive, send)
    except Exception as error:
        got.raised = error
    return got


def converse(app: Any, path: str, *texts: str, headers: Headers = ()) -> Answer:
    """Open a websocket, say the texts, leave."""
    got = Answer()
    incoming = [{"type": "websocket.connect"}, *({"type": "websocket.receive", "text": text} for text in texts)]
    incoming.append({"type": "websocket.disconnect", "code": 1000})

    async def receive() -> dict[str, Any]:
        return incoming.pop(0)

    async def send(message: dict[str, Any]) -> None:
        got.messages.append(message)

    try:
        asyncio.run(app(scope(path, "websocket", headers), receive, send))
    except Exception as error:
        got.raised = error
    return got


def scope(path: str, kind: str, headers: Headers = ()) -> dict[str, Any]:
    path, _, query = path.partition("?")
    return {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "http" if kind == "http" else "ws",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(b"host", b"shop.test")] + [(name.lower().encode(), value.encode()) for name, value in headers],
        "client": ("127.0.0.1", 40000),
        "server": ("127.0.0.1", 8000),
    }
