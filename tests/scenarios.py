"""One table of everything that an app, a server and a client may do to each other, as data.

A row has an app for WSGI, for ASGI or for both, what the client does, and the event that auditmw must write (a subset,
by dotted path; ``None`` where there must be no event). ``test_scenarios`` plays every row bare and wrapped.

Facts that rows rest on: PEP 3333 (WSGI); the ASGI HTTP, WebSocket and Lifespan specifications with the extensions
``http.response.{trailers,pathsend,zerocopysend,early_hint,push,debug}`` and ``websocket.http.response``;
RFC 9110 §9.3.2 (HEAD), §15.3.5 (204), §15.4.5 (304).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import auditmw
import scenario_apps as apps
from scenario_apps import (
    ASGIApp,
    Notes,
    WSGIApp,
    answers,
    asgi,
    body,
    header,
    raising,
    returns,
    sends,
    start,
    wsgi,
)

ABSENT = type("Absent", (), {"__repr__": lambda self: "ABSENT"})()  # expected of a field that must not be there
ANYTHING = type("Anything", (), {"__repr__": lambda self: "ANYTHING"})()
PRESENT = type("Present", (), {"__repr__": lambda self: "PRESENT"})()


@dataclass(frozen=True)
class Client:
    """The client and the server in front of the app: what they send, and when they stop."""

    method: str = "GET"
    path: str = "/orders/7"
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: tuple[bytes, ...] = ()
    address: str = "127.0.0.1"
    leaves_after: int | None = None  # chunks (WSGI) or messages (ASGI) that the client takes before it is away
    send_fails: bool = False  # ASGI: whether send() raises OSError for a client that is away (spec_version 2.4)
    cancels_after: int | None = None  # messages after which the server cancels the app
    opaque_files: bool = False  # WSGI: wsgi.file_wrapper returns something that cannot be iterated
    scope_type: str = "http"
    extensions: tuple[str, ...] = ("trailers", "pathsend", "zerocopysend", "early_hint", "push", "debug")
    messages: tuple[dict[str, Any], ...] = ()  # what comes in on a websocket or lifespan connection

    def all_headers(self) -> list[tuple[str, str]]:
        """The request headers, with Host, and with Content-Length where there is a body and none is given."""
        headers = [("Host", "shop.example"), *self.headers]
        if self.body and not any(name.lower() in {"content-length", "transfer-encoding"} for name, _ in headers):
            headers.append(("Content-Length", str(sum(map(len, self.body)))))
        return headers

    def incoming(self) -> list[dict[str, Any]]:
        """The messages that the server has for ``receive``."""
        if self.scope_type != "http":
            return list(self.messages)
        last = len(self.body) - 1
        chunks = [{"type": "http.request", "body": c, "more_body": i < last} for i, c in enumerate(self.body)]
        return chunks or [{"type": "http.request", "body": b"", "more_body": False}]

    def goodbye(self) -> dict[str, Any]:
        if self.scope_type == "websocket":
            return {"type": "websocket.disconnect", "code": 1006}
        return {"type": f"{self.scope_type}.disconnect"}


@dataclass(frozen=True)
class Scenario:
    """One row. ``event``: dotted paths and values; ``more`` and ``after``: what is written before and after it."""

    id: str
    event: Mapping[str, Any] | None
    wsgi: Callable[[Notes], WSGIApp] | None = None
    asgi: Callable[[Notes], ASGIApp] | None = None
    client: Client = Client()
    more: tuple[Mapping[str, Any], ...] = ()
    after: tuple[Mapping[str, Any], ...] = ()
    sends: Mapping[str, Any] = field(default_factory=dict)  # headers of the wrapped response, canonical names
    raises: type[BaseException] | None = None
    same_object: bool = False  # WSGI: the server must be given the very object that the app returned
    late: bool = False  # the event cannot be there before the last byte: no last byte, or what happens after it counts
    times_wrapped: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)  # of Audit
    counted: Any = field(default_factory=dict)  # in audit.health(); ANYTHING where it does not matter
    loops: tuple[str, ...] = ("asyncio", "trio")


# ------------------------------------------------------------------------------------------------- expected events


def done(status: int = 200, size: Any = 5, **more: Any) -> dict[str, Any]:
    """The event of a response that left whole."""
    level = "info" if status < 400 else "warning" if status < 500 else "error"
    expected = {
        "event": "http_request",
        "http.response.status_code": status,
        "outcome.result": "success" if status < 400 else "failure",
        "outcome.reason": ABSENT if status < 400 else f"http_{status}",
        "level": level,
        "error": ABSENT,
    }
    if size is not None:
        expected["http.response.body_size"] = size
    return expected | dotted(more)


def failed(error: type[BaseException], status: Any = ABSENT, **more: Any) -> dict[str, Any]:
    """The event of a request whose app raised to the server."""
    return {
        "event": "http_request",
        "http.response.status_code": status,
        "outcome.result": "failure",
        "outcome.reason": "exception",
        "level": "error",
        "error.type": qualified(error),
        "error.handled": False,
    } | dotted(more)


def left(status: Any = 200, size: Any = None, **more: Any) -> dict[str, Any]:
    """The event of a client that was away before it had everything."""
    expected = {
        "event": "http_request",
        "http.response.status_code": status,
        "outcome.result": "unknown",
        "outcome.reason": "client_disconnected",
        "level": "warning",
    }
    if size is not None:
        expected["http.response.body_size"] = size
    return expected | dotted(more)


def aborted(error: type[BaseException], status: Any = ABSENT, **more: Any) -> dict[str, Any]:
    """The event of a request that was ended from outside: a worker told to exit, a time-out of gevent."""
    return failed(error, status, **more) | {
        "outcome.result": "unknown",
        "outcome.reason": "aborted",
        "level": "warning",
    }


def cancelled(status: Any = ABSENT, **more: Any) -> dict[str, Any]:
    """The event of a request whose task the server cancelled."""
    return {
        "event": "http_request",
        "http.response.status_code": status,
        "outcome.result": "unknown",
        "outcome.reason": "cancelled",
        "level": "warning",
    } | dotted(more)


def unanswered(status: Any = ABSENT, **more: Any) -> dict[str, Any]:
    """The event of an app that returned before its answer was whole."""
    return {
        "event": "http_request",
        "http.response.status_code": status,
        "outcome.result": "failure",
        "outcome.reason": "no_response" if status is ABSENT else "incomplete_response",
        "level": "error",
    } | dotted(more)


def fails_later(error: type[BaseException]) -> tuple[dict[str, Any]]:
    """The second event of an app that raised when its answer had already left."""
    return (
        {
            "event": "failed_after_response",
            "source.kind": "app",
            "outcome.result": "failure",
            "error.type": qualified(error),
        },
    )


def socket(**more: Any) -> dict[str, Any]:
    """The event of a websocket connection: one, when it is over."""
    return {"event": "websocket_connection", "url.scheme": "ws", "duration_ns": PRESENT} | dotted(more)


def dotted(more: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments spell a dot as two underscores."""
    return {key.replace("__", "."): value for key, value in more.items()}


def qualified(error: type[BaseException]) -> str:
    return f"{error.__module__}.{error.__qualname__}"


def ws(*messages: dict[str, Any], **more: Any) -> Client:
    return Client(scope_type="websocket", messages=({"type": "websocket.connect"}, *messages), **more)


def text(data: str) -> dict[str, Any]:
    return {"type": "websocket.receive", "text": data}


GONE = {"type": "websocket.disconnect", "code": 1000}
LIFESPAN = Client(scope_type="lifespan", messages=({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}))

POST = Client(method="POST", body=(b"a" * 700, b"b" * 300))
HEAD = Client(method="HEAD")
STRANGER = Client(address="203.0.113.9")
THIS_FILE = str(Path(__file__))
THIS_SIZE = Path(__file__).stat().st_size
ASYNCIO = ("asyncio",)
OURS = ("x-request-id", "x-userid", "x-sessionid", "x-user")  # headers that auditmw adds in these rows


# ------------------------------------------------------------------------------------------------------- the table

# Both protocols: what an ordinary app does, and how it may fail.
ORDINARY = [
    Scenario("list", done(), **answers(b"hello"), same_object=True),
    Scenario("list of several chunks", done(size=9), **answers(b"hel", b"", b"lo", b" you"), same_object=True),
    Scenario("empty list", done(size=0), **answers(), same_object=True),
    Scenario("tuple", done(), **answers(b"hel", b"lo", shape=tuple), same_object=True),
    Scenario("generator", done(), **answers(b"hel", b"lo", shape=apps.as_generator)),
    Scenario("generator of nothing", done(size=0), **answers(shape=apps.as_generator)),
    Scenario("generator of empty chunks", done(size=0), **answers(b"", b"", b"", shape=apps.as_generator)),
    Scenario("not found", done(404), **answers(b"hello", status=404), same_object=True),
    Scenario(
        "redirect", done(302), **answers(b"hello", status=302, headers=header("Location", "/x")), same_object=True
    ),
    Scenario("server error without exception", done(500), **answers(b"hello", status=500), same_object=True),
    Scenario("unavailable", done(503), **answers(b"hello", status=503, shape=apps.as_generator)),
    Scenario("HEAD", done(size=0), client=HEAD, **answers(headers=header("Content-Length", "5")), same_object=True),
    Scenario(
        "HEAD, generator",
        done(size=0),
        client=HEAD,
        **answers(headers=header("Content-Length", "5"), shape=apps.as_generator),
    ),
    Scenario("HEAD that is answered with a body", done(size=0), client=HEAD, **answers(b"hello"), same_object=True),
    Scenario("204", done(204, 0), **answers(status=204, headers=()), same_object=True),
    Scenario("304", done(304, 0), **answers(status=304, headers=(("ETag", '"1"'),)), same_object=True),
    Scenario("304 with a body", done(304, 0), **answers(b"hello", status=304, headers=()), same_object=True),
    Scenario(
        "Content-Length exactly reached",
        done(),
        **answers(b"hel", b"lo", headers=header("Content-Length", "5"), shape=apps.as_generator),
    ),
    Scenario(
        "Content-Length zero", done(size=0), **answers(headers=header("Content-Length", "0"), shape=apps.as_generator)
    ),
    Scenario(
        "Content-Length too large",
        done(),
        **answers(b"hel", b"lo", headers=header("Content-Length", "9"), shape=apps.as_generator),
    ),
    Scenario(
        "Content-Length too small",
        done(size=None),
        **answers(b"hello", b" you", headers=header("Content-Length", "5"), shape=apps.as_generator),
    ),
    Scenario(
        "Content-Length that is no number",
        done(),
        **answers(b"hello", headers=header("Content-Length", "five"), shape=apps.as_generator),
    ),
    Scenario(
        "Content-Length twice",
        done(),
        **answers(
            b"hel", b"lo", headers=header("Content-Length", "5", ("content-length", "5")), shape=apps.as_generator
        ),
    ),
    Scenario(
        "duplicate headers",
        done(),
        **answers(b"hello", headers=header("X-A", "1", ("X-B", "2"), ("x-a", "3"))),
        same_object=True,
    ),
    Scenario(
        "cookies",
        done(),
        **answers(b"hello", headers=header("Set-Cookie", "a=1", ("Set-Cookie", "b=2"), ("Set-Cookie", "a=3"))),
        same_object=True,
    ),
    Scenario(
        "non-latin-1 and odd headers",
        done(),
        **answers(
            b"hello", headers=header("X-Name", "Zo\xc3\xab", ("X-Raw", "\xff\xfe"), ("X-Empty", ""), ("X-Tab", "a\tb"))
        ),
        same_object=True,
    ),
    Scenario("no headers at all", done(), **answers(b"hello", headers=()), same_object=True),
    Scenario("request body read", done(size=4, http__request__body_size=1000), client=POST, **apps.reads_and_counts()),
    Scenario(
        "request body read in parts",
        done(size=3, http__request__body_size=PRESENT),
        client=POST,
        wsgi=apps.reads_and_counts((10, 90, 1))["wsgi"],
    ),
    Scenario("request body left unread", done(), client=POST, **answers(b"hello"), same_object=True),
    Scenario(
        "chunked request body",
        done(size=4, http__request__body_size=1000),
        client=Client(method="POST", body=(b"a" * 1000,), headers=(("Transfer-Encoding", "chunked"),)),
        asgi=apps.reads_and_counts()["asgi"],
    ),
    Scenario(
        "query with a secret",
        done(url__query="a=1&token=REDACTED"),
        client=Client(query="a=1&token=s3cret"),
        **answers(b"hello"),
        same_object=True,
    ),
    Scenario("exception before the head", failed(ValueError), **raising(lambda: ValueError("no")), raises=ValueError),
    Scenario(
        "exception at the first chunk",
        failed(ValueError, 200, http__response__body_size=0),
        **raising(lambda: ValueError("no"), after=0),
        raises=ValueError,
    ),
    Scenario(
        "exception in the middle",
        failed(ValueError, 200, http__response__body_size=15),
        **raising(lambda: ValueError("no"), after=3),
        raises=ValueError,
    ),
    Scenario(
        "exception with a secret",
        failed(KeyError, error__message=PRESENT),
        **raising(lambda: KeyError("Bearer abcdefghijklmnop")),
        raises=KeyError,
    ),
    Scenario(
        "exception that cannot be printed",
        failed(apps.Unprintable),
        **raising(apps.Unprintable),
        raises=apps.Unprintable,
    ),
    Scenario(
        "exception group",
        failed(ExceptionGroup),
        **raising(lambda: ExceptionGroup("two", [ValueError("a"), OSError("b")])),
        raises=ExceptionGroup,
    ),
    Scenario(
        "StopIteration before the head",
        failed(StopIteration),
        wsgi=raising(StopIteration)["wsgi"],
        raises=StopIteration,
    ),
    Scenario("SystemExit", aborted(SystemExit), **raising(lambda: SystemExit(3)), raises=SystemExit),
    Scenario(
        "SystemExit in the middle",
        aborted(SystemExit, 200),
        **raising(lambda: SystemExit(3), after=1),
        raises=SystemExit,
    ),
    Scenario("KeyboardInterrupt", aborted(KeyboardInterrupt), **raising(KeyboardInterrupt), raises=KeyboardInterrupt),
    Scenario(
        "GeneratorExit",
        {"event": "http_request", "outcome.result": "unknown", "http.response.status_code": ABSENT},
        **raising(GeneratorExit),
        raises=GeneratorExit,
    ),
    Scenario(
        "CancelledError before the head",
        cancelled(),
        **raising(asyncio.CancelledError),
        raises=asyncio.CancelledError,
        loops=ASYNCIO,
    ),
    Scenario(
        "CancelledError in the middle",
        cancelled(200),
        **raising(asyncio.CancelledError, after=1),
        raises=asyncio.CancelledError,
        loops=ASYNCIO,
    ),
    Scenario(
        "exception behind a page",
        failed(ValueError, 500, error__handled=True),
        wsgi=apps.error_page_wsgi,
        asgi=apps.error_page_asgi,
        same_object=True,
    ),
    Scenario(
        "exception behind a page, made later",
        done(500),
        wsgi=apps.late_error_page_wsgi,
        asgi=apps.late_error_page_asgi,
        same_object=True,
    ),
    Scenario(
        "exception behind a good answer", done(200), wsgi=apps.fallback_wsgi, asgi=apps.fallback_asgi, same_object=True
    ),
    Scenario(
        "exempt path",
        None,
        client=Client(path="/health"),
        options={"exempt": (r"^/health$",)},
        **answers(b"hello"),
        same_object=True,
    ),
    Scenario(
        "exempt path, stream",
        None,
        client=Client(path="/health"),
        options={"exempt": (r"^/health$",)},
        **answers(b"hello", shape=apps.as_generator),
    ),
    Scenario(
        "exempt path that fails",
        done(503),
        client=Client(path="/health"),
        options={"exempt": (r"^/health$",)},
        **answers(b"hello", status=503),
        same_object=True,
    ),
    Scenario(
        "exempt path that raises",
        failed(ValueError),
        client=Client(path="/health"),
        options={"exempt": (r"^/health$",)},
        **raising(lambda: ValueError("no")),
        raises=ValueError,
    ),
    Scenario(
        "exempt path, errors too",
        None,
        client=Client(path="/health"),
        options={"exempt": (r"^/health$",), "exempt_errors": True},
        **answers(b"hello", status=503),
        same_object=True,
    ),
    Scenario("wrapped twice", done(), times_wrapped=2, **answers(b"hello"), same_object=True),
    Scenario("wrapped twice, stream", done(), times_wrapped=2, **answers(b"hel", b"lo", shape=apps.as_generator)),
    Scenario(
        "wrapped twice, exception",
        failed(ValueError, 200),
        times_wrapped=2,
        **raising(lambda: ValueError("no"), after=1),
        raises=ValueError,
    ),
]

# Both protocols: what apps say about who is calling and what happened.
TOLD = [
    Scenario(
        "identify",
        done(actor__id="u7", actor__roles=["clerk"], session__id=PRESENT),
        sends={"x-userid": ["u7"], "x-sessionid": PRESENT},
        **answers(b"hello", before=apps.identified),
        same_object=True,
    ),
    Scenario(
        "identify with an odd name",
        done(actor__id=PRESENT),
        sends={"x-userid": PRESENT},
        **answers(b"hello", before=apps.oddly_identified),
        same_object=True,
    ),
    Scenario(
        "identify for a stranger's connection",
        done(actor__id="u7"),
        sends={"x-userid": [], "x-sessionid": []},
        client=STRANGER,
        **answers(b"hello", before=apps.identified),
        same_object=True,
    ),
    Scenario(
        "identify on a shared response",
        done(actor__id="u7"),
        sends={"x-userid": [], "x-sessionid": []},
        **answers(b"hello", before=apps.identified, headers=header("Cache-Control", "public, max-age=60")),
        same_object=True,
    ),
    Scenario(
        "annotate",
        done(message="Listed orders", target={"type": "order", "id": "7"}, data={"count": 2}),
        **answers(b"hello", before=apps.annotated),
        same_object=True,
    ),
    Scenario(
        "annotate the level",
        done() | {"level": "critical", "severity": 21},
        **answers(b"hello", before=apps.warned),
        same_object=True,
    ),
    Scenario(
        "annotate and identify in the stream",
        done(message="from the stream", actor__id="u7"),
        sends={"x-userid": []},
        wsgi=wsgi(apps.annotates_in_stream),
        asgi=asgi(apps.annotates_in_stream_asgi),
    ),
    Scenario(
        "annotate after the end",
        done(message=ABSENT),
        counted={"late": 1},
        wsgi=wsgi(apps.annotates_late),
        asgi=asgi(apps.annotates_late_asgi),
    ),
    Scenario(
        "record",
        done(),
        more=(
            {
                "event": "order_shipped",
                "source.kind": "app",
                "target": {"type": "order", "id": "7"},
                "data": {"carrier": "post"},
            },
        ),
        **answers(b"hello", before=apps.recorded),
        same_object=True,
    ),
    Scenario(
        "app sets X-Userid",
        done(actor__id="u7"),
        sends={"x-userid": ["u7"]},
        **answers(b"hello", headers=header("X-Userid", "u7")),
        same_object=True,
    ),
    Scenario(
        "app sets X_USERID",
        done(actor__id="u7"),
        sends={"x-userid": ["u7"]},
        **answers(b"hello", headers=header("X_USERID", "u7")),
        same_object=True,
    ),
    Scenario(
        "app sets both spellings",
        done(actor__id=PRESENT),
        sends={"x-userid": PRESENT},
        **answers(b"hello", headers=header("X-UserId", "u7", ("x_userid", "u8"), ("X-USERID", "u9"))),
        same_object=True,
    ),
    Scenario(
        "app sets X-Userid for a stranger",
        done(actor__id="u7"),
        sends={"x-userid": []},
        client=STRANGER,
        **answers(b"hello", headers=header("X-Userid", "u7")),
        same_object=True,
    ),
    Scenario(
        "app sets X-Userid and identifies",
        done(actor__id="u7"),
        sends={"x-userid": ["u7"], "x-sessionid": PRESENT},
        **answers(b"hello", before=apps.identified, headers=header("X-Userid", "u8")),
        same_object=True,
    ),
    Scenario(
        "app sets X-Sessionid",
        done(),
        sends={"x-sessionid": ANYTHING},
        **answers(b"hello", headers=header("X_Sessionid", "s1", ("X-SessionId", "s2"))),
        same_object=True,
    ),
    Scenario(
        "app sets X-Request-ID",
        done(),
        sends={"x-request-id": ["r-1"]},
        **answers(b"hello", headers=header("X-Request-ID", "r-1")),
        same_object=True,
    ),
    Scenario(
        "app sets an X-Request-ID that is no token",
        done(request_id=PRESENT),
        sends={"x-request-id": ["a b"]},
        **answers(b"hello", headers=header("X-Request-ID", "a b")),
        same_object=True,
    ),
    Scenario(
        "client sends X-Request-ID",
        done(request_id="r-2"),
        sends={"x-request-id": ["r-2"]},
        client=Client(headers=(("X-Request-ID", "r-2"),)),
        **answers(b"hello"),
        same_object=True,
    ),
    Scenario(
        "client sends X-Userid",
        done(actor__id=ABSENT),
        sends={"x-userid": []},
        client=Client(headers=(("X-Userid", "root"),)),
        **answers(b"hello"),
        same_object=True,
    ),
]

# Both protocols: other settings.
SETTINGS = [
    Scenario(
        "resolver asked late",
        done(actor__id="u7"),
        options={"resolver": apps.by_carrier},
        sends={"x-userid": ["u7"]},
        wsgi=wsgi(apps.authenticates),
        asgi=asgi(apps.authenticates_asgi),
        same_object=True,
    ),
    Scenario(
        "resolver asked again at the end",
        done(actor__id="u7"),
        options={"resolver": apps.by_carrier},
        wsgi=wsgi(apps.authenticates_late),
        asgi=asgi(apps.authenticates_late_asgi),
    ),
    Scenario(
        "resolver that knows nobody",
        done(actor={"type": "anonymous", "authenticated": False}),
        options={"resolver": lambda request: None},
        **answers(b"hello"),
        same_object=True,
    ),
    Scenario(
        "resolver that raises",
        done(actor=PRESENT),
        options={"resolver": apps.fails_to_resolve},
        counted={"resolver_errors": ANYTHING},
        **answers(b"hello"),
        same_object=True,
    ),
    Scenario(
        "asynchronous resolver",
        done(actor__id="u7"),
        options={"resolver": apps.by_carrier_async},
        sends={"x-userid": ["u7"]},
        wsgi=wsgi(apps.authenticates),
        asgi=asgi(apps.authenticates_asgi),
        same_object=True,
    ),
    Scenario(
        "asynchronous resolver that raises",
        done(actor=PRESENT),
        options={"resolver": apps.fails_to_resolve_async},
        counted={"resolver_errors": ANYTHING},
        **answers(b"hello"),
        same_object=True,
    ),
    Scenario(
        "intent record",
        done(),
        more=({"event": "http_request", "outcome.result": "pending"},),
        options={"intent": True},
        **answers(b"hello"),
        same_object=True,
    ),
    Scenario(
        "intent record, exception",
        failed(ValueError, 200),
        more=({"event": "http_request", "outcome.result": "pending"},),
        options={"intent": True},
        **raising(lambda: ValueError("no"), after=1),
        raises=ValueError,
    ),
    Scenario(
        "refusal that is not needed",
        done(),
        more=({"outcome.result": "pending"},),
        options={"on_failure": "refuse"},
        **answers(b"hel", b"lo", shape=apps.as_generator),
    ),
    Scenario("to the disk", done(), options={"durability": "disk"}, **answers(b"hello"), same_object=True),
    Scenario(
        "to the disk, stream", done(), options={"durability": "disk"}, **answers(b"hel", b"lo", shape=apps.as_generator)
    ),
    Scenario(
        "to the disk, exception",
        failed(ValueError),
        options={"durability": "disk"},
        **raising(lambda: ValueError("no")),
        raises=ValueError,
    ),
    Scenario(
        "other header names",
        done(actor__id="u7"),
        sends={"x-user": ["u7"]},
        options={"headers": auditmw.ResponseHeaders(user="X-User")},
        **answers(b"hello", before=apps.identified_only),
        same_object=True,
    ),
    Scenario(
        "identity for everybody",
        done(actor__id="u7"),
        sends={"x-userid": ["u7"]},
        client=STRANGER,
        options={"headers": auditmw.ResponseHeaders(identify_to="always")},
        **answers(b"hello", before=apps.identified_only),
        same_object=True,
    ),
    Scenario(
        "identity for nobody",
        done(actor__id="u7"),
        sends={"x-userid": []},
        options={"headers": auditmw.ResponseHeaders(identify_to="never")},
        **answers(b"hello", before=apps.identified_only),
        same_object=True,
    ),
]

# WSGI alone.
WSGI_ONLY = [
    Scenario("iterable without close", done(), wsgi=returns(lambda notes: apps.Chunks(notes, b"hel", b"lo"))),
    Scenario("iterable with close", done(), wsgi=returns(lambda notes: apps.ClosedChunks(notes, b"hel", b"lo"))),
    Scenario("iterable with length", done(), wsgi=returns(lambda notes: apps.SizedChunks(notes, b"hello"))),
    Scenario("its own iterator", done(), wsgi=returns(lambda notes: apps.SelfIterating(notes, b"hel", b"lo"))),
    Scenario("iterable by index", done(), wsgi=returns(lambda notes: apps.OldSequence())),
    Scenario("list subclass with close", done(), wsgi=returns(apps.ClosedList)),
    Scenario("iterator", done(), wsgi=returns(lambda notes: iter([b"hel", b"lo"]))),
    Scenario("dictionary keys", done(), wsgi=returns(lambda notes: {b"hello": 1}.keys())),
    Scenario(
        "bytes as the body", {"http.response.status_code": 200}, wsgi=returns(lambda notes: b"hello"), raises=TypeError
    ),
    Scenario("file as the body", done(size=70_000), wsgi=returns(lambda notes: apps.a_file())),
    Scenario("write", done(), wsgi=apps.writes(b"hel", b"lo")),
    Scenario("write of nothing", done(size=0), wsgi=apps.writes(b"")),
    Scenario("write, then a body", done(), wsgi=apps.writes(b"hel", then=(b"lo",))),
    Scenario(
        "write reaches Content-Length", done(), wsgi=apps.writes(b"hel", b"lo", headers=header("Content-Length", "5"))
    ),
    Scenario(
        "write, then an exception",
        failed(ValueError, 200, http__response__body_size=5),
        wsgi=wsgi(apps.writes_then_raises),
        raises=ValueError,
    ),
    Scenario("write of text", failed(TypeError, 200), wsgi=apps.writes("hello"), raises=TypeError),
    Scenario(
        "write to a client that left",
        left(size=5),
        client=Client(leaves_after=1),
        wsgi=apps.writes(b"hello", b"hello"),
        raises=BrokenPipeError,
    ),
    Scenario("file_wrapper", done(size=PRESENT), wsgi=apps.sends_file(length=True), same_object=True),
    Scenario(
        "file_wrapper without Content-Length", done(size=None), wsgi=apps.sends_file(length=False), same_object=True
    ),
    Scenario(
        "file_wrapper that is no class",
        done(size=PRESENT),
        client=Client(opaque_files=True),
        wsgi=apps.sends_file(length=True),
        same_object=True,
    ),
    Scenario("file_wrapper read by the app", done(size=70_000), wsgi=wsgi(apps.reads_its_wrapper)),
    Scenario("started lazily", done(202), wsgi=wsgi(apps.starts_lazily)),
    Scenario(
        "started lazily, left at once",
        left(202),
        client=Client(leaves_after=0),
        wsgi=wsgi(apps.starts_lazily),
        raises=BrokenPipeError,
    ),
    Scenario("never started", unanswered(), wsgi=wsgi(apps.never_starts), raises=AssertionError),
    Scenario("never started, generator", unanswered(), wsgi=wsgi(apps.never_starts_generator), raises=AssertionError),
    Scenario(
        "started twice without exc_info",
        failed(AssertionError, 200),
        wsgi=wsgi(apps.starts_twice),
        raises=AssertionError,
    ),
    Scenario("started twice, refusal caught", done(), wsgi=wsgi(apps.keeps_start_exception), same_object=True),
    Scenario(
        "restarted before the head left",
        failed(ValueError, 500, error__handled=True),
        wsgi=apps.restarts(after_bytes=False),
    ),
    Scenario(
        "restarted with another head",
        failed(
            ValueError,
            500,
            error__handled=True,
            http__response__content_type=ABSENT,
            http__response__headers=ABSENT,
            http__response__body_size=6,
            actor__id="u7",
        ),
        sends={"x-userid": ["u7"]},  # who is calling is true of the request, whatever answers it
        wsgi=wsgi(apps.restarts_with_less),
    ),
    Scenario(
        "restarted after the head left",
        failed(ValueError, 200, error__handled=ANYTHING),
        wsgi=apps.restarts(after_bytes=True),
        raises=ValueError,
    ),
    Scenario("returns None", failed(TypeError, 200), wsgi=returns(lambda notes: None), raises=TypeError),
    Scenario(
        "chunk of text",
        {"http.response.status_code": 200},
        wsgi=returns(lambda notes: apps.ClosedChunks(notes, b"hello", "text")),
        raises=TypeError,
        late=True,
    ),
    Scenario(
        "chunk that is None",
        {"http.response.status_code": 200},
        wsgi=returns(lambda notes: apps.as_generator([b"hello", None])),
        raises=TypeError,
        late=True,
    ),
    Scenario(
        "list with a number in it",
        {"http.response.status_code": 200},
        wsgi=returns(lambda notes: [b"hello", 7]),
        raises=TypeError,
        same_object=True,
    ),
    Scenario(
        "exception in close",
        done(),
        wsgi=returns(lambda notes: apps.BadlyClosed(notes, b"hello")),
        raises=RuntimeError,
        after=fails_later(RuntimeError),
    ),
    Scenario(
        "exception in close of a client that left",
        {"http.response.status_code": 200, "error.type": "builtins.RuntimeError"},
        client=Client(leaves_after=1),
        wsgi=returns(lambda notes: apps.BadlyClosed(notes, b"hel", b"lo")),
        raises=RuntimeError,
    ),
    Scenario(
        "client leaves a stream",
        left(size=20),
        client=Client(leaves_after=3),
        wsgi=apps.endless,
        raises=BrokenPipeError,
    ),
    Scenario(
        "client leaves a closable iterable",
        left(),
        client=Client(leaves_after=1),
        wsgi=returns(lambda notes: apps.ClosedChunks(notes, b"hel", b"lo")),
        raises=BrokenPipeError,
    ),
    Scenario(
        "many small chunks", done(size=5000), wsgi=returns(lambda notes: apps.as_generator([b"hello", b""] * 1000))
    ),
    Scenario("early hints by wsgi.early_hints", done(), wsgi=wsgi(apps.hints_early), same_object=True),
    Scenario(
        "header list used again",
        done(actor__id="u7"),
        wsgi=apps.reuses_list,
        sends={"x-userid": ["u7"]},
        same_object=True,
    ),
    Scenario("headers as a tuple", done(), wsgi=wsgi(apps.headers_as_tuple), same_object=True),
    Scenario(
        "environ changed by the app",
        done(url__path="/orders/7", url__host="shop.example"),
        wsgi=wsgi(apps.changes_environ),
    ),
    Scenario(
        "header value that is a number",
        done(),
        sends=dict.fromkeys(OURS, ANYTHING),
        counted=ANYTHING,
        wsgi=wsgi(apps.numbers_as_headers),
        same_object=True,
    ),
    Scenario(
        "header name that is a number",
        done(),
        sends={"x-request-id": ANYTHING},
        counted=ANYTHING,
        wsgi=returns(lambda notes: [b"hello"], headers=[(1, "a")]),
        same_object=True,
    ),
    Scenario(
        "headers that are None",
        failed(TypeError),
        counted={"internal_errors": ANYTHING},
        wsgi=wsgi(apps.starts_without_headers),
        raises=TypeError,
    ),
    Scenario("status without a reason", done(), wsgi=returns(lambda notes: [b"hello"], status="200"), same_object=True),
    Scenario("status 999", done(999), wsgi=returns(lambda notes: [b"hello"], status="999 X"), same_object=True),
    Scenario(
        "status that is no number",
        {"http.response.status_code": ABSENT},
        wsgi=returns(lambda notes: [b"hello"], status="Fine"),
        same_object=True,
    ),
    Scenario("status as a number", done(), wsgi=returns(lambda notes: [b"hello"], status=200), same_object=True),
    Scenario(
        "exc_info without an error page",
        failed(ValueError, 500, error__handled=True),
        wsgi=wsgi(apps.starts_with_exc_info),
        same_object=True,
    ),
]

# ASGI alone.
ASGI_ONLY = [
    Scenario(
        "Content-Length reached before the last message",
        done(),
        asgi=sends(start(headers=header("Content-Length", "5")), body(b"hello", True), body(b"")),
    ),
    Scenario("several bodies", done(size=9), asgi=sends(start(), body(b"hello", True), body(b"", True), body(b" you"))),
    Scenario("more_body left out", done(), asgi=sends(start(), {"type": "http.response.body", "body": b"hello"})),
    Scenario("body left out", done(size=0), asgi=sends(start(), {"type": "http.response.body"})),
    Scenario("headers left out", done(), asgi=sends({"type": "http.response.start", "status": 200}, body(b"hello"))),
    Scenario(
        "body as bytearray and memoryview",
        done(size=9),
        asgi=sends(start(), body(bytearray(b"hello"), True), body(memoryview(b" you"))),
    ),
    Scenario(
        "body of text",
        done(size=None),
        asgi=sends(start(), body("hello")),
        raises=TypeError,
        after=fails_later(TypeError),
    ),
    Scenario(
        "body of None", done(size=None), asgi=sends(start(), body(None)), raises=TypeError, after=fails_later(TypeError)
    ),
    Scenario(
        "body before the head",
        failed(RuntimeError),
        asgi=sends(body(b"hello", True), start()),
        raises=RuntimeError,
        late=True,
    ),
    Scenario("two heads", failed(RuntimeError, 200), asgi=sends(start(), start(201)), raises=RuntimeError, late=True),
    Scenario("two heads, refusal caught", done(), asgi=asgi(apps.keeps_refusal)),
    Scenario("body after the end", done(), asgi=sends(start(), body(b"hello"), body(b"more"))),
    Scenario(
        "trailers",
        done(),
        asgi=sends(
            start(trailers=True),
            body(b"hello"),
            {"type": "http.response.trailers", "headers": [(b"x-sum", b"5")], "more_trailers": False},
        ),
    ),
    Scenario(
        "trailers in two messages",
        done(),
        asgi=sends(
            start(trailers=True),
            body(b"hello"),
            {"type": "http.response.trailers", "headers": [], "more_trailers": True},
            {"type": "http.response.trailers", "headers": [(b"x-sum", b"5")]},
        ),
    ),
    Scenario(
        "trailers promised and never sent",
        unanswered(200, http__response__body_size=5),
        asgi=sends(start(trailers=True), body(b"hello")),
        late=True,
    ),
    Scenario(
        "pathsend",
        done(size=THIS_SIZE),
        asgi=sends(
            start(headers=header("Content-Length", str(THIS_SIZE))),
            {"type": "http.response.pathsend", "path": THIS_FILE},
        ),
    ),
    Scenario(
        "pathsend without Content-Length",
        done(size=None),
        asgi=sends(start(), {"type": "http.response.pathsend", "path": THIS_FILE}),
    ),
    Scenario(
        "pathsend of a missing file",
        {"http.response.status_code": 200},
        asgi=sends(start(), {"type": "http.response.pathsend", "path": "/nowhere/at/all"}),
        raises=FileNotFoundError,
        after=fails_later(FileNotFoundError),
    ),
    Scenario("zerocopysend", done(size=700), asgi=asgi(apps.zero_copies)),
    Scenario("zerocopysend of a pipe", done(size=5), asgi=asgi(apps.zero_copies_a_pipe)),
    Scenario(
        "early hint",
        done(),
        asgi=sends({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]}, start(), body(b"hello")),
    ),
    Scenario(
        "informational head",
        done(),
        asgi=sends(start(), {"type": "http.response.early_hint", "links": []}, body(b"hello")),
    ),
    Scenario("push and debug", done(), asgi=asgi(apps.push_and_debug)),
    Scenario(
        "a message nobody knows", done(), asgi=sends({"type": "http.response.novelty", "x": 1}, start(), body(b"hello"))
    ),
    Scenario("slow stream of 300 messages", done(size=300), asgi=asgi(apps.streams_slowly)),
    Scenario(
        "never answers, cancelled",
        cancelled(),
        client=Client(cancels_after=0),
        asgi=asgi(apps.never_answers),
        raises=BaseException,
    ),
    Scenario(
        "cancelled in the middle",
        cancelled(200, http__response__body_size=10),
        client=Client(cancels_after=3),
        asgi=apps.endless_asgi,
        raises=BaseException,
    ),
    Scenario(
        "cancellation swallowed",
        done(size=3),
        client=Client(cancels_after=1),
        asgi=asgi(apps.swallows_cancellation),
        loops=ASYNCIO,
    ),
    Scenario("returns without an answer", unanswered(), asgi=asgi(apps.returns_at_once), late=True),
    Scenario("returns after the head", unanswered(200), asgi=asgi(apps.returns_after_head), late=True),
    Scenario(
        "raises after the complete response",
        done(),
        asgi=sends(start(), body(b"hello"), then=lambda: ValueError("in a background task")),
        raises=ValueError,
        after=fails_later(ValueError),
    ),
    Scenario(
        "error page, then raised again",
        done(500),
        asgi=asgi(apps.error_page_then_raises),
        raises=ValueError,
        after=fails_later(ValueError),
    ),
    Scenario(
        "sees the disconnect and stops",
        left(size=15),
        client=Client(leaves_after=4),
        asgi=asgi(apps.streams_until_disconnect),
        late=True,
    ),
    Scenario("deaf to a client that left", done(size=250), client=Client(leaves_after=4), asgi=apps.endless_asgi),
    Scenario(
        "send fails for a client that left",
        left(),
        client=Client(leaves_after=4, send_fails=True),
        asgi=apps.endless_asgi,
        raises=OSError,
    ),
    Scenario(
        "send of the head fails for a client that left",
        left(),
        client=Client(leaves_after=0, send_fails=True),
        asgi=apps.endless_asgi,
        raises=OSError,
    ),
    Scenario(
        "send of the last body fails",
        done(),
        client=Client(leaves_after=1, send_fails=True),
        asgi=sends(start(), body(b"hello")),
        raises=OSError,
    ),
    Scenario("listens after the whole answer", done(), client=Client(), asgi=asgi(apps.waits_for_disconnect_after)),
    Scenario(
        "client left before the answer",
        left(size=5),
        client=Client(leaves_after=0),
        asgi=asgi(apps.goes_on_after_disconnect),
    ),
    Scenario(
        "header list and message used again",
        done(actor__id="u7"),
        sends={"x-userid": ["u7"]},
        asgi=asgi(apps.reuses_message),
    ),
    Scenario(
        "headers as a tuple of lists",
        done(),
        asgi=sends(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": ([b"content-type", b"text/plain"], [b"x-a", b"1"]),
            },
            body(b"hello"),
        ),
    ),
    Scenario("headers as a generator", done(), asgi=asgi(apps.one_shot_headers)),
    Scenario(
        "header names not in lower case",
        done(actor__id="u7"),
        sends={"x-userid": ["u7"]},
        asgi=sends(
            {"type": "http.response.start", "status": 200, "headers": [(b"X-UserId", b"u7"), (b"X-Other", b"1")]},
            body(b"hello"),
        ),
    ),
    Scenario(
        "header value of text",
        done(),
        sends=dict.fromkeys(OURS, ANYTHING),
        counted=ANYTHING,
        asgi=sends({"type": "http.response.start", "status": 200, "headers": [(b"x-userid", "u7")]}, body(b"hello")),
    ),
    Scenario(
        "header that is no pair",
        done(),
        sends={"x-request-id": ANYTHING},
        counted=ANYTHING,
        asgi=sends({"type": "http.response.start", "status": 200, "headers": [(b"x-a",), b"ab"]}, body(b"hello")),
    ),
    Scenario(
        "status that is no number, ASGI",
        {"http.response.status_code": ABSENT},
        counted={"internal_errors": ANYTHING},
        sends={"x-request-id": ANYTHING},
        asgi=sends(start("fine"), body(b"hello")),
        late=True,
    ),
    Scenario(
        "status out of range",
        {"http.response.status_code": ABSENT},
        counted=ANYTHING,
        sends={"x-request-id": ANYTHING},
        asgi=sends(start(1_000_000), body(b"hello")),
        late=True,
    ),
    Scenario("status as an IntEnum", done(404), asgi=sends(start(apps.HTTPStatus.NOT_FOUND), body(b"hello"))),
    Scenario("scope changed by the app", done(url__path="/orders/7"), asgi=asgi(apps.looks_at_scope)),
]

# ASGI: the other kinds of scope.
CONNECTIONS = [
    Scenario(
        "websocket echo, client closes",
        socket(
            outcome__result="success",
            http__response__status_code=101,
            data__websocket__messages_received=2,
            data__websocket__sent_bytes=3,
        ),
        client=ws(text("a"), text("bb"), GONE),
        asgi=asgi(apps.echoes),
        late=True,
    ),
    Scenario(
        "websocket with bytes",
        socket(),
        client=ws({"type": "websocket.receive", "bytes": b"\xff"}, GONE),
        asgi=asgi(apps.echoes),
        late=True,
    ),
    Scenario("websocket closed by the app", socket(), client=ws(), asgi=asgi(apps.closes_itself), late=True),
    Scenario(
        "websocket closed before accept",
        socket(outcome__result="failure", http__response__status_code=403),
        client=ws(),
        asgi=asgi(apps.denies),
        late=True,
    ),
    Scenario(
        "websocket denied with a page",
        socket(outcome__result="failure", http__response__status_code=401),
        client=ws(),
        asgi=asgi(apps.denies_with_page),
        late=True,
    ),
    Scenario(
        "websocket denied with a page in two parts",
        socket(outcome__result="failure", http__response__status_code=403, http__response__body_size=2),
        client=ws(),
        asgi=sends(
            {"type": "websocket.http.response.start", "status": 403, "headers": []},
            {"type": "websocket.http.response.body", "body": b"n", "more_body": True},
            {"type": "websocket.http.response.body", "body": b"o"},
        ),
        late=True,
    ),
    Scenario(
        "websocket exception after the close",
        socket(outcome__result="success"),
        client=ws(),
        asgi=sends({"type": "websocket.accept"}, {"type": "websocket.close"}, then=lambda: ValueError("later")),
        raises=ValueError,
        after=fails_later(ValueError),
    ),
    Scenario(
        "websocket exception",
        socket(outcome__result="failure", error__type="builtins.ValueError", level="error"),
        client=ws(),
        asgi=asgi(apps.fails_in_websocket),
        raises=ValueError,
    ),
    Scenario(
        "websocket exception before accept",
        socket(outcome__result="failure", error__type="builtins.ValueError"),
        client=ws(),
        asgi=asgi(apps.fails_before_accept),
        raises=ValueError,
    ),
    Scenario("websocket left by the app", socket(), client=ws(), asgi=asgi(apps.forgets_websocket), late=True),
    Scenario(
        "websocket cancelled",
        socket(outcome__reason="cancelled"),
        client=ws(cancels_after=1),
        asgi=asgi(apps.echoes),
        raises=BaseException,
        late=True,
    ),
    Scenario(
        "websocket on an exempt path",
        None,
        client=ws(GONE, path="/health"),
        options={"exempt": (r"^/health$",)},
        asgi=asgi(apps.echoes),
    ),
    Scenario("lifespan", None, client=LIFESPAN, asgi=asgi(apps.lives)),
    Scenario("lifespan that fails", None, client=LIFESPAN, asgi=asgi(apps.fails_to_start)),
    Scenario("lifespan that raises", None, client=LIFESPAN, asgi=asgi(apps.raises_at_start), raises=OSError),
    Scenario(
        "lifespan unknown to the app", None, client=LIFESPAN, asgi=asgi(apps.knows_only_http), raises=AssertionError
    ),
    Scenario(
        "unknown kind of scope",
        None,
        client=Client(scope_type="telepathy"),
        asgi=asgi(apps.knows_only_http),
        raises=AssertionError,
    ),
    Scenario("lifespan, wrapped twice", None, client=LIFESPAN, asgi=asgi(apps.lives), times_wrapped=2),
]

SCENARIOS = [*ORDINARY, *TOLD, *SETTINGS, *WSGI_ONLY, *ASGI_ONLY, *CONNECTIONS]
