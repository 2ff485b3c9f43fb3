"""A real rsyslogd that takes RFC 5424 over TCP and tells what it understood."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

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
global(workDirectory="{root}" maxMessageSize="128k")
template(name="understood" type="list" option.jsonf="on") {{
{properties}
  property(outname="time" name="timereported" dateFormat="rfc3339" format="jsonf")
}}
module(load="imptcp")
ruleset(name="kept") {{
  action(type="omfile" file="{root}/understood.jsonl" template="understood" asyncWriting="off" flushOnTXEnd="on")
}}
input(type="imptcp" address="{host}" port="{port}" ruleset="kept" maxFrameSize="200000")
"""


class Rsyslog(Process):
    """rsyslogd on a free port."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        (self.port,) = free_ports(1)
        self.out = root / "understood.jsonl"
        self.read_bytes = 0

    def start(self) -> Self:
        properties = "\n".join(
            f'  property(outname="{name}" name="{source}" format="jsonf")' for name, source in PROPERTIES.items()
        )
        configuration = self.root / "rsyslog.conf"
        configuration.write_text(
            CONFIGURATION.format(root=self.root, host=HOST, port=self.port, properties=properties), encoding="utf-8"
        )
        program = shutil.which("rsyslogd", path=ADMIN_PATH)
        assert program, "rsyslogd is not installed"
        self.spawn([program, "-n", "-C", "-f", str(configuration), "-i", str(self.root / "pid")])
        self.wait_for(self._answers)
        self.connection = socket.create_connection((HOST, self.port), timeout=20)
        return self

    def _answers(self) -> bool:
        try:
            socket.create_connection((HOST, self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def understood(self, messages: Iterable[bytes]) -> list[dict[str, Any]]:
        """Sends messages in frames that count their octets (RFC 6587 §3.4.1), and returns what came of them."""
        messages = list(messages)
        self.connection.sendall(b"".join(b"%d %s" % (len(message), message) for message in messages))

        def lines() -> list[bytes] | None:
            found = self.out.read_bytes()[self.read_bytes :] if self.out.exists() else b""
            return found.splitlines(keepends=True) if found.count(b"\n") >= len(messages) else None

        found = poll(lines, f"{len(messages)} messages to come out of rsyslogd")
        self.read_bytes += sum(map(len, found))
        return [json.loads(line) for line in found]

    def stop(self, timeout_seconds: float = 10) -> int | None:
        self.connection.close()
        return super().stop(timeout_seconds)
