"""Journal lines on their way into DuckDB: verified, each number once, in files that DuckDB reads whole.

1. Every line's checksum is verified here. DuckDB then reads the lines themselves, which is much cheaper than handing
   them over: from the journal file where it is closed and sound in every line, from a copy of its good lines else.
2. Lines that were seen already are left out. What is no text in UTF-8 is damage, like a line with a wrong checksum.
3. A line that DuckDB's reader of lines would not give back to the byte (one with a carriage return, or with anything
   before its first brace) goes by itself; nobody writes such lines, but they are sealed, so they count.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from auditmw.archive.ranges import Ranges
from auditmw.archive.seen import Seen
from auditmw.journal import Damage, FileReader, Line, seal, writer_of
from auditmw.journal.events import NOT_JSON
from auditmw.journal.reader import OnDamage

_PLAIN, _ODD = "plain", "odd"
_BRACE = ord("{")

SEPARATOR = b"\x1f"
"""A character that DuckDB takes for the end of a column, and that JSON text never holds (RFC 8259 §7)."""


class Piece(NamedTuple):
    """New lines of one journal file: all lines of the file `path`, if any, and the `odd` ones (numbers and bodies).

    `seqs`: their numbers. `last`: no more lines of `source` follow.
    """

    source: Path
    path: Path | None
    odd: tuple[tuple[int, bytes], ...]
    seqs: Ranges
    bytes: int
    last: bool

    @property
    def writer(self) -> str:
        """Whose lines they are."""
        return writer_of(self.source)

    def discard(self) -> None:
        """Remove the copy, if it is one."""
        if self.path is not None and self.path != self.source:
            with contextlib.suppress(OSError):
                os.unlink(self.path)


def sound_file(file: Path, known: Ranges) -> Piece | None:
    """Return a closed file as one piece; None when it has damage, lines that are known or odd, or cannot be read."""
    damages: list[Damage] = []
    seen, size = Seen(known), 0
    for line in FileReader(file, on_damage=damages.append).lines():
        if damages or not seen.add(line.seq) or _what(line.body) is not _PLAIN:
            return None
        size += len(line.body)
    return None if damages or not size else Piece(file, file, (), seen.added, size, last=True)


def copied(
    reader: FileReader, known: Ranges, new_copy: Callable[[], Path], *, on_damage: OnDamage, piece_bytes: int
) -> Iterator[Piece]:
    """Yield the new lines that `reader` gives now, as pieces of at most about `piece_bytes`; the last may be empty.

    `on_damage` hears of lines that are no text; the reader tells the rest. `new_copy` gives a path for a copy.
    """
    lines = _new_lines(reader, known, on_damage)
    last = False
    while not last:
        path = new_copy()
        with path.open("xb") as copy:
            filled = _fill(copy, lines, piece_bytes)
        last = filled.last
        if not filled.copied:
            os.unlink(path)
        yield Piece(reader.file, path if filled.copied else None, filled.odd, filled.seqs, filled.bytes, last)


def tell_malformed(pieces: Iterable[Piece], malformed: set[tuple[str, int]], on_damage: OnDamage) -> None:
    """Tell where in the journal the lines are, given by writer and number, that are no JSON."""
    for source in {piece.source for piece in pieces if any(writer == piece.writer for writer, _ in malformed)}:
        reader = FileReader(source)
        for line in reader.lines():
            if (writer_of(source), line.seq) in malformed:
                on_damage(Damage(source, line.offset, reader.offset - line.offset, NOT_JSON))


class _Filled(NamedTuple):
    copied: bool
    odd: tuple[tuple[int, bytes], ...]
    seqs: Ranges
    bytes: int
    last: bool


def _fill(copy: BinaryIO, lines: Iterator[Line], piece_bytes: int) -> _Filled:
    """Copy lines until there are `piece_bytes` of them, or no more."""
    seen, size, odd = Seen(), 0, []
    for line in lines:
        seen.add(line.seq)
        size += len(line.body)
        if _what(line.body) is _PLAIN:
            copy.write(seal(line.body, line.seq))
        else:
            odd.append((line.seq, line.body))
        if size >= piece_bytes:
            return _Filled(copy.tell() > 0, tuple(odd), seen.added, size, last=False)
    return _Filled(copy.tell() > 0, tuple(odd), seen.added, size, last=True)


def _new_lines(reader: FileReader, known: Ranges, on_damage: OnDamage) -> Iterator[Line]:
    seen = Seen(known)
    for line in reader.lines():
        if _what(line.body) is None:
            on_damage(Damage(line.file, line.offset, reader.offset - line.offset, NOT_JSON))
        elif seen.add(line.seq):
            yield line


def _what(body: bytes) -> str | None:
    """Return how a body can be handed over, or None when it is no text that could be JSON."""
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError:
            return None
    if SEPARATOR in body:
        return None
    return _PLAIN if body[0] == _BRACE and b"\r" not in body else _ODD
