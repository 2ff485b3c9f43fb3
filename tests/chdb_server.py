"""A modern ClickHouse inside of this process (chdb), asked as the target asks a server; a process has one folder."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from http.client import HTTPMessage
from pathlib import Path
from typing import Any

from auditmw.ship.http_client import Answer
from auditmw.ship.targets.clickhouse.errors import problem

CLUSTER = "both"
# A shard at the port that this server takes for its own is asked in this process.
_CONFIGURATION = f"""<clickhouse><tcp_port>9000</tcp_port><remote_servers><{CLUSTER}>
  <shard><replica><host>127.0.0.1</host><port>9000</port></replica></shard>
</{CLUSTER}></remote_servers></clickhouse>
"""


@cache
def _place() -> str:
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # it syncs every part
    folder = Path(tempfile.mkdtemp(prefix="auditmw-chdb-", dir=memory))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "config.xml").write_text(_CONFIGURATION)
    return f"{folder / 'data'}?config-file={folder / 'config.xml'}"


@cache
def session() -> Any:
    from chdb.session import Session

    return Session(_place())


@contextmanager
def connection() -> Iterator[Any]:
    """A connection with settings of its own."""
    import chdb

    session()  # which keeps the tables of all
    opened = chdb.connect(_place())
    try:
        yield opened
    finally:
        opened.close()


class ModernServer:
    """Has the methods of `Server`, and keeps the settings of the last INSERT."""

    shown = "chdb"

    def __init__(self) -> None:
        self.settings: dict[str, str] = {}

    def execute(self, statement: str | bytes) -> bytes:
        try:
            return bytes(session().query(statement, "JSONCompact").bytes())
        except RuntimeError as error:
            raise problem(self.shown, Answer(500, HTTPMessage(), str(error).encode())) from error

    def rows(self, statement: str) -> list[list[Any]]:
        return list(json.loads(self.execute(f"{statement} FORMAT JSONCompact"))["data"])

    def rows_about(self, statement: str, ids: Sequence[str]) -> list[list[Any]]:
        """A table of that name in place of the external one, which needs a server."""
        self.execute("CREATE OR REPLACE TABLE asked (id String) ENGINE = Memory")
        rows = "\n".join(json.dumps({"id": ident}) for ident in ids)
        self.execute(f"INSERT INTO asked FORMAT JSONEachRow {rows}")
        return self.rows(statement)

    def insert(self, statement: str, data: Sequence[bytes], settings: Mapping[str, str]) -> None:
        self.settings = dict(settings)
        told = ", ".join(f"{name} = '{value}'" for name, value in settings.items())
        self.execute(statement.replace(" FORMAT", f" SETTINGS {told} FORMAT").encode() + b" " + b"".join(data))

    def close(self) -> None:
        pass
