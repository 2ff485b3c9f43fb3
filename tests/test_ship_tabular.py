"""Rows of tab-separated text: the same cells whether they can be joined as they are or not."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditmw.ship.tabular import NULL, Column, Tabular, pieces

COLUMNS = [
    Column("level", ("level",)),
    Column("status", ("http", "response", "status"), lambda value: str(value) if type(value) is int else None),
    Column("method", ("http", "request", "method")),
    Column("user", ("actor", "id")),
    Column("upper", ("actor", "id"), lambda value: value.upper() if isinstance(value, str) else None),
]


def text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def storable(value: str) -> str:
    return re.sub("[\0\ud800-\udfff]", "\ufffd", value)


TABULAR = Tabular(COLUMNS, text=text, storable=storable)
ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}


def made(event: dict, *head: str, is_plain: bool = True) -> bytes:
    body = json.dumps(event, ensure_ascii=False).encode("utf-8", "surrogatepass")
    row, opened = (TABULAR.row(head, event, body, is_plain=is_plain, is_open=each) for each in (False, True))
    assert b"".join(pieces([(opened, body)])) == row
    return row


def read(row: bytes) -> list[str | None]:
    """The cells, as a database reads them."""
    assert row.endswith(b"\n")
    cells = row[:-1].decode("utf-8", "surrogatepass").split("\t")
    return [None if cell == NULL else re.sub(r"\\(.)", lambda found: ESCAPES[found[1]], cell) for cell in cells]


def test_names_are_in_the_order_of_the_cells_and_what_is_not_there_is_null():
    event = {"level": "info", "http": {"request": {"method": "GET"}, "response": {"status": 200}}}
    cells = dict(zip(("head", *TABULAR.names, "body"), read(made(event, "h")), strict=True))
    told = {"head": "h", "level": "info", "status": "200", "method": "GET", "user": None, "upper": None}
    assert cells == told | {"body": json.dumps(event)}


def test_an_empty_text_is_not_null():
    assert read(made({"actor": {"id": ""}}, ""))[:1] == [""]
    assert dict(zip(TABULAR.names, read(made({"actor": {"id": ""}})), strict=False))["upper"] == ""


@pytest.mark.parametrize("is_plain", [True, False], ids=["plain", "careful"])
def test_null_in_the_head_is_null_and_the_same_text_in_an_event_is_a_text(is_plain):
    event = {"level": r"\N"}
    assert read(made(event, "h", NULL, is_plain=is_plain))[:3] == ["h", None, r"\N"]
    assert read(made({}, "h", NULL, is_plain=is_plain))[:3] == ["h", None, None]


def test_what_cannot_be_stored_is_replaced_in_a_column_and_stays_in_the_body():
    row = made({"level": "a\ud800"})
    assert read(row)[0] == "a\ufffd"
    assert read(row)[-1] == '{"level": "a\ud800"}'


@pytest.mark.parametrize("value", [None, [], "text", 5, True], ids=repr)
@pytest.mark.parametrize("place", ["http", "actor", "request", "response"])
def test_what_should_be_an_object_and_is_none_has_no_values(place, value):
    event = {place: value} if place in {"http", "actor"} else {"http": {place: value}}
    assert read(made({"level": "info"} | event))[:-1] == ["info", None, None, None, None]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["\t", "\n", "\\", r"\N", "\r"]),
    lambda inner: st.dictionaries(st.sampled_from(["id", "method", "request", "response", "status"]), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["level", "http", "actor"]), VALUES))
def test_the_fast_way_and_the_careful_one_make_the_same_row(event):
    fast, careful = made(event, "h"), made(event, "h", is_plain=False)
    assert fast == careful
    cells = read(fast)
    assert json.loads(cells[-1]) == event
    assert len(cells) == 1 + len(TABULAR.names) + 1
    for name, cell in zip(TABULAR.names, cells[1:-1], strict=True):
        [column] = [each for each in COLUMNS if each.name == name]
        value: object = event
        for key in column.path:
            value = value.get(key) if isinstance(value, dict) else None
        expected = None if value is None else (column.convert or text)(value)
        assert cell == (None if expected is None else storable(expected))
