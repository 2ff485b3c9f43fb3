"""Django sites written against DataPunt's audit log, with auditmw's in its place."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("django")

from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.test.utils import CaptureQueriesContext

import auditmw
import datapunt_golden
import django_site
from asgi_driver import answer, ask
from auditmw.contrib.datapunt import problems
from auditmw.testing import Recorder, assert_valid

# Django's ASGIHandler leaves the request body's file open when a request ends with an exception or is cancelled.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*SpooledTemporaryFile:pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume"),
]

APP = Path(__file__).parent / "datapunt_apps" / "django_shop.py"
RENAMED = {
    "django_audit_log.middleware": "auditmw.contrib.datapunt_django",
    "django_audit_log.rest_framework.viewsets": "auditmw.contrib.datapunt_rest_framework",
    '"django_audit_log"': '"auditmw.contrib.datapunt_django"',
}
AUDITED = "auditmw.contrib.django.AuditMiddleware"
DATAPUNT = "auditmw.contrib.datapunt_django.AuditLogMiddleware"
REST = django_site.MIDDLEWARE[1:]


class Lines(logging.Handler):
    """Keeps the lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    @property
    def one(self) -> dict[str, Any]:
        assert len(self.lines) == 1, self.lines
        return json.loads(self.lines[0])["audit"]


lines = Lines()


def make_handler() -> logging.Handler:
    return lines


def raising() -> Any:
    raise OSError("not now")


@pytest.fixture(autouse=True, scope="module")
def site() -> Iterator[None]:
    django_site.ready()
    yield
    connection.close()
    gc.collect()  # here, where its warnings are known


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    settings = {
        "ROOT_URLCONF": "datapunt_site",
        "AUDIT_LOG_HANDLER_CALLABLE_PATH": f"{__name__}.make_handler",
        "MIDDLEWARE": [*REST, DATAPUNT],
    }
    with override_settings(**settings):
        yield
    lines.lines.clear()
    problems.renew()
    logger = logging.getLogger("audit_log")
    logger.handlers.clear()
    logger.propagate = True  # where it does not, pytest adds handlers of its own before the next test


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    for event in recorder.events:
        assert_valid(event)


@pytest.fixture
def audited(recorder: Recorder) -> Iterator[None]:
    with override_settings(AUDITMW={"directory": recorder, "service": "site"}):
        yield


def client() -> Client:
    return Client(raise_request_exception=False)


def logged_in() -> Client:
    from django.contrib.auth.models import Group, User

    alice = User.objects.get(username="alice")
    if alice.email != "alice@amsterdam.nl":
        alice.email = "alice@amsterdam.nl"
        alice.save()
        alice.groups.add(Group.objects.create(name="inspectors"))
    known = client()
    known.force_login(alice)
    lines.lines.clear()
    return known


# Each serves one path: how the site is deployed, and where the middleware stands.
def wsgi(path: str, **options: Any) -> Any:
    return client().get(path, **options)


def asgi(path: str, **options: Any) -> Any:
    return ask(ASGIHandler(), path, **options)


def asgi_with_a_sync_gate(path: str, **options: Any) -> Any:
    middleware = [name.replace("_site.gate", "_site.sync_gate") for name in REST]
    with override_settings(MIDDLEWARE=[*middleware, DATAPUNT]):
        return ask(ASGIHandler(), path, **options)


def asgi_wrapped(path: str, **options: Any) -> Any:
    return ask(auditmw.ASGIAudit(ASGIHandler(), auditmw.contrib.django.audit()), path, **options)


def wsgi_with_the_audit_first(path: str, **options: Any) -> Any:
    with override_settings(MIDDLEWARE=[AUDITED, *REST, DATAPUNT]):
        return client().get(path, **options)


def asgi_with_the_audit_first(path: str, **options: Any) -> Any:
    with override_settings(MIDDLEWARE=[AUDITED, *REST, DATAPUNT]):
        return ask(ASGIHandler(), path, **options)


SERVERS = [wsgi, asgi, asgi_with_a_sync_gate, asgi_wrapped, wsgi_with_the_audit_first, asgi_with_the_audit_first]
Serve = Callable[..., Any]


@pytest.fixture(params=SERVERS, ids=lambda serve: serve.__name__)
def serve(request: pytest.FixtureRequest, audited: None) -> Serve:
    return request.param


# ------------------------------------------------------------------------------------------- what the originals printed


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str | None, str | None]]:
    pytest.importorskip("rest_framework")
    ours = datapunt_golden.print_lines(
        APP, datapunt_golden.cases("django"), renamed=RENAMED, directory=tmp_path_factory.mktemp("site")
    )
    return {case.name: (case.printed, line) for case, line in ours}


@pytest.mark.parametrize("case", [case.name for case in datapunt_golden.cases("django")])
def test_a_site_with_its_names_changed_prints_what_it_printed(printed, case):
    theirs, ours = printed[case]
    if case == "exception":
        assert json.loads(ours)["audit"]["error"]["type"] == "builtins.ValueError"
        assert datapunt_golden.without_error(ours) == datapunt_golden.without_error(theirs)
    else:
        assert ours == theirs


def test_the_original_prints_the_lines_that_are_kept_here(tmp_path):
    pytest.importorskip("django_audit_log")
    pytest.importorskip("rest_framework")
    for case, line in datapunt_golden.print_lines(APP, datapunt_golden.cases("django"), directory=tmp_path):
        if case.name != "logged-in user":  # without a User-Agent: see data/README.md
            assert line == case.printed


# ------------------------------------------------------------------------------------------------------------ the event


def test_a_request_is_one_line_and_one_event_that_says_the_same(serve, recorder):
    serve("/async-said/" if "asgi" in serve.__name__ else "/said/")
    event = recorder.one()
    assert lines.one["message"] == event["message"] == "Searched items"
    assert (event["level"], event["results"]) == ("warning", [{"id": 1}])
    assert event["filter"] == {"object": "Item", "kwargs": {"name": "abc"}}
    assert event["http"]["response"]["status_code"] == lines.one["http_response"]["status_code"] == 200
    assert auditmw.contrib.django.audit().health()["status"] == "ok"
    assert problems.counts == {}


def test_without_an_audit_there_is_a_line_and_no_event():
    assert wsgi("/said/").content == b"said"
    assert lines.one["message"] == "Searched items"


@pytest.mark.parametrize("path", ["/results/", "/async-results/"])
def test_a_stream_is_logged_at_its_end(serve, recorder, path):
    got = serve(path)
    body = got.body if "asgi" in serve.__name__ else b"".join(got)
    assert body == b"some more"
    assert lines.one["results"] == recorder.one()["results"] == {"in": "the stream"}
    assert recorder.one()["http"]["response"]["body_size"] == 9
    assert auditmw.contrib.django.audit().health()["status"] == "ok"


@pytest.mark.parametrize("path", ["/stream-that-fails/", "/async-stream-that-fails/"])
def test_a_stream_that_fails_says_so_in_line_and_event(audited, recorder, path):
    got = asgi(path)
    assert repr(got.raised) == "ValueError('kaboom')"
    assert lines.one["http_response"]["status_code"] == 200
    assert lines.one["error"]["message"] == recorder.one()["error"]["message"] == "kaboom"


@pytest.mark.parametrize("served", [asgi, asgi_with_the_audit_first])
def test_a_client_that_leaves_an_endless_stream_leaves_a_line(audited, recorder, served):
    served("/endless/", leave_after=3)
    assert lines.one["http_response"]["status_code"] == 200
    assert "error" not in lines.one
    assert recorder.one()["outcome"]["result"] == "unknown"


def test_a_client_that_leaves_before_the_first_chunk_leaves_a_line():
    response = client().get("/stream/")
    response.close()
    assert lines.one["http_response"]["status_code"] == 200


def test_a_request_that_is_cancelled_is_a_line_without_response(audited, recorder):
    async def give_up() -> None:
        task = asyncio.create_task(answer(ASGIHandler(), "/patient/"))
        while not django_site.patients:
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    django_site.patients.clear()
    asyncio.run(asyncio.wait_for(give_up(), 30))
    assert lines.one["http_response"] is None
    assert lines.one["user"]["ip"] == "127.0.0.1"
    assert "error" not in lines.one
    assert recorder.one()["outcome"]["result"] == "unknown"


def test_a_file_goes_to_the_servers_own_file_wrapper(audited):
    class FileWrapper:
        def __init__(self, filelike: Any, block_size: int) -> None:
            self.filelike, self.close = filelike, filelike.close

    asked = RequestFactory().get("/file/").environ | {"wsgi.file_wrapper": FileWrapper}
    result = WSGIHandler()(asked, lambda status, headers: None)
    assert type(result) is FileWrapper
    assert result.filelike is django_site.opened[-1]
    result.close()
    assert lines.one["http_response"]["status_code"] == 200


@pytest.mark.parametrize("path", ["/boom/", "/boom-async/"])
def test_an_exception_that_nobody_handles_is_in_line_and_event(serve, recorder, path):
    serve(path)
    assert (lines.one["type"], lines.one["http_response"]["status_code"]) == ("INFO", 500)
    for error in (lines.one["error"], recorder.one()["error"]):
        assert (error["type"], error["message"]) == ("builtins.ValueError", "kaboom")
        assert "raise ValueError" in error["stacktrace"]
    assert recorder.one()["level"] == "error"


@override_settings(DEBUG_PROPAGATE_EXCEPTIONS=True)
@pytest.mark.parametrize("served", [wsgi, asgi])
def test_an_exception_that_django_passes_on_is_a_line_without_response(served):
    with contextlib.suppress(ValueError):
        got = served("/boom/")
        assert repr(got.raised) == "ValueError('kaboom')"
    assert lines.one["http_response"] is None
    assert lines.one["error"]["message"] == "kaboom"


def test_debug_is_logged(serve):
    serve("/debug/")
    assert (lines.one["type"], lines.one["message"]) == ("DEBUG", "looked closely")


def test_results_that_json_lacks_are_logged():
    assert wsgi("/dates/").status_code == 200
    assert lines.one["results"] == {"at": "2026-01-02"}


# ----------------------------------------------------------------------------------------------------------- who it was


def test_the_user_is_in_the_line_and_is_the_events_identity(audited, recorder):
    known = logged_in()
    got = known.get("/")
    assert lines.one["user"] == {
        "authenticated": True,
        "email": "alice@amsterdam.nl",
        "roles": ["inspectors"],
        "ip": "127.0.0.1",
        "provider": {"name": "django.contrib.auth.backends.ModelBackend", "realm": ""},
    }
    assert recorder.one()["actor"] == {
        "id": "1",
        "type": "user",
        "authenticated": True,
        "email": "alice@amsterdam.nl",
        "provider": "django.contrib.auth.backends.ModelBackend",
        "roles": ["inspectors"],
    }
    assert got["X-Userid"] == "1"
    assert recorder.one()["session"]["id"] == got["X-Sessionid"]
    assert known.cookies["sessionid"].value not in str(recorder.events)


def test_the_identity_is_the_field_that_the_audit_was_told(recorder):
    with override_settings(AUDITMW={"directory": recorder, "service": "site", "user_field": "username"}):
        logged_in().get("/")
    assert recorder.one()["actor"]["id"] == "alice"


def test_a_user_that_the_view_sets_or_identifies_wins(audited, recorder):
    known = logged_in()
    known.get("/named-here/")
    assert lines.one["user"]["email"] == recorder.events[0]["actor"]["id"] == "eva@b.nl"
    known.get("/identified/")
    assert recorder.events[1]["actor"]["id"] == "user-42"


def test_a_line_that_a_view_sends_has_the_user_of_that_time():
    assert "Vary" not in logged_in().get("/sent/")
    sent, at_the_end = (json.loads(line)["audit"]["user"] for line in lines.lines)
    assert sent["email"] == at_the_end["email"] == "alice@amsterdam.nl"
    lines.lines.clear()
    client().get("/sent-before-login/")
    sent, at_the_end = (json.loads(line)["audit"]["user"] for line in lines.lines)
    assert (sent["authenticated"], sent["ip"], at_the_end["authenticated"]) == (False, "127.0.0.1", True)
    assert problems.counts == {}


def test_no_response_varies_by_cookie_because_of_us():
    known = logged_in()
    assert "Vary" not in known.get("/")
    assert known.get("/whoami/")["Vary"] == "Cookie"
    assert client().get("/whoami/")["Vary"] == "Cookie"


def test_who_has_no_session_costs_no_query():
    with CaptureQueriesContext(connection) as queries:
        wsgi("/")
    assert list(queries) == []
    assert lines.one["user"]["authenticated"] is False


def test_a_login_and_a_logout_are_logged_with_their_user(audited, recorder):
    known = logged_in()
    for path in ("/logout/", "/login/"):
        lines.lines.clear()
        assert known.get(path).status_code == 200
        assert lines.one["user"]["email"] == "alice@amsterdam.nl"
        assert recorder.events[-1]["actor"]["id"] == "1"


def test_a_user_that_cannot_be_loaded_costs_the_line_its_user_only(monkeypatch):
    known = logged_in()
    monkeypatch.setattr("django.contrib.auth.middleware.get_user", lambda request: raising())
    assert known.get("/").status_code == 200
    assert lines.one["user"]["authenticated"] is False
    assert lines.one["user"]["ip"] == "127.0.0.1"
    assert problems.counts == {"users": 1}


def test_a_site_without_sessions_and_users_is_logged():
    with override_settings(MIDDLEWARE=[DATAPUNT]):
        wsgi("/")
    assert lines.one["user"]["provider"] == {"name": "", "realm": ""}
    assert problems.counts == {}


def test_a_user_model_without_groups_has_no_roles():
    with override_settings(MIDDLEWARE=[DATAPUNT]):
        wsgi("/token/")
    assert lines.one["user"] == {
        "authenticated": True,
        "email": "",
        "roles": [],
        "ip": "127.0.0.1",
        "provider": {"name": "", "realm": ""},
    }


def test_the_first_forwarded_address_is_the_clients():
    wsgi("/", HTTP_X_FORWARDED_FOR="1.2.3.4, 10.0.0.1")
    assert lines.one["user"]["ip"] == "1.2.3.4"


def test_a_subclass_may_name_the_realm():
    with override_settings(MIDDLEWARE=[*REST, f"{__name__}.Employees"]):
        wsgi("/")
    assert lines.one["user"]["provider"]["realm"] == "employee"


def __getattr__(name: str) -> Any:
    """The subclass of a site of its own, once Django is set up."""
    if name != "Employees":
        raise AttributeError(name)
    from auditmw.contrib.datapunt_django import AuditLogMiddleware

    class Employees(AuditLogMiddleware):
        def process_request(self, request: Any) -> None:
            super().process_request(request)
            request.audit_log.set_user_from_request(request, realm="employee")

    return Employees


# ----------------------------------------------------------------------------------------- settings and what goes wrong


@pytest.mark.parametrize(
    ("patterns", "path", "logged"),
    [
        pytest.param([r"^items/\d"], "/items/1/", 0, id="the leading slash is stripped"),
        pytest.param([r"^items/\d"], "///items/1/", 0, id="all leading slashes are"),
        pytest.param([r"^/items"], "/items/1/", 1, id="so none can be matched"),
        pytest.param([r"tems/1"], "/items/1/", 0, id="searches anywhere"),
        pytest.param((r"^nothing", r"^items"), "/items/1/", 0, id="a tuple"),
        pytest.param([r"^lost"], "/lost/", 0, id="an error too"),
    ],
)
def test_urls_are_exempt_as_they_were(audited, recorder, patterns, path, logged):
    with override_settings(AUDIT_LOG_EXEMPT_URLS=patterns):
        wsgi(path)
    assert len(lines.lines) == logged
    assert len(recorder.events) == 1  # what is exempt there is the audit's own setting


def test_the_mount_point_is_part_of_the_path():
    with override_settings(AUDIT_LOG_EXEMPT_URLS=[r"^mnt/items"]):
        wsgi("/items/1/", SCRIPT_NAME="/mnt")
    assert lines.lines == []


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        pytest.param("AUDIT_LOG_EXEMPT_URLS", "^a", "expected AUDIT_LOG_EXEMPT_URLS to be a list of", id="a str"),
        pytest.param("AUDIT_LOG_EXEMPT_URLS", ["("], r"expression in AUDIT_LOG_EXEMPT_URLS, not '\('", id="regex"),
        pytest.param("AUDIT_LOG_LOGGER_NAME", 7, "expected AUDIT_LOG_LOGGER_NAME to be the name of", id="name"),
        *(
            pytest.param(name, "no.where", f"expected {name} to be the dotted .*, not 'no.where': ModuleNotF", id=name)
            for name in ("AUDIT_LOG_HANDLER_CALLABLE_PATH", "AUDIT_LOG_FORMATTER_CALLABLE_PATH")
        ),
    ],
)
def test_bad_settings_stop_django_at_its_start(setting, value, expected):
    with override_settings(**{setting: value}), pytest.raises(ImproperlyConfigured, match=expected):
        WSGIHandler()


def test_a_handler_callable_that_raises_sends_the_line_to_stdout(capsys):
    with override_settings(AUDIT_LOG_HANDLER_CALLABLE_PATH=f"{__name__}.raising"):
        assert wsgi("/").status_code == 200
    assert json.loads(capsys.readouterr().out)["audit"]["http_request"]["url"] == "http://testserver/"
    assert problems.counts == {"handlers": 1}


def test_a_handler_that_raises_leaves_request_and_event_alone(serve, recorder, monkeypatch):
    monkeypatch.setattr(lines, "emit", lambda record: 1 / 0)
    serve("/async-said/")
    assert recorder.one()["message"] == "Searched items"
    assert recorder.one()["http"]["response"]["status_code"] == 200
    assert problems.counts == {"lines": 1}


def test_a_host_that_django_does_not_allow_is_its_own_to_refuse():
    with override_settings(ALLOWED_HOSTS=["shop.example.com"], MIDDLEWARE=[DATAPUNT]):
        assert wsgi("/", HTTP_HOST="evil.example.org").status_code == 200
    assert lines.one["http_request"]["url"] == "/"


def test_a_logger_that_another_middleware_put_there_is_used():
    with override_settings(MIDDLEWARE=[f"{__name__}.put_logger", DATAPUNT]):
        wsgi("/")
    assert lines.one["http_request"]["url"] == "https://a.nl/"
    assert lines.one["http_response"]["status_code"] == 200


def put_logger(get_response: Any) -> Any:
    from auditmw.contrib.datapunt_django import DjangoAuditLogger

    def serve(request: Any) -> Any:
        request.audit_log = DjangoAuditLogger().set_http_request("GET", "https://a.nl/")
        return get_response(request)

    return serve


def test_the_asynchronous_test_client_works():
    async def visit() -> None:
        assert (await AsyncClient().get("/async-said/")).content == b"said"

    asyncio.run(visit())
    assert lines.one["message"] == "Searched items"
