"""The names of collected files in the manifest: few after a while, and how far a collector came is known for ever."""

from __future__ import annotations

import contextlib
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

import archive_crashes
import auditmw
from archive_crashes import cut_off, raise_error
from archive_events import DAY, NO_GRACE, archived, journal
from auditmw.archive import ArchiveError, archive, archived_writers, prune
from auditmw.archive.layout import Layout
from auditmw.collect.collector import Collector
from auditmw.collect.ledger import Ledger
from auditmw.journal import journal_files, writer_of
from listed_feed import OTHER, TRACK, Listed
from ship_conformance import FakeTime, body, idents

pytestmark = pytest.mark.needs("duckdb")

LATER = DAY + timedelta(days=30)


def collect(directory: Path, *, last: int = 12) -> int:
    """Collect the messages up to `last` of two tracks, two a file; return how many came."""
    time = FakeTime()
    feed = Listed({TRACK: [body(n) for n in range(1, last + 1)], OTHER: [body(1000 + n) for n in range(1, last + 1)]})
    feed.at_once = 2
    collector = Collector(
        directory, feed, shown="listed:", most_events=2, clock=time.clock, wait=time.wait, now_ns=lambda: 10**18
    )
    assert collector.run_once()
    return collector.counts.collected


def collected(directory: Path) -> None:
    """A stream that was collected: some of it archived long ago, some just now, some not yet."""
    for last in (3, 6):
        collect(directory, last=last)
        archived(directory, target_bytes=1)
    collect(directory, last=9)
    archive(directory, now=lambda: DAY, target_bytes=1)
    collect(directory, last=12)


def everything(directory: Path) -> None:
    """Fail unless all events are there, each once, and none is collected again."""
    found = sorted(event["id"] for event in auditmw.read(directory))
    assert found == sorted(idents(1, 12) + idents(1001, 1012))
    names = {*map(writer_of, journal_files(directory)), *archived_writers(directory)}
    assert [Ledger(names).position(track) for track in (TRACK, OTHER)] == [12, 12]


def test_the_names_of_one_track_become_one(tmp_path):
    collected(tmp_path)
    assert len(journal_files(tmp_path)) > 2
    archived(tmp_path)
    assert journal(tmp_path) == []
    assert archived_writers(tmp_path) == {f"collect-{TRACK}-1-12", f"collect-{OTHER}-1-12"}
    everything(tmp_path)
    assert collect(tmp_path) == 0


def test_a_manifest_of_many_files_stays_small(tmp_path):
    collect(tmp_path, last=100)
    archived(tmp_path)
    size = Layout(tmp_path).manifest.stat().st_size
    assert archived_writers(tmp_path) == {f"collect-{TRACK}-1-100", f"collect-{OTHER}-1-100"}
    assert size < 5_000


def test_a_file_that_is_still_there_keeps_its_name(tmp_path):
    collect(tmp_path, last=4)
    archive(tmp_path, now=lambda: LATER, grace=timedelta(hours=1))
    collect(tmp_path, last=5)
    archive(tmp_path, now=lambda: LATER + timedelta(minutes=61), grace=timedelta(hours=1))
    assert journal(tmp_path) == [f"collect-{TRACK}-5-5.000001.jsonl", f"collect-{OTHER}-5-5.000001.jsonl"]
    names = {f"collect-{track}-{span}" for track in (TRACK, OTHER) for span in ("1-4", "5-5")}
    assert archived_writers(tmp_path) == names
    assert collect(tmp_path, last=6) == 2


def test_what_was_pruned_is_not_collected_again(tmp_path):
    collected(tmp_path)
    archived(tmp_path)
    prune(tmp_path, max_bytes=0, grace=NO_GRACE, now=lambda: LATER)
    archived(tmp_path)
    assert list(auditmw.read(tmp_path)) == []
    assert archived_writers(tmp_path) == {f"collect-{TRACK}-1-12", f"collect-{OTHER}-1-12"}
    assert collect(tmp_path) == 0


def test_a_manifest_that_was_lost_is_made_again_with_all_that_is_known(tmp_path):
    collected(tmp_path)
    archived(tmp_path)
    Layout(tmp_path).manifest.unlink()
    archived(tmp_path)
    everything(tmp_path)
    assert collect(tmp_path) == 0


def test_a_step_that_fails_at_any_call_neither_forgets_nor_doubles(tmp_path):
    template = tmp_path / "template"
    collected(template)
    for at in range(1, archive_crashes.LIMIT, 3):
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


def test_a_collector_that_begins_after_any_cut_off_step_collects_nothing_twice(tmp_path):
    template = tmp_path / "template"
    collected(template)
    for at in range(1, archive_crashes.LIMIT, 7):
        directory = tmp_path / str(at)
        shutil.copytree(template, directory)
        with cut_off(at, raise_error) as count, contextlib.suppress(ArchiveError):
            archived(directory)
        assert collect(directory, last=13) == 2
        if count[0] < at:
            break
