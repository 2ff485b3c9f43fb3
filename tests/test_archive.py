"""Closed journal files become Parquet files, and nobody who reads notices but by the speed."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import tempfile
import threading
from datetime import datetime, timedelta

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive_events import (
    DAY,
    archived,
    assert_once,
    body,
    column,
    journal,
    numbered,
    parquet,
    seen,
    write_file,
)
from auditmw.archive import archiving
from auditmw.archive import snapshot as snapshot_module
from auditmw.archive.archiver import archive
from auditmw.archive.error import ArchiveError
from auditmw.archive.manifest import archived_writers
from auditmw.archive.snapshot import Snapshot
from auditmw.journal import Journal, seal


def test_what_was_closed_is_parquet_and_still_there_line_by_line(tmp_path):
    first, second = [body(n) for n in range(20)], [body(n) for n in range(20, 30)]
    write_file(tmp_path, "a", 1, first)
    write_file(tmp_path, "a", 2, second, seq=21)
    report = archived(tmp_path)
    assert (report.leading, report.files, report.rows, report.parts) == (True, 2, 30, 1)
    assert journal(tmp_path) == []
    assert [name.partition("/")[0] for name in parquet(tmp_path)] == ["2026-11-20"]
    assert seen(tmp_path) == numbered("a", first + second)


def test_a_live_file_is_read_where_it_is_until_it_is_closed(tmp_path):
    audit_log = Journal(tmp_path)
    for n in range(3):
        audit_log.append(body(n))
    assert archived(tmp_path).rows == 0
    assert len(seen(tmp_path)) == 3
    audit_log.close()
    assert archived(tmp_path).rows == 3
    assert seen(tmp_path) == numbered(audit_log.writer, [body(n) for n in range(3)])


def test_a_snapshot_that_nobody_closes_takes_its_temporary_folder_with_it(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    write_file(tmp_path, "a", 1, [body(1)])
    snapshot = Snapshot(tmp_path, archive_bytes=None, threads=1)
    with snapshot.view():
        assert os.listdir(tmp_path / "temporary")
    del snapshot
    gc.collect()
    assert os.listdir(tmp_path / "temporary") == []


def test_superseded_files_stay_for_the_grace_time(tmp_path):
    write_file(tmp_path, "a", 1, [body(1)])
    archive(tmp_path, now=lambda: DAY)
    archive(tmp_path, now=lambda: DAY + timedelta(seconds=59))
    assert len(journal(tmp_path)) == 1
    assert len(seen(tmp_path)) == 1
    assert archive(tmp_path, now=lambda: DAY + timedelta(seconds=60)).deleted == 1
    assert journal(tmp_path) == []
    assert len(seen(tmp_path)) == 1


def test_events_go_to_the_day_that_they_tell_and_those_without_a_time_are_kept(tmp_path):
    bodies = [
        body(1),
        body(2, at=DAY - timedelta(microseconds=1)),
        body(3, timestamp="2026-11-20T23:30:00-02:00"),
        body(4, timestamp="yesterday"),
        body(5, timestamp=None),
        b'{"n":6}',
    ]
    write_file(tmp_path, "a", 1, bodies)
    archived(tmp_path)
    days = [name.partition("/")[0] for name in parquet(tmp_path)]
    assert days == ["2026-11-19", "2026-11-20", "2026-11-21", "unknown"]
    assert_once(seen(tmp_path), numbered("a", bodies))
    assert [seq for _, seq, _ in seen(tmp_path, since=DAY, until=DAY + timedelta(days=1))] == [1]
    assert [seq for _, seq, _ in seen(tmp_path, until=DAY)] == [2]


@pytest.mark.parametrize(
    ("bodies", "good"),
    [
        pytest.param([b'{"n":1}', b'{"n":}', b'{"n":3}'], [1, 3], id="no JSON"),
        pytest.param([b'{"n":1}{"n":2}', b'{"n":2}'], [2], id="two objects"),
        pytest.param([b'{"n":"\xff"}', b'{"n":2}'], [2], id="no UTF-8"),
        pytest.param([b'{"n":"\x1f"}', b'{"n":2}'], [2], id="a separator"),
        pytest.param([b'{"n":"\x00"}', b'{"n":2}'], [2], id="a NUL"),
        pytest.param([b'[{"n":1}', b'"n":1}', b"xx}"], [], id="no object"),
        pytest.param([b'\xef\xbb\xbf{"n":1}', b'{"n":2}'], [2], id="a byte order mark"),
        pytest.param([b'{"n":"\\ud800"}', b'{"n":2}'], [2], id="half of a surrogate pair"),
        pytest.param([b'{"n":' + b"[" * 100_000 + b"}", b'{"n":2}'], [2], id="unclosed and deep"),
    ],
)
def test_a_sealed_line_that_is_no_json_goes_to_quarantine_and_blocks_nothing(tmp_path, bodies, good):
    write_file(tmp_path, "a", 1, bodies)
    expected = [("a", seq, bodies[seq - 1]) for seq in good]
    assert_once(seen(tmp_path), expected)
    damages = []
    report = archived(tmp_path, on_damage=damages.append)
    assert report.damaged == len(damages) == len(bodies) - len(good)
    assert {damage.quarantined.read_bytes() for damage in damages} == {
        seal(each, seq) for seq, each in enumerate(bodies, 1) if seq not in good
    }
    assert journal(tmp_path) == []
    assert_once(seen(tmp_path), expected)


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(b'{\r"n":1}', id="a carriage return"),
        pytest.param(b' {"n":1}', id="a blank before"),
        pytest.param(b'{"n": 1 , "m" : [ ] }', id="blanks inside"),
        pytest.param(b'{"n":1,"seq":7}', id="a member like ours"),
        pytest.param(b'{"n":"\\u0001","trace":{"trace_id":"\\u0001"},"id":"1234567\\u0002"}', id="escaped marks"),
        pytest.param(b'{"n":"\\u2028\xe2\x80\xa8\xc2\x85"}', id="line separators"),
        pytest.param(b'{"n":"' + b"x" * 1_000_000 + b'"}', id="a megabyte"),
        pytest.param('{"actor":{"id":"ééééé"},"n":"ééééé\U0001f600"}'.encode(), id="beyond ASCII"),
        pytest.param(b'{"trace":{"trace_id":"aaaaaaa"},"n":"aaaaaaaaaaaaaaaaaaaaaaaa"}', id="a value that overlaps"),
        pytest.param(b'{"id":"1234567","session":{"id":"1234567"},"url":{"path":"1234567"}}', id="equal values"),
        pytest.param(
            b'{"duration_ns":12,"http":{"request":{"body_size":1},"response":{"body_size":12}}}', id="numbers"
        ),
        pytest.param(b'{"id":{"a":"1234567"},"trace":5,"http":[1],"n":["1234567"]}', id="other shapes"),
    ],
)
def test_a_line_comes_back_to_the_byte_whatever_its_json_looks_like(tmp_path, odd):
    write_file(tmp_path, "a", 1, [body(1), odd, body(2)])
    expected = numbered("a", [body(1), odd, body(2)])
    assert_once(seen(tmp_path), expected)
    archived(tmp_path)
    assert_once(seen(tmp_path), expected)


words = st.text(max_size=12) | st.sampled_from(["1234567", "/path/1234567", "2026-11-20T00:00:01.000000Z"])
leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | words
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3))
known = {
    "id": values,
    "timestamp": words | st.just("2026-11-20T20:20:11.874123Z"),
    "duration_ns": values,
    "trace": st.dictionaries(st.sampled_from(["trace_id", "span_id", "state"]), values),
    "http": st.dictionaries(st.sampled_from(["request", "response"]), st.dictionaries(words, values)),
    "url": st.dictionaries(st.sampled_from(["path", "query", "host"]), values),
    "actor": st.dictionaries(st.sampled_from(["id", "type", "roles"]), values),
    "outcome": st.dictionaries(st.just("result"), words),
    "data": values,
    "filter": values,
}
events = st.fixed_dictionaries({"n": leaves}, optional=known)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(events, st.sampled_from([None, 1]), st.booleans()), min_size=1, max_size=20))
def test_every_line_comes_back_to_the_byte(tmp_path_factory, made):
    directory = tmp_path_factory.mktemp("audit")
    bodies = [
        json.dumps(event, indent=indent, ensure_ascii=plain).replace("\n", "\r").encode("utf-8", "replace")
        for event, indent, plain in made
    ]
    write_file(directory, "a", 1, bodies)
    archived(directory)
    assert_once(seen(directory), numbered("a", bodies))


def test_a_line_that_stands_twice_counts_once_in_one_file_or_two(tmp_path):
    lines = [seal(body(n), n + 1) for n in range(5)]
    write_file(tmp_path, "a", 1, []).write_bytes(b"".join([*lines, lines[1]]))
    write_file(tmp_path, "a", 2, []).write_bytes(b"".join([lines[3], lines[4], seal(body(5), 6)]))
    expected = numbered("a", [body(n) for n in range(6)])
    assert_once(seen(tmp_path), expected)
    assert archived(tmp_path).rows == 6
    assert_once(seen(tmp_path), expected)


def test_a_line_that_stands_twice_counts_once_when_only_the_first_is_archived(tmp_path):
    write_file(tmp_path, "a", 1, [body(1), body(2)])
    archived(tmp_path, grace=timedelta(days=100))
    write_file(tmp_path, "a", 2, [body(2), body(3)], seq=2)
    expected = numbered("a", [body(1), body(2), body(3)])
    assert_once(seen(tmp_path), expected)
    archived(tmp_path)
    assert_once(seen(tmp_path), expected)


def test_a_line_that_is_damaged_in_one_file_and_whole_in_the_next_is_there(tmp_path):
    lines = [seal(body(n), n + 1) for n in range(3)]
    write_file(tmp_path, "a", 1, []).write_bytes(lines[0] + lines[1][:-9] + b'00000000"}\n')
    write_file(tmp_path, "a", 2, []).write_bytes(lines[1] + lines[2])
    report = archived(tmp_path)
    assert (report.rows, report.damaged) == (3, 1)
    assert_once(seen(tmp_path), numbered("a", [body(n) for n in range(3)]))


def test_a_torn_tail_is_damage_and_the_rest_is_archived(tmp_path):
    file = write_file(tmp_path, "a", 1, [body(1), body(2)])
    file.write_bytes(file.read_bytes() + b'{"torn":')
    report = archived(tmp_path)
    assert (report.rows, report.damaged, report.kept) == (2, 1, ())
    assert journal(tmp_path) == []


def test_a_file_that_cannot_be_set_aside_stays_and_its_sound_lines_are_archived(tmp_path):
    file = write_file(tmp_path, "a", 1, [body(1), body(2)])
    file.write_bytes(file.read_bytes() + b"rubbish\n")
    (tmp_path / "quarantine").write_text("in the way")
    for _ in range(2):
        report = archived(tmp_path)
        assert report.kept == (file,)
        assert journal(tmp_path) == [file.name]
        assert_once(seen(tmp_path), numbered("a", [body(1), body(2)]))
    (tmp_path / "quarantine").unlink()
    assert archived(tmp_path).kept == ()
    assert journal(tmp_path) == []
    assert_once(seen(tmp_path), numbered("a", [body(1), body(2)]))


def test_an_only_file_that_is_empty_may_be_about_to_be_locked(tmp_path):
    write_file(tmp_path, "a", 1, [])
    write_file(tmp_path, "b", 1, [])
    write_file(tmp_path, "b", 2, [body(1)])
    archived(tmp_path)
    assert journal(tmp_path) == ["a.000001.jsonl"]


def test_a_file_larger_than_a_batch_goes_in_pieces(tmp_path):
    bodies = [body(n, message="x" * 1000) for n in range(200)]
    write_file(tmp_path, "a", 1, bodies)
    report = archived(tmp_path, batch_bytes=20_000, target_bytes=1)
    assert report.parts >= 10
    assert report.rows == 200
    assert journal(tmp_path) == []
    assert_once(seen(tmp_path), numbered("a", bodies))


def test_less_goes_at_a_time_when_the_memory_does_not_suffice(tmp_path, monkeypatch):
    bodies = [body(n, message="x" * 1000) for n in range(100)]
    for n in range(10):
        write_file(tmp_path, "a", n + 1, bodies[n * 10 : n * 10 + 10], seq=n * 10 + 1)
    loaded, load = [], archiving.load

    def short_of_memory(connection, target, pieces, **options):
        size = sum(piece.bytes for piece in pieces)
        if size > 30_000:
            raise duckdb.OutOfMemoryException("Out of Memory Error")
        loaded.append(size)
        return load(connection, target, pieces, **options)

    monkeypatch.setattr(archiving, "load", short_of_memory)
    monkeypatch.setattr(archiving, "_LEAST_BATCH_BYTES", 10_000)
    assert archived(tmp_path, batch_bytes=100_000).rows == 100
    assert len(loaded) > 1
    assert_once(seen(tmp_path), numbered("a", bodies))
    write_file(tmp_path, "b", 1, [body(1, message="x" * 40_000)])
    with pytest.raises(ArchiveError, match="Out of Memory"):
        archived(tmp_path, batch_bytes=100_000)
    assert len(seen(tmp_path)) == 101


def test_a_large_file_of_which_only_a_piece_is_archived_yet_is_seen_once(tmp_path):
    bodies = [body(n, message="x" * 1000) for n in range(50)]
    write_file(tmp_path, "a", 1, bodies)

    def interrupt(progress):
        if progress.rows:
            raise KeyboardInterrupt

    with Snapshot(tmp_path, archive_bytes=None, threads=1) as snapshot:
        for archived_rows in (0, 19, 38, 50):
            with snapshot.view() as view:
                found = view.connection.execute(f"SELECT writer, seq, body FROM {view.relation()}").fetchall()
                assert sum(part.rows for part in view.parts) == archived_rows
            assert_once([(writer, seq, text.encode()) for writer, seq, text in found], numbered("a", bodies))
            with contextlib.suppress(KeyboardInterrupt):
                archived(tmp_path, batch_bytes=20_000, target_bytes=1, on_progress=interrupt)
    assert journal(tmp_path) == []


def test_files_with_other_names_are_no_journal_files_and_stay(tmp_path):
    write_file(tmp_path, "a", 1, [body(1)])
    other = tmp_path / "journal" / "a.2.jsonl"
    other.write_bytes(seal(body(2), 2))
    archived(tmp_path)
    assert journal(tmp_path) == ["a.2.jsonl"]
    assert_once(seen(tmp_path), numbered("a", [body(1), body(2)]))


def test_names_that_look_like_patterns_are_just_names(tmp_path):
    directory = tmp_path / "a[b]*" / "day=1" / "it's"
    for writer in ("x[1]", "x1", "y*", "q'uote"):
        write_file(directory, writer, 1, [body(1), b'{"bad":}'])
    archived(directory)
    assert sorted(seen(directory)) == sorted((writer, 1, body(1)) for writer in ("x[1]", "x1", "y*", "q'uote"))


def test_a_journal_file_that_comes_back_from_a_backup_counts_once(tmp_path):
    file = write_file(tmp_path, "a", 1, [body(1)])
    content = file.read_bytes()
    archived(tmp_path)
    file.write_bytes(content)
    assert len(seen(tmp_path)) == 1
    archived(tmp_path)
    assert journal(tmp_path) == []
    assert len(seen(tmp_path)) == 1
    assert archived_writers(tmp_path) == {"a"}


def test_the_writers_that_were_archived_are_known_without_duckdb(tmp_path):
    assert archived_writers(tmp_path) == frozenset()
    write_file(tmp_path, "import-00-ff-0-9", 1, [b'{"bad":}'])
    write_file(tmp_path, "b", 1, [body(1)])
    archived(tmp_path)
    archived(tmp_path)
    assert archived_writers(tmp_path) == {"import-00-ff-0-9", "b"}


def test_a_snapshot_that_is_kept_sees_what_comes_and_nothing_twice(tmp_path):
    expected = []
    audit_log = Journal(tmp_path, rotate_bytes=2_000)
    with Snapshot(tmp_path, archive_bytes=None, threads=1) as snapshot:
        for n in range(100):
            audit_log.append(body(n))
            expected.append((audit_log.writer, n + 1, body(n).decode()))
            if n % 10 == 9:
                archived(tmp_path)
            if n % 7 == 0:
                with snapshot.view() as view:
                    found = view.connection.execute(f"SELECT writer, seq, body FROM {view.relation()}").fetchall()
                    assert sorted(found) == expected
                    assert view.live + sum(part.rows for part in view.parts) == n + 1
    audit_log.close()


def test_a_view_stays_as_it_is_while_others_go_on(tmp_path):
    write_file(tmp_path, "a", 1, [body(1)])
    with Snapshot(tmp_path, archive_bytes=None, threads=1) as snapshot, snapshot.view() as old:
        write_file(tmp_path, "a", 2, [body(2)], seq=2)
        archive(tmp_path, now=lambda: DAY)
        with snapshot.view() as new:
            count = f"SELECT count(*) FROM {new.relation()}"
            assert new.connection.execute(count).fetchall() == [(2,)]
        for _ in range(2):
            assert old.connection.execute(f"SELECT count(*) FROM {old.relation()}").fetchall() == [(1,)]


def test_threads_share_a_snapshot(tmp_path):
    audit_log = Journal(tmp_path, rotate_bytes=3_000)
    failures = []

    def read(snapshot):
        last = 0
        for _ in range(8):
            with snapshot.view() as view:
                count, distinct = view.connection.execute(
                    f"SELECT count(*), count(DISTINCT seq) FROM {view.relation()}"
                ).fetchall()[0]
            if not last <= count == distinct:
                failures.append((last, count, distinct))
            last = count

    with Snapshot(tmp_path, archive_bytes=1, threads=1) as snapshot:
        threads = [threading.Thread(target=read, args=(snapshot,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for n in range(200):
            audit_log.append(body(n))
        for thread in threads:
            thread.join()
        assert snapshot.archive_error is None
    audit_log.close()
    assert failures == []
    assert len(seen(tmp_path)) == 200


def test_a_snapshot_that_saw_many_parts_come_and_go_begins_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(snapshot_module, "_SPARE_FOOTERS", 3)
    with Snapshot(tmp_path, archive_bytes=None, threads=1) as snapshot:
        views = []
        for n in range(12):
            write_file(tmp_path, "a", n + 1, [body(n)], seq=n + 1)
            archived(tmp_path, grace=timedelta(days=99), target_bytes=1 if n % 3 else 10**6)
            views.append(snapshot.view())
        for count, view in enumerate(views, 1):
            found = view.connection.execute(f"SELECT count(*) FROM {view.relation()}").fetchall()
            assert found == [(count,)]
            view.close()


def test_slices_of_a_view_have_each_event_once(tmp_path):
    for day in range(3):
        write_file(tmp_path, f"w{day}", 1, [body(n, at=DAY + timedelta(days=day, seconds=n)) for n in range(10)])
    archived(tmp_path)
    write_file(tmp_path, "live", 1, [body(n) for n in range(5)])
    with Snapshot(tmp_path, archive_bytes=None, threads=1) as snapshot, snapshot.view() as view:
        slices = [view.relation(parts=[part], live=False) for part in view.parts] + [view.relation(parts=[])]
        counts = [view.connection.execute(f"SELECT count(*) FROM {each}").fetchall()[0][0] for each in slices]
        assert counts == [10, 10, 10, 5]
        assert [part.first for part in view.parts] == [datetime(2026, 11, 20 + day) for day in (2, 1, 0)]
        assert view.connection.execute(f"SELECT count(*) FROM {view.relation(parts=[], live=False)}").fetchall() == [
            (0,)
        ]


def test_a_reader_archives_when_there_is_much_that_is_closed(tmp_path):
    write_file(tmp_path, "a", 1, [body(n) for n in range(10)])
    with Snapshot(tmp_path, archive_bytes=1_000_000, threads=1) as snapshot, snapshot.view():
        assert parquet(tmp_path) == []
    with Snapshot(tmp_path, archive_bytes=100, threads=1) as snapshot, snapshot.view() as view:
        assert len(parquet(tmp_path)) == 1
        assert (view.live, sum(part.rows for part in view.parts)) == (0, 10)


def test_a_directory_without_anything_is_empty_and_none_is_an_error(tmp_path):
    assert seen(tmp_path) == []
    assert archived(tmp_path).rows == 0
    assert seen(tmp_path) == []
    with pytest.raises(FileNotFoundError):
        archive(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError), Snapshot(tmp_path / "nowhere") as snapshot:
        snapshot.view()


def test_files_belong_to_the_owner_of_the_directory_and_to_nobody_else(tmp_path):
    write_file(tmp_path, "a", 1, [body(1)])
    if os.geteuid() == 0:
        os.chown(tmp_path, 12345, 54321)
    archived(tmp_path)
    owner = tmp_path.stat()
    for path in [tmp_path / "archive", *(tmp_path / "archive").rglob("*")]:
        status = path.stat()
        assert (status.st_uid, status.st_gid) == (owner.st_uid, owner.st_gid), path
        assert status.st_mode & 0o777 == (0o750 if path.is_dir() else 0o640), path


def test_an_archive_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "archive").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Exception, match="symbolic link"):
        archive(tmp_path)


def test_two_at_a_time_do_not_archive(tmp_path):
    write_file(tmp_path, "a", 1, [body(1)])
    inside = []
    archived(tmp_path, on_progress=lambda progress: inside.append(archived(tmp_path)))
    assert [report.leading for report in inside] == [False, False]


def test_the_columns_are_the_same_live_and_archived(tmp_path):
    fields = {
        "http": {"request": {"user_agent": "Googlebot/2.1"}, "response": {"status_code": 404}},
        "data": {"a": ["b", 1]},
    }
    write_file(tmp_path, "a", 1, [body(1, **fields)])
    names = ("time", "status", "agent", "bot", "text", "data", "state", "level")
    live = {name: column(tmp_path, name) for name in names}
    assert live["text"] == ["b\x1f1"]
    assert (live["bot"], live["status"], live["data"]) == ([True], [404], ['{"a":["b",1]}'])
    archived(tmp_path)
    assert {name: column(tmp_path, name) for name in names} == live
