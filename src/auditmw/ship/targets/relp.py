"""`syslog+relp://`: RFC 5424 messages over RELP, which answers each one.

At least once: a message counts when the receiver has said `200 OK` to it; what was sent without an answer comes again.
When rsyslog says so, the message is in its queue: on disk if that queue is, else as safe as its process. The protocol:
https://github.com/rsyslog/librelp/blob/master/doc/relp.html.
"""

from __future__ import annotations

import contextlib
import io
from typing import NamedTuple

from auditmw.formats.syslog import SyslogFormat
from auditmw.ship.address import Address, AddressError
from auditmw.ship.batch import Batch
from auditmw.ship.target import Accepted, RetryableError, Target, UnusableError
from auditmw.ship.targets.syslog import syslog_format, too_long
from auditmw.ship.wire import LONGEST_REASON, Keys, Peer, Wire

PORT = 2514
WINDOW = 128
"""How many messages go without an answer, as in librelp."""

_OFFER = b"relp_version=0\nrelp_software=auditmw\ncommands=syslog"
_MOST_NUMBER = 999_999_999
_MOST_ANSWER_BYTES = 64 * 1024


class _Answer(NamedTuple):
    """A frame of the receiver: to which of ours, and its text."""

    number: int
    text: bytes


class ProtocolError(Exception):
    """The peer does not speak RELP."""


class _Session:
    """A RELP connection that is open for `syslog`."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._incoming: io.BufferedReader = wire.makefile("rb")
        self._number = 0
        self._ask(b"open", _OFFER)

    def deliver(self, messages: list[bytes]) -> str | None:
        """Send messages and wait for all answers; return what the receiver said against one, None for nothing."""
        unanswered: set[int] = set()
        outgoing = bytearray()
        for message in messages:
            unanswered.add(self._add(outgoing, b"syslog", message))
            if len(unanswered) < WINDOW:
                continue
            refusal = self._exchange(outgoing, unanswered, WINDOW // 2)
            if refusal is not None:
                return refusal
        return self._exchange(outgoing, unanswered, 0)

    def finish(self) -> None:
        """Say goodbye. Raises OSError, ProtocolError."""
        self.wire.begin()
        self._ask(b"close", b"")

    def _exchange(self, outgoing: bytearray, unanswered: set[int], most: int) -> str | None:
        """Send what is to be sent, and wait until no more than `most` are unanswered."""
        self.wire.sendall(bytes(outgoing))
        outgoing.clear()
        while len(unanswered) > most:
            answer = self._answer()
            if answer.number not in unanswered:
                raise ProtocolError(f"an answer to frame {answer.number}, which awaits none")
            unanswered.discard(answer.number)
            if not answer.text.startswith(b"200"):
                return answer.text[:LONGEST_REASON].decode("utf-8", "replace")
        return None

    def _ask(self, command: bytes, data: bytes) -> None:
        outgoing = bytearray()
        number = self._add(outgoing, command, data)
        self.wire.sendall(bytes(outgoing))
        answer = self._answer()
        if answer.number != number or not answer.text.startswith(b"200"):
            said = answer.text[:LONGEST_REASON].decode("utf-8", "replace")
            raise ProtocolError(f"{said!r} in answer to {command.decode()}")

    def _add(self, outgoing: bytearray, command: bytes, data: bytes) -> int:
        """Add a frame; return its number."""
        self._number = self._number % _MOST_NUMBER + 1
        header = b"%d %s %d" % (self._number, command, len(data))
        outgoing += header + b" " + data + b"\n" if data else header + b"\n"
        return self._number

    def _answer(self) -> _Answer:
        line = self._line()
        number, command, length, text = [*line.split(b" ", 3), b"", b"", b""][:4]
        if not number.isdigit() or not length.isdigit() or int(length) > _MOST_ANSWER_BYTES:
            raise ProtocolError(repr(line[:80]))
        if command == b"serverclose":
            raise ConnectionResetError("the receiver closes the session")
        while len(text) < int(length):  # there was a line feed in it
            text += b"\n" + self._line()
        if len(text) != int(length) or command != b"rsp":
            raise ProtocolError(repr(line[:80]))
        return _Answer(int(number), text)

    def _line(self) -> bytes:
        line = self._incoming.readline(_MOST_ANSWER_BYTES)
        if line.endswith(b"\n"):
            return line[:-1]
        if len(line) < _MOST_ANSWER_BYTES:
            raise ConnectionResetError("the receiver closed the connection")
        raise ProtocolError(repr(line[:80]))


class RelpTarget(Target):
    """Sends messages to `peer`. `most_bytes`: longer ones are refused; None for no limit of ours."""

    def __init__(self, peer: Peer, chosen: SyslogFormat, most_bytes: int | None) -> None:
        self.format = chosen
        self._peer = peer
        self._most_bytes = most_bytes
        self._session: _Session | None = None

    def send(self, batch: Batch) -> Accepted:
        """Send the batch, and wait for the answers to all of it."""
        refused = too_long(batch, self._most_bytes)
        messages = [entry.record for position, entry in enumerate(batch) if position not in refused]
        if not messages:
            return Accepted(0, refused)
        try:
            refusal = self._opened().deliver(messages)
        except BaseException as error:
            self._drop()
            if isinstance(error, OSError):
                raise self._peer.trouble(error) from error
            if isinstance(error, ProtocolError):
                raise UnusableError(f"expected {self._peer.shown} to speak RELP, not {error}") from error
            raise
        if refusal is not None:
            self._drop()
            raise RetryableError(f"{self._peer.shown} does not take a message now: {refusal}")
        return Accepted(len(messages), refused)

    def close(self) -> None:
        """Close the session and the connection."""
        if self._session is not None:
            with contextlib.suppress(OSError, ProtocolError):
                self._session.finish()
        self._drop()

    def _opened(self) -> _Session:
        if self._session is not None and not self._session.wire.is_usable():
            self._drop()
        if self._session is None:
            wire = self._peer.open()
            try:
                self._session = _Session(wire)
            except BaseException as error:
                wire.close()
                if isinstance(error, ConnectionError):
                    raise RetryableError(
                        f"{self._peer.shown} closed the connection before a session began: if it goes on like that, it "
                        "may want TLS, or a client certificate that it trusts"
                    ) from error
                raise
        self._session.wire.begin()
        return self._session

    def _drop(self) -> None:
        if self._session is not None:
            self._session.wire.close()
            self._session = None


def open_target(address: Address, format: str | None) -> Target:
    """`syslog+relp://host:2514?tls=yes`; the options are told in docs/shipping-targets.md."""
    chosen, keys, is_encrypted = syslog_format(address, format), Keys.of(address), address.flag("tls", False)
    timeout_seconds = address.seconds("timeout", 30.0)
    most_bytes = address.whole("max_message", 0)
    max_events = address.whole("batch", Target.max_events)
    address.done()
    if address.path or address.user:
        raise AddressError(f"expected {address.scheme}://host:port without user and path, not {address.shown!r}")
    peer = Peer.of(address, PORT, keys if keys or is_encrypted else None, timeout_seconds)
    target = RelpTarget(peer, chosen, most_bytes or None)
    target.max_events = max_events
    return target
