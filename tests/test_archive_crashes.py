"""An archive step may be cut off at any moment: no event is lost, none is there twice, and the next step goes on."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import archive_crashes
from archive_crashes import SCENARIOS, cut_off, raise_error
from archive_events import archived, journal, parquet, seen
from auditmw.archive.error import ArchiveError


def events(directory):
    """What a query sees: the id and whether it is known how the request ended."""
    return sorted((json.loads(body)["id"], json.loads(body).get("outcome") is None) for _, _, body in seen(directory))


def assert_whole(directory, expected):
    """Everything is there, before and after the next step, which leaves nothing lying about."""
    assert events(directory) in expected
    archived(directory)
    assert events(directory) in expected
    assert journal(directory) == []
    listed = json.loads((directory / "archive" / "manifest.json").read_text())
    assert parquet(directory) == sorted(part["file"] for part in listed["parts"])
    assert list((directory / "archive" / "temporary").iterdir()) == []
    assert list((directory / "archive").glob(".*")) == []


RANDOM = re.compile(r'-[0-9a-f]{8}(?=\.)|"sha256": "[0-9a-f]*"')


def state(directory):
    """What is on the disk, but for what is random: many cuts leave the same, which need be looked at only once."""
    manifest = directory / "archive" / "manifest.json"
    files = [(str(path.relative_to(directory)), path.stat().st_size) for path in directory.rglob("*") if path.is_file()]
    said = manifest.read_text() if manifest.exists() else ""
    return RANDOM.sub("", f"{sorted(files)} {said}")


def prepared(tmp_path, name):
    """A directory as it is before the step, the step, and what may be seen: what was there before it, and after."""
    prepare, step = SCENARIOS[name]
    template, undisturbed = tmp_path / "template", tmp_path / "undisturbed"
    prepare(template)
    shutil.copytree(template, undisturbed)
    before = events(undisturbed)
    step(undisturbed)
    return template, step, (before, events(undisturbed))


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_step_that_is_killed_at_any_call_loses_nothing(tmp_path, name):
    _, _, allowed = prepared(tmp_path, name)
    killed = tmp_path / "killed"
    killed.mkdir()
    program = Path(archive_crashes.__file__)
    subprocess.run([sys.executable, program, killed, name], check=True, timeout=280, cwd=program.parent)
    directories = sorted(killed.iterdir(), key=lambda path: int(path.name))
    assert len(directories) > 5
    for directory in {state(directory): directory for directory in directories}.values():
        assert_whole(directory, allowed)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_step_that_fails_at_any_call_loses_nothing(tmp_path, name):
    template, step, allowed = prepared(tmp_path, name)
    looked_at = set()
    for at in range(1, archive_crashes.LIMIT):
        directory = tmp_path / str(at)
        shutil.copytree(template, directory)
        with cut_off(at, raise_error) as count, contextlib.suppress(ArchiveError):
            step(directory)
        if (left := state(directory)) not in looked_at:
            assert_whole(directory, allowed)
            looked_at.add(left)
        if count[0] < at:
            return
    pytest.fail("never came to an end")
