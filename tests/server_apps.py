"""The same small application as WSGI and as ASGI, wrapped: ``server_apps:wsgi`` and ``server_apps:asgi``.

``AUDIT_DIRECTORY`` says where the events go, ``AUDIT_SHIP`` which URLs they are shipped to. No framework, no event
loop: it runs on asyncio and on trio.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import auditmw
from server_apps_facts import CHUNKS, FILE_BYTES, FLOOD_CHUNK_BYTES, FLOOD_CHUNKS

PLAIN = "text/plain"


def the_file() -> Path:
    """A file of ``FILE_BYTES`` beside the audit directory."""
    path = Path(os.environ["AUDIT_DIRECTORY"]).parent / f"download-{os.getpid()}.bin"
    if not path.exists():
        path.write_bytes(b"0123456789" * (FILE_BYTES // 10))
    return path


# --- WSGI


def wsgi_app(environ: dict[str, Any], start_response: Any) -> Any:
    path = environ["PATH_INFO"]
    if path == "/ready":
        start_response("200 OK", [("Content-Type", PLAIN)])
        return [b"ready"]
    if path == "/list":
        start_response("200 OK", [("Content-Type", PLAIN), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
        return [b"hello"]
    if path == "/stream":
        start_response("200 OK", [("Content-Type", PLAIN)])
        return (chunk for chunk in CHUNKS)
    if path == "/flood":
        start_response("200 OK", [("Content-Type", PLAIN)])
        return (bytes(FLOOD_CHUNK_BYTES) for _ in range(FLOOD_CHUNKS))
    if path == "/raise":
        raise RuntimeError("in the view")
    if path == "/download":
        start_response("200 OK", [("Content-Type", PLAIN), ("Content-Length", str(FILE_BYTES))])
        wrapper = environ.get("wsgi.file_wrapper")
        return wrapper(the_file().open("rb"), 16_384) if wrapper else in_parts(the_file())
    if path == "/upload":
        size = len(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        start_response("201 Created", [("Content-Type", PLAIN)])
        return [b"%d" % size]
    if path.startswith("/as/"):
        auditmw.identify(path.removeprefix("/as/"), session=f"s-{path}")
        start_response("200 OK", [("Content-Type", PLAIN)])
        return who_am_i()
    start_response("404 Not Found", [("Content-Type", PLAIN)])
    return [b"no such page"]


def in_parts(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(16_384):
            yield chunk


def who_am_i() -> Iterator[bytes]:
    """Lets other requests run in between, then says who auditmw thinks is calling."""
    for _ in range(3):
        time.sleep(0)  # gevent and the interpreter switch here
        yield b"."
    context = auditmw.current()
    auditmw.annotate(data={"seen": context.user_id if context else None})
    yield (context.user_id or "nobody").encode() if context else b"no request"


# --- ASGI


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    path = scope["path"]
    if path == "/raise":
        raise RuntimeError("in the view")
    if path == "/download":
        await download(scope, send)
    elif path == "/upload":
        await upload(receive, send)
    elif path == "/stream":
        await answer(send, 200, CHUNKS)
    elif path == "/flood":
        await answer(send, 200, [bytes(FLOOD_CHUNK_BYTES)] * FLOOD_CHUNKS)
    elif path.startswith("/as/"):
        await who_am_i_asgi(path, send)
    elif path == "/list":
        await answer(send, 200, [b"hello"], [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")])
    elif path == "/ready":
        await answer(send, 200, [b"ready"])
    else:
        await answer(send, 404, [b"no such page"])


async def lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def head(send: Any, status: int, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-type", PLAIN.encode()), *(headers or [])],
        }
    )


async def answer(send: Any, status: int, chunks: list[bytes], headers: list[tuple[bytes, bytes]] | None = None) -> None:
    await head(send, status, headers)
    for chunk in chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def download(scope: Any, send: Any) -> None:
    await head(send, 200, [(b"content-length", str(FILE_BYTES).encode())])
    if "http.response.pathsend" in scope.get("extensions", {}):
        await send({"type": "http.response.pathsend", "path": str(the_file())})
        return
    for chunk in in_parts(the_file()):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def upload(receive: Any, send: Any) -> None:
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    await answer(send, 201, [b"%d" % size])


async def who_am_i_asgi(path: str, send: Any) -> None:
    auditmw.identify(path.removeprefix("/as/"), session=f"s-{path}")
    await head(send, 200)
    for _ in range(3):
        await send({"type": "http.response.body", "body": b".", "more_body": True})
    context = auditmw.current()
    auditmw.annotate(data={"seen": context.user_id if context else None})
    name = (context.user_id or "nobody") if context else "no request"
    await send({"type": "http.response.body", "body": name.encode()})


audit = auditmw.Audit(
    os.environ["AUDIT_DIRECTORY"],
    service="shop",
    exempt=(r"^/ready$",),
    ship=os.environ.get("AUDIT_SHIP", "").split(),
)
wsgi = auditmw.WSGIAudit(wsgi_app, audit)
asgi = auditmw.ASGIAudit(asgi_app, audit)
