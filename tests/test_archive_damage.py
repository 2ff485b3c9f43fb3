"""What breaks in the archive is named, set aside and counted; everything else is still read."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from datetime import datetime, timedelta

import duckdb
import pytest

from archive_events import (
    DAY,
    IMPORTED,
    archived,
    assert_once,
    body,
    journal,
    numbered,
    parquet,
    pending,
    seen,
    write_file,
)
from auditmw.archive.archiver import archive
from auditmw.archive.error import ArchiveError, ExpiredError
from auditmw.archive.manifest import archived_writers
from auditmw.archive.snapshot import Snapshot
from journal_tools import needs_root, tmpfs


def two_days(directory):
    """An archive of two parts: ten events of the day before, five of the day."""
    write_file(directory, "a", 1, [body(n, at=DAY - timedelta(days=1) + timedelta(seconds=n)) for n in range(10)])
    write_file(directory, "b", 1, [body(n) for n in range(5)])
    archived(directory)
    first, second = parquet(directory)
    return directory / "archive" / first, directory / "archive" / second


def cut_short(part):
    part.write_bytes(part.read_bytes()[:-100])


def flip_a_bit(part):
    content = bytearray(part.read_bytes())
    content[len(content) // 3] ^= 16
    part.write_bytes(content)


def lose(part):
    part.unlink()


def empty(part):
    part.write_bytes(b"")


def replace_by_rubbish(part):
    part.write_bytes(os.urandom(part.stat().st_size))


DAMAGES = [cut_short, flip_a_bit, lose, empty, replace_by_rubbish]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_part_is_named_and_set_aside_and_the_rest_is_read(tmp_path, damage):
    part, _ = two_days(tmp_path)
    with Snapshot(tmp_path, archive_bytes=None, threads=1) as snapshot:
        with snapshot.view() as view:
            damage(part)
            found = view.check()
            assert [(each.file, each.rows) for each in found] == [(f"2026-11-19/{part.name}", 10)]
            assert (found[0].first, found[0].last) == (datetime(2026, 11, 19), datetime(2026, 11, 19, 0, 0, 9))
            assert view.missing == tuple(found)
            assert view.connection.execute(f"SELECT count(*) FROM {view.relation()}").fetchall() == [(5,)]
            assert view.check() == []
        with snapshot.view() as view:
            assert [each.file for each in view.missing] == [f"2026-11-19/{part.name}"]
            assert sum(file.rows for file in view.parts) == 5
    assert not part.exists()
    assert len(list((tmp_path / "quarantine").glob("*.bad"))) == (damage is not lose)


def test_a_part_that_is_put_back_whole_counts_again(tmp_path):
    part, _ = two_days(tmp_path)
    content = part.read_bytes()
    flip_a_bit(part)
    with Snapshot(tmp_path, archive_bytes=None, threads=1) as snapshot:
        with snapshot.view() as view:
            assert len(view.check()) == 1
        part.parent.mkdir(exist_ok=True)
        part.write_bytes(content)
        archived(tmp_path)
        with snapshot.view() as view:
            assert (view.missing, sum(file.rows for file in view.parts)) == ((), 15)


def test_an_archive_step_finds_parts_that_are_gone_or_have_another_size(tmp_path):
    first, second = two_days(tmp_path)
    lose(first)
    cut_short(second)
    report = archived(tmp_path)
    assert sorted((damaged.part.rows, damaged.reason.split()[0]) for damaged in report.missing) == [
        (5, "has"),
        (10, "is"),
    ]
    assert archived(tmp_path).missing == ()


def test_a_damaged_part_is_not_merged_and_stops_no_archiving(tmp_path):
    for n in range(3):
        write_file(tmp_path, "a", n + 1, [body(n)], seq=n + 1)
        archived(tmp_path, now=lambda: DAY)
    flip_a_bit(tmp_path / "archive" / parquet(tmp_path)[0])
    write_file(tmp_path, "a", 4, [body(3)], seq=4)
    report = archived(tmp_path)
    assert [damaged.part.rows for damaged in report.missing] == [1]
    assert (report.rows, report.merged) == (1, 0)
    assert archived(tmp_path).merged == 3
    with Snapshot(tmp_path, archive_bytes=None) as snapshot, snapshot.view() as view:
        assert sum(file.rows for file in view.parts) == 3


def test_a_part_that_a_merge_superseded_and_that_is_gone_is_no_damage(tmp_path):
    for n in range(2):
        write_file(tmp_path, "a", n + 1, [body(n)], seq=n + 1)
        archived(tmp_path, target_bytes=1)
    with Snapshot(tmp_path, archive_bytes=None, threads=1) as snapshot:
        with snapshot.view() as view:
            assert archived(tmp_path).merged == 2
            with pytest.raises(duckdb.Error):
                view.connection.execute(f"SELECT sum(seq) FROM {view.relation()}").fetchall()
            with pytest.raises(ExpiredError):
                view.check()
        with snapshot.view() as view:
            assert view.connection.execute(f"SELECT count(*) FROM {view.relation()}").fetchall() == [(2,)]


def break_nothing(manifest):
    manifest.unlink()


def break_json(manifest):
    manifest.write_text(manifest.read_text()[:-20])


def break_content(manifest):
    manifest.write_text('{"version": 1, "generation": 3, "parts": [{"file": 5}]}')


@pytest.mark.parametrize("damage", [break_nothing, break_json, break_content])
@pytest.mark.parametrize("grace", [timedelta(0), timedelta(days=999)], ids=["superseded files gone", "still there"])
def test_a_manifest_that_is_lost_is_rebuilt_from_the_parts(tmp_path, damage, grace):
    bodies = [pending(1), body(2), body(1), body(3, at=DAY - timedelta(days=1)), b'{"n":4}']
    for n in range(3):
        write_file(tmp_path, "a", n + 1, bodies[n : n + 1], seq=n + 1)
        archived(tmp_path, grace=grace, target_bytes=1)
    archived(tmp_path, grace=grace)  # merges the three
    write_file(tmp_path, "a", 4, bodies[3:], seq=4)
    write_file(tmp_path, IMPORTED, 1, [body(7)])
    archived(tmp_path, grace=grace)
    expected = sorted(seen(tmp_path))
    assert len(expected) == 5
    damage(tmp_path / "archive" / "manifest.json")
    assert sorted(seen(tmp_path)) == expected
    with pytest.raises(ArchiveError, match="manifest"):
        archived_writers(tmp_path)
    for _ in range(2):
        archived(tmp_path)
        assert sorted(seen(tmp_path)) == expected
        assert journal(tmp_path) == []
    assert archived_writers(tmp_path) >= {IMPORTED}


def test_a_batch_that_was_cut_off_and_lost_its_manifest_is_archived_whole(tmp_path):
    bodies = [body(1), body(2, at=DAY + timedelta(days=1)), body(3)]
    file = write_file(tmp_path, "a", 1, bodies)
    content = file.read_bytes()
    archived(tmp_path)
    _, second = parquet(tmp_path)
    (tmp_path / "archive" / second).unlink()  # as if it had not been renamed yet
    (tmp_path / "archive" / "manifest.json").unlink()
    file.write_bytes(content)
    assert_once(seen(tmp_path), numbered("a", bodies))
    archived(tmp_path)
    assert_once(seen(tmp_path), numbered("a", bodies))


def test_a_manifest_of_a_later_version_is_left_alone(tmp_path):
    two_days(tmp_path)
    manifest = tmp_path / "archive" / "manifest.json"
    manifest.write_text('{"version": 2}')
    with pytest.raises(ArchiveError, match="newer auditmw"):
        archive(tmp_path)
    with Snapshot(tmp_path) as snapshot, pytest.raises(ArchiveError, match="newer auditmw"):
        snapshot.view()
    assert manifest.read_text() == '{"version": 2}'
    assert len(parquet(tmp_path)) == 2


def test_a_broken_file_without_a_manifest_is_set_aside(tmp_path):
    part, _ = two_days(tmp_path)
    cut_short(part)
    (tmp_path / "archive" / "manifest.json").unlink()
    with Snapshot(tmp_path, archive_bytes=None) as snapshot, snapshot.view() as view:
        assert [(each.file, each.rows) for each in view.missing] == [(f"2026-11-19/{part.name}", 0)]
    assert [damaged.part.file for damaged in archived(tmp_path).missing] == [f"2026-11-19/{part.name}"]
    assert len(list((tmp_path / "quarantine").glob("*.bad"))) == 1


def test_a_reader_without_the_right_to_write_reads_on(tmp_path):
    part, _ = two_days(tmp_path)
    flip_a_bit(part)
    (tmp_path / "archive" / "lock").unlink()
    (tmp_path / "archive" / "lock").mkdir()  # which nobody can open for writing
    with Snapshot(tmp_path, archive_bytes=0, threads=1) as snapshot:
        write_file(tmp_path, "c", 1, [body(9)])
        with snapshot.view() as view:
            assert isinstance(snapshot.archive_error, ArchiveError)
            assert len(view.check()) == 1
        with snapshot.view() as view:
            assert [each.rows for each in view.missing] == [10]
            assert view.connection.execute(f"SELECT count(*) FROM {view.relation()}").fetchall() == [(6,)]


def test_a_full_disk_is_told_and_loses_nothing(tmp_path):
    bodies = [body(n, message=os.urandom(400).hex()) for n in range(2_000)]
    write_file(tmp_path, "a", 1, bodies)
    limit = 300_000
    script = f"""
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))
from auditmw.archive.archiver import archive
from auditmw.archive.error import ArchiveError
try:
    archive({str(tmp_path)!r})
except ArchiveError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "nothing is lost" in done.stdout
    assert os.strerror(errno.EFBIG) in done.stdout
    assert_once(seen(tmp_path), numbered("a", bodies))
    assert archived(tmp_path).rows == 2_000
    assert_once(seen(tmp_path), numbered("a", bodies))


@needs_root
def test_a_disk_without_space_is_told_and_the_next_step_goes_on(tmp_path):
    bodies = [body(n, message=os.urandom(400).hex()) for n in range(3_000)]
    with tmpfs(tmp_path / "disk", "size=8m") as disk:
        write_file(disk, "a", 1, bodies)
        filler = disk / "filler"
        filler.write_bytes(b"x" * 4_500_000)
        with pytest.raises(ArchiveError, match="No space left"):
            archived(disk)
        assert_once(seen(disk), numbered("a", bodies))
        filler.unlink()
        assert archived(disk).rows == 3_000
        assert_once(seen(disk), numbered("a", bodies))
