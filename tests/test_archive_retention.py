"""What is pruned: whole Parquet files, oldest first, and never what is not archived."""

from __future__ import annotations

import json
import threading
from datetime import datetime, timedelta

import pytest

from archive_events import DAY, IMPORTED, NO_GRACE, archived, body, journal, parquet, seen, write_file
from auditmw.archive import Retention, get_retention, prune, set_retention
from auditmw.archive.error import ArchiveError
from auditmw.archive.layout import Layout
from auditmw.archive.lock import leadership
from auditmw.archive.manifest import archived_writers
from auditmw.archive.snapshot import Snapshot

LATER = DAY + timedelta(days=10)


def ten_days(directory):
    """One part a day, of ten events each; and a file that is not archived, older than all of them."""
    for day in range(10):
        bodies = [body(n, at=DAY + timedelta(days=day, seconds=n)) for n in range(10)]
        write_file(directory, f"w{day}", 1, bodies)
    archived(directory)
    write_file(directory, "live", 1, [body(1, at=DAY - timedelta(days=99))])


def pruned(directory, **limits):
    return prune(directory, **{"now": lambda: LATER, "grace": NO_GRACE, **limits})


def days(directory):
    return [name.partition("/")[0][-2:] for name in parquet(directory)]


def test_what_is_older_goes_by_whole_files_and_the_rest_stays(tmp_path):
    ten_days(tmp_path)
    report = pruned(tmp_path, older_than=timedelta(days=5))
    assert days(tmp_path) == ["25", "26", "27", "28", "29"]
    assert (report.files, report.rows) == (5, 50)
    assert (report.first, report.last) == (datetime(2026, 11, 20), datetime(2026, 11, 24, 0, 0, 9))
    assert journal(tmp_path) == ["live.000001.jsonl"]
    assert len(seen(tmp_path)) == 51


def test_a_file_with_one_event_that_is_young_enough_stays(tmp_path):
    ten_days(tmp_path)
    assert pruned(tmp_path, older_than=timedelta(days=9, hours=23, minutes=59, seconds=51)).files == 0
    assert pruned(tmp_path, older_than=timedelta(days=9, hours=23, minutes=59, seconds=50)).files == 1


def test_the_oldest_go_until_the_rest_fits(tmp_path):
    ten_days(tmp_path)
    sizes = [(tmp_path / "archive" / name).stat().st_size for name in parquet(tmp_path)]
    report = pruned(tmp_path, max_bytes=sum(sizes[7:]))
    assert days(tmp_path) == ["27", "28", "29"]
    assert (report.bytes, report.left_bytes) == (sum(sizes[:7]), sum(sizes[7:]))
    assert pruned(tmp_path, max_bytes=0).files == 3
    assert len(seen(tmp_path)) == 1


def test_a_dry_run_says_the_same_and_does_nothing(tmp_path):
    ten_days(tmp_path)
    dry = pruned(tmp_path, older_than=timedelta(days=5), dry_run=True)
    assert (dry.dry_run, len(parquet(tmp_path))) == (True, 10)
    assert vars(pruned(tmp_path, older_than=timedelta(days=5))) == vars(dry) | {"dry_run": False}


def test_a_query_that_began_before_goes_on(tmp_path):
    ten_days(tmp_path)
    with Snapshot(tmp_path, archive_bytes=None, threads=1) as snapshot, snapshot.view() as view:
        pruned(tmp_path, older_than=timedelta(days=5), grace=timedelta(seconds=60))
        assert view.connection.execute(f"SELECT count(*) FROM {view.relation()}").fetchall() == [(101,)]
        with snapshot.view() as later:
            assert later.connection.execute(f"SELECT count(*) FROM {later.relation()}").fetchall() == [(51,)]
    assert len(parquet(tmp_path)) == 10
    archived(tmp_path, now=lambda: LATER + timedelta(minutes=2))
    assert len(parquet(tmp_path)) == 6  # the live file was archived too


def test_what_was_imported_and_pruned_is_still_known(tmp_path):
    write_file(tmp_path, IMPORTED, 1, [body(1)])
    write_file(tmp_path, "a", 1, [body(2)])
    archived(tmp_path)
    pruned(tmp_path, max_bytes=0)
    assert seen(tmp_path) == []
    assert archived_writers(tmp_path) == {IMPORTED}
    write_file(tmp_path, "b", 1, [body(3)])
    archived(tmp_path)
    assert IMPORTED in archived_writers(tmp_path)
    write_file(tmp_path, IMPORTED, 1, [body(1)])
    archived(tmp_path)
    assert [writer for writer, _, _ in seen(tmp_path)] == ["b"]


def test_the_settings_are_applied_by_every_step(tmp_path):
    assert get_retention(tmp_path) == Retention()
    set_retention(tmp_path, older_than=timedelta(days=5), max_bytes=10**9)
    assert get_retention(tmp_path) == Retention(timedelta(days=5), 10**9)
    for day in range(10):
        write_file(tmp_path, f"w{day}", 1, [body(1, at=DAY + timedelta(days=day))])
    report = archived(tmp_path, now=lambda: LATER)
    assert (report.rows, report.pruned.files, report.pruned.rows) == (10, 5, 5)
    assert days(tmp_path) == ["25", "26", "27", "28", "29"]
    set_retention(tmp_path)
    assert archived(tmp_path, now=lambda: LATER + timedelta(days=99)).pruned is None


def test_events_without_a_time_go_by_when_they_were_archived(tmp_path):
    write_file(tmp_path, "a", 1, [b'{"n":1}'])
    archived(tmp_path, now=lambda: DAY)
    assert pruned(tmp_path, older_than=timedelta(days=11)).files == 0
    report = pruned(tmp_path, older_than=timedelta(days=9))
    assert (report.files, report.first, report.last) == (1, None, None)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        pytest.param({}, "older_than, max_bytes or both", id="no limit"),
        pytest.param({"older_than": timedelta(-1)}, "older_than of 0 or more", id="a negative age"),
        pytest.param({"max_bytes": -1}, "max_bytes of 0 or more, not -1", id="a negative size"),
    ],
)
def test_limits_that_make_no_sense_are_errors(tmp_path, limits, said):
    with pytest.raises(ValueError, match=said):
        prune(tmp_path, **limits)
    if limits:
        with pytest.raises(ValueError, match=said):
            set_retention(tmp_path, **limits)


def test_a_directory_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        prune(tmp_path / "nowhere", max_bytes=0)
    with pytest.raises(FileNotFoundError):
        set_retention(tmp_path / "nowhere", max_bytes=0)


def test_settings_that_are_damaged_are_told(tmp_path):
    set_retention(tmp_path, max_bytes=0)
    (tmp_path / "archive" / "retention.json").write_text("{}")
    with pytest.raises(ArchiveError, match="set the retention anew"):
        get_retention(tmp_path)


def test_what_is_missing_is_forgotten_when_it_would_be_pruned(tmp_path):
    ten_days(tmp_path)
    (tmp_path / "archive" / parquet(tmp_path)[0]).unlink()
    archived(tmp_path, now=lambda: LATER)

    def missing():
        with Snapshot(tmp_path, archive_bytes=None, threads=1) as snapshot, snapshot.view() as view:
            return [each.rows for each in view.missing]

    assert missing() == [10]
    pruned(tmp_path, max_bytes=10**9)
    assert missing() == [10]
    pruned(tmp_path, older_than=timedelta(days=5))
    assert missing() == []


def test_pruning_waits_for_a_step_to_end(tmp_path):
    ten_days(tmp_path)
    begun, end = threading.Event(), threading.Event()

    def lead():
        with leadership(Layout(tmp_path)):
            begun.set()
            end.wait(20)

    other = threading.Thread(target=lead)
    other.start()
    begun.wait(20)
    threading.Timer(0.1, end.set).start()
    assert pruned(tmp_path, max_bytes=0).files == 10
    other.join()


def test_what_is_pruned_is_no_more_in_the_manifest(tmp_path):
    ten_days(tmp_path)
    pruned(tmp_path, older_than=timedelta(days=5))
    manifest = json.loads((tmp_path / "archive" / "manifest.json").read_text())
    assert [part["day"][-2:] for part in manifest["parts"]] == days(tmp_path)
    assert manifest["retired"] == {}
