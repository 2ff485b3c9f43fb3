"""Flask through its own test client, with flask-login and with sessions in cookies and on the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("flask")

import flask
from flask.sessions import SecureCookieSession, SessionInterface

import auditmw
from auditmw.contrib.flask import FlaskAudit, session_resolver
from auditmw.testing import Recorder, assert_valid

MakeApp = Callable[..., flask.Flask]


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    for event in recorder.events:
        assert_valid(event)


@pytest.fixture
def app(recorder: Recorder) -> flask.Flask:
    app = shop()
    FlaskAudit(app, auditmw.Audit(recorder, service="shop"))
    return app


def shop() -> flask.Flask:
    app = flask.Flask("shop")
    app.secret_key = "only for tests"

    @app.get("/items/<int:pk>")
    def item(pk: int) -> str:
        return f"item {pk}"

    @app.get("/boom")
    def boom() -> str:
        raise ValueError("kaboom")

    @app.get("/stream")
    def stream() -> Any:
        @flask.stream_with_context
        def chunks() -> Iterator[str]:
            yield flask.request.path
            auditmw.annotate(message="in the middle")
            yield "é"

        return chunks()

    @app.get("/named")
    def named() -> str:
        auditmw.identify("bob")
        return "hello bob"

    @app.get("/recorded")
    def recorded() -> str:
        auditmw.record("order_shipped")
        return "shipped"

    @app.get("/in/<user>")
    def sign_in(user: str) -> str:
        flask.session["user_id"] = user
        return "welcome"

    @app.get("/me")
    def me() -> str:
        return str(flask.session.get("user_id"))

    @app.get("/out")
    def sign_out() -> str:
        flask.session.clear()
        return "bye"

    return app


# ------------------------------------------------------------------------------------------------------ the whole event


@pytest.mark.parametrize(
    ("path", "status", "route"),
    [
        ("/items/7", 200, "/items/<int:pk>"),
        ("/nowhere", 404, None),
        ("/items/seven", 404, None),
        ("/boom", 500, "/boom"),
    ],
)
def test_a_request_is_one_event_with_its_route(app, recorder, path, status, route):
    got = app.test_client().get(path)
    event = recorder.one()
    assert got.status_code == event["http"]["response"]["status_code"] == status
    assert event["http"]["response"]["body_size"] == len(got.data)
    assert event["http"].get("route") == route
    assert got.headers["X-Request-ID"] == event["request_id"]


def test_an_exception_behind_an_error_page_is_in_the_event(app, recorder):
    assert app.test_client().get("/boom").status_code == 500
    error = recorder.one()["error"]
    assert (error["type"], error["message"], error["handled"]) == ("builtins.ValueError", "kaboom", True)
    assert 'raise ValueError("kaboom")' in error["stacktrace"]


def test_an_exception_that_flask_passes_on_is_passed_on(app, recorder):
    app.testing = True
    with pytest.raises(ValueError, match="kaboom"):
        app.test_client().get("/boom")
    assert recorder.one()["error"]["handled"] is False


def test_a_stream_is_recorded_at_its_end_in_the_context_of_its_request(app, recorder):
    got = app.test_client().get("/stream")
    assert got.data == "/streamé".encode()
    assert recorder.one()["http"]["response"]["body_size"] == 9
    assert recorder.one()["message"] == "in the middle"


def test_what_the_view_says_wins(app, recorder):
    client = app.test_client()
    client.get("/in/alice")
    assert client.get("/named").headers["X-Userid"] == recorder.events[-1]["actor"]["id"] == "bob"


def test_nothing_but_our_headers_is_added(app):
    bare, audited = shop().test_client(), app.test_client()
    for path in ("/items/7", "/nowhere", "/in/alice", "/me", "/out"):
        ours = [
            pair for pair in audited.get(path).headers if pair[0] not in ("X-Request-ID", "X-Userid", "X-Sessionid")
        ]
        assert without_signature(ours) == without_signature(bare.get(path).headers)


def without_signature(headers: Any) -> list[tuple[str, str]]:
    """A cookie's signature has the time in it."""
    return [(name, value.partition(".")[0] if name == "Set-Cookie" else value) for name, value in headers]


# ---------------------------------------------------------------------------------------------------------- the adapter


def test_an_application_is_wrapped_once(recorder):
    app, audit = shop(), auditmw.Audit(recorder, service="shop")
    adapter = FlaskAudit(app, audit)
    shell = app.wsgi_app
    adapter.init_app(app)
    FlaskAudit().init_app(app, audit)
    assert app.wsgi_app is shell
    app.test_client().get("/items/7")
    assert len(recorder.events) == 1


def test_one_adapter_serves_several_applications_of_a_factory(recorder):
    adapter = FlaskAudit(audit=auditmw.Audit(recorder, service="shop"))
    for _ in range(2):
        app = shop()
        adapter.init_app(app)
        app.test_client().get("/items/7")
    assert [event["http"]["route"] for event in recorder.events] == ["/items/<int:pk>"] * 2


def test_a_shell_around_the_application_keeps_the_event_one(app, recorder):
    app.wsgi_app = auditmw.WSGIAudit(app.wsgi_app, app.extensions["auditmw"])
    app.test_client().get("/items/7")
    assert recorder.one()["http"]["route"] == "/items/<int:pk>"


def test_an_adapter_without_an_audit_says_what_it_wants():
    with pytest.raises(TypeError, match=r"auditmw\.Audit, not None"):
        FlaskAudit(shop())


def test_an_application_has_one_audit(app):
    with pytest.raises(ValueError, match="expected one Audit"):
        FlaskAudit(app, auditmw.Audit(Recorder(), service="another"))


def test_a_resolver_of_ones_own_is_asked_instead(recorder):
    app = shop()
    FlaskAudit(app, auditmw.Audit(recorder, service="shop", resolver=lambda request: auditmw.Identity("carol")))
    client = app.test_client()
    client.get("/in/alice")
    assert recorder.one()["actor"]["id"] == "carol"


# ------------------------------------------------------------------------------------------------------------- sessions


def test_the_user_of_the_session_is_named_from_login_to_logout(app, recorder):
    client = app.test_client()
    for path in ("/items/1", "/in/alice", "/me", "/items/7", "/out", "/items/8"):
        client.get(path)
    assert [event["actor"].get("id") for event in recorder.events] == [None, "alice", "alice", "alice", "alice", None]


def test_only_a_view_that_looked_at_the_session_makes_the_response_vary(app):
    client = app.test_client()
    client.get("/in/alice")
    assert client.get("/items/7").headers.get("Vary") is None
    assert client.get("/recorded").headers.get("Vary") is None
    assert client.get("/me").headers["Vary"] == "Cookie"


def test_a_session_that_marks_every_look_is_not_marked_by_ours(app, recorder):
    """As Flask's own before 3.1.3."""

    class Marking(SecureCookieSession):
        def get(self, key: str, default: Any = None) -> Any:
            self.accessed = True
            return super().get(key, default)

    app.session_interface.session_class = Marking
    client = app.test_client()
    client.get("/in/alice")
    assert client.get("/recorded").headers.get("Vary") is None
    assert recorder.events[-1]["actor"]["id"] == "alice"


def test_the_session_is_saved_only_when_the_view_changed_it(app):
    client = app.test_client()
    client.get("/in/alice")
    assert "Set-Cookie" not in client.get("/items/7").headers


def test_the_keys_of_the_session_can_be_chosen(recorder):
    app = shop()
    resolver = session_resolver(user_key="member", session_key="visit")
    FlaskAudit(app, auditmw.Audit(recorder, service="shop", resolver=resolver))

    @app.get("/join")
    def join() -> str:
        flask.session.update(member="dave", visit="v-1")
        return "welcome"

    assert app.test_client().get("/join").headers["X-Userid"] == "dave"
    assert recorder.one()["session"]["id"] not in (None, "v-1")


class ServerSession(SecureCookieSession):
    """As Flask-Session has them: the data stays on the server, under `sid`."""

    sid: str


class ServerSessions(SessionInterface):
    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {}

    def open_session(self, app: flask.Flask, request: flask.Request) -> ServerSession:
        sid = request.cookies.get("sid") or f"sid-{len(self.kept)}-secret"
        session = ServerSession(self.kept.get(sid))
        session.sid = sid
        return session

    def save_session(self, app: flask.Flask, session: Any, response: flask.Response) -> None:
        if session:
            self.kept[session.sid] = dict(session)
            response.set_cookie("sid", session.sid)


def test_a_session_on_the_server_is_named_by_its_hashed_id_once_it_holds_something(app, recorder):
    app.session_interface = ServerSessions()
    client = app.test_client()
    for path in ("/items/1", "/in/alice", "/items/7"):
        client.get(path)
    empty, new, known = recorder.events
    assert "session" not in empty
    assert new["session"] == known["session"]
    assert "secret" not in str(recorder.events)


def test_a_session_that_cannot_be_read_is_the_views_to_find_out(app, recorder):
    class Broken(SecureCookieSession):
        def __iter__(self) -> Any:
            raise OSError("the store is down")

        get = keys = __iter__

    class Sessions(SessionInterface):
        def open_session(self, app: Any, request: Any) -> Broken:
            return Broken({"a": 1})

        def save_session(self, *anything: Any) -> None: ...

    app.session_interface = Sessions()
    assert app.test_client().get("/items/7").data == b"item 7"
    assert recorder.one()["actor"] == {"type": "unknown"}
    assert app.extensions["auditmw"].health()["counts"]["resolver_errors"]


# ---------------------------------------------------------------------------------------------------------- flask-login


@pytest.fixture
def loaded() -> list[str]:
    """The ids of the users that were loaded."""
    return []


@pytest.fixture
def members(app: flask.Flask, loaded: list[str]) -> flask.Flask:
    """The application with flask-login."""
    flask_login = pytest.importorskip("flask_login")

    class User(flask_login.UserMixin):
        def __init__(self, id: str) -> None:
            self.id = id

    manager = flask_login.LoginManager(app)

    @manager.user_loader
    def load(user_id: str) -> Any:
        loaded.append(user_id)
        return User(user_id)

    @manager.request_loader
    def load_from_key(request: flask.Request) -> Any:
        key = request.headers.get("Api-Key")
        return User(f"owner of {key}") if key else None

    @app.get("/login/<user>")
    def login(user: str) -> str:
        flask_login.login_user(User(user))
        return "welcome"

    @app.get("/profile")
    def profile() -> str:
        return flask_login.current_user.get_id() or "nobody"

    @app.get("/logout")
    def logout() -> str:
        flask_login.logout_user()
        return "bye"

    return app


def test_the_user_of_flask_login_is_named_from_login_to_logout(members, recorder):
    client = members.test_client()
    for path in ("/items/1", "/login/alice", "/profile", "/items/7", "/logout", "/profile"):
        client.get(path)
    assert [event["actor"].get("id") for event in recorder.events] == [None, "alice", "alice", "alice", "alice", None]
    assert [event["actor"].get("authenticated") for event in recorder.events] == [False, True, True, None, True, False]


def test_no_user_is_loaded_that_the_view_does_not_load(members, loaded):
    client = members.test_client()
    client.get("/login/alice")
    loaded.clear()
    assert client.get("/items/7").headers["X-Userid"] == "alice"
    assert loaded == []


def test_two_users_of_one_browser_have_two_sessions(members, recorder):
    for user in ("alice", "bob"):
        client = members.test_client()
        client.get(f"/login/{user}")
        client.get("/items/7")
    sessions = [event["session"]["id"] for event in recorder.events]
    assert sessions[0] == sessions[1] != sessions[2] == sessions[3]


def test_a_user_found_by_a_request_loader_is_named(members, recorder):
    members.test_client().get("/profile", headers={"Api-Key": "k-1"})
    assert recorder.one()["actor"]["id"] == "owner of k-1"


def test_a_session_that_flask_login_rejects_names_nobody(members, recorder):
    members.login_manager.session_protection = "strong"
    client = members.test_client()
    client.get("/login/alice", headers={"User-Agent": "hers"})
    client.get("/profile", headers={"User-Agent": "a thief's"})
    assert recorder.events[-1]["actor"] == {"type": "anonymous", "authenticated": False}
