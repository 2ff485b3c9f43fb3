"""Files that grow: what is appended is imported some seconds later, and no line is missed when a log is rotated.

1. A log is rotated by renaming it: what comes under its name then is another file. The old one is followed until it has
   not grown for half a minute, because servers write to it until they are told to open the new one.
2. Or by copying and truncating it (logrotate's `copytruncate`): it is shorter then than what was read of it, or begins
   with another line. What was written between the last look and the truncation is only in the copy.
3. A file that is not there yet may appear.
"""

from __future__ import annotations

import os
import pickle
import stat
from pathlib import Path

from auditmw.formats.line import LineFormat
from auditmw.importing.chunks import ANCHOR_BYTES
from auditmw.importing.importer import HEAD_BYTES, MAX_HEAD_BYTES, Choose
from auditmw.importing.intake import Desk, Intake, LastLine, Report, expect_format, sample_lines

POLL_SECONDS = 0.25
SETTLE_SECONDS = 5.0  # how long lines wait to be written, so that more are written together
LINGER_SECONDS = 30.0  # how long a file that lost its name may still grow
_BLOCK_BYTES = 1024 * 1024


class FollowedFile:
    """Follows the file, or the files one after another, that stand under one path.

    `report`: what came of all of them; its `name` is the path, its `problem` why there is nothing to follow for now.
    """

    def __init__(self, desk: Desk, choose: Choose, report: Report) -> None:
        self.report = report
        self._desk = desk
        self._path = Path(report.name)
        self._choose = choose
        self._parser: bytes | None = None  # as it was chosen for the first of them
        self._files: list[_GrowingFile] = []  # the last one has the name

    def poll(self, now: float) -> bool:
        """Look once, at `now`, seconds that never go back; return whether there was something new, and may be more.

        Raises OSError when events cannot be written, FormatError when the format of the first file cannot be told.
        """
        self._find(now)
        news = False
        for file in list(self._files):
            if file.was_rewritten():
                self._end(file, "leave")
                self._files[self._files.index(file)] = file = _GrowingFile(file.fd, now)
            news |= self._read(file, now)
            # Not in the midst of what is there: it may be a chunk that is recorded.
            if file.is_due(now) and file.intake and not file.has_news():
                file.intake.flush()
                file.intake.settle()
            if file is not self._files[-1] and now - file.grew_at > LINGER_SECONDS:
                self._end(file, "try")
                self._files.remove(file)
                os.close(file.fd)
        return news

    def settle(self) -> None:
        """Have everything written that was read, unless there is more to read, and let others import."""
        for file in self._files:
            if file.intake and file.intake.begun:
                if not file.has_news():
                    file.intake.flush()
                file.intake.settle()

    def close(self) -> None:
        """Let go of the files."""
        while self._files:
            os.close(self._files.pop().fd)

    def _find(self, now: float) -> None:
        """Open the file that has the name by now, unless that is open already."""
        try:
            found = os.stat(self._path)
            if not self._files or not os.path.samestat(found, self._files[-1].status):
                if not stat.S_ISREG(found.st_mode):
                    self.report.problem = f"{self._path}: expected a file that grows, not a directory, pipe or device"
                    return
                self._files.append(_GrowingFile(os.open(self._path, os.O_RDONLY | os.O_CLOEXEC), now))
            self.report.problem = None
        except OSError as error:
            self.report.problem = f"{self._path}: {error.strerror}"

    def _read(self, file: _GrowingFile, now: float) -> bool:
        if not file.has_news() or not (file.intake or self._start(file)):
            return False
        assert file.intake is not None  # noqa: S101 - it was started
        if not file.intake.begun:
            if not file.intake.begin(wait=False):
                return False
            file.begun_at = now
        file.grew_at = now
        file.intake.feed(file.read())
        return True

    def _start(self, file: _GrowingFile) -> bool:
        """Begin to import a file once it has a whole line."""
        head = os.pread(file.fd, HEAD_BYTES, 0)
        if b"\n" not in head and os.fstat(file.fd).st_size < MAX_HEAD_BYTES:
            return False
        lines = sample_lines(head, at_end=False)
        if self._parser is None:
            chosen = self._choose(str(self._path), lines)
            expect_format(str(self._path), chosen, lines)
            self._parser = pickle.dumps(chosen)
        parser: LineFormat = pickle.loads(self._parser)  # noqa: S301 - our own
        file.intake = Intake(self._desk, self.report, self._path.name, parser, head)
        return True

    def _end(self, file: _GrowingFile, last_line: LastLine) -> None:
        """Import the end of a file to which no more is written."""
        if file.intake and file.intake.begin(wait=False):
            file.intake.finish(last_line)
            file.intake.settle()


class _GrowingFile:
    """An open file: how far it was read, and what it began with."""

    def __init__(self, fd: int, now: float) -> None:
        self.fd = fd
        self.status = os.fstat(fd)
        self.intake: Intake | None = None
        self.grew_at = now
        self.begun_at = now
        self._position = 0
        self._beginning = b""

    def is_due(self, now: float) -> bool:
        """Whether lines have waited long enough to be written."""
        return self.intake is not None and self.intake.begun and now - self.begun_at >= SETTLE_SECONDS

    def has_news(self) -> bool:
        return os.fstat(self.fd).st_size > self._position

    def was_rewritten(self) -> bool:
        """Whether the file does not hold any more what was read of it."""
        if os.fstat(self.fd).st_size < self._position:
            return True
        return os.pread(self.fd, len(self._beginning), 0) != self._beginning

    def read(self) -> bytes:
        block = os.pread(self.fd, _BLOCK_BYTES, self._position)
        if len(self._beginning) < ANCHOR_BYTES:
            self._beginning = os.pread(self.fd, min(ANCHOR_BYTES, self._position + len(block)), 0)
        self._position += len(block)
        return block
