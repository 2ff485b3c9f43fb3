"""The resolvers that need no framework."""

from __future__ import annotations

import base64
import inspect
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import create_environ

import auditmw
from auditmw import Identity, Request
from auditmw.resolvers import basic_auth, first_of, header, session_cookie
from auditmw.testing import Recorder, assert_valid


def request(trusted: bool = True, **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(SimpleNamespace(carrier=None, read_headers=lambda carrier: named, trusted=trusted))


def basic(credentials: bytes, scheme: str = "Basic") -> Request:
    return request(authorization=f"{scheme} {base64.b64encode(credentials).decode()}")


# --------------------------------------------------------------------------------------------------------------- header


def test_a_header_of_a_trusted_proxy_names_user_and_session():
    resolve = header("X-Remote-User", session="X-Remote-Session")
    assert resolve(request(x_remote_user="alice", x_remote_session="s-1")) == Identity("alice", session="s-1")
    assert resolve(request(x_remote_user="alice")) == Identity("alice")
    assert resolve(request(x_remote_session="s-1")) == Identity(None, session="s-1")


def test_a_header_of_anybody_else_names_nobody():
    assert header("X-Remote-User")(request(trusted=False, x_remote_user="admin")) is None


@pytest.mark.parametrize("value", ["", None])
def test_a_header_that_is_empty_or_missing_names_nobody(value):
    assert header("X-Remote-User")(request(**({} if value is None else {"x_remote_user": value}))) is None


@pytest.mark.parametrize("name", ["", "é", None, 7])
def test_a_header_needs_a_name(name):
    with pytest.raises(ValueError, match="expected the name of a header"):
        header(name)


# ----------------------------------------------------------------------------------------------------------- basic_auth


@pytest.mark.parametrize(
    ("sent", "user"),
    [
        pytest.param(basic(b"alice:open sesame"), "alice", id="user and password"),
        pytest.param(basic(b"alice:a:b:c"), "alice", id="colons in the password"),
        pytest.param(basic(b"alice:", scheme="bASIC"), "alice", id="the scheme has no case"),
        pytest.param(basic("test:123£".encode()), "test", id="RFC 7617, section 2.1"),
        pytest.param(basic("é:x".encode()), "é", id="UTF-8"),
        pytest.param(basic("é:x".encode("latin-1")), "é", id="latin-1"),
        pytest.param(basic(b":x"), None, id="no user"),
        pytest.param(basic(b"alice"), None, id="no colon"),
        pytest.param(basic(b"alice:x", scheme="Bearer"), None, id="another scheme"),
        pytest.param(request(authorization="Basic"), None, id="no credentials"),
        pytest.param(request(authorization="Basic !!!"), None, id="not base64"),
        pytest.param(request(authorization="Basic é"), None, id="not ASCII"),
        pytest.param(request(), None, id="no header"),
    ],
)
def test_basic_authentication_names_its_user(sent, user):
    assert basic_auth()(sent) == (None if user is None else Identity(user))


@given(st.text())
def test_basic_authentication_survives_any_header(value):
    found = basic_auth()(request(authorization=f"Basic {value}"))
    assert found is None or found.id


def test_the_password_is_nowhere_in_the_event():
    event = event_of(basic_auth(), basic(b"alice:open sesame"))
    assert event["actor"]["id"] == "alice"
    assert "sesame" not in str(event)
    assert base64.b64encode(b"alice:open sesame").decode() not in str(event)


# ------------------------------------------------------------------------------------------------------- session_cookie


def test_a_cookie_names_the_session_which_is_written_as_its_hash():
    assert session_cookie("sid")(request(cookie="a=b; sid=s-1")) == Identity(None, session="s-1")
    event = event_of(session_cookie("sid"), request(cookie="sid=secret-1"))
    assert event["session"]["id"]
    assert "secret-1" not in str(event)


@pytest.mark.parametrize("cookie", ["", "sid=", "other=s-1"])
def test_without_the_cookie_there_is_no_session(cookie):
    assert session_cookie("sid")(request(cookie=cookie)) is None


@pytest.mark.parametrize("name", ["", None])
def test_a_cookie_needs_a_name(name):
    with pytest.raises(ValueError, match="expected the name of a cookie"):
        session_cookie(name)


# ------------------------------------------------------------------------------------------------------------- first_of


def nobody(request: Request) -> None:
    return None


def alice(request: Request) -> Identity:
    return Identity("alice")


async def bob(request: Request) -> Identity:
    return Identity("bob")


class Carol:
    async def __call__(self, request: Request) -> Identity:
        return Identity("carol")


def unreachable(request: Request) -> Identity:
    raise AssertionError("somebody was known already")


@pytest.mark.parametrize(
    ("resolvers", "user"),
    [
        pytest.param([nobody, alice, unreachable], "alice", id="the first that knows"),
        pytest.param([nobody, bob, unreachable], "bob", id="an async one"),
        pytest.param([alice, bob], "alice", id="a plain one before an async one"),
        pytest.param([nobody, Carol()], "carol", id="an object that is async"),
        pytest.param([nobody], None, id="none knows"),
        pytest.param([], None, id="none"),
    ],
)
def test_the_first_resolver_that_knows_somebody_decides(resolvers, user):
    assert event_of(first_of(*resolvers), request())["actor"].get("id") == user


def test_first_of_is_plain_where_all_are_plain():
    assert not inspect.iscoroutinefunction(first_of(nobody, alice))
    assert inspect.iscoroutinefunction(first_of(nobody, bob))


def test_first_of_takes_resolvers():
    with pytest.raises(TypeError, match="not None"):
        first_of(alice, None)


def event_of(resolver: auditmw.Resolver, like: Request) -> dict[str, Any]:
    """The event of a request with these headers, through the WSGI shell."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return []

    recorder = Recorder()
    environ = create_environ("/", headers=dict(like.headers)) | {"REMOTE_ADDR": "127.0.0.1"}
    auditmw.WSGIAudit(app, auditmw.Audit(recorder, service="shop", resolver=resolver))(environ, lambda *head: None)
    assert_valid(recorder.one())
    return recorder.one()
