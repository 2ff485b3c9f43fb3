"""What lies where in an audit directory, and which files are still being written.

1. Journal files are `DIR/journal/<writer>.<n>.jsonl`. A writer's name sorts by the time it started; n counts its files.
2. Only regular files count. A symbolic link, FIFO, device or directory with such a name is not a journal file.
3. A file is live while its writer holds a `flock` on it. The lock belongs to the open file, so it ends with the
   process, however that ends (flock(2)).
4. A writer locks its next file before it lets go of the last one: while it runs, one of its files is live.
"""

import fcntl
import os
import re
from functools import lru_cache
from itertools import groupby
from pathlib import Path

from auditmw.journal.rawfile import open_to_read

JOURNAL = "journal"
QUARANTINE = "quarantine"

_NAME = re.compile(r"([^.\s][^\s]*)\.([0-9]{1,18})\.jsonl")


def file_name(writer: str, number: int) -> str:
    """Return the name of a writer's n-th file."""
    return f"{writer}.{number:06d}.jsonl"


def writer_of(file: Path) -> str:
    """Return the writer that a journal file's name speaks of."""
    return _writer_and_number(file.name)[0]


def sort_key(name: str) -> tuple[int, str]:
    """Return what the names of one writer's files sort by."""
    return _writer_and_number(name)[1], name


def journal_files(directory: str | os.PathLike[str]) -> list[Path]:
    """Return the journal files of an audit directory, by writer and number; none when nothing was written yet.

    Raises FileNotFoundError when `directory` itself does not exist.
    """
    folder = Path(directory) / JOURNAL
    try:
        found = _listed(folder)
        last = {writer: number for writer, number, _ in found}
        if len(found) < sum(last.values()):
            # Files that are made while a folder is listed may be seen or not, in any order (readdir(3)). But what was
            # made before the last one that was seen is there by now.
            found = [file for file in _listed(folder) if file[1] <= last.get(file[0], 0)]
    except FileNotFoundError:
        os.stat(directory)
        return []
    return [folder / name for _, _, name in found]


def _listed(folder: Path) -> list[tuple[str, int, str]]:
    """Return writer, number and name of each file, in order."""
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if _NAME.fullmatch(e.name) and e.is_file(follow_symlinks=False)]
    return sorted((*_writer_and_number(name), name) for name in names)


@lru_cache(1024)  # asked for every line that is shipped
def _writer_and_number(name: str) -> tuple[str, int]:
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"expected a journal file name, <writer>.<n>.jsonl, not {name!r}")
    return match[1], int(match[2])


def is_live(file: Path) -> bool:
    """Return whether a writer holds the file; True also where one cannot ask (no permission, no locks on the mount)."""
    try:
        fd = open_to_read(file)
    except PermissionError:
        return True
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def dead_writers(directory: str | os.PathLike[str]) -> frozenset[str]:
    """Return the writers that are gone: all that they will ever have written can be read after this call."""
    quiet = {writer: files for writer, files in _by_writer(directory).items() if not any(map(is_live, files))}
    # Meanwhile one may have gone on to its next file. And an only file that is empty may not be locked yet.
    now = _by_writer(directory)
    return frozenset(
        writer
        for writer, files in quiet.items()
        if now.get(writer) == files and any(map(_holds_something, files)) and not is_live(files[-1])
    )


def _by_writer(directory: str | os.PathLike[str]) -> dict[str, list[Path]]:
    return {writer: list(files) for writer, files in groupby(journal_files(directory), writer_of)}


def _holds_something(file: Path) -> bool:
    try:
        return os.lstat(file).st_size > 0
    except OSError:
        return False
