"""The fields that a query can name: every column, every member of the schema, and whatever the application added."""

import json
import re
from pathlib import Path

import pytest

from auditmw.archive.columns import COLUMNS
from auditmw.query.language.fields import EACH, UnknownFieldError, fields, find

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = json.loads((ROOT / "src" / "auditmw" / "event.schema.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_a_column_is_found_by_its_name_its_other_names_and_its_path(column):
    field = find(column.name)
    assert (field.column, field.path, field.rest) == (column.name, column.path, ())
    assert field.description
    for name in (*column.aliases, column.name.upper(), ".".join(column.path)):
        assert find(name) == field


@pytest.mark.parametrize("name", SCHEMA["properties"])
def test_every_member_of_an_event_is_known(name):
    assert find(name)
    assert find(f"{name}.some.key").name in (f"{name}.some.key", name)


@pytest.mark.parametrize(
    ("name", "kind", "path", "rest"),
    [
        pytest.param("start", "time", ("start",), (), id="time"),
        pytest.param("client.port", "number", ("client", "port"), (), id="number"),
        pytest.param("http.request.body_size", "size", ("http", "request", "body_size"), (), id="size"),
        pytest.param("upstream.duration_ns", "duration", ("upstream", EACH, "duration_ns"), (), id="in a list"),
        pytest.param("actor.roles", "text", ("actor", "roles", EACH), (), id="list"),
        pytest.param("actor.authenticated", "flag", ("actor", "authenticated"), (), id="flag"),
        pytest.param("client.peer_address", "address", ("client", "peer_address"), (), id="address"),
        pytest.param("trace.origin", "choice", ("trace", "origin"), (), id="choice"),
        pytest.param("HTTP", "group", ("http",), (), id="group"),
        pytest.param("results", "any", ("results",), (), id="any JSON"),
        pytest.param("results.A.b", "any", ("results",), ("A", "b"), id="in any JSON"),
        pytest.param("data.A.b", "any", ("data", "A"), ("b",), id="in data"),
        pytest.param('Data."a.b"."c d"', "any", ("data", "a.b"), ("c d",), id="quoted keys"),
        pytest.param("http.request.headers.X-A", "any", ("http", "request", "headers", "x-a"), (), id="header"),
        pytest.param("source.fields.Zone", "any", ("source", "fields", "Zone"), (), id="field of a log line"),
        pytest.param("http.newer.member", "any", ("http", "newer"), ("member",), id="of a newer schema"),
        pytest.param("upstream.newer", "any", ("upstream", EACH), ("newer",), id="of a newer schema, in a list"),
    ],
)
def test_a_path_is_what_the_schema_says_and_beyond_it_any_json(name, kind, path, rest):
    field = find(name)
    assert (field.kind, field.path, field.rest, field.column) == (kind, path, rest, None)
    assert find(field.name) == field


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        pytest.param("usr", "did you mean user?", id="misspelt"),
        pytest.param("stat", "did you mean status?", id="beginning"),
        pytest.param("Statsu", "did you mean status?", id="misspelt, in capitals"),
        pytest.param("qqqq", "put quotes around it", id="nothing like it"),
        pytest.param("user.name", "did you mean", id="path into what is no member"),
        pytest.param("x" * 5000, "put quotes around it", id="long"),
        pytest.param("", "put quotes around it", id="empty"),
    ],
)
def test_an_unknown_name_is_told_what_may_be_meant(name, advice):
    with pytest.raises(UnknownFieldError, match=re.escape(advice)):
        find(name)


def test_the_page_about_the_language_has_every_column_with_its_kind_and_names():
    page = (ROOT / "docs" / "query.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` (\|.*\|)$", page, re.MULTILINE))
    columns = {field.name: field for field in fields().values() if field.column}
    assert rows.keys() == columns.keys()
    for name, field in columns.items():
        assert rows[name].startswith(f"| {field.kind} | "), name
        assert set(field.aliases) <= set(re.findall(r"`(\w+)`", rows[name].split("|")[3])), name
