"""What a shipper does when something is wrong: with the target, the cursor, the journal, or another shipper."""

from __future__ import annotations

import json
import os
import signal
import tracemalloc
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from auditmw.formats.records import record_format
from auditmw.journal import Journal, seal
from auditmw.journal.cursor import Cursor, CursorError, Position, held_files, load
from auditmw.ship.backoff import Backoff
from auditmw.ship.lease import Lease
from auditmw.ship.shipper import Shipper
from auditmw.ship.status import prometheus, statuses
from auditmw.ship.target import Accepted, FencedError, RetryableError, UnusableError
from ship_conformance import FakeTime, between, body, ident, idents, write_events
from ship_places import KeepingPlace, KeepingTarget, MemoryPlace, MemoryTarget


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "audit"
    path.mkdir()
    return path


@pytest.fixture
def place():
    return MemoryPlace()


def shipper(directory, target, fake=None, **options):
    fake = fake or FakeTime()
    return Shipper(directory, target, **{"name": "place", "clock": fake.clock, "wait": fake.wait} | options)


def ship(directory, place, **options):
    assert shipper(directory, place.target(), **options).run_once()


def ids(place):
    return [name for name, _ in place.rows()]


def cursor_of(directory) -> Path:
    return directory / "ship" / "place" / "cursor.json"


def journal_file(directory, writer, number, lines):
    folder = directory / "journal"
    folder.mkdir(exist_ok=True)
    (folder / f"{writer}.{number:06d}.jsonl").write_bytes(b"".join(lines))


# The cursor.


@pytest.mark.parametrize("content", [b"", b"{}", b"\0" * 300, b"x" * 1000], ids=["empty", "other", "zeros", "garbage"])
def test_a_damaged_cursor_is_set_aside_and_all_is_sent_again(directory, place, content):
    write_events(directory, [body(1), body(2)])
    ship(directory, place)
    cursor_of(directory).write_bytes(content)
    assert held_files(directory) == {file.name for file in directory.glob("journal/*")}
    ship(directory, place)
    assert ids(place) == idents(1, 2) * 2
    assert (cursor_of(directory).parent / "cursor.json.damaged-1").read_bytes() == content


@pytest.mark.parametrize("flipped", range(0, 260, 13))
def test_no_flipped_bit_of_a_cursor_goes_unnoticed(directory, place, flipped):
    write_events(directory, [body(1)])
    ship(directory, place)
    data = bytearray(cursor_of(directory).read_bytes())
    data[flipped % len(data)] ^= 4
    cursor_of(directory).write_bytes(data)
    ship(directory, place)
    assert ids(place) == [ident(1), ident(1)]


def test_a_cursor_of_a_newer_version_is_refused_and_holds_all_files(directory, place):
    write_events(directory, [body(1)])
    ship(directory, place)
    told = json.loads(cursor_of(directory).read_bytes()[:-19] + b"}") | {"auditmw_cursor": 2}
    newer = json.dumps(told).encode()[:-1]
    newer += b',"crc":"%08x"}\n' % zlib.crc32(newer)
    cursor_of(directory).write_bytes(newer)
    with pytest.raises(CursorError, match=r"expected a cursor of version 1 .* not 2: a later auditmw wrote it"):
        ship(directory, place)
    assert cursor_of(directory).read_bytes() == newer
    assert len(held_files(directory)) == 1


@pytest.mark.parametrize("kind", [MemoryPlace, KeepingPlace])
def test_the_cursor_of_another_journal_is_refused(directory, kind):
    place = kind()
    write_events(directory, [body(1)])
    ship(directory, place)
    (directory / "ship" / "journal-id").write_text("another\n")
    with pytest.raises(
        CursorError, match=r"expected the cursor of this journal .another. .* give this shipper another"
    ):
        ship(directory, place)


def test_a_cursor_is_the_same_after_a_round_trip():
    at = Position("w.000002.jsonl", 77, 9, ((2, 3), (5, 5)), {"ü": ("w.000001.jsonl", 5)})
    cursor = Cursor("j", 3, {"w": at}, counts={"shipped": 4})
    assert Cursor.decode(cursor.encode(), source="here") == cursor


def test_a_cursor_directory_that_cannot_be_written_is_a_clear_error_and_nothing_is_lost(directory, place):
    write_events(directory, [body(1)])
    (directory / "ship").write_text("a file in its place")
    with pytest.raises(OSError, match="ship"):
        ship(directory, place)
    (directory / "ship").unlink()
    ship(directory, place)
    assert ids(place) == [ident(1)]


def test_a_disk_that_is_full_later_makes_the_shipper_wait_and_say_so(directory, place, monkeypatch):
    write_events(directory, [body(1)])
    fake = FakeTime()
    fake.at_most = 5
    one = shipper(directory, place.target(), fake)
    real = os.replace
    failing = {"left": 0}

    def replace(source, target):
        if str(target).endswith("cursor.json") and ids(place) and failing["left"] < 3:
            failing["left"] += 1
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr("auditmw.journal.smallfile.os.replace", replace)
    fake.wait, waited = stopping(one, fake, when=lambda: failing["left"] == 3 and len(fake.waits) > 4)
    one._wait = fake.wait
    one.run()
    assert ids(place) == [ident(1)]  # it is not sent again for want of a cursor
    assert load(cursor_of(directory)).counts["shipped"] == 1
    assert waited


def stopping(one, fake, when):
    """A `wait` that stops the shipper once something is the case, or after very long."""
    waited = []

    def wait(seconds):
        waited.append(seconds)
        fake.waits.append(seconds)
        fake.seconds += seconds
        if when() or len(waited) > 5000:
            one.stop()
        return False

    return wait, waited


# The journal.


def test_a_line_that_stands_in_two_files_is_sent_once(directory, place):
    lines = [seal(body(n), n) for n in range(1, 6)]
    journal_file(directory, "w", 1, lines[:4])
    journal_file(directory, "w", 2, lines[1:])
    ship(directory, place)
    assert ids(place) == idents(1, 5)


def test_a_line_that_is_damaged_in_one_file_comes_from_the_other(directory, place):
    lines = [seal(body(n), n) for n in range(1, 6)]
    journal_file(directory, "w", 1, [lines[0], b"#" + lines[1][1:], *lines[2:4]])
    ship(directory, place)
    assert statuses(directory)[0].counts["damaged"] == 1
    journal_file(directory, "w", 2, lines[1:])
    ship(directory, place)
    assert ids(place) == [ident(n) for n in (1, 3, 4, 2, 5)]


def test_damage_costs_its_lines_and_is_counted_once_whatever_the_batches(directory, place):
    lines = [seal(body(n), n) for n in range(1, 31)]
    lines[8] = b"broken\n"  # right behind a batch
    lines[20] = b"broken\n"
    journal_file(directory, "w", 1, [*lines, b'{"torn'])
    place.target = lambda: MemoryTarget(place, max_events=4)
    ship(directory, place)
    assert ids(place) == [ident(n) for n in range(1, 31) if n not in (9, 21)]
    assert statuses(directory)[0].counts["damaged"] == 3
    assert len(list((directory / "quarantine").iterdir())) == 3


def test_a_file_that_still_grows_is_not_left_though_there_is_a_next_one(directory, place):
    journal = Journal(directory)
    journal.append(body(1))
    ship(directory, place)
    journal_file(directory, journal.writer, 2, [])  # begun, and then there was no space in it
    ship(directory, place)
    journal.append(body(2))
    ship(directory, place)
    journal.close()
    assert ids(place) == idents(1, 2)


def test_a_file_that_cannot_be_read_makes_its_writer_wait_and_nobody_else(directory, place, monkeypatch):
    blocked = write_events(directory, [body(1)])
    write_events(directory, [body(2)])
    real = os.open

    def refuse(path, *arguments, **options):
        if blocked in str(path):
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments, **options)

    monkeypatch.setattr("auditmw.journal.rawfile.os.open", refuse)
    ship(directory, place)
    assert ids(place) == [ident(2)]
    assert "Permission denied" in statuses(directory)[0].unreadable[0]
    monkeypatch.undo()
    ship(directory, place)
    assert ids(place) == [ident(2), ident(1)]


def test_a_batch_that_was_cut_off_comes_again_as_it_was(directory, place):
    journals = [Journal(directory) for _ in range(3)]
    for n in range(30):
        journals[n % 3].append(body(n))
    lost = []

    def lose(batch):
        lost.append(batch.token)
        raise RetryableError("no answer")

    with pytest.raises(RetryableError):
        shipper(directory, between(MemoryTarget(place, max_events=20), lose)).run_once()
    for n in range(30, 60):  # meanwhile there is more
        journals[n % 3].append(body(n))
    place.target = lambda: MemoryTarget(place, max_events=50)
    ship(directory, place)
    assert place.tokens[:2] == [lost[0], lost[0]]
    assert len(place.tokens) > 2
    for journal in journals:
        journal.close()


def test_each_of_many_writers_has_its_share_of_a_batch(directory):
    writers = [write_events(directory, [body(w * 1000 + n) for n in range(500)]) for w in range(4)]
    batches = []
    target = between(MemoryTarget(MemoryPlace(), max_events=100), lambda batch: batches.append(batch))
    shipper(directory, target).run_once()
    shares = [sum(entry.writer == writer for entry in batches[0]) for writer in sorted(writers)]
    assert shares == [25, 25, 25, 25]


def test_no_batch_is_larger_than_the_target_takes(directory, place):
    write_events(directory, [body(n, note="x" * (n * 100)) for n in range(1, 60)])
    sizes = []
    target = between(MemoryTarget(place, max_events=7, max_bytes=9000), lambda b: sizes.append((len(b), b.bytes)))
    shipper(directory, target).run_once()
    assert ids(place) == idents(1, 59)
    assert all(count <= 7 and size <= 9000 for count, size in sizes)


def test_an_event_larger_than_a_batch_comes_alone(directory, place):
    write_events(directory, [body(1), body(2, note="x" * 5000), body(3)])
    place.target = lambda: MemoryTarget(place, max_bytes=1000)
    ship(directory, place)
    assert ids(place) == idents(1, 3)


def test_memory_does_not_grow_with_the_journal(directory):
    write_events(directory, [body(n, note="x" * 2000) for n in range(1, 10_001)])
    counted = []
    place = MemoryPlace()
    place.take = lambda batch: counted.append(len(batch)) or Accepted(len(batch))
    tracemalloc.start()
    ship(directory, place)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(counted) == 10_000
    assert peak < 12 * 1024 * 1024  # of 22 MB


# The target.


def test_an_event_that_a_target_fails_to_make_a_record_of_stops_it_with_an_error_and_loses_nothing(directory, place):
    write_events(directory, [body(n) for n in range(1, 41)])
    target = MemoryTarget(place, max_events=10)
    target.record = lambda entry, event: 1 // 0 if entry.id == ident(25) else entry.body
    with pytest.raises(RetryableError, match="ZeroDivisionError"):
        shipper(directory, target).run_once()
    assert ids(place) == idents(1, 20)
    assert load(cursor_of(directory)).counts["shipped"] == 20  # what was before it is known to be there
    ship(directory, place)
    assert ids(place) == idents(1, 40)


def test_a_target_that_is_down_for_a_day_gets_everything_in_order_when_it_is_up(directory, place):
    fake = FakeTime()
    place.down()
    one = shipper(directory, place.target(), fake)
    begun = fake.seconds

    def go_on():
        if fake.seconds - begun > 86_400:
            place.up()
        elif len(fake.waits) % 100 == 0:
            write_events(directory, [body(len(fake.waits))])
        return bool(ids(place)) and one._cursor.counts.get("shipped") == len(list(directory.glob("journal/*")))

    one._wait, _ = stopping(one, fake, when=go_on)
    write_events(directory, [body(0)])
    one.run()
    assert sorted(ids(place)) == [ident(n) for n in range(0, len(list(directory.glob("journal/*"))) * 100, 100)]
    assert 1400 < place.calls < 2500  # about once a minute
    assert max(fake.waits) <= 60.0


def test_the_target_is_left_alone_as_long_as_it_asks(directory, place):
    fake = FakeTime()
    one = shipper(directory, place.target(), fake)
    answers = [RetryableError("busy", after_seconds=300.0)]
    real = place.take

    def take(batch):
        if answers:
            raise answers.pop()
        return real(batch)

    place.take = take
    write_events(directory, [body(1)])
    one._wait, waited = stopping(one, fake, when=lambda: ids(place) == [ident(1)])
    one.run()
    assert waited[0] == 300.0


def test_what_was_shipped_stays_told_while_a_target_that_keeps_the_cursor_is_down(directory):
    place = KeepingPlace()
    write_events(directory, [body(1), body(2)])
    ship(directory, place)
    place.is_down = True
    with pytest.raises(RetryableError):
        shipper(directory, place.target()).run_once()
    [status] = statuses(directory)
    assert (status.counts["shipped"], status.last_error) == (2, "the memory is down, as the test wants")


def test_waiting_doubles_up_to_a_minute_and_begins_anew_after_a_success():
    backoff = Backoff(lambda: 1.0)
    assert [backoff.seconds() for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    backoff.reset()
    assert backoff.seconds() == 0.5
    assert backoff.seconds(most=True) == 60.0
    assert Backoff(lambda: 0.0).seconds() == 0.25


def test_a_slow_target_keeps_no_writer_waiting_and_loses_nothing(directory, place):
    journal = Journal(directory)
    journal.append(body(0))
    written = [0]

    def meanwhile(batch):
        if written[0] < 50:
            written[0] += 1
            journal.append(body(written[0]))

    target = between(MemoryTarget(place, max_events=3), meanwhile)
    shipper(directory, target).run_once()
    journal.close()
    assert ids(place) == idents(0, 50)


def test_what_a_target_acknowledged_and_lost_is_not_sent_again(directory, place):
    """Documented: an acknowledgement is the target's word. `--name` with a new name sends all that is still there."""
    write_events(directory, [body(1), body(2)])
    ship(directory, place)
    place.taken.clear()
    ship(directory, place)
    assert ids(place) == []
    assert shipper(directory, place.target(), name="again").run_once()
    assert ids(place) == idents(1, 2)


def test_a_target_that_raises_what_it_should_not_is_tried_again(directory, place, caplog):
    write_events(directory, [body(1)])
    real, place.take = place.take, lambda batch: 1 / 0
    with pytest.raises(RetryableError, match="ZeroDivisionError"):
        ship(directory, place)
    place.take = real
    ship(directory, place)
    assert ids(place) == [ident(1)]
    assert "in a way that it should not" in caplog.text


def test_partial_success_is_counted_told_and_not_sent_again(directory, place, caplog):
    write_events(directory, [body(n) for n in range(1, 11)])
    place.take = lambda batch: Accepted(len(batch) - 3, rejected=3, note="three were too old")
    ship(directory, place)
    ship(directory, place)
    [status] = statuses(directory)
    assert (status.counts["shipped"], status.counts["rejected"]) == (7, 3)
    assert "three were too old" in caplog.text


# Dead letters.


def test_one_poison_event_in_ten_thousand_is_one_dead_letter_found_by_halving(directory, place):
    write_events(directory, [*(body(n) for n in range(1, 7001)), place.poison, *(body(n) for n in range(7001, 10_000))])
    ship(directory, place)
    assert ids(place) == idents(1, 9999)
    assert place.calls < 10 + 2 * 11
    [line] = (directory / "ship" / "place" / "dead.jsonl").read_bytes().splitlines()
    told = json.loads(line)
    assert (told["reason"], told["seq"], told["event"]["id"]) == ("poison", 7001, "poison")
    assert place.poison in line


def test_dead_letters_are_sent_again_on_request(directory, place):
    write_events(directory, [body(1), place.poison, body(2)])
    ship(directory, place)
    poison, place.poison = place.poison, None
    taken, place.take = [], lambda batch: taken.extend(batch) or Accepted(len(batch))
    assert shipper(directory, place.target()).replay() == (1, 0)
    assert [entry.body for entry in taken] == [poison]
    assert statuses(directory)[0].dead_letters == 0
    assert shipper(directory, place.target()).replay() == (0, 0)


def test_dead_letters_that_could_not_be_sent_again_stay(directory, place):
    write_events(directory, [place.poison])
    ship(directory, place)
    place.down()
    with pytest.raises(RetryableError):
        shipper(directory, place.target()).replay()
    assert statuses(directory)[0].dead_letters == 1
    place.up()
    assert shipper(directory, place.target()).replay() == (0, 1)
    assert statuses(directory)[0].dead_letters == 1


def test_when_all_events_are_rejected_it_is_the_target_that_is_wrong(directory, place):
    write_events(directory, [place.poison] * 50)
    with pytest.raises(UnusableError, match=r"10 events in a row were rejected.*: poison"):
        ship(directory, place, most_dead_in_a_row=10)
    [status] = statuses(directory)
    assert (status.dead_letters, status.lag.events) == (10, 50)
    place.take = lambda batch: Accepted(len(batch))
    ship(directory, place)
    assert statuses(directory)[0].counts["shipped"] == 40


def test_an_event_without_a_record_in_the_format_is_left_out_and_counted(directory, place):
    http = {"request": {"method": "GET"}, "response": {"status_code": 200}}
    request = body(2, event="http_request", http=http, url={"path": "/cart"})
    write_events(directory, [body(1), request])
    target = place.target()
    target.format = record_format("nginx:combined")
    shipper(directory, target).run_once()
    assert len(place.rows()) == 1
    assert b" 200 " in place.rows()[0][1]
    assert statuses(directory)[0].counts["left_out"] == 1


# Several shippers.


def test_of_two_shippers_one_works_and_the_other_takes_over(directory, place):
    first, second = Lease(directory), Lease(directory)
    assert first.acquire()
    assert not second.acquire()
    first.release()
    assert second.acquire()
    write_events(directory, [body(1)])
    one = shipper(directory, place.target())
    (directory / "ship" / "place").mkdir(parents=True)
    busy = Lease(directory / "ship" / "place")
    assert busy.acquire()
    assert one.run_once() is False
    fake = FakeTime()
    two = shipper(directory, place.target(), fake)
    two._wait, waited = stopping(two, fake, when=lambda: bool(ids(place)) or (busy.release() or False))
    two.run()
    assert ids(place) == [ident(1)]
    assert waited[0] == 2.0


def test_a_shipper_that_was_overtaken_stops_at_its_next_step(directory, place):
    write_events(directory, [body(n) for n in range(1, 31)])

    def overtake(batch):
        if batch[0].id == ident(1) and len(place.tokens) == 1:
            assert shipper(directory, place.target()).run_once(take_over=True)

    with pytest.raises(FencedError, match="another shipper has taken over"):
        shipper(directory, between(MemoryTarget(place, max_events=10), overtake)).run_once()
    assert list(dict.fromkeys(ids(place))) == idents(1, 30)
    assert load(cursor_of(directory)).epoch == 2
    assert load(cursor_of(directory)).counts["shipped"] == 30


def test_a_forked_child_does_not_keep_the_lease(directory):
    lease = Lease(directory)
    assert lease.acquire()
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, b"1" if lease.is_held() else b"0")
        signal.pause()
        os._exit(0)
    try:
        assert os.read(read, 1) == b"0"
        lease.release()
        other = Lease(directory)
        assert other.acquire()
        other.release()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(read)
        os.close(write)


def test_two_targets_have_cursors_of_their_own(directory):
    places = MemoryPlace(), KeepingPlace()
    write_events(directory, [body(1)])
    for number, place in enumerate(places):
        assert shipper(directory, place.target(), name=f"place-{number}").run_once()
    assert [ids(place) for place in places] == [[ident(1)], [ident(1)]]
    assert [status.name for status in statuses(directory)] == ["place-0", "place-1"]


# What is told.


def test_the_lag_is_right_also_when_no_shipper_runs(directory, place):
    stamp = datetime(2026, 11, 20, 0, 0, 3, 3, tzinfo=UTC)
    first = write_events(directory, [body(n) for n in range(1, 3)])
    ship(directory, place)
    write_events(directory, [body(n) for n in range(3, 8)])
    [status] = statuses(directory, now=stamp + timedelta(hours=1))
    files = {file.name: file.stat().st_size for file in directory.glob("journal/*")}
    waiting = sum(size for name, size in files.items() if not name.startswith(first))
    assert vars(status.lag) == {"events": 5, "bytes": waiting, "seconds": 3600.0}
    ship(directory, place)
    assert vars(statuses(directory)[0].lag) == {"events": 0, "bytes": 0, "seconds": 0.0}


def test_prometheus_reads_what_is_told(directory, place):
    write_events(directory, [body(1), place.poison])
    ship(directory, place, shown='odd "name"\\')
    text = prometheus(statuses(directory))
    labels = 'name="place",target="odd \\"name\\"\\\\"'
    assert f"auditmw_ship_dead_letters{{{labels}}} 1" in text
    assert f'auditmw_ship_events_total{{{labels},kind="shipped"}} 1\n' in text
    assert f"auditmw_ship_lag_events{{{labels}}} 0\n" in text
    for line in text.splitlines():
        assert line.startswith(("#", "auditmw_ship_"))


def test_a_keeping_target_that_was_restored_from_a_backup_gets_the_rest_again(directory):
    place = KeepingPlace()
    write_events(directory, [body(1)])
    ship(directory, place)
    backup = dict(place.cursors), list(place.taken)
    write_events(directory, [body(2)])
    ship(directory, place)
    place.cursors, place.taken = dict(backup[0]), list(backup[1])
    ship(directory, place)
    assert ids(place) == idents(1, 2)


def test_a_keeping_target_is_believed_before_the_file(directory):
    place = KeepingPlace()
    write_events(directory, [body(1), body(2)])
    target = KeepingTarget(place, max_events=1)
    assert shipper(directory, target).run_once()
    cursor_of(directory).unlink()
    ship(directory, place)
    assert ids(place) == idents(1, 2)


def test_two_that_send_dead_letters_again_do_not_get_in_each_others_way(directory, place):
    write_events(directory, [place.poison])
    ship(directory, place)

    def second(batch):
        with pytest.raises(BlockingIOError, match="another process is sending the dead letters"):
            shipper(directory, place.target()).replay()

    place.take = lambda batch: Accepted(len(batch))
    assert shipper(directory, between(place.target(), second)).replay() == (1, 0)
    assert statuses(directory)[0].dead_letters == 0
