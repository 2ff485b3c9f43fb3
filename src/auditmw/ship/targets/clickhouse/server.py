"""One server's HTTP interface (https://clickhouse.com/docs/interfaces/http)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import orjson

from auditmw.ship.address import Address
from auditmw.ship.http_client import Answer, Bounds, HttpClient
from auditmw.ship.target import UnusableError
from auditmw.ship.targets.clickhouse.errors import CODE_HEADER, problem
from auditmw.ship.wire import LONGEST_REASON

TIMEOUT_SECONDS = 60.0  # a whole batch comes in that time over 5 Mbit/s
_HEADERS = {"Content-Type": "text/plain; charset=utf-8"}


class Server:
    """Asks the server that a URL names, in the database of its path. `secure`: over TLS."""

    def __init__(self, address: Address, secure: bool) -> None:
        self.shown = address.shown
        port = 8443 if secure else 8123
        self._client = HttpClient(address, port=port, encrypted=secure, timeout_seconds=TIMEOUT_SECONDS)
        self._database = {"database": address.path} if address.path else {}

    def execute(self, statement: str) -> bytes:
        """Run a statement and return what it answers. Raises ShipError."""
        return self._post(self._database, statement.encode())

    def rows(self, statement: str) -> list[list[Any]]:
        """Return the rows of a SELECT. Raises ShipError."""
        return self._rows(self.execute(f"{statement} FORMAT JSONCompact"))

    def _rows(self, content: bytes) -> list[list[Any]]:
        try:
            rows: list[list[Any]] = orjson.loads(content)["data"]
        except (ValueError, KeyError, TypeError):
            raise self._stranger(content) from None
        return rows

    def rows_about(self, statement: str, ids: Sequence[str]) -> list[list[Any]]:
        """Return the rows of a SELECT to which there is a table `asked` with the column `id`. Raises ShipError.

        External data, as all versions have it (https://clickhouse.com/docs/engines/table-engines/special/external-data).
        """
        rows = b"\n".join(orjson.dumps({"id": ident}) for ident in ids)
        boundary = secrets.token_hex(16)
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="asked"; filename="asked"\r\n\r\n'
        body = b"%b%b\r\n--%b--\r\n" % (head.encode(), rows, boundary.encode())
        told = {
            "asked_structure": "id String",
            "asked_format": "JSONEachRow",
            "query": f"{statement} FORMAT JSONCompact",
        }
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return self._rows(self._post({**self._database, **told}, body, headers))

    def ask(self, parameters: Mapping[str, str], body: bytes, content_type: str, bounds: Bounds) -> Answer:
        """Post to the server, with parameters in the URL; return what it answers, be it an error. Raises ShipError."""
        target = f"/?{urlencode({**self._database, **parameters})}"
        return self._client.post(target, body, {"Content-Type": content_type}, bounds)

    def abort(self) -> None:
        """Have what another thread waits for here end now, with RetryableError; never raises."""
        self._client.abort()

    def insert(self, statement: str, data: Sequence[bytes], settings: Mapping[str, str]) -> None:
        """Run an INSERT with its data; return when the server says that it has them. Raises ShipError."""
        content = self._post({**self._database, **settings, "query": statement}, data)
        if content.strip():
            raise self._stranger(content)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _post(
        self, parameters: Mapping[str, str], data: bytes | Sequence[bytes], headers: Mapping[str, str] = _HEADERS
    ) -> bytes:
        answer = self._client.post(f"/?{urlencode(parameters)}", data, headers)
        if not answer.is_success or CODE_HEADER in answer.headers:
            raise problem(self.shown, answer)
        return answer.body

    def _stranger(self, content: bytes) -> UnusableError:
        return UnusableError(f"{self.shown} does not answer as ClickHouse does: {content[:LONGEST_REASON]!r}")


def each_server(address: Address, secure: bool) -> list[Server]:
    """Return the servers of a URL, each with one of its hosts, and take the options that they have."""
    whole = Server(address, secure)
    if len(address.hosts) < 2:
        return [whole]
    parts = urlsplit(address.url)
    credentials, at, places = parts.netloc.rpartition("@")
    urls = [urlunsplit(parts._replace(netloc=f"{credentials}{at}{place}")) for place in places.split(",") if place]
    return [Server(Address(url), secure) for url in urls]
