"""Disks that are full, read-only or broken: nothing acknowledged is lost, nothing torn stays, writing resumes."""

import errno
import json
import os
import subprocess
import time

import pytest

import journal_files
from auditmw.journal import Journal, JournalError, dead_writers, read_events, read_lines
from auditmw.journal import journal_files as list_files
from journal_tools import Failing, body, needs_root, numbers, run_script, tmpfs

EVENTS = 8


def append_all(journal, count, size=0):
    """Append events 0 to count - 1; return those that were acknowledged and the errors of the others."""
    written, errors = [], []
    for number in range(count):
        try:
            journal.append(body(number, size))
        except JournalError as error:
            errors.append(error)
        else:
            written.append(number)
    return written, errors


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path)
    yield journal
    journal.close()


# --- one failing call


@pytest.mark.parametrize("short", [False, True], ids=["EIO", "short"])
@pytest.mark.parametrize("k", range(2, EVENTS + 1))
def test_a_write_that_fails_once_loses_nothing_and_uses_up_no_number(journal, tmp_path, monkeypatch, k, short):
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", Failing(os.write, [k], short=short))
        written, errors = append_all(journal, EVENTS)
    assert (written, errors) == (list(range(EVENTS)), [])
    assert numbers(tmp_path) == written
    assert [event["n"] for event in journal_files.events(tmp_path)] == written  # whole lines, dense numbers
    assert [path.read_bytes().count(b"\n") for path in list_files(tmp_path)] == [k - 1, EVENTS - k + 1]
    stats = journal.stats()
    assert (stats["files_opened"], stats["files_abandoned"], stats["files_rotated"]) == (2, 1, 0)
    assert (stats["seq"], stats["bytes"]) == (EVENTS, sum(path.stat().st_size for path in list_files(tmp_path)))
    assert ("took only" if short else "Input/output error") in stats["last_error"]
    assert stats["last_error_at"] == pytest.approx(time.time(), abs=60)


@pytest.mark.parametrize("k", range(1, EVENTS + 1))
def test_when_the_new_file_fails_too_the_event_is_lost_and_append_says_so(journal, tmp_path, monkeypatch, k):
    # The first write is to a new file already, so one failure is enough there.
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", Failing(os.write, [1] if k == 1 else [k, k + 1]))
        written, errors = append_all(journal, EVENTS)
    assert written == [number for number in range(EVENTS) if number != k - 1]
    assert [(error.errno, error.reason) for error in errors] == [(errno.EIO, "Input/output error")]
    assert numbers(tmp_path) == written
    assert [event["n"] for event in journal_files.events(tmp_path)] == written
    assert len(list_files(tmp_path)) == (1 if k in (1, EVENTS) else 2)  # the new one that failed is not left behind


def test_when_the_torn_bytes_cannot_be_cut_off_they_are_a_torn_tail_and_the_event_is_in_the_new_file(
    journal, tmp_path, monkeypatch
):
    append_all(journal, 3)
    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", Failing(os.ftruncate, [1]))
        patch.setattr(os, "write", Failing(os.write, [1], short=True))
        journal.append(body(3))
    damages = []
    assert [json.loads(line.body)["n"] for line in read_lines(tmp_path, on_damage=damages.append)] == [0, 1, 2, 3]
    assert [damage.reason for damage in damages] == ["torn tail"]


def test_a_write_that_failed_after_all_bytes_were_taken_leaves_two_copies_of_one_line(journal, tmp_path, monkeypatch):
    write = os.write

    def write_and_fail(fd, data):
        write(fd, data)
        monkeypatch.setattr(os, "write", write)
        raise OSError(errno.EIO, "Input/output error")

    journal.append(b'{"id":"a","timestamp":"2026-01-01T00:00:00.000000Z"}')
    monkeypatch.setattr(os, "write", write_and_fail)
    journal.append(b'{"id":"b","timestamp":"2026-01-01T00:00:01.000000Z"}')
    lines = list(read_lines(tmp_path))
    assert [line.seq for line in lines] == [1, 2, 2]
    assert lines[1].body == lines[2].body
    assert [event["id"] for event in read_events(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize("call", ["mkdir", "open", "fchmod", "chmod"])
def test_a_directory_or_file_that_cannot_be_made_is_an_error_and_the_next_append_tries_again(
    tmp_path, monkeypatch, call
):
    journal = Journal(tmp_path / "audit")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, Failing(getattr(os, call), [1], error=errno.EACCES))
        if call == "fchmod":  # a file system without modes is no reason to lose events
            journal.append(body(0))
        else:
            with pytest.raises(JournalError, match="Permission denied") as caught:
                journal.append(body(0))
            assert caught.value.errno == errno.EACCES
            assert caught.value.path.startswith(str(tmp_path / "audit"))
            assert journal.stats()["last_error"] == str(caught.value)
            journal.append(body(0))
    assert numbers(tmp_path / "audit") == [0]
    journal.close()


# --- real file systems that are full or read-only


@needs_root
@pytest.mark.parametrize("size", [100, 1000, 5000])
def test_a_full_disk_keeps_whole_lines_and_takes_events_again_when_there_is_space(tmp_path, size):
    with tmpfs(tmp_path / "disk", "size=64k") as disk:
        journal = Journal(disk)
        journal.append(body(0, size))
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(16384))
        written, errors = append_all(journal, 64000 // size + 20, size)
        assert 0 < len(written) < len(written) + len(errors)
        assert {error.errno for error in errors} == {errno.ENOSPC}
        assert {error.reason for error in errors} == {"No space left on device"}
        assert numbers(disk) == [0, *written]  # no damage: the half line that fitted was cut off again
        assert len(list_files(disk)) == 1  # new files that stayed empty were removed again
        ballast.unlink()
        again, errors = append_all(journal, 2, size)
        assert (again, errors) == ([0, 1], [])
        assert numbers(disk) == [0, *written, 0, 1]
        assert [event["n"] for event in journal_files.events(disk)] == [0, *written, 0, 1]
        assert len(list_files(disk)) == 2
        journal.close()


@needs_root
def test_a_writer_on_a_full_disk_still_counts_as_live(tmp_path):
    with tmpfs(tmp_path / "disk", "size=16k") as disk:
        journal = Journal(disk)
        _, errors = append_all(journal, 20, 1000)
        assert errors
        assert dead_writers(disk) == frozenset()
        journal.close()
        assert dead_writers(disk) == {journal.writer}


@needs_root
def test_a_disk_without_inodes_for_another_file_is_used_on_in_the_old_file(tmp_path):
    with tmpfs(tmp_path / "disk", "size=1m,nr_inodes=4") as disk:  # the root, the journal directory, one file, one more
        journal = Journal(disk, rotate_bytes=1000)
        written, errors = append_all(journal, 100, 100)
        assert (len(written), errors) == (100, [])
        assert [event["n"] for event in journal_files.events(disk)] == written
        assert "No space left on device" in journal.stats()["last_error"]
        journal.close()


@needs_root
def test_a_disk_that_becomes_read_only_fails_at_once_and_works_again_when_it_is_back(tmp_path):
    with tmpfs(tmp_path / "disk", "size=1m") as disk:
        journal = Journal(disk)
        journal.append(body(0))
        journal.close()  # a file that is open for writing keeps tmpfs from becoming read-only
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        for _ in range(3):
            with pytest.raises(JournalError, match="Read-only file system") as caught:
                journal.append(body(1))
            assert caught.value.errno == errno.EROFS
        assert numbers(disk) == [0]  # reading needs no writing
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        journal.append(body(2))
        assert [event["n"] for event in journal_files.events(disk)] == [0, 2]
        journal.close()


@needs_root
def test_a_read_only_bind_mount_is_an_error_that_says_so(tmp_path):
    (tmp_path / "audit").mkdir()
    subprocess.run(["mount", "--bind", tmp_path / "audit", tmp_path / "audit"], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", tmp_path / "audit"], check=True)
        with pytest.raises(JournalError, match="Read-only file system"):
            Journal(tmp_path / "audit").append(body(1))
    finally:
        subprocess.run(["umount", tmp_path / "audit"], check=True)


@pytest.mark.parametrize("limit", range(900, 1300, 57))
def test_a_file_size_limit_begins_a_new_file_and_loses_nothing(tmp_path, limit):
    """RLIMIT_FSIZE: a write across the limit falls short, the next one fails with EFBIG (setrlimit(2))."""
    out = run_script(
        """
import resource, sys
from auditmw.journal import Journal
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
journal = Journal(sys.argv[1])
for number in range(60):
    journal.append(b'{"n":%d,"pad":"%s"}' % (number, b"x" * 100))
print(journal.stats()["files_abandoned"])
""",
        tmp_path,
        limit,
    )
    assert int(out) > 5
    assert numbers(tmp_path) == list(range(60))
    assert [event["n"] for event in journal_files.events(tmp_path)] == list(range(60))
    assert all(path.stat().st_size <= limit for path in list_files(tmp_path))
