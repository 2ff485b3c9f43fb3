"""Collecting straight into targets: crashes at every step, what a target rejects, what a stream has not any more."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from auditmw.collect.origin import FeedOrigin
from auditmw.collect.progress import COLLECT, collecting
from auditmw.formats.records import record_format
from auditmw.journal.cursor import CursorError
from auditmw.ship.shipper import Shipper
from auditmw.ship.target import RetryableError
from listed_feed import OTHER, TRACK, Listed, bodies
from ship_conformance import DIFFICULT, FakeTime, between, body, ident, idents
from ship_crashes import Died, dying_target, mortal
from ship_places import KeepingPlace, KeepingTarget, MemoryPlace, MemoryTarget

POISON = json.dumps({**json.loads(body(999)), "event": "poison"}, separators=(",", ":")).encode()


def straight(state: Path, feed: Listed, target: Any, *, stream: str = "listed", **options: Any) -> Shipper:
    """What collects from the feed into the target, in fake time."""
    fake = options.pop("fake", None) or FakeTime()
    origin = FeedOrigin(
        feed,
        state / COLLECT,
        name=stream,
        stream="listed://",
        **{"every_seconds": 5.0, "once": True, "clock": fake.clock} | options,
    )
    state.mkdir(exist_ok=True)
    return Shipper(state, target, name="place", clock=fake.clock, wait=fake.wait, origin=origin)


def target_of(place: MemoryPlace, max_events: int = 1000, max_bytes: int = 1_000_000) -> Any:
    kind = KeepingTarget if isinstance(place, KeepingPlace) else MemoryTarget
    return kind(place, max_events=max_events, max_bytes=max_bytes)


def taken(place: MemoryPlace) -> list[str]:
    return [ident for ident, _ in place.taken]


def test_messages_go_to_the_target_and_are_acknowledged_when_it_has_them(tmp_path):
    feed, place = Listed({TRACK: bodies(1, 250)}), MemoryPlace()
    seen: list[int] = []
    target = between(target_of(place, 100), lambda batch: seen.append(feed.acknowledged.get(TRACK, 0)))
    assert straight(tmp_path, feed, target).run_once()
    assert place.taken == [(ident(n), body(n)) for n in range(1, 251)]
    assert seen == [0, 100, 200]
    assert feed.acknowledged == {TRACK: 250}


def test_a_second_run_goes_on_where_the_first_stopped(tmp_path):
    feed, place = Listed({TRACK: bodies(1, 100)}), MemoryPlace()
    straight(tmp_path, feed, target_of(place)).run_once()
    feed.tracks[TRACK] += bodies(101, 130)
    straight(tmp_path, feed, target_of(place)).run_once()
    straight(tmp_path, feed, target_of(place)).run_once()
    assert taken(place) == idents(1, 130)


def test_batches_are_as_large_as_the_target_takes(tmp_path):
    feed, place = Listed({TRACK: bodies(1, 100), OTHER: bodies(101, 120)}, at_once=7), MemoryPlace()
    sizes: list[int] = []
    target = between(target_of(place, 1000, max_bytes=12 * len(body(100))), lambda batch: sizes.append(len(batch)))
    straight(tmp_path, feed, target).run_once()
    assert set(sizes[:-1]) <= {12, 13}
    assert sorted(taken(place)) == idents(1, 120)


def test_an_event_that_is_larger_than_a_batch_comes_alone(tmp_path):
    feed, place = Listed({TRACK: [body(1), body(2, note="x" * 5000), body(3)]}), MemoryPlace()
    straight(tmp_path, feed, target_of(place, max_bytes=1000)).run_once()
    assert taken(place) == idents(1, 3)


def test_without_haste_messages_wait_for_others(tmp_path):
    feed, place, fake = Listed({TRACK: bodies(1, 10)}), MemoryPlace(), FakeTime()
    each = straight(tmp_path, feed, target_of(place), once=False, every_seconds=5.0, fake=fake)

    def wait(seconds: float) -> bool:
        if len(fake.waits) == 3:
            feed.come(TRACK, bodies(11, 15))
        if place.taken:
            each.stop()
        assert not place.taken or fake.seconds >= 1005
        return fake.wait(seconds)

    each._wait = wait
    each.run()
    assert taken(place) == idents(1, 15)
    assert place.calls == 1


@pytest.mark.parametrize("kind", [MemoryPlace, KeepingPlace])
def test_whatever_the_step_at_which_it_dies_the_next_one_goes_on(tmp_path, kind):
    tracks = {TRACK: [*bodies(1, 12), b"no event", POISON, *bodies(13, 20)], OTHER: [b"{}", *bodies(21, 30)]}
    for at in range(1, 400):
        state, place, feed = tmp_path / str(at), kind(), Listed(tracks, gone=0)
        state.mkdir()
        try:
            with mortal(at) as life:
                straight(state, feed, dying_target(target_of(place, 8), life)).run_once()
            break
        except Died:
            pass
        straight(state, feed, target_of(place, 8)).run_once()
        once = taken(place) if place.once else known_by_token(place)
        assert sorted(once) == idents(1, 30), at
        folder = state / COLLECT / "place"
        dead = [json.loads(line)["event"]["id"] for line in (folder / "dead.jsonl").read_text().splitlines()]
        assert dead == [ident(999)], at
        aside = [json.loads(line) for line in (folder / "aside.jsonl").read_text().splitlines() if line]
        assert sorted(line["message"] for line in aside) == ["no event", "{}"], at
        assert feed.acknowledged.get(TRACK, 0) <= 22  # for others to see: after a crash, with the next batch
    assert at > 40


def known_by_token(place: MemoryPlace) -> list[str]:
    """What a target has that knows batches again: a batch that was cut off comes as it was, so that this is enough."""
    return list(dict.fromkeys(taken(place)))


def test_a_batch_that_was_cut_off_comes_again_as_it_was(tmp_path):
    feed, place = Listed({TRACK: bodies(1, 60), OTHER: bodies(61, 90)}, at_once=13), MemoryPlace()

    def die(batch: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        straight(tmp_path, feed, between(target_of(place, 40), die)).run_once()
    feed.tracks[OTHER] += bodies(91, 120)
    feed.at_once = 29  # they come otherwise now
    straight(tmp_path, feed, target_of(place, 50)).run_once()
    assert place.tokens[0] == place.tokens[1]
    assert len(set(place.tokens)) == len(place.tokens) - 1
    assert sorted(set(taken(place))) == idents(1, 120)
    assert len(taken(place)) == 120 + 40


def test_a_batch_that_was_cut_off_and_is_gone_from_the_stream_holds_up_nothing(tmp_path):
    feed, place = Listed({TRACK: bodies(1, 30)}), MemoryPlace()
    place.down()
    with pytest.raises(RetryableError):
        straight(tmp_path, feed, target_of(place, 20)).run_once()
    place.up()
    feed.gone = 30
    feed.tracks[TRACK] += bodies(31, 33)
    straight(tmp_path, feed, target_of(place, 20)).run_once()
    gap, *rest = place.taken
    assert json.loads(gap[1])["data"] == {"count": 30, "before": 31}
    assert [ident for ident, _ in rest] == idents(31, 33)


def test_what_a_target_rejects_is_a_dead_letter_and_can_be_sent_again(tmp_path):
    feed, place = Listed({TRACK: [*bodies(1, 17), POISON, *bodies(18, 40)]}), MemoryPlace()
    straight(tmp_path, feed, target_of(place)).run_once()
    assert taken(place) == idents(1, 40)
    [status] = collecting(tmp_path)
    assert (status.dead_letters, status.counts["shipped"], status.counts["dead"]) == (1, 40, 1)
    assert straight(tmp_path, feed, target_of(place)).replay() == (0, 1)


@pytest.mark.parametrize("kind", [MemoryPlace, KeepingPlace])
def test_while_the_target_is_down_nothing_is_acknowledged_and_nothing_is_lost(tmp_path, kind):
    feed, place = Listed({TRACK: bodies(1, 40)}), kind()
    straight(tmp_path, feed, target_of(place, 10)).run_once()
    feed.tracks[TRACK] += bodies(41, 100)
    place.down()
    with pytest.raises(RetryableError, match="down"):
        straight(tmp_path, feed, target_of(place, 10)).run_once()
    assert feed.acknowledged == {TRACK: 40}
    place.up()
    straight(tmp_path, feed, target_of(place, 10)).run_once()
    assert taken(place) == idents(1, 100)


@pytest.mark.parametrize("kind", [MemoryPlace, KeepingPlace])
def test_a_stream_that_fails_costs_a_pause_and_nothing_else(tmp_path, kind):
    feed, place, fake = Listed({TRACK: bodies(1, 300)}), kind(), FakeTime()
    feed.failures = [RetryableError("the connection broke")] * 3
    each = straight(tmp_path, feed, target_of(place, 100), once=False, every_seconds=0.1, fake=fake)
    fake.at_most = 30
    each._wait = lambda seconds: (fake.wait(seconds) or len(place.taken) >= 300) and bool(each.stop() or True)
    each.run()
    assert taken(place) == idents(1, 300)
    assert feed.connections == 4


def test_the_cursor_is_saved_also_when_the_stream_fails_behind_the_batch(tmp_path):
    feed, place = Listed({TRACK: bodies(1, 20)}, at_once=10), MemoryPlace()

    def break_the_stream(batch: object) -> None:
        feed.failures = [RetryableError("the connection broke")] * 2

    with pytest.raises(RetryableError):
        straight(tmp_path, feed, between(target_of(place, 10), break_the_stream)).run_once()
    feed.failures = []
    straight(tmp_path, feed, target_of(place, 10)).run_once()
    assert taken(place) == idents(1, 20)


def test_a_target_that_keeps_the_cursor_needs_no_state_to_have_each_event_once(tmp_path):
    feed, place = Listed({TRACK: bodies(1, 50)}), KeepingPlace()
    straight(tmp_path / "here", feed, target_of(place, 20)).run_once()
    feed.tracks[TRACK] += bodies(51, 60)
    straight(tmp_path / "there", feed, target_of(place, 20)).run_once()
    assert taken(place) == idents(1, 60)


def test_messages_that_are_gone_are_told_by_the_same_event_each_time(tmp_path, check_event):
    feed, place = Listed({TRACK: bodies(1, 50), OTHER: [*bodies(51, 59), b"no event"]}, gone=9), MemoryPlace()
    for _ in range(2):

        def die(batch: object) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            straight(tmp_path, feed, between(target_of(place), die), now_ns=lambda: 10**18).run_once()
    straight(tmp_path, feed, target_of(place), now_ns=lambda: 10**18).run_once()
    thirds = [place.taken[at : at + len(place.taken) // 3] for at in range(0, len(place.taken), len(place.taken) // 3)]
    assert thirds[0] == thirds[1] == thirds[2]
    gaps = [check_event(json.loads(each)) for _, each in thirds[0] if b"auditmw.gap" in each]
    assert [gap["data"] for gap in gaps] == [{"count": 9, "before": 10}] * 2
    assert gaps[0]["id"] != gaps[1]["id"]
    assert gaps[0]["timestamp"] == json.loads(body(10))["timestamp"]
    [status] = collecting(tmp_path)
    assert (status.counts["missing"], status.counts["set_aside"]) == (18, 1)


def test_events_without_a_record_in_the_format_are_left_out_and_counted(tmp_path):
    feed, place = Listed({TRACK: bodies(1, 5)}), MemoryPlace()
    target = target_of(place)
    target.format = record_format("nginx:combined")
    straight(tmp_path, feed, target).run_once()
    assert taken(place) == []
    assert collecting(tmp_path)[0].counts["left_out"] == 5


def test_the_state_of_another_stream_is_refused(tmp_path):
    feed, place = Listed({TRACK: bodies(1, 5)}), MemoryPlace()
    straight(tmp_path, feed, target_of(place)).run_once()
    with pytest.raises(CursorError, match=r"cursor of this stream \(other\).*another --name"):
        straight(tmp_path, feed, target_of(place), stream="other").run_once()


def test_a_stream_that_was_made_again_begins_again(tmp_path):
    place = MemoryPlace()
    straight(tmp_path, Listed({TRACK: bodies(1, 5)}), target_of(place)).run_once()
    straight(tmp_path, Listed({OTHER: bodies(6, 9)}), target_of(place)).run_once()
    assert taken(place) == idents(1, 9)


def test_of_two_with_one_state_one_works(tmp_path):
    feed, place = Listed({TRACK: bodies(1, 5)}), MemoryPlace()
    first = straight(tmp_path, feed, target_of(place))
    inside: list[bool] = []
    target = between(
        target_of(place), lambda batch: inside.append(straight(tmp_path, feed, target_of(place)).run_once())
    )
    first = straight(tmp_path, feed, target)
    assert first.run_once()
    assert inside == [False]
    assert taken(place) == idents(1, 5)


@pytest.mark.parametrize("kind", DIFFICULT)
def test_difficult_events_arrive_or_are_set_aside(tmp_path, kind):
    feed, place = Listed({TRACK: [body(101), DIFFICULT[kind], body(102)]}), MemoryPlace()
    straight(tmp_path, feed, target_of(place)).run_once()
    [status] = collecting(tmp_path)
    assert status.counts["shipped"] + status.counts.get("set_aside", 0) == 3
    assert {ident(101), ident(102)} <= set(taken(place))
    if status.counts["shipped"] == 3:
        assert DIFFICULT[kind] in [record for _, record in place.taken]


def test_a_damaged_cursor_costs_doubles_and_no_event(tmp_path):
    feed, place = Listed({TRACK: bodies(1, 30)}), MemoryPlace()
    straight(tmp_path, feed, target_of(place)).run_once()
    cursor = tmp_path / COLLECT / "place" / "cursor.json"
    cursor.write_bytes(cursor.read_bytes()[:-30])
    straight(tmp_path, feed, target_of(place)).run_once()
    assert taken(place) == idents(1, 30) * 2
    assert zlib.crc32(cursor.read_bytes()[:-19])  # a new one
