"""A journal file while it is written: creating it, writing, and letting go of it.

1. A file is created by its writer and by nobody else (O_EXCL, O_NOFOLLOW), with mode 0640 in directories of mode 0750
   whatever the umask is. Directories that exist are left as they are; the audit directory itself may be a symbolic
   link, `journal` in it may not.
2. The writer's `flock` is on it from before the first line until the descriptor is closed. LOCK_UN is never called:
   a forked child shares the lock (flock(2)).
3. A descriptor is closed only while it still leads to this file. Programs that daemonize close every descriptor, and
   the number may belong to a socket by now.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat

from auditmw.journal.layout import JOURNAL, file_name

CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_MODE, _DIRECTORY_MODE = 0o640, 0o750

# A name can be taken, and a reader that asks whether a file is live holds its lock for some microseconds.
_NAMES_TRIED = 100


class LiveFile:
    """One journal file that this process writes; `sound` until anything went wrong with it."""

    __slots__ = ("_identity", "fd", "number", "path", "sound")

    def __init__(self, path: str, number: int, fd: int) -> None:
        self.fd = -1
        self.path = path
        self.number = number
        self.sound = True
        self._identity = _identity(os.fstat(fd))
        self.fd = fd

    @classmethod
    def create(cls, directory: str, writer: str, number: int, *, durable: bool) -> LiveFile:
        """Create the writer's file `number`, or the next one that is free, and the directories that it needs.

        `durable` also syncs the directories, so that a file that is synced later can be found after a power failure.
        Leaves no file behind when it raises OSError.
        """
        folder = journal_folder(directory, durable=durable)
        for candidate in range(number, number + _NAMES_TRIED):
            path = os.path.join(folder, file_name(writer, candidate))
            with contextlib.suppress(FileExistsError, BlockingIOError):
                file = cls(path, candidate, os.open(path, CREATE, FILE_MODE))
                try:
                    file._prepare(folder, durable)
                except BaseException:
                    file.discard()
                    raise
                return file
        raise OSError(errno.EAGAIN, f"{_NAMES_TRIED} new files in a row were taken or locked by others", path)

    def _prepare(self, folder: str, durable: bool) -> None:
        _lock(self.fd)
        with contextlib.suppress(OSError):  # a file system without modes; the umask can only have narrowed it
            os.fchmod(self.fd, FILE_MODE)
        if durable:
            sync_directory(folder)

    def append(self, line: bytes) -> None:
        """Write one line in one piece, or raise OSError and leave nothing of it behind."""
        written = os.write(self.fd, line)
        if written != len(line):
            self.cut(written)
            raise short_write(written, line)

    def fill(self, data: bytes) -> None:
        """Write the first lines of the file, or raise OSError."""
        while data:
            data = data[os.write(self.fd, data) :]

    def cut(self, count: int) -> None:
        """Take back the last `count` bytes, of a write that fell short, if the file system lets us."""
        with contextlib.suppress(OSError):
            os.ftruncate(self.fd, max(0, os.fstat(self.fd).st_size - count))

    def is_in_place(self) -> bool:
        """Return whether the descriptor and the path both still lead to this file; True when that cannot be told."""
        try:
            return _identity(os.fstat(self.fd)) == self._identity == _identity(os.lstat(self.path))
        except OSError as error:
            return error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EBADF)

    def discard(self) -> None:
        """Remove the file: it holds nothing that anybody was told to be written."""
        with contextlib.suppress(OSError):
            os.unlink(self.path)
        self.close()

    def close(self) -> None:
        """Let go of the file and with it of the lock. Closing twice is closing once."""
        fd, self.fd = self.fd, -1
        with contextlib.suppress(OSError):
            if fd != -1 and _identity(os.fstat(fd)) == self._identity:
                os.close(fd)

    def __del__(self) -> None:
        self.close()


def journal_folder(directory: str, *, durable: bool) -> str:
    """Return the folder of the journal files, made if need be. Raises OSError, also when it is a symbolic link."""
    folder = os.path.join(directory, JOURNAL)
    _make_directory(folder, durable)
    if os.path.islink(folder):
        raise OSError(errno.ELOOP, "is a symbolic link; make the audit directory itself the link", folder)
    return folder


def short_write(written: int, line: bytes) -> OSError:
    """Return the error that the kernel tells only to the next write: mostly no space, or a limit was reached."""
    return OSError(errno.EIO, f"took only {written} of {len(line)} bytes")


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _lock(fd: int) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        # No locks on this file system: writing matters more, and `is_live` says True where it cannot ask.
        pass


def _make_directory(path: str, durable: bool) -> None:
    """`mkdir -p` with our mode for what is new, made durable on request."""
    parent = os.path.dirname(path)
    if not os.path.exists(parent):
        _make_directory(parent, durable)
    try:
        os.mkdir(path, _DIRECTORY_MODE)
    except FileExistsError:
        return
    # The umask may have narrowed the mode; a group that the parent passes on (set-group-ID) stays passed on.
    os.chmod(path, _DIRECTORY_MODE | (os.stat(path).st_mode & stat.S_ISGID))
    if durable:
        sync_directory(parent)


def sync_directory(path: str) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
