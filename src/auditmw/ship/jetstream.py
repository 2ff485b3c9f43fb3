"""A connection to NATS for code that does not wait in coroutines: what `nats://` as a target and as a source share.

1. The connection has an event loop of its own, which runs only while something is asked of it.
2. It never mends itself: after a failure it is closed, and the next question opens a new one, to the next server.
3. Whatever goes wrong comes as RetryableError or UnusableError, in the words of the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import APIError
from nats.js.errors import Error as JetStreamError

from auditmw.ship.address import Address, AddressError
from auditmw.ship.target import RetryableError, ShipError, UnusableError

IDLE_SECONDS = 60.0  # the server takes a client for gone that does not answer for some minutes
_PORT = 4222
_CLOSE_SECONDS = 1.0
_LONGEST_REASON = 200
_REFUSED = ("authorization violation", "authentication", "permissions violation", "user authentication", "nkey")

_T = TypeVar("_T")


@dataclass(frozen=True)
class Place:
    """Where a NATS URL says to go: the servers, the stream, and who we are.

    `ca`, `certificate`, `key`: PEM files. `credentials`: a .creds file. `nkey`: a file with a seed.
    """

    shown: str
    servers: tuple[str, ...]
    stream: str
    user: str | None
    password: str | None
    is_encrypted: bool
    ca: str
    certificate: str
    key: str
    credentials: str
    nkey: str
    timeout_seconds: float

    @classmethod
    def of(cls, address: Address) -> Place:
        """Take what every use of a stream needs from a URL; `done` is the caller's. Raises AddressError."""
        stream = address.path or "AUDIT"
        if not stream.isprintable() or any(character in " .*>/\\" for character in stream):
            raise AddressError(
                f"expected the name of a stream after the servers, as in nats://host/AUDIT, not {stream!r}"
            )
        hosts = address.hosts or [("localhost", None)]
        return cls(
            address.shown,
            tuple(f"nats://{f'[{host}]' if ':' in host else host}:{port or _PORT}" for host, port in hosts),
            stream,
            address.user,
            address.password,
            address.flag("tls", False),
            address.text("ca", ""),
            address.text("certificate", ""),
            address.text("key", ""),
            address.text("credentials", ""),
            address.text("nkey", ""),
            address.seconds("timeout", 10.0),
        )

    def options(self) -> dict[str, Any]:
        """Return what `Client.connect` is to be told of us. Raises UnusableError for files that cannot be read."""
        options: dict[str, Any] = {}
        if self.credentials:
            options["user_credentials"] = self.credentials
        elif self.nkey:
            options["nkeys_seed"] = self.nkey
        elif self.password is not None:
            options |= {"user": self.user, "password": self.password}
        elif self.user is not None:
            options["token"] = self.user
        try:
            if self.is_encrypted or self.ca or self.certificate:
                options["tls"] = ssl.create_default_context(cafile=self.ca or None)
            if self.certificate:
                options["tls"].load_cert_chain(self.certificate, self.key or None)
            for path in filter(None, (self.credentials, self.nkey)):
                with open(path, "rb"):
                    pass
        except OSError as error:  # ssl.SSLError is one
            raise UnusableError(f"cannot use the keys that {self.shown} names: {error}") from error
        return options


class _Client(Client):
    """A client that tells nobody's password to a server without TLS, where that was asked for."""

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if "tls" in self.options:
            if not (info.get("tls_required") or info.get("tls_available")):
                raise nats.errors.SecureConnWantedError
            info["tls_required"] = True
        await super()._process_info(info, initial_connection)


class Connection:
    """One connection, opened when it is needed. For one thread.

    `prepare` is called with each new connection. `on_trouble` hears of what ends one, while it is in use.
    """

    def __init__(
        self,
        place: Place,
        prepare: Callable[[Connection], Awaitable[None]],
        on_trouble: Callable[[ShipError], None] = lambda error: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.place = place
        self._prepare = prepare
        self._on_trouble = on_trouble
        self._clock = clock
        self._servers = itertools.cycle(place.servers)
        self._runner: asyncio.Runner | None = None
        self._client: Client | None = None
        self._heard = ""
        self._used_at = 0.0

    @property
    def client(self) -> Client:
        """The client; only in what `run` runs."""
        assert self._client is not None  # noqa: S101 - `run` has opened it
        return self._client

    @property
    def stream_api(self) -> JetStreamContext:
        """JetStream over this connection; only in what `run` runs."""
        return self.client.jetstream(timeout=self.place.timeout_seconds)

    @property
    def is_clustered(self) -> bool:
        """Whether the server belongs to a cluster."""
        return bool(self.client._server_info.get("cluster"))  # there is no public way to it

    def run(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Run a coroutine, connected. Raises RetryableError, UnusableError; then the connection is closed."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        elif self._clock() > self._used_at + IDLE_SECONDS:
            self._disconnect()
        try:
            return self._runner.run(self._do(work))
        except BaseException:
            self._disconnect()
            raise
        finally:
            self._used_at = self._clock()

    def close(self) -> None:
        """Close the connection; never raises."""
        if self._runner is not None:
            self._disconnect()
            self._runner.close()
            self._runner = None

    async def _do(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        self._heard = ""
        try:
            if self._client is None or not self._client.is_connected:
                await self._connect()
                await self._prepare(self)
            return await work()
        except (OSError, nats.errors.Error, TimeoutError, asyncio.CancelledError) as error:
            raise self._translated(error) from error

    async def _connect(self) -> None:
        options = self.place.options()
        problems: list[ShipError] = []
        for _ in self.place.servers:
            server = next(self._servers)
            try:
                self._client = await self._opened(server, options)
                return
            except (OSError, nats.errors.Error, TimeoutError, ValueError) as error:
                problems.append(self._translated(error, f"{server}: "))
        usable = [problem for problem in problems if isinstance(problem, RetryableError)]
        raise (usable or problems)[0]

    async def _opened(self, server: str, options: dict[str, Any]) -> Client:
        client = _Client()
        patience = min(self.place.timeout_seconds, 5.0)
        try:
            await asyncio.wait_for(
                client.connect(
                    [server],
                    name="auditmw",
                    allow_reconnect=False,
                    connect_timeout=patience,  # type: ignore[arg-type]
                    reconnect_time_wait=0,
                    max_reconnect_attempts=1,
                    error_cb=self._hear,
                    closed_cb=self._lost,
                    **options,
                ),
                3 * patience,
            )
        except BaseException:
            with contextlib.suppress(Exception):  # after a failed TLS handshake it waits for ever
                await asyncio.wait_for(client.close(), _CLOSE_SECONDS)
            raise
        return client

    async def _hear(self, error: Exception) -> None:
        self._heard = str(error) or type(error).__name__
        if any(word in self._heard.lower() for word in _REFUSED):
            self._on_trouble(self._translated(error))

    async def _lost(self) -> None:
        self._on_trouble(
            RetryableError(f"the connection to {self.place.shown} was closed: {self._heard or 'by the server'}")
        )

    def _translated(self, error: BaseException, prefix: str = "") -> ShipError:
        """Return what an error means to a shipper."""
        if isinstance(error, ShipError):
            return error
        said = server_said(error) if str(error) else self._heard or type(error).__name__
        if isinstance(error, nats.errors.NoServersError) and self._heard:
            said = self._heard
        text = f"{prefix}{said}"[:_LONGEST_REASON]
        refused = isinstance(error, (ssl.SSLError, nats.errors.SecureConnWantedError))
        if refused or isinstance(error, ValueError) or any(word in said.lower() for word in _REFUSED):
            return UnusableError(f"{self.place.shown} refuses us: {text}")
        if isinstance(error, (TimeoutError, asyncio.CancelledError)):
            text = f"{prefix}no answer in {self.place.timeout_seconds:g} s"
        return RetryableError(f"{self.place.shown} cannot be used now: {text}")

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is None or self._runner is None:
            return
        with contextlib.suppress(Exception, asyncio.CancelledError):
            self._runner.run(asyncio.wait_for(_closed(client), _CLOSE_SECONDS))


async def _closed(client: Client) -> None:
    client._closed_cb = None  # it is us who close it
    await client.close()


def server_said(error: BaseException) -> str:
    """Return the words of the server in an error."""
    if isinstance(error, APIError):
        return f"{error.description} ({error.err_code})"
    if isinstance(error, JetStreamError):
        return str(error)
    return str(error).removeprefix("nats: ").strip("'") or type(error).__name__
