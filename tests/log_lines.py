"""Access logs for the tests of importing: lines in several formats, and a format of the tests' own."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from auditmw.formats.line import LineError
from auditmw.formats.lines.requests import new_event
from auditmw.journal import read_lines

START = datetime(2026, 11, 20, 20, 20, 11, tzinfo=UTC)
REBLAZE = (
    '15.14.13.12 1465461803.223 200 3158 "POST /pay/methods.json?lang=en HTTP/1.1" "0" "0" "" "Singapore" "SG" '
    '"shop-rbzr1" "-" 0.729 "8.12.40.38:443" "0.418" "shop.test" "shop.test" "-" "Shop 5.2 (iPhone)" "-" "{headers}" '
    '"AS4773 Some Provider" "200" "/pay/methods.json" "shop-rbzr1" "0" "0" "0" "0" "0" "83d90abb12608623ea2344227324" '
    '"466" "max-age=0, private" "-" "-" "text/html; charset=utf-8" "-" "TLSv1.2" "ECDHE-RSA-AES128-GCM-SHA256" "-"'
)


def combined(number: int, **fields: Any) -> bytes:
    """A line in the combined format that says which one it is, without a line feed."""
    at = START + timedelta(seconds=number)
    given = {
        "ip": f"192.0.2.{number % 250}",
        "user": "-",
        "target": f"/page/{number}",
        "status": 200,
        "agent": "Mozilla/5.0",
        "referrer": "-",
    } | fields
    return '{ip} - {user} [{time}] "GET {target} HTTP/1.1" {status} 12 "{referrer}" "{agent}"'.format(
        time=at.strftime("%d/%b/%Y:%H:%M:%S +0000"), **given
    ).encode()


def log(*numbers: int, **fields: Any) -> bytes:
    """A log of these lines."""
    return b"".join(combined(number, **fields) + b"\n" for number in numbers)


class Plain:
    """A format of one number a line, from which everything else follows; `#N` says how the next ones are multiplied."""

    name = "plain"

    def __init__(self, factor: int = 1) -> None:
        self.factor = factor

    def parse(self, line: bytes) -> dict[str, Any] | None:
        if line.startswith(b"#"):
            self.factor = int(line[1:])
            return None
        if not line.strip():
            return None
        if line == b"bug":
            raise KeyError("a mistake in the format")
        if not line.isdigit():
            raise LineError(f"expected a number, not {line[:20]!r}")
        return {
            **new_event(self.name, "end"),
            "timestamp": "2026-11-20T20:20:11.000000Z",
            "url": {"path": f"/{int(line) * self.factor}"},
        }

    def is_header(self, line: bytes) -> bool:
        return line.startswith(b"#")

    def render(self, event: dict[str, Any]) -> bytes:
        return event["url"]["path"].encode()


def events(directory: Path) -> list[dict[str, Any]]:
    """All events of a directory's journal, in the order of their lines in the log."""
    found = [orjson.loads(line.body) for line in read_lines(directory)]
    return sorted(found, key=lambda event: (event["source"]["file"], event["source"]["offset"]))


def paths(directory: Path) -> list[str]:
    """The paths of all events of a directory's journal."""
    return [event["url"]["path"] for event in events(directory)]


def objects(text: str) -> list[dict[str, Any]]:
    """The JSON objects of NDJSON."""
    return [json.loads(line) for line in text.splitlines()]
