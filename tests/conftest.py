"""What every test file shares: the schema as a judge, and the marker for real servers."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from jsonschema import Draft202012Validator, FormatChecker

SCHEMA = Path(__file__).parent.parent / "src" / "auditmw" / "event.schema.json"
ADMIN_PATH = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
ADMIN_PATH += "".join(f":{folder}" for folder in Path("/usr/lib/postgresql").glob("*/bin"))

# What ``@pytest.mark.needs(...)`` may name, and how to install it. A name without an entry here is a Python module
# that ``pip install NAME`` brings.
PROGRAMS = {
    "nginx": "apt-get install nginx-light",
    "rsyslogd": "apt-get install rsyslog rsyslog-relp rsyslog-gnutls",
    "chromium": "apt-get install chromium",
    "nats-server": "apt-get install nats-server",
    "openssl": "apt-get install openssl",
    "npm": "apt-get install npm",
    "postgres": "apt-get install postgresql",
    "redis-server": "apt-get install redis-server",
    "clickhouse-server": "apt-get install clickhouse-server",
    "valgrind": "apt-get install valgrind",
}


# No test is about time: on a busy machine any example may take long.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# A run in the background of a shell begins with SIGINT ignored, and so would the programs that are interrupted here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def missing(name: str) -> str | None:
    """Nothing when ``name`` is here, else the sentence that says how to install it."""
    if name in PROGRAMS:
        return None if shutil.which(name, path=ADMIN_PATH) else f"{name} is not installed: {PROGRAMS[name]}"
    return None if is_module(name) else f"{name} is not installed: pip install {name}"


def is_module(name: str) -> bool:
    """Whether a module can be imported, also one of a package that is not here."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips a test whose server is missing, by name; under AUDITMW_REQUIRE=all it fails instead."""
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            sentence = missing(name)
            if sentence and os.environ.get("AUDITMW_REQUIRE") == "all":
                pytest.fail(sentence, pytrace=False)
            if sentence:
                pytest.skip(sentence)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser. Not of a whole run: the event loop that it leaves running would be in the way of other tests."""
    from viewer_browser import browsing

    with browsing() as made:
        yield made


@pytest.fixture
def visit(browser: Any, base: str) -> Iterator[Any]:
    """A tab of the browser at the viewer that a file of tests has as its `base`."""
    from viewer_browser import Visit

    made = Visit(browser, base)
    yield made
    made.close()


@pytest.fixture(scope="module", params=["duckdb", pytest.param("clickhouse", marks=pytest.mark.needs("chdb"))])
def each_store(request: pytest.FixtureRequest) -> Iterator[str]:
    """Has the engines of query_table.py ask one store after the other, and says which one."""
    if request.param == "duckdb":
        yield "duckdb"
        return
    from clickhouse_table import ClickHouseTable
    from query_table import stores_made_by

    with stores_made_by(ClickHouseTable):
        yield "clickhouse"


# A statement takes ClickHouse ten times as long to plan: there are fewer examples of hypothesis, and fewer seeds.
FEWER, SEEDS = 5, 4


def is_on_clickhouse(item: pytest.Item) -> bool:
    """Whether a test that runs on each store is the one on ClickHouse."""
    values = getattr(getattr(item, "callspec", None), "params", {}).values()
    return any(type(value) is str and value == "clickhouse" for value in values)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Takes the first seeds only of what runs on ClickHouse."""
    beyond = {item for item in items if is_on_clickhouse(item) and item.callspec.params.get("seed", 0) >= SEEDS}
    if beyond:
        config.hook.pytest_deselected(items=list(beyond))
        items[:] = [item for item in items if item not in beyond]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Takes fewer examples of hypothesis for what runs on ClickHouse."""
    test, name = getattr(item, "function", None), "_hypothesis_internal_use_settings"
    chosen = getattr(test, name, None)
    if chosen is None or not is_on_clickhouse(item):
        return (yield)
    setattr(test, name, hypothesis.settings(chosen, max_examples=max(2, chosen.max_examples // FEWER)))
    try:
        return (yield)
    finally:
        setattr(test, name, chosen)


@pytest.fixture(scope="session")
def event_validator() -> Draft202012Validator:
    """The published schema, with the checks of date-time and json-pointer formats."""
    schema = json.loads(SCHEMA.read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=FormatChecker())


@pytest.fixture(scope="session")
def check_event(event_validator: Draft202012Validator) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A function that returns the event when it is valid, and else fails with every error and its place."""

    def check(event: dict[str, Any]) -> dict[str, Any]:
        errors = [f"{error.json_path}: {error.message}" for error in event_validator.iter_errors(event)]
        assert errors == [], f"not a valid event: {json.dumps(event)}"
        return event

    return check
