"""What every target of shipping must pass: one suite, run with a real journal and a real shipper.

A target's test file gives it a `Place`:

    from ship_conformance import Place, ShipConformance

    class TestMyTarget(ShipConformance):
        @pytest.fixture
        def place(self, my_server) -> Place:
            return MyPlace(my_server)
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auditmw.journal import Journal
from auditmw.ship.batch import Batch, Entry
from auditmw.ship.shipper import Shipper
from auditmw.ship.status import statuses
from auditmw.ship.target import Accepted, CursorKeeper, FencedError, RetryableError, ShipError, Target


class Place:
    """Where a target puts events, and how a test looks at it; each test gets an empty one."""

    once = False
    """Whether every event is there exactly once, whatever happens; otherwise an answer that was lost leaves doubles."""

    ordered = True
    """Whether `rows` gives the order in which events came."""

    exact = True
    """Whether `rows` gives the bytes of an event as the journal has them."""

    poison: bytes | None = None
    """An event's JSON that the target rejects, if there is such a thing."""

    can_be_down = True
    """Whether `down` and `up` do something."""

    def target(self) -> Target:
        """A new target for this place, as after a restart."""
        raise NotImplementedError

    def rows(self) -> list[tuple[str, bytes]]:
        """The id and the JSON of every event that is there, doubles too; waits until the place can be asked."""
        raise NotImplementedError

    def down(self) -> None:
        """Make the place fail, or not be reachable."""
        raise NotImplementedError

    def up(self) -> None:
        """Make it work again."""
        raise NotImplementedError


def body(number: int, **fields: Any) -> bytes:
    """An event that says which one it is."""
    stamp = f"2026-11-20T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}.{number:06d}Z"
    event = {
        "schema": "auditmw.event/1.0",
        "id": f"019aa000-0000-7000-8000-{number:012d}",
        "timestamp": stamp,
        "event": "test_happened",
        "level": "info",
        "severity": 9,
        "outcome": {"result": "success"},
        "service": {"name": "shop"},
    }
    return json.dumps(event | fields, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def ident(number: int) -> str:
    """The id of `body(number)`."""
    return f"019aa000-0000-7000-8000-{number:012d}"


def idents(first: int, last: int) -> list[str]:
    """The ids of the events from `first` to `last`."""
    return [ident(number) for number in range(first, last + 1)]


def write_events(directory: Path, bodies: list[bytes]) -> str:
    """Write events as a writer of their own, which is gone then; return the writer."""
    journal = Journal(directory)
    for each in bodies:
        journal.append(each)
    journal.close()
    return journal.writer


# Events that have broken pipelines: each must arrive, or become a dead letter, and hold up nobody.
DIFFICULT: dict[str, bytes] = {
    "a NUL in a string": body(1, note=b"a\\u0000b".decode("unicode_escape")),
    "an escaped NUL": body(2).replace(b'"test_happened"', b'"test\\u0000happened"'),
    "half of a surrogate pair, escaped": body(3).replace(b'"shop"', b'"\\ud800"'),
    "characters outside of the BMP": body(4, note="\U0001f600\U0010ffff"),
    "quotes, backslashes, tabs, line feeds": body(5, note="'\"\\\t\r\n;--{}%s$1"),
    "text that looks like COPY's end": body(6, note="\\."),
    "a large integer": body(7, n=2**63 - 1),
    "an integer that no column holds": body(8, n=10**30),
    "a small float": body(9, n=1e-300),
    "no timestamp": b'{"id":"%s","event":"x"}' % ident(10).encode(),
    "no id": b'{"event":"anonymous","n":11}',
    "an id that is a number": b'{"id":12,"event":"x","timestamp":"2026-11-20T00:00:00.000000Z"}',
    "a timestamp that is none": body(13, timestamp="yesterday"),
    "a timestamp before the epoch": body(14, timestamp="1601-01-01T00:00:00.000000Z"),
    "fields of other types": body(15, url="text", http=[1], user=None, level=7, duration_ms="long"),
    "an empty name": body(16, **{"": ""}),
    "the same name twice": body(17)[:-1] + b',"level":"error"}',
    "a long name": body(18, **{"n" * 20_000: 1}),
    "a long text": body(19, note="x" * 700_000),
    "deep nesting": body(20)[:-1] + b',"deep":' + b"[" * 100 + b"]" * 100 + b"}",
    "nesting that no parser goes down": body(22)[:-1] + b',"deep":' + b"[" * 3000 + b"]" * 3000 + b"}",
    "a timestamp in another zone": body(21, timestamp="2026-11-20T01:02:03+05:30"),
}


class FakeTime:
    """A clock that goes when somebody waits."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.waits: list[float] = []
        self.at_most = 1000

    def clock(self) -> float:
        """Seconds that never go back."""
        return self.seconds

    def wait(self, seconds: float) -> bool:
        """Let the time pass; True, to stop, after too many waits."""
        self.waits.append(seconds)
        self.seconds += seconds
        return len(self.waits) >= self.at_most


class Between(Target):
    """Stands before a target and lets something happen between it and the shipper."""

    def __init__(self, target: Target, after: Callable[[Batch], None]) -> None:
        self.max_events, self.max_bytes, self.format = target.max_events, target.max_bytes, target.format
        self._target = target
        self._after = after

    def record(self, entry: Entry, event: Any) -> bytes:
        """Ask the target."""
        return self._target.record(entry, event)

    def send(self, batch: Batch) -> Accepted:
        """Send, and then do what the test wants."""
        accepted = self._target.send(batch)
        self._after(batch)
        return accepted

    def close(self) -> None:
        """Close the target."""
        self._target.close()


class BetweenKeeper(Between):
    """The same before a target that keeps the cursor."""

    def claim(self, name: str) -> Any:
        """Ask the target."""
        return self._target.claim(name)

    def send_with_cursor(self, batch: Batch, cursor: Any) -> Accepted:
        """Send, and then do what the test wants."""
        accepted = self._target.send_with_cursor(batch, cursor)
        self._after(batch)
        return accepted


def between(target: Target, after: Callable[[Batch], None]) -> Target:
    """Have `after` called when the target has a batch and the shipper does not know yet."""
    return (BetweenKeeper if isinstance(target, CursorKeeper) else Between)(target, after)


class ShipConformance:
    """The suite. `place` is the subclass's fixture."""

    @pytest.fixture
    def directory(self, tmp_path: Path) -> Path:
        """An audit directory."""
        path = tmp_path / "audit"
        path.mkdir()
        return path

    @pytest.fixture
    def place(self) -> Place:
        raise NotImplementedError("give this suite a place")

    def shipper(self, directory: Path, target: Target, **options: Any) -> Shipper:
        """A shipper whose time is fake."""
        time = FakeTime()
        return Shipper(directory, target, name="place", **{"clock": time.clock, "wait": time.wait} | options)

    def ship(self, directory: Path, place: Place) -> None:
        """Ship everything, as a new process would."""
        assert self.shipper(directory, place.target()).run_once()

    def check(self, place: Place, expected: list[str], *, doubles: bool = False) -> None:
        """All of these are there, in this order; and exactly once, unless `doubles` may be."""
        ids = [ident for ident, _ in place.rows()]
        if doubles and not place.once:
            ids = list(dict.fromkeys(ids))
        if not place.ordered:
            ids, expected = sorted(ids), sorted(expected)
        assert ids == expected

    def test_every_event_arrives_once_and_in_order(self, place, directory):
        write_events(directory, [body(n) for n in range(1, 2501)])
        self.ship(directory, place)
        self.check(place, idents(1, 2500))
        self.ship(directory, place)  # nothing is new
        self.check(place, idents(1, 2500))

    def test_the_events_of_each_writer_keep_their_order(self, place, directory):
        for first in range(0, 3000, 500):
            write_events(directory, [body(n) for n in range(first + 1, first + 501)])
        self.ship(directory, place)
        ids = [ident for ident, _ in place.rows()]
        assert sorted(ids) == idents(1, 3000)
        if place.ordered:
            for first in range(0, 3000, 500):
                one = set(idents(first + 1, first + 500))
                assert [ident for ident in ids if ident in one] == idents(first + 1, first + 500)

    def test_what_arrives_is_what_the_journal_has(self, place, directory):
        bodies = [body(1), body(2, note="ünï\U0001f600", data={"a": [1, 2.5, None, True]}), body(3, note="x" * 5000)]
        write_events(directory, bodies)
        self.ship(directory, place)
        found = [row for _, row in place.rows()]
        if place.exact:
            assert sorted(found) == sorted(bodies)
        assert len(found) == 3

    def test_an_answer_that_is_lost_makes_no_event_lost(self, place, directory):
        write_events(directory, [body(n) for n in range(1, 1501)])
        lost = []

        def lose_the_first(batch: Batch) -> None:
            if not lost:
                lost.append(batch)
                raise RetryableError("the connection broke before the answer came")

        shipper = self.shipper(directory, between(place.target(), lose_the_first))
        with pytest.raises(RetryableError):
            shipper.run_once()
        self.ship(directory, place)
        self.check(place, idents(1, 1500), doubles=True)

    def test_a_shipper_that_dies_after_every_batch_loses_nothing(self, place, directory):
        write_events(directory, [body(n) for n in range(1, 101)])

        def die(batch: Batch) -> None:
            if len(batch):
                raise KeyboardInterrupt

        for died in range(200):
            target = place.target()
            target.max_events = 10
            shipper = self.shipper(directory, between(target, die) if died % 2 else target)
            try:
                shipper.run_once()
                break
            except KeyboardInterrupt:
                write_events(directory, [body(n) for n in range(died * 10 + 101, died * 10 + 111)] if died < 9 else [])
        ids = {ident for ident, _ in place.rows()}
        assert set(idents(1, 100)) <= ids
        if place.once:
            assert len(place.rows()) == len(ids)

    def test_poison_becomes_a_dead_letter_and_the_others_arrive(self, place, directory):
        if place.poison is None:
            pytest.skip("this target takes everything")
        bodies = [body(n) for n in range(1, 51)]
        write_events(directory, [*bodies[:17], place.poison, *bodies[17:]])
        self.ship(directory, place)
        self.check(place, idents(1, 50), doubles=True)
        [status] = statuses(directory)
        assert (status.dead_letters, status.counts["shipped"], status.counts["dead"]) == (1, 50, 1)
        target = place.target()
        assert self.shipper(directory, target).replay() == (0, 1)  # it is still poison
        target.close()

    @pytest.mark.parametrize("kind", DIFFICULT)
    def test_difficult_events_arrive_or_are_dead_letters(self, place, directory, kind):
        write_events(directory, [body(101), DIFFICULT[kind], body(102)])
        self.ship(directory, place)
        [status] = statuses(directory)
        assert status.counts.get("shipped", 0) + status.dead_letters + status.counts.get("left_out", 0) == 3
        rows = place.rows()
        assert {ident(101), ident(102)} <= {ident for ident, _ in rows}
        assert len(rows) == status.counts["shipped"]
        if place.exact and len(rows) == 3:
            assert DIFFICULT[kind] in [row for _, row in rows]

    def test_while_the_place_is_down_nothing_is_lost_and_the_error_says_why(self, place, directory):
        if not place.can_be_down:
            pytest.skip("this place is never down")
        write_events(directory, [body(n) for n in range(1, 11)])
        self.ship(directory, place)
        write_events(directory, [body(n) for n in range(11, 21)])
        place.down()
        try:
            with pytest.raises(ShipError) as caught:
                self.shipper(directory, place.target()).run_once()
            assert isinstance(caught.value, RetryableError)
            assert len(caught.value.reason) > 10
            [status] = statuses(directory)
            assert status.lag.events == 10
        finally:
            place.up()
        self.ship(directory, place)
        self.check(place, idents(1, 20), doubles=True)

    def test_a_target_that_lived_through_an_outage_goes_on(self, place, directory):
        if not place.can_be_down:
            pytest.skip("this place is never down")
        target = place.target()
        shipper = self.shipper(directory, target)
        write_events(directory, [body(1)])
        assert shipper.run_once()
        place.down()
        try:
            write_events(directory, [body(2)])
            with pytest.raises(RetryableError):
                shipper.run_once()
        finally:
            place.up()
        assert shipper.run_once()
        self.check(place, idents(1, 2), doubles=True)

    def test_closing_twice_is_closing_once_and_a_closed_target_can_send(self, place):
        target = place.target()
        target.close()
        target.close()
        each = body(1)
        entry = Entry("w", 1, ident(1), each, each)
        entry = entry._replace(record=target.record(entry, entry.event))
        assert target.send(Batch([entry])) == Accepted(1)
        target.close()
        assert target.send(Batch([])).events == 0
        target.close()
        self.check(place, idents(1, 1))

    def test_a_shipper_that_was_overtaken_is_fenced(self, place, directory):
        first = place.target()
        if not isinstance(first, CursorKeeper):
            pytest.skip("this target keeps no cursor")
        write_events(directory, [body(n) for n in range(1, 31)])
        first.max_events = 10

        def overtake(batch: Batch) -> None:
            if batch.entries and batch[0].id == ident(1):
                second = self.shipper(directory, place.target())
                assert second.run_once(take_over=True)

        with pytest.raises(FencedError):
            self.shipper(directory, between(first, overtake)).run_once()
        self.check(place, idents(1, 30))

    def test_a_fenced_send_changes_nothing(self, place):
        target, other = place.target(), place.target()
        if not isinstance(target, CursorKeeper) or not isinstance(other, CursorKeeper):
            pytest.skip("this target keeps no cursor")
        each = body(1)
        entry = Entry("w", 1, ident(1), each, each)
        entry = entry._replace(record=target.record(entry, entry.event))
        old = target.claim("journal/name")
        assert old.data is None
        new = other.claim("journal/name")
        assert new.epoch > old.epoch
        with pytest.raises(FencedError):
            target.send_with_cursor(Batch([entry]), kept("journal/name", old.epoch, b"old"))
        other.send_with_cursor(Batch([]), kept("journal/name", new.epoch, b"new"))
        assert place.rows() == []
        assert place.target().claim("journal/name").data == b"new"
        assert place.target().claim("journal/other").data is None
        target.close()
        other.close()


def kept(name: str, epoch: int, data: bytes) -> Any:
    """What a target is to keep."""
    from auditmw.ship.target import KeptCursor

    return KeptCursor(name, epoch, data)
