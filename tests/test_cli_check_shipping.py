"""`auditmw check` about shipping: what is wrong with a target is found, said, and comes with what to do."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

import auditmw
from auditmw.cli.checks.shipping import check_begun, check_quota, check_shipping, check_target
from auditmw.cli.program import program
from auditmw.journal import journal_files
from auditmw.journal.cursor import Cursor, save
from auditmw.ship import status as statuses
from auditmw.ship.lease import Lease
from auditmw.ship.shipper import Shipper
from auditmw.ship.status import Lag, Status
from auditmw.ship.target import RetryableError
from journal_tools import needs_root, tmpfs, wait_until
from ship_conformance import FakeTime, body, write_events
from ship_places import MemoryPlace

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
GONE = 2**22 + 1  # a process number beyond the largest one (proc_sys_kernel(5), pid_max)


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "audit"
    path.mkdir()
    write_events(path, [body(1), body(2)])
    return path


def ship(directory, place, name="place"):
    fake = FakeTime()
    return Shipper(directory, place.target(), name=name, clock=fake.clock, wait=fake.wait).run_once()


def shipped(directory):
    place = MemoryPlace()
    ship(directory, place)
    return place


def told(findings):
    found = list(findings)
    assert all(each.advice or each.level == "ok" for each in found)
    return {each.check: (each.level, each.seen) for each in found}


def in_state(directory, **changes):
    """Have the shipper say something else about itself."""
    [found] = statuses.statuses(directory)
    statuses.write(directory / "ship" / "place", replace(found, **changes))


def stamp(moment):
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_where_nothing_is_shipped_nothing_is_said(directory):
    assert told(check_shipping(directory, NOW)) == {}


def test_a_target_that_has_everything_is_well(directory):
    shipped(directory)
    assert told(check_shipping(directory, NOW)) == {
        "ship.target": ("ok", "place: 2 events shipped, 0 wait (stopped)"),
    }


def test_the_command_says_it_among_the_rest(directory):
    shipped(directory)
    write_events(directory, [body(3)])
    result = CliRunner().invoke(program, ["check", str(directory)])
    found = {each["check"]: each for each in map(json.loads, result.stdout.splitlines())}
    assert found["ship.running"]["level"] == "warn"
    assert found["ship.running"]["seen"] == "place: 1 events wait, and no shipper runs (stopped)"
    assert found["ship.running"]["advice"] == "start it, or remove ship/place if the target was given up"


def test_a_target_that_is_away_and_one_that_refuses_us_are_told_apart():
    error = {"last_error": "no route", "last_error_at": "2026-11-21T11:59:59.000Z", "updated": stamp(NOW)}
    waiting = Status("place", "x:", "retrying", **error)
    assert told(check_target(waiting, NOW)) == {
        "ship.target": ("warn", "place: retrying, 2026-11-21T11:59:59.000Z: no route")
    }
    refused = replace(waiting, state="unusable")
    assert told(check_target(refused, NOW))["ship.target"][0] == "fail"


@pytest.mark.parametrize(
    ("counts", "check", "says"),
    [
        ({"rejected": 5}, "ship.rejected", "place: 5 events were dropped by the target"),
        ({"missing": 1}, "ship.missing", "place: 1 numbers of the journal are nowhere"),
        ({"damaged": 2}, "ship.damaged", "place: 2 damaged places"),
        ({"left_out": 1000}, "ship.left_out", "place: 1,000 events have no record in the format"),
    ],
)
def test_what_did_not_arrive_is_told(counts, check, says):
    level, seen = told(check_target(Status("place", "x:", "stopped", counts=counts), NOW))[check]
    assert (level, seen[: len(says)]) == ("warn", says)


def test_dead_letters_are_told(directory):
    place = MemoryPlace()
    write_events(directory, [place.poison])
    ship(directory, place)
    assert told(check_shipping(directory, NOW))["ship.dead_letters"] == ("warn", "place: 1 dead letters")


def test_a_lag_is_told_once_it_is_minutes(directory):
    shipped(directory)
    write_events(directory, [body(3)])  # of the day before
    in_state(directory, state="idle", pid=os.getpid(), updated=stamp(NOW))
    level, seen = told(check_shipping(directory, NOW))["ship.lag"]
    assert (level, seen.partition(",")[0]) == ("warn", "place: 1 events wait (0.0 MiB)")
    assert told(check_shipping(directory, datetime(2026, 11, 20, 0, 1, tzinfo=UTC))) == {
        "ship.target": ("ok", "place: 2 events shipped, 1 wait (idle)")
    }


def test_a_shipper_that_hangs_is_told_from_one_that_works(directory):
    shipped(directory)
    in_state(directory, state="idle", pid=os.getpid(), updated=stamp(NOW - timedelta(minutes=4)))
    assert "ship.silent" not in told(check_shipping(directory, NOW))
    level, seen = told(check_shipping(directory, NOW + timedelta(minutes=6)))["ship.silent"]
    assert level == "fail"
    assert f"has said nothing for 10 minutes: its process {os.getpid()} hangs, or was stopped" in seen


def test_a_lock_whose_process_is_gone_is_told(directory):
    shipped(directory)
    lease = Lease(directory / "ship" / "place")
    assert lease.acquire()
    in_state(directory, state="shipping", pid=GONE, updated=stamp(NOW - timedelta(minutes=10)))
    level, seen = told(check_shipping(directory, NOW))["ship.silent"]
    assert (level, f"its process {GONE} is gone, and another one" in seen) == ("fail", True)
    lease.release()
    assert "ship.silent" not in told(check_shipping(directory, NOW))


def test_a_shipper_that_was_asked_to_wait_for_an_hour_may_be_silent_as_long():
    status = Status("place", "x:", "retrying", pid=os.getpid(), updated=stamp(NOW - timedelta(minutes=55)))
    assert told(check_target(status, NOW)) == {}
    assert "ship.silent" in told(check_target(status, NOW + timedelta(minutes=11)))


@pytest.mark.parametrize(
    ("break_it", "level", "says"),
    [
        pytest.param(lambda folder: (folder / "cursor.json").write_bytes(b"{"), "fail", "is damaged", id="damaged"),
        pytest.param(
            lambda folder: save(folder / "cursor.json", Cursor("0123")),
            "fail",
            "that of another journal (0123)",
            id="another journal",
        ),
        pytest.param(
            lambda folder: (folder.parent / "journal-id").unlink(), "fail", "No such file", id="no name of the journal"
        ),
    ],
)
def test_a_cursor_that_cannot_be_used_is_told(directory, break_it, level, says):
    shipped(directory)
    break_it(directory / "ship" / "place")
    found = told(check_shipping(directory, NOW))["ship.cursor"]
    assert (found[0], says in found[1]) == (level, True), found


@pytest.mark.parametrize(
    ("state", "check"), [("stopped", "ship.begun"), ("gone", "ship.begun"), ("retrying", "ship.target")]
)
def test_a_target_that_was_never_reached_is_told_once_and_why(directory, state, check):
    shipped(directory)
    (directory / "ship" / "place" / "cursor.json").unlink()
    in_state(directory, state=state, pid=os.getpid(), last_error="connection refused", updated=stamp(NOW))
    found = told(check_shipping(directory, NOW))
    assert set(found) - {"ship.lag"} == {check}
    assert "connection refused" in found[check][1]


@needs_root
def test_a_cursor_directory_that_is_read_only_is_told(tmp_path):
    with tmpfs(tmp_path / "disk", "size=2m") as disk:
        write_events(disk, [body(1)])
        shipped(disk)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        level, seen = told(check_shipping(disk, NOW))["ship.writable"]
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    assert (level, seen.endswith("cannot be written: nothing is sent that could not be accounted for")) == (
        "fail",
        True,
    )


@needs_root
def test_a_cursor_directory_of_somebody_else_is_told():
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to others
        directory = Path(folder)
        directory.chmod(0o755)
        write_events(directory, [body(1)])
        shipped(directory)
        (directory / "ship").chmod(0o700)
        os.seteuid(65534)
        try:
            found = told(check_shipping(directory, NOW))
        finally:
            os.seteuid(0)
    assert found == {"ship.readable": ("fail", f"{directory}/ship: Permission denied")}


def test_an_unreadable_file_of_the_journal_is_told():
    status = Status("place", "x:", "idle", unreadable=("a.jsonl: Permission denied",), updated=stamp(NOW))
    assert told(check_target(status, NOW))["ship.unreadable"][0] == "fail"


@pytest.mark.parametrize(
    ("options", "then"),
    [
        ({}, "events are lost, counted and told"),
        ({"when_full": "refuse"}, "requests are answered with 503"),
        ({"when_full": "drop_oldest_unshipped"}, "the oldest are removed, counted and told"),
    ],
    ids=["newest", "refuse", "oldest"],
)
@pytest.mark.parametrize(("share", "level"), [(0.5, "ok"), (0.75, "warn"), (0.95, "fail")])
def test_a_quota_that_is_nearly_full_is_told_with_what_happens_then(directory, options, then, share, level):
    used = sum(file.stat().st_size for file in journal_files(directory))
    audit = auditmw.Audit(directory, service="shop", quota_bytes=int(used / share), **options)
    found = told(check_quota(audit, directory))["quota"]
    assert found[0] == level
    assert f"{share:.0%} of the quota; when it is full, {then}" in found[1]


def test_files_that_every_target_has_are_no_reason_to_worry_where_they_go_first(directory):
    used = sum(file.stat().st_size for file in journal_files(directory))
    audit = auditmw.Audit(directory, service="shop", quota_bytes=used, when_full="drop_oldest_unshipped")
    assert told(check_quota(audit, directory))["quota"][0] == "fail"
    place = shipped(directory)
    assert told(check_quota(audit, directory))["quota"] == (
        "ok",
        "0.0 MiB not shipped everywhere, 0% of the quota; when it is full, the oldest are removed, counted and told",
    )
    place.down()
    write_events(directory, [body(3)])
    with pytest.raises(RetryableError):
        ship(directory, place, name="other")
    assert told(check_quota(audit, directory))["quota"][0] == "fail"


def test_an_app_that_ships_by_itself_and_never_began_to_is_told(directory, tmp_path):
    audit = auditmw.Audit(directory, service="shop", ship=[f"file://{tmp_path}/out"])
    assert told(check_begun(audit))["ship.begun"][1].startswith(f"the app ships to file://{tmp_path}/out, and no")
    audit.policy.emit(json.loads(body(3)))
    wait_until(lambda: told(check_begun(audit)) == {})
    audit.close()


def test_without_a_quota_nothing_is_said_of_one(directory):
    assert told(check_quota(auditmw.Audit(directory, service="shop"), directory)) == {}


def test_a_status_of_the_future_is_no_silence():
    status = Status("place", "x:", "idle", lag=Lag(), updated=stamp(NOW + timedelta(hours=1)))
    assert told(check_target(status, NOW)) == {}
