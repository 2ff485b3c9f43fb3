"""A real nginx with exactly what `auditmw nginx-config` prints, in front of an audited app under real servers."""

from __future__ import annotations

import dataclasses
import json
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest

import journal_files
from servers import HOST, SERVERS, AppServer, Nginx, Response, free_ports, poll

LINE = re.compile(
    r'(?P<address>\S+) - (?P<remote_user>\S+) \[[^]]+\] "(?P<request>[^"]*)" (?P<status>\d{3}) (?P<bytes>\d+) '
    r'"(?P<referer>[^"]*)" "(?P<agent>[^"]*)" userid="(?P<user>[^"]*)" sessionid="(?P<session>[^"]*)" '
    r'cache="(?P<cache>[^"]*)" request_id="(?P<request_id>[0-9a-f]{32})" request_time="(?P<seconds>[0-9.]+)" '
    r'upstream_time="(?P<upstream_seconds>[^"]*)"'
)
CACHE = """
proxy_cache_path {root}/tmp/cache keys_zone=pages:1m;
proxy_cache pages;
proxy_cache_valid 200 1s;
proxy_cache_revalidate on;
map $uri $private {{ default 1; /page ""; }}
proxy_no_cache $private;
proxy_cache_bypass $private;
"""
CLAIMED = "4bf92f3577b34da6a3ce929d0e0e4736"


class Upstream(AppServer):
    """An application server as one runs it behind nginx: on TCP or a unix socket, without proxy headers of its own."""

    def __init__(self, name: str, root: Path, *, unix: bool = False, **env: str) -> None:
        super().__init__(name, root, f"edge_apps:{SERVERS[name].protocol}", env=env)
        self.socket = root / "app.sock"
        self.unix = unix
        command = self.kind.command
        if self.kind.protocol == "asgi":
            command = (*command[:-1], "--no-proxy-headers", command[-1])
        if unix:
            listen = {"-b": ("-b", f"unix:{self.socket}"), "--host": ("--uds", str(self.socket))}
            at = next(n for n, word in enumerate(command) if word in listen)
            rest = command[at + 2 :]
            rest = rest[2:] if rest[:1] == ("--port",) else rest
            command = (*command[:at], *listen[command[at]], *rest)
        self.kind = dataclasses.replace(self.kind, command=command)

    @property
    def address(self) -> str:
        return f"unix:{self.socket}" if self.unix else f"{HOST}:{self.port}"

    def answers(self) -> bool:
        if not self.unix:
            return super().answers()
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(self.socket))
        except OSError:
            return False
        self.socket.chmod(0o666)  # nginx's workers are another user when the tests run as root
        return True


def printed(*arguments: str) -> str:
    """What the command line prints, as its own process."""
    command = [sys.executable, "-m", "auditmw", "nginx-config", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


def edge(root: Path, upstream: str, *arguments: str, before: str = "") -> Nginx:
    """An nginx whose http block is the printed configuration, after `before`."""
    (port,) = free_ports(1)
    given = [
        "--upstream",
        upstream,
        "--listen",
        f"{HOST}:{port}",
        "--access-log",
        f"{root}/logs/access.log",
        *arguments,
    ]
    return Nginx(root, before.format(root=root) + printed(*given), port)


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """A folder that nginx's workers can reach: under root they are another user, and pytest's folders are 0700."""
    with tempfile.TemporaryDirectory(prefix="edge-") as folder:
        path = Path(folder)
        path.chmod(0o755)
        yield path


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(
            (name, unix),
            id=f"{name}{'-unix' if unix else ''}",
            marks=pytest.mark.needs("nginx", *SERVERS[name].modules),
        )
        for name in ("gunicorn-gthread", "uvicorn-httptools")
        for unix in (False, True)
    ],
)
def behind(request: pytest.FixtureRequest, root: Path) -> Iterator[Behind]:
    name, unix = request.param
    root = root / f"{name}-{unix}"
    root.mkdir()
    directory = root / "audit"
    with Upstream(name, root / "app", unix=unix, AUDIT_DIRECTORY=str(directory)) as server:
        (root / "app").chmod(0o755)
        with edge(root / "nginx", server.address, "--json-log", before=CACHE) as nginx:
            yield Behind(nginx, directory)


class Behind:
    """What a client can do, and what nginx and the journal then say about it."""

    def __init__(self, nginx: Nginx, directory: Path) -> None:
        self.nginx = nginx
        self.directory = directory

    def get(self, target: str, **headers: str) -> Response:
        return self.nginx.request("GET", target, {name.replace("_", "-"): value for name, value in headers.items()})

    def login(self, user: str) -> str:
        """The Cookie header of a user who has just signed in."""
        jar: SimpleCookie = SimpleCookie()
        for name, value in self.get(f"/login/{user}").headers:
            if name.lower() == "set-cookie":
                jar.load(value)
        return "; ".join(f"{name}={morsel.value}" for name, morsel in jar.items())

    def logged(self, response: Response) -> dict[str, str]:
        """The access log's line of the answer."""

        def line() -> dict[str, str] | None:
            path = self.nginx.root / "logs" / "access.log"
            found = [LINE.fullmatch(text) for text in path.read_text().splitlines()] if path.exists() else []
            assert all(found), path.read_text()
            matching = [
                match.groupdict() for match in found if match and match["request_id"] == response.header("X-Request-ID")
            ]
            return matching[0] if matching else None

        return poll(line, f"the line of {response.header('X-Request-ID')}")  # type: ignore[no-any-return]

    def recorded(self, response: Response) -> dict[str, Any]:
        """The event of the answer."""
        (event,) = [
            one for one in journal_files.events(self.directory) if one["request_id"] == response.header("X-Request-ID")
        ]
        return event


def test_nginx_logs_the_user_and_the_session_of_the_event_and_the_client_sees_neither(behind):
    alice, bob = behind.login("alice"), behind.login("bob@example.com")
    seen = set()
    for user, cookie in (("alice", alice), ("bob@example.com", bob), ("alice", alice)):
        response = behind.get("/echo", Cookie=cookie)
        line, event = behind.logged(response), behind.recorded(response)
        assert (line["user"], line["session"]) == (user, event["session"]["id"])
        assert event["actor"]["id"] == user
        assert line["cache"] == "BYPASS"
        assert "secret-of" not in json.dumps(event) + json.dumps(line)
        assert not {name.lower() for name, _ in response.headers} & {"x-userid", "x-sessionid"}
        seen.add(line["session"])
    assert len(seen) == 2


def test_a_login_is_logged_with_the_user_who_it_signed_in(behind):
    response = behind.get("/login/carol")
    assert behind.logged(response)["user"] == "carol"
    assert not {name.lower() for name, _ in response.headers} & {"x-userid", "x-sessionid"}


def test_an_anonymous_visitor_is_logged_as_nobody(behind):
    response = behind.get("/echo?anonymous")
    line = behind.logged(response)
    assert (line["user"], line["session"]) == ("-", "-")
    assert behind.recorded(response)["actor"]["type"] == "anonymous"


def test_a_client_cannot_say_who_it_is_nor_choose_its_trace_or_request_id(behind):
    response = behind.get(
        "/echo?claims",
        X_Userid="root",
        X_Sessionid="forged",
        X_Request_ID="chosen",
        X_Correlation_ID="chosen",
        X_Trace_Id=CLAIMED,
        traceparent=f"00-{CLAIMED}-00f067aa0ba902b7-01",
        tracestate="a=b",
        Forwarded="for=203.0.113.9",
        X_Real_IP="203.0.113.9",
        X_Forwarded_For="203.0.113.9",
    )
    arrived = json.loads(response.body)
    assert not arrived.keys() & {
        "x-userid",
        "x-sessionid",
        "traceparent",
        "tracestate",
        "x-trace-id",
        "x-correlation-id",
        "forwarded",
    }
    assert arrived["x-real-ip"] == "127.0.0.1"
    assert arrived["x-forwarded-for"] == "203.0.113.9, 127.0.0.1"
    event, line = behind.recorded(response), behind.logged(response)
    assert (line["user"], line["session"]) == ("-", "-")
    assert event["trace"]["trace_id"] != CLAIMED
    assert event["request_id"] == line["request_id"] == arrived["x-request-id"]
    assert "remote" not in event["trace"]


def test_the_app_learns_host_scheme_and_address(behind):
    arrived = json.loads(behind.get("/echo?host", Host="shop.example.com:8443").body)
    assert arrived["host"] == "shop.example.com:8443"
    assert arrived["x-forwarded-proto"] == "http"
    assert arrived["x-forwarded-for"] == "127.0.0.1"


def test_a_quote_or_a_line_feed_cannot_forge_a_field_of_the_log(behind):
    response = behind.get("/echo?quote", User_Agent='x" userid="root" sessionid="\\x22', Referer="\tref")
    line = behind.logged(response)
    assert line["user"] == "-"
    assert "root" in line["agent"]


def test_a_cached_answer_is_logged_without_the_first_users_name(behind):
    page = f"/page?{id(behind)}"
    alice, bob = behind.login("alice"), behind.login("bob")
    filled = behind.logged(behind.get(page, Cookie=alice))
    assert (filled["cache"], filled["user"]) == ("MISS", "alice")
    seen = set()

    def hit_and_revalidated() -> bool:  # a page is fresh for one second, and asked for again after that
        answer = behind.get(page, Cookie=bob)
        line = behind.logged(answer)
        assert answer.body == b"a page"
        assert line["cache"] in ("HIT", "REVALIDATED")
        assert line["user"] == line["session"] == "-"
        seen.add(line["cache"])
        return len(seen) == 2

    assert poll(hit_and_revalidated, "a hit and a revalidation")


def test_an_answer_of_nginx_alone_has_a_request_id_too(behind):
    response = behind.get("/echo", Host="not a host")
    assert response.status == 400
    assert behind.logged(response)["status"] == "400"
    assert "X-Userid" not in dict(response.headers)


def test_the_json_log_says_the_same(behind):
    response = behind.get(
        "/echo?json", Cookie=behind.login("dora"), User_Agent='quote " backslash \\ é'.encode().decode("latin-1")
    )
    line = behind.logged(response)

    def found() -> dict[str, str] | None:
        text = (behind.nginx.root / "logs" / "access.json").read_text()
        return next(
            (one for one in map(json.loads, text.splitlines()) if one["request_id"] == line["request_id"]), None
        )

    as_json = poll(found, "the JSON line")
    assert all(isinstance(value, str) for value in as_json.values())
    assert (as_json["userid"], as_json["sessionid"], as_json["status"]) == ("dora", line["session"], "200")
    assert as_json["http_user_agent"] == 'quote " backslash \\ é'
    assert as_json["request_uri"] == "/echo?json"
    assert as_json["upstream_cache_status"] == line["cache"]


def test_connections_to_the_app_are_kept(behind):
    ports = {behind.recorded(behind.get(f"/echo?kept{n}"))["client"].get("peer_port") for n in range(6)}
    assert len(ports) <= 2


def test_only_websockets_are_upgraded(behind):
    arrived = json.loads(
        behind.get(
            "/echo?h2c", Connection="Upgrade, HTTP2-Settings", Upgrade="h2c", HTTP2_Settings="AAMAAABkAAQAAP__"
        ).body
    )
    assert "upgrade" not in arrived
    assert arrived.get("connection", "") in ("", "keep-alive")


@pytest.mark.needs("nginx", "uvicorn", "websockets")
def test_a_websocket_passes_and_its_user_is_logged_and_hidden(tmp_path):
    from websockets.sync.client import connect

    directory = tmp_path / "audit"
    with (
        Upstream("uvicorn-httptools", tmp_path / "app", AUDIT_DIRECTORY=str(directory)) as server,
        edge(tmp_path / "nginx", server.address) as nginx,
    ):
        cookie = "user=alice; sid=secret-of-alice"
        with connect(f"ws://{HOST}:{nginx.port}/ws", additional_headers={"Cookie": cookie}, proxy=None) as websocket:
            assert websocket.response is not None
            headers = {name.lower() for name, _ in websocket.response.headers.raw_items()}
            websocket.send("ping")
            assert websocket.recv(timeout=10) == "ping"
        assert not headers & {"x-userid", "x-sessionid"}
        line = LINE.fullmatch(nginx.log_lines(1)[0])
        assert line is not None
        assert (line["status"], line["user"]) == ("101", "alice")
        event = poll(lambda: journal_files.events(directory), "the connection's event")[0]
        assert event["session"]["id"] == line["session"]


@pytest.mark.needs("nginx", "gunicorn")
def test_other_header_names_work_the_same(tmp_path):
    env = {"AUDIT_DIRECTORY": str(tmp_path / "audit"), "USER_HEADER": "X-Who", "SESSION_HEADER": "X-Sid"}
    with (
        Upstream("gunicorn-gthread", tmp_path / "app", **env) as server,
        edge(tmp_path / "nginx", server.address, "--user-header", "X-Who", "--session-header", "X-Sid") as nginx,
    ):
        found = Behind(nginx, tmp_path / "audit")
        response = found.get("/echo", Cookie=found.login("alice"), X_Who="root")
        assert found.logged(response)["user"] == "alice"
        assert "x-who" not in json.loads(response.body)
        assert not {name.lower() for name, _ in response.headers} & {"x-who", "x-sid"}
