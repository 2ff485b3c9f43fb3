"""Real servers for tests: each on a free loopback port, in a folder of its own, ended with the test process.

``SERVERS`` names every application server with its command; ``AppServer`` runs one, ``Nginx`` runs a real nginx with
any ``http`` block. A server is ready when it answered, not when it was started, and only what was started is ended.
"""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

HOST = "127.0.0.1"
TESTS = Path(__file__).parent
SRC = TESTS.parent / "src"
ADMIN_PATH = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"

# The child asks for SIGTERM when the test process dies (prctl PR_SET_PDEATHSIG = 1), so that a crashed run leaves
# nothing behind. A preexec_fn would do the same, and deadlock where the test process has threads.
LAUNCHER = (
    sys.executable,
    "-I",
    "-S",
    "-c",
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 15); os.execv(sys.argv[1], sys.argv[1:])",
)


def free_ports(count: int) -> list[int]:
    """Different free TCP ports: all are held until all are known."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def poll(condition: Callable[[], Any], what: str, timeout_seconds: float = 20) -> Any:
    """The first true value of ``condition``; a TimeoutError that says ``what`` was waited for."""
    end = time.monotonic() + timeout_seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise TimeoutError(f"waited {timeout_seconds} s for {what}")


@dataclass(frozen=True)
class Response:
    """One whole answer. ``headers`` keeps order, case and duplicates."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The only value of a header, or None."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) <= 1, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None


def request(
    port: int,
    method: str,
    target: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    timeout_seconds: float = 15,
) -> Response:
    """One request on a connection of its own; raises OSError or HTTPException when the answer is not whole."""
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout_seconds)
    try:
        connection.request(method, target, body=body, headers={"Connection": "close", **(headers or {})})
        answer = connection.getresponse()
        return Response(answer.status, answer.getheaders(), answer.read())
    finally:
        connection.close()


class Process:
    """A child process in a session of its own, with a folder for its files and its output."""

    stop_signal = signal.SIGTERM

    def __init__(self, root: Path) -> None:
        self.root = root
        self.child: subprocess.Popen[bytes] | None = None
        root.mkdir(parents=True, exist_ok=True)

    @property
    def output(self) -> str:
        """What it printed so far."""
        path = self.root / "output.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def spawn(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        with (self.root / "output.log").open("ab") as output:
            self.child = subprocess.Popen(
                [*LAUNCHER, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.root,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )

    def alive(self) -> bool:
        return self.child is not None and self.child.poll() is None

    def wait_for(self, answered: Callable[[], bool], timeout_seconds: float = 20) -> None:
        """Waits for the first answer; raises RuntimeError with the output when the process ends before."""

        def ready() -> bool:
            if not self.alive():
                raise RuntimeError(f"{self.command_name()} ended before it answered:\n{self.output[-4000:]}")
            return answered()

        try:
            poll(ready, f"{self.command_name()} to answer", timeout_seconds)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.output[-4000:]}") from None

    def command_name(self) -> str:
        return type(self).__name__

    def stop(self, timeout_seconds: float = 10) -> int | None:
        """Asks the process to end and waits; kills its group when it does not. Returns the exit status."""
        if self.child is None:
            return None
        if self.alive():
            self.child.send_signal(self.stop_signal)
            try:
                self.child.wait(timeout_seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.child.returncode

    def kill(self) -> None:
        """SIGKILL to everything in the process group that was started here."""
        if self.child is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()

    def start(self) -> Self:
        raise NotImplementedError

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.kill()
            raise

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


# ---------------------------------------------------------------------------------------------- application servers


@dataclass(frozen=True)
class Kind:
    """How to run one application server. ``command`` has ``{port}`` and ``{app}``."""

    name: str
    protocol: str  # "wsgi" or "asgi"
    modules: tuple[str, ...]  # what must be installed, for ``@pytest.mark.needs``
    command: tuple[str, ...]
    stop_seconds: float = 10


def gunicorn(worker: str, *more: str) -> Kind:
    modules = ("gunicorn", "gevent") if worker == "gevent" else ("gunicorn",)
    command = ("-m", "gunicorn", "-k", worker, "-b", f"{HOST}:{{port}}", "--graceful-timeout", "5", *more, "{app}")
    return Kind(f"gunicorn-{worker}", "wsgi", modules, command)


def uvicorn(parser: str, loop: str) -> Kind:
    command = ("-m", "uvicorn", "--host", HOST, "--port", "{port}", "--http", parser, "--loop", loop, "{app}")
    return Kind(f"uvicorn-{parser}", "asgi", ("uvicorn", parser), command)


def granian(protocol: str) -> Kind:
    command = ("-m", "granian", "--host", HOST, "--port", "{port}", "--interface", protocol, "{app}")
    return Kind(f"granian-{protocol}", protocol, ("granian",), command)


def hypercorn(loop: str) -> Kind:
    command = ("-m", "hypercorn", "--bind", f"{HOST}:{{port}}", "-k", loop, "--graceful-timeout", "5", "{app}")
    return Kind(f"hypercorn-{loop}", "asgi", ("hypercorn", "trio") if loop == "trio" else ("hypercorn",), command)


PYUWSGI = "import sys, pyuwsgi; pyuwsgi.run(sys.argv[1:])"

SERVERS = {
    kind.name: kind
    for kind in (
        gunicorn("sync", "-w", "2"),
        gunicorn("gthread", "-w", "1", "--threads", "4"),
        gunicorn("gevent", "-w", "1"),
        uvicorn("httptools", "auto"),
        uvicorn("h11", "asyncio"),
        granian("asgi"),
        granian("wsgi"),
        hypercorn("asyncio"),
        hypercorn("trio"),
        Kind("waitress", "wsgi", ("waitress",), ("-m", "waitress", f"--listen={HOST}:{{port}}", "{app}")),
        Kind("daphne", "asgi", ("daphne",), ("-m", "daphne", "-b", HOST, "-p", "{port}", "{app}")),
        # A SIGTERM soon after the start can hang its master: it is then killed, after less patience than others get.
        Kind(
            "pyuwsgi",
            "wsgi",
            ("pyuwsgi",),
            (
                *("-c", PYUWSGI, "--http-socket", f"{HOST}:{{port}}", "--module", "{app}"),
                *("--master", "--processes", "2", "--threads", "2", "--need-app", "--die-on-term"),
            ),
            stop_seconds=4,
        ),
    )
}


class AppServer(Process):
    """One of ``SERVERS``, or another ``Kind``, with an app of a module that ``tests`` (or ``path``) has.

    ``app``: "module:attribute". ``ready``: a path that the app answers with 200, asked until it does.
    """

    def __init__(
        self,
        name: str | Kind,
        root: Path,
        app: str,
        *,
        env: Mapping[str, str] | None = None,
        path: Path = TESTS,
        ready: str = "/ready",
    ) -> None:
        super().__init__(root)
        self.kind = SERVERS[name] if isinstance(name, str) else name
        self.app = app
        self.env = {"PYTHONPATH": f"{path}:{SRC}", "PYTHONWARNINGS": "default", **(env or {})}
        self.ready = ready
        self.port = 0

    def command_name(self) -> str:
        return self.kind.name

    def start(self) -> Self:
        """Starts it; a second time, on another port, when someone else took the first one in between."""
        try:
            return self.start_once()
        except RuntimeError:
            if "in use" not in self.output:
                raise
            return self.start_once()

    def start_once(self) -> Self:
        (self.port,) = free_ports(1)
        arguments = [part.format(port=self.port, app=self.app) for part in self.kind.command]
        self.spawn([sys.executable, *arguments], self.env)
        self.wait_for(self.answers)
        return self

    def answers(self) -> bool:
        try:
            return request(self.port, "GET", self.ready, timeout_seconds=5).status == 200
        except (OSError, http.client.HTTPException):
            return False

    def request(
        self, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Response:
        return request(self.port, method, target, headers, body)

    def stop(self, timeout_seconds: float | None = None) -> int | None:
        return super().stop(timeout_seconds or self.kind.stop_seconds)


# ------------------------------------------------------------------------------------------------------------- nginx


class Nginx(Process):
    """A real nginx in the foreground with the given ``http`` block.

    ``http``: what stands between ``http {`` and ``}``: log formats, upstreams, servers. Paths in it are relative to
    ``root``, so ``access_log logs/access.log extended;`` is ``root/logs/access.log``. ``port``: where one of its
    servers listens; take it from ``free_ports``.
    """

    stop_signal = signal.SIGQUIT  # a graceful stop (nginx docs, "Controlling nginx")

    def __init__(self, root: Path, http: str, port: int) -> None:
        super().__init__(root)
        self.http = http
        self.port = port

    def start(self) -> Self:
        root = self.root
        for folder in ("tmp", "logs"):
            (root / folder).mkdir(exist_ok=True)
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = " ".join(f"{kind}_temp_path {root}/tmp/{kind};" for kind in kinds)
        user = ""
        if os.getuid() == 0:  # the workers drop to another user, who must reach the temporary files
            user = "user nobody nogroup;"
            root.chmod(0o755)
            shutil.chown(root / "tmp", "nobody")
        (root / "nginx.conf").write_text(
            f"{user} daemon off; worker_processes 1; pid {root}/nginx.pid; error_log {root}/logs/error.log info;\n"
            f"events {{ worker_connections 256; }}\nhttp {{ {temporary}\n{self.http}\n}}\n"
        )
        nginx = shutil.which("nginx", path=ADMIN_PATH)
        assert nginx, "nginx is not installed: mark the test with @pytest.mark.needs('nginx')"
        self.spawn([nginx, "-p", str(root), "-e", f"{root}/logs/error.log", "-c", f"{root}/nginx.conf"])
        self.wait_for(self.listens)
        return self

    @property
    def output(self) -> str:
        errors = self.root / "logs" / "error.log"
        return super().output + (errors.read_text(errors="replace") if errors.exists() else "")

    def listens(self) -> bool:
        try:
            socket.create_connection((HOST, self.port), 1).close()
            return True
        except OSError:
            return False

    def log_lines(self, count: int, name: str = "access.log") -> list[str]:
        """The first ``count`` lines of a log in ``logs/``; nginx writes a line after its answer, so this waits."""
        path = self.root / "logs" / name

        def enough() -> list[str]:
            found = path.read_text().splitlines() if path.exists() else []
            return found if len(found) >= count else []

        return list(poll(enough, f"{count} lines in {name}"))

    def request(
        self, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Response:
        return request(self.port, method, target, headers, body)


@contextmanager
def behind_nginx(server: AppServer, root: Path, http: str, location: str = "") -> Iterator[Nginx]:
    """An nginx in front of a started server: ``http`` before its server block, ``location`` inside ``location /``."""
    (port,) = free_ports(1)
    block = f"""
    {http}
    upstream app {{ server {HOST}:{server.port}; }}
    server {{
        listen {HOST}:{port};
        location / {{ proxy_pass http://app; proxy_set_header Host $http_host; {location} }}
    }}
    """
    with Nginx(root, block, port) as nginx:
        yield nginx
