"""An archive as engines of a data lake find it: two days, a folder without times, and what was written to it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from archive_events import archived, write_file
from auditmw.journal import seal

WRITER = "w"
EVENTS = 400


class Lake(NamedTuple):
    """`files`: a pattern for all of its Parquet files. `lines`: the journal's, in order."""

    files: str
    lines: list[str]
    by_status: dict[int | None, int]


def event(number: int) -> dict[str, Any]:
    """One like those of the middleware; every so often with something that is packed in another way, or not at all."""
    stamp = f"2026-11-{19 + number % 2}T10:{number // 60 % 60:02d}:{number % 60:02d}.{number:06d}Z"
    made: dict[str, Any] = {
        "schema": "auditmw.event/1.0",
        "id": f"01a1fa9d-dbe2-76b9-a3e2-{number:012x}",
        "timestamp": stamp,
        "duration_ns": 1_000_000 + number,
        "event": "http_request",
        "trace": {"trace_id": f"{number:032x}"},
        "actor": {"id": "alice@example.com" if number % 3 else "jürgen ☂ \U0001f600"},
        "session": {"id": f"s1.k2.{number:028d}"},
        "client": {"address": "203.0.113.7"},
        "http": {"request": {"user_agent": 'Mozilla/5.0 "quoted" \\ back\u0001'}, "response": {"body_size": number}},
        "url": {"path": f"/orders/{number}"},
    }
    if number % 7:
        made["http"]["response"]["status_code"] = (200, 404, 500)[number % 3]
    if number % 11 == 0:
        made["timestamp"] = f"2026-11-19T10:00:00+05:{number % 60:02d}"
    if number % 13 == 0:
        del made["timestamp"]
    return made


def make_lake(directory: Path) -> Lake:
    """Archive the events in `directory`."""
    events = [event(number) for number in range(EVENTS)]
    bodies = [json.dumps(each, separators=(",", ":"), ensure_ascii=False).encode() for each in events]
    write_file(directory, WRITER, 1, bodies)
    archived(directory)
    lines = [seal(body, seq).decode().rstrip("\n") for seq, body in enumerate(bodies, 1)]
    counted = Counter(each["http"]["response"].get("status_code") for each in events)
    return Lake(str(directory / "archive" / "*" / "*.parquet"), lines, dict(counted))
