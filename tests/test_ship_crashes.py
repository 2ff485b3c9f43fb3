"""Shipping and kill -9: at every step, in any order of what else happens, and in real processes."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from auditmw.journal import Journal, is_live, journal_files
from auditmw.journal.cursor import held_files
from auditmw.ship.shipper import Shipper
from auditmw.ship.status import statuses
from auditmw.ship.target import RetryableError
from ship_conformance import FakeTime, body, ident, idents, write_events
from ship_crashes import Died, dying_target, mortal
from ship_places import KeepingPlace, KeepingTarget, MemoryPlace, MemoryTarget

POISON = MemoryPlace.poison


def target_of(place, max_events):
    kind = KeepingTarget if isinstance(place, KeepingPlace) else MemoryTarget
    return kind(place, max_events=max_events)


def shipper_to(directory, target):
    fake = FakeTime()
    return Shipper(directory, target, name="place", clock=fake.clock, wait=fake.wait)


@pytest.mark.parametrize("kind", [MemoryPlace, KeepingPlace])
def test_whatever_the_step_at_which_it_dies_the_next_shipper_goes_on(tmp_path, kind):
    bodies = [*(body(n) for n in range(1, 13)), POISON, *(body(n) for n in range(13, 24))]
    died = 0
    for at in range(1, 200):
        directory = tmp_path / str(at)
        directory.mkdir()
        write_events(directory, bodies)
        place = kind()
        try:
            with mortal(at) as life:
                shipper_to(directory, dying_target(target_of(place, 8), life)).run_once()
        except Died:
            died += 1
        shipper_to(directory, target_of(place, 8)).run_once()
        ids = [name for name, _ in place.rows()]
        assert list(dict.fromkeys(ids)) == idents(1, 23), f"died at step {at}"
        if kind.once:
            assert ids == idents(1, 23), f"died at step {at}"
        else:
            assert len(ids) <= 23 + 8, f"died at step {at}: more than one batch came again"
        [status] = statuses(directory)
        assert (status.dead_letters, status.counts["shipped"], status.counts["dead"]) == (1, 23, 1), f"at step {at}"
        shutil.rmtree(directory)
        if died < at - 1:
            break
    assert died > 30


def test_a_cursor_that_is_damaged_after_a_crash_makes_no_dead_letter_twice(tmp_path):
    for at in range(1, 60):
        directory, place = tmp_path / str(at), KeepingPlace()
        directory.mkdir()
        write_events(directory, [body(1), POISON, body(2)])
        try:
            with mortal(at) as life:
                shipper_to(directory, dying_target(target_of(place, 5), life)).run_once()
        except Died:
            pass
        for cursor in directory.glob("ship/*/cursor.json"):
            cursor.write_bytes(cursor.read_bytes()[:-5])
        with contextlib.suppress(Died), mortal(6):  # it has a new cursor by then, or not
            shipper_to(directory, target_of(place, 5)).run_once()
        assert shipper_to(directory, target_of(place, 5)).run_once()
        assert [name for name, _ in place.rows()] == idents(1, 2)
        assert [status.dead_letters for status in statuses(directory)] == [1], at


def test_a_batch_that_is_made_up_otherwise_after_a_crash_makes_no_dead_letter_twice(tmp_path):
    poison = [POISON.replace(b'"id":"poison"', b'"id":"poison-%d"' % number) for number in range(5)]
    for at in range(20, 80):
        directory, place = tmp_path / str(at), KeepingPlace()
        directory.mkdir()
        write_events(directory, poison)
        try:
            with mortal(at) as life:
                shipper_to(directory, dying_target(target_of(place, 5), life)).run_once()
        except Died:
            pass
        write_events(directory, [body(n) for n in range(1, 7)])  # of a writer with which the first one shares
        assert shipper_to(directory, target_of(place, 5)).run_once()
        assert [name for name, _ in place.rows()] == idents(1, 6)
        assert [status.dead_letters for status in statuses(directory)] == [5], at


def test_the_cursor_is_on_the_disk_before_it_has_its_name(tmp_path):
    write_events(tmp_path, [body(1)])
    with mortal(10_000) as life:
        shipper_to(tmp_path, dying_target(MemoryTarget(MemoryPlace()), life)).run_once()
    saves = [at for at in range(len(life.trace)) if life.trace[at - 2 : at + 1] == ["write", "fsync", "replace"]]
    assert len(saves) == 3  # the epoch, the batch that is to follow, and the end
    for at in saves:
        assert life.trace[at + 1 : at + 3] == ["open", "fsync"]  # of the folder
    answer = life.trace.index("answer")
    assert saves[1] < answer < saves[2]


class Shipping(RuleBasedStateMachine):
    """Writers that come and go, a target that fails, shippers that die, somebody who deletes what is not held."""

    place_kind: type[MemoryPlace] = MemoryPlace

    @initialize(limit=st.sampled_from([3, 1000]))
    def begin(self, limit):
        self.directory = Path(tempfile.mkdtemp())
        self.place = self.place_kind(limit=limit)
        self.writers: list[Journal] = []
        self.open: dict[str, list[int]] = {}  # of each writer, the requests under way
        self.written: dict[str, list[str]] = {}  # of each writer, what is to arrive, in order
        self.died: dict[str, set[str]] = {}  # and what its death left open
        self.poison = 0
        self.number = 0

    @rule()
    def start_a_writer(self):
        if len(self.writers) < 3:
            self.writers.append(Journal(self.directory, rotate_bytes=700))

    def next(self):
        self.number += 1
        return self.number

    def journal(self, at):
        if not self.writers:
            self.start_a_writer()
        return self.writers[at % len(self.writers)]

    @rule(at=st.integers(0, 2), count=st.integers(1, 9))
    def write(self, at, count):
        journal = self.journal(at)
        for _ in range(count):
            number = self.next()
            journal.append(body(number))
            self.written.setdefault(journal.writer, []).append(ident(number))

    @rule(at=st.integers(0, 2))
    def write_poison(self, at):
        self.journal(at).append(POISON.replace(b'"id":"poison"', b'"id":"poison-%d"' % self.next()))
        self.poison += 1

    @rule(at=st.integers(0, 2))
    def begin_a_request(self, at):
        journal, number = self.journal(at), self.next()
        journal.append(body(number, outcome={"result": "pending"}))
        self.open.setdefault(journal.writer, []).append(number)

    @rule(at=st.integers(0, 2))
    def end_a_request(self, at):
        journal = self.journal(at)
        if self.open.get(journal.writer):
            number = self.open[journal.writer].pop(0)
            journal.append(body(number))
            self.written.setdefault(journal.writer, []).append(ident(number))

    @rule(at=st.integers(0, 2))
    def end_a_writer(self, at):
        if self.writers:
            journal = self.writers.pop(at % len(self.writers))
            journal.close()
            self.died[journal.writer] = {ident(number) for number in self.open.pop(journal.writer, [])}

    @rule(down=st.booleans())
    def fail_or_work(self, down):
        self.place.is_down = down

    @rule(step=st.integers(1, 60))
    def ship_and_die(self, step):
        try:
            with mortal(step) as life:
                shipper_to(self.directory, dying_target(target_of(self.place, 5), life)).run_once()
        except (Died, RetryableError):
            pass

    @rule()
    def damage_the_cursor(self):
        if self.place_kind.once:  # then it counts no more than the target's
            for cursor in self.directory.glob("ship/*/cursor.json"):
                cursor.write_bytes(cursor.read_bytes()[:-5])

    @rule()
    def delete_what_nobody_needs(self):
        if not list(self.directory.glob("ship/*/cursor.json")):
            return
        held = held_files(self.directory)
        files = journal_files(self.directory)
        for file in files:
            if file.name not in held and not is_live(file):
                file.unlink()

    @precondition(lambda self: self.writers)
    @rule()
    def ship(self):
        self.place.is_down = False
        assert shipper_to(self.directory, target_of(self.place, 5)).run_once()
        self.check()

    def check(self):
        ids = [name for name, _ in self.place.rows()]
        if self.place.once:
            assert len(set(ids)) == len(ids)
        ids = list(dict.fromkeys(ids))
        cut = {name for left in self.died.values() for name in left}
        expected = {name for names in self.written.values() for name in names} | cut
        assert set(ids) == expected
        for names in self.written.values():
            mine = set(names)
            assert [name for name in ids if name in mine] == names
        for name, row in self.place.rows():
            assert (json.loads(row)["outcome"]["result"] == "unknown") == (name in cut)

    def teardown(self):
        if not hasattr(self, "directory"):
            return
        for journal in self.writers:
            journal.close()
            self.died[journal.writer] = {ident(number) for number in self.open.pop(journal.writer, [])}
        self.place.is_down = False
        assert shipper_to(self.directory, target_of(self.place, 5)).run_once()
        self.check()
        assert sum(status.dead_letters for status in statuses(self.directory)) == self.poison
        shutil.rmtree(self.directory)


class ShippingToAKeeper(Shipping):
    place_kind = KeepingPlace


TestShipping = Shipping.TestCase
TestShippingToAKeeper = ShippingToAKeeper.TestCase
TestShipping.settings = TestShippingToAKeeper.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None
)
