"""What is read while the target has the batch before: one batch, never lost, never twice."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditmw.journal import seal
from auditmw.journal.cursor import Cursor, Position
from auditmw.ship.ahead import Ahead
from auditmw.ship.portion import Track
from auditmw.ship.shipper import Shipper
from auditmw.ship.source import Source
from auditmw.ship.target import Accepted, RetryableError
from ship_conformance import FakeTime, body, ident, idents, write_events
from ship_places import MemoryPlace, MemoryTarget


class Watched(MemoryTarget):
    """Takes a batch only when all that may be read by then was read, and tells how much that was."""

    def __init__(self, place: MemoryPlace, count: int) -> None:
        super().__init__(place, max_events=10)
        self.count = count
        self.read: list[str] = []
        self.seen: list[int] = []
        self.progress = threading.Condition()

    def record(self, entry, event):
        with self.progress:
            self.read.append(entry.id)
            self.progress.notify()
        return super().record(entry, event)

    def send(self, batch):
        expected = min(self.count, len(self.place.taken) + 20)
        with self.progress:
            assert self.progress.wait_for(lambda: len(self.read) >= expected, timeout=30)
            self.seen.append(len(self.read))
        return super().send(batch)


def shipper(directory, target):
    fake = FakeTime()
    return Shipper(directory, target, name="place", clock=fake.clock, wait=fake.wait)


def test_the_next_batch_is_read_while_the_target_has_this_one_and_no_other_before_it_is_done(tmp_path):
    write_events(tmp_path, [body(number) for number in range(1, 41)])
    place = MemoryPlace()
    target = Watched(place, 40)
    assert shipper(tmp_path, target).run_once()
    assert target.seen == [20, 30, 40, 40]
    assert target.read == [name for name, _ in place.rows()] == idents(1, 40)


def test_what_was_read_ahead_comes_once_after_all_attempts(tmp_path):
    write_events(tmp_path, [body(number) for number in range(1, 41)])
    place, failures = MemoryPlace(), [2, 1, 0, 3]

    def take(batch, real=place.take):
        if failures[len(place.taken) // 10]:
            failures[len(place.taken) // 10] -= 1
            raise RetryableError("not now")
        return real(batch)

    place.take = take
    one = shipper(tmp_path, MemoryTarget(place, max_events=10))
    one._wait = lambda seconds: one.stop() if len(place.taken) == 40 else None
    one.run()
    assert [name for name, _ in place.rows()] == idents(1, 40)
    assert one._cursor.counts["shipped"] == 40


def test_a_batch_that_is_not_full_makes_no_thread(tmp_path):
    write_events(tmp_path, [body(1)])
    place = MemoryPlace()
    place.take = lambda batch: threads.append(threading.active_count()) or Accepted(len(batch))
    threads: list[int] = []
    before = threading.active_count()
    assert shipper(tmp_path, MemoryTarget(place)).run_once()
    assert threads == [before]


def test_the_thread_ends_with_the_shipper(tmp_path):
    write_events(tmp_path, [body(number) for number in range(1, 41)])
    before = threading.active_count()
    assert shipper(tmp_path, MemoryTarget(MemoryPlace(), max_events=10)).run_once()
    assert threading.active_count() == before


def test_an_error_of_reading_ahead_is_raised_when_its_turn_comes_and_reading_goes_on_after_it(tmp_path, monkeypatch):
    write_events(tmp_path, [body(number) for number in range(1, 21)])
    source = Source(tmp_path, max_events=10, max_bytes=100_000)
    ahead = Ahead(source)
    first = ahead.next(Cursor("j"))
    with monkeypatch.context() as patched:
        patched.setattr(source, "next", lambda cursor: (_ for _ in ()).throw(OSError(5, "the disk is on fire")))
        ahead.begin(first.after)
        ahead.wait()
        with pytest.raises(OSError, match="on fire"):
            ahead.next(first.after)
    second = ahead.next(first.after)
    assert [entry.id for entry in second.batch] == idents(11, 20)
    ahead.close()


def test_a_portion_that_was_read_ahead_counts_on_what_became_of_the_one_before(tmp_path):
    write_events(tmp_path, [body(number) for number in range(1, 21)])
    ahead = Ahead(Source(tmp_path, max_events=10, max_bytes=100_000))
    first = ahead.next(Cursor("j", counts={"damaged": 2}))
    ahead.begin(first.after)
    settled = first.after.counting({"shipped": 9, "dead": 1})
    second = ahead.next(settled)
    assert second.before == settled
    assert second.after.counts == {"damaged": 2, "shipped": 9, "dead": 1}
    assert second.cursor_at(5).counts == second.after.counts
    ahead.close()


def test_what_comes_after_nothing_was_there_is_found(tmp_path):
    write_events(tmp_path, [body(1)])
    ahead = Ahead(Source(tmp_path, max_events=1, max_bytes=100_000))
    first = ahead.next(Cursor("j"))
    ahead.begin(first.after)
    ahead.wait()
    write_events(tmp_path, [body(2)])
    assert [entry.id for entry in ahead.next(first.after).batch] == [ident(2)]
    ahead.close()


@given(st.lists(st.tuples(st.sampled_from(["w.000001.jsonl", "w.000002.jsonl"]), st.integers(1, 12)), max_size=40))
def test_a_track_goes_where_positions_go(lines):
    at, track = Position(), Track("w", Position())
    for offset, (file, number) in enumerate(lines, 1):
        at, is_new = at.after(file, offset, number)
        assert track.passes(file, offset, number) == is_new
        assert track.position == at


def test_the_cursor_within_a_portion_is_that_of_a_reader_who_stopped_there(tmp_path):
    folder = tmp_path / "journal"
    folder.mkdir()
    numbers = [1, 2, 5, 6, 3, 7, 8]  # 3 comes late, 4 never
    (folder / "w.000001.jsonl").write_bytes(b"".join(seal(body(number), number) for number in numbers[:4]))
    (folder / "w.000002.jsonl").write_bytes(b"".join(seal(body(number), number) for number in numbers[4:]))
    whole = Source(tmp_path, max_events=100, max_bytes=100_000).next(Cursor("j"))
    assert [entry.seq for entry in whole.batch] == numbers
    for count in range(1, len(numbers)):
        short = Source(tmp_path, max_events=count, max_bytes=100_000).next(Cursor("j"))
        expected, found = short.after.writers["w"], whole.cursor_at(count).writers["w"]
        assert found._replace(file="", offset=0) == expected._replace(file="", offset=0)
        rest = Source(tmp_path, max_events=100, max_bytes=100_000).next(whole.cursor_at(count))
        assert [entry.seq for entry in rest.batch] == numbers[count:]
