"""The tables of docs/formats.md are those of the formats, and the page names every format."""

from __future__ import annotations

import pytest

from auditmw.formats import RECORD_FORMATS
from field_table import PAGE, PROJECTIONS, fields, lossless_table, with_tables
from test_formats_lossless import NAMES

TEXT = PAGE.read_text(encoding="utf-8")


def test_the_tables_of_the_page_are_current():
    assert with_tables(TEXT) == TEXT, "python tests/field_table.py brings docs/formats.md up to date"


def test_the_page_names_every_format():
    assert [name for name in RECORD_FORMATS if f"`{name}`" not in TEXT] == []


def test_every_format_either_loses_nothing_or_is_in_the_table_of_what_is_lost():
    assert {*NAMES, *PROJECTIONS, "native"} == set(RECORD_FORMATS)


def test_every_field_of_the_schema_has_a_row():
    rows = {line.split("|")[1].strip() for line in lossless_table().splitlines()[2:]}
    assert rows == {f"`{path}`" for path in fields()}
    assert {"timestamp", "http.response.status_code", "trace.remote", "data"} <= set(fields())


def test_a_page_without_a_place_for_a_table_is_told():
    with pytest.raises(ValueError, match="has no line"):
        with_tables("# Formats\n")
