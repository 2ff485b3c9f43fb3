"""What collectors say about themselves: left, rate, errors, what was set aside; for people and for Prometheus."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from auditmw.cli.checks.collecting import check_collecting
from auditmw.cli.program import program
from auditmw.collect.collector import Collector
from auditmw.collect.progress import collected_metrics, collecting
from auditmw.ship.status import STATUS
from auditmw.ship.target import RetryableError, UnusableError
from listed_feed import TRACK, Listed, bodies
from ship_conformance import FakeTime, body
from ship_places import MemoryPlace
from test_collect_straight import straight, target_of

pytestmark = pytest.mark.needs("nats", "duckdb")

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Clock(FakeTime):
    """The same time for both clocks of a collector."""

    def now_ns(self) -> int:
        return int((NOW.timestamp() + self.seconds - 1000) * 1e9)

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds - 1000)


def collector(directory: Path, feed: Listed, time: Clock, **options: Any) -> Collector:
    settings = {"shown": "listed://h/AUDIT", "clock": time.clock, "wait": time.wait, "now_ns": time.now_ns}
    return Collector(directory, feed, **settings | options)


def at(number: int, moment: datetime) -> bytes:
    return body(number, timestamp=moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(program, ["collect", *arguments])


def test_a_collector_says_what_it_did_and_that_it_stopped(tmp_path):
    time = Clock()
    feed = Listed({TRACK: [*bodies(1, 20), b"no event", body(3)]}, gone=2)
    assert collector(tmp_path, feed, time).run_once()
    [status] = collecting(tmp_path, time.now())
    assert (status.name, status.state, status.stream) == ("listed", "stopped", "listed://h/AUDIT")
    assert status.target == str(tmp_path)
    kinds = {"collected": 18, "doubles": 1, "set_aside": 1, "missing": 2, "files": 1, "retries": 0}
    assert status.counts == kinds
    feed.tracks[TRACK] += bodies(21, 30)
    assert collector(tmp_path, feed, time).run_once()
    [status] = collecting(tmp_path, time.now())
    assert status.counts == kinds | {"collected": 28, "files": 2}  # of all processes


def test_what_is_left_is_told_with_the_age_of_the_oldest(tmp_path):
    time = Clock()
    old = NOW - timedelta(seconds=90)
    feed = Listed({TRACK: [at(n, old + timedelta(seconds=n)) for n in range(30)]}, at_once=10)
    each = collector(tmp_path, feed, time, most_events=10)
    seen = []
    each._on_collected = lambda counts: seen.append(each._lag())
    assert each.run_once()
    assert [(lag.events, lag.seconds) for lag in seen] == [(20, 81.0), (10, 71.0), (0, 0.0)]


@pytest.mark.parametrize(
    ("error", "state"), [(RetryableError("a node is down"), "retrying"), (UnusableError("wrong password"), "unusable")]
)
def test_a_failure_is_told_with_its_reason_and_what_waits_gets_older(tmp_path, error, state):
    time = Clock()
    feed = Listed({TRACK: [at(n, NOW - timedelta(seconds=60)) for n in range(20)]}, at_once=10)
    each = collector(tmp_path, feed, time, most_events=100)
    each._begin()
    each._gather(1)
    each._tell("collecting")
    each._pause(error)  # which waits, and so the time goes on
    [status] = collecting(tmp_path, time.now())
    assert (status.state, status.last_error, status.counts["retries"]) == (state, error.reason, 1)
    assert status.lag.events == 20
    assert status.lag.seconds == pytest.approx(60 + time.waits[0], abs=0.01)
    each._let_go()


class Away(Listed):
    """A feed whose server is away until it `is_there`."""

    is_there = False

    def connect(self) -> str:
        if not self.is_there:
            raise RetryableError("nobody answers")
        return super().connect()


def test_a_collector_whose_stream_was_never_reached_says_so_until_it_is(tmp_path):
    time, feed = Clock(), Away({TRACK: bodies(1, 5)})
    each = collector(tmp_path, feed, time, name="never-reached")
    each._attempt()
    [status] = collecting(tmp_path, time.now())
    assert (status.name, status.state, status.last_error) == ("never-reached", "retrying", "nobody answers")
    with pytest.raises(RetryableError):
        each.run_once()
    [status] = collecting(tmp_path, time.now())
    assert (status.state, status.last_error) == ("stopped", "nobody answers")
    feed.is_there = True
    assert each.run_once()
    [status] = collecting(tmp_path, time.now())
    assert (status.name, status.state, status.counts["collected"]) == ("listed", "stopped", 5)


def test_a_stream_that_is_away_later_is_told_where_it_was_told_before(tmp_path):
    time, feed = Clock(), Away({TRACK: bodies(1, 5)})
    feed.is_there = True
    assert collector(tmp_path, feed, time).run_once()
    feed.is_there = False
    each = collector(tmp_path, feed, time)
    each._attempt()
    [status] = collecting(tmp_path, time.now())
    assert (status.name, status.state, status.last_error) == ("listed", "retrying", "nobody answers")
    assert status.counts["collected"] == 5
    feed.is_there = True
    each._begin()
    assert collecting(tmp_path, time.now())[0].state == "collecting"
    each._let_go()


def test_a_collector_that_stands_by_does_not_speak_for_the_one_that_leads(tmp_path):
    time, feed = Clock(), Away({TRACK: bodies(1, 5)})
    feed.is_there = True
    leads = collector(tmp_path, feed, time)
    leads._begin()
    other = collector(tmp_path, Away({TRACK: []}), time)
    other._attempt()
    assert [status.state for status in collecting(tmp_path, time.now())] == ["collecting"]
    leads._let_go()


def test_the_seconds_go_on_when_a_collector_is_gone(tmp_path):
    time = Clock()
    collector(tmp_path, Listed({TRACK: bodies(1, 5)}), time).run_once()
    path = tmp_path / "collect" / "listed" / STATUS
    path.write_text(json.dumps(json.loads(path.read_text()) | {"state": "idle", "pid": 2**22 + 1}))
    time.seconds += 3600
    [status] = collecting(tmp_path, time.now())
    assert status.state == "gone"
    assert status.lag.seconds == pytest.approx(3600, abs=2)


def test_the_seconds_go_on_when_a_collector_hangs(tmp_path):
    time = Clock()
    each = collector(tmp_path, Listed({TRACK: []}), time)
    each._begin()
    each._tell("idle")
    assert collecting(tmp_path, time.now())[0].lag.seconds == 0
    time.seconds += 60
    [status] = collecting(tmp_path, time.now())
    assert (status.state, status.pid) == ("idle", os.getpid())
    assert status.lag.seconds == 60
    each._let_go()


def test_prometheus_reads_what_is_told_of_both_ways_to_collect(tmp_path):
    time = Clock()
    collector(tmp_path, Listed({TRACK: [*bodies(1, 5), b"x"]}), time).run_once()
    straight(tmp_path, Listed({TRACK: bodies(1, 7)}), target_of(MemoryPlace())).run_once()
    text = collected_metrics(collecting(tmp_path))
    kinds = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    measures = ("lag_events", "lag_seconds", "events_per_second", "dead_letters", "up", "events_total")
    assert kinds == {f"auditmw_collect_{name}" for name in measures}
    archived = f'name="listed",target="{tmp_path}",stream="listed://h/AUDIT"'
    assert f'auditmw_collect_events_total{{{archived},kind="collected"}} 5\n' in text
    assert f'auditmw_collect_events_total{{{archived},kind="set_aside"}} 1\n' in text
    assert 'auditmw_collect_events_total{name="place",target="place",stream="listed://",kind="shipped"} 7\n' in text
    assert f"auditmw_collect_up{{{archived}}} 0\n" in text


def test_the_command_shows_it_and_says_what_to_look_at(tmp_path):
    collector(tmp_path, Listed({TRACK: [*bodies(1, 5), b"x"]}, gone=1), Clock()).run_once()
    shown = run("--status", "--into", str(tmp_path), "-o", "ndjson")
    assert shown.exit_code == 1
    told = json.loads(shown.stdout)
    assert told["counts"]["collected"] == 4
    said = " ".join(shown.stderr.split())
    assert "1 messages are no events" in said
    assert "1 messages were gone before they were collected" in said
    table = run("--status", "--into", str(tmp_path))
    assert "listed" in table.output
    assert "stopped" in table.output
    metrics = run("--metrics", "--into", str(tmp_path))
    assert metrics.exit_code == 0
    assert "auditmw_collect_events_total" in metrics.output


def test_check_looks_at_collectors_too(tmp_path):
    time = Clock()
    collector(tmp_path, Listed({TRACK: bodies(1, 5)}), time).run_once()
    [fine] = check_collecting(tmp_path, time.now())
    assert (fine.check, fine.level, fine.seen) == ("collect", "ok", "listed: 5 events collected (stopped)")
    path = tmp_path / "collect" / "listed" / STATUS
    said = json.loads(path.read_text()) | {"pid": os.getpid(), "state": "unusable", "last_error": "wrong password"}
    path.write_text(
        json.dumps(said | {"counts": {"left_out": 1, "rejected": 2}, "lag": {"events": 3, "seconds": 400.0}})
    )
    (path.parent / "dead.jsonl").write_bytes(
        b'{"writer":"w","seq":1,"batch":"","reason":"","event":' + body(1) + b"}\n"
    )
    time.seconds += 7200
    found = {finding.check: finding.level for finding in check_collecting(tmp_path, time.now())}
    assert found == {
        "collect.source": "fail",
        "collect.silent": "fail",
        "collect.rejected": "warn",
        "collect.left_out": "warn",
        "collect.dead_letters": "warn",
        "collect.lag": "warn",
    }
    (path.parent / "dead.jsonl").unlink()
    path.write_text(json.dumps(said | {"counts": {}, "state": "stopped", "lag": {"events": 3}}))
    assert [finding.check for finding in check_collecting(tmp_path, time.now())] == ["collect.running"]


def test_where_nothing_was_collected_that_is_said(tmp_path):
    shown = run("--status", "--into", str(tmp_path))
    assert (shown.exit_code, "Nothing was collected here" in shown.output) == (0, True)
    assert run("--status", "--into", str(tmp_path / "nowhere")).exit_code == 3


WRONG = {
    "neither": (["nats://h/A"], "either --into DIRECTORY or --to URL"),
    "both": (["nats://h/A", "--into", "x", "--to", "stdout:", "--state", "y"], "not both"),
    "no state": (["nats://h/A", "--to", "stdout:"], "--to needs --state DIRECTORY"),
    "a state too many": (["nats://h/A", "--into", "x", "--state", "y"], "--state belongs to --to"),
    "letters of a directory": (["nats://h/A", "--into", "/dev/null", "--replay"], "--name belong to --to"),
    "a format of a directory": (["nats://h/A", "--into", "/dev/null", "--format", "ecs"], "--name belong to --to"),
    "a name of a directory": (["nats://h/A", "--into", "/dev/null", "--name", "n"], "--name belong to --to"),
    "no stream": (["--into", "x"], "say what to collect from"),
    "the status of nobody": (["--status"], "say which collector"),
    "two at once": (["--status", "--metrics", "--into", "x"], "one of --once, --status"),
    "an unknown target": (["nats://h/A", "--to", "ftp://h", "--state", "y"], "as the scheme of a target"),
    "a name for two": (
        ["nats://h/A", "--to", "a:", "--to", "b:", "--state", "y", "--name", "n"],
        "--name n is for one",
    ),
    "the same twice": (["nats://h/A", "--to", "stdout:", "--to", "stdout:", "--state", "y"], "is there twice"),
    "an unknown format": (["nats://h/A", "--to", "stdout:", "--state", "y", "--format", "nope"], "nope"),
}


@pytest.mark.parametrize(("arguments", "said"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_meant_is_refused(tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in result.output
    assert list(tmp_path.iterdir()) == []


def test_the_streams_url_may_come_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("AUDITMW_COLLECT", "nats://collector:s3cret@127.0.0.1:1/A?timeout=1")
    result = run("--into", str(tmp_path), "--once")
    assert result.exit_code == 3
    assert result.output.count("cannot be used now") == 1
    assert "s3cret" not in result.output
