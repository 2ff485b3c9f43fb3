"""Django through its own handlers: the middleware alone, and inside of a shell around the application."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("django")

from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.test.utils import CaptureQueriesContext
from werkzeug.test import create_environ

import auditmw
import auditmw.contrib.django
import django_site
from asgi_driver import Answer, answer, ask
from auditmw.testing import Recorder, assert_valid

# Django's ASGIHandler leaves the request body's file open when a request ends with an exception or is cancelled.
pytestmark = pytest.mark.filterwarnings("ignore:.*SpooledTemporaryFile:pytest.PytestUnraisableExceptionWarning")

Serve = Callable[..., Answer]
# With a gate of the other kind next to it, Django calls the middleware so that it fits the gate, not the server.
SHELLS = ["wsgi", "asgi", "wsgi, async gate", "asgi, sync gate", "wsgi, wrapped", "asgi, wrapped"]


@pytest.fixture(autouse=True, scope="module")
def site() -> Iterator[None]:
    django_site.ready()
    yield
    connection.close()
    gc.collect()  # here, where its warnings are known


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def configure(recorder: Recorder) -> Iterator[Callable[..., None]]:
    """Sets settings.AUDITMW for one test; every event that it brings must be valid."""
    with contextlib.ExitStack() as stack:

        def change(**options: Any) -> None:
            stack.enter_context(override_settings(AUDITMW={"directory": recorder, "service": "site", **options}))

        change()
        yield change
    for event in recorder.events:
        assert_valid(event)


def handler(shell: str) -> Any:
    gate = "async_gate" if "async gate" in shell else "sync_gate" if "sync gate" in shell else "gate"
    with override_settings(MIDDLEWARE=[name.replace("_site.gate", f"_site.{gate}") for name in django_site.MIDDLEWARE]):
        app = WSGIHandler() if shell.startswith("wsgi") else ASGIHandler()
    if shell.endswith("wrapped"):
        wrap = auditmw.WSGIAudit if shell.startswith("wsgi") else auditmw.ASGIAudit
        return wrap(app, auditmw.contrib.django.audit())
    return app


def serving(shell: str) -> Serve:
    app = handler(shell)
    return lambda path, **options: (ask_wsgi if shell.startswith("wsgi") else ask)(app, path, **options)


@pytest.fixture(params=SHELLS)
def serve(request: pytest.FixtureRequest, configure: Any) -> Serve:
    return serving(request.param)


@pytest.fixture(params=SHELLS[:4])
def serve_alone(request: pytest.FixtureRequest, configure: Any) -> Serve:
    return serving(request.param)


def ask_wsgi(
    app: Any, path: str, *, method: str = "GET", headers: Any = (), read: int | None = None, **environ: Any
) -> Answer:
    """One request as a WSGI server makes it; `read`: how many chunks before the client leaves."""
    got = Answer()

    def start_response(status: str, head: list[tuple[str, str]], exc_info: Any = None) -> Any:
        got.status, got.headers = int(status[:3]), head

    asked = create_environ(path, method=method, headers=list(headers)) | {"REMOTE_ADDR": "127.0.0.1"} | environ
    result = None
    try:
        result = app(asked, start_response)
        for chunk in result:
            got.chunks.append(chunk)
            if len(got.chunks) == read:
                break
    except Exception as error:
        got.raised = error
    finally:
        if hasattr(result, "close"):
            result.close()
    return got


def cookies(got: Answer) -> list[tuple[str, str]]:
    pairs = [value.partition(";")[0] for name, value in got.headers if name.lower() == "set-cookie"]
    return [("Cookie", "; ".join(pairs))]


def users() -> Any:
    from django.contrib.auth.models import User  # only when Django is set up

    return User.objects


def alice() -> str:
    return str(users().get(username="alice").pk)


# ------------------------------------------------------------------------------------------------------ the whole event


@pytest.mark.parametrize(
    ("path", "status", "route", "size"),
    [
        ("/", 200, "/", 5),
        ("/async/", 200, "/async/", 5),
        ("/items/7/", 200, "/items/<int:pk>/", 6),
        ("/old/7/", 200, r"/^old/(?P<pk>\d+)/$", 6),
        ("/items/7", 301, None, 0),
        ("/nowhere/", 404, None, 179),
        ("/lost/", 404, "/lost/", 179),
        ("/forbidden/", 403, "/forbidden/", 135),
        ("/shut", 429, None, 4),
    ],
)
def test_a_request_is_one_event_with_route_status_and_size(serve, recorder, path, status, route, size):
    got = serve(path)
    event = recorder.one(event="http_request")
    assert (got.status, len(got.body)) == (status, size)
    assert event["http"]["response"]["status_code"] == status
    assert event["http"]["response"]["body_size"] == size
    assert event["http"].get("route") == route
    assert event["url"]["path"] == path
    assert got.header("X-Request-ID") == event["request_id"]
    assert len(recorder.events) == 1


def test_the_event_says_which_protocol_served_it(serve_alone, recorder, request):
    serve_alone("/")
    assert recorder.one()["source"]["format"] in request.node.callspec.id


def test_the_event_is_written_before_the_response_leaves_the_middleware(configure, recorder):
    app = handler("wsgi")
    app(create_environ("/"), lambda *head: None)  # not one byte is read
    assert recorder.one()["http"]["response"]["body_size"] == 5


def test_a_head_request_has_a_body_of_nothing(serve, recorder):
    serve("/", method="HEAD")
    assert recorder.one()["http"]["response"]["body_size"] == 0


def test_what_the_view_says_is_in_the_event_and_in_the_headers(serve, recorder):
    got = serve("/named/")
    event = recorder.one()
    assert event["actor"]["id"] == got.header("X-Userid") == "bob"
    assert event["session"]["id"] == got.header("X-Sessionid") != "of bob"
    assert event["message"] == "bob was here"


def test_the_views_own_events_share_the_trace(serve, recorder):
    serve("/recorded/")
    shipped, request = recorder.events
    assert (shipped["event"], request["event"]) == ("order_shipped", "http_request")
    assert shipped["trace"]["trace_id"] == request["trace"]["trace_id"]


def test_identity_headers_that_the_view_sets_are_taken_off_and_sent_once(serve, recorder):
    got = serve("/spoof/")
    names = [name.lower().replace("_", "-") for name, _ in got.headers]
    assert (names.count("x-userid"), names.count("x-sessionid"), names.count("x-other")) == (1, 1, 1)
    assert got.header("X-Userid") == recorder.one()["actor"]["id"] == "carol"


# ----------------------------------------------------------------------------------------------------------- exceptions


@pytest.mark.parametrize("path", ["/boom/", "/boom-async/"])
def test_an_exception_behind_an_error_page_is_in_the_event(serve, recorder, path):
    got = serve(path)
    event = recorder.one()
    assert got.status == event["http"]["response"]["status_code"] == 500
    assert event["http"]["response"]["body_size"] == len(got.body) > 0
    assert event["outcome"] == {"result": "failure", "reason": "exception"}
    assert (event["error"]["type"], event["error"]["message"]) == ("builtins.ValueError", "kaboom")
    assert event["error"]["handled"] is True
    assert 'raise ValueError("kaboom")' in event["error"]["stacktrace"]
    assert got.header("X-Request-ID") == event["request_id"]


@override_settings(DEBUG_PROPAGATE_EXCEPTIONS=True)
def test_an_exception_that_django_passes_on_is_passed_on(serve_alone, recorder):
    got = serve_alone("/boom/")
    assert repr(got.raised) == "ValueError('kaboom')"
    event = recorder.one()
    assert event["error"]["handled"] is False
    assert "response" not in event["http"] or event["http"]["response"] == {}


# -------------------------------------------------------------------------------------------------------------- streams


@pytest.mark.parametrize("length", ["", "-of-known-length"])
def test_a_stream_is_recorded_at_its_end(serve, recorder, request, length):
    kind = "async-" if "asgi" in request.node.callspec.id else ""
    got = serve(f"/{kind}stream{length}/")
    event = recorder.one()
    assert got.body == "some é".encode()
    assert event["http"]["response"]["body_size"] == 7
    assert event["outcome"] == {"result": "success"}
    assert event["message"] == "in the middle"  # the chunks are made in the request's context


def test_chunks_are_those_of_the_view(serve, request):
    kind = "async-" if "asgi" in request.node.callspec.id else ""
    assert serve(f"/{kind}stream/").chunks == [b"some ", "é".encode()]


def test_the_event_of_a_stream_is_there_before_its_last_byte(configure, recorder):
    result = iter(handler("wsgi")(create_environ("/stream-of-known-length/"), lambda *head: None))
    assert (next(result), len(recorder.events)) == (b"some ", 0)
    assert (next(result), len(recorder.events)) == ("é".encode(), 1)


def test_a_stream_that_fails_says_why_and_how_much_was_sent(serve, recorder, request):
    kind = "async-" if "asgi" in request.node.callspec.id else ""
    got = serve(f"/{kind}stream-that-fails/")
    event = recorder.one()
    assert repr(got.raised) == "ValueError('kaboom')"
    assert event["http"]["response"]["body_size"] == 4
    assert event["error"]["message"] == "kaboom"
    assert event["outcome"] == {"result": "failure", "reason": "exception"}


@pytest.mark.parametrize("shell", ["wsgi", "wsgi, wrapped"])
def test_a_wsgi_client_that_leaves_in_the_middle_is_told_from_one_that_stays(configure, recorder, shell):
    ask_wsgi(handler(shell), "/stream/", read=1)
    event = recorder.one()
    assert event["outcome"] == {"result": "unknown", "reason": "client_disconnected"}
    assert event["http"]["response"]["body_size"] == 5


@pytest.mark.parametrize("shell", ["asgi", "asgi, wrapped"])
def test_an_asgi_client_that_leaves_an_endless_stream_ends_it(configure, recorder, shell):
    asyncio.run(asyncio.wait_for(answer(handler(shell), "/endless/", leave_after=3), 30))
    event = recorder.one()
    assert event["outcome"]["result"] == "unknown"
    assert event["outcome"]["reason"] in {"client_disconnected", "cancelled"}


@pytest.mark.parametrize("shell", ["asgi", "asgi, wrapped"])
def test_a_request_that_is_cancelled_is_an_event_too(configure, recorder, shell):
    async def give_up() -> None:
        task = asyncio.create_task(answer(handler(shell), "/patient/"))
        await asyncio.sleep(0.05)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(give_up())
    assert recorder.one()["outcome"]["result"] == "unknown"


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
@pytest.mark.parametrize(("shell", "path"), [("asgi", "/stream/"), ("wsgi", "/async-stream/")])
def test_a_stream_of_the_other_kind_works_as_django_makes_it_work(configure, recorder, shell, path):
    got = serving(shell)(path)
    assert got.body == "some é".encode()
    assert recorder.one()["http"]["response"]["body_size"] == 7


def test_a_file_goes_to_the_servers_own_file_wrapper_and_is_closed(configure, recorder):
    class FileWrapper:
        def __init__(self, filelike: Any, block_size: int) -> None:
            self.filelike = filelike
            self.close = filelike.close

        def __iter__(self) -> Iterator[bytes]:
            return iter(lambda: self.filelike.read(8192), b"")

    app, got = handler("wsgi"), Answer()
    asked = create_environ("/file/") | {"wsgi.file_wrapper": FileWrapper}
    result = app(asked, lambda status, headers: got.headers.extend(headers))
    file = django_site.opened[-1]
    assert type(result) is FileWrapper
    assert result.filelike is file
    assert recorder.one()["http"]["response"]["body_size"] == int(got.header("Content-Length"))
    result.close()
    assert file.closed


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
def test_a_file_without_a_file_wrapper_is_streamed_and_closed(serve_alone, recorder):
    got = serve_alone("/file/")
    assert recorder.one()["http"]["response"]["body_size"] == len(got.body) == int(got.header("Content-Length"))
    assert django_site.opened[-1].closed


# ------------------------------------------------------------------------------------------------------------- identity


def test_the_user_and_the_session_that_the_view_looked_at_are_named(serve, recorder):
    jar = cookies(serve("/login/"))
    recorder.clear()
    got = serve("/whoami/", headers=jar)
    event = recorder.one()
    assert got.body == b"alice"
    assert event["actor"] == {"id": alice(), "type": "user", "authenticated": True}
    assert got.header("X-Userid") == alice()
    assert event["session"]["id"] == got.header("X-Sessionid")
    assert jar[0][1].partition("=")[2] not in str(event)


def test_a_user_asked_for_asynchronously_is_named(serve, recorder):
    jar = cookies(serve("/login/"))
    recorder.clear()
    serve("/whoami-async/", headers=jar)
    assert recorder.one()["actor"] == {"id": alice(), "type": "user", "authenticated": True}


def test_a_user_that_the_view_itself_sets_is_named(serve, recorder):
    """As those do that authenticate late, from a token."""
    serve("/token/")
    assert recorder.one()["actor"] == {"id": "owner of a token", "type": "user", "authenticated": True}


def test_whoever_logs_in_or_out_is_named(serve, recorder):
    jar = cookies(serve("/login/"))
    session = recorder.one()["session"]["id"]
    assert recorder.one()["actor"]["id"] == alice()
    recorder.clear()
    serve("/logout/", headers=jar)
    assert recorder.one()["actor"]["id"] == alice()
    assert recorder.one()["session"]["id"] == session


def test_a_session_that_only_was_read_names_its_user_without_asking_for_the_user(configure, recorder):
    serve = serving("wsgi")
    jar = cookies(serve("/login/"))
    recorder.clear()
    with CaptureQueriesContext(connection) as queries:
        serve("/count/", headers=jar)
    assert recorder.one()["actor"]["id"] == alice()
    assert "authenticated" not in recorder.one()["actor"]  # nobody has checked that the session is still good
    assert not [query for query in queries if "auth_user" in query["sql"]]


def test_a_view_that_looks_at_nobody_costs_no_query_and_does_not_vary(serve, recorder):
    jar = cookies(serve("/login/"))
    recorder.clear()
    with CaptureQueriesContext(connection) as queries:
        got = serve("/", headers=jar)
    assert list(queries) == []
    assert got.header("Vary") is None
    assert got.header("X-Userid") is None
    assert recorder.one()["actor"] == {"type": "unknown"}  # who has a session may be anybody
    assert recorder.one()["session"]["id"].startswith("s1.")
    assert auditmw.contrib.django.audit().health()["status"] == "ok"


def test_an_event_recorded_in_the_view_does_not_make_the_response_vary(serve, recorder):
    jar = cookies(serve("/login/"))
    assert serve("/recorded/", headers=jar).header("Vary") is None


def test_resolve_always_names_the_user_of_every_view_and_does_not_vary(configure, recorder, request):
    configure(resolve="always")
    for shell in SHELLS:
        serve = serving(shell)
        jar = cookies(serve("/login/"))
        recorder.clear()
        got = serve("/", headers=jar)
        assert recorder.one()["actor"]["id"] == got.header("X-Userid") == alice()
        assert got.header("Vary") is None


def test_resolve_always_saves_a_session_that_was_renewed_by_looking(configure, recorder):
    """After a change of SECRET_KEY, Django gives the session a new key when the user is first looked at."""
    configure(resolve="always")
    jar = cookies(serving("wsgi")("/login/"))
    with override_settings(SECRET_KEY="a newer one", SECRET_KEY_FALLBACKS=["only for tests"]):
        got = serving("wsgi")("/", headers=jar)
    renewed = cookies(got)
    assert renewed[0][1] != jar[0][1]
    assert got.header("Vary") == "Cookie"
    with override_settings(SECRET_KEY="a newer one"):
        assert serving("wsgi")("/whoami/", headers=renewed).body == b"alice"


def test_a_session_that_looking_changed_stays_marked_as_looked_at(configure):
    """Where Django adds Vary for the mark alone, the response that then sets a session's cookie would lack it."""
    configure(resolve="always")

    class User:
        def __bool__(self) -> bool:
            asked.session.modified = asked.session.accessed = True
            return True

    asked = RequestFactory().get("/")
    asked.session, asked.user = SimpleNamespace(accessed=False, modified=False), User()
    auditmw.contrib.django.AuditMiddleware(django_site.hello).process_view(asked, django_site.hello, [], {})
    assert asked.session.accessed is True


def test_the_field_that_identifies_users_can_be_chosen(configure, recorder):
    configure(user_field="username")
    serve = serving("wsgi")
    jar = cookies(serve("/login/"))
    assert recorder.one()["actor"]["id"] == "alice"
    serve("/logout/", headers=jar)
    assert recorder.events[-1]["actor"]["id"] == "alice"


def test_a_resolver_of_ones_own_is_asked_instead(configure, recorder):
    async def who(request: auditmw.Request) -> auditmw.Identity:
        await asyncio.sleep(0)
        return auditmw.Identity(f"{request.method} {request.path}")

    for shell in SHELLS:
        configure(resolver=who)
        serving(shell)("/")
        assert recorder.events[-1]["actor"]["id"] == "GET /"
    assert len(recorder.events) == len(SHELLS)


# -------------------------------------------------------------------------------------------- settings and test clients


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param(None, "expected settings.AUDITMW to be a dict such as", id="none"),
        pytest.param("/var/log", "expected settings.AUDITMW to be a dict such as", id="a path"),
        pytest.param({}, "expected directory and service in settings.AUDITMW", id="empty"),
        pytest.param({"directory": "d"}, "expected service in settings.AUDITMW", id="no service"),
        pytest.param({"directory": "d", "service": "s", "resolve": "never"}, "'accessed' or 'always'", id="resolve"),
        pytest.param({"directory": "d", "service": "s", "user_field": "nick"}, "a field of User", id="field"),
        pytest.param({"directory": "d", "service": "s", "exempt": ["("]}, r"settings.AUDITMW: .*exempt", id="exempt"),
        pytest.param({"directory": 7, "service": "s"}, "settings.AUDITMW: expected a directory", id="directory"),
        pytest.param({"directory": "d", "service": "s", "servce": 1}, "settings.AUDITMW: .*'servce'", id="unknown"),
    ],
)
def test_bad_settings_stop_django_at_its_start(given, message):
    with override_settings(AUDITMW=given), pytest.raises(ImproperlyConfigured, match=message):
        WSGIHandler()


def test_the_settings_may_hold_an_audit(recorder):
    audit = auditmw.Audit(recorder, service="site")
    with override_settings(AUDITMW=audit):
        jar = cookies(serving("wsgi")("/login/"))
        serving("asgi")("/whoami/", headers=jar)
        assert auditmw.contrib.django.audit() is audit
    assert [event["actor"]["id"] for event in recorder.events] == [alice(), alice()]


def test_all_handlers_of_a_process_share_one_audit(configure):
    first = auditmw.contrib.django.audit()
    handler("wsgi"), handler("asgi")
    assert auditmw.contrib.django.audit() is first


def test_when_the_record_cannot_be_written_the_view_is_not_called(configure, tmp_path):
    (tmp_path / "audit").write_text("not a directory")
    configure(directory=tmp_path / "audit", on_failure="refuse")
    for shell in SHELLS:
        assert serving(shell)("/named/").status == 503


def test_the_test_client_works(configure, recorder):
    client = Client()
    client.force_login(users().get(username="alice"))
    assert client.get("/whoami/").content == b"alice"
    assert recorder.one()["actor"]["id"] == alice()
    with pytest.raises(ValueError, match="kaboom"):
        client.get("/boom/")
    assert b"".join(client.get("/stream/")) == "some é".encode()
    assert [event["http"]["response"]["status_code"] for event in recorder.events] == [200, 500, 200]


def test_the_asynchronous_test_client_works(configure, recorder):
    async def visit() -> None:
        client = AsyncClient()
        await client.aforce_login(await users().aget(username="alice"))
        assert (await client.get("/whoami-async/")).content == b"alice"

    asyncio.run(visit())
    assert recorder.one()["source"]["format"] == "asgi"
    assert recorder.one()["actor"]["id"] == alice()


def test_the_middleware_can_be_called_with_a_request_of_the_factory(configure, recorder):
    middleware = auditmw.contrib.django.AuditMiddleware(django_site.hello)
    assert middleware(RequestFactory().get("/")).status_code == 200
    assert recorder.one()["http"]["response"]["status_code"] == 200


@pytest.mark.parametrize("middleware", [[], django_site.MIDDLEWARE[:1]], ids=["bare", "audited"])
@pytest.mark.parametrize("path", ["/", "/stream/"])
def test_a_request_is_freed_without_the_collector(configure, path, middleware):
    """The environ, with its uploads, must not live on in a cycle that we made; bare Django makes none."""

    class Witness:
        pass

    gc.collect()
    gc.disable()
    try:
        witness = Witness()
        freed = weakref.ref(witness)
        with override_settings(MIDDLEWARE=middleware):
            app = WSGIHandler()
        ask_wsgi(app, path, witness=witness)
        del witness
        assert freed() is None
    finally:
        gc.enable()
