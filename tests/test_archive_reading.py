"""`auditmw.read` gives the same events, in the same order, whatever of them is archived."""

from __future__ import annotations

import random
import sys
from datetime import timedelta

import pytest

import auditmw
from archive_events import DAY, archived, body, parquet, pending, seen, write_file
from auditmw.archive import reading
from auditmw.journal import Journal, read_events


def numbers(events):
    return [event["n"] for event in events]


def scattered(count, seed=1):
    """Events of three days in no order."""
    chance = random.Random(seed)
    return [body(n, at=DAY + timedelta(seconds=chance.randrange(3 * 86400)), n=n) for n in range(count)]


def test_what_is_archived_and_what_is_live_come_in_one_order(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_WINDOW_ROWS", 7)
    monkeypatch.setattr(reading, "_GROUP_ROWS", 3)
    bodies = scattered(60)
    for file in range(6):
        write_file(tmp_path, f"w{file}", 1, bodies[file * 10 : file * 10 + 10])
    expected = list(read_events(tmp_path))
    (tmp_path / "later").mkdir()
    for file in (4, 5):
        (tmp_path / "journal" / f"w{file}.000001.jsonl").rename(tmp_path / "later" / f"w{file}.000001.jsonl")
    archived(tmp_path, batch_bytes=1, target_bytes=1)
    for file in (4, 5):
        (tmp_path / "later" / f"w{file}.000001.jsonl").rename(tmp_path / "journal" / f"w{file}.000001.jsonl")
    assert len(parquet(tmp_path)) >= 10
    assert list(auditmw.read(tmp_path)) == expected
    archived(tmp_path)
    assert list(auditmw.read(tmp_path)) == expected


def test_events_without_a_time_come_first_and_in_pages(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_WINDOW_ROWS", 3)
    write_file(tmp_path, "a", 1, [b'{"n":%d}' % n for n in range(10)])
    archived(tmp_path)
    write_file(tmp_path, "b", 1, [b'{"n":%d}' % n for n in range(10, 15)] + [body(1, n=15)])
    assert numbers(auditmw.read(tmp_path)) == list(range(16))


def test_intents_are_settled(tmp_path):
    write_file(tmp_path, "a", 1, [pending(1, n=1), body(1, n=1), pending(2, n=2)])
    archived(tmp_path)
    events = list(auditmw.read(tmp_path))
    assert numbers(events) == [1, 2]
    assert events[1]["outcome"] == {"result": "unknown", "reason": "process_died"}


def test_reading_goes_on_when_the_archive_changes_under_it(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_WINDOW_ROWS", 5)
    bodies = [body(n, n=n) for n in range(40)]
    for file in range(8):
        write_file(tmp_path, "a", file + 1, bodies[file * 5 : file * 5 + 5], seq=file * 5 + 1)
        archived(tmp_path, target_bytes=1)
    events = auditmw.read(tmp_path)
    first = [next(events) for _ in range(7)]
    assert archived(tmp_path).merged == 8
    assert numbers([*first, *events]) == list(range(40))


def test_a_damaged_part_is_told_and_the_rest_is_read(tmp_path):
    write_file(tmp_path, "a", 1, [body(n, n=n) for n in range(3)])
    archived(tmp_path)
    write_file(tmp_path, "a", 2, [body(5, n=5, at=DAY + timedelta(days=1))], seq=4)
    archived(tmp_path)
    part = tmp_path / "archive" / parquet(tmp_path)[0]
    part.write_bytes(part.read_bytes()[:-50] + b"x" * 50)
    damages = []
    assert numbers(auditmw.read(tmp_path, on_damage=damages.append)) == [5]
    assert [(damage.file, damage.missing) for damage in damages] == [(part, 3)]
    assert damages[0].reason.startswith("damaged Parquet file")


def test_damage_in_live_files_is_told_as_without_an_archive(tmp_path):
    write_file(tmp_path, "a", 1, [body(1, n=1)])
    archived(tmp_path)
    file = write_file(tmp_path, "b", 1, [body(2, n=2)])
    file.write_bytes(b"rubbish\n" + file.read_bytes())
    damages = []
    assert numbers(auditmw.read(tmp_path, on_damage=damages.append)) == [1, 2]
    assert [(damage.file, damage.offset, damage.length) for damage in damages] == [(file, 0, 8)]
    assert damages[0].quarantined.read_bytes() == b"rubbish\n"


def test_what_is_json_to_duckdb_alone_is_read_as_well(tmp_path):
    write_file(tmp_path, "a", 1, [b'{"n":NaN}', b'{"n":-inf}', b'{"n":2,}', body(1, n=1)])
    archived(tmp_path)
    assert len(seen(tmp_path)) == 4
    damages = []
    assert numbers(auditmw.read(tmp_path, on_damage=damages.append)) == [None, None, 2, 1]
    assert damages == []


def test_an_archive_alone_is_an_audit_directory(tmp_path):
    write_file(tmp_path, "a", 1, [body(1, n=1)])
    archived(tmp_path)
    (tmp_path / "journal").rmdir()
    assert numbers(auditmw.read(tmp_path)) == [1]


def test_without_duckdb_the_error_names_the_extra(tmp_path, monkeypatch):
    write_file(tmp_path, "a", 1, [body(1, n=1)])
    assert numbers(auditmw.read(tmp_path)) == [1]
    archived(tmp_path)
    for module in [name for name in sys.modules if name.startswith("auditmw.archive")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delattr(auditmw, "archive", raising=False)
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(ModuleNotFoundError, match=r"auditmw\[query\]"):
        auditmw.read(tmp_path)
    from auditmw.archive import archived_writers

    assert archived_writers(tmp_path) == {"a"}


def test_a_live_writer_is_read_too(tmp_path):
    write_file(tmp_path, "a", 1, [body(1, n=1)])
    archived(tmp_path)
    audit_log = Journal(tmp_path)
    audit_log.append(body(2, n=2))
    assert numbers(auditmw.read(tmp_path)) == [1, 2]
    audit_log.close()
    assert numbers(auditmw.read(tmp_path)) == [1, 2]
