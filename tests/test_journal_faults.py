"""Disks that are full, read-only or broken: nothing acknowledged is lost, nothing torn stays behind, writing resumes."""

import errno
import os
import resource
import subprocess

import journal_files
import pytest
from journal_tools import Failing, body, needs_root, numbers, run_script, tmpfs

from auditmw.journal import Journal, JournalError
from auditmw.journal import journal_files as list_files

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
@pytest.mark.parametrize("k", range(1, EVENTS + 1))
def test_a_write_that_fails_once_loses_nothing_and_uses_up_no_number(journal, tmp_path, monkeypatch, k, short):
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", Failing(os.write, [k], short=short))
        written, errors = append_all(journal, EVENTS)
    assert (written, errors) == (list(range(EVENTS)), [])
    assert numbers(tmp_path) == written
    assert [event["n"] for event in journal_files.events(tmp_path)] == written
    stats = journal.stats()
    first = k == 1  # the first write is to a new file: short, it is continued; failed, the next append begins another
    assert stats["files_abandoned"] == (0 if first else 1)
    assert len(list_files(tmp_path)) == (1 if first else 2)
    assert stats["seq"] == EVENTS
    assert stats["bytes"] == sum(path.stat().st_size for path in list_files(tmp_path))


@pytest.mark.parametrize("k", range(1, EVENTS + 1))
def test_two_failing_writes_in_a_row_lose_one_event_and_say_so(journal, tmp_path, monkeypatch, k):
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", Failing(os.write, [k, k + 1]))
        written, errors = append_all(journal, EVENTS)
    lost = 2 if k == 1 else 1
    if k == EVENTS:
        lost = 0
    assert len(errors) == min(lost, 2) or k == EVENTS
    assert all(error.errno == errno.EIO and error.reason == "Input/output error" for error in errors)
    assert numbers(tmp_path) == written
    assert [event["n"] for event in journal_files.events(tmp_path)] == written
