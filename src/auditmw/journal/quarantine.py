"""Damaged bytes of journal files are copied aside, once, and never removed.

The copy of the bytes of FILE from OFFSET on is `DIR/quarantine/FILE.OFFSET.bad`. It appears whole or not at all.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from auditmw.journal.layout import QUARANTINE
from auditmw.journal.rawfile import CHUNK_BYTES, open_to_read, read_at

# More than a whole journal file at the default size. What is larger is mostly the hole of a sparse file.
_MAX_COPY_BYTES = 32 * 1024 * 1024

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def copy_aside(directory: str | os.PathLike[str], file: Path, offset: int, length: int) -> Path | None:
    """Return where the copy of the damaged bytes is; None when there is none, as on a read-only directory."""
    folder = Path(directory) / QUARANTINE
    copy = folder / f"{file.name}.{offset}.bad"
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o750, exist_ok=True)
        # Relative to the open directory, and no link followed: a reader may have more rights than who owns DIR.
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if not _is_there(copy.name, fd):
                _copy(fd, copy.name, file, offset, min(length, _MAX_COPY_BYTES))
        finally:
            os.close(fd)
        return copy
    return None


def _is_there(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _copy(folder: int, name: str, file: Path, offset: int, length: int) -> None:
    temporary = f".{name}.{os.getpid()}.{os.urandom(4).hex()}"
    source = open_to_read(file)
    try:
        with open(os.open(temporary, _CREATE, 0o640, dir_fd=folder), "wb") as target:
            for chunk in _chunks(source, offset, length):
                target.write(chunk)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise
    finally:
        os.close(source)


def _chunks(source: int, offset: int, length: int) -> Iterator[bytes]:
    while length and (chunk := read_at(source, min(CHUNK_BYTES, length), offset)):
        yield chunk
        offset, length = offset + len(chunk), length - len(chunk)
