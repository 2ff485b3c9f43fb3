"""The words of DuckDB and those of ClickHouse: they say the same of the same values."""

import math
import random
import sys
import unicodedata
from datetime import timedelta

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditmw.query.directory import rows
from auditmw.query.engine import Engine
from auditmw.query.journeys.conversion import conversion
from auditmw.query.journeys.funnel import FunnelDefinition, funnel
from auditmw.query.journeys.paths import paths
from auditmw.query.journeys.retention import retention
from auditmw.query.language.clickhouse import CLICKHOUSE, ClickHouse
from auditmw.query.language.dialect import DUCKDB, Dialect
from auditmw.query.language.fields import EACH
from auditmw.query.relation import named
from journey_table import PATHS, JourneyEngine, happening
from query_table import Row

pytestmark = pytest.mark.needs("chdb")


@pytest.fixture(scope="module")
def ask():
    """What DuckDB and what ClickHouse answer to a statement, each in its own words."""
    import clickhouse_table

    connection = duckdb.connect(config={"threads": 1})

    def asked(statement, parameters):
        (ours, bound), (theirs, their_bound) = (statement(dialect) for dialect in (DUCKDB, CLICKHOUSE))
        return rows(connection, ours, parameters | bound), clickhouse_table.ask(theirs, parameters | their_bound)

    yield asked
    connection.close()


def of_each(word):
    """A statement: what a word makes of each of the texts that are bound as `texts`."""
    return lambda dialect: (f"SELECT {word(dialect)} FROM {dialect.unnested('', {'text': '$texts'})}", {})


def test_every_word_of_duckdb_is_one_of_clickhouse():
    words = {name for name, word in vars(Dialect).items() if callable(word) and not name.startswith("_")}
    assert words <= vars(type(CLICKHOUSE)).keys()


def test_letters_have_the_same_lower_case(ask):
    """All that Python's Unicode has: newer ones have a lower case in one of the two only."""
    letters = [chr(code) for code in range(1, sys.maxunicode) if unicodedata.category(chr(code)) in ("Lu", "Lt", "Ll")]
    letters = [letter for letter in letters if unicodedata.ucd_3_2_0.category(letter) != "Cn"]
    ours, theirs = ask(of_each(lambda dialect: dialect.lowered("text")), {"texts": [*letters, "ΑΣ", "ΑΣ Σ"]})
    assert ours == theirs


@settings(max_examples=30)
@given(texts=st.lists(st.text("a=&+%0fFé2CzÃ", max_size=12).map("a={}".format), min_size=1, max_size=40))
def test_a_parameter_is_decoded_in_the_same_way(ask, texts):
    ours, theirs = ask(of_each(lambda dialect: dialect.parameter("text", "$start")), {"texts": texts, "start": "a="})
    assert ours == theirs


@settings(max_examples=30)
@given(texts=st.lists(st.text("aB.:/@?#-+1\n", max_size=14), min_size=1, max_size=40))
def test_a_host_is_found_in_the_same_way(ask, texts):
    site = "^[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)"

    def host(dialect):
        return dialect.without(dialect.matched("text", site, 1), "^.*@|:[0-9]*$")

    ours, theirs = ask(of_each(host), {"texts": [f"a+b://{text}" for text in texts]})
    assert ours == theirs


@settings(max_examples=30)
@given(values=st.lists(st.integers(0, 50), max_size=120))
def test_percentiles_and_medians_are_those_of_the_same_rank(ask, values):
    def statement(dialect):
        source = dialect.unnested("", {"value": "$values"})
        percentiles = dialect.percentiles("value", (1, 50, 95, 99, 100), "value < 40")
        return f"SELECT {percentiles}, {dialect.median('value')} FROM {source} WHERE value >= 0", {}

    ((ours, middle),), ((theirs, their_middle),) = ask(statement, {"values": values or [-1]})
    kept = sorted(value for value in values if value < 40)
    ranked = (
        [kept[max(math.ceil(percent * len(kept) / 100) - 1, 0)] for percent in (1, 50, 95, 99, 100)] if kept else []
    )
    assert (ours or []) == theirs == ranked
    assert middle == their_middle


JSON = r"""{"a": {"n": 1.5, "i": 17, "s": "x\"y\n", "z": null, "t": true, "k/~": "odd", "o": {"p": [1]},
    "l": [1, "b", [3, null], {"k": "v"}, {"k": ["w", 2]}]}}"""


@pytest.mark.parametrize(
    ("path", "texts"),
    [
        pytest.param(("a", "n"), ["1.5"], id="fraction"),
        pytest.param(("a", "i"), ["17"], id="whole number"),
        pytest.param(("a", "s"), ['x"y\n'], id="text"),
        pytest.param(("a", "z"), [None], id="null"),
        pytest.param(("a", "none"), [None], id="nothing"),
        pytest.param(("a", "t"), ["true"], id="flag"),
        pytest.param(("a", "k/~"), ["odd"], id="key with punctuation"),
        pytest.param(("a", "o"), ['{"p":[1]}'], id="object"),
        pytest.param(("a", "l", EACH), ["1", "b", "[3,null]", '{"k":"v"}', '{"k":["w",2]}'], id="list"),
        pytest.param(("a", "l", EACH, "k"), ["v", '["w",2]'], id="member of what is in a list"),
        pytest.param(("a", "i", EACH), [], id="list that is none"),
    ],
)
def test_the_texts_at_a_path_are_the_same(ask, path, texts):
    def statement(dialect):
        sql, bound = named(dialect.texts_at(path), "key_")
        return f"SELECT {sql} FROM {dialect.unnested('', {'body': '$bodies'})}", bound

    ours, theirs = ask(statement, {"bodies": [JSON]})
    assert ours == theirs == [(texts,)]


STEPS = ("path:/", "path:/pricing", "path:/signup")
QUESTIONS = {
    "funnel": lambda engine: funnel(engine, FunnelDefinition(STEPS, unit="person", breakdown="data.plan")),
    "window": lambda engine: funnel(engine, FunnelDefinition(STEPS, window=timedelta(minutes=20))),
    "conversion": lambda engine: conversion(engine, STEPS[2], unit="person", breakdown="data.plan"),
    "retention": lambda engine: retention(engine, period="week"),
    "paths": lambda engine: paths(engine, STEPS[1], unit="person"),
}


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_a_server_that_makes_tables_anew_wherever_they_are_named_gives_the_same_answer(question):
    from clickhouse_table import ClickHouseTable

    chance = random.Random(7)
    happenings = [
        happening(chance.randint(0, 90), chance.choice(PATHS), session=chance.choice("stuv"), seq=seq, **fields)
        for seq in range(80)
        for fields in [chance.choice([{}, {"user": "ada"}, {"user": "bob"}, {"data": {"plan": chance.choice("fp")}}])]
    ]
    rows_of = [Row(one.writer, one.seq, one.event) for one in happenings]
    older = ClickHouseTable(rows_of, 50)
    older.dialect = ClickHouse(keeps_tables=False)
    assert "cte" not in " ".join(older.dialect.settings)
    assert "MATERIALIZED" not in f"{older.dialect.ONCE} {older.dialect.IN_PLACE}"
    expected = question(JourneyEngine(happenings))
    assert expected.partial is None
    assert question(Engine(older, time_limit_seconds=60)) == expected
