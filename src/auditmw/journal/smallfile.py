"""Small files that have their old or their new content, also after a power failure.

They belong to the owner of the folder that they are in, also when root writes them: else the application, which owns
the audit directory, could not read them any more.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

FILE_MODE, _FOLDER_MODE = 0o640, 0o750


def make_folder(folder: Path) -> None:
    """Make a folder in a folder that exists, unless it is there; durably. Raises OSError."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, _FOLDER_MODE)
        hand_over(folder, _FOLDER_MODE, folder.parent)
        sync(folder.parent)


def replace(file: Path, content: bytes) -> None:
    """Give a file this content, which is durable when this returns; one writer at a time. Raises OSError."""
    draft = file.with_name(f".{file.name}.new")
    write(draft, content)
    os.replace(draft, file)
    sync(file.parent)


def write(file: Path, content: bytes) -> None:
    """Write a file that nobody reads yet, down to the disk."""
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    try:
        hand_over(fd, FILE_MODE, file.parent)
        while content:
            content = content[os.write(fd, content) :]
        os.fsync(fd)
    finally:
        os.close(fd)


def sync(path: Path) -> None:
    """Make a file's content, or the names in a folder, durable."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def hand_over(path: Path | int, mode: int, folder: Path) -> None:
    """Give a file, by its path or descriptor, its mode, and to the owner of the folder that it is in."""
    os.chmod(path, mode)
    if os.geteuid() == 0:
        owner = os.stat(folder)
        os.chown(path, owner.st_uid, owner.st_gid)
