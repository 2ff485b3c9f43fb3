"""Collecting from a feed that does as it is told: positions, cut-offs at every step, doubles, what is no event."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import auditmw
from auditmw.archive import archive
from auditmw.collect import collector as collecting
from auditmw.collect.collector import Collector
from auditmw.collect.events import ForeignError, event_of
from auditmw.collect.feed import Message
from auditmw.collect.feeds import feed_for
from auditmw.collect.ledger import Ledger
from auditmw.journal import journal_files, writer_of
from auditmw.journal.spans import Messages
from auditmw.ship.address import AddressError
from auditmw.ship.target import RetryableError
from journal_tools import needs_root, tmpfs
from listed_feed import OTHER, TRACK, Listed, bodies
from ship_conformance import DIFFICULT, FakeTime, body, ident, idents


def collector(directory: Path, feed: Listed, **options) -> Collector:
    time = FakeTime()
    return Collector(directory, feed, shown="listed:", **{"clock": time.clock, "wait": time.wait} | options)


def found(directory: Path) -> list[str]:
    return [event["id"] for event in auditmw.read(directory)]


def test_messages_become_one_file_whose_name_says_which_they_are(tmp_path):
    feed = Listed({TRACK: bodies(1, 250)})
    each = collector(tmp_path / "audit", feed)
    assert each.run_once()
    assert [file.name for file in journal_files(tmp_path / "audit")] == [f"collect-{TRACK}-1-250.000001.jsonl"]
    assert found(tmp_path / "audit") == idents(1, 250)
    assert feed.acknowledged == {TRACK: 250}
    assert (each.counts.collected, each.counts.files) == (250, 1)


def test_a_second_run_goes_on_where_the_first_stopped(tmp_path):
    feed = Listed({TRACK: bodies(1, 100)})
    collector(tmp_path, feed).run_once()
    feed.tracks[TRACK] += bodies(101, 130)
    collector(tmp_path, feed).run_once()
    collector(tmp_path, feed).run_once()
    assert [writer_of(file) for file in journal_files(tmp_path)] == [
        f"collect-{TRACK}-1-100",
        f"collect-{TRACK}-101-130",
    ]
    assert found(tmp_path) == idents(1, 130)


def test_what_was_archived_is_not_collected_again(tmp_path):
    feed = Listed({TRACK: bodies(1, 100)})
    collector(tmp_path, feed).run_once()
    archive(tmp_path)
    for file in journal_files(tmp_path):  # as a later call does, after a minute
        file.unlink()
    feed.tracks[TRACK] += bodies(101, 110)
    collector(tmp_path, feed).run_once()
    assert found(tmp_path) == idents(1, 110)


def test_files_are_cut_by_events_by_bytes_and_by_time(tmp_path):
    by_events = Listed({TRACK: bodies(1, 250)})
    collector(tmp_path / "events", by_events, most_events=100).run_once()
    assert [writer_of(file)[25:] for file in journal_files(tmp_path / "events")] == ["1-100", "101-200", "201-250"]
    by_bytes = Listed({TRACK: bodies(1, 50)}, at_once=10)
    collector(tmp_path / "bytes", by_bytes, most_bytes=15 * len(body(1))).run_once()
    assert [writer_of(file)[25:] for file in journal_files(tmp_path / "bytes")] == ["1-20", "21-40", "41-50"]
    time = FakeTime()
    by_time = Listed({TRACK: bodies(1, 30)}, at_once=10)
    read = by_time.read

    def slow(most: int, seconds: float) -> Sequence[Message]:
        time.seconds += 3
        return read(most, seconds)

    by_time.read = slow  # type: ignore[method-assign]
    collector(tmp_path / "time", by_time, clock=time.clock, every_seconds=3).run_once()
    assert [writer_of(file)[25:] for file in journal_files(tmp_path / "time")] == ["1-20", "21-30"]


def test_an_event_that_comes_twice_is_there_once(tmp_path):
    feed = Listed({TRACK: [*bodies(1, 100), *bodies(51, 120)]})
    each = collector(tmp_path, feed)
    each.run_once()
    assert found(tmp_path) == idents(1, 120)
    assert (each.counts.collected, each.counts.doubles) == (120, 50)


@pytest.mark.parametrize("archived", [False, True], ids=["in the journal", "in the archive"])
def test_an_event_that_the_directory_has_is_left_out_after_a_restart_too(tmp_path, archived):
    feed = Listed({TRACK: bodies(1, 100)})
    collector(tmp_path, feed).run_once()
    if archived:
        archive(tmp_path)
    feed.tracks[TRACK] += [body(7), body(101), body(100)]
    again = collector(tmp_path, feed)
    again.run_once()
    assert found(tmp_path) == idents(1, 101)
    assert again.counts.doubles == 2


def test_two_tracks_have_files_and_positions_of_their_own(tmp_path):
    feed = Listed({TRACK: bodies(1, 30), OTHER: [*bodies(31, 40), body(5)]})
    collector(tmp_path, feed).run_once()
    feed.tracks[OTHER] += bodies(41, 45)
    collector(tmp_path, feed).run_once()
    assert found(tmp_path) == idents(1, 45)
    assert [writer_of(file) for file in journal_files(tmp_path)] == [
        f"collect-{TRACK}-1-30",
        f"collect-{OTHER}-1-11",
        f"collect-{OTHER}-12-16",
    ]


STEPS = ["make_folder", "remove_unfinished", "archived_writers", "_sorted_out", "write_file", "Ledger.add"]


class CutOffError(BaseException):
    """As kill -9 does it: nothing after this line happens."""


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("step", [*STEPS, "aside.keep", "feed.acknowledge"])
def test_a_collector_that_is_cut_off_at_any_step_loses_and_doubles_nothing(tmp_path, monkeypatch, step, count, after):
    foreign = [b"not json", b"{}"]
    feed = Listed({TRACK: [*bodies(1, 20), foreign[0], *bodies(10, 40)], OTHER: [*bodies(35, 60), foreign[1]]})
    owner, name = {
        "aside.keep": (collecting.Aside, "keep"),
        "feed.acknowledge": (feed, "acknowledge"),
        "Ledger.add": (collecting.Ledger, "add"),
    }.get(step, (collecting, step))
    original = getattr(owner, name)
    calls = []

    def cut_off(*arguments):
        calls.append(1)
        if len(calls) == count and not after:
            raise CutOffError
        result = original(*arguments)
        if len(calls) == count:
            raise CutOffError
        return result

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, cut_off)
        with contextlib.suppress(CutOffError):
            collector(tmp_path, feed, most_events=30).run_once()
    collector(tmp_path, feed, most_events=30).run_once()
    assert found(tmp_path) == idents(1, 60)
    aside = [json.loads(line) for line in (tmp_path / "collect/listed/aside.jsonl").read_text().splitlines()]
    assert [line["message"] for line in aside] == ["not json", "{}"]


def test_what_is_no_event_is_set_aside_as_it_came_and_counted(tmp_path, caplog):
    odd = [
        b"not json",
        b"\xff\xfe",
        b"[1]",
        b"{}",
        b'{"schema":"auditmw.event/2.0","id":"x"}',
        b'{"schema":"ecs","id":"x"}',
    ]
    odd.append(b'{"schema":"auditmw.event/1.0"}')
    odd.append(body(3, note="x" * 1_100_000))
    feed = Listed({TRACK: [body(1), *odd, body(2)]})
    each = collector(tmp_path, feed)
    each.run_once()
    assert found(tmp_path) == idents(1, 2)
    assert (each.counts.collected, each.counts.set_aside) == (2, len(odd))
    kept = [json.loads(line) for line in (tmp_path / "collect/listed/aside.jsonl").read_text().splitlines()]
    assert [line.get("message", "").encode() or b"\xff\xfe" for line in kept] == odd
    assert [line["number"] for line in kept] == list(range(2, len(odd) + 2))
    assert all(len(line["reason"]) > 20 for line in kept)
    assert "8 messages of listed: are no events" in caplog.text
    collector(tmp_path, feed).run_once()
    assert len((tmp_path / "collect/listed/aside.jsonl").read_text().splitlines()) == len(odd)


def test_messages_that_are_never_events_are_set_aside_once_however_often_one_begins(tmp_path):
    feed = Listed({TRACK: [b"foreign"] * 10})
    for _ in range(3):
        collector(tmp_path, feed).run_once()
    assert len((tmp_path / "collect/listed/aside.jsonl").read_text().splitlines()) == 10
    assert journal_files(tmp_path) == []


def test_a_line_that_was_cut_off_in_the_file_of_what_is_set_aside_spoils_nothing(tmp_path):
    feed = Listed({TRACK: [b"one", b"two"]})
    collector(tmp_path, feed).run_once()
    path = tmp_path / "collect/listed/aside.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    collector(tmp_path, feed).run_once()
    lines = path.read_text().splitlines()
    assert [json.loads(line)["message"] for line in (lines[0], lines[-1])] == ["one", "two"]


def test_messages_that_are_gone_are_told_once_by_an_event_in_their_place(tmp_path, check_event):
    feed = Listed({TRACK: bodies(1, 50)}, gone=20)
    each = collector(tmp_path, feed)
    each.run_once()
    collector(tmp_path, feed).run_once()
    events = list(auditmw.read(tmp_path))
    [gap] = [event for event in events if event["event"] == "auditmw.gap"]
    assert check_event(gap)["data"] == {"count": 20, "before": 21}
    assert "20 messages were gone" in gap["message"]
    assert each.counts.missing == 20
    assert [event["id"] for event in events if event is not gap] == idents(21, 50)


@pytest.mark.parametrize("kind", DIFFICULT)
def test_difficult_events_are_collected_to_the_byte_or_set_aside(tmp_path, kind):
    feed = Listed({TRACK: [body(101), DIFFICULT[kind], body(102)]})
    each = collector(tmp_path, feed)
    each.run_once()
    assert each.counts.collected + each.counts.set_aside == 3
    events = [event["id"] for event in auditmw.read(tmp_path)]
    assert {ident(101), ident(102)} <= set(events)
    assert len(events) == each.counts.collected
    if each.counts.collected == 3:
        [file] = journal_files(tmp_path)
        assert DIFFICULT[kind][:-1] in file.read_bytes()


def test_a_failure_costs_a_pause_and_nothing_else(tmp_path):
    feed = Listed({TRACK: bodies(1, 300)})
    feed.failures = [RetryableError("the connection broke")] * 3
    time = FakeTime()
    each = collector(tmp_path, feed, clock=time.clock, wait=time.wait)
    read = feed.read

    def until_the_end(most: int, seconds: float) -> Sequence[Message]:
        some = read(most, seconds)
        if not some:
            each.stop()
        return some

    feed.read = until_the_end  # type: ignore[method-assign]
    each.run()
    assert feed.connections == 4
    assert len(time.waits) == 3
    assert found(tmp_path) == idents(1, 300)


def test_a_full_disk_costs_a_pause_and_nothing_else(tmp_path, monkeypatch):
    feed = Listed({TRACK: bodies(1, 30)})
    original, failures = collecting.write_file, [OSError(28, "No space left on device")] * 2

    def write(*arguments):
        if failures:
            raise failures.pop()
        return original(*arguments)

    monkeypatch.setattr(collecting, "write_file", write)
    for _ in range(2):
        with pytest.raises(OSError, match="No space"):
            collector(tmp_path, feed).run_once()
    assert feed.acknowledged == {}
    collector(tmp_path, feed).run_once()
    assert found(tmp_path) == idents(1, 30)


@needs_root
def test_what_is_said_of_a_full_disk_names_the_directory(tmp_path):
    with tmpfs(tmp_path / "disk", "size=64k") as disk:
        feed = Listed({TRACK: bodies(1, 1000)})
        with pytest.raises(OSError, match=f"No space left on device: '{disk}"):
            collector(disk / "audit", feed).run_once()


def test_of_two_collectors_one_works(tmp_path):
    feed = Listed({TRACK: bodies(1, 30)})
    first = collector(tmp_path, feed)
    assert first._begin()
    assert not collector(tmp_path, Listed({TRACK: bodies(1, 30)})).run_once()
    first._let_go()
    assert collector(tmp_path, feed).run_once()
    assert found(tmp_path) == idents(1, 30)


def test_a_name_that_no_collector_wrote_is_no_position():
    names = [
        "import-a-b-1-2",
        f"collect-{TRACK}-5-4",
        f"collect-{TRACK}-0-4",
        "collect-xyz-1-2",
        f"collect-{TRACK}-1-2-3",
    ]
    assert Ledger(names).position(TRACK) == 0


@given(st.integers(1, 10**18), st.integers(0, 10**18))
def test_a_name_says_what_is_in_it(first, more):
    messages = Messages(TRACK, first, min(first + more, 10**18))
    assert Messages.of_writer(messages.writer) == messages
    assert re.fullmatch(r"[^.\s][^\s]*", messages.writer)
    assert Ledger([messages.writer]).position(TRACK) == messages.last


@given(st.binary(max_size=200))
def test_no_bytes_make_reading_a_message_fail_otherwise(given_bytes):
    with pytest.raises(ForeignError):
        event_of(given_bytes)


@pytest.mark.parametrize(
    ("url", "said"), [("postgresql://h/d", "expected one of nats:, kafka:"), ("nowhere", "expected a URL")]
)
def test_a_url_that_cannot_be_collected_from_is_refused(url, said):
    with pytest.raises(AddressError, match=said):
        feed_for(url)


def test_files_are_readable_by_the_group_and_nobody_else(tmp_path):
    collector(tmp_path, Listed({TRACK: [b"foreign", body(1)]})).run_once()
    assert os.stat(tmp_path / "collect/listed/aside.jsonl").st_mode & 0o777 == 0o640
