"""`syslog+tcp://`, `syslog+tls://`: RFC 5424 messages, their octets counted (RFC 6587 §3.4.1, RFC 5425 §4.3).

Best effort: syslog over TCP has no answer. A batch counts when the receiver's system has acknowledged all of it and the
connection still stands; what the receiver had not read when it died is lost, and nobody can tell. Where that matters,
take `syslog+relp://`. A batch during which the connection broke comes again as a whole: some of it may be there twice.
"""

from __future__ import annotations

from auditmw.formats.syslog import DOCUMENTATION_NUMBER, SyslogFormat
from auditmw.ship.address import Address, AddressError
from auditmw.ship.batch import Batch
from auditmw.ship.target import Accepted, RetryableError, ShipError, Target, UnusableError
from auditmw.ship.wire import Keys, Peer, Wire

TCP_PORT, TLS_PORT = 601, 6514
"""The registered ports of syslog-conn (RFC 3195) and syslog-tls (RFC 5425 §4.1)."""

FIRST_PATIENCE_SECONDS = 0.5
"""How long a new connection has to stand after its first batch, before that counts.

A receiver that wants TLS, or another protocol, only closes. And in TLS 1.3 the client's handshake is done before the
server has looked at its certificate (RFC 8446 §2).
"""


class SyslogTarget(Target):
    """Sends messages to `peer`. `most_bytes`: longer ones are refused; None for no limit of ours."""

    def __init__(self, peer: Peer, chosen: SyslogFormat, most_bytes: int | None, *, is_encrypted: bool) -> None:
        self.format = chosen
        self._peer = peer
        self._most_bytes = most_bytes
        self._is_encrypted = is_encrypted
        self._wire: Wire | None = None
        self._is_new = True

    def send(self, batch: Batch) -> Accepted:
        """Send the batch, and see whether it arrived as far as TCP tells."""
        refused = too_long(batch, self._most_bytes)
        messages = [entry.record for position, entry in enumerate(batch) if position not in refused]
        if messages:
            self._send(b"".join(b"%d %s" % (len(message), message) for message in messages))
        return Accepted(len(messages), refused)

    def close(self) -> None:
        """Close the connection."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def _send(self, data: bytes) -> None:
        wire = self._opened()
        try:
            wire.begin()
            wire.sendall(data)
            wire.drain()
            if wire.is_over(FIRST_PATIENCE_SECONDS if self._is_new else 0.0):
                raise self._closed()
            self._is_new = False
        except BaseException as error:
            self.close()  # half of a message may be on its way
            if isinstance(error, OSError):
                raise self._peer.trouble(error) from error
            raise

    def _opened(self) -> Wire:
        if self._wire is not None and not self._wire.is_usable():
            self.close()
        if self._wire is None:
            self._wire, self._is_new = self._peer.open(), True
        return self._wire

    def _closed(self) -> ShipError:
        if not self._is_new:
            return RetryableError(f"{self._peer.shown} closed the connection while a batch was under way")
        return (UnusableError if self._is_encrypted else RetryableError)(
            f"{self._peer.shown} closed the connection, or said something, when the first messages came: "
            + ("it may want a client certificate that it trusts" if self._is_encrypted else "it may want TLS")
        )


def too_long(batch: Batch, most_bytes: int | None) -> dict[int, str]:
    """Return the positions of the messages that are longer than a receiver takes, and why."""
    if most_bytes is None:
        return {}
    return {
        position: f"a message of {len(entry.record)} bytes is longer than max_message={most_bytes}"
        for position, entry in enumerate(batch)
        if len(entry.record) > most_bytes
    }


def syslog_format(address: Address, format: str | None) -> SyslogFormat:
    """Take the options `facility` and `enterprise`. Raises AddressError."""
    if format not in (None, "syslog"):
        raise AddressError(f"{address.scheme}: sends messages of RFC 5424; leave out the format {format!r}")
    try:
        return SyslogFormat(
            address.whole("enterprise", DOCUMENTATION_NUMBER),
            int(address.text("facility", "13")),
        )
    except ValueError as error:
        if isinstance(error, AddressError):
            raise
        raise AddressError(f"expected a facility from 0 to 23 in {address.shown}: {error}") from None


def open_target(address: Address, format: str | None) -> Target:
    """`syslog+tls://host:6514`; the options are told in docs/shipping-targets.md."""
    chosen, keys = syslog_format(address, format), Keys.of(address)
    timeout_seconds = address.seconds("timeout", 30.0)
    most_bytes = address.whole("max_message", 0)
    max_events = address.whole("batch", Target.max_events)
    address.done()
    is_encrypted = address.scheme == "syslog+tls"
    if address.path or address.user:
        raise AddressError(f"expected {address.scheme}://host:port without user and path, not {address.shown!r}")
    if keys and not is_encrypted:
        raise AddressError(f"expected syslog+tls: in {address.shown}, where certificates are named")
    peer = Peer.of(address, TLS_PORT if is_encrypted else TCP_PORT, keys if is_encrypted else None, timeout_seconds)
    target = SyslogTarget(peer, chosen, most_bytes or None, is_encrypted=is_encrypted)
    target.max_events = max_events
    return target
