"""The examples run as they are, with the real servers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import auditmw
import journal_files
from auditmw.viewer import ViewerApp
from clickhouse_server import clickhouse
from viewer_browser import Visit, browsing, serving_wsgi

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@pytest.mark.needs("django", "fastapi", "httpx", "uvicorn", "gunicorn")
def test_two_services_share_each_trace(tmp_path, check_event):
    run = [sys.executable, str(EXAMPLES / "two_services" / "run.py"), str(tmp_path)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    shop, stock = (journal_files.events(tmp_path / name) for name in ("shop", "stock"))
    for event in (*shop, *stock):
        check_event(event)
    assert [event["event"] for event in shop] == ["item_bought", "http_request", "http_request"]
    assert [event["http"]["route"] for event in stock] == ["/items/{item}/take"] * 2
    assert [event["http"]["response"]["status_code"] for event in stock] == [200, 404]
    asked = [event for event in shop if event["event"] == "http_request"]
    for caller, called in zip(asked, stock, strict=True):
        assert called["trace"]["trace_id"] == caller["trace"]["trace_id"]
        assert called["trace"]["parent_id"] == caller["trace"]["span_id"]
        assert called["request_id"] == caller["request_id"]
        assert caller["actor"]["id"] == "alice"
        assert f"trace {caller['trace']['trace_id']}" in done.stdout
    assert asked[0]["trace"]["trace_id"] != asked[1]["trace"]["trace_id"]
    assert "her password" not in "".join(path.read_text() for path in journal_files.files(tmp_path / "shop"))


FLEET = ("nats-server", "nats", "clickhouse-server", "flask", "starlette", "httpx", "uvicorn", "gunicorn")


class Fleet(NamedTuple):
    """What is left of the run of three hosts: the directory, what was printed, and what ClickHouse has."""

    directory: Path
    printed: str
    stored: list[list[str]]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    directory = tmp_path_factory.mktemp("hosts")
    run = [sys.executable, str(EXAMPLES / "hosts" / "run.py"), str(directory), "--once", "--clickhouse"]
    with clickhouse(1) as [server]:
        done = subprocess.run([*run, server.url()], capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
        return Fleet(directory, done.stdout, server.rows("SELECT id, body FROM auditmw_events FINAL ORDER BY id"))


@pytest.mark.needs(*FLEET)
def test_three_hosts_become_one_archive_in_which_each_trace_is_whole(fleet, check_event):
    written = [each for host in ("web1", "orders1", "stock1") for each in journal_files.events(fleet.directory / host)]
    archived = list(auditmw.read(fleet.directory / "archive"))
    ids = sorted(event["id"] for event in written)
    assert sorted(event["id"] for event in archived) == ids
    assert [ident for ident, _ in fleet.stored] == ids
    traces: dict[str, list[str]] = {}
    for event in map(check_event, archived):
        traces.setdefault(event["trace"]["trace_id"], []).append(event["service"]["host"])
    assert len(traces) == 3
    for trace_id, hosts in traces.items():
        assert set(hosts) == {"web1", "orders1", "stock1"}
        assert f"trace {trace_id}\n  web1     shop" in fleet.printed
        assert sum(trace_id in body for _, body in fleet.stored) == len(hosts)


@pytest.mark.needs(*FLEET, "playwright", "chromium")
def test_the_page_of_a_trace_shows_the_events_of_three_hosts_below_their_callers(fleet):
    archive = fleet.directory / "archive"
    first = min(auditmw.read(archive), key=lambda event: event.get("start", event["timestamp"]))
    viewer = ViewerApp(archive, open_to_all=True)
    with browsing() as browser, serving_wsgi(viewer) as address:
        visit = Visit(browser, f"{address}/")
        visit.open(f"?page=trace&id={first['trace']['trace_id']}&tz=UTC")
        rows = visit.page.locator(".waterfall tbody tr:not(.opened-row) .what").all_inner_texts()
        services = visit.page.locator(".waterfall .service").all_inner_texts()
        visit.shot("trace-hosts")
        visit.close()
    viewer.close()
    assert [" ".join(row.split()).removeprefix("Details, level ") for row in rows] == [
        "1 200 POST /buy/teapot",
        "2 201 POST /orders",
        "3 200 POST /items/teapot/take",
        "3 item_ordered item teapot",
    ]
    assert [" ".join(each.split()) for each in services[-4:]] == [
        "shop on web1",
        "orders on orders1",
        "stock on stock1",
        "orders on orders1",
    ]
