"""The names of imported files in the manifest: few after a while, and what they tell is known for ever."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

import archive_crashes
from archive_crashes import cut_off, raise_error
from archive_events import DAY, NO_GRACE, archived, assert_once, body, journal, numbered, seen, write_file
from auditmw.archive import ArchiveError, archive, archived_writers, prune
from auditmw.archive.layout import Layout
from auditmw.importing.chunks import Chunk, Cutter
from auditmw.importing.ledger import Ledger
from auditmw.journal import journal_files, writer_of
from auditmw.journal.spans import Span

LINES = [b"line %d\n" % number for number in range(12)]
LOG = b"".join(LINES)
LATER = DAY + timedelta(days=30)


def span(first: int, last: int) -> Span:
    """The stretch from line `first` to before line `last`."""
    texts = b"".join(LINES[:first]), b"".join(LINES[:last])
    return Span(*(hashlib.sha256(text).hexdigest()[:16] for text in texts), *map(len, texts))


def poll(directory: Path, number: int) -> None:
    """What following a log writes for one more line."""
    write_file(directory, span(number, number + 1).writer, 1, [body(number)])


def new_bytes(directory: Path) -> bytes:
    """What importing the log again would take for new."""
    names = {*map(writer_of, journal_files(directory)), *archived_writers(directory)}
    cutter = Cutter(Ledger(names))
    return b"".join(piece.data for piece in [*cutter.feed(LOG), *cutter.finish()] if isinstance(piece, Chunk))


def everything(directory: Path) -> None:
    """Fail unless all lines are there, each once, and known."""
    lines = [line for number in range(12) for line in numbered(span(number, number + 1).writer, [body(number)])]
    assert_once(seen(directory), lines)
    assert new_bytes(directory) == b""


def followed(directory: Path) -> None:
    """A log that was followed: some of it archived long ago, some just now, some not yet."""
    for number in range(8):
        poll(directory, number)
        if number % 2:
            archived(directory, target_bytes=1)
    poll(directory, 8)
    archive(directory, now=lambda: DAY, target_bytes=1)
    for number in range(9, 12):
        poll(directory, number)


def test_names_of_one_log_become_one(tmp_path):
    followed(tmp_path)
    archived(tmp_path)
    assert journal(tmp_path) == []
    assert archived_writers(tmp_path) == {span(0, 12).writer}
    everything(tmp_path)


def test_a_file_that_is_still_there_keeps_its_name(tmp_path):
    def step(minutes: int) -> None:
        archive(tmp_path, now=lambda: LATER + timedelta(minutes=minutes), grace=timedelta(hours=1))

    for number in range(4):
        poll(tmp_path, number)
    step(0)
    poll(tmp_path, 4)
    step(30)
    step(61)
    assert journal(tmp_path) == [f"{span(4, 5).writer}.000001.jsonl"]
    assert archived_writers(tmp_path) == {span(0, 4).writer, span(4, 5).writer}
    step(91)
    assert archived_writers(tmp_path) == {span(0, 5).writer}
    assert new_bytes(tmp_path) == b"".join(LINES[5:])


def test_other_writers_keep_their_names(tmp_path):
    names = {"a", "b", f"collect-{'0' * 16}-1-2", f"collect-{'1' * 16}-3-4", f"collect-{'0' * 16}-4-5"}
    for writer in names:
        write_file(tmp_path, writer, 1, [body(1)])
    archived(tmp_path)
    assert archived_writers(tmp_path) == names


def test_what_was_pruned_stays_known(tmp_path):
    followed(tmp_path)
    archived(tmp_path)
    prune(tmp_path, max_bytes=0, grace=NO_GRACE, now=lambda: LATER)
    archived(tmp_path)
    assert seen(tmp_path) == []
    assert archived_writers(tmp_path) == {span(0, 12).writer}
    assert new_bytes(tmp_path) == b""


def test_a_manifest_that_was_lost_is_made_again_with_all_that_is_known(tmp_path):
    followed(tmp_path)
    archived(tmp_path)
    Layout(tmp_path).manifest.unlink()
    archived(tmp_path)
    everything(tmp_path)


def test_a_step_that_fails_at_any_call_neither_forgets_nor_doubles(tmp_path):
    template = tmp_path / "template"
    followed(template)
    for at in range(1, archive_crashes.LIMIT):
        directory = tmp_path / str(at)
        shutil.copytree(template, directory)
        with cut_off(at, raise_error) as count, contextlib.suppress(ArchiveError):
            archived(directory)
        everything(directory)
        archived(directory)
        everything(directory)
        if count[0] < at:
            break
    else:
        pytest.fail("the step never ended")
    assert at > 20
