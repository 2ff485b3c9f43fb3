r"""An input cut into chunks of whole lines, without those that were imported before.

1. Only b"\n" ends a line: other separators may stand inside of one, in JSON.
2. A chunk ends where `chunk_bytes` are full, or where one begins that is recorded. So a recorded chunk is always met at
   its beginning and, when the bytes are the same, passed over as a whole.
3. Memory is bounded: what has no end within `chunk_bytes` is no line, and is passed over as it comes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from auditmw.importing.ledger import Ledger, Mark
from auditmw.journal.spans import DIGITS, LONGEST_BYTES, Span

CHUNK_BYTES = LONGEST_BYTES
MAX_LINE_BYTES = 1024 * 1024
ANCHOR_BYTES = 64  # as many must be there, or a whole line
SHOWN_BYTES = 1024  # of a line that is too long to be one

REST_OF_A_LINE = "the rest of a line whose beginning was imported before the line was complete"


class Chunk(NamedTuple):
    """Lines that are to be imported; `line` is the number of the first one, from 1."""

    span: Span
    line: int
    data: bytes

    def lines(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield the number, the offset and the bytes of each line, without its line feed."""
        data, number, start = self.data, self.line, 0
        while (end := data.find(b"\n", start)) >= 0:
            yield number, self.span.start + start, data[start:end]
            number += 1
            start = end + 1
        if start < len(data):
            yield number, self.span.start + start, data[start:]


class Known(NamedTuple):
    """Lines that are recorded already."""

    span: Span
    data: bytes


class Reject(NamedTuple):
    """A line that was not imported, and why; of a line that is too long, `raw` is the beginning."""

    line: int
    offset: int
    reason: str
    raw: bytes


Piece = Chunk | Known | Reject


def anchor_of(head: bytes) -> str:
    """Return what tells an input from others: the digest of its first line, or of the first 64 bytes of that."""
    end = head.find(b"\n", 0, ANCHOR_BYTES) + 1
    return _digest(hashlib.sha256(head[: end or ANCHOR_BYTES]))


def too_long(length: int) -> str:
    """Return why a line of this many bytes is rejected."""
    return f"expected a line of at most {MAX_LINE_BYTES} bytes, not {length}"


class Cutter:
    """Cuts the bytes of one input, which come from its beginning in blocks of any size.

    `ledger` may be replaced while the input grows and others import too.
    """

    def __init__(self, ledger: Ledger, *, chunk_bytes: int = CHUNK_BYTES) -> None:
        self.ledger = ledger
        self.offset = 0  # of the first byte that is in no piece yet
        self.line = 1  # the number of the line that this byte belongs to
        self._chunk_bytes = chunk_bytes
        self._held = bytearray()
        self._sha = hashlib.sha256()  # of all bytes before `offset`
        self._mid_line = False
        self._long: Reject | None = None  # the line that is being passed over

    @property
    def rest(self) -> bytes:
        """The bytes that are in no piece yet; after `flush`, those of a line without an end."""
        return bytes(self._held)

    def feed(self, block: bytes) -> Iterator[Piece]:
        """Take the next bytes of the input, and yield the pieces that are full."""
        self._held += block
        while len(self._held) >= self._wanted_bytes() and (piece := self._next()):
            yield piece

    def flush(self) -> Iterator[Piece]:
        """Yield the lines that are complete by now."""
        while self._held and (piece := self._next()):
            yield piece

    def finish(self) -> Iterator[Piece]:
        """After the last byte: yield the lines that are complete, and the last one where it is too long to be one."""
        yield from self.flush()
        if self._long is not None:
            yield self._end_long_line(self.offset - self._long.offset)

    def take_rest(self) -> Chunk:
        """Return the bytes of a line without an end as a chunk; there must be some."""
        return self._chunk(len(self._held))

    def _wanted_bytes(self) -> int:
        """How much must be there to decide: chunks that are recorded may be larger than ours would be."""
        if self._long is not None:
            return 1
        ends = self.ledger.ends_from(_digest(self._sha), self.offset, self.offset + 4 * self._chunk_bytes)
        return max(self._chunk_bytes, ends[-1][0] - self.offset if ends else 0)

    def _next(self) -> Piece | None:
        """Return the next piece; None when more bytes are needed."""
        if self._long is not None:
            return self._pass_over(self._long)
        held = len(self._held)
        *_, known = (0, *self._reached(self.ledger.ends_from(_digest(self._sha), self.offset, self.offset + held)))
        if known:
            return Known(*self._take(known))
        if self._mid_line:
            end = self._held.find(b"\n", 0, self._chunk_bytes) + 1
        else:
            end = self._held.rfind(b"\n", 0, self._chunk_bytes) + 1
        if end:
            return self._rest_of_a_line(end) if self._mid_line else self._new_lines(end)
        if held >= self._chunk_bytes:
            self._long = Reject(self.line, self.offset, "", bytes(self._held[:SHOWN_BYTES]))
            self._take(self._chunk_bytes)
            return self._pass_over(self._long)
        return None

    def _new_lines(self, end: int) -> Chunk:
        starts = self.ledger.starts_between(self.offset, self.offset + end)
        return self._chunk(next(self._reached(starts), end))

    def _chunk(self, count: int) -> Chunk:
        line = self.line
        span, data = self._take(count)
        return Chunk(span, line, data)

    def _rest_of_a_line(self, end: int) -> Reject:
        line = self.line
        span, data = self._take(end)
        return Reject(line, span.start, REST_OF_A_LINE, data[:-1])

    def _pass_over(self, line: Reject) -> Piece | None:
        end = self._held.find(b"\n") + 1
        self._take(end or len(self._held))
        return self._end_long_line(self.offset - 1 - line.offset) if end else None

    def _end_long_line(self, length: int) -> Reject:
        line, self._long = self._long, None
        assert line is not None  # noqa: S101 - asked by both callers
        return line._replace(reason=too_long(length))

    def _reached(self, marks: list[Mark]) -> Iterator[int]:
        """Yield how many of the bytes that are held lie before each mark, if they have a digest that it may have."""
        sha, at = self._sha.copy(), 0
        for offset, digests in marks:
            count = offset - self.offset
            sha.update(self._held[at:count])
            at = count
            if _digest(sha) in digests:
                yield count

    def _take(self, count: int) -> tuple[Span, bytes]:
        data = bytes(self._held[:count])
        del self._held[:count]
        before, start = _digest(self._sha), self.offset
        self._sha.update(data)
        self.offset += count
        self.line += data.count(b"\n")
        self._mid_line = not data.endswith(b"\n")
        return Span(before, _digest(self._sha), start, self.offset), data


def _digest(sha: hashlib._Hash) -> str:
    return sha.hexdigest()[:DIGITS]
