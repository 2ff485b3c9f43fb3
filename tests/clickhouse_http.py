"""ClickHouse's HTTP interface over the modern ClickHouse inside of this process (chdb), as no package has its server.

It speaks what auditmw needs of https://clickhouse.com/docs/interfaces/http: the statement in the URL, the body or a
form; parameters, settings, formats, databases; Basic credentials; errors with their number in a header; ids of queries,
and KILL QUERY, also when a client goes away.
"""

from __future__ import annotations

import base64
import contextlib
import re
import select
import socket
import sys
import threading
from collections.abc import Iterator
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from chdb_server import connection
from servers import HOST

USER, PASSWORD = "reader", "correct horse"
# What is the interface's own in a URL; all else is a setting.
NO_SETTINGS = {"query", "database", "query_id", "default_format", "wait_end_of_query", "buffer_size"}
_CODE = re.compile(r"Code: (\d+)")
_KILL = re.compile(r"KILL QUERY WHERE query_id = '([^']*)'( ASYNC)?")
_MARK = "/* query_id {} */"


class ClickHouseHTTP(ThreadingHTTPServer):
    """The server. `seen`: the requests, as their parameters in the URL and the statement.

    `version`: what `version()` is said to be; None is the truth. `before`: called with each statement before it runs.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__((HOST, 0), _Handler)
        self.seen: list[tuple[dict[str, str], str]] = []
        self.version: str | None = None
        self.before: Any = lambda statement: None
        self.killed: list[str] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def url(self, database: str = "default", user: str = "", **options: str) -> str:
        """The URL of one of its databases."""
        credentials = f"{user}@" if user else ""
        told = "&".join(f"{name}={value}" for name, value in options.items())
        return f"clickhouse://{credentials}{HOST}:{self.port}/{database}" + (f"?{told}" if told else "")

    def kill(self, query_id: str) -> None:
        """Have a query end, as KILL QUERY does."""
        self.killed.append(query_id)
        with connection() as asked:
            mark = _MARK.format(query_id)
            listed = f"SELECT query_id FROM system.processes WHERE startsWith(query, '{mark}')"
            for inner in str(asked.query(listed, "TSV")).split():
                asked.query(f"KILL QUERY WHERE query_id = '{inner}' ASYNC", "TSV")

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is none of our errors."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: ClickHouseHTTP
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        given = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self._is_known():
            self._answer(403, b"Code: 516. DB::Exception: Authentication failed: password is incorrect. (X)", {})
            return
        statement = given.get("query", "").encode()
        if self.headers.get_content_type() == "multipart/form-data":
            fields = self._form(body)
            given |= {name: value.decode() for name, value in fields.items() if name != "query"}
            statement += fields.get("query", b"")
        else:
            statement += (b" " if statement else b"") + body
        self.server.seen.append((given, statement.decode("utf-8", "replace")))
        self.server.before(statement.decode("utf-8", "replace"))
        self._run(given, statement)

    def _run(self, given: dict[str, str], statement: bytes) -> None:
        text = statement.decode("utf-8", "replace")
        if killed := _KILL.fullmatch(text):
            self.server.kill(killed[1])
            self._answer(200, b"", {})
            return
        if self.server.version is not None and "version()" in text:
            statement = text.replace("version()", f"'{self.server.version}'").encode()
        query_id = given.get("query_id", "")
        try:
            with connection() as asked, self._watched(query_id):
                for name, value in given.items():
                    if name not in NO_SETTINGS:
                        asked.query(f"SET {name} = {_quoted(value)}", "TSV")
                if given.get("database"):
                    asked.query(f"USE `{given['database']}`", "TSV")
                content = bytes(
                    asked.query(_MARK.format(query_id).encode() + statement, given.get("default_format", "TSV")).bytes()
                )
        except RuntimeError as error:
            found = _CODE.search(str(error))
            headers = {"X-ClickHouse-Exception-Code": found[1]} if found else {}
            self._answer(500, str(error).encode(), headers)
            return
        self._answer(200, content, {"X-ClickHouse-Query-Id": query_id})

    @contextlib.contextmanager
    def _watched(self, query_id: str) -> Iterator[None]:
        """End the query when the client goes away, as `cancel_http_readonly_queries_on_client_close` has it."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(0.02):
                ready, _, _ = select.select([self.connection], [], [], 0)
                with contextlib.suppress(OSError):
                    if ready and not self.connection.recv(1, socket.MSG_PEEK):
                        self.server.kill(query_id)  # until it has begun, and ends

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    def _is_known(self) -> bool:
        told = self.headers.get("Authorization")
        return told is None or told == "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    def _form(self, body: bytes) -> dict[str, bytes]:
        whole = b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n" + body
        parts = BytesParser(policy=HTTP).parsebytes(whole).iter_parts()
        return {
            str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True) for part in parts
        }

    def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        with contextlib.suppress(OSError):
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Tests are silent."""


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


@contextlib.contextmanager
def clickhouse_http() -> Iterator[ClickHouseHTTP]:
    """The server, answering until the block ends."""
    with ClickHouseHTTP() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
