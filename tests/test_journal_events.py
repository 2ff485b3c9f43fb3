"""Events in time order, each once, with intents settled; and what `tail -f` follows."""

import errno
import json
import os
import random
import subprocess
import sys
import tracemalloc
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditmw.journal import (
    Follower,
    Journal,
    dead_writers,
    journal_files,
    read_events,
    read_lines,
    seal,
    settle,
)
from journal_tools import wait_until

START = datetime(2026, 11, 20, 20, tzinfo=UTC)


def stamp(second):
    moment = START + timedelta(seconds=second)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def event(ident, second, **more):
    return {"schema": "auditmw.event/1.0", "id": ident, "timestamp": stamp(second), "level": "info", **more}


def pending(ident, second):
    return event(ident, second, severity=9, outcome={"result": "pending"}, http={"method": "GET"})


def dump(item):
    return orjson.dumps(item)


def place(directory, events, name="a.000001.jsonl", first=1):
    """Put a file of a writer that is gone into an audit directory."""
    path = directory / "journal" / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(b"".join(seal(dump(item), seq) for seq, item in enumerate(events, first)))
    return path


def idents(directory, **options):
    damages = []
    found = [item["id"] for item in read_events(directory, on_damage=damages.append, **options)]
    assert damages == []
    return found


# --- time order


def test_the_events_of_all_files_come_in_time_order(tmp_path):
    place(tmp_path, [event("a1", 1), event("a3", 3), event("a9", 900)])
    place(tmp_path, [event("a11", 1000), event("a12", 1001)], "a.000002.jsonl", first=4)
    place(tmp_path, [event("b0", 0), event("b2", 2), event("b950", 950)], "b.000001.jsonl")
    place(tmp_path, [], "c.000001.jsonl")
    assert idents(tmp_path) == ["b0", "a1", "b2", "a3", "a9", "b950", "a11", "a12"]


def test_events_are_the_dicts_that_were_emitted_without_number_and_checksum(tmp_path):
    journal = Journal(tmp_path)
    written = [event("x", 1, data={"seq": 7, "crc": "00000000", "deep": [1, {"a": None}]}), {"n": 1}]
    for item in written:
        journal.append(dump(item))
    journal.close()
    assert sorted(read_events(tmp_path, loads=orjson.loads), key=len) == sorted(written, key=len)
    assert sorted(read_events(tmp_path), key=len) == sorted(written, key=len)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 300), max_size=12), max_size=5))
def test_any_order_in_the_files_comes_out_sorted_and_complete(tmp_path_factory, files):
    """Up to the slack: what is set back by more than a minute behind its file's first event may come late."""
    directory = tmp_path_factory.mktemp("order")
    (directory / "journal").mkdir()
    expected = []
    for number, seconds in enumerate(files):
        seconds = [max(second, seconds[0] - 60) for second in seconds]
        events = [event(f"{number}-{position}", second) for position, second in enumerate(seconds)]
        place(directory, events, f"w{number}.000001.jsonl")
        expected += [(item["timestamp"], number, position) for position, item in enumerate(events)]
    found = [(item["timestamp"], *map(int, item["id"].split("-"))) for item in read_events(directory)]
    assert found == sorted(expected)


def test_a_file_is_opened_in_time_for_an_event_that_stands_behind_a_later_one(tmp_path):
    place(tmp_path, [event("a100", 100), event("a50", 50), event("a200", 200, pad="x" * 70_000)])
    place(tmp_path, [event("b45", 45), event("b60", 60), event("b300", 300)], "b.000001.jsonl")
    assert idents(tmp_path) == ["b45", "a50", "b60", "a100", "a200", "b300"]


def test_an_event_far_behind_its_clock_comes_late_but_comes(tmp_path):
    place(tmp_path, [event("a", 1000), event("set back", 0)])
    place(tmp_path, [event("b", 100), event("c", 2000)], "b.000001.jsonl")
    assert sorted(idents(tmp_path)) == sorted(["a", "set back", "b", "c"])


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param({"timestamp": 5}, id="a number"),
        pytest.param({"timestamp": None}, id="null"),
        pytest.param({"timestamp": "yesterday"}, id="no time"),
        pytest.param({"timestamp": "0001-01-01T00:00:00.000000Z"}, id="year 1"),
        pytest.param({"timestamp": "9999-12-31T23:59:59.999999Z"}, id="year 9999"),
        pytest.param({"timestamp": "2026-11-20T20:00:00"}, id="no zone"),
        pytest.param({"x": 1}, id="absent"),
    ],
)
@pytest.mark.parametrize("since", [None, stamp(-100)])
def test_an_event_with_an_odd_time_does_not_stop_the_others(tmp_path, odd, since):
    place(tmp_path, [odd, event("a", 1), odd, event("b", 2)])
    place(tmp_path, [odd], "b.000001.jsonl")
    place(tmp_path, [event("c", 3)], "c.000001.jsonl")
    found = [item.get("id") for item in read_events(tmp_path, since=since)]
    assert [ident for ident in found if ident] == ["a", "b", "c"]
    if since is None:
        assert found.count(None) in (1, 3)  # copies of one line at one time are one event


def test_since_leaves_out_what_was_before(tmp_path):
    place(tmp_path, [event(str(second), second) for second in range(10)])
    place(tmp_path, [event(str(second), second) for second in range(1000, 1010)], "a.000002.jsonl", first=11)
    assert idents(tmp_path, since=stamp(7)) == [str(second) for second in [7, 8, 9, *range(1000, 1010)]]
    assert idents(tmp_path, since=START + timedelta(seconds=1008)) == ["1008", "1009"]
    assert idents(tmp_path, since="2026-11-20T21:16:49+01:00") == ["1009"]
    assert idents(tmp_path, since=stamp(5000)) == []


def test_since_does_not_read_files_that_ended_long_before(tmp_path, monkeypatch):
    from auditmw.journal import events

    old = place(tmp_path, [event(str(second), second) for second in range(100)])
    new = place(tmp_path, [event("new", 5000)], "a.000002.jsonl", first=101)
    indexed = []
    index = events._Merge._index
    monkeypatch.setattr(
        events._Merge, "_index", lambda self, number: indexed.append(self._files[number]) or index(self, number)
    )
    assert idents(tmp_path, since=stamp(4000)) == ["new"]
    assert indexed == [new]
    assert old in journal_files(tmp_path)


@pytest.mark.parametrize("since", ["yesterday", "2026-11-20T20:00:00", datetime(2026, 11, 20)])
def test_a_since_that_is_no_time_with_a_zone_is_told_at_once(tmp_path, since):
    with pytest.raises(ValueError, match=r"expected a time with its zone|Invalid isoformat"):
        read_events(tmp_path, since=since)


def test_a_missing_directory_is_told_at_once(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_events(tmp_path / "nowhere")


def test_a_restored_copy_of_a_file_adds_nothing_but_what_differs(tmp_path):
    events = [event("a", 1), event("b", 1), event("c", 2)]
    place(tmp_path, events)
    place(tmp_path, events, "restored-a.000001.jsonl")
    place(tmp_path, [event("a", 1, data={"other": True})], "other.000001.jsonl")
    assert idents(tmp_path) == ["a", "b", "a", "c"]


def test_files_are_opened_when_their_time_comes(tmp_path):
    for number in range(50):
        place(tmp_path, [event(f"{number}", 1000 * number)], f"w{number:02}.000001.jsonl")
    before = len(os.listdir("/proc/self/fd"))
    most = max(len(os.listdir("/proc/self/fd")) - before for _ in read_events(tmp_path))
    assert most <= 2


def test_memory_is_bounded_by_an_index_of_the_files_that_overlap(tmp_path):
    for number in range(8):
        events = [event(f"{number}-{second}", 10_000 * number + second, pad="x" * 1000) for second in range(2000)]
        place(tmp_path, events, f"w{number}.000001.jsonl")
    tracemalloc.start()
    count = sum(1 for _ in read_events(tmp_path, loads=orjson.loads))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 16_000
    assert peak < 4_000_000  # the files have 18 MB


def test_a_reading_that_is_given_up_leaves_no_descriptor(tmp_path):
    place(tmp_path, [event("a", 1), event("b", 2)])
    before = os.listdir("/proc/self/fd")
    events = read_events(tmp_path)
    next(events)
    del events
    assert os.listdir("/proc/self/fd") == before


def test_a_file_that_is_archived_while_it_is_read_is_read_to_its_end(tmp_path):
    path = place(tmp_path, [event(str(second), second) for second in range(100)])
    events = read_events(tmp_path)
    next(events)
    path.unlink()
    assert len(list(events)) == 99


@pytest.mark.parametrize("error", [errno.EIO, errno.ESTALE])
def test_an_event_that_cannot_be_read_a_second_time_is_damage(tmp_path, monkeypatch, error):
    path = place(tmp_path, [event("a", 1), event("b", 2), event("c", 3)])
    start = path.read_bytes().index(b'{"schema', 10)
    pread = os.pread

    def fail(fd, count, offset):
        if offset == start:
            raise OSError(error, os.strerror(error))
        return pread(fd, count, offset)

    monkeypatch.setattr(os, "pread", fail)
    damages = []
    assert [item["id"] for item in read_events(tmp_path, on_damage=damages.append)] == ["a", "c"]
    assert [(damage.offset, damage.reason) for damage in damages] == [(start, "unreadable")]


@pytest.mark.parametrize(
    "junk",
    [
        pytest.param(b'{"a":}', id="not JSON"),
        pytest.param(b'{"schema":"s","id":"i","timestamp":"t",}', id="not JSON behind a sound head"),
        pytest.param(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="too deep"),
        pytest.param(b'{"a":' + b"9" * 5000 + b"}", id="number too long"),
        pytest.param(b'{"a":"\xff\xfe"}', id="not UTF-8"),
        pytest.param(b'{"schema":"s","id":"\xff","timestamp":"\xff","a":"\xff"}', id="not UTF-8 in the head"),
    ],
)
@pytest.mark.parametrize("loads", [json.loads, orjson.loads], ids=["json", "orjson"])
def test_a_sound_line_without_json_is_damage_once_and_does_not_stop_the_others(tmp_path, junk, loads):
    path = place(tmp_path, [event("a", 1)])
    with path.open("ab") as file:
        file.write(seal(junk, 2) + seal(dump(event("b", 2)), 3))
    damages = []
    found = [item for item in read_events(tmp_path, loads=loads, on_damage=damages.append) if "id" in item]
    assert [item["id"] for item in found] == ["a", "b"]
    if damages:  # the two parsers do not refuse the same things
        assert [damage.reason for damage in damages] == ["not JSON"]
        assert damages[0].quarantined.read_bytes() == seal(junk, 2)
        assert Follower(tmp_path, loads=loads, from_start=True).poll() == found


def test_damage_is_told_once_and_does_not_stop_the_others(tmp_path):
    path = place(tmp_path, [event("a", 1), event("b", 2), event("c", 3)])
    content = path.read_bytes().replace(b'"b"', b'"B"')
    path.write_bytes(content[:-5])
    damages = []
    assert [item["id"] for item in read_events(tmp_path, on_damage=damages.append)] == ["a"]
    assert [damage.reason for damage in damages] == ["bad checksum", "torn tail"]


def test_duplicate_members_and_foreign_orders_are_read_as_json_says(tmp_path):
    path = place(tmp_path, [event("b", 2)])
    line = b'{"data":{"timestamp":"2000-01-01T00:00:00.000000Z","id":"no"},"timestamp":"%s","id":"a"}'
    path.write_bytes(path.read_bytes() + seal(line % stamp(1).encode(), 2))
    assert idents(tmp_path) == ["a", "b"]


# --- intents

CUT_OFF = {"level": "warning", "severity": 13, "outcome": {"result": "unknown", "reason": "process_died"}}


def outcomes(directory):
    return [(item["id"], item.get("outcome", {}).get("result")) for item in read_events(directory)]


def test_a_pending_event_with_its_final_one_is_dropped(tmp_path):
    place(tmp_path, [pending("a", 1), event("b", 2), event("a", 3)])
    assert outcomes(tmp_path) == [("b", None), ("a", None)]


def test_a_pending_event_of_a_dead_writer_comes_once_as_cut_off_at_its_time(tmp_path):
    place(tmp_path, [pending("a", 1), event("b", 2), pending("c", 3), event("d", 4)])
    found = list(read_events(tmp_path))
    assert [item["id"] for item in found] == ["a", "b", "c", "d"]
    assert found[0] == {**pending("a", 1), **CUT_OFF}
    assert list(found[0]) == list(pending("a", 1))


def test_a_pending_event_of_a_live_writer_is_held_back(tmp_path):
    journal = Journal(tmp_path)
    journal.append(dump(pending("a", 1)))
    journal.append(dump(event("b", 2)))
    assert outcomes(tmp_path) == [("b", None)]
    journal.append(dump(event("a", 3)))
    assert outcomes(tmp_path) == [("b", None), ("a", None)]
    journal.append(dump(pending("c", 4)))
    journal.close()
    assert outcomes(tmp_path) == [("b", None), ("a", None), ("c", "unknown")]


def test_a_final_event_in_a_later_file_of_the_writer_counts_and_of_another_writer_not(tmp_path):
    place(tmp_path, [pending("a", 1), pending("b", 2), pending("c", 3)])
    place(tmp_path, [event("x", 500)], "a.000002.jsonl", first=4)
    place(tmp_path, [event("a", 1000), event("y", 1001)], "a.000003.jsonl", first=5)
    place(tmp_path, [event("b", 1500)], "b.000001.jsonl")
    assert outcomes(tmp_path) == [
        ("b", "unknown"),
        ("c", "unknown"),
        ("x", None),
        ("a", None),
        ("y", None),
        ("b", None),
    ]


def test_a_copy_of_a_pending_event_in_the_next_file_is_no_final_one(tmp_path):
    place(tmp_path, [event("x", 0), pending("a", 1)])
    place(tmp_path, [pending("a", 1)], "a.000002.jsonl", first=2)
    assert outcomes(tmp_path) == [("x", None), ("a", "unknown")]


def test_an_event_that_only_mentions_pending_is_no_intent(tmp_path):
    place(tmp_path, [event("a", 1, message='"pending"', data={"state": "pending"}), event("b", 2, outcome="pending")])
    assert idents(tmp_path) == ["a", "b"]


def test_a_pending_event_without_an_id_cannot_be_paired_and_is_given_as_it_is(tmp_path):
    odd = [{"timestamp": stamp(1), "outcome": {"result": "pending"}}, {"id": 5, "outcome": {"result": "pending"}}]
    place(tmp_path, odd)
    assert sorted(map(str, read_events(tmp_path))) == sorted(map(str, odd))


def test_settle_gives_lines_in_order_and_what_was_cut_off_behind_its_writer(tmp_path):
    place(tmp_path, [pending("a", 1), event("b", 2), pending("c", 3), event("c", 4)])
    place(tmp_path, [pending("d", 1), event("e", 2)], "b.000001.jsonl")
    live = Journal(tmp_path)
    live.append(dump(pending("f", 1)))
    dead = dead_writers(tmp_path)
    pairs = [(line, orjson.loads(line.body)) for line in read_lines(tmp_path)]
    settled = [(line.seq, item["id"], item.get("outcome", {}).get("result")) for line, item in settle(pairs, dead=dead)]
    assert [entry for entry in settled if entry[1] in "abc"] == [(2, "b", None), (4, "c", None), (1, "a", "unknown")]
    assert [entry for entry in settled if entry[1] in "def"] == [(2, "e", None), (1, "d", "unknown")]
    live.close()


def test_intents_of_requests_that_kill_9_cut_off_are_each_there_once(tmp_path):
    script = """
import json, sys
from auditmw.journal import Journal
journal = Journal(sys.argv[1], rotate_bytes=600)
def write(ident, second, **more):
    stamp = f"2026-11-20T20:00:{second:02}.000000Z"
    item = {"schema": "auditmw.event/1.0", "id": ident, "timestamp": stamp, **more}
    journal.append(json.dumps(item, separators=(",", ":")).encode())
for number in range(20):
    write(f"r{number}", number, outcome={"result": "pending"})
    if number % 3:
        write(f"r{number}", number + 30, outcome={"result": "success"})
print("ready", flush=True)
sys.stdin.read()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    assert len(journal_files(tmp_path)) > 3
    alive = [item["outcome"]["result"] for item in read_events(tmp_path)]
    process.kill()
    process.communicate()
    assert alive == ["success"] * 13
    after = {item["id"]: item["outcome"]["result"] for item in read_events(tmp_path)}
    assert after == {f"r{number}": "success" if number % 3 else "unknown" for number in range(20)}
    assert len(list(read_events(tmp_path))) == 20


# --- following


def polled(follower):
    return [item["id"] for item in follower.poll()]


def test_a_follower_gives_what_came_since_the_last_poll_in_time_order(tmp_path):
    first, second = Journal(tmp_path), Journal(tmp_path)
    first.append(dump(event("old", 0)))
    follower = Follower(tmp_path)
    assert polled(follower) == []
    first.append(dump(event("b", 2)))
    second.append(dump(event("a", 1)))
    assert polled(follower) == ["a", "b"]
    assert polled(follower) == []
    second.append(dump(event("c", 3)))
    assert polled(follower) == ["c"]
    first.close()
    second.close()


def test_a_follower_from_the_start_begins_with_everything(tmp_path):
    place(tmp_path, [event("a", 1), event("c", 3)])
    place(tmp_path, [event("b", 2)], "b.000001.jsonl")
    follower = Follower(str(tmp_path), from_start=True, loads=orjson.loads)
    assert polled(follower) == ["a", "b", "c"]
    assert polled(follower) == []


def test_a_follower_goes_along_with_rotation_and_loses_nothing(tmp_path):
    journal = Journal(tmp_path, rotate_bytes=300)
    follower = Follower(tmp_path)
    found = []
    for number in range(100):
        journal.append(dump(event(str(number), number)))
        if number % 7 == 0:
            found += polled(follower)
    found += polled(follower)
    assert found == [str(number) for number in range(100)]
    assert len(journal_files(tmp_path)) > 10
    journal.close()


def test_a_follower_forgets_files_that_are_archived(tmp_path):
    journal = Journal(tmp_path, rotate_bytes=1)
    follower = Follower(tmp_path)
    for number in range(20):
        journal.append(dump(event(str(number), number)))
        assert polled(follower) == [str(number)]
        for path in journal_files(tmp_path)[:-1]:
            path.unlink()
    assert polled(follower) == []
    assert len(follower._readers) == 1
    assert len(follower._numbers) == 1
    journal.close()


def test_a_poll_without_news_opens_no_file(tmp_path, monkeypatch):
    for number in range(5):
        place(tmp_path, [event("a", number)], f"w{number}.000001.jsonl")
    follower = Follower(tmp_path, from_start=True)
    assert len(polled(follower)) == 5
    opened, real = [], os.open
    monkeypatch.setattr(os, "open", lambda *args, **kwargs: opened.append(args) or real(*args, **kwargs))
    assert polled(follower) == []
    assert opened == []


def test_a_follower_waits_for_the_rest_of_a_line(tmp_path):
    journal = Journal(tmp_path)
    journal.append(dump(event("a", 1)))
    line = seal(dump(event("b", 2)), 2)
    with journal.path.open("ab", buffering=0) as file:
        file.write(line[:20])
        damages = []
        follower = Follower(tmp_path, on_damage=damages.append)  # begins at the line that is under way
        assert polled(follower) == []
        file.write(line[20:])
        assert polled(follower) == ["b"]
    assert damages == []
    journal.close()


def test_a_follower_does_not_tell_of_a_tail_that_was_torn_before(tmp_path):
    path = place(tmp_path, [event("a", 1)])
    path.write_bytes(path.read_bytes() + b"torn")
    damages = []
    assert polled(Follower(tmp_path, on_damage=damages.append)) == []
    assert damages == []
    assert polled(Follower(tmp_path, on_damage=damages.append, from_start=True)) == ["a"]
    assert [damage.reason for damage in damages] == ["torn tail"]


def test_a_follower_tells_damage_once_with_its_copy(tmp_path):
    journal = Journal(tmp_path)
    journal.append(dump(event("a", 1)))
    damages = []
    follower = Follower(tmp_path, on_damage=damages.append)
    with journal.path.open("ab") as file:
        file.write(b"junk\n")
    journal.append(dump(event("b", 2)))
    assert polled(follower) == ["b"]
    assert polled(follower) == []
    assert [(damage.reason, damage.quarantined.read_bytes()) for damage in damages] == [
        ("not a journal line", b"junk\n")
    ]
    journal.close()


def test_a_follower_shows_a_request_when_it_is_final_and_a_cut_off_one_when_its_writer_is_gone(tmp_path):
    journal = Journal(tmp_path, rotate_bytes=200)
    follower = Follower(tmp_path)
    journal.append(dump(pending("a", 1)))
    journal.append(dump(pending("b", 2)))
    assert polled(follower) == []
    journal.append(dump(event("b", 3)))
    assert polled(follower) == ["b"]
    assert polled(follower) == []
    journal.close()
    assert follower.poll() == [{**pending("a", 1), **CUT_OFF}]
    assert polled(follower) == []


def test_a_follower_reads_what_a_writer_wrote_just_before_it_died(tmp_path, monkeypatch):
    """Dead is only who was dead before the files were read."""
    journal = Journal(tmp_path)
    follower = Follower(tmp_path)
    journal.append(dump(pending("a", 1)))
    assert polled(follower) == []
    from auditmw.journal import follow

    real = follow.journal_files

    def finishes_now(directory):
        journal.append(dump(event("a", 2)))
        journal.close()
        return real(directory)

    monkeypatch.setattr(follow, "journal_files", finishes_now)
    assert [item["timestamp"] for item in follower.poll()] == [stamp(2)]
    monkeypatch.undo()
    assert polled(follower) == []


def test_a_follower_shows_a_line_once_that_a_failing_disk_made_its_writer_write_twice(tmp_path):
    place(tmp_path, [event("a", 1), event("b", 2)])
    follower = Follower(tmp_path, from_start=True)
    assert polled(follower) == ["a", "b"]
    place(tmp_path, [event("b", 2), event("c", 3)], "a.000002.jsonl", first=2)
    assert polled(follower) == ["c"]


def test_a_follower_outlives_the_directory(tmp_path):
    directory = tmp_path / "audit"
    place(directory, [event("a", 1)])
    follower = Follower(directory, from_start=True)
    directory.rename(tmp_path / "away")
    assert polled(follower) == []
    (tmp_path / "away").rename(directory)
    assert polled(follower) == ["a"]


def test_a_follower_of_a_directory_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        Follower(tmp_path / "nowhere")


def test_a_follower_beside_a_busy_writer_sees_every_event_once(tmp_path):
    script = """
import sys, time
from auditmw.journal import Journal
journal = Journal(sys.argv[1], rotate_bytes=20_000)
for number in range(5000):
    stamp, pad = b"2026-11-20T20:00:00.%06dZ" % number, b"x" * (number % 2000)
    journal.append(b'{"id":"%d","timestamp":"%s","pad":"%s"}' % (number, stamp, pad))
"""
    (tmp_path / "journal").mkdir()
    follower = Follower(tmp_path)
    process = subprocess.Popen([sys.executable, "-c", script, tmp_path])
    found = []

    def caught_up():
        done = process.poll() is not None
        found.extend(polled(follower))
        return done

    wait_until(caught_up, 60)
    assert process.returncode == 0
    assert found == [str(number) for number in range(5000)]


def test_a_shuffled_journal_of_many_writers_is_read_as_it_happened(tmp_path):
    """One long random history with rotations, intents, deaths and copies, against a plain model of it."""
    rng = random.Random(7)
    expected, live = {}, [Journal(tmp_path, rotate_bytes=2000) for _ in range(4)]
    open_requests = {journal.writer: [] for journal in live}
    for second in range(1500):
        at = rng.randrange(4)
        journal = live[at]
        ident = f"r{second}"
        kind = rng.random()
        if kind < 0.3:
            journal.append(dump(pending(ident, second)))
            open_requests[journal.writer].append(ident)
            expected[ident] = (stamp(second), "unknown")
        elif kind < 0.5 and open_requests[journal.writer]:
            ident = open_requests[journal.writer].pop(0)
            journal.append(dump(event(ident, second, outcome={"result": "success"})))
            expected[ident] = (stamp(second), "success")
        elif kind < 0.52:
            journal.close()
            live[at] = Journal(tmp_path, rotate_bytes=2000)
            open_requests[live[at].writer] = []
        else:
            journal.append(dump(event(ident, second, outcome={"result": "success"})))
            expected[ident] = (stamp(second), "success")
    for journal in live:
        for ident in open_requests[journal.writer]:
            del expected[ident]
    found = [(item["timestamp"], item["id"], item["outcome"]["result"]) for item in read_events(tmp_path)]
    assert found == sorted((moment, ident, result) for ident, (moment, result) in expected.items())
    for journal in live:
        journal.close()
