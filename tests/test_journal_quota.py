"""The journal's quota: what gives way when it is full, and that every event is written, kept, or counted and told."""

from __future__ import annotations

import json
import os
import threading
from functools import partial
from wsgiref.util import setup_testing_defaults

import pytest
from werkzeug.test import Client

import auditmw
from auditmw.emitter import Emitter
from auditmw.health import Health
from auditmw.journal import Journal, JournalError, Quota, dead_writers, is_live, journal_files, read_lines
from auditmw.journal.cursor import held_files
from auditmw.ship.shipper import Shipper
from auditmw.ship.target import RetryableError
from journal_tools import Clock
from ship_conformance import FakeTime, body, ident, idents, write_events
from ship_places import MemoryPlace


def event(number):
    return json.loads(body(number, note="x" * 400))


def emitting(directory, clock, quota, **options):
    journal = Journal(directory, clock=clock, quota=quota, **options)
    return journal, Emitter(journal, Health(), {"name": "shop"})


def kept(directory):
    events = [json.loads(line.body) for line in read_lines(directory)]
    gaps = [each for each in events if each["event"] == "auditmw.gap"]
    return [each["id"] for each in events if each["event"] != "auditmw.gap"], gaps


def ship(directory, place):
    fake = FakeTime()
    return Shipper(directory, place.target(), name="place", clock=fake.clock, wait=fake.wait).run_once()


def remove_what_was_shipped(directory):
    """What the archive does with files that no shipper needs any more."""
    for file in journal_files(directory):
        if file.name not in held_files(directory) and not is_live(file):
            file.unlink()


def test_an_outage_of_ten_minutes_with_a_full_quota_loses_the_newest_and_tells_exactly_how_many(tmp_path):
    clock, place = Clock(), MemoryPlace()
    journal, emitter = emitting(tmp_path, clock, Quota(100_000), rotate_bytes=20_000)
    place.down()
    written = []
    for number in range(1, 601):  # one a second
        clock.now += 1
        if emitter.emit(event(number)):
            written.append(ident(number))
        if number % 60 == 0:
            with pytest.raises(RetryableError):
                ship(tmp_path, place)
    assert 100 < len(written) < 200
    assert written == idents(1, len(written))
    place.up()
    ship(tmp_path, place)
    remove_what_was_shipped(tmp_path)
    clock.now += 1
    assert emitter.emit(event(601))
    ship(tmp_path, place)
    shipped = [json.loads(row) for _, row in place.rows()]
    [gap] = [each for each in shipped if each["event"] == "auditmw.gap"]
    assert gap["data"]["count"] == 600 - len(written)
    assert gap["data"]["first"] == event(len(written) + 1)["timestamp"]
    assert gap["data"]["last"] == event(600)["timestamp"]
    assert "its quota is 100000" in gap["data"]["reason"]
    assert [each["id"] for each in shipped if each["event"] != "auditmw.gap"] == [*written, ident(601)]
    journal.close()


def test_the_oldest_give_way_on_request_and_are_counted_exactly(tmp_path):
    clock, place = Clock(), MemoryPlace()
    journal, emitter = emitting(tmp_path, clock, Quota(100_000, drop_oldest=True), rotate_bytes=20_000)
    place.down()
    for number in range(1, 601):
        clock.now += 1
        assert emitter.emit(event(number))
    size = sum(file.stat().st_size for file in journal_files(tmp_path))
    assert size <= 102_000
    ids, gaps = kept(tmp_path)
    assert ids == idents(600 - len(ids) + 1, 600)  # none but the oldest
    # Gap events are dropped as well; the next one counts what they told of.
    assert sum(gap["data"]["count"] for gap in gaps) == 600 - len(ids)
    assert min(gap["data"]["first"] for gap in gaps) == event(1)["timestamp"]
    assert gaps[-1]["data"]["last"] == event(600 - len(ids))["timestamp"]
    place.up()
    ship(tmp_path, place)
    assert len(place.rows()) == len(ids) + len(gaps)
    journal.close()


def test_every_event_is_kept_or_counted_when_the_oldest_give_way(tmp_path):
    clock = Clock()
    counted = []
    quota = Quota(30_000, drop_oldest=True)
    journal = Journal(tmp_path, clock=clock, quota=quota, rotate_bytes=5_000)
    quota.on_dropped = counted.append
    for number in range(1, 301):
        clock.now += 1
        journal.append(body(number))
    ids, _ = kept(tmp_path)
    assert sum(dropped.events for dropped in counted) + len(ids) == 300
    assert counted[0].first == json.loads(body(1))["timestamp"]
    assert counted[-1].last == json.loads(body(300 - len(ids)))["timestamp"]
    journal.close()


def test_what_was_shipped_goes_first_and_is_not_counted(tmp_path):
    clock, place, counted = Clock(), MemoryPlace(), []
    old = write_events(tmp_path, [body(n) for n in range(1, 11)])
    place.is_down = True
    with pytest.raises(RetryableError):
        ship(tmp_path, place)
    place.is_down = False
    new = write_events(tmp_path, [body(n) for n in range(11, 41)])
    ship(tmp_path, place)
    waiting = write_events(tmp_path, [body(n) for n in range(41, 51)])
    os.utime(tmp_path / "journal" / f"{waiting}.000001.jsonl", (1, 1))  # the oldest of all
    size = sum(file.stat().st_size for file in journal_files(tmp_path))
    quota = Quota(size, drop_oldest=True)
    quota.on_dropped = counted.append
    journal = Journal(tmp_path, clock=clock, quota=quota)
    journal.append(body(51))
    names = {file.name for file in journal_files(tmp_path)}
    assert counted == []
    assert f"{waiting}.000001.jsonl" in names
    assert not {f"{old}.000001.jsonl", f"{new}.000001.jsonl"} <= names
    journal.close()


def test_of_a_file_that_is_shipped_in_part_only_the_rest_is_counted(tmp_path):
    place, counted = MemoryPlace(), []
    journal = Journal(tmp_path)
    for number in range(1, 8):
        journal.append(body(number))
    ship(tmp_path, place)
    for number in range(8, 11):
        journal.append(body(number))
    journal.close()
    quota = Quota(10, drop_oldest=True)
    quota.on_dropped = counted.append
    assert quota.check(str(tmp_path)) is None
    assert [dropped.events for dropped in counted] == [3]


def test_two_processes_that_make_room_count_each_event_once(tmp_path):
    for _ in range(20):
        write_events(tmp_path, [body(n) for n in range(10)])
    counted = []
    quotas = [Quota(1, drop_oldest=True) for _ in range(4)]
    for quota in quotas:
        quota.on_dropped = counted.append
    threads = [threading.Thread(target=quota.check, args=(str(tmp_path),)) for quota in quotas]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(dropped.events for dropped in counted) == 200
    assert journal_files(tmp_path) == []


def test_what_is_being_written_never_gives_way(tmp_path):
    other = Journal(tmp_path)
    other.append(body(1))
    journal = Journal(tmp_path, quota=Quota(1, drop_oldest=True))
    with pytest.raises(JournalError, match="its quota is 1"):
        journal.append(body(2))
    assert kept(tmp_path)[0] == [ident(1)]
    other.close()
    journal.close()


def test_a_writer_that_finds_it_full_lets_its_file_be_archived_and_lives_on(tmp_path):
    clock = Clock()
    journal = Journal(tmp_path, clock=clock, quota=Quota(500))
    journal.append(body(1))
    journal.append(body(2))
    for _ in range(3):
        clock.now += 1
        with pytest.raises(JournalError):
            journal.append(body(3))
    first, second = journal_files(tmp_path)
    assert (is_live(first), is_live(second), second.stat().st_size) == (False, True, 0)
    assert dead_writers(tmp_path) == frozenset()
    first.unlink()
    clock.now += 1
    journal.append(body(4))
    assert [line.seq for line in read_lines(tmp_path)] == [3]
    journal.close()


def test_a_full_quota_refuses_requests_where_that_was_chosen(tmp_path):
    audit = auditmw.Audit(tmp_path, service="shop", quota_bytes=1, when_full="refuse")
    write_events(tmp_path, [body(1)])
    called = []

    def app(environ, start_response):
        called.append(environ)
        start_response("200 OK", [])
        return [b""]

    environ, answers = {}, []
    setup_testing_defaults(environ)
    shell = auditmw.WSGIAudit(app, audit)
    result = shell(environ, lambda status, headers, info=None: answers.append(status) or (lambda data: None))
    b"".join(result)
    getattr(result, "close", lambda: None)()
    assert (called, answers[0][:3]) == ([], "503")
    assert audit.health()["status"] == "degraded"
    audit.close()


def test_an_outage_of_ten_minutes_refuses_what_could_not_be_recorded_and_tells_exactly_how_many(tmp_path, monkeypatch):
    clock, place, called = Clock(), MemoryPlace(), []
    monkeypatch.setattr("auditmw.audit.Journal", partial(Journal, clock=clock))
    audit = auditmw.Audit(tmp_path, service="shop", quota_bytes=100_000, rotate_bytes=20_000, when_full="refuse")

    def app(environ, start_response):
        called.append(environ["PATH_INFO"])
        start_response("200 OK", [])
        return [b"done"]

    client = Client(auditmw.WSGIAudit(app, audit))
    place.down()
    answers = []
    for number in range(600):  # one a second
        clock.now += 1
        answers.append(client.get(f"/{number}").status_code)
        if number % 60 == 0:
            with pytest.raises(RetryableError):
                ship(tmp_path, place)
    served = answers.count(200)
    assert answers == [200] * served + [503] * (600 - served)
    assert called == [f"/{number}" for number in range(served)]
    assert 20 < served < 300
    place.up()
    ship(tmp_path, place)
    remove_what_was_shipped(tmp_path)
    clock.now += 1
    assert client.get("/again").status_code == 200
    ship(tmp_path, place)
    shipped = [json.loads(row) for _, row in place.rows()]
    paths = [each["url"]["path"] for each in shipped if each["event"] == "http_request"]
    assert paths == called  # also the last one, whose intent record took the last of the room
    [gap] = [each for each in shipped if each["event"] == "auditmw.gap"]
    assert gap["data"]["count"] == 600 - served
    audit.close()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param({"quota_bytes": 0}, "expected a quota of 1 byte or more, not 0", id="nothing"),
        pytest.param({"when_full": "panic"}, "not 'panic'", id="unknown"),
        pytest.param({"when_full": "refuse"}, "expected quota_bytes", id="no quota"),
    ],
)
def test_a_quota_that_is_none_is_refused(tmp_path, options, says):
    with pytest.raises(ValueError, match=says):
        auditmw.Audit(tmp_path, service="shop", **options)
