"""Files that are there whole or not at all, also after a power failure.

A file is written under another name, synced, renamed, and its directory synced. What belongs to the archive belongs to
the owner of the audit directory, also when root writes it: else the application could not read it any more.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

FILE_MODE, _FOLDER_MODE = 0o640, 0o750


def make_folder(folder: Path) -> None:
    """Make a folder in a folder that exists, unless it is there."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, _FOLDER_MODE)
        hand_over(folder, _FOLDER_MODE, folder.parent)
        sync_folder(folder.parent)


def publish(temporary: Path, target: Path) -> None:
    """Move a finished file to its name. The folder of `target` is the caller's to sync."""
    hand_over(temporary, FILE_MODE, target.parent)
    sync_file(temporary)
    os.replace(temporary, target)


def replace_content(target: Path, content: bytes) -> None:
    """Give a file new content, which is durable when this returns; a reader sees the old or the new one."""
    temporary = unfinished(target)
    try:
        temporary.write_bytes(content)
        publish(temporary, target)
    except BaseException:
        remove(temporary)
        raise
    sync_folder(target.parent)


def unfinished(target: Path) -> Path:
    """Return the name under which `replace_content` writes; one writer at a time."""
    return target.with_name(f".{target.name}.new")


def sync_file(file: Path) -> None:
    """Make a file's content durable."""
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    sync_file(folder)


def remove(file: Path) -> None:
    """Unlink a file, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(file)


def empty(folder: Path) -> None:
    """Remove what is in a folder; what cannot be removed stays."""
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                remove(Path(entry.path))


def hand_over(path: Path | int, mode: int, folder: Path) -> None:
    """Give a file, by its path or descriptor, its mode, and to the owner of the folder that it is for."""
    os.chmod(path, mode)
    if os.geteuid() == 0:
        owner = os.stat(folder)
        os.chown(path, owner.st_uid, owner.st_gid)
