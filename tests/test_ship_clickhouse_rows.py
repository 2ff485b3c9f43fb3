"""The rows of `clickhouse://`: the archive's columns, the line to the byte, whatever the event is."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditmw.archive.columns import COLUMNS
from auditmw.archive.projection import rows as projection
from auditmw.parsing import DEEPER, LEVELS, parse_event
from auditmw.ship.batch import Batch, Entry, identified
from auditmw.ship.targets.clickhouse.rows import encoded, instant, names
from auditmw.ship.targets.clickhouse.rows import row as make_row
from auditmw.ship.targets.clickhouse.schema import FEW_VALUES, LOOKED_UP, Place, statements
from event_table import every_event
from ship_conformance import DIFFICULT

KINDS = {column.name: column.kind for column in COLUMNS} | {"seq": "integer", "microsecond": "integer"}
ESCAPES = {b"t": b"\t", b"n": b"\n", b"r": b"\r", b"\\": b"\\"}


def entry(body: bytes, number: int = 1, writer: str = "writer", *, whole_seconds: bool = False) -> Entry:
    event = parse_event(body)
    bare = Entry(writer, number, identified(event, writer, number), body, body)
    return bare._replace(record=make_row(bare, event, whole_seconds=whole_seconds))


def cell(kind: str, raw: bytes) -> object:
    """What ClickHouse reads: a backslash goes before what is meant otherwise."""
    content = re.sub(rb"\\(.)", lambda escape: ESCAPES[escape[1]], raw)
    return int(content) if kind == "integer" else content.decode("utf-8", "surrogatepass")


def row(body: bytes, whole_seconds: bool = False, writer: str = "writer") -> dict:
    """The columns that are not NULL."""
    made = [entry(body, writer=writer, whole_seconds=either) for either in (False, True)]
    data, other = (b"".join(encoded(Batch([each]), whole_seconds=whole_seconds)) for each in made)
    assert data == other
    assert data.endswith(b"\n")
    assert data.count(b"\n") == 1
    cells = zip(names(whole_seconds=whole_seconds), data[:-1].split(b"\t"), strict=True)
    return {name: cell(KINDS.get(name, "text"), raw) for name, raw in cells if raw != rb"\N"}


def as_json(event: dict) -> bytes:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


EVENTS = {name: as_json(event) for name, event in every_event()}


def test_the_columns_hold_what_the_archive_s_do():
    bodies = list(EVENTS.values())
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; CREATE TABLE lines (writer VARCHAR, seq BIGINT, body VARCHAR)")
    connection.executemany("INSERT INTO lines VALUES ('writer', ?, ?)", [[n, b.decode()] for n, b in enumerate(bodies)])
    found = connection.execute(f"SELECT * FROM ({projection('lines', packed=False)}) ORDER BY seq")
    names = [column[0] for column in found.description]
    archived = [dict(zip(names, values, strict=True)) for values in found.fetchall()]
    assert len(archived) == len(bodies) > 50
    for body, expected in zip(bodies, archived, strict=True):
        made = row(body)
        for column in COLUMNS:
            value = expected[column.name]
            if column.kind == "time":
                value = "1970-01-01 00:00:00.000000" if value is None else value.strftime("%Y-%m-%d %H:%M:%S.%f")
            if column.kind == "json" and value is not None:
                assert json.loads(made[column.name]) == json.loads(value)
                continue
            assert made.get(column.name) == value, (column.name, body)
        # The archive leaves out an address that is also in a column.
        assert texts(made["text"]) - {made.get("ip")} == texts(expected["text"] or "") - {made.get("ip")}, body


def texts(text: str) -> set[str]:
    return set(text.split("\x1f")) - {""}


def test_there_is_no_text_for_a_table_of_an_old_server_and_an_empty_one_where_there_is_nothing():
    body = as_json({"event": "x", "data": {"word": "found", "flag": True, "list": [1, {"deep": "er"}, 2.5]}})
    assert row(body)["text"] == "found\x1f1\x1fer\x1f2.5"
    assert row(as_json({"event": "x"}))["text"] == ""
    assert "text" not in row(body, whole_seconds=True)


def test_an_event_as_deep_as_events_are_read_has_its_text():
    levels = LEVELS - 1
    body = b'{"event":"x","data":' + b"[" * levels + b'"deep"' + b"]" * levels + b"}"
    assert row(body)["text"] == "deep"


@pytest.mark.parametrize("kind", DIFFICULT)
def test_a_difficult_event_is_one_row_with_its_body_to_the_byte(kind):
    body = DIFFICULT[kind]
    assert row(body)["body"].encode("utf-8", "surrogatepass") == body


CONTROLS = {
    "a backslash": "a\\b",
    "what looks like NULL": r"\N",
    "a tab and a line feed": "\t\n\r",
    "zero": "\0",
    "a quote": '"',
    "half of a pair": "\ud800",
    "nothing": "",
}


@pytest.mark.parametrize("name", CONTROLS)
def test_what_means_something_to_the_format_is_a_value_like_any_other(name):
    text = CONTROLS[name]
    body = json.dumps({"id": f"i{text}", "message": text, "actor": {"id": text}, "data": {"a": text}}).encode()
    made = row(body)
    expected = text.replace("\ud800", "\ufffd")
    assert (made["id"], made["message"], made["user"]) == (f"i{expected}", expected, expected)
    assert json.loads(made["data"]) == {"a": text}
    assert made["body"].encode() == body


def test_json_that_is_too_deep_is_a_column_as_far_as_it_is_read():
    body = b'{"level":"info","data":%b1%b}' % (b"[" * 3000, b"]" * 3000)
    made = row(body)
    assert (made["level"], made["data"].strip("[]"), made["body"].encode()) == ("info", f'"{DEEPER}"', body)


@pytest.mark.parametrize("space", ["\t", "\r", " \t\r "])
def test_white_space_between_the_tokens_of_json_is_kept(space):
    body = f'{{"level":{space}"info"{space}}}'.encode()
    assert row(body)["body"].encode() == body


@pytest.mark.parametrize("writer", ["w\\t", "\udcff", "w\\N"])
def test_a_writer_may_have_any_name_that_a_file_may_have(writer):
    made = row(b'{"level":"info"}', writer=writer)
    told = writer.replace("\udcff", "\ufffd")
    assert (made["writer"], made["id"], made["level"]) == (told, f"{told}-1", "info")


@given(
    st.dictionaries(
        st.sampled_from(["actor", "http", "url", "data", "level", "timestamp", "duration_ns"]),
        st.deferred(lambda: VALUES),
    )
)
def test_any_event_becomes_a_line_with_columns_of_their_types(event):
    body = json.dumps(event).encode()
    made = row(body)
    assert "time" in made
    assert made["body"].encode() == body
    for name, value in plainly(event).items():
        assert made.get(name) == value, name


def plainly(event: dict) -> dict:
    """The columns whose values are of the columns' types, found one by one; None where there is no value."""
    found = {}
    for column in COLUMNS:
        value = event
        for key in column.path:
            value = value.get(key) if isinstance(value, dict) else None
        if column.name in {"time", "id", "data"} or (value is not None and type(value) is not str):
            continue
        text = column.kind == "text" and value is not None
        found[column.name] = re.sub("[\ud800-\udfff]", "\ufffd", value) if text else None
    return found


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec=None)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "request", "response", "status_code", "method", "path"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)

INSTANTS = {
    "2026-11-20T01:02:03.000004Z": "2026-11-20 01:02:03.000004",
    "2026-11-20T01:02:03Z": "2026-11-20 01:02:03.000000",
    "2026-11-20t01:02:03.5z": "2026-11-20 01:02:03.500000",
    "2026-11-20 01:02:03.123456789+05:30": "2026-11-19 19:32:03.123456",
    "1970-01-01T00:00:00.000000Z": "1970-01-01 00:00:00.000000",
    "2105-12-31T23:59:59.999999Z": "2105-12-31 23:59:59.999999",
    "2106-01-01T00:00:00.000000Z": None,
    "1969-12-31T23:59:59.999999Z": None,
    "1970-01-01T00:30:00+01:00": None,
    "2026-02-30T00:00:00.000000Z": None,
    "2026-11-20T01:02:60.000000Z": None,
    "2026-11-20T01:02:03": None,
    "2026-11-20": None,
    "yesterday": None,
    "": None,
}


@pytest.mark.parametrize("timestamp", INSTANTS)
def test_a_time_is_one_of_rfc_3339_with_a_zone_that_has_room(timestamp):
    assert instant(timestamp) == INSTANTS[timestamp]


@pytest.mark.parametrize("value", [None, 5, 5.5, True, [], {}], ids=repr)
def test_what_is_no_text_is_no_time(value):
    assert instant(value) is None


@given(st.datetimes(datetime(1970, 1, 1), datetime(2105, 12, 31)))
def test_our_own_times_are_kept_to_the_microsecond(time):
    written = time.replace(tzinfo=UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    assert instant(written) == time.strftime("%Y-%m-%d %H:%M:%S.%f").rjust(26, "0")


def test_without_a_time_of_microseconds_they_are_a_column():
    made = row(b'{"timestamp":"2026-11-20T01:02:03.000456Z"}', whole_seconds=True)
    assert (made["time"], made["microsecond"]) == ("2026-11-20 01:02:03", 456)
    made = row(b'{"timestamp":"never"}', whole_seconds=True)
    assert (made["time"], made["microsecond"]) == ("1970-01-01 00:00:00", 0)


def test_every_column_of_the_archive_is_one_of_the_tables():
    for is_modern in (False, True):
        for statement in list(statements(Place("t", "c"), is_modern=is_modern).values())[1:]:
            for column in COLUMNS:
                assert statement.count(f"`{column.name}` ") >= 1
    names = {column.name for column in COLUMNS}
    assert names >= FEW_VALUES
    assert names.issuperset(LOOKED_UP)
