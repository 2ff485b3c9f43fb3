"""A history as journal files: closed ones, as writers that are gone leave them behind."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from auditmw.cli.history.generator import Entry
from auditmw.journal import seal
from auditmw.journal.layout import JOURNAL, file_name

FILE_BYTES = 16 * 1024 * 1024  # when auditmw.journal.Journal begins a new file


def write_journal(
    entries: Iterable[Entry], directory: str | os.PathLike[str], *, file_bytes: int = FILE_BYTES
) -> tuple[int, int]:
    """Write the entries to new journal files of `directory`, made if need be; return how many and of how many bytes.

    Holds one file per writer in memory. Raises FileExistsError when one of the files is there already.
    """
    folder = Path(directory) / JOURNAL
    for made in (folder.parent, folder):
        made.mkdir(mode=0o750, parents=True, exist_ok=True)
    files: dict[str, _File] = {}
    events = 0
    for writer, body in entries:
        events += 1
        file = files.get(writer) or files.setdefault(writer, _File(folder, writer))
        file.seq += 1
        line = seal(body, file.seq)
        file.lines.append(line)
        file.size += len(line)
        if file.size >= file_bytes:
            file.write()
    for file in files.values():
        file.write()
    return events, sum(file.written for file in files.values())


class _File:
    """The lines of one writer that are in no file yet."""

    def __init__(self, folder: Path, writer: str) -> None:
        self._folder, self._writer = folder, writer
        self._number = 0
        self.lines: list[bytes] = []
        self.seq = self.size = self.written = 0

    def write(self) -> None:
        """Write them to the writer's next file."""
        if not self.lines:
            return
        self._number += 1
        with open(self._folder / file_name(self._writer, self._number), "xb", opener=_for_us) as file:
            file.writelines(self.lines)
        self.written += self.size
        self.lines, self.size = [], 0


def _for_us(path: str, flags: int) -> int:
    return os.open(path, flags, 0o640)
