"""Events to try formats with: samples of every kind, and what each row of the scenario table writes."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

import auditmw
import journal_files
from players import play_asgi, play_wsgi
from scenarios import SCENARIOS

Event = dict[str, Any]

SAMPLES: dict[str, Event] = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parent / "data" / "events").glob("*.json"))
}


@functools.cache
def scenario_events() -> tuple[tuple[str, Event], ...]:
    """The events of every row that writes any, with the row's id; each row is played in one protocol."""
    return tuple((row.id, event) for row in SCENARIOS for event in _played(row))


def _played(row: Any) -> list[Event]:
    with tempfile.TemporaryDirectory() as directory:
        audit = auditmw.Audit(directory, service="shop", **row.options)
        shell = auditmw.WSGIAudit if row.wsgi else auditmw.ASGIAudit
        (play_wsgi if row.wsgi else play_asgi)(row.wsgi or row.asgi, row.client, lambda app: shell(app, audit))
        audit.close()
        return journal_files.events(Path(directory))


def every_event() -> list[tuple[str, Event]]:
    """All of them, each with a name."""
    return [*SAMPLES.items(), *scenario_events()]


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same to the types of their numbers: 1 is not 1.0, and not true."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
