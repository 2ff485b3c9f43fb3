"""Where lines come from: files, pipes and the standard input, plain or compressed, read as streams.

1. What is compressed is known by its first bytes, not by its name.
2. However much a file unpacks to, no more than about `count` bytes of it are in memory at a time.
3. A file that ends early or is damaged gives what stands before the damage, then raises DamagedError.
"""

from __future__ import annotations

import gzip
import io
import os
import select
import stat
import sys
import zlib
from typing import Any, Protocol, Self

STDIN = "-"
_ZSTD = b"\x28\xb5\x2f\xfd"  # RFC 8878 §3.1.1
_SKIPPABLE, _SKIPPABLE_END = bytes(range(0x50, 0x60)), b"\x2a\x4d\x18"  # §3.1.2: how pzstd begins
_GZIP = b"\x1f\x8b"  # RFC 1952 §2.3.1
_OTHERS = {b"BZh": "bzcat", b"\xfd7zXZ\x00": "xzcat", b"PK\x03\x04": "unzip -p"}
_MAGIC_BYTES = 6
# At most 128 KiB come out of 4 bytes (RFC 8878 §3.1.1.2), so this bounds what one step unpacks to 16 MiB.
_ZSTD_STEP_BYTES = 512
_ZSTD_WINDOW_BYTES = 128 * 1024 * 1024  # what `zstd --ultra -22` needs without --long


class InputError(Exception):
    """An input cannot be read: the message says which, why, and what to do."""


class DamagedError(InputError):
    """An input is damaged, or ends before its end; what came before was good."""


class _Bytes(Protocol):
    def read(self, count: int, /) -> bytes | None: ...


class Input:
    """An open input. `name` is what the user called it, `size_bytes` that of the file, None for a pipe."""

    def __init__(self, name: str, file: _Bytes, size_bytes: int | None) -> None:
        self.name = name
        self.size_bytes = size_bytes
        self._file = file
        self._raw = _Counted(file)
        try:
            self._stream, self.may_grow = self._unpacked()
        except BaseException:
            self.close()
            raise

    @property
    def base_name(self) -> str:
        """The name of the file without its directory."""
        return "stdin" if self.name == STDIN else os.path.basename(self.name)

    @property
    def position_bytes(self) -> int:
        """How much of the file was read, before it was unpacked."""
        return self._raw.position

    def read(self, count: int) -> bytes:
        """Return some of the next bytes, unpacked; none at the end. Raises DamagedError, InputError."""
        try:
            return self._stream.read(count)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DamagedError(f"{self.name}: damaged gzip data: {error}") from error
        except OSError as error:
            raise InputError(f"{self.name}: cannot be read: {error.strerror or error}") from error

    def has_news(self, seconds: float) -> bool:
        """Return whether there is something to read, or the end, within this time; only a pipe keeps one waiting."""
        if self.size_bytes is not None or not isinstance(self._file, io.FileIO):
            return True
        return bool(select.select([self._file], [], [], seconds)[0])

    def close(self) -> None:
        """Let go of the file."""
        if isinstance(self._file, io.FileIO):
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _unpacked(self) -> tuple[_Plain, bool]:
        """Return the stream of the lines, and whether it may have more of them later."""
        magic = self._raw.peek(_MAGIC_BYTES)
        if magic.startswith(_GZIP):
            return _Gzip(self._raw), False
        if magic.startswith(_ZSTD) or (magic[:1] in _SKIPPABLE and magic[1:4] == _SKIPPABLE_END):
            return _Zstandard(self.name, self._raw), False
        for start, tool in _OTHERS.items():
            if magic.startswith(start):
                raise InputError(f"{self.name}: cannot be unpacked here; use: {tool} {self.name} | auditmw import -")
        return _Plain(self._raw), self.size_bytes is not None


def open_input(name: str) -> Input:
    """Open a file, a pipe, or "-". Raises InputError for what is not there, is no file, or may not be read."""
    if name == STDIN:
        return Input(name, _standard_input(), None)
    try:
        file = io.FileIO(name)
    except OSError as error:
        raise InputError(f"{name}: {_reason(error)}") from error
    status = os.fstat(file.fileno())
    if stat.S_ISREG(status.st_mode):
        return Input(name, file, status.st_size)
    if stat.S_ISFIFO(status.st_mode):
        return Input(name, file, None)
    file.close()
    raise InputError(f"{name}: expected a file or a pipe, not a device")


def _standard_input() -> _Bytes:
    try:
        return io.FileIO(sys.stdin.fileno(), closefd=False)
    except (OSError, ValueError):  # an object in memory
        return sys.stdin.buffer


def _reason(error: OSError) -> str:
    if isinstance(error, IsADirectoryError):
        return "is a directory; name the files in it, or a pattern such as 'DIR/access.log*'"
    return str(error.strerror or error)


class _Counted:
    """The bytes of a file: how many were read, and the first ones before they are."""

    def __init__(self, file: _Bytes) -> None:
        self._file = file
        self._ahead = b""
        self.position = 0

    def peek(self, count: int) -> bytes:
        while len(self._ahead) < count and (more := self._file.read(count - len(self._ahead))):
            self._ahead += more
        return self._ahead

    def read(self, count: int) -> bytes:
        data, self._ahead = self._ahead[:count], self._ahead[count:]
        data = data or self._file.read(count) or b""
        self.position += len(data)
        return data


class _Plain:
    def __init__(self, raw: _Counted) -> None:
        self._raw = raw

    def read(self, count: int) -> bytes:
        return self._raw.read(count)


class _Gzip(_Plain):
    def __init__(self, raw: _Counted) -> None:
        super().__init__(raw)
        reads_only: Any = raw
        self._file = gzip.GzipFile(fileobj=reads_only)

    def read(self, count: int) -> bytes:
        # Not `read`: when that meets an error, it loses what it unpacked before.
        return self._file.read1(count)


class _Zstandard(_Plain):
    """Frames one after another (RFC 8878 §3)."""

    def __init__(self, name: str, raw: _Counted) -> None:
        super().__init__(raw)
        try:
            import zstandard
        except ModuleNotFoundError as error:
            raise InputError(f"{name}: needs zstandard; install it with: pip install 'auditmw[import]'") from error
        self._name = name
        self._error = zstandard.ZstdError
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
        self._frame: Any = None
        self._packed = b""

    def read(self, count: int) -> bytes:
        while True:
            step, self._packed = self._packed[:_ZSTD_STEP_BYTES], self._packed[_ZSTD_STEP_BYTES:]
            step = step or self._raw.read(_ZSTD_STEP_BYTES)
            if not step and self._frame is None:
                return b""
            if not step:
                raise DamagedError(f"{self._name}: damaged zstd data: it ends before its end")
            if data := self._unpack(step):
                return data

    def _unpack(self, step: bytes) -> bytes:
        if self._frame is None:
            self._frame = self._decompressor.decompressobj()
        try:
            data: bytes = self._frame.decompress(step)
        except self._error as error:
            raise DamagedError(f"{self._name}: damaged zstd data: {error}") from error
        if self._frame.eof:
            self._packed = self._frame.unused_data + self._packed
            self._frame = None
        return data
