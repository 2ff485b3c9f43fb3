"""The same small application through every real server: the answer is right, and so is its one event."""

from __future__ import annotations

import http.client
import json
import socket
import struct
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import journal_files
from server_apps_facts import CHUNKS, FILE_BYTES, FLOOD_CHUNK_BYTES, FLOOD_CHUNKS
from servers import HOST, SERVERS, AppServer, Response, behind_nginx, poll, request

Check = Callable[[dict[str, Any]], dict[str, Any]]


class Shop:
    """A started server, its audit directory, and requests that can be told apart by their X-Request-ID."""

    def __init__(self, server: AppServer, audit: Path) -> None:
        self.server = server
        self.audit = audit
        self.protocol = server.kind.protocol

    def ask(self, method: str, target: str, body: bytes | None = None) -> tuple[Response, str]:
        request_id = str(uuid.uuid4())
        return self.server.request(method, target, {"X-Request-ID": request_id}, body), request_id

    def event_of(self, request_id: str) -> dict[str, Any]:
        """The event, which must be in the journal when the whole answer is here."""
        found = [event for event in journal_files.events(self.audit) if event.get("request_id") == request_id]
        assert len(found) == 1, (found, self.server.output[-2000:])
        return found[0]


def server_params(*names: str) -> list[Any]:
    kinds = [SERVERS[name] for name in names] if names else list(SERVERS.values())
    return [pytest.param(kind.name, marks=pytest.mark.needs(*kind.modules), id=kind.name) for kind in kinds]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Shop]]:
    """Starts each server once, when it is first asked for, and ends the one before."""
    running: dict[str, Shop] = {}

    def start(name: str) -> Shop:
        if name not in running:
            for shop in running.values():
                shop.server.stop()
            running.clear()
            root = tmp_path_factory.mktemp(name)
            env = {"AUDIT_DIRECTORY": str(root / "audit")}
            kind = SERVERS[name]
            running[name] = Shop(AppServer(name, root, f"server_apps:{kind.protocol}", env=env), root / "audit")
            running[name].server.__enter__()
        return running[name]

    yield start
    for shop in running.values():
        shop.server.stop()


@pytest.fixture(params=server_params(), scope="module")
def shop(request: pytest.FixtureRequest, started: Callable[[str], Shop]) -> Shop:
    return started(request.param)


def test_a_plain_answer(shop: Shop, check_event: Check):
    response, request_id = shop.ask("GET", "/list?a=1")
    assert (response.status, response.body) == (200, b"hello")
    assert [value for name, value in response.headers if name.lower() == "set-cookie"] == ["a=1", "b=2"]
    assert response.header("x-request-id") == request_id
    assert response.header("x-userid") is None
    event = check_event(shop.event_of(request_id))
    assert event["source"] == {"kind": "middleware", "format": shop.protocol}
    assert event["outcome"] == {"result": "success"}
    assert event["http"]["response"]["status_code"] == 200
    assert event["http"]["response"]["body_size"] == 5
    assert event["http"]["version"] == "1.1"
    assert (event["url"]["path"], event["url"]["query"]) == ("/list", "a=1")
    assert event["client"]["address"] == "127.0.0.1"


def test_a_streamed_answer(shop: Shop):
    response, request_id = shop.ask("GET", "/stream")
    assert (response.status, response.body) == (200, b"".join(CHUNKS))
    event = shop.event_of(request_id)
    assert event["http"]["response"]["body_size"] == len(response.body)
    assert event["outcome"] == {"result": "success"}


def test_an_answer_to_head(shop: Shop):
    response, request_id = shop.ask("HEAD", "/list")
    assert (response.status, response.body) == (200, b"")
    event = shop.event_of(request_id)
    assert event["http"]["request"]["method"] == "HEAD"
    assert event["http"]["response"]["body_size"] == 0


def test_a_page_that_is_not_there(shop: Shop):
    response, request_id = shop.ask("GET", "/nowhere")
    assert (response.status, response.body) == (404, b"no such page")
    event = shop.event_of(request_id)
    assert event["outcome"] == {"result": "failure", "reason": "http_404"}
    assert event["level"] == "warning"


def test_an_exception(shop: Shop, check_event: Check):
    """Servers answer 500, or end the connection; the event has the exception either way."""
    request_id = str(uuid.uuid4())
    try:
        response = shop.server.request("GET", "/raise", {"X-Request-ID": request_id})
        assert response.status == 500
    except (http.client.HTTPException, OSError):
        pass
    event = check_event(poll(lambda: first(shop, request_id), "the event of the exception"))
    assert event["outcome"] == {"result": "failure", "reason": "exception"}
    assert event["error"]["type"] == "builtins.RuntimeError"
    assert "response" not in event["http"]
    assert shop.event_of(request_id) == event


def first(shop: Shop, request_id: str) -> dict[str, Any] | None:
    return next((e for e in journal_files.events(shop.audit) if e.get("request_id") == request_id), None)


def test_a_download(shop: Shop):
    response, request_id = shop.ask("GET", "/download")
    assert response.status == 200
    assert response.body == b"0123456789" * (FILE_BYTES // 10)
    assert shop.event_of(request_id)["http"]["response"]["body_size"] == FILE_BYTES


def test_an_upload(shop: Shop):
    response, request_id = shop.ask("POST", "/upload", b"x" * 100_000)
    assert (response.status, response.body) == (201, b"100000")
    event = shop.event_of(request_id)
    assert event["http"]["request"]["body_size"] == 100_000
    assert event["action"] == "create"


def test_the_user_is_in_the_headers_and_in_the_event(shop: Shop):
    """The server's peer is on loopback, which is trusted to see who is calling."""
    response, request_id = shop.ask("GET", "/as/alice@example.com")
    assert response.body == b"...alice@example.com"
    event = shop.event_of(request_id)
    assert response.header("x-userid") == "alice@example.com" == event["actor"]["id"]
    assert response.header("x-sessionid") == event["session"]["id"]
    assert "s-/as/" not in json.dumps(event["session"])


def test_concurrent_requests_do_not_mix_users(shop: Shop):
    def visit(number: int) -> tuple[str, Response, str]:
        user = f"u{number}"
        return (user, *shop.ask("GET", f"/as/{user}"))

    with ThreadPoolExecutor(8) as pool:
        visits = list(pool.map(visit, range(64)))
    events = {event["request_id"]: event for event in journal_files.events(shop.audit)}
    for user, response, request_id in visits:
        assert response.body == f"...{user}".encode()
        assert response.header("x-userid") == user
        event = events[request_id]
        assert (event["actor"]["id"], event["data"]["seen"], event["url"]["path"]) == (user, user, f"/as/{user}")
    assert len({events[request_id]["session"]["id"] for _, _, request_id in visits}) == 64


def test_a_client_that_leaves_has_one_event(shop: Shop):
    """WSGI servers stop asking for chunks, and the event says why; ASGI servers do not tell an app that never asks."""
    request_id = str(uuid.uuid4())
    with socket.create_connection((HOST, shop.server.port), 10) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() resets
        client.sendall(f"GET /flood HTTP/1.1\r\nHost: shop\r\nX-Request-ID: {request_id}\r\n\r\n".encode())
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
    event = poll(lambda: first(shop, request_id), "the event of the client that left")
    assert shop.event_of(request_id) == event
    size = event["http"]["response"]["body_size"]
    if shop.protocol == "wsgi":
        assert event["outcome"] == {"result": "unknown", "reason": "client_disconnected"}
        assert size < FLOOD_CHUNK_BYTES * FLOOD_CHUNKS
    else:
        complete = size == FLOOD_CHUNK_BYTES * FLOOD_CHUNKS
        assert event["outcome"]["result"] == ("success" if complete else "unknown")


def test_sigterm_under_load_loses_nothing(shop: Shop):
    """The last test of every server: it is told to end while it works. Every whole answer has its event, once."""
    server = shop.server
    answered: list[str] = []

    def visit() -> None:
        for number in range(500):
            target, body = (("/list", b"hello"), ("/stream", b"".join(CHUNKS)))[number % 2]
            request_id = str(uuid.uuid4())
            try:
                response = request(server.port, "GET", target, {"X-Request-ID": request_id}, timeout_seconds=3)
            except (OSError, http.client.HTTPException):
                return
            if response.status == 200 and response.body == body and is_surely_whole(response, target):
                answered.append(request_id)

    threads = [threading.Thread(target=visit) for _ in range(4)]
    for thread in threads:
        thread.start()
    poll(lambda: len(answered) >= 40 or not any(thread.is_alive() for thread in threads), "40 answers")
    server.stop()
    for thread in threads:
        thread.join()
    ids = [event["request_id"] for event in journal_files.events(shop.audit)]
    assert len(answered) >= 40, server.output[-2000:]
    assert set(answered) <= set(ids)
    assert len(ids) == len(set(ids))


def is_surely_whole(response: Response, target: str) -> bool:
    """Whether the client can know that the answer was not cut.

    A stream that ends with its connection (pyuwsgi) may have been cut after its last chunk, before its end.
    """
    return target == "/list" or bool(response.header("content-length") or response.header("transfer-encoding"))


@pytest.mark.needs("nginx")
@pytest.mark.parametrize("name", server_params("gunicorn-gthread", "uvicorn-h11"))
def test_nginx_logs_the_user_and_hides_him(name: str, started: Callable[[str], Shop], tmp_path: Path):
    http = (
        'log_format extended escape=json \'{"request_id":"$request_id","user":"$upstream_http_x_userid",'
        '"session":"$upstream_http_x_sessionid"}\';'
        " access_log logs/access.log extended;"
    )
    location = "proxy_hide_header X-Userid; proxy_hide_header X-Sessionid; proxy_set_header X-Request-ID $request_id;"
    shop = started(name)
    with behind_nginx(shop.server, tmp_path / "nginx", http, location) as nginx:
        response = nginx.request("GET", "/as/alice")
        logged = json.loads(nginx.log_lines(1)[0])
    assert response.header("x-userid") is None
    assert response.header("x-sessionid") is None
    event = shop.event_of(logged["request_id"])
    assert logged["user"] == event["actor"]["id"] == "alice"
    assert logged["session"] == event["session"]["id"]
    assert response.header("x-request-id") == logged["request_id"]
