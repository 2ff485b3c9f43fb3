"""CSV rows: read back by the standard library, and harmless in a spreadsheet."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditmw.formats.csv import csv_row


def read(row):
    return next(csv.reader(io.StringIO(row.decode(), newline="")))


@pytest.mark.parametrize(
    ("value", "field"),
    [
        pytest.param("=cmd|'/C calc'!A0", "'=cmd|'/C calc'!A0", id="equals"),
        pytest.param("+1", "'+1", id="plus"),
        pytest.param("-1+1", "'-1+1", id="minus"),
        pytest.param("@SUM(A1)", "'@SUM(A1)", id="at"),
        pytest.param("\t=1", "'\t=1", id="tab"),
        pytest.param("\r=1", "'\r=1", id="carriage return"),
        pytest.param("\uff1d1", "'\uff1d1", id="full-width equals"),
        pytest.param("a=b", "a=b", id="an equals sign inside"),
        pytest.param(-5, "-5", id="a number is no formula"),
        pytest.param(1.5, "1.5", id="a fraction"),
        pytest.param(None, "", id="nothing"),
        pytest.param(True, "true", id="true"),
        pytest.param({"a": [1]}, '{"a":[1]}', id="an object"),
        pytest.param('say "hi", twice', 'say "hi", twice', id="quotes and a comma"),
        pytest.param("\ud800", "\\ud800", id="half a surrogate pair"),
    ],
)
def test_a_value_becomes_a_field(value, field):
    assert read(csv_row([value, "end"])) == [field, "end"]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1))
def test_rows_read_back_as_they_were_but_for_the_apostrophe(values):
    fields = read(csv_row(values))
    assert [f.removeprefix("'") for f in fields] == [v.removeprefix("'") for v in values]
    assert not any(f.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for f in fields)
