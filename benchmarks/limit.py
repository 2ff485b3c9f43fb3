"""The hand-written minimum: what the whole job costs at least in CPython, as the yardstick for auditmw.

It scans the headers once, continues the traceparent or makes fresh ids, asks for user and session, adds the three
response headers, builds a nested event of 25 fields, encodes it with orjson and writes it with one os.write to a file
that was opened for appending. It does none of what makes an audit trail trustworthy: no trust rules, no redaction, no
checksum, no sequence number, no handling of errors, disconnects, generators or odd input. Nobody should use it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from random import getrandbits
from typing import Any

import orjson

Who = Callable[[], tuple[str, str]]

WANTED = frozenset({b"traceparent", b"user-agent", b"host", b"x-forwarded-for"})


class LimitASGI:
    """The minimum around an ASGI application."""

    def __init__(self, app: Any, fd: int, who: Who) -> None:
        self.app, self.fd, self.who = app, fd, who

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one scope."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started = time.perf_counter_ns()
        found = {}
        for name, value in scope["headers"]:
            if name in WANTED:
                found[name] = value.decode("latin-1")
        trace_id, span_id, parent_id = _trace(found.get(b"traceparent"))
        user, session = self.who()
        status = size = 0

        async def audited_send(message: Any) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [
                    *message["headers"],
                    (b"x-request-id", trace_id.encode()),
                    (b"x-userid", user.encode()),
                    (b"x-sessionid", session.encode()),
                ]
                await send({**message, "headers": headers})
                return
            size += len(message["body"])
            if not message.get("more_body"):
                event = _event(
                    time.perf_counter_ns() - started, trace_id, span_id, parent_id, user, session,
                    found.get(b"x-forwarded-for"), scope["client"][0], scope["method"], found.get(b"user-agent"),
                    status, size, found.get(b"host"), scope["path"], scope["query_string"].decode("latin-1"), "asgi",
                )  # fmt: skip
                os.write(self.fd, orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE))
            await send(message)

        return await self.app(scope, receive, audited_send)


class LimitWSGI:
    """The minimum around a WSGI application that returns a list or another sized body."""

    def __init__(self, app: Any, fd: int, who: Who) -> None:
        self.app, self.fd, self.who = app, fd, who

    def __call__(self, environ: Any, start_response: Any) -> Any:
        """Serve one request."""
        started = time.perf_counter_ns()
        trace_id, span_id, parent_id = _trace(environ.get("HTTP_TRACEPARENT"))
        user, session = self.who()
        status = ""

        def audited_start(line: str, headers: Any, exc_info: Any = None) -> Any:
            nonlocal status
            status = line
            added = [("X-Request-ID", trace_id), ("X-Userid", user), ("X-Sessionid", session)]
            return start_response(line, [*headers, *added], exc_info)

        body = self.app(environ, audited_start)
        size = len(body[0]) if type(body) is list and len(body) == 1 else None
        event = _event(
            time.perf_counter_ns() - started, trace_id, span_id, parent_id, user, session,
            environ.get("HTTP_X_FORWARDED_FOR"), environ["REMOTE_ADDR"], environ["REQUEST_METHOD"],
            environ.get("HTTP_USER_AGENT"), int(status[:3]), size, environ.get("HTTP_HOST"), environ["PATH_INFO"],
            environ["QUERY_STRING"], "wsgi",
        )  # fmt: skip
        os.write(self.fd, orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE))
        return body


def _trace(traceparent: str | None) -> tuple[str, str, str | None]:
    if traceparent is not None and len(traceparent) == 55 and traceparent[:3] == "00-":
        return traceparent[3:35], getrandbits(64).to_bytes(8).hex(), traceparent[36:52]
    bits = getrandbits(192).to_bytes(24).hex()
    return bits[:32], bits[32:], None


_second, _prefix = 0, ""


def _timestamp(nanoseconds: int) -> str:
    global _second, _prefix
    second, rest = divmod(nanoseconds, 1_000_000_000)
    if second != _second:
        _second, _prefix = second, time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
    return f"{_prefix}{rest // 1000:06d}Z"


def _event(
    duration: int, trace_id: str, span_id: str, parent_id: str | None, user: str, session: str, forwarded: str | None,
    peer: str, method: str, agent: str | None, status: int, size: int | None, host: str | None, path: str, query: str,
    kind: str,
) -> dict[str, Any]:  # fmt: skip
    now = time.time_ns()
    tail = getrandbits(80).to_bytes(10).hex()
    stem = (now // 1_000_000).to_bytes(6).hex()
    return {
        "schema": "auditmw.event/1.0",
        "id": f"{stem[:8]}-{stem[8:]}-7{tail[:3]}-a{tail[4:7]}-{tail[8:]}",
        "timestamp": _timestamp(now),
        "start": _timestamp(now - duration),
        "duration_ns": duration,
        "event": "http_request",
        "level": "info" if status < 400 else "warning" if status < 500 else "error",
        "outcome": {"result": "success" if status < 400 else "failure"},
        "trace": {"trace_id": trace_id, "span_id": span_id, "parent_id": parent_id},
        "request_id": trace_id,
        "actor": {"id": user},
        "session": {"id": session},
        "client": {"address": forwarded or peer, "peer_address": peer},
        "http": {
            "request": {"method": method, "user_agent": agent},
            "response": {"status_code": status, "body_size": size},
        },
        "url": {"host": host, "path": path, "query": query},
        "source": {"format": kind},
        "service": {"name": "bench"},
    }
