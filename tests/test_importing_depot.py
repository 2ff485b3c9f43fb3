"""What is on its way into the archive: collected, taken together, and told when it is there."""

import fcntl
import os
import threading
from pathlib import Path

import pytest

from auditmw.archive.error import ArchiveError
from auditmw.archive.ranges import Ranges
from auditmw.archive.rowfile import Deposit, RowFile
from auditmw.importing import depot as depots
from auditmw.importing.depot import Depot
from auditmw.importing.incoming import Incoming


class Archive:
    """Takes deposits, unless it is told to fail or to wait."""

    def __init__(self):
        self.batches = []
        self.fails = False
        self.open = threading.Event()
        self.open.set()

    def __call__(self, deposits):
        assert self.open.wait(30)
        if self.fails:
            raise ArchiveError("no space")
        self.batches.append([deposit.writer for deposit in deposits])


@pytest.fixture
def archive():
    return Archive()


@pytest.fixture
def depot(archive):
    depot = Depot(archive)
    yield depot
    archive.open.set()
    depot.close()


def deposit(folder, writer, rows=1):
    path = folder / writer
    path.write_bytes(b"row\n")
    return Deposit(writer, (RowFile(path, "2026-11-20", rows, "", ""),), None, None, Ranges(), 0)


def test_what_was_added_is_taken_together_told_and_removed(tmp_path, depot, archive):
    told = []
    for writer in "ab":
        depot.add(deposit(tmp_path, writer), lambda writer=writer: told.append(writer))
    assert (archive.batches, told, depot.writers) == ([], [], ["a", "b"])
    depot.settle()
    assert (archive.batches, told, depot.writers) == ([["a", "b"]], ["a", "b"], [])
    assert list(tmp_path.iterdir()) == []


def test_a_full_batch_is_taken_while_the_next_one_is_collected(tmp_path, depot, archive, monkeypatch):
    monkeypatch.setattr(depots, "_MOST_ROWS", 10)
    archive.open.clear()
    depot.add(deposit(tmp_path, "a", rows=10), lambda: None)
    depot.add(deposit(tmp_path, "b"), lambda: None)
    assert depot.writers == ["a", "b"]
    archive.open.set()
    depot.settle()
    assert archive.batches == [["a"], ["b"]]


def test_lines_that_are_no_rows_fill_a_batch_too(tmp_path, depot, archive, monkeypatch):
    monkeypatch.setattr(depots, "_MOST_LINE_BYTES", 10)
    told = threading.Event()
    depot.add(deposit(tmp_path, "a")._replace(line_bytes=10), told.set)
    depot.settle()
    depot.add(deposit(tmp_path, "b"), lambda: None)
    assert archive.batches == [["a"]]
    assert told.is_set()


def test_what_waits_for_the_others_is_told_after_them(tmp_path, depot):
    told = []
    depot.after(lambda: told.append("nothing was there"))
    assert told == ["nothing was there"]
    depot.add(deposit(tmp_path, "a"), lambda: told.append("a"))
    depot.after(lambda: told.append("after a"))
    assert told == ["nothing was there"]
    depot.settle()
    assert told == ["nothing was there", "a", "after a"]


def test_what_cannot_be_taken_is_an_error_and_not_told(tmp_path, depot, archive):
    told = []
    archive.fails = True
    depot.add(deposit(tmp_path, "a"), lambda: told.append("a"))
    depot.after(lambda: told.append("after a"))
    with pytest.raises(ArchiveError, match="no space"):
        depot.settle()
    assert told == ["after a"]
    assert depot.writers == []
    assert list(tmp_path.iterdir()) == []


def test_closing_gives_up_what_waits(tmp_path, archive):
    told = []
    depot = Depot(archive)
    depot.add(deposit(tmp_path, "a"), lambda: told.append("a"))
    depot.after(lambda: told.append("after a"))
    depot.close()
    assert (archive.batches, told) == ([], ["after a"])
    assert list(tmp_path.iterdir()) == []


# --- the folder


def test_the_folder_of_an_import_goes_with_it(tmp_path):
    incoming = Incoming(tmp_path)
    (incoming.folder / "rows").write_bytes(b"row\n")
    assert incoming.folder.stat().st_mode & 0o777 == 0o700
    incoming.close()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_import_left_behind_is_removed_and_what_another_needs_is_not(tmp_path):
    left, other = tmp_path / "incoming" / "1.left", Incoming(tmp_path)
    left.mkdir()
    (left / "rows").write_bytes(b"row\n")
    incoming = Incoming(tmp_path)
    assert set((tmp_path / "incoming").iterdir()) == {incoming.folder, other.folder}
    incoming.close()
    assert other.folder.exists()
    other.close()


def test_a_folder_that_is_taken_for_an_abandoned_one_is_made_again(tmp_path, monkeypatch):
    flock, taken = fcntl.flock, []

    def take_first(fd, how):
        if not taken:
            taken.append(Path(os.readlink(f"/proc/self/fd/{fd}")))
            taken[0].rmdir()
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", take_first)
    incoming = Incoming(tmp_path)
    assert incoming.folder != taken[0]
    assert incoming.folder.is_dir()
    incoming.close()
