"""The archive beside shipping: a journal file goes when it is archived, and when every target has what is in it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from auditmw import read
from auditmw.archive import archive
from auditmw.journal import Journal
from auditmw.journal.cursor import held_files
from auditmw.ship.shipper import Shipper
from auditmw.ship.target import RetryableError
from ship_conformance import FakeTime, body, ident, idents, write_events
from ship_places import KeepingPlace, MemoryPlace, MemoryTarget

NO_GRACE = timedelta(0)


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "audit"
    path.mkdir()
    return path


def shipper(directory, target, name="place"):
    fake = FakeTime()
    return Shipper(directory, target, name=name, clock=fake.clock, wait=fake.wait)


def files(directory):
    return {file.name for file in (directory / "journal").iterdir()}


def ids(place):
    return [name for name, _ in place.rows()]


def test_without_a_target_archived_files_go_as_ever(directory):
    write_events(directory, [body(1)])
    assert archive(directory, grace=NO_GRACE).deleted == 1
    assert files(directory) == set()


@pytest.mark.parametrize("kind", [MemoryPlace, KeepingPlace])
def test_what_a_target_does_not_have_yet_stays_until_it_has(directory, kind):
    place = kind()
    write_events(directory, [body(1)])
    shipper(directory, place.target()).run_once()
    write_events(directory, [body(2)])
    place.down()
    with pytest.raises(RetryableError):
        shipper(directory, place.target()).run_once()
    archive(directory, grace=NO_GRACE)
    assert files(directory) == held_files(directory)
    assert len(files(directory)) == 1
    archive(directory, grace=NO_GRACE)  # it is asked again and again
    assert len(list(read(directory))) == 2  # and nothing is shown twice
    place.up()
    shipper(directory, place.target()).run_once()
    assert ids(place) == idents(1, 2)
    archive(directory, grace=NO_GRACE)
    assert files(directory) == set()


def test_the_slowest_of_several_targets_decides(directory):
    fast, slow = MemoryPlace(), MemoryPlace()
    write_events(directory, [body(1)])
    shipper(directory, fast.target(), "fast").run_once()
    slow.down()
    with pytest.raises(RetryableError):
        shipper(directory, slow.target(), "slow").run_once()
    archive(directory, grace=NO_GRACE)
    assert len(files(directory)) == 1
    slow.up()
    shipper(directory, slow.target(), "slow").run_once()
    archive(directory, grace=NO_GRACE)
    assert files(directory) == set()


def test_an_archive_step_between_any_two_batches_takes_nothing_away(directory):
    place, first = MemoryPlace(), 0
    for _ in range(5):
        write_events(directory, [body(n) for n in range(first + 1, first + 8)])
        first += 7

    def take(batch, real=place.take):
        archive(directory, grace=NO_GRACE)
        return real(batch)

    place.take = take
    shipper(directory, MemoryTarget(place, max_events=3)).run_once()
    assert sorted(ids(place)) == idents(1, 35)
    archive(directory, grace=NO_GRACE)
    assert files(directory) == set()
    assert len(list(read(directory))) == 35


def test_the_file_of_a_request_that_is_under_way_stays_for_its_target(directory):
    place = MemoryPlace()
    journal = Journal(directory, rotate_bytes=300)
    journal.append(body(1, outcome={"result": "pending"}))
    for n in range(2, 6):
        journal.append(body(n))
    shipper(directory, place.target()).run_once()
    archive(directory, grace=NO_GRACE)
    assert f"{journal.writer}.000001.jsonl" in files(directory)
    assert f"{journal.writer}.000002.jsonl" not in files(directory)
    journal.close()
    shipper(directory, place.target()).run_once()
    assert ids(place) == [*idents(2, 5), ident(1)]
    archive(directory, grace=NO_GRACE)
    assert files(directory) == set()


def test_a_target_that_nobody_ships_to_any_more_is_given_up_by_removing_its_folder(directory):
    place = MemoryPlace()
    place.down()
    write_events(directory, [body(1)])
    with pytest.raises(RetryableError):
        shipper(directory, place.target()).run_once()
    archive(directory, grace=NO_GRACE)
    assert len(files(directory)) == 1
    for file in (directory / "ship" / "place").iterdir():
        file.unlink()
    (directory / "ship" / "place").rmdir()
    archive(directory, grace=NO_GRACE)
    assert files(directory) == set()
