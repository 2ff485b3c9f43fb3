"""What came and is no event: kept as it came, one JSON object a line, in DIR/collect/<feed>/aside.jsonl.

    {"time": ..., "track": ..., "number": ..., "reason": ..., "message": text, or "base64": ... where it is no text}

A message is there once: those up to the last number of its track were set aside before.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from auditmw.collect.feed import Message
from auditmw.journal.smallfile import FILE_MODE, hand_over, sync

ASIDE = "aside.jsonl"


class Aside:
    """The messages that were set aside, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / ASIDE
        self._last: dict[str, int] | None = None
        self.count = 0  # of all that is there

    def keep(self, messages: Sequence[tuple[Message, str]], now: str) -> int:
        """Set messages aside, each for a reason, durably; return how many were not there yet. Raises OSError."""
        last = self.load()
        new = [(message, reason) for message, reason in messages if message.number > last.get(message.track, 0)]
        if not new:
            return 0
        lines = b"".join(_line(message, reason, now) for message, reason in new)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        try:
            hand_over(fd, FILE_MODE, self._path.parent)
            size = os.fstat(fd).st_size
            if size and os.pread(fd, 1, size - 1) != b"\n":  # of a process that was cut off
                lines = b"\n" + lines
            while lines:
                lines = lines[os.write(fd, lines) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        sync(self._path.parent)
        for message, _ in new:
            last[message.track] = max(message.number, last.get(message.track, 0))
        self.count += len(new)
        return len(new)

    def load(self) -> dict[str, int]:
        """Return the last number of each track that was set aside."""
        if self._last is None:
            last: dict[str, int] = {}
            count = 0
            for track, number in _found(self._path):
                last[track] = max(number, last.get(track, 0))
                count += 1
            self._last, self.count = last, count
        return self._last


def _found(path: Path) -> Iterator[tuple[str, int]]:
    """Yield track and number of what is there."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as lines:
        for line in lines:
            with contextlib.suppress(ValueError, KeyError, TypeError):  # cut off; the message comes again
                kept = json.loads(line)
                yield str(kept["track"]), int(kept["number"])


def _line(message: Message, reason: str, now: str) -> bytes:
    kept = {"time": now, "track": message.track, "number": message.number, "reason": reason}
    try:
        kept["message"] = message.body.decode()
    except UnicodeDecodeError:
        kept["base64"] = base64.b64encode(message.body).decode()
    return json.dumps(kept).encode() + b"\n"
