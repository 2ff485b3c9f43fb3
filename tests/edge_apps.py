"""An application with a login, as WSGI and as ASGI, to stand behind an nginx: ``edge_apps:wsgi``, ``edge_apps:asgi``.

``/login/NAME`` signs in; ``/echo`` says which headers arrived; ``/page`` may be cached by whoever is told to, and
answers 304 to a conditional request; ``/ws`` is a websocket that sends back what it gets.
"""

from __future__ import annotations

import json
import os
from typing import Any

import auditmw

MODIFIED = "Thu, 19 Nov 2026 10:00:00 GMT"
Answer = tuple[int, list[tuple[str, str]], bytes]


def who(request: auditmw.Request) -> auditmw.Identity | None:
    user = request.cookies.get("user")
    return auditmw.Identity(user, session=request.cookies.get("sid")) if user else None


def answer(path: str, headers: dict[str, str]) -> Answer:
    if path.startswith("/login/"):
        user = path.removeprefix("/login/")
        auditmw.identify(user, session=f"secret-of-{user}")
        return 200, [("Set-Cookie", f"user={user}; Path=/"), ("Set-Cookie", f"sid=secret-of-{user}; Path=/")], b"hello"
    if path == "/page":
        if "if-modified-since" in headers:
            return 304, [("Last-Modified", MODIFIED)], b""
        return 200, [("Last-Modified", MODIFIED)], b"a page"
    if path == "/echo":
        return 200, [], json.dumps(headers, sort_keys=True).encode()
    return 200, [], b"ready"


def wsgi_app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
    status, more, body = answer(environ["PATH_INFO"], headers)
    phrase = {200: "200 OK", 304: "304 Not Modified"}[status]
    start_response(phrase, [*more, *([] if status == 304 else [("Content-Length", str(len(body)))])])
    return [body]


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        status, more, body = answer(scope["path"], headers)
        if status != 304:
            more = [*more, ("Content-Length", str(len(body)))]
        wire = [(name.lower().encode(), value.encode()) for name, value in more]
        await send({"type": "http.response.start", "status": status, "headers": wire})
        await send({"type": "http.response.body", "body": body})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
    else:
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return


audit = auditmw.Audit(
    os.environ["AUDIT_DIRECTORY"],
    service="edge",
    resolver=who,
    headers=auditmw.ResponseHeaders(
        user=os.environ.get("USER_HEADER", "X-Userid"), session=os.environ.get("SESSION_HEADER", "X-Sessionid")
    ),
    exempt=(r"^/ready$",),
)
wsgi = auditmw.WSGIAudit(wsgi_app, audit)
asgi = auditmw.ASGIAudit(asgi_app, audit)
