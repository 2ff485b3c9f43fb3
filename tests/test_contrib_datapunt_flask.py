"""Flask applications written against DataPunt's audit log, with auditmw's in its place."""

from __future__ import annotations

import datetime
import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("flask")

import flask
from werkzeug.test import run_wsgi_app

import auditmw
import datapunt_golden
from asgi_driver import ask
from auditmw.contrib.datapunt import AuditLogFormatter, problems
from auditmw.contrib.datapunt_flask import AuditLogMiddleware, FlaskAuditLogger, get_client_ip
from auditmw.testing import Recorder, assert_valid

APP = Path(__file__).parent / "datapunt_apps" / "flask_shop.py"
RENAMED = {"flask_audit_log.middleware": "auditmw.contrib.datapunt_flask"}
HANDLER = f"{__name__}.make_handler"


class Lines(logging.Handler):
    """Keeps the lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    @property
    def audits(self) -> list[dict[str, Any]]:
        return [json.loads(line)["audit"] for line in self.lines]

    @property
    def one(self) -> dict[str, Any]:
        assert len(self.lines) == 1, self.lines
        return self.audits[0]


lines = Lines()


def make_handler() -> logging.Handler:
    return lines


def who() -> Any:
    return people.pop(0)()


def raising() -> Any:
    raise OSError("not now")


people: list[Callable[[], Any]] = []


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    lines.lines.clear()
    people.clear()
    problems.renew()
    logger = logging.getLogger("audit_log")
    logger.handlers.clear()
    logger.propagate = True  # where it does not, pytest adds handlers of its own before the next test


def shop(**settings: Any) -> flask.Flask:
    app = flask.Flask("shop")
    app.secret_key = "only for tests"
    app.config["AUDIT_LOG"] = {"LOG_HANDLER_CALLABLE_PATH": HANDLER, **settings}

    @app.get("/plain")
    @app.get("/foo/bar")
    @app.get("/pre/foo/barbaz")
    def plain() -> str:
        return "plain"

    @app.get("/said")
    def said() -> str:
        flask.g.audit_log.set_filter("Item", {"name": "abc"}).set_results([{"id": 1}]).warning("Searched items")
        return "said"

    @app.get("/debug")
    async def debug() -> str:
        flask.g.audit_log.debug("looked closely")
        return "debug"

    @app.get("/dates")
    def dates() -> str:
        flask.g.audit_log.set_results({"at": datetime.date(2026, 1, 2)})
        return "dates"

    @app.get("/boom")
    def boom() -> str:
        flask.g.audit_log.info("about to fail")
        raise ValueError("kaboom, password=hunter2")

    @app.get("/stream")
    def stream() -> Any:
        audit_log = flask.g.audit_log

        @flask.stream_with_context
        def chunks() -> Iterator[str]:
            yield "some "
            audit_log.set_results({"seen": len(lines.lines)})
            yield "more"

        return chunks()

    @app.get("/stream-without-context")
    def stream_without_context() -> Any:
        return flask.Response(chunk for chunk in ("some ", "more"))

    @app.get("/stream-that-fails")
    def stream_that_fails() -> Any:
        def chunks() -> Iterator[str]:
            yield "some"
            raise ValueError("kaboom")

        return chunks()

    @app.get("/file")
    def file() -> Any:
        return flask.send_file(__file__)

    @app.get("/login")
    def login() -> str:
        flask.session["email"] = "eva@b.nl"
        return "welcome"

    return app


def installed(audit: auditmw.Audit | None = None, **settings: Any) -> flask.Flask:
    app = shop(**settings)
    AuditLogMiddleware(app, audit)
    return app


# ------------------------------------------------------------------------------------------- what the originals printed


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str | None, str | None]]:
    ours = datapunt_golden.print_lines(
        APP, datapunt_golden.cases("flask"), renamed=RENAMED, directory=tmp_path_factory.mktemp("app")
    )
    return {case.name: (case.printed, line) for case, line in ours}


@pytest.mark.parametrize("case", [case.name for case in datapunt_golden.cases("flask")])
def test_an_application_with_one_line_changed_prints_what_it_printed(printed, case):
    theirs, ours = printed[case]
    if case == "exception":
        assert json.loads(ours)["audit"]["error"]["type"] == "builtins.ValueError"
        assert datapunt_golden.without_error(ours) == datapunt_golden.without_error(theirs)
    else:
        assert ours == theirs


def test_the_original_prints_the_lines_that_are_kept_here(tmp_path):
    pytest.importorskip("flask_audit_log")
    kept = [case for case in datapunt_golden.cases("flask") if case.printed is not None]
    for case, line in datapunt_golden.print_lines(APP, kept, directory=tmp_path):
        assert line == case.printed


def test_the_line_of_the_specification_is_printed():
    with installed().test_client() as client:
        client.get("/said?q=abc&token=SECRET", headers={"User-Agent": "UA/1", "X-Forwarded-For": "1.2.3.4, 10.0.0.1"})
    assert lines.one == {
        "http_request": {
            "method": "GET",
            "url": "http://localhost/said?q=abc&token=SECRET",
            "user_agent": "UA/1",
        },
        "http_response": {
            "status_code": 200,
            "reason": "200 OK",
            "headers": {"Content-Type": "text/html; charset=utf-8", "Content-Length": "4"},
        },
        "user": {
            "authenticated": False,
            "email": "",
            "roles": [],
            "ip": "1.2.3.4, 10.0.0.1",
            "provider": {"name": "", "realm": ""},
        },
        "filter": {"object": "Item", "kwargs": {"name": "abc"}},
        "results": [{"id": 1}],
        "type": "WARNING",
        "message": "Searched items",
    }


# ------------------------------------------------------------------------------------------------------------ the event


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    for event in recorder.events:
        assert_valid(event)


@pytest.fixture
def audit(recorder: Recorder) -> auditmw.Audit:
    return auditmw.Audit(recorder, service="shop")


def test_a_request_is_one_line_and_one_event_that_says_the_same(audit, recorder):
    got = installed(audit).test_client().get("/said")
    event = recorder.one()
    assert lines.one["message"] == event["message"] == "Searched items"
    assert (event["level"], event["results"]) == ("warning", [{"id": 1}])
    assert event["filter"] == {"object": "Item", "kwargs": {"name": "abc"}}
    assert event["http"]["route"] == "/said"
    assert got.headers["X-Request-ID"] == event["request_id"]
    assert audit.health()["status"] == "ok"


def test_the_user_of_the_callable_is_the_identity_and_a_view_wins(audit, recorder):
    app = installed(audit, USER_FROM_REQUEST_CALLABLE_PATH=f"{__name__}.who")

    @app.get("/named")
    def named() -> str:
        auditmw.identify("user-42")
        return "named"

    known = {"authenticated": True, "email": "a@b.nl", "provider": "keycloak", "realm": "employee", "roles": ["admin"]}
    people[:] = [lambda: known] * 2
    got = app.test_client().get("/plain")
    assert got.headers["X-Userid"] == recorder.events[0]["actor"]["id"] == "a@b.nl"
    assert recorder.events[0]["actor"]["roles"] == ["admin"]
    app.test_client().get("/named")
    assert recorder.events[1]["actor"]["id"] == "user-42"


def test_without_an_audit_the_response_is_as_it_was():
    bare, audited = shop().test_client(), installed().test_client()
    for path in ("/plain", "/nowhere", "/stream-without-context", "/file"):
        with audited.get(path) as ours, bare.get(path) as theirs:
            assert list(ours.headers) == list(theirs.headers)


@pytest.mark.parametrize("path", ["/stream", "/stream-without-context"])
def test_a_stream_is_logged_at_its_end(audit, recorder, path):
    response = installed(audit).test_client().get(path)
    assert response.get_data() == b"some more"
    response.close()
    assert lines.one["results"] == ({"seen": 0} if path == "/stream" else None)
    assert recorder.one()["http"]["response"]["body_size"] == 9
    assert recorder.one().get("results") == lines.one["results"]
    assert audit.health()["status"] == "ok"


def ask_for_the_request() -> logging.Formatter:
    class Asking(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return f"{flask.request.headers['X-Order']} {flask.g.audit_log.http_response['status_code']}"

    return Asking()


@pytest.mark.parametrize("path", ["/plain", "/file", "/stream", "/stream-without-context"])
def test_a_formatter_may_ask_for_the_request(audit, path):
    app = shop(LOG_FORMATTER_CALLABLE_PATH=f"{__name__}.ask_for_the_request")
    AuditLogMiddleware(app, audit)
    response = app.test_client().get(path, headers={"X-Order": "17"})
    response.get_data()
    response.close()
    assert lines.lines == ["17 200"]


def test_a_stream_that_fails_says_so_in_line_and_event(audit, recorder):
    with pytest.raises(ValueError, match="kaboom"):
        installed(audit).test_client().get("/stream-that-fails").get_data()
    assert lines.one["http_response"]["status_code"] == 200
    assert lines.one["error"]["message"] == recorder.one()["error"]["message"] == "kaboom"


@pytest.mark.parametrize("path", ["/stream", "/stream-without-context", "/plain", "/file"])
def test_a_client_that_leaves_at_once_leaves_a_line(path):
    environ = installed().test_client().application.request_class.from_values(path).environ
    result, _, _ = run_wsgi_app(installed(), environ)
    result.close()
    assert lines.one["http_response"]["status_code"] == 200


def test_a_file_stays_the_servers_own(recorder):
    environ = installed().request_class.from_values("/file").environ
    environ["wsgi.file_wrapper"] = lambda file, size=0: wrapped.append(file) or SimpleNamespace(file=file)
    wrapped: list[Any] = []
    result = installed()(environ, lambda *head: None)
    assert result.file is wrapped[0]
    wrapped[0].close()
    assert lines.one["http_response"]["status_code"] == 200


def test_an_exception_that_nobody_handles_is_in_line_and_event_without_its_secrets(audit, recorder):
    assert installed(audit).test_client().get("/boom").status_code == 500
    line, event = lines.one, recorder.one()
    assert (line["type"], line["message"], line["http_response"]["status_code"]) == ("INFO", "about to fail", 500)
    assert line["error"]["type"] == event["error"]["type"] == "builtins.ValueError"
    assert "kaboom" in line["error"]["message"]
    assert "raise ValueError" in line["error"]["stacktrace"]
    assert "hunter2" not in line["error"]["message"]
    assert (event["level"], event["message"]) == ("error", "about to fail")


def test_an_exception_that_flask_passes_on_is_a_line_without_response(audit, recorder):
    app = installed(audit)
    app.testing = True
    with pytest.raises(ValueError, match="kaboom"):
        app.test_client().get("/boom")
    assert lines.one["http_response"] is None
    assert lines.one["error"]["type"] == "builtins.ValueError"
    assert recorder.one()["error"]["handled"] is False


def test_an_exception_that_the_application_answers_is_no_error_of_the_line():
    app = installed()
    app.register_error_handler(ValueError, lambda error: ("sorry", 422))
    app.test_client().get("/boom")
    assert lines.one["http_response"]["status_code"] == 422
    assert "error" not in lines.one


def test_debug_and_async_views_are_logged():
    installed().test_client().get("/debug")
    assert (lines.one["type"], lines.one["message"]) == ("DEBUG", "looked closely")


def test_results_that_json_lacks_are_logged():
    assert installed().test_client().get("/dates").status_code == 200
    assert lines.one["results"] == {"at": "2026-01-02"}


def test_requests_under_one_application_context_are_lines_of_their_own():
    app = installed()
    with app.app_context():
        app.test_client().get("/said")
        app.test_client().get("/plain")
    assert [audit["message"] for audit in lines.audits] == ["Searched items", ""]
    assert [audit["http_request"]["url"] for audit in lines.audits] == [
        "http://localhost/said",
        "http://localhost/plain",
    ]


def test_an_exempt_request_under_the_context_of_another_says_nothing_of_it(audit, recorder):
    app = installed(audit, EXEMPT_URLS=["^/plain"])
    with app.app_context():
        app.test_client().get("/said")
        app.test_client().get("/plain")
    assert lines.one["message"] == "Searched items"
    assert [event.get("message") for event in recorder.events] == ["Searched items", None]


def test_an_error_page_is_logged_without_being_read():
    """As the tests of an application do that look for a line."""
    installed().test_client().get("/nowhere")
    assert lines.one["http_response"]["reason"] == "404 NOT FOUND"


def test_a_request_that_another_before_request_answers_is_a_line(audit, recorder):
    app = shop()
    app.before_request(lambda: ("shut", 403))
    AuditLogMiddleware(app, audit)
    app.test_client().get("/plain")
    assert lines.one["http_response"]["reason"] == "403 FORBIDDEN"
    assert lines.one["user"]["ip"] == "127.0.0.1"
    assert recorder.one()["http"]["response"]["status_code"] == 403


def test_a_context_without_a_request_that_was_served_is_no_line():
    with installed().test_request_context("/plain"):
        pass
    assert lines.lines == []


def test_a_logger_that_the_application_put_there_itself_is_used():
    app = shop()

    @app.before_request
    def put() -> None:
        flask.g.audit_log = FlaskAuditLogger(app.config["AUDIT_LOG"]).set_http_request("GET", "https://a.nl/")

    AuditLogMiddleware(app)
    app.test_client().get("/said")
    assert lines.one["http_request"]["url"] == "https://a.nl/"
    assert lines.one["message"] == "Searched items"


def test_an_application_behind_asgi_is_logged_too(audit, recorder):
    from asgiref.wsgi import WsgiToAsgi

    got = ask(WsgiToAsgi(installed(audit)), "/said")
    assert (got.status, got.body) == (200, b"said")
    assert lines.one["message"] == recorder.one()["message"] == "Searched items"


# ------------------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("patterns", "path", "logged"),
    [
        pytest.param([r"/foo/bar"], "/foo/bar", 0, id="matches"),
        pytest.param([r"/foo/bar"], "/pre/foo/barbaz", 0, id="searches anywhere"),
        pytest.param([r"^/foo/bar$"], "/pre/foo/barbaz", 1, id="anchored"),
        pytest.param([r"^foo/bar"], "/foo/bar", 1, id="the leading slash is kept"),
        pytest.param([r"/FOO"], "/foo/bar", 1, id="case counts"),
        pytest.param([r"x=1"], "/foo/bar?x=1", 1, id="no query"),
        pytest.param((r"^/nothing", r"^/foo"), "/foo/bar", 0, id="a tuple"),
        pytest.param([r"^/nowhere"], "/nowhere", 0, id="an error too"),
    ],
)
def test_urls_are_exempt_as_they_were(audit, recorder, patterns, path, logged):
    installed(audit, EXEMPT_URLS=patterns).test_client().get(path)
    assert len(lines.lines) == logged
    assert len(recorder.events) == 1  # what is exempt there is the audit's own setting


def test_the_mount_point_is_no_part_of_the_path():
    client = installed(EXEMPT_URLS=[r"^/foo/bar"]).test_client()
    assert client.get("/foo/bar", base_url="http://localhost/mnt").status_code == 200
    assert lines.lines == []


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        pytest.param(["x"], r"expected app.config\['AUDIT_LOG'\] to be a dict such as", id="no dict"),
        pytest.param({"EXEMPT_URLS": "^/health"}, r"expected AUDIT_LOG\['EXEMPT_URLS'\] to be a list", id="a str"),
        pytest.param(
            {"EXEMPT_URLS": ["("]}, r"a regular expression in AUDIT_LOG\['EXEMPT_URLS'\], not '\('", id="regex"
        ),
        pytest.param({"LOGGER_NAME": 7}, r"expected AUDIT_LOG\['LOGGER_NAME'\] to be the name of a logger", id="name"),
        *(
            pytest.param({name: "no.where"}, rf"expected AUDIT_LOG\['{name}'\] .*, not 'no.where': ModuleNot", id=name)
            for name in (
                "LOG_HANDLER_CALLABLE_PATH",
                "LOG_FORMATTER_CALLABLE_PATH",
                "USER_FROM_REQUEST_CALLABLE_PATH",
            )
        ),
    ],
)
def test_bad_settings_stop_the_application_at_its_start(config, expected):
    app = flask.Flask("shop")
    app.config["AUDIT_LOG"] = config
    with pytest.raises((TypeError, ValueError), match=expected):
        AuditLogMiddleware(app)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(raising, id="raises"),
        pytest.param(lambda: None, id="returns None"),
        pytest.param(lambda: "jan", id="returns no dict"),
    ],
)
def test_a_user_callable_that_fails_costs_the_line_its_user_only(answer, caplog):
    people[:] = [answer, answer]
    got = installed(USER_FROM_REQUEST_CALLABLE_PATH=f"{__name__}.who").test_client().get("/plain")
    assert got.status_code == 200
    assert lines.one["user"]["ip"] == "127.0.0.1"
    assert problems.counts["users"]
    assert "AUDIT_LOG['USER_FROM_REQUEST_CALLABLE_PATH']" in caplog.text


def test_a_login_is_logged_with_its_user():
    people[:] = [dict, lambda: {"authenticated": True, "email": flask.session["email"]}]
    installed(USER_FROM_REQUEST_CALLABLE_PATH=f"{__name__}.who").test_client().get("/login")
    assert lines.one["user"]["email"] == "eva@b.nl"


def test_a_user_who_was_known_before_the_view_is_asked_for_once():
    people[:] = [lambda: {"authenticated": True, "email": "a@b.nl"}]
    installed(USER_FROM_REQUEST_CALLABLE_PATH=f"{__name__}.who").test_client().get("/plain")
    assert lines.one["user"]["email"] == "a@b.nl"
    assert problems.counts == {}


def test_a_user_that_the_view_sets_stays():
    people[:] = [dict, lambda: {"authenticated": True, "email": "another@b.nl"}]
    app = installed(USER_FROM_REQUEST_CALLABLE_PATH=f"{__name__}.who")

    @app.get("/named")
    def named() -> str:
        flask.g.audit_log.set_user(False, "", "claimed@b.nl")
        return "named"

    app.test_client().get("/named")
    assert lines.one["user"]["email"] == "claimed@b.nl"


def test_a_handler_callable_that_raises_sends_the_line_to_stdout(capsys):
    app = installed(LOG_HANDLER_CALLABLE_PATH=f"{__name__}.raising")
    assert app.test_client().get("/plain").status_code == 200
    assert json.loads(capsys.readouterr().out)["audit"]["http_request"]["method"] == "GET"
    assert problems.counts == {"handlers": 1}


def test_a_handler_that_raises_leaves_request_and_event_alone(audit, recorder, monkeypatch):
    monkeypatch.setattr(lines, "emit", lambda record: 1 / 0)
    assert installed(audit).test_client().get("/said").data == b"said"
    assert recorder.one()["message"] == "Searched items"
    assert problems.counts == {"lines": 1}


def test_a_host_that_werkzeug_does_not_trust_is_the_applications_to_refuse():
    app = installed()
    app.config["TRUSTED_HOSTS"] = ["shop.example.com"]
    app.test_client().get("/plain", headers={"Host": "evil.example.org"})
    assert len(lines.lines) == 1


@pytest.mark.parametrize(
    ("headers", "ip"),
    [
        ({"X-Forwarded-For": "1.2.3.4, 10.0.0.1"}, "1.2.3.4, 10.0.0.1"),
        ({}, "192.0.2.1"),
        ({"X-Forwarded-For": ""}, "192.0.2.1"),
    ],
)
def test_the_clients_address_is_what_it_was(headers, ip):
    request = flask.Request.from_values("/", headers=headers, environ_base={"REMOTE_ADDR": "192.0.2.1"})
    assert get_client_ip(request) == ip


def test_the_middleware_shows_what_the_original_showed():
    app = shop(EXEMPT_URLS=["^/a"])
    middleware = AuditLogMiddleware(app)
    assert middleware.app is app
    assert middleware.settings is app.config["AUDIT_LOG"]
    assert [pattern.pattern for pattern in middleware.redirect_exempt] == ["^/a"]
    assert isinstance(FlaskAuditLogger(middleware.settings).get_log_formatter(), AuditLogFormatter)
    assert sys.modules[AuditLogMiddleware.__module__].FlaskAuditLogger is FlaskAuditLogger
