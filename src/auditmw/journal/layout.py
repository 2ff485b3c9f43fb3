"""What lies where in an audit directory, and which files are still being written.

1. Journal files are `DIR/journal/<writer>.<n>.jsonl`. A writer's name sorts by the time it started; n counts its files.
2. Only regular files count. A symbolic link, FIFO, device or directory with such a name is not a journal file.
3. A file is live while its writer holds a `flock` on it. The lock belongs to the open file, so it ends with the
   process, however that ends (flock(2)).
4. A writer locks its next file before it lets go of the last one: while it runs, one of its files is live.
"""

import errno
import fcntl
import os
import re
from pathlib import Path

JOURNAL = "journal"
QUARANTINE = "quarantine"

_NAME = re.compile(r"([^.\s][^\s]*)\.([0-9]{1,18})\.jsonl")

# O_NONBLOCK: a FIFO that took the place of a file since the directory was listed must not hang the reader.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def file_name(writer: str, number: int) -> str:
    """Return the name of a writer's n-th file."""
    return f"{writer}.{number:06d}.jsonl"


def writer_of(file: Path) -> str:
    """Return the writer that a journal file's name speaks of."""
    return _writer_and_number(file.name)[0]


def journal_files(directory: str | os.PathLike[str]) -> list[Path]:
    """Return the journal files of an audit directory, by writer and number; none when nothing was written yet.

    Raises FileNotFoundError when `directory` itself does not exist.
    """
    folder = Path(directory) / JOURNAL
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if _NAME.fullmatch(e.name) and e.is_file(follow_symlinks=False)]
    except FileNotFoundError:
        os.stat(directory)
        return []
    return [folder / name for name in sorted(names, key=_writer_and_number)]


def _writer_and_number(name: str) -> tuple[str, int]:
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"expected a journal file name, <writer>.<n>.jsonl, not {name!r}")
    return match[1], int(match[2])


def open_to_read(file: Path) -> int:
    """Return a descriptor of a journal file; OSError when it is not a regular file that can be read."""
    fd = os.open(file, _READ)
    if not os.path.isfile(fd):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", str(file))
    return fd


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


def writer_is_live(directory: str | os.PathLike[str], writer: str) -> bool:
    """Return whether the writer still runs; False means that all that it wrote can be read from now on."""
    last = None
    while True:
        files = [file for file in journal_files(directory) if writer_of(file) == writer]
        if not files or files[-1] == last:
            return False
        # Not live may also mean that it has gone on to its next file since the listing: look again.
        last = files[-1]
        if is_live(last):
            return True
