"""The published columns hold what the event says, and `text` what no other column does."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from archive_events import archived, column, parquet, write_file
from auditmw.archive import COLUMNS, NAMES
from auditmw.archive.packing import MARKS, unpack

SCHEMA = json.loads((Path(__file__).parent.parent / "src" / "auditmw" / "event.schema.json").read_text())

# What says how the event came about and not what happened, or what other fields say in one piece.
NOT_SEARCHED = {
    *("schema", "observed", "start", "severity", "service", "server", "meta"),
    *("actor.authenticated", "client.port", "client.peer_port", "client.origin", "url.port", "url.full", "url.scheme"),
    *("http.version", "http.request.target", "http.request.size", "http.request.body_size", "http.response.size"),
    *("trace.span_id", "trace.parent_id", "trace.flags", "trace.origin", "trace.remote.span_id", "error.handled"),
    *("source.file", "source.line", "source.offset", "source.time_basis"),
    *("source.raw", "source.raw_b64", "source.raw_sha256"),
}


def leaves(schema, path=()):
    """The dotted paths of all fields that the schema has."""
    if "$ref" in schema:
        schema = {**SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], **schema}
    if schema.get("properties"):
        for key, inner in schema["properties"].items():
            yield from leaves(inner, (*path, key))
    else:
        yield path


def is_below(path, names):
    return any(".".join(path[:length]) in names for length in range(1, len(path) + 1))


def put(event, path, value):
    for key in path[:-1]:
        event = event.setdefault(key, {})
    event[path[-1]] = value


FIELDS = [".".join(path) for path in leaves(SCHEMA)]
LISTS = {"actor.roles", "client.forwarded"}
OBJECTS = {"http.request.headers", "http.response.headers", "target.attributes", "source.fields", "data"}
COLUMN_OF = {".".join(each.path): each for each in COLUMNS}


def value_for(field, number):
    kind = COLUMN_OF[field].kind if field in COLUMN_OF else None
    if kind == "integer":
        return number
    if field == "timestamp":
        return "2026-11-20T20:20:11.874123Z"
    word = f"value-{number}-of-{field}"
    return [word] if field in LISTS else {"key": [word]} if field in OBJECTS else word


def test_every_field_of_the_schema_is_in_a_column_or_in_text_or_left_out_by_name(tmp_path):
    event = {}
    for number, field in enumerate(FIELDS):
        put(event, field.split("."), value_for(field, number))
    write_file(tmp_path, "a", 1, [json.dumps(event).encode()])
    for _ in range(2):
        (text,) = column(tmp_path, "text")
        words = set(text.split("\x1f"))
        for number, field in enumerate(FIELDS):
            value = value_for(field, number)
            if field in COLUMN_OF and field != "data":
                assert str(column(tmp_path, COLUMN_OF[field].name)[0])[:10] == str(value)[:10]
            word = f"value-{number}-of-{field}"
            searched = field == "data" or (field not in COLUMN_OF and not is_below(field.split("."), NOT_SEARCHED))
            assert (word in words) is searched, field
        assert len(words) == len(text.split("\x1f"))
        archived(tmp_path)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        pytest.param({}, None, id="nothing"),
        pytest.param({"data": {"key": None, "b": True}}, None, id="neither text nor number"),
        pytest.param(
            {"data": {"a": 1, "b": {"c": [2.5, 12345678901234567890.0]}}}, "1|2.5|1.2345678901234567e+19", id="numbers"
        ),
        pytest.param({"data": {"a": 'x"y\\z\n\u00e9\u2028'}}, 'x"y\\z\n\u00e9\u2028', id="escapes"),
        pytest.param({"data": {'k":"': ":", '":': "]"}}, ":|]", id="colons and quotes in keys"),
        pytest.param({"data": {"": ""}, "filter": {"terms": ["a", "b"]}}, "a|b", id="an empty value"),
        pytest.param({"results": "plain", "filter": None}, "plain", id="a string for a document"),
        pytest.param({"results": 12.5}, "12.5", id="a number for a document"),
        pytest.param({"client": {"address": "1.2.3.4", "peer_address": "1.2.3.4"}}, None, id="the peer is the client"),
        pytest.param(
            {"client": {"address": "1.2.3.4", "peer_address": "::1", "forwarded": ["1.2.3.4", "5.6.7.8"]}},
            "::1|5.6.7.8",
            id="other addresses",
        ),
        pytest.param({"actor": {"roles": ["a", "b"]}, "data": {"n": "c"}}, "a|b|c", id="lists before documents"),
        pytest.param({"upstream": [{"address": "1.2.3.4:80", "status_code": 200}]}, "1.2.3.4:80|200", id="a list"),
    ],
)
def test_text_holds_values_and_no_keys(tmp_path, event, text):
    write_file(tmp_path, "a", 1, [json.dumps({"n": None, **event}, ensure_ascii=False).encode()])
    found = [value and "|".join(part for part in value.split("\x1f") if part) for value in column(tmp_path, "text")]
    assert found == [text]


@pytest.mark.parametrize(
    ("agent", "bot"),
    [
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", True),
        ("curl/8.5.0", True),
        ("python-requests/2.32", True),
        ("Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/120.0", True),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", False),
        ("Mozilla/5.0 (Linux; Android 9; CUBOT_X30) AppleWebKit/537.36", False),
        (None, False),
    ],
)
def test_programs_are_told_from_people_by_their_user_agents(tmp_path, agent, bot):
    write_file(tmp_path, "a", 1, [json.dumps({"http": {"request": {"user_agent": agent}}}).encode()])
    assert column(tmp_path, "bot") == [bot]


def test_any_engine_gets_the_json_back_from_the_parquet_file(tmp_path):
    event = {
        "id": "01a1fa9d-dbe2-76b9-a3e2-bda43d201f24",
        "timestamp": "2026-11-20T20:20:11.874123Z",
        "duration_ns": 11083412,
        "trace": {"trace_id": "0af7651916cd43dd8448eb211c80319c"},
        "session": {"id": "s1.k2.mfrggzdfmztwq2lknnwg23tpoa"},
        "http": {"response": {"body_size": 75612}},
        "url": {"path": "/api/persons"},
    }
    body = json.dumps(event, separators=(",", ":")).encode()
    write_file(tmp_path, "a", 1, [body])
    archived(tmp_path)
    file = str(tmp_path / "archive" / parquet(tmp_path)[0])
    names, packed = duckdb.sql("DESCRIBE SELECT * FROM read_parquet($f)", params={"f": file}), None
    assert [row[0] for row in names.fetchall()] == [*NAMES[:-1], "packed"]
    ((packed, back),) = duckdb.sql(
        f"SELECT packed, {unpack('packed')} FROM read_parquet($f)", params={"f": file}
    ).fetchall()
    assert back.encode() == body
    assert len(packed) < len(body) / 2
    marked = [chr(mark.number) for mark in MARKS if chr(mark.number) in packed]
    assert len(marked) == 7
