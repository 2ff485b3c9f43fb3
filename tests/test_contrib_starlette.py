"""Starlette and FastAPI: nothing but the ASGI shell, from inside and from outside, and a resolver."""

import asyncio
import base64
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Annotated, Any

import pytest

pytest.importorskip("starlette")

import starlette.applications
from starlette.authentication import AuthCredentials, AuthenticationBackend, BaseUser, SimpleUser
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute

import auditmw
from asgi_driver import Answer, answer, ask, converse
from auditmw.contrib.starlette import resolve, session_resolver
from auditmw.routes import template
from auditmw.testing import Recorder, assert_valid


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    for event in recorder.events:
        assert_valid(event)


@pytest.fixture(params=["add_middleware", "from outside"])
def wrap(request: pytest.FixtureRequest, recorder: Recorder) -> Any:
    """Both ways to put the shell around an application."""
    audit = auditmw.Audit(recorder, service="shop", resolver=resolve)

    def inside(app: Any) -> Any:
        app.add_middleware(auditmw.ASGIAudit, audit=audit)
        return app

    return inside if request.param == "add_middleware" else lambda app: auditmw.ASGIAudit(app, audit)


# --------------------------------------------------------------------------------------------------------- applications


async def item(request: Any) -> Any:
    return PlainTextResponse(f"item {request.path_params['pk']}")


async def boom(request: Any) -> Any:
    raise ValueError("kaboom")


def in_a_thread(request: Any) -> Any:
    auditmw.identify("bob")
    auditmw.annotate(thread=threading.current_thread() is not threading.main_thread())
    return PlainTextResponse("hello bob")


async def stream(request: Any) -> Any:
    async def chunks() -> AsyncIterator[str]:
        yield "some "
        auditmw.annotate(message="in the middle")
        yield "é"

    return StreamingResponse(chunks())


async def failing_stream(request: Any) -> Any:
    async def chunks() -> AsyncIterator[str]:
        yield "some"
        raise ValueError("kaboom")

    return StreamingResponse(chunks())


async def with_background(request: Any) -> Any:
    async def later() -> None:
        raise LookupError("too late")

    return PlainTextResponse("done", background=BackgroundTask(later))


async def me(request: Any) -> Any:
    return PlainTextResponse(request.user.display_name)


async def sign_in(request: Any) -> Any:
    request.session["user_id"] = "alice"
    return PlainTextResponse("welcome")


async def echo(websocket: Any) -> None:
    await websocket.accept()
    auditmw.identify("bob")
    async for text in websocket.iter_text():
        await websocket.send_text(text)


def shop(*middleware: Middleware, **options: Any) -> Any:
    routes = [
        Route("/items/{pk:int}", item),
        Route("/boom", boom),
        Route("/thread", in_a_thread),
        Route("/stream", stream),
        Route("/failing-stream", failing_stream),
        Route("/background", with_background),
        Route("/me", me),
        Route("/in", sign_in),
        WebSocketRoute("/rooms/{room}", echo),
        Mount("/v1", routes=[Route("/items/{pk:int}", item), Mount("/deep", routes=[Route("/{name}", in_a_thread)])]),
        Mount("/files", app=PlainTextResponse("a file")),
    ]
    return starlette.applications.Starlette(routes=routes, middleware=list(middleware), **options)


# ------------------------------------------------------------------------------------------------------ the whole event


ROUTES = [
    ("/items/7", 200, "/items/{pk:int}"),
    ("/v1/items/7", 200, "/v1/items/{pk:int}"),
    ("/v1/deep/er", 200, "/v1/deep/{name}"),
    ("/files/a.txt", 200, "/files"),
    ("/nowhere", 404, None),
]


@pytest.mark.parametrize(("path", "status", "route"), ROUTES)
def test_a_request_is_one_event_with_its_route(wrap, recorder, path, status, route):
    got = ask(wrap(shop()), path)
    event = recorder.one()
    assert got.status == event["http"]["response"]["status_code"] == status
    assert event["http"]["response"]["body_size"] == len(got.body)
    assert event["http"].get("route") == route
    assert got.header("X-Request-ID") == event["request_id"]


@pytest.mark.parametrize(("path", "status", "route"), ROUTES)
def test_a_route_is_found_where_starlette_tells_the_endpoint_only(path, status, route):
    """As its releases do that are not recent."""
    found = []

    def older(app: Any) -> Any:
        async def serve(scope: Any, receive: Any, send: Any) -> None:
            await app(scope, receive, send)
            scope.pop("route", None)
            found.append(template(scope))

        return serve

    first, second = older(shop()), older(shop())  # the endpoints are the same, the routers are not
    for app in (first, first, second):
        assert ask(app, path).status == status
    assert found == [route] * 3


@pytest.mark.parametrize(
    "scope",
    [
        {},
        {"route": None},
        {"route": "a"},
        {"route": SimpleNamespace(path=7)},
        {"endpoint": 7},
        {"route": 1, "fastapi": 2},
    ],
    ids=str,
)
def test_another_frameworks_idea_of_a_route_is_none(scope):
    assert template(scope) is None


def test_an_exception_is_in_the_event_and_goes_on_to_the_server(wrap, recorder):
    got = ask(wrap(shop()), "/boom")
    error = recorder.one()["error"]
    assert (error["type"], error["message"]) == ("builtins.ValueError", "kaboom")
    assert 'raise ValueError("kaboom")' in error["stacktrace"]
    assert recorder.one()["http"]["route"] == "/boom"
    assert repr(got.raised) == "ValueError('kaboom')"
    assert got.body == b"Internal Server Error"


def test_from_outside_the_page_of_an_unhandled_exception_is_seen_and_has_the_request_id(recorder):
    """What add_middleware adds is inside of the middleware that makes this page."""
    got = ask(auditmw.ASGIAudit(shop(), auditmw.Audit(recorder, service="shop")), "/boom")
    event = recorder.one()
    assert event["http"]["response"] == {
        "status_code": 500,
        "body_size": 21,
        "content_type": "text/plain; charset=utf-8",
    }
    assert got.header("X-Request-ID") == event["request_id"]


def test_an_exception_that_a_handler_answers_is_in_the_event(wrap, recorder):
    async def page(request: Any, error: Exception) -> Any:
        return PlainTextResponse("sorry", status_code=503)

    got = ask(wrap(shop(exception_handlers={ValueError: page})), "/boom")
    assert (got.status, got.raised) == (503, None)
    error = recorder.one()["error"]
    assert (error["message"], error["handled"]) == ("kaboom", True)


def test_a_stream_is_recorded_at_its_end(wrap, recorder):
    got = ask(wrap(shop()), "/stream")
    assert got.chunks == [b"some ", "é".encode()]
    assert recorder.one()["http"]["response"]["body_size"] == 7
    assert recorder.one()["message"] == "in the middle"


def test_a_stream_that_fails_says_why_and_how_much_was_sent(wrap, recorder):
    ask(wrap(shop()), "/failing-stream")
    event = recorder.one()
    assert event["http"]["response"]["body_size"] == 4
    assert event["outcome"] == {"result": "failure", "reason": "exception"}


def test_an_endpoint_in_the_thread_pool_has_the_requests_context(wrap, recorder):
    got = ask(wrap(shop()), "/thread")
    assert got.header("X-Userid") == recorder.one()["actor"]["id"] == "bob"
    assert recorder.one()["data"] == {"thread": True}


def test_a_background_task_that_fails_is_an_event_of_its_own(wrap, recorder):
    got = ask(wrap(shop()), "/background")
    assert (got.status, got.body, repr(got.raised)) == (200, b"done", "LookupError('too late')")
    request, task = recorder.events
    assert request["outcome"] == {"result": "success"}
    assert "error" not in request
    assert (task["event"], task["error"]["message"]) == ("failed_after_response", "too late")
    assert task["trace"] == request["trace"]


def test_a_websocket_is_one_event_with_its_route(wrap, recorder):
    got = converse(wrap(shop()), "/rooms/blue", "hello", "bye")
    assert [message.get("text") for message in got.messages] == [None, "hello", "bye"]
    event = recorder.one(event="websocket_connection")
    assert event["http"]["route"] == "/rooms/{room}"
    assert event["actor"]["id"] == "bob"
    assert event["data"]["websocket"]["messages_received"] == 2


async def before_and_after(request: Any, call_next: Any) -> Any:
    auditmw.annotate(before=True)
    response = await call_next(request)
    auditmw.annotate(after=True)
    return response


@pytest.mark.parametrize("path", ["/thread", "/stream", "/boom"])
def test_middleware_with_a_task_of_its_own_keeps_the_context(wrap, recorder, path):
    got = ask(wrap(shop(Middleware(BaseHTTPMiddleware, dispatch=before_and_after))), path)
    event = recorder.one()
    assert event["data"]["before"] is True
    if path == "/boom":
        assert event["error"]["message"] == "kaboom"
    else:
        assert event["http"]["response"]["body_size"] == len(got.body)
    if path == "/thread":
        assert (event["actor"]["id"], event["data"]["after"]) == ("bob", True)


def test_concurrent_requests_do_not_mix(wrap, recorder):
    async def named(request: Any) -> Any:
        name = request.path_params["name"]
        auditmw.identify(name)
        await asyncio.sleep(0)
        auditmw.annotate(message=name)
        return PlainTextResponse(auditmw.current().user_id)

    app = wrap(starlette.applications.Starlette(routes=[Route("/{name}", named)]))

    async def visit() -> list[Answer]:
        return await asyncio.gather(*(answer(app, f"/user-{n}") for n in range(50)))

    answers = asyncio.run(visit())
    assert [got.body.decode() for got in answers] == [f"user-{n}" for n in range(50)]
    for event in recorder.events:
        assert event["url"]["path"] == f"/{event['actor']['id']}" == f"/{event['message']}"


# ------------------------------------------------------------------------------------------------------------- identity


class Member(BaseUser):
    is_authenticated = True
    display_name = "Alice"
    identity = "member-1"


class Backend(AuthenticationBackend):
    async def authenticate(self, connection: Any) -> Any:
        user = {"simple": SimpleUser("alice"), "member": Member()}.get(connection.headers.get("authorization"))
        return user and (AuthCredentials(), user)


@pytest.mark.parametrize(
    ("sent", "actor"),
    [
        ("simple", {"id": "alice", "type": "user", "authenticated": True}),
        ("member", {"id": "member-1", "type": "user", "authenticated": True}),
        ("nothing", {"type": "anonymous", "authenticated": False}),
    ],
)
def test_the_user_of_authentication_middleware_is_named(wrap, recorder, sent, actor):
    got = ask(
        wrap(shop(Middleware(AuthenticationMiddleware, backend=Backend()))), "/me", headers=[("Authorization", sent)]
    )
    assert recorder.one()["actor"] == actor
    assert got.header("X-Userid") == actor.get("id")


def test_the_user_of_the_session_is_named_and_nothing_varies(wrap, recorder):
    app = wrap(shop(Middleware(SessionMiddleware, secret_key="only for tests")))
    cookie = ask(app, "/in").header("Set-Cookie").partition(";")[0]
    got = ask(app, "/items/7", headers=[("Cookie", cookie)])
    assert [event["actor"]["id"] for event in recorder.events] == ["alice", "alice"]
    assert got.header("X-Userid") == "alice"
    assert got.header("Vary") is None


def test_the_keys_of_the_session_can_be_chosen(recorder):
    resolver = session_resolver(user_key="member", session_key="visit")
    scope = {"session": {"member": "dave", "visit": "v-1"}}
    assert resolver(request_of(scope)) == auditmw.Identity("dave", session="v-1")
    assert resolver(request_of({"session": {}})) is None
    assert resolver(request_of({})) is None


def request_of(scope: Any) -> auditmw.Request:
    return auditmw.Request(SimpleNamespace(carrier=scope))


def test_the_shell_takes_a_resolver_where_the_audit_has_none(recorder):
    audit = auditmw.Audit(recorder, service="shop")
    app = shop(Middleware(AuthenticationMiddleware, backend=Backend()))
    app.add_middleware(auditmw.ASGIAudit, audit=audit, resolver=resolve)
    ask(app, "/me", headers=[("Authorization", "simple")])
    assert recorder.one()["actor"]["id"] == "alice"


# -------------------------------------------------------------------------------------------------------------- FastAPI


@pytest.fixture
def api(wrap: Any) -> Any:
    fastapi = pytest.importorskip("fastapi")
    from fastapi.security import HTTPBasic, HTTPBasicCredentials

    def who(credentials: Annotated[HTTPBasicCredentials, fastapi.Depends(HTTPBasic())]) -> str:
        auditmw.identify(credentials.username, provider="basic")
        return credentials.username

    async def who_async(name: str = "nobody") -> str:
        auditmw.identify(name)
        return name

    app, router, mounted = fastapi.FastAPI(), fastapi.APIRouter(prefix="/v1"), fastapi.FastAPI()

    @app.get("/sync")
    def of_a_thread(user: Annotated[str, fastapi.Depends(who)]) -> str:
        return user

    @app.get("/async")
    async def of_the_loop(user: Annotated[str, fastapi.Depends(who_async)]) -> str:
        return user

    @router.get("/items/{pk}")
    async def get_item(pk: int) -> int:
        return pk

    @mounted.get("/things/{name}")
    async def thing(name: str) -> str:
        return name

    @app.websocket("/rooms/{room}")
    async def room(websocket: fastapi.WebSocket, room: str) -> None:
        await websocket.accept()
        with contextlib.suppress(fastapi.WebSocketDisconnect):
            while True:
                await websocket.send_text(await websocket.receive_text())

    router.websocket("/rooms/{room}")(room)
    app.include_router(router, prefix="/api")
    app.mount("/mounted", mounted)
    return wrap(app)


@pytest.mark.parametrize("path", ["/sync", "/async?name=alice"])
def test_a_dependency_says_who_is_calling(api, recorder, path):
    credentials = base64.b64encode(b"alice:a password").decode()
    got = ask(api, path, headers=[("Authorization", f"Basic {credentials}")])
    assert got.status == 200, got.body
    assert got.header("X-Userid") == recorder.one()["actor"]["id"] == "alice"
    assert "a password" not in str(recorder.events)


@pytest.mark.parametrize(
    ("path", "status", "route"),
    [
        ("/api/v1/items/7", 200, "/api/v1/items/{pk}"),
        ("/api/v1/items/seven", 422, "/api/v1/items/{pk}"),
        ("/mounted/things/7", 200, "/mounted/things/{name}"),
        ("/nowhere", 404, None),
    ],
)
def test_a_route_of_fastapi_is_recorded_with_its_prefixes(api, recorder, path, status, route):
    assert ask(api, path).status == status
    assert recorder.one()["http"].get("route") == route


@pytest.mark.parametrize("prefix", ["", "/api/v1"])
def test_a_websocket_of_fastapi_is_recorded_with_its_route(api, recorder, prefix):
    converse(api, f"{prefix}/rooms/blue", "hello")
    assert recorder.one(event="websocket_connection")["http"]["route"] == f"{prefix}/rooms/{{room}}"
