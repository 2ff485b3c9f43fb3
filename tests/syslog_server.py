"""A real rsyslogd that takes RFC 5424 over TCP, TLS and RELP, and tells what it understood."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from certificates import Certificates
from servers import ADMIN_PATH, HOST, Process, free_ports, poll

# What it takes of a message, by rsyslog's names. Control characters are escaped on receipt, as they are by default.
PROPERTIES = {
    "facility": "syslogfacility",
    "severity": "syslogseverity",
    "host": "hostname",
    "application": "app-name",
    "message_id": "msgid",
    "structured_data": "structured-data",
    "message": "msg",
    "version": "protocol-version",
}
CONFIGURATION = """
global(workDirectory="{root}" maxMessageSize="{largest}")
template(name="understood" type="list" option.jsonf="on") {{
{properties}
  property(outname="time" name="timereported" dateFormat="rfc3339" format="jsonf")
}}
module(load="imptcp")
ruleset(name="kept" {queue}) {{
  action(type="omfile" file="{root}/understood.jsonl" template="understood" asyncWriting="off" flushOnTXEnd="on")
}}
input(type="imptcp" address="{host}" port="{port}" ruleset="kept" maxFrameSize="200000000")
{more}
"""
# Without a queue of its own in between, a message is in the file before RELP answers.
MORE = """
global(defaultNetstreamDriverCAFile="{ca}" defaultNetstreamDriverCertFile="{certificate}"
       defaultNetstreamDriverKeyFile="{key}")
module(load="imtcp" maxFrameSize="200000000" StreamDriver.Name="gtls" StreamDriver.Mode="1"
       StreamDriver.AuthMode="x509/certvalid")
input(type="imtcp" address="{host}" port="{tls}" ruleset="kept")
module(load="imrelp" ruleset="kept")
input(type="imrelp" address="{host}" port="{relp}" maxDataSize="{largest}")
input(type="imrelp" address="{host}" port="{relp_tls}" maxDataSize="{largest}" tls="on" tls.cacert="{ca}"
      tls.mycert="{certificate}" tls.myprivkey="{key}" tls.authmode="name" tls.permittedpeer=["client"])
"""


class Rsyslog(Process):
    """rsyslogd on a free port."""

    largest_bytes = 128 * 1024
    queue = ""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        (self.port,) = free_ports(1)
        self.out = root / "understood.jsonl"
        self.read_bytes = 0
        self.connection: socket.socket | None = None

    def start(self) -> Self:
        properties = "\n".join(
            f'  property(outname="{name}" name="{source}" format="jsonf")' for name, source in PROPERTIES.items()
        )
        configuration = self.root / "rsyslog.conf"
        configuration.write_text(
            CONFIGURATION.format(
                root=self.root,
                host=HOST,
                port=self.port,
                properties=properties,
                largest=self.largest_bytes,
                queue=self.queue,
                more=self.more(),
            ),
            encoding="utf-8",
        )
        program = shutil.which("rsyslogd", path=ADMIN_PATH)
        assert program, "rsyslogd is not installed"
        self.spawn([program, "-n", "-C", "-f", str(configuration), "-i", str(self.root / "pid")])
        self.wait_for(self._answers)
        return self

    def more(self) -> str:
        """More inputs."""
        return ""

    def ports(self) -> list[int]:
        """Where it listens."""
        return [self.port]

    def _answers(self) -> bool:
        try:
            for port in self.ports():
                socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            return False
        return True

    def understood(self, messages: Iterable[bytes]) -> list[dict[str, Any]]:
        """Sends messages in frames that count their octets (RFC 6587 §3.4.1), and returns what came of them."""
        messages = list(messages)
        if self.connection is None:
            self.connection = socket.create_connection((HOST, self.port), timeout=20)
        self.connection.sendall(b"".join(b"%d %s" % (len(message), message) for message in messages))

        def lines() -> list[bytes] | None:
            found = self.out.read_bytes()[self.read_bytes :] if self.out.exists() else b""
            return found.splitlines(keepends=True) if found.count(b"\n") >= len(messages) else None

        found = poll(lines, f"{len(messages)} messages to come out of rsyslogd")
        self.read_bytes += sum(map(len, found))
        return [json.loads(line) for line in found]

    def stop(self, timeout_seconds: float = 10) -> int | None:
        if self.connection is not None:
            self.connection.close()
        return super().stop(timeout_seconds)


class SecureRsyslog(Rsyslog):
    """rsyslogd that also takes TLS and RELP, with and without TLS, for clients that have a certificate."""

    largest_bytes = 2 * 1024 * 1024
    queue = 'queue.type="Direct"'

    def __init__(self, root: Path, certificates: Certificates) -> None:
        super().__init__(root)
        self.certificates = certificates
        self.tls, self.relp, self.relp_tls = free_ports(3)

    def more(self) -> str:
        path = self.certificates.path
        return MORE.format(
            ca=path("ca.pem"),
            certificate=path("server.pem"),
            key=path("server.key"),
            host=HOST,
            tls=self.tls,
            relp=self.relp,
            relp_tls=self.relp_tls,
            largest=self.largest_bytes,
        )

    def ports(self) -> list[int]:
        return [self.port, self.tls, self.relp, self.relp_tls]

    def lines(self, offset: int = 0) -> list[dict[str, Any]]:
        """What it has written from this offset of its file on."""
        if not self.out.exists():
            return []
        with self.out.open("rb") as file:
            file.seek(offset)
            return [json.loads(line) for line in file.read().split(b"\n")[:-1]]
