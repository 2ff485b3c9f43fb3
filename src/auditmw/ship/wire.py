"""TCP and TLS for targets that write their protocol themselves: every exchange in bounded time.

A timeout of a socket is one for each call: a peer that sends a byte now and then would never be too slow. Here all that
happens between two calls of `Wire.begin` has one deadline.
"""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import io
import select
import socket
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from auditmw.ship.address import Address
from auditmw.ship.target import RetryableError, ShipError, UnusableError

LONGEST_REASON = 200
_SIOCOUTQ = 0x5411  # Linux, sockios.h: how many bytes of the send queue the peer has not acknowledged
_PIECE_BYTES = 64 * 1024
_LOOK_AGAIN_SECONDS = 0.002


@dataclass(frozen=True)
class Keys:
    """Whom to trust and who we are, as PEM files: `ca`, `certificate`, `key`; "" for what the system trusts, no one."""

    ca: str
    certificate: str
    key: str

    @classmethod
    def of(cls, address: Address) -> Keys:
        """Take the options `ca`, `certificate` and `key`."""
        return cls(address.text("ca", ""), address.text("certificate", ""), address.text("key", ""))

    def __bool__(self) -> bool:
        return bool(self.ca or self.certificate)

    def context(self) -> ssl.SSLContext:
        """Return how to speak TLS: certificates and host names are always checked. Raises UnusableError."""
        try:
            context = ssl.create_default_context(cafile=self.ca or None)
            if self.certificate:
                context.load_cert_chain(self.certificate, self.key or None)
        except OSError as error:  # ssl.SSLError is one
            named = ", ".join(filter(None, (self.ca, self.certificate, self.key)))
            raise UnusableError(f"expected certificates and keys as PEM in {named}: {error}") from error
        return context


class Wire:
    """One connection; `begin` sets the time until which what follows has to be done.

    Beside its own methods it is as much of a socket as http.client needs.
    """

    def __init__(
        self, connected: socket.socket, timeout_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._socket = connected
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self.begin()

    def begin(self, timeout_seconds: float | None = None) -> None:
        """Begin an exchange: it has so many seconds from now on; None is the wire's own `timeout_seconds`."""
        self._end = self._clock() + (self._timeout_seconds if timeout_seconds is None else timeout_seconds)

    def sendall(self, data: bytes) -> None:
        """Send all of it. Raises OSError; TimeoutError at the deadline."""
        view = memoryview(data)
        while view:
            self._allow()
            view = view[self._socket.send(view) :]

    def recv_into(self, buffer: bytearray | memoryview) -> int:
        """Wait for some bytes, 0 at the end. Raises OSError; TimeoutError at the deadline."""
        self._allow()
        return self._socket.recv_into(buffer)

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return a file that reads from here."""
        return io.BufferedReader(_Incoming(self), _PIECE_BYTES)

    def is_over(self, patience_seconds: float = 0.0) -> bool:
        """Whether the peer has closed the connection, or does within that time.

        Nothing that it says is expected now: if it does, it speaks another protocol, or says goodbye. Raises OSError.
        """
        if not _happens(self._socket, select.POLLIN, patience_seconds):
            return False
        self._socket.setblocking(False)
        try:
            self._socket.recv(1)
        except (ssl.SSLWantReadError, BlockingIOError):
            return False  # TLS told something of its own, such as a ticket for a later session
        return True

    def is_usable(self) -> bool:
        """Whether nothing speaks against sending; never raises."""
        try:
            return not self.is_over()
        except OSError:
            return False

    def drain(self) -> None:
        """Wait until the peer's system has acknowledged all that was sent, or the connection is over.

        Raises TimeoutError at the deadline. Where the system cannot tell (other than Linux), nothing is awaited.
        """
        if sys.platform != "linux":
            return
        pending = array.array("i", [0])
        while fcntl.ioctl(self._socket.fileno(), _SIOCOUTQ, pending, True) == 0 and pending[0]:
            self._allow()
            if _happens(self._socket, select.POLLRDHUP, _LOOK_AGAIN_SECONDS):
                return

    def abort(self) -> None:
        """Have whoever waits in another thread wait no longer, as if the peer had gone; never raises."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(
                self._socket, socket.SHUT_RDWR
            )  # TLS's own would take its state from under the other

    def close(self) -> None:
        """Close the connection; never raises."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def _allow(self) -> None:
        left = self._end - self._clock()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)


_NOT_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")
"""What OpenSSL, by its version, says of a peer that answers in something else."""


class _Incoming(io.RawIOBase):
    """What comes in, as a file that others may close without closing the connection."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._wire.recv_into(buffer)


class Peer:
    """Who is at the other end of a URL: one of its hosts, the one that answered last first.

    `keys`: for TLS; None to go without.
    """

    def __init__(self, shown: str, hosts: Sequence[tuple[str, int]], keys: Keys | None, timeout_seconds: float) -> None:
        self.shown = shown
        self.timeout_seconds = timeout_seconds
        self._hosts = list(hosts)
        self._keys = keys

    @classmethod
    def of(cls, address: Address, port: int, keys: Keys | None, timeout_seconds: float) -> Peer:
        """Take the hosts of a URL; `port` is that of those which name none."""
        hosts = [(host, given or port) for host, given in address.hosts] or [("localhost", port)]
        return cls(address.shown, hosts, keys, timeout_seconds)

    @property
    def host(self) -> tuple[str, int]:
        """The host that the last connection went to, or the next one goes to."""
        return self._hosts[0]

    def open(self) -> Wire:
        """Connect. Raises RetryableError, UnusableError."""
        context = None if self._keys is None else self._keys.context()
        problems: list[ShipError] = []
        for _ in self._hosts:
            try:
                return self._opened(context)
            except OSError as error:
                problems.append(self.trouble(error))
            self._hosts.append(self._hosts.pop(0))
        raise next((each for each in problems if isinstance(each, RetryableError)), problems[0])

    def _opened(self, context: ssl.SSLContext | None) -> Wire:
        connected = socket.create_connection(self.host, self.timeout_seconds)
        try:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if context is not None:
                connected = context.wrap_socket(connected, server_hostname=self.host[0])
        except BaseException:
            connected.close()
            raise
        return Wire(connected, self.timeout_seconds)

    def trouble(self, error: BaseException) -> ShipError:
        """Return what an error of a connection means to a shipper."""
        said = _said(error)[:LONGEST_REASON]
        if isinstance(error, TimeoutError):
            return RetryableError(f"{self._place} did not answer within {self.timeout_seconds:g} s")
        if isinstance(error, ssl.SSLCertVerificationError):
            return UnusableError(
                f"{self._place} shows a certificate that is not trusted: {error.verify_message} (option ca: a file "
                "with the authorities that are)"
            )
        if isinstance(error, ssl.SSLError) and not isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
            question = "; is that a port without TLS?" if error.reason in _NOT_TLS else ""
            return UnusableError(f"{self._place} and we do not agree on TLS: {said}{question}")
        return RetryableError(f"{self._place} cannot be reached, or broke off: {said}")

    @property
    def _place(self) -> str:
        host, port = self.host
        return f"{self.shown} ({host} port {port})" if len(self._hosts) > 1 else self.shown


def _said(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    if isinstance(error, OSError) and error.errno == errno.ECONNREFUSED:
        return "connection refused"
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")


def _happens(connected: socket.socket, event: int, patience_seconds: float) -> bool:
    waiting = select.poll()
    waiting.register(connected, event)
    return bool(waiting.poll(patience_seconds * 1000))
