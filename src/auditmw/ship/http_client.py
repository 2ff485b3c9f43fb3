"""HTTP for targets: one persistent connection that posts, and what an answer means to a shipper.

Times and sizes are bounded: an exchange takes no longer than `timeout` seconds and an answer is no longer than
`MOST_ANSWER_BYTES`, unless who posts says otherwise. Redirects are not followed and proxies of the environment are not
used: events go where the URL says, or nowhere.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import re
import ssl
import time
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import quote

from auditmw.ship.address import Address, AddressError
from auditmw.ship.target import RejectedError, RetryableError, ShipError, TooLargeError, UnusableError
from auditmw.ship.token import Token
from auditmw.ship.wire import LONGEST_REASON, Keys, Peer, Wire

MOST_ANSWER_BYTES = 16 * 1024 * 1024
MOST_WAIT_SECONDS = 3600.0
RETRYABLE = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 507})
REJECTED = frozenset({400, 422})
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 §5.1
_GZIP = 16 + zlib.MAX_WBITS
_PIECES_AT_ONCE = 4_000  # that are sent, so that Python's lock is asked for seldom


class Answer(NamedTuple):
    """What a server answered. `headers`: get by name, whatever the case."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether the status is one of 200 to 299."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The beginning of the body, on one line."""
        text = " ".join(self.body[: 4 * LONGEST_REASON].decode("utf-8", "replace").split())
        return "".join(c if c.isprintable() else "?" for c in text)[:LONGEST_REASON]


def path_of(address: Address, default: str = "") -> str:
    """Return the path of a URL as a request line has it; `default` is without its first slash."""
    return "/" + quote(address.path or default, safe="/:@!$&'()*,;=+~")


class AnswerTooLongError(http.client.HTTPException):
    """An answer of more bytes than there is room for."""


class Bounds(NamedTuple):
    """How long an exchange may take, None being what the URL says, and how long its answer may be."""

    timeout_seconds: float | None = None
    answer_bytes: int = MOST_ANSWER_BYTES


USUAL = Bounds()


class HttpClient:
    """Posts to the server of a URL, and takes those of its options that all HTTP targets have.

    `timeout`, `gzip`, `ca`, `certificate`, `key`; who we are as `user:password@`, `token`, or `token_file`, which
    is read for each new connection; `token_header`: the name of the header for the token, if it is not
    Authorization. `port` and `timeout_seconds`: where the URL has none. `compressed`: whether bodies are, where the
    URL does not say. `auth_scheme`: what stands before the token in Authorization (RFC 9110 §11.6.2). `encrypted`:
    TLS also with a scheme that does not end in https. Constructing it does no I/O.
    """

    def __init__(
        self,
        address: Address,
        *,
        port: int | None = None,
        compressed: bool = False,
        auth_scheme: str = "Bearer",
        encrypted: bool = False,
        timeout_seconds: float = 30.0,
    ) -> None:
        is_encrypted = encrypted or address.scheme.endswith("https")
        keys = Keys.of(address)
        if keys and not is_encrypted:
            raise AddressError(f"expected https in {address.shown}, where certificates are named")
        self.shown = address.shown
        self._is_compressed = address.flag("gzip", compressed)
        self._peer = Peer.of(
            address,
            port or (443 if is_encrypted else 80),
            keys if is_encrypted else None,
            address.seconds("timeout", timeout_seconds),
        )
        self._credentials = _Credentials(address, auth_scheme)
        self._connection: _Connection | None = None

    def post(
        self, target: str, body: bytes | Sequence[bytes], headers: Mapping[str, str], bounds: Bounds = USUAL
    ) -> Answer:
        """Post a body to a path and return the answer, whatever its status. Raises RetryableError, UnusableError.

        A large body may come in many pieces: then it is never whole in memory.
        """
        pieces = [body] if isinstance(body, bytes) else body
        if self._is_compressed:
            headers = {**headers, "Content-Encoding": "gzip"}
            pieces = _compressed(pieces)
        headers = {**headers, "Content-Length": str(sum(map(len, pieces)))}
        try:
            return self._exchange(target, pieces, {"User-Agent": "auditmw", **headers}, bounds)
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise self._peer.trouble(error) from error
            if isinstance(error, http.client.HTTPException):
                said = f"{type(error).__name__} {error}"[:LONGEST_REASON]
                raise RetryableError(f"{self.shown} broke off its answer, or does not speak HTTP: {said}") from error
            raise

    def abort(self) -> None:
        """Have a `post` in another thread end now, with RetryableError; never raises."""
        connection = self._connection
        if connection is not None:
            connection.wire.abort()

    def close(self) -> None:
        """Close the connection; never raises. The next `post` opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(self, target: str, pieces: Sequence[bytes], headers: Mapping[str, str], bounds: Bounds) -> Answer:
        connection = self._ready()
        wire = connection.wire
        wire.begin(bounds.timeout_seconds)
        # One that refuses a body may do so, and close, before it has all of it: its answer is worth reading.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            connection.request("POST", target, _joined(pieces), {**headers, **connection.credentials})
        response = connection.getresponse()
        content = response.read(bounds.answer_bytes + 1)
        if len(content) > bounds.answer_bytes:
            raise AnswerTooLongError(f"an answer of more than {bounds.answer_bytes} bytes")
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
        if response.will_close:
            self.close()
        return Answer(response.status, response.headers, content)

    def _ready(self) -> _Connection:
        if self._connection is not None and not self._connection.wire.is_usable():
            self.close()  # idle connections are closed by servers
        if self._connection is None:
            credentials = self._credentials.headers()
            self._connection = _Connection(self._peer.open(), self._peer.host, credentials)
        return self._connection


class _Connection(http.client.HTTPConnection):
    """http.client over a wire that is connected already."""

    auto_open = 0

    def __init__(self, wire: Wire, place: tuple[str, int], credentials: Mapping[str, str]) -> None:
        super().__init__(*place)
        self.sock: Any = wire
        self.wire = wire
        self.credentials = credentials
        self._is_answering = False

    def getresponse(self) -> http.client.HTTPResponse:
        """Return the answer, of which the body is still to be read."""
        self._is_answering = True
        try:
            return super().getresponse()
        finally:
            self._is_answering = False

    def close(self) -> None:
        """Close the connection, also when http.client has let go of it.

        Not yet when an answer begins that is the connection's last: http.client then closes what it has of it, as a
        socket of which a file was made goes on; a wire does not.
        """
        if not self._is_answering:
            super().close()
            self.wire.close()


class _Credentials:
    """Who we are, as a header."""

    def __init__(self, address: Address, auth_scheme: str) -> None:
        self._user, self._password = address.user, address.password
        self._token = Token(address)
        name = address.text("token_header", "")
        if name and not _HEADER_NAME.fullmatch(name):
            raise AddressError(f"expected the name of a header for token_header in {address.shown}, not {name!r}")
        self._name = name or "Authorization"
        self._prefix = "" if name else f"{auth_scheme} "

    def headers(self) -> dict[str, str]:
        """Return the header, if there is to be one. Raises UnusableError."""
        if self._user:
            pair = f"{self._user}:{self._password or ''}".encode()
            return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}  # RFC 7617
        token = self._token.read()
        return {self._name: self._prefix + token} if token else {}


def failure(
    shown: str,
    answer: Answer,
    *,
    said: str | None = None,
    retryable: Collection[int] = RETRYABLE,
    rejected: Collection[int] = REJECTED,
    now: Callable[[], float] = time.time,
) -> ShipError:
    """Return what an answer that is no success means to a shipper.

    `said`: the server's words, if they are not the body as text. `now`: seconds since 1970, for dates in Retry-After.
    """
    words = answer.text if said is None else said[:LONGEST_REASON]
    reason = f"{shown} answered {answer.status} {http.client.responses.get(answer.status, '')}".rstrip()
    reason += f": {words}" if words else ""
    if answer.status in retryable:
        return RetryableError(reason, retry_after_seconds(answer.headers.get("Retry-After"), now))
    if answer.status == 413:
        return TooLargeError(reason)
    if answer.status in rejected:
        return RejectedError(reason)
    if 300 <= answer.status < 400 and answer.headers.get("Location"):
        reason += f"; redirects are not followed, this one leads to {answer.headers['Location'][:LONGEST_REASON]!r}"
    return UnusableError(reason)


def retry_after_seconds(value: str | None, now: Callable[[], float] = time.time) -> float | None:
    """Return the seconds that a Retry-After header asks for, an hour at most: a number or a date (RFC 9110 §10.2.3)."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), MOST_WAIT_SECONDS)
    try:
        seconds = parsedate_to_datetime(value).timestamp() - now()
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), MOST_WAIT_SECONDS)


def _joined(pieces: Sequence[bytes]) -> Iterator[bytes]:
    return (b"".join(pieces[first : first + _PIECES_AT_ONCE]) for first in range(0, len(pieces), _PIECES_AT_ONCE))


def _compressed(pieces: Sequence[bytes]) -> list[bytes]:
    squeeze = zlib.compressobj(level=1, wbits=_GZIP)
    return [*map(squeeze.compress, _joined(pieces)), squeeze.flush()]
