"""Inputs: files, pipes and compressed files, whole, damaged, hostile, or not there."""

import bz2
import errno
import gzip
import io
import lzma
import os
import sys
import threading
import tracemalloc

import pytest
import zstandard

from auditmw.importing.inputs import DamagedError, InputError, open_input
from log_lines import log

DATA = log(*range(8_000))


def zst(data, **options):
    return zstandard.ZstdCompressor(**options).compress(data)


def read_all(name, count=1 << 20):
    """All bytes of an input, and what was wrong at its end."""
    found = []
    with open_input(str(name)) as source:
        try:
            while block := source.read(count):
                found.append(block)
        except InputError as error:
            return b"".join(found), error
    return b"".join(found), None


@pytest.mark.parametrize(
    "packed",
    [
        pytest.param(DATA, id="plain"),
        pytest.param(gzip.compress(DATA), id="gzip"),
        pytest.param(gzip.compress(DATA[:999]) + gzip.compress(DATA[999:]), id="two gzip members"),
        pytest.param(gzip.compress(DATA) + b"\0" * 512, id="gzip with zeros behind"),
        pytest.param(zst(DATA), id="zstd"),
        pytest.param(zst(DATA[:999]) + zst(DATA[999:]), id="two zstd frames"),
        pytest.param(b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + zst(DATA), id="skippable zstd frame"),
        pytest.param(zst(DATA, write_checksum=True, level=6), id="zstd with a checksum"),
    ],
)
def test_a_compressed_file_is_known_by_its_first_bytes_whatever_its_name(tmp_path, packed):
    file = tmp_path / "access.log.1"
    file.write_bytes(packed)
    assert read_all(file) == (DATA, None)
    assert read_all(file, 100)[0] == DATA


@pytest.mark.parametrize(
    ("packed", "least"),
    [
        pytest.param(gzip.compress(DATA)[:-2000], 0.8, id="gzip cut off"),
        pytest.param(gzip.compress(DATA)[:-4], 1.0, id="gzip without the end of its checksum"),
        pytest.param(gzip.compress(DATA)[:-8] + b"12345678", 1.0, id="gzip with a wrong checksum"),
        pytest.param(gzip.compress(DATA) + b"more", 1.0, id="gzip with something else behind"),
        pytest.param(zst(DATA)[:-2000], 0.5, id="zstd cut off"),
        pytest.param(zst(DATA)[:-1], 0.5, id="zstd without its last byte"),
        pytest.param(zst(DATA) + b"more", 1.0, id="zstd with something else behind"),
    ],
)
def test_a_damaged_file_gives_what_stands_before_the_damage_and_says_so(tmp_path, packed, least):
    file = tmp_path / "access.log.gz"
    file.write_bytes(packed)
    data, error = read_all(file)
    assert isinstance(error, DamagedError)
    assert str(error).startswith(f"{file}: damaged ")
    assert DATA.startswith(data)
    assert len(data) >= least * len(DATA)


@pytest.mark.parametrize(
    "pack",
    [
        pytest.param(lambda data: gzip.compress(data, 1), id="gzip"),
        pytest.param(zst, id="zstd"),
    ],
)
def test_what_unpacks_to_very_much_is_read_in_pieces(tmp_path, pack):
    file = tmp_path / "bomb"
    file.write_bytes(pack(b"\0" * (96 << 20)))
    tracemalloc.start()
    try:
        total = 0
        with open_input(str(file)) as source:
            while block := source.read(1 << 20):
                total += len(block)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == 96 << 20
    assert peak < 40 << 20


def test_progress_is_told_in_bytes_of_the_file_and_not_of_what_it_unpacks_to(tmp_path):
    file = tmp_path / "access.log.gz"
    file.write_bytes(gzip.compress(DATA))
    with open_input(str(file)) as source:
        assert source.size_bytes == file.stat().st_size
        while source.read(1 << 20):
            assert source.position_bytes <= source.size_bytes
        assert source.position_bytes == source.size_bytes


@pytest.mark.parametrize(
    ("packed", "tool"),
    [
        pytest.param(bz2.compress(DATA), "bzcat", id="bzip2"),
        pytest.param(lzma.compress(DATA), "xzcat", id="xz"),
        pytest.param(b"PK\x03\x04...", "unzip -p", id="zip"),
    ],
)
def test_what_cannot_be_unpacked_here_is_refused_with_the_tool_that_can(tmp_path, packed, tool):
    file = tmp_path / "access.log.x"
    file.write_bytes(packed)
    with pytest.raises(InputError, match=f"{tool} {file} | auditmw import -"):
        open_input(str(file))


def test_without_zstandard_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    file = tmp_path / "access.log.zst"
    file.write_bytes(zst(DATA))
    with pytest.raises(InputError, match=r"needs zstandard; install it with: pip install 'auditmw\[import\]'"):
        open_input(str(file))


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        open_input(str(tmp_path / "access.log"))
    with pytest.raises(
        InputError, match=r"is a directory; name the files in it, or a pattern such as 'DIR/access.log\*'"
    ):
        open_input(str(tmp_path))
    with pytest.raises(InputError, match="expected a file or a pipe, not a device"):
        open_input("/dev/zero")


def test_a_file_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    def denied(name):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)

    monkeypatch.setattr(io, "FileIO", denied)
    with pytest.raises(InputError, match=r"access\.log: Permission denied"):
        open_input(str(tmp_path / "access.log"))


def test_a_file_that_cannot_be_read_any_more_is_told(tmp_path, monkeypatch):
    file = tmp_path / "access.log"
    file.write_bytes(DATA)
    with open_input(str(file)) as source:
        assert source.read(100) == DATA[:6]

        def bad_sector(count):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(source._stream._raw, "read", bad_sector)
        with pytest.raises(InputError, match=r"access\.log: cannot be read: Input/output error"):
            source.read(100)


@pytest.mark.parametrize("packed", [DATA, gzip.compress(DATA), zst(DATA)], ids=["plain", "gzip", "zstd"])
def test_a_pipe_is_read_to_its_end(tmp_path, packed):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(packed,))
    writer.start()
    try:
        assert read_all(pipe) == (DATA, None)
    finally:
        writer.join()


def test_a_pipe_says_whether_there_is_something(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with open(os.open(pipe, os.O_RDWR), "wb", buffering=0) as writer:
        writer.write(b"a line\n")
        with open_input(str(pipe)) as source:
            assert source.size_bytes is None
            assert not source.may_grow
            assert source.has_news(10)
            assert source.read(100) == b"a line"[:6]  # what was looked at comes first
            assert source.read(100) == b"\n"
            assert not source.has_news(0)
            writer.write(b"more")
            assert source.has_news(10)


def test_the_standard_input_may_be_an_object_in_memory(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(DATA))))
    with open_input("-") as source:
        assert source.base_name == "stdin"
        assert source.has_news(0)
        assert b"".join(iter(lambda: source.read(1 << 20), b"")) == DATA


def test_an_empty_file_has_no_bytes_and_may_grow(tmp_path):
    file = tmp_path / "access.log"
    file.write_bytes(b"")
    assert read_all(file) == (b"", None)
    with open_input(str(file)) as source:
        assert source.may_grow
        assert source.base_name == "access.log"
