"""Applications written against DataPunt's packages, run with these or with auditmw's in their place."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

TESTS = Path(__file__).parent
SECONDS = 120


class Case(NamedTuple):
    """A request to an application, with the settings that it has, and the line that DataPunt's package printed."""

    name: str
    settings: dict[str, Any]
    request: dict[str, Any]
    printed: str | None


def cases(framework: str) -> list[Case]:
    lines = (TESTS / "data" / "datapunt" / f"{framework}.jsonl").read_text(encoding="utf-8").splitlines()
    return [Case(*json.loads(line).values()) for line in lines]


def print_lines(
    app: Path, golden: list[Case], *, renamed: dict[str, str] | None = None, directory: Path
) -> Iterator[tuple[Case, str | None]]:
    """Run the application once for each of the settings, on a copy in which names are replaced; each case, its line."""
    source = app.read_text(encoding="utf-8")
    for old, new in (renamed or {}).items():
        assert source.count(old) == 1, f"{old} is to be in {app.name} once"
        source = source.replace(old, new)
    script = directory / app.name
    script.write_text(source, encoding="utf-8")
    for settings, group in itertools.groupby(golden, key=lambda case: case.settings):
        asked = list(group)
        command = [sys.executable, str(script), json.dumps(settings), *(json.dumps(case.request) for case in asked)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, cwd=directory, env=dict(os.environ), check=False
        )
        assert done.returncode == 0, done.stderr
        lines = iter(done.stdout.splitlines())
        yield from ((case, next(lines, "") if case.printed is not None else None) for case in asked)
        assert list(lines) == []


def without_error(line: str | None) -> Any:
    """The line as a reader has it that knows DataPunt's keys only: text before the JSON, and the JSON."""
    if line is None:
        return None
    prefix, bracket, text = line.partition("[") if line.startswith("[") else line.partition("{")
    entry = json.loads(bracket + text)
    if isinstance(entry, dict):
        entry["audit"].pop("error", None)
    return prefix, entry
