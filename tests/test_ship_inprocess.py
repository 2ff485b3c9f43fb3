"""`Audit(..., ship=[URL])`: who ships, when it starts, and what becomes of it in forked processes."""

from __future__ import annotations

import io
import json
import logging
import os
import threading

import pytest

import auditmw
from auditmw.ship.address import AddressError
from journal_tools import run_script, wait_until
from ship_conformance import body, write_events


@pytest.fixture
def audit(tmp_path):
    audits = []

    def make(**options):
        audits.append(auditmw.Audit(tmp_path / "audit", service="shop", **options))
        return audits[-1]

    yield make
    for each in audits:
        each.close()


def shipping_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("auditmw ship")]


def names(out):
    return [json.loads(line)["event"] for line in out.read_bytes().split(b"\n")[:-1]] if out.exists() else []


def emit(audit, name):
    audit.policy.emit({"id": name, "timestamp": "2026-11-20T00:00:00.000000Z", "event": name})


def test_the_thread_starts_with_the_first_event_and_ships_it(audit, tmp_path):
    out = tmp_path / "out.ndjson"
    one = audit(ship=[f"file://{out}"])
    assert shipping_threads() == []
    emit(one, "first")
    assert len(shipping_threads()) == 1
    wait_until(lambda: names(out) == ["first"])
    emit(one, "second")
    wait_until(lambda: names(out) == ["first", "second"])
    wait_until(lambda: one.health()["shipping"][0]["lag"]["events"] == 0)
    assert one.health()["shipping"][0]["target"] == f"file://{out}"
    one.close()
    assert shipping_threads() == []
    assert one.health()["status"] == "ok"


def test_a_backlog_takes_no_further_thread_from_the_application(audit, tmp_path):
    write_events(tmp_path / "audit", [body(number) for number in range(1, 2501)])
    out = tmp_path / "out.ndjson"
    before = set(threading.enumerate())
    one = audit(ship=[f"file://{out}"])
    emit(one, "last")
    wait_until(lambda: len(names(out)) == 2501)
    assert set(threading.enumerate()) - before == set(shipping_threads())


def test_a_target_that_fails_is_told_and_breaks_nothing(audit, tmp_path, caplog):
    one = audit(ship=[f"file://{tmp_path}/nowhere/out"])
    with caplog.at_level(logging.WARNING):
        emit(one, "first")
        wait_until(lambda: one.health().get("shipping") and one.health()["shipping"][0]["last_error"])
    assert "No such file or directory" in one.health()["shipping"][0]["last_error"]
    assert one.health()["shipping"][0]["lag"]["events"] == 1


def test_without_ship_there_is_no_thread_and_nothing_is_said_of_shipping(audit):
    one = audit()
    emit(one, "first")
    assert shipping_threads() == []
    assert "shipping" not in one.health()


@pytest.mark.parametrize(
    ("ship", "error", "says"),
    [
        pytest.param("stdout:", TypeError, "put it in a list", id="no list"),
        pytest.param(["gopher://x"], AddressError, "expected one of stdout:, file:", id="unknown scheme"),
        pytest.param(["file:events.ndjson"], AddressError, "expected file:///path", id="relative path"),
        pytest.param(["file:///x?y=z"], AddressError, "has no option 'y'", id="unknown option"),
    ],
)
def test_what_cannot_be_shipped_to_is_refused_at_once(audit, ship, error, says):
    with pytest.raises(error, match=says):
        audit(ship=ship)


def test_a_stream_cannot_be_shipped():
    with pytest.raises(ValueError, match="expected a directory"):
        auditmw.Audit(io.BytesIO(), service="shop", ship=["stdout:"])


FORKING = """
import os, sys, time, json
import auditmw
directory, out = sys.argv[1:]
audit = auditmw.Audit(directory, service="shop", ship=["file://" + out])

def emit(name):
    audit.policy.emit({"id": name, "timestamp": "2026-11-20T00:00:00.000000Z", "event": name})

def shipped(*wanted):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = [json.loads(line)["event"] for line in open(out) if line.endswith("\\n")] if os.path.exists(out) else []
        if sorted(found) == sorted(wanted):
            return True
        time.sleep(0.01)
    return False

emit("parent")
assert shipped("parent")
read, write = os.pipe()
child = os.fork()
if not child:
    emit("child")
    os.read(read, 1)  # the parent goes first
    if not shipped("parent", "child"):
        os._exit(1)
    emit("child alone")  # the child's thread has taken over
    os._exit(0 if shipped("parent", "child", "child alone") else 2)
assert shipped("parent", "child")
audit.close()
os.write(write, b"x")
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_ships_by_itself_once_the_parent_is_gone(tmp_path):
    assert run_script(FORKING, tmp_path / "audit", tmp_path / "out.ndjson").strip() == "0"


def test_construction_does_no_io(tmp_path):
    auditmw.Audit(tmp_path / "audit", service="shop", ship=[f"file://{tmp_path}/out"])
    assert os.listdir(tmp_path) == []
