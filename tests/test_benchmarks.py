"""The benchmarks run: each in its smallest form, so that none of them rots."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*arguments):
    """Run one benchmark from the checkout; its output, or a failure that shows what it said."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["overhead", "kill", "steps"])
def test_a_benchmark_explains_itself_as_a_module_and_as_a_file(name):
    assert run("-m", f"benchmarks.{name}", "--help") == run(f"benchmarks/{name}.py", "--help")


def test_overhead_measures_auditmw_beside_bare_and_limit(tmp_path):
    file = tmp_path / "figures.json"
    small = ["--kinds", "asgi,wsgi", "--variants", "auditmw,limit", "--rounds", "4", "--requests", "32"]
    table = run("-m", "benchmarks.overhead", *small, "--json", str(file))

    assert "left out" not in table
    figures = json.loads(file.read_text())["kinds"]
    for kind in ("asgi", "wsgi"):
        assert set(figures[kind]) == {"bare", "limit", "auditmw"}
        assert all(len(rounds) == 4 and min(rounds) > 0 for rounds in figures[kind].values())


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_instructions_are_counted_by_function(kind):
    rows = [line.split("|")[1:4] for line in run("-m", "benchmarks.steps", "--instructions", kind).splitlines()]
    counts = {row[0].strip(): float(row[2]) for row in rows[2:] if len(row) == 3}

    assert counts["all"] > counts["compose.py: compose"] > 0
