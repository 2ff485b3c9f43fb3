"""Reading journal files, live or not, whole or damaged.

1. A line counts when it is complete, line feed included, and its checksum is right. Its body is given as written.
2. Damage costs the lines it touches and no others: reading goes on after the next line feed. Nobody looks for lines
   inside of damaged ones, because there something that a client sent could pass for a line.
3. Every damaged stretch is told once, with its file and offset, and copied to `DIR/quarantine`. Nothing is deleted.
4. An incomplete line at the end of a live file is not there yet; at the end of a file whose writer is gone it is torn.
5. Memory is bounded by the longest line allowed, whatever the file holds and however large it claims to be.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from auditmw.journal.frame import MAX_LINE_BYTES, open_line
from auditmw.journal.layout import is_live, journal_files, writer_of
from auditmw.journal.numbers import Gap, Numbers
from auditmw.journal.quarantine import copy_aside
from auditmw.journal.rawfile import CHUNK_BYTES, UnreadableError, find_line_feed, open_to_read, read_at

TORN_TAIL = "torn tail"
BAD_CHECKSUM = "bad checksum"
NOT_A_LINE = "not a journal line"
TOO_LONG = "line too long"
UNREADABLE = "unreadable"
GAP = "gap in sequence"


class Line(NamedTuple):
    """One event: its JSON object exactly as it was emitted, and where it stands."""

    file: Path
    offset: int
    seq: int
    body: bytes


class Damage(NamedTuple):
    """Bytes that are no line, or (`reason` "gap in sequence", no bytes) `missing` lines that are nowhere."""

    file: Path
    offset: int
    length: int
    reason: str
    quarantined: Path | None = None
    missing: int = 0


OnDamage = Callable[[Damage], None]


def ignore(damage: Damage) -> None:
    """Do nothing about damage."""


def damage_handler(
    directory: str | os.PathLike[str], on_damage: OnDamage | None, *, quarantine: bool = True
) -> OnDamage:
    """Return a handler that copies damaged bytes aside, on request, and tells `on_damage` where they are."""
    tell = on_damage or ignore

    def handle(damage: Damage) -> None:
        if damage.length:
            damage = damage._replace(quarantined=copy_aside(directory, damage.file, damage.offset, damage.length))
        tell(damage)

    return handle if quarantine else tell


class FileReader:
    """Reads one file, from `offset` on, which must be where a line begins.

    `offset` goes up with every line, so that `lines` can be called again when there is more.
    """

    def __init__(
        self,
        file: Path,
        *,
        offset: int = 0,
        on_damage: OnDamage = ignore,
        max_line_bytes: int = MAX_LINE_BYTES,
    ) -> None:
        self.file = file
        self.offset = offset
        self._on_damage = on_damage
        self._max_line_bytes = max_line_bytes
        self._bad: tuple[int, str] | None = None  # where a damaged stretch began that ends at `offset`, and why
        self._unreadable = False

    def lines(self) -> Iterator[Line]:
        """Yield the lines that are complete by now. A file that is gone has none."""
        try:
            fd = open_to_read(self.file)
        except FileNotFoundError:
            return
        except OSError as error:
            self._tell_unreadable(error)
            return
        try:
            yield from self._split(fd)
        except UnreadableError as error:
            self._tell_unreadable(error)
        finally:
            os.close(fd)

    def skip_to_end(self) -> None:
        """Go to where the next line will begin, without reading what is there."""
        live = is_live(self.file)
        try:
            fd = open_to_read(self.file)
        except OSError:
            return
        try:
            size = os.fstat(fd).st_size
            start = max(0, size - self._max_line_bytes)
            # The last line of a live file may be under way; what a dead writer left incomplete stays incomplete.
            self.offset = start + read_at(fd, size - start, start).rfind(b"\n") + 1 if live else size
        except UnreadableError as error:
            self._tell_unreadable(error)
        finally:
            os.close(fd)

    def _split(self, fd: int) -> Iterator[Line]:
        rest, complete = b"", False  # complete: nobody wrote any more when the last bytes were read
        while True:
            chunk = read_at(fd, CHUNK_BYTES, self.offset + len(rest))
            rest = yield from self._take(rest + chunk)
            at_end = not chunk
            if len(rest) > self._max_line_bytes:
                at_end = not self._skip_long_line(fd, len(rest))
                rest = rest if at_end else b""
            if not at_end:
                continue
            if rest and not complete and not is_live(self.file):
                complete = True  # as its writer is gone; but it may have written since the last read
                continue
            self._tell_bad()
            if rest and complete:
                self._mark_bad(max(len(rest), os.fstat(fd).st_size - self.offset), TORN_TAIL)
                self._tell_bad()
            return

    def _take(self, data: bytes) -> Generator[Line, None, bytes]:
        """Yield the lines in `data`, which begins at `offset`; return the incomplete one at its end."""
        start, file = 0, self.file
        while end := data.find(b"\n", start) + 1:
            line, at = data[start:end], self.offset
            opened = open_line(line) if len(line) <= self._max_line_bytes else None
            if opened is None:
                self._mark_bad(len(line), self._why(line))
            else:
                if self._bad is not None:
                    self._tell_bad()
                self.offset = at + len(line)
                seq, body = opened
                yield Line(file, at, seq, body)
            start = end
        return data[start:]

    def _skip_long_line(self, fd: int, searched: int) -> bool:
        """Pass over a line that is too long to be one; False when it has no end yet."""
        end = find_line_feed(fd, self.offset + searched) + 1
        if end:
            self._mark_bad(end - self.offset, TOO_LONG)
        return end > 0

    def _why(self, line: bytes) -> str:
        if len(line) > self._max_line_bytes:
            return TOO_LONG
        return BAD_CHECKSUM if line[-19:-11] == b',"crc":"' else NOT_A_LINE

    def _mark_bad(self, length: int, reason: str) -> None:
        if self._bad is None:
            self._bad = self.offset, reason
        self.offset += length

    def _tell_bad(self) -> None:
        if self._bad is not None:
            (start, reason), self._bad = self._bad, None
            self._on_damage(Damage(self.file, start, self.offset - start, reason))

    def _tell_unreadable(self, error: OSError) -> None:
        self._tell_bad()
        if not self._unreadable:  # once, however often somebody tries
            self._unreadable = True
            self._on_damage(Damage(self.file, self.offset, 0, f"{UNREADABLE}: {error.strerror}"))


def read_lines(
    directory: str | os.PathLike[str], *, on_damage: OnDamage | None = None, quarantine: bool = True
) -> Iterator[Line]:
    """Yield all lines of all writers, each writer's in the order in which they were written.

    A line that its writer wrote twice, because a disk failed, is yielded twice: the same `seq`, byte for byte.
    """
    handle = damage_handler(directory, on_damage, quarantine=quarantine)

    def tell_gap(gap: Gap) -> None:
        handle(Damage(gap.file, gap.offset, 0, GAP, missing=gap.last - gap.first + 1))

    for _, files in groupby(journal_files(directory), writer_of):
        numbers = Numbers(tell_gap)
        for file in files:
            for line in FileReader(file, on_damage=handle).lines():
                numbers.add(line.seq, file, line.offset)
                yield line
        numbers.close()
