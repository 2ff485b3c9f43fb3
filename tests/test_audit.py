"""`Audit`: clear errors at construction, failures that are counted and told, refusing, exempting, forking."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import io
import json
import logging
import os
import sys
import types
from typing import Any

import pytest

import auditmw
from auditmw.journal import JournalError


class Broken(io.RawIOBase):
    """A stream that fails until it is repaired."""

    def __init__(self) -> None:
        self.broken = True
        self.lines: list[dict[str, Any]] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self.broken:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.lines += [json.loads(line) for line in bytes(data).splitlines()]
        return len(data)


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    status = environ.get("app.status", "200 OK")
    if status == "raise":
        raise ValueError("in the view")
    start_response(status, [("Content-Type", "text/plain")])
    return [b"hello"]


def call(app: Any, path: str = "/", **environ: Any) -> tuple[str, dict[str, str], bytes]:
    seen: list[Any] = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "REMOTE_ADDR": "127.0.0.1", **environ}
    body = b"".join(app(environ, lambda status, headers, exc_info=None: seen.extend((status, dict(headers)))))
    return seen[0], seen[1], body


def lines_of(stream: io.BytesIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"exempt": ["^/health", "([a-z"]}, ValueError, "'([a-z'"),
        ({"exempt": "^/health"}, TypeError, "put it in a list"),
        ({"exempt": [5]}, ValueError, "not 5"),
        ({"service": ""}, TypeError, "not Service(name=''"),
        ({"service": None}, TypeError, "not None"),
        ({"resolver": "who"}, TypeError, "not 'who'"),
        ({"trusted_proxies": ["10.0.0.0/33"]}, ValueError, "10.0.0.0/33"),
        ({"trusted_proxies": ["*"]}, ValueError, "'*'"),
        ({"on_failure": "crash"}, ValueError, "'crash'"),
        ({"durability": "tape"}, ValueError, "'tape'"),
        ({"rotate_bytes": 0}, ValueError, "0"),
        ({"rotate_seconds": -1}, ValueError, "-1"),
        ({"rotate_bytes": "16M"}, ValueError, "'16M'"),
        ({"capture_headers": ["Authorization"]}, ValueError, "'authorization'"),
        ({"capture_headers": "accept"}, TypeError, "put it in a list"),
        ({"destination": 5}, TypeError, "not 5"),
    ],
    ids=lambda value: str(value)[:50] if isinstance(value, dict) else "",
)
def test_a_wrong_argument_is_an_error_at_construction_that_shows_it(arguments, error, said, tmp_path):
    arguments = {"destination": tmp_path / "audit", "service": "shop", **arguments}
    with pytest.raises(error) as caught:
        auditmw.Audit(arguments.pop("destination"), **arguments)
    assert said in str(caught.value)
    assert "expected" in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"user": "X Userid"}, "'X Userid'"),
        ({"session": ""}, "''"),
        ({"request_id": "X-Request-ID\r\n"}, "X-Request-ID"),
        ({"identify_to": "everybody"}, "'everybody'"),
    ],
    ids=str,
)
def test_a_wrong_header_is_an_error_at_construction_that_shows_it(arguments, said):
    with pytest.raises(ValueError, match="expected") as caught:
        auditmw.ResponseHeaders(**arguments)
    assert said in str(caught.value)


def test_construction_does_no_io_and_starts_no_thread(tmp_path):
    auditmw.Audit(tmp_path / "audit", service="shop", on_failure="refuse", durability="disk")
    assert list(tmp_path.iterdir()) == []


def test_what_is_lost_is_counted_and_told_as_soon_as_writing_works_again(check_event):
    stream = Broken()
    audit = auditmw.Audit(stream, service="shop")
    app = auditmw.WSGIAudit(application, audit)
    for _ in range(3):
        assert call(app)[0] == "200 OK"
    health = audit.health()
    assert (health["status"], health["counts"]["lost"]) == ("degraded", 3)
    stream.broken = False
    call(app)
    request, gap = stream.lines
    assert (request["event"], gap["event"]) == ("http_request", "auditmw.gap")
    check_event(gap)
    assert (gap["level"], gap["data"]["count"]) == ("critical", 3)
    assert gap["data"]["first"] <= gap["data"]["last"] <= request["timestamp"]
    assert "No space left" in gap["data"]["reason"]
    call(app)
    assert [line["event"] for line in stream.lines[2:]] == ["http_request"]


def test_a_failure_is_logged_once_a_minute(caplog):
    audit = auditmw.Audit(Broken(), service="shop")
    app = auditmw.WSGIAudit(application, audit)
    with caplog.at_level(logging.WARNING, "auditmw"):
        for _ in range(20):
            call(app)
    assert len(caplog.records) == 1
    assert "No space left" in caplog.text


def test_refuse_answers_503_before_the_application_runs():
    ran: list[str] = []
    stream = Broken()
    audit = auditmw.Audit(stream, service="shop", on_failure="refuse")

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        ran.append(environ["PATH_INFO"])
        return application(environ, start_response)

    wrapped = auditmw.WSGIAudit(app, audit)
    status, headers, body = call(wrapped, "/transfer")
    assert status == "503 Service Unavailable"
    assert headers["Content-Length"] == str(len(body))
    assert ran == []
    assert audit.health()["counts"]["refused"] == 1
    stream.broken = False
    assert call(wrapped, "/transfer")[0] == "200 OK"
    assert ran == ["/transfer"]


def test_with_intent_a_request_has_two_lines_with_one_id(check_event):
    stream = io.BytesIO()
    app = auditmw.WSGIAudit(application, auditmw.Audit(stream, service="shop", intent=True))
    call(app, "/orders")
    begun, ended = lines_of(stream)
    assert (begun["outcome"]["result"], ended["outcome"]["result"]) == ("pending", "success")
    assert begun["id"] == ended["id"]
    assert begun["url"]["path"] == "/orders"
    assert check_event(begun)
    assert check_event(ended)


def test_read_settles_intents(tmp_path):
    app = auditmw.WSGIAudit(application, auditmw.Audit(tmp_path / "audit", service="shop", intent=True))
    call(app, "/orders")
    events = list(auditmw.read(tmp_path / "audit"))
    assert [event["outcome"]["result"] for event in events] == ["success"]


@pytest.mark.parametrize(
    ("path", "status", "arguments", "recorded"),
    [
        pytest.param("/health", "200 OK", {}, False, id="exempt"),
        pytest.param("/health", "304 Not Modified", {}, False, id="exempt, not modified"),
        pytest.param("/health", "404 Not Found", {}, True, id="errors are always recorded"),
        pytest.param("/health", "503 Service Unavailable", {}, True, id="server errors too"),
        pytest.param("/health", "raise", {}, True, id="exceptions too"),
        pytest.param("/health", "503 Service Unavailable", {"exempt_errors": True}, False, id="unless told otherwise"),
        pytest.param("/health/../admin", "200 OK", {}, True, id="a path that may mean another one"),
        pytest.param("/healthy", "200 OK", {"exempt": [r"^/health$"]}, True, id="the expression decides"),
        pytest.param("/HEALTH", "200 OK", {"exempt": [r"(?i)^/health", r"^/static/"]}, False, id="flags inside"),
        pytest.param(
            "/static/a.css", "200 OK", {"exempt": [r"(?i)^/health", r"^/static/"]}, False, id="the second one"
        ),
        pytest.param(
            "/" + "a" * 10_000 + "/health", "200 OK", {"exempt": [r"/health$"]}, True, id="beyond 2048 characters"
        ),
    ],
)
def test_exempt_paths_are_not_recorded_unless_they_fail(path, status, arguments, recorded):
    stream = io.BytesIO()
    audit = auditmw.Audit(stream, service="shop", **{"exempt": [r"^/health"], **arguments})
    app = auditmw.WSGIAudit(application, audit)
    if status == "raise":
        with pytest.raises(ValueError, match="in the view"):
            call(app, path, **{"app.status": status})
    else:
        call(app, path, **{"app.status": status})
    assert len(lines_of(stream)) == recorded
    assert audit.health()["counts"].get("exempted", 0) == (not recorded)
    assert audit.health()["status"] == "ok"


def test_exempt_paths_write_no_intent():
    stream = io.BytesIO()
    audit = auditmw.Audit(stream, service="shop", exempt=["^/health"], intent=True)
    call(auditmw.WSGIAudit(application, audit), "/health")
    assert lines_of(stream) == []


@pytest.mark.parametrize(
    "resolver",
    [
        pytest.param(lambda request: 1 / 0, id="raises"),
        pytest.param(lambda request: "alice", id="text"),
        pytest.param(lambda request: {"id": "alice"}, id="dict"),
        pytest.param(lambda request: object(), id="object"),
        pytest.param(lambda request: (x for x in ()), id="generator"),
        pytest.param(lambda request: auditmw.Identity(id=b"\xff"), id="bytes that are not text"),
        pytest.param(lambda request: auditmw.Identity(id=["a"]), id="list as id"),
        pytest.param(lambda request, more: None, id="wrong signature"),
        pytest.param(lambda request: request.carrier.clear() or None, id="clears the environ"),
    ],
)
def test_a_bad_resolver_costs_the_identity_and_nothing_else(resolver, check_event):
    stream = io.BytesIO()
    audit = auditmw.Audit(stream, service="shop", resolver=resolver)
    status, headers, body = call(auditmw.WSGIAudit(application, audit))
    assert (status, body) == ("200 OK", b"hello")
    assert "X-Userid" not in headers
    (event,) = lines_of(stream)
    check_event(event)
    assert event["outcome"]["result"] == "success"
    assert event.get("actor", {}).get("id") is None


async def a_coroutine() -> auditmw.Identity:
    return auditmw.Identity("alice")


def test_a_plain_function_that_returns_a_coroutine_is_told_to_be_async():
    stream = io.BytesIO()
    audit = auditmw.Audit(stream, service="shop", resolver=lambda request: a_coroutine())
    call(auditmw.WSGIAudit(application, audit))
    assert audit.health()["counts"]["resolver_errors"] >= 1


def test_an_async_resolver_serves_wsgi_too():
    async def who(request: auditmw.Request) -> auditmw.Identity:
        return auditmw.Identity(f"user of {request.path}")

    stream = io.BytesIO()
    _, headers, _ = call(auditmw.WSGIAudit(application, auditmw.Audit(stream, service="shop", resolver=who)), "/a")
    assert headers["X-Userid"] == "user%20of%20/a"
    assert lines_of(stream)[0]["actor"]["id"] == "user of /a"


@pytest.mark.parametrize(
    "value", ["a\r\nSet-Cookie: x=1", "a\0b", "\x1b[31m", 'a"b', "😀", "é" * 3000, "-", " ", "a,b;c"]
)
def test_no_user_id_can_break_a_header(value):
    stream = io.BytesIO()
    audit = auditmw.Audit(stream, service="shop", resolver=lambda request: auditmw.Identity(value))
    _, headers, _ = call(auditmw.WSGIAudit(application, audit))
    sent = headers.get("X-Userid", "")
    assert sent.isascii()
    assert sent.isprintable()
    assert len(sent) <= 256
    assert not set(sent) & set(' ",;\\')


def test_the_identity_goes_to_trusted_peers_only():
    audit = auditmw.Audit(io.BytesIO(), service="shop", resolver=lambda request: auditmw.Identity("alice", session="s"))
    app = auditmw.WSGIAudit(application, audit)
    assert {"X-Userid", "X-Sessionid"} <= call(app)[1].keys()
    assert not {"X-Userid", "X-Sessionid"} & call(app, REMOTE_ADDR="203.0.113.9")[1].keys()


def test_header_names_are_the_users_choice():
    audit = auditmw.Audit(
        io.BytesIO(),
        service="shop",
        resolver=lambda request: auditmw.Identity("alice", session="s"),
        headers=auditmw.ResponseHeaders(user="X-Who", session="X-Visit", request_id="X-Correlation"),
    )
    _, headers, _ = call(auditmw.WSGIAudit(application, audit))
    assert headers["X-Who"] == "alice"
    assert headers["X-Visit"].startswith("s1.k1.")
    assert "X-Correlation" in headers
    assert "X-Request-ID" not in headers


def test_two_audits_on_one_directory_write_files_of_their_own(tmp_path):
    audits = [auditmw.Audit(tmp_path / "audit", service=name) for name in ("a", "b")]
    for audit in audits:
        call(auditmw.WSGIAudit(application, audit))
    assert sorted(event["service"]["name"] for event in auditmw.read(tmp_path / "audit")) == ["a", "b"]
    assert len({audit.health()["journal"]["writer"] for audit in audits}) == 2


@pytest.mark.parametrize("on_failure", ["serve", "refuse"])
def test_a_directory_that_cannot_be_made_breaks_no_request(tmp_path, on_failure):
    (tmp_path / "file").write_text("in the way")
    audit = auditmw.Audit(tmp_path / "file" / "audit", service="shop", on_failure=on_failure)
    status, _, _ = call(auditmw.WSGIAudit(application, audit))
    assert status == ("200 OK" if on_failure == "serve" else "503 Service Unavailable")
    assert audit.health()["counts"]["lost"] == 1
    assert str(tmp_path / "file") in audit.health()["last"]["lost"]


def test_reading_what_is_no_audit_directory_says_so(tmp_path):
    (tmp_path / "audit").mkdir()
    assert list(auditmw.read(tmp_path / "audit")) == []
    for other in (tmp_path / "nothing", tmp_path):
        with pytest.raises(FileNotFoundError, match="expected an audit directory"):
            list(auditmw.read(other))


def test_a_forked_child_writes_a_file_of_its_own_and_counts_its_own(tmp_path):
    audit = auditmw.Audit(tmp_path / "audit", service="shop")
    app = auditmw.WSGIAudit(application, audit)
    call(app, "/parent")
    child = os.fork()
    if child == 0:
        call(app, "/child")
        os._exit(0 if audit.health()["journal"]["seq"] == 1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    call(app, "/parent")
    assert sorted(event["url"]["path"] for event in auditmw.read(tmp_path / "audit")) == [
        "/child",
        "/parent",
        "/parent",
    ]
    assert len(list((tmp_path / "audit" / "journal").iterdir())) == 2


def test_durability_disk_waits_for_the_disk_before_the_answer(tmp_path, monkeypatch):
    order: list[str] = []
    audit = auditmw.Audit(tmp_path / "audit", service="shop", durability="disk")
    sync = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (order.append("disk"), sync(fd)))
    body = auditmw.WSGIAudit(application, audit)(
        {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "REMOTE_ADDR": "127.0.0.1"}, lambda *head: order.append("head")
    )
    order.append("answer")
    assert body == [b"hello"]
    assert order == ["head", "disk", "answer"]


def test_a_disk_that_cannot_be_flushed_is_counted(tmp_path, monkeypatch):
    audit = auditmw.Audit(tmp_path / "audit", service="shop", durability="disk")

    def fails(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fails)
    assert call(auditmw.WSGIAudit(application, audit))[0] == "200 OK"
    assert audit.health()["counts"]["not_durable"] == 1


def test_the_standard_output_takes_plain_lines(capfdbinary):
    audit = auditmw.Audit(sys.stdout.buffer, service="shop")
    call(auditmw.WSGIAudit(application, audit))
    (line,) = capfdbinary.readouterr().out.splitlines()
    assert json.loads(line)["service"] == {"name": "shop"}
    assert "seq" not in json.loads(line)


def test_a_service_tells_what_it_knows():
    stream = io.BytesIO()
    service = auditmw.Service("shop", version="2.4.1", environment="production")
    call(auditmw.WSGIAudit(application, auditmw.Audit(stream, service=service)))
    assert lines_of(stream)[0]["service"] == {"name": "shop", "version": "2.4.1", "environment": "production"}


def test_addresses_are_cut_or_hashed_where_asked(check_event):
    stream = io.BytesIO()
    audit = auditmw.Audit(stream, service="shop", pseudonyms=auditmw.Pseudonyms(b"k" * 32, ip="prefix"))
    call(auditmw.WSGIAudit(application, audit), HTTP_X_FORWARDED_FOR="203.0.113.77")
    event = check_event(lines_of(stream)[0])
    assert event["client"]["address"] == "203.0.113.0"
    assert event["client"]["forwarded"] == ["203.0.113.0"]
    assert "/client/address" in event["meta"]["pseudonymised"]


def test_captured_headers_are_redacted_and_named(check_event):
    stream = io.BytesIO()
    audit = auditmw.Audit(stream, service="shop", capture_headers=["X-Campaign", "accept"])
    call(
        auditmw.WSGIAudit(application, audit),
        HTTP_X_CAMPAIGN="https://a:b@example.com/?token=abcdefgh",
        HTTP_ACCEPT="*/*",
        HTTP_AUTHORIZATION="Bearer abcdefghijklmnop",
    )
    (event,) = lines_of(stream)
    headers = check_event(event)["http"]["request"]["headers"]
    assert headers["accept"] == ["*/*"]
    assert "abcdefgh" not in json.dumps(event)
    assert "/http/request/headers/x-campaign/0" in event["meta"]["redacted"]


def test_a_journal_error_tells_path_and_reason(tmp_path):
    (tmp_path / "file").write_text("in the way")
    audit = auditmw.Audit(tmp_path / "file", service="shop")
    with pytest.raises(JournalError) as caught:
        audit.journal.append(b'{"a":1}')
    assert str(tmp_path / "file") in str(caught.value)


def test_identify_without_a_session_keeps_the_one_that_an_async_resolver_knows():
    async def who(request: auditmw.Request) -> auditmw.Identity:
        return auditmw.Identity("from the cookie", session="s-1")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        auditmw.identify("from the view")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})

    async def send(message: Any) -> None:
        heads.extend(message.get("headers", ()))

    heads: list[Any] = []
    stream = io.BytesIO()
    audit = auditmw.Audit(stream, service="shop", resolver=who)
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "client": ("127.0.0.1", 5)}
    asyncio.run(auditmw.ASGIAudit(app, audit)(scope, None, send))  # type: ignore[arg-type]
    (event,) = lines_of(stream)
    assert event["actor"]["id"] == "from the view"
    assert event["session"]["id"].startswith("s1.k1.")
    assert dict(heads)[b"x-sessionid"].decode() == event["session"]["id"]


def quiet(environ: dict[str, Any]) -> list[Any]:
    seen: list[Any] = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "REMOTE_ADDR": "127.0.0.1", **environ}
    return [environ, lambda status, headers, exc_info=None: seen.extend(headers), seen]


def test_a_resolver_may_log_and_call_the_application_without_asking_itself_again():
    asked: list[str] = []

    def who(request: auditmw.Request) -> auditmw.Identity | None:
        asked.append(request.path)
        auditmw.record("token_seen")
        if request.path != "/inner":
            call(app, "/inner")
        return None

    stream = io.BytesIO()
    app = auditmw.WSGIAudit(application, auditmw.Audit(stream, service="shop", resolver=who))
    call(app, "/outer")
    assert set(asked) == {"/outer"}
    assert len(asked) <= 2
    assert {event["url"]["path"] for event in lines_of(stream) if event["event"] == "http_request"} == {
        "/outer",
        "/inner",
    }


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, asyncio.CancelledError, GeneratorExit])
def test_a_resolver_that_exits_costs_no_event(error):
    def who(request: auditmw.Request) -> auditmw.Identity | None:
        raise error

    stream = io.BytesIO()
    with pytest.raises(error):
        call(auditmw.WSGIAudit(application, auditmw.Audit(stream, service="shop", resolver=who)))
    assert len(lines_of(stream)) == 1


def test_refuse_with_disk_refuses_what_the_disk_does_not_take(tmp_path, monkeypatch):
    def fails(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    audit = auditmw.Audit(tmp_path / "audit", service="shop", on_failure="refuse", durability="disk")
    monkeypatch.setattr(os, "fdatasync", fails)
    assert call(auditmw.WSGIAudit(application, audit))[0] == "503 Service Unavailable"


@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({"REMOTE_PORT": 5}, id="a port that is a number"),
        pytest.param({"REMOTE_PORT": "http"}, id="a port that is none"),
        pytest.param({"PATH_INFO": None}, id="no path"),
        pytest.param({"SERVER_PROTOCOL": None}, id="no protocol"),
        pytest.param({"RAW_URI": b"/"}, id="bytes"),
        pytest.param({"HTTP_TRACEPARENT": 5}, id="a header that is a number"),
        pytest.param({"REMOTE_ADDR": 5}, id="an address that is a number"),
        pytest.param({"QUERY_STRING": 5}, id="a query that is a number"),
        pytest.param({"HTTP_USER_AGENT": b"x"}, id="bytes in a header"),
    ],
)
def test_a_strange_environ_still_makes_an_event(environ, check_event):
    stream = io.BytesIO()
    app = auditmw.WSGIAudit(application, auditmw.Audit(stream, service="shop"))
    asked, start_response, _ = quiet(environ)
    assert app(asked, start_response) == [b"hello"]
    (event,) = lines_of(stream)
    check_event(event)


def test_an_environ_may_be_served_twice():
    stream = io.BytesIO()
    app = auditmw.WSGIAudit(application, auditmw.Audit(stream, service="shop"))
    environ, start_response, _ = quiet({})
    app(environ, start_response)
    app(environ, start_response)
    assert len(lines_of(stream)) == 2


def test_two_audits_around_each_other_write_one_event_each():
    streams = [io.BytesIO(), io.BytesIO()]
    one, other = (auditmw.Audit(stream, service="shop") for stream in streams)
    call(auditmw.WSGIAudit(auditmw.WSGIAudit(auditmw.WSGIAudit(application, one), other), one))
    assert [len(lines_of(stream)) for stream in streams] == [1, 1]


def test_an_absurd_content_length_breaks_nothing_and_hides_no_identity():
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "9" * 5000), ("X-Userid", "alice")])
        return [b"hello"]

    _, headers, body = call(auditmw.WSGIAudit(app, auditmw.Audit(io.BytesIO(), service="shop")), REMOTE_ADDR="8.8.8.8")
    assert body == b"hello"
    assert "X-Userid" not in headers


def test_a_child_that_was_forked_in_a_view_writes_no_second_event(tmp_path):
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["child"] = os.fork()
        start_response("200 OK", [])
        return [b"hello"]

    environ, start_response, _ = quiet({})
    auditmw.WSGIAudit(app, auditmw.Audit(tmp_path / "audit", service="shop", intent=True))(environ, start_response)
    if environ["child"] == 0:
        os._exit(0)
    os.waitpid(environ["child"], 0)
    assert len(list(auditmw.read(tmp_path / "audit"))) == 1


@pytest.mark.parametrize(
    ("client", "server", "peer"),
    [
        pytest.param(None, ("/run/shop.sock", None), "unix:", id="unix socket"),
        pytest.param(None, None, "unix:", id="a server that tells nothing"),
        pytest.param(None, ("127.0.0.1", 8000), "unknown", id="a client that was gone at once, over TCP"),
        pytest.param(["10.0.0.1", "80"], ("127.0.0.1", 8000), "10.0.0.1", id="a list, and a port as text"),
        pytest.param(("10.0.0.1", 80, 0, 0), ("::1", 8000), "10.0.0.1", id="four of IPv6"),
    ],
)
def test_no_address_means_a_unix_socket_only_where_the_server_has_one(client, server, peer):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    async def send(message: Any) -> None:
        heads.extend(message.get("headers", ()))

    heads: list[Any] = []
    stream = io.BytesIO()
    audit = auditmw.Audit(stream, service="shop", resolver=lambda request: auditmw.Identity("alice"))
    headers = [(b"x-forwarded-for", b"203.0.113.7")]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers, "client": client, "server": server}
    asyncio.run(auditmw.ASGIAudit(app, audit)(scope, None, send))  # type: ignore[arg-type]
    (event,) = lines_of(stream)
    assert event["client"]["peer_address"] == peer
    assert (b"x-userid" in dict(heads)) == (peer == "unix:")
    assert (event["client"]["address"] == "203.0.113.7") == (peer == "unix:")


def test_a_coroutine_that_is_driven_on_in_another_context_ends_as_the_bare_one():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise KeyError("the application's own")

    @types.coroutine
    def receive() -> Any:
        yield
        return {"type": "http.request"}

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    running = auditmw.ASGIAudit(app, auditmw.Audit(io.BytesIO(), service="shop"))(scope, receive, None)  # type: ignore[arg-type]
    contextvars.copy_context().run(running.send, None)  # type: ignore[attr-defined]
    with pytest.raises(KeyError, match="own"):
        contextvars.copy_context().run(running.send, None)  # type: ignore[attr-defined]
