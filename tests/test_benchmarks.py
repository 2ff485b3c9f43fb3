"""The benchmarks run: each in its smallest form, so that none of them rots."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

import auditmw
from auditmw.cli.history import History

ROOT = Path(__file__).parent.parent


def run(*arguments):
    """Run one benchmark from the checkout; its output, or a failure that shows what it said."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "name",
    ["overhead", "kill", "steps", "machine", "history", "query", "importing", "formats", "shipping", "chain", "viewer"],
)
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


@pytest.mark.needs("valgrind")
def test_machine_counts_what_the_minimum_adds_to_the_bare_application():
    table = run("-m", "benchmarks.machine", "--kinds", "wsgi", "--variants", "limit")
    rows = {cells[2].strip(): cells for cells in (line.split("|") for line in table.splitlines()) if len(cells) == 10}

    instructions = {name: float(rows[name][3].replace(",", "")) for name in ("bare", "limit")}
    assert instructions["limit"] > 5 * instructions["bare"] > 0


def test_every_step_that_can_be_taken_away_is_there():
    run("-c", "from benchmarks import removal\nfor take_away in removal.STEPS.values(): take_away()")


def test_formats_measures_each_format_beside_the_native_one():
    table = run("-m", "benchmarks.formats", "--rounds", "2", "--events", "8")
    rows = {cells[1].strip(): cells for cells in (line.split("|") for line in table.splitlines()) if len(cells) == 8}

    assert {"native", "ecs", "ocsf", "syslog", "nginx:combined"} <= set(rows)
    assert float(rows["native"][4]) == 1.0
    assert int(rows["nginx:combined"][2]) == 8
    assert int(rows["ecs"][2]) == 10  # two of the eight requests record an event of their own


def test_history_writes_the_days_side_by_side(tmp_path):
    until = datetime(2026, 11, 20, tzinfo=UTC)
    small = ["--events", "2_000", "--days", "3", "--until", "2026-11-20T00:00:00Z", "--into", str(tmp_path)]
    said = run("-m", "benchmarks.history", *small)

    assert said.startswith("2,000 events")
    assert list(auditmw.read(tmp_path)) == [orjson.loads(entry.body) for entry in History(2_000, 3, until=until)]


def test_query_asks_both_stores_and_gets_the_same_answers(tmp_path):
    file = tmp_path / "figures.json"
    table = run("-m", "benchmarks.query", "--events", "20_000", "--rounds", "2", "--json", str(file))

    assert "failed" not in table
    stores = json.loads(file.read_text())["stores"]
    assert set(stores) == {"auditmw", "sqlite"}
    for store in stores.values():
        assert store["events"] == 20_000
        assert all(len(rounds) == 2 for rounds in store["answers"].values())
    rows = {question: rounds[0][-1] for question, rounds in stores["auditmw"]["answers"].items()}
    assert not [question for question, digest in rows.items() if digest.startswith("0 ")]


def test_importing_measures_until_all_lines_are_ready_to_query(tmp_path):
    file = tmp_path / "figures.json"
    table = run("-m", "benchmarks.importing", "--lines", "2_000", "--rounds", "1", "--json", str(file))

    assert "| auditmw |" in table
    assert json.loads(file.read_text())["auditmw"][0]["seconds"] > 0


@pytest.mark.needs("playwright")
@pytest.mark.needs("chromium")
def test_viewer_loads_the_page_and_follows_the_tail_both_ways():
    table = run("-m", "benchmarks.viewer", "--events", "2000", "--loads", "2", "--news", "1")
    rows = {
        line.split("|")[1].strip(): line.split("|")[2].strip() for line in table.splitlines() if line.startswith("| ")
    }
    assert "first page of 2,000 events, drawn" in rows
    for row in (
        "usable",
        "chart",
        "everything",
        "config",
        "events",
        "histogram",
        "facets",
        "server-sent events",
        "polling",
    ):
        assert float(rows[row].replace(",", "")) > 0


@pytest.mark.needs("psycopg", "postgres", "redis", "redis-server")
def test_shipping_measures_targets_beside_their_yardsticks():
    table = run("-m", "benchmarks.shipping", "file", "postgresql", "redis", "--events", "300", "--batch", "100")
    rows = {cells[1].strip(): cells for cells in (line.split("|") for line in table.splitlines()) if len(cells) == 8}

    assert "left out" not in table
    assert {"file", "postgresql", "redis", "- COPY into one column", "- XADD, pipelined"} <= set(rows)
    assert all(int(cells[2]) == 100 for name, cells in rows.items() if name in {"file", "postgresql", "redis"})


@pytest.mark.needs("nats-server", "nats", "clickhouse-server", "duckdb")
def test_chain_measures_each_step_and_the_bytes_at_each_place():
    out = run("-m", "benchmarks.chain", "--events", "400")
    rows = {cells[1].strip(): cells[2:-1] for cells in (line.split("|") for line in out.splitlines()) if len(cells) > 3}

    for step in ("ship: journal → NATS", "collect: NATS → directory", "collect: NATS → ClickHouse"):
        assert all(float(cell.replace(",", "")) > 0 for cell in rows[step][:2]), out
    assert 500 < float(rows["journal"][0]) < 2000
    assert float(rows["archive"][0]) < float(rows["journal"][0])
