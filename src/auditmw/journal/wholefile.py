"""A journal file that is written all at once: an import, whose lines exist together or not at all.

1. The lines are written to a hidden name beside the journal files, which no reader looks at. They are on stable
   storage before the file gets its own name, and so is that name when `write_file` returns.
2. While it is written the file is locked, as a live one is. A hidden file that nobody locks belongs to a process that
   died; `remove_unfinished` takes it away.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable
from itertools import count
from pathlib import Path

from auditmw.journal.frame import seal
from auditmw.journal.layout import JOURNAL, file_name
from auditmw.journal.livefile import CREATE, FILE_MODE, journal_folder, sync_directory
from auditmw.journal.rawfile import open_to_read

_HIDDEN, _UNFINISHED = ".", ".unfinished"
_BATCH_BYTES = 256 * 1024


def write_file(directory: str | os.PathLike[str], writer: str, bodies: Iterable[bytes]) -> Path | None:
    """Write the events of `writer`, JSON objects as `seal` takes them, as its first and only file; return its path.

    A file of that name is replaced. None, and no file, when there are no events. When it raises (OSError, ValueError
    for a body that is no line, whatever `bodies` raises), no event of it can be seen; unless it was the sync of the
    folder that failed, then the file is there and may be gone after a power failure.
    """
    folder = journal_folder(os.path.abspath(os.fsdecode(directory)), durable=True)
    path = os.path.join(folder, file_name(writer, 1))
    fd, hidden = _create(folder)
    try:
        written = _write_lines(fd, bodies)
        if written:
            os.fsync(fd)
            os.rename(hidden, path)
        else:
            os.unlink(hidden)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(hidden)
        raise
    finally:
        os.close(fd)
    sync_directory(folder)
    return Path(path) if written else None


def remove_unfinished(directory: str | os.PathLike[str]) -> int:
    """Remove what processes that died while they wrote left behind; return how many files that were."""
    with contextlib.suppress(OSError), os.scandir(Path(directory) / JOURNAL) as entries:
        names = [e.path for e in entries if e.name.startswith(_HIDDEN) and e.name.endswith(_UNFINISHED)]
        return sum(map(_remove_if_abandoned, names))
    return 0


def _create(folder: str) -> tuple[int, str]:
    """Return the descriptor and the path of a new hidden file, locked."""
    while True:
        hidden = os.path.join(folder, f"{_HIDDEN}{os.getpid()}.{os.urandom(4).hex()}{_UNFINISHED}")
        fd = os.open(hidden, CREATE, FILE_MODE)
        with contextlib.suppress(OSError):  # a file system without locks, or without modes
            fcntl.flock(fd, fcntl.LOCK_EX)
            os.fchmod(fd, FILE_MODE)
        if os.path.exists(hidden):
            return fd, hidden
        os.close(fd)  # somebody took it, before it was locked, for one that was left behind


def _write_lines(fd: int, bodies: Iterable[bytes]) -> int:
    """Write the sealed lines, some hundred at a time; return how many bytes they take."""
    batch: list[bytes] = []
    waiting = written = 0
    for line in map(seal, bodies, count(1)):
        batch.append(line)
        waiting += len(line)
        if waiting >= _BATCH_BYTES:
            written += _write(fd, b"".join(batch))
            batch.clear()
            waiting = 0
    return written + _write(fd, b"".join(batch))


def _write(fd: int, data: bytes) -> int:
    written = 0
    while written < len(data):
        written += os.write(fd, data[written:])
    return written


def _remove_if_abandoned(hidden: str) -> bool:
    try:
        fd = open_to_read(Path(hidden))
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(hidden)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
