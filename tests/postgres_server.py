"""A real PostgreSQL server that can be killed, stopped and started again, in a folder of its own.

As root it runs as the user `postgres`, because it refuses to run as root. It answers on a free loopback port only,
keeps its socket in its folder, and ends with the test process.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from certificates import Certificates
from servers import ADMIN_PATH, HOST, Process, free_ports, poll

USER = "postgres"
# Drops to another user first, as that would clear the signal for the parent's death (prctl(2)). SIGQUIT: at once.
LAUNCHER = (
    sys.executable,
    "-I",
    "-S",
    "-c",
    "import ctypes, os, sys\n"
    "uid, gid = map(int, sys.argv[1:3])\n"
    "if uid != os.getuid(): os.setgroups([]); os.setgid(gid); os.setuid(uid)\n"
    "ctypes.CDLL(None).prctl(1, 3)\n"
    "os.execv(sys.argv[3], sys.argv[3:])",
)
# What the server's processes wrote survives their end; fsync is about the machine's.
CONFIGURATION = {
    "shared_buffers": "16MB",
    "max_connections": "30",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "on",
    "logging_collector": "off",
    "log_min_messages": "warning",
    "max_wal_size": "256MB",
}


def binary(name: str) -> str:
    """The newest PostgreSQL's program of this name."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    path = os.pathsep.join([*map(str, folders), ADMIN_PATH])
    found = shutil.which(name, path=path)
    assert found, f"{name} is not installed"
    return found


def runner() -> tuple[int, int]:
    """The user and group that the server runs as: another one when this is root."""
    if os.getuid() != 0:
        return os.getuid(), os.getgid()
    found = pwd.getpwnam(USER)
    return found.pw_uid, found.pw_gid


class Postgres(Process):
    """`postgres` with a new cluster: superuser `postgres`, who may come in from this machine without a password.

    `configuration`: more settings. `hba`: lines for the beginning of pg_hba.conf. `certificates`: it speaks TLS, too.
    """

    stop_signal = signal.SIGINT  # "fast": SIGTERM would wait for its clients

    def __init__(
        self,
        root: Path,
        configuration: Mapping[str, str] | None = None,
        hba: str = "",
        certificates: Certificates | None = None,
    ) -> None:
        super().__init__(root)
        (self.port,) = free_ports(1)
        self.data = root / "data"
        self.configuration = dict(CONFIGURATION) | dict(configuration or {})
        self.hba = hba
        self.certificates = certificates

    def url(self, path: str = "postgres", **options: str) -> str:
        """The URL of one of its databases."""
        more = "&".join(f"{name}={value}" for name, value in options.items())
        return f"postgresql://postgres@{HOST}:{self.port}/{path}" + (f"?{more}" if more else "")

    def connect(self, **options: Any) -> Any:
        """A psycopg connection of the superuser that commits by itself."""
        import psycopg

        known = {"host": HOST, "port": self.port, "user": "postgres", "dbname": "postgres", "connect_timeout": 20}
        return psycopg.connect(**known | options, autocommit=True)

    def execute(self, statement: str, **options: Any) -> list[Any]:
        """The rows of a statement, on a connection of its own."""
        with self.connect(**options) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def start(self) -> Self:
        """Start it, or start it again; return when it takes connections."""
        if not self.data.exists():
            self._initialise()
        self._launch([binary("postgres"), "-D", str(self.data)])
        ready = [binary("pg_isready"), "-q", "-h", HOST, "-p", str(self.port)]
        self.wait_for(lambda: subprocess.call(ready) == 0, timeout_seconds=60)
        return self

    def _initialise(self) -> None:
        os.chmod(self.root, 0o755)
        os.chown(self.root, *runner())
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"]
        self._launch([binary("initdb"), "-D", str(self.data), *options])
        assert self.child is not None
        assert self.child.wait(60) == 0, self.output
        hba = self.data / "pg_hba.conf"
        hba.write_text(self.hba + hba.read_text())
        if self.certificates is not None:
            for name, path in (("server.crt", "server.pem"), ("server.key", "server.key")):
                shutil.copyfile(self.certificates.path(path), self.data / name)
                os.chown(self.data / name, *runner())
                os.chmod(self.data / name, 0o600)
            self.configuration["ssl"] = "on"
        self._configure()

    def _configure(self) -> None:
        known = {"listen_addresses": HOST, "port": str(self.port), "unix_socket_directories": str(self.root)}
        lines = [f"{name} = '{value}'\n" for name, value in (known | self.configuration).items()]
        (self.data / "postgresql.conf").write_text("".join(lines))

    def _launch(self, command: list[str]) -> None:
        uid, gid = runner()
        with (self.root / "output.log").open("ab") as output:
            self.child = subprocess.Popen(
                [*LAUNCHER, str(uid), str(gid), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.root,
                start_new_session=True,
            )

    def kill(self) -> None:
        """SIGKILL to the server and its processes, each of which has a session of its own."""
        if self.child is None:
            return
        pids = self._pids()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.child.wait()
        poll(lambda: not any(_is_running(pid) for pid in pids), "the server's processes to be gone")

    def _pids(self) -> list[int]:
        """The server's process and its children."""
        assert self.child is not None
        children = Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children")
        with suppress(OSError):
            return [self.child.pid, *(int(pid) for pid in children.read_text().split())]
        return [self.child.pid]

    def titles(self) -> list[str]:
        """What its processes say that they are doing: `postgres: user database host(port) COPY`."""
        found = []
        for pid in self._pids():
            with suppress(OSError):
                found.append(Path(f"/proc/{pid}/cmdline").read_text(errors="replace").rstrip("\0 "))
        return found

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Have it and its processes answer nothing for a while (SIGSTOP); connections are still taken."""
        pids = self._pids()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)


def _is_running(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@contextmanager
def postgres(
    configuration: Mapping[str, str] | None = None, hba: str = "", certificates: Certificates | None = None
) -> Iterator[Postgres]:
    """A server in a new folder, which is removed; pytest's own folders are closed to other users."""
    root = Path(tempfile.mkdtemp(prefix="auditmw-postgres-"))
    try:
        with Postgres(root, configuration, hba, certificates) as server:
            yield server
    finally:
        for _ in range(5):  # its last process may still be writing
            shutil.rmtree(root, ignore_errors=True)
            if not root.exists():
                break
            time.sleep(0.1)
