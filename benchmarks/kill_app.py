"""The applications that kill.py serves and kills: audited, and with a log of their own of what they began.

Before it answers, each writes the path of the request to a file of its own with one write, so that kill.py knows which
requests had begun when a process died. Every fourth response is slow and in pieces, so that deaths find it half done.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from typing import Any

import auditmw

DIRECTORY = os.environ["AUDITMW_KILL_DIRECTORY"]
INTENT = os.environ["AUDITMW_KILL_INTENT"] == "1"

_PIECES = [b"piece %d\n" % number for number in range(5)]
_PAUSE_SECONDS = 0.001
_begun = os.open(
    os.path.join(DIRECTORY, f"begun.{os.getpid()}.log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640
)
_audit = auditmw.Audit(os.path.join(DIRECTORY, "audit"), service="kill", intent=INTENT)


def _begin(path: str) -> bool:
    """Note that the request began; return whether it is one of the slow ones."""
    os.write(_begun, path.encode("ascii") + b"\n")
    return path.endswith(("0", "4", "8"))


def _wsgi(environ: dict[str, Any], start_response: Any) -> Any:
    worker = ("X-Worker", str(os.getpid()))
    if _begin(environ["PATH_INFO"]):
        start_response("200 OK", [("Content-Type", "text/plain"), worker])
        return _slowly()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6"), worker])
    return [b"whole\n"]


def _slowly() -> Iterator[bytes]:
    for piece in _PIECES:
        time.sleep(_PAUSE_SECONDS)
        yield piece


async def _asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return await _lifespan(receive, send)
    worker = (b"x-worker", str(os.getpid()).encode())
    if _begin(scope["path"]):
        await send({"type": "http.response.start", "status": 200, "headers": [worker]})
        for piece in _PIECES:
            await asyncio.sleep(_PAUSE_SECONDS)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        return await send({"type": "http.response.body", "body": b""})
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6"), worker]})
    return await send({"type": "http.response.body", "body": b"whole\n"})


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


wsgi = auditmw.WSGIAudit(_wsgi, _audit)
asgi = auditmw.ASGIAudit(_asgi, _audit)
