"""Values for ClickHouse and back: what a statement binds is what it gives, whatever is in it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditmw.clickhouse.values import EARLIEST, FORMAT, FORMAT_SETTINGS, LATEST, rows, time_text, typed
from chdb_server import connection

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
TIMES = st.datetimes(EARLIEST, LATEST)
SIMPLE = (TEXTS, st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), TIMES)
LISTS = [st.lists(st.none() | one, max_size=5) for one in SIMPLE]


def asked(sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
    statement, texts = typed(sql, parameters)
    with connection() as server:
        for name, value in {**FORMAT_SETTINGS, "session_timezone": "UTC"}.items():
            server.query(f"SET {name} = '{value}'")
        return rows(bytes(server.query(statement, FORMAT, params=texts).bytes()))


@pytest.mark.needs("chdb")
@given(st.none() | st.one_of(*SIMPLE) | st.one_of(*LISTS))
def test_a_value_that_is_bound_comes_back_as_it_was(value):
    ((found,),) = asked("SELECT $value", value=value)
    if isinstance(value, list) and float in set(map(type, value)):
        assert found == [None if one is None else float(one) for one in value]
    else:
        assert (found, type(found)) == (value, type(value))


ANSWERS = {
    "an integer of 128 bits": ("toInt128('170141183460469231731687303715884105727')", 2**127 - 1),
    "unsigned": ("toUInt64('18446744073709551615')", 2**64 - 1),
    "no number": ("[nan, inf, -inf][2]", float("inf")),
    "a time without fractions": ("toDateTime('2026-11-20 01:02:03')", datetime(2026, 11, 20, 1, 2, 3)),
    "a date": ("toDate('2026-11-20')", datetime(2026, 11, 20).date()),
    "of few values": ("toLowCardinality(toNullable('x'))", "x"),
    "a list of lists": ("[[toInt64(1)], []]", [[1], []]),
    "tuples in a list": ("[(toInt64(1), 'a(b, c')]", [[1, "a(b, c"]]),
    "tuples with names": ("CAST((1, 2), 'Tuple(a Int64, `b c` LowCardinality(Nullable(String)))')", [1, "2"]),
    "NULL in a list": ("[toDateTime64(1, 6), NULL]", [datetime(1970, 1, 1, 0, 0, 1), None]),
}


@pytest.mark.needs("chdb")
@pytest.mark.parametrize("case", ANSWERS)
def test_an_answer_is_read_by_its_types(case):
    sql, expected = ANSWERS[case]
    assert asked(f"SELECT {sql}, NULL") == [(expected, None)]


@pytest.mark.needs("chdb")
def test_many_rows_and_none():
    assert asked("SELECT toInt64(number) FROM numbers(3) ORDER BY 1") == [(0,), (1,), (2,)]
    assert asked("SELECT 1 FROM numbers(0)") == []


def test_only_names_of_parameters_are_replaced():
    sql, texts = typed("SELECT $a, $ab, '$', '^x$' WHERE b = $b", {"a": 1, "b": ["x", None]})
    assert sql == "SELECT {a:Int64}, $ab, '$', '^x$' WHERE b = {b:Array(Nullable(String))}"
    assert texts == {"a": "1", "b": "['x',NULL]"}


def test_values_that_are_the_same_have_one_name():
    sql, texts = typed("SELECT $a, $b, $c, $d", {"a": "x", "b": "x", "c": 1, "d": True})
    assert (sql, texts) == ("SELECT {a:String}, {a:String}, {c:Int64}, {d:Bool}", {"a": "x", "c": "1", "d": "true"})


@pytest.mark.parametrize("value", [object(), {"a": 1}, [1, "x"], [b""]], ids=["none", "object", "mixed", "bytes"])
def test_a_value_of_no_type_is_refused(value):
    with pytest.raises(TypeError, match="expected"):
        typed("SELECT $value", {"value": value})


def test_a_time_is_told_in_utc_and_within_what_there_is_room_for():
    assert time_text(datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))) == "2026-01-01 00:00:00.000000"
    assert time_text(datetime.min) == "1900-01-01 00:00:00.000000"
    assert time_text(datetime.max.replace(tzinfo=UTC)) == "2299-12-31 23:59:59.999999"


@pytest.mark.parametrize(
    "content", [b"", b"Ok.\n", b'["a"]\n["Int64"]\n["1","2"]\n', b'["a"]\n{}\n', b'["a"]\n["Int64"]\n["x"]\n']
)
def test_what_is_no_answer_is_refused(content):
    with pytest.raises(ValueError, match=r"."):
        rows(content)


def test_half_of_a_surrogate_pair_in_a_body_is_read():
    half = '"a\ud800"'.encode("utf-8", "surrogatepass")
    assert rows(b'["a"]\n["String"]\n[' + half + b"]\n") == [("a\ud800",)]
