"""The examples run as they are, with the real servers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import journal_files

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
