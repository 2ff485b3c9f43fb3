"""Reads a journal directory with nothing of auditmw: the format as it is promised, checked line by line.

A line is an event's JSON object with ``,"seq":N,"crc":"xxxxxxxx"}`` at its end: ``seq`` counts each writer's lines
from 1, ``crc`` is the CRC-32 of all bytes before ``,"crc":``.
"""

from __future__ import annotations

import json
import time
import zlib
from pathlib import Path
from typing import Any

IN_FLIGHT_SECONDS = 2.0  # a write(2) takes microseconds; its process may have to wait for a processor in the middle


def lines(directory: Path) -> list[bytes]:
    """All journal lines, in the order of their writer's files."""
    return [line for path in files(directory) for line in content(path).splitlines(keepends=True)]


def content(path: Path) -> bytes:
    """The file without half of a write: one that crosses a page is seen to grow page by page."""
    deadline = time.monotonic() + IN_FLIGHT_SECONDS
    while True:
        found = path.read_bytes()
        if found[-1:] in (b"", b"\n") or time.monotonic() > deadline:
            return found


def files(directory: Path) -> list[Path]:
    """The journal files, ordered by writer and number."""

    def order(path: Path) -> tuple[str, int]:
        writer, number = path.name.removesuffix(".jsonl").rsplit(".", 1)
        return writer, int(number)

    return sorted((directory / "journal").glob("*.jsonl"), key=order)


def events(directory: Path) -> list[dict[str, Any]]:
    """The events of every writer; each line must be whole, its checksum right and its number the next."""
    found: list[dict[str, Any]] = []
    last: dict[str, int] = {}
    for path in files(directory):
        writer = path.name.removesuffix(".jsonl").rsplit(".", 1)[0]
        for line in content(path).splitlines(keepends=True):
            event = parse(line)
            last[writer] = last.get(writer, 0) + 1
            assert event.pop("seq") == last[writer], f"{path.name} skips a number"
            found.append(event)
    return found


def parse(line: bytes) -> dict[str, Any]:
    """One line without its ``crc``, which was checked."""
    assert line.endswith(b'"}\n'), f"a torn line: {line!r}"
    covered, mark, crc = line[:-3].rpartition(b',"crc":"')
    assert mark, f"no checksum at the end of {line!r}"
    assert crc.decode() == f"{zlib.crc32(covered):08x}", f"a wrong checksum in {line!r}"
    event: dict[str, Any] = json.loads(line)
    del event["crc"]
    return event
