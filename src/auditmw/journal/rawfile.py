"""Reading bytes of a file that may be damaged, sparse, or on a disk that fails."""

import errno
import os
from pathlib import Path

CHUNK_BYTES = 256 * 1024
_PAGE_BYTES = 4096

# O_NONBLOCK: a FIFO that took the place of a file since the directory was listed must not hang the reader.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class UnreadableError(OSError):
    """A file could be opened, but its bytes not be read."""


def open_to_read(file: Path) -> int:
    """Return a descriptor of a journal file; OSError when it is not a regular file that can be read."""
    fd = os.open(file, _READ)
    if not os.path.isfile(fd):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", str(file))
    return fd


def read_at(fd: int, count: int, position: int) -> bytes:
    """Return at most `count` bytes from `position` on, none at the end; zeros for a page that is bad on the disk.

    Raises UnreadableError for any other failure.
    """
    try:
        return os.pread(fd, count, position)
    except OSError as error:
        if error.errno != errno.EIO:
            raise UnreadableError(error.errno, error.strerror) from error
        # The kernel reads up to the bad page, and fails only when it is the first.
        return bytes(min(_PAGE_BYTES - position % _PAGE_BYTES, os.fstat(fd).st_size - position))


def find_line_feed(fd: int, position: int) -> int:
    """Return where the first line feed from `position` on is, or -1; holds one chunk, and jumps over holes."""
    while True:
        try:
            position = os.lseek(fd, position, os.SEEK_DATA)
        except OSError:  # nothing but a hole up to the end
            return -1
        chunk = read_at(fd, CHUNK_BYTES, position)
        if not chunk:
            return -1
        found = chunk.find(b"\n")
        if found >= 0:
            return position + found
        position += len(chunk)
