"""Real ClickHouse servers that can be killed and started again: one, or the shards of a cluster, each in its folder.

Debian's server refuses to run as root in a folder of another user, so as root it runs as `nobody`. It answers on free
loopback ports only, and ends with the test process. It is stopped with SIGKILL, as SIGTERM takes it ten seconds.
"""

from __future__ import annotations

import http.client
import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

from postgres_server import LAUNCHER
from servers import ADMIN_PATH, HOST, Process, free_ports, poll, request

CLUSTER = "both"
PASSWORD = "correct horse"  # of the user "keeper"
USERS = f"""<?xml version="1.0"?>
<yandex>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <users>
    <default>
      <password></password><networks><ip>{HOST}</ip></networks><profile>default</profile><quota>default</quota>
    </default>
    <keeper>
      <password>{PASSWORD}</password><networks><ip>{HOST}</ip></networks><profile>default</profile>
      <quota>default</quota>
    </keeper>
  </users>
</yandex>
"""


class ClickHouseError(Exception):
    """What the server answered to a statement that failed."""


class ClickHouse(Process):
    """clickhouse-server. `ports`: for HTTP, its own protocol, its peers, HTTPS. `shards`: the second of each shard."""

    stop_signal = signal.SIGKILL

    def __init__(
        self, root: Path, ports: Sequence[int], shards: Sequence[int], certificate: Path | None = None
    ) -> None:
        super().__init__(root)
        self.port, self.native_port, self.peer_port, self.tls_port = ports
        self.shards = list(shards)
        self.certificate = certificate

    def url(self, path: str = "", user: str = "", **options: str) -> str:
        """The URL of one of its databases."""
        credentials = f"{user}@" if user else ""
        return f"clickhouse://{credentials}{HOST}:{self.port}/{path}" + (f"?{urlencode(options)}" if options else "")

    def query(self, statement: str, data: bytes = b"", **parameters: str) -> str:
        """What it answers. Raises ClickHouseError; OSError and HTTPException when it does not."""
        target = "/?" + urlencode({"query": statement, **parameters})
        answer = request(self.port, "POST", target, body=data, timeout_seconds=60)
        if answer.status != 200:
            raise ClickHouseError(answer.body.decode(errors="replace"))
        return answer.body.decode("utf-8", "surrogatepass")

    def rows(self, statement: str, **parameters: str) -> list[list[Any]]:
        """The rows of a SELECT."""
        return list(json.loads(self.query(f"{statement} FORMAT JSONCompact", **parameters))["data"])

    def start(self) -> Self:
        """Start it, or start it again; return when it answers."""
        program = shutil.which("clickhouse-server", path=ADMIN_PATH)
        assert program, "clickhouse-server is not installed"
        (self.root / "config.xml").write_text(self._configuration())
        (self.root / "users.xml").write_text(USERS)
        uid, gid = _runner()
        os.chown(self.root, uid, gid)
        command = [program, "--config-file", str(self.root / "config.xml")]
        with (self.root / "output.log").open("ab") as output:
            self.child = subprocess.Popen(
                [*LAUNCHER, str(uid), str(gid), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.root,
                start_new_session=True,
            )
        self.wait_for(self._answers, timeout_seconds=60)
        return self

    def kill(self) -> None:
        """SIGKILL, as when the machine's memory ends."""
        if self.child is not None:
            self.child.kill()
            self.child.wait()

    def freeze(self) -> None:
        """Have it answer nothing, while the system still takes connections for it."""
        assert self.child is not None
        self.child.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Have it go on."""
        assert self.child is not None
        self.child.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        try:
            return request(self.port, "GET", "/ping", timeout_seconds=5).body == b"Ok.\n"
        except (OSError, http.client.HTTPException):
            return False

    def _configuration(self) -> str:
        replica = "<shard><replica><host>{}</host><port>{}</port></replica></shard>"
        shards = "".join(replica.format(HOST, port) for port in self.shards)
        tls = ""
        if self.certificate is not None:
            pem = self.certificate
            files = f"<certificateFile>{pem}</certificateFile><privateKeyFile>{pem}</privateKeyFile>"
            tls = f"<https_port>{self.tls_port}</https_port><openSSL><server>{files}</server></openSSL>"
        return f"""<?xml version="1.0"?>
<yandex>
  <logger><level>warning</level><log>{self.root}/server.log</log><errorlog>{self.root}/error.log</errorlog></logger>
  <http_port>{self.port}</http_port><tcp_port>{self.native_port}</tcp_port>{tls}
  <interserver_http_port>{self.peer_port}</interserver_http_port><interserver_http_host>{HOST}</interserver_http_host>
  <listen_host>{HOST}</listen_host><path>{self.root}/data/</path><tmp_path>{self.root}/tmp/</tmp_path>
  <mark_cache_size>67108864</mark_cache_size><users_config>{self.root}/users.xml</users_config>
  <default_profile>default</default_profile><default_database>default</default_database><timezone>UTC</timezone>
  <remote_servers><{CLUSTER}>{shards}</{CLUSTER}></remote_servers>
</yandex>
"""


def make_certificate(path: Path) -> Path:
    """A certificate for this machine that signs itself, with its key, in one file that every user may read."""
    options = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    options += ["-addext", f"subjectAltName=DNS:localhost,IP:{HOST}", "-keyout", f"{path}.key", "-out", f"{path}.crt"]
    subprocess.run(["openssl", "req", "-x509", *options], check=True, capture_output=True)
    path.write_text(Path(f"{path}.key").read_text() + Path(f"{path}.crt").read_text())
    path.chmod(0o644)
    return path


def _runner() -> tuple[int, int]:
    if os.getuid() != 0:
        return os.getuid(), os.getgid()
    found = pwd.getpwnam("nobody")
    return found.pw_uid, found.pw_gid


@contextmanager
def clickhouse(shards: int, *, tls: bool = False, folder: Path | None = None) -> Iterator[list[ClickHouse]]:
    """The shards of one cluster, in a new folder, which is removed: pytest's own folders are closed to other users."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # an INSERT is a hundred files
    root = Path(tempfile.mkdtemp(prefix="auditmw-clickhouse-", dir=folder or memory))
    root.chmod(0o755)
    certificate = make_certificate(root / "server.pem") if tls else None
    ports = free_ports(4 * shards)
    native = ports[1::4]
    servers = [ClickHouse(root / f"shard{n}", ports[4 * n : 4 * n + 4], native, certificate) for n in range(shards)]
    try:
        for server in servers:
            server.start()
        yield servers
    finally:
        for server in servers:
            server.kill()
        poll(lambda: _removed(root), f"{root} to be gone")


def _removed(root: Path) -> bool:
    shutil.rmtree(root, ignore_errors=True)
    if root.exists():
        time.sleep(0.1)
    return not root.exists()
