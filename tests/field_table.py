"""The tables of docs/formats.md: where each field of an event goes, made from the formats themselves.

`python tests/field_table.py` writes them into the page.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from auditmw.formats import cloudevents, ecs, gelf, ocsf, otlp, record_format, syslog
from auditmw.formats.mapping import Field
from auditmw.formats.record import RecordError

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "formats.md"
SCHEMA = json.loads((ROOT / "src" / "auditmw" / "event.schema.json").read_text(encoding="utf-8"))
MARK = "<!-- {}: made by tests/field_table.py -->\n"
END = "<!-- end -->\n"
# What is one field here: what the application, the wire or the source decides on.
WHOLE = {"meta", "upstream", "target", "filter", "trace.remote"}
PROJECTIONS = ("datapunt:0.4", "datapunt:readme", "nginx:combined", "nginx:extended", "reblaze", "console")


def fields(schema: dict[str, Any] = SCHEMA, path: str = "") -> list[str]:
    """The dotted paths of all fields of an event, in the order of the schema."""
    if path in WHOLE or not schema.get("properties"):
        return [path]
    members = schema["properties"].items()
    return [field for name, below in members for field in fields(below, f"{path}.{name}".lstrip("."))]


def lossless_table() -> str:
    """Field by field, the name that it has in the formats that lose nothing."""
    columns: dict[str, Callable[[str], str]] = {
        "ECS": lambda path: _mapped(path, ecs.FIELDS, ecs.DERIVED, {"actor.id": "user.hash"}),
        "OCSF": lambda path: _mapped(path, (*ocsf.FIELDS, *ocsf.ADDRESSES), ocsf.DERIVED, {}),
        "OpenTelemetry": _otel,
        "CloudEvents": lambda path: _code(cloudevents.FIELDS.get(path)),
        "syslog": lambda path: _code(syslog.HEADER.get(path), syslog.PARAMETERS.get(path)),
        "GELF": lambda path: _code(gelf.HEADER.get(path) or gelf.FIELDS.get(path)),
    }
    rows = [[f"`{path}`", *(column(path) for column in columns.values())] for path in fields()]
    return _table(["field", *columns], rows)


def _otel(path: str) -> str:
    where = {"record/": "", "attributes/": "", "resource/": "resource ", "headers/": ""}
    names = {"headers/request": "http.request.header.*", "headers/response": "http.response.header.*"}
    found = []
    for field in otlp.FIELDS:
        if field.native == path:
            place, _, name = field.target.partition("/")
            found.append(f"{where[place + '/']}`{names.get(field.target, name)}`")
    if path == "actor.id":
        found.append("`user.hash`")
    if path in otlp.DERIVED:
        found.append(f"({_code(otlp.DERIVED[path])})")
    return ", ".join(found)


def _mapped(path: str, table: tuple[Field, ...], derived: dict[str, str], also: dict[str, str]) -> str:
    found = [f"`{field.target}`" for field in table if field.native == path]
    if path in also:
        found.append(f"`{also[path]}`")
    if path in derived:
        found.append(f"({', '.join(_code(name) for name in derived[path].split(', '))})")
    return ", ".join(found)


def _code(*names: str | None) -> str:
    return ", ".join(f"`{name}`" for name in names if name)


def projection_table() -> str:
    """Field by field, which of the formats that lose something say it."""
    told = {name: set(_told(record_format(name).render)) for name in PROJECTIONS}
    rows = [
        [f"`{path}`", *("yes" if path in told[name] else "" for name in PROJECTIONS)]
        for path in fields()
        if any(path in each for each in told.values())
    ]
    return _table(["field", *(f"`{name}`" for name in PROJECTIONS)], rows)


def _told(render: Callable[[dict[str, Any]], bytes]) -> Iterator[str]:
    """The fields of which a record changes with their value, in an event that has all, most or few of the others."""
    for path in fields():
        bases = (fields(), [field for field in fields() if field not in PREFERRED], [*FEW, path])
        if any(_changes(render, _event(base), path) for base in bases):
            yield path


def _changes(render: Callable[[dict[str, Any]], bytes], event: dict[str, Any], path: str) -> bool:
    try:
        return render(event) != render(_with(event, path, 1))
    except RecordError:  # the format has records of some events only
        return False


FEW = ("schema", "id", "timestamp", "event", "level", "outcome.result", "source.kind", "http.request.method")
PREFERRED = ("message", "url.full", "http.request.target")  # those with which others are not asked for
VALUES: dict[str, tuple[Any, Any]] = {
    "schema": ("auditmw.event/1.0", "auditmw.event/1.1"),
    "id": ("01a1fa9d-dbe2-76b9-a3e2-bda43d201f24", "01553454-88d7-8a11-9c2f-5d0f3c1b2a99"),
    "event": ("http_request", "file_uploaded"),
    "duration_ns": (1_000_000_000, 2_000_000_000),
    "outcome.result": ("success", "failure"),
    "client.address": ("192.0.2.1", "192.0.2.2"),
    "client.forwarded": (["192.0.2.1"], ["192.0.2.2"]),
    "http.version": ("1.0", "1.1"),
    "http.request.method": ("GET", "POST"),
    "http.request.target": ("/a", "/b"),
    "http.request.headers": ({"accept": ["a"]}, {"accept": ["b"]}),
    "http.response.headers": (
        {"cache-control": ["a"], "expires": ["a"], "content-type": ["a"]},
        {"cache-control": ["b"], "expires": ["b"], "content-type": ["b"]},
    ),
    "http.response.status_code": (200, 201),
    "url.scheme": ("http", "https"),
    "url.path": ("/a", "/b"),
    "upstream": ([{"address": "192.0.2.1:80", "status_code": 200}], [{"address": "192.0.2.2:80", "status_code": 201}]),
    "target": ({"type": "a"}, {"type": "b"}),
    "filter": ({"object": "a"}, {"object": "b"}),
    "results": ([1], [2]),
    "meta": ({"redacted": ["/url/query"]}, {"redacted": ["/url/path"]}),
    "source.fields": ({}, {"a": "b"}),
    "source.format": ("wsgi", "asgi"),
}


def _values(path: str) -> tuple[Any, Any]:
    """Two valid values of a field."""
    schema: dict[str, Any] = SCHEMA
    for name in path.split("."):
        schema = schema["properties"][name]
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
    if path in VALUES:
        return VALUES[path]
    if "enum" in schema:
        return schema["enum"][0], schema["enum"][1]
    if schema.get("format") == "date-time":
        return "2026-11-20T20:20:11.000000Z", "2026-11-20T20:20:12.000000Z"
    by_type = {"integer": (443, 80), "boolean": (True, False), "array": (["a"], ["b"]), "object": ({"a": 1}, {"a": 2})}
    kind = schema.get("type")
    return by_type.get(kind if isinstance(kind, str) else "", ("aa", "bb"))


def _event(paths: Any) -> dict[str, Any]:
    event: dict[str, Any] = {}
    for path in paths:
        event = _with(event, path, 0)
    return event


def _with(event: dict[str, Any], path: str, which: int) -> dict[str, Any]:
    changed = copy.deepcopy(event)
    *branches, last = path.split(".")
    into = changed
    for branch in branches:
        into = into.setdefault(branch, {})
    into[last] = _values(path)[which]
    return changed


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


TABLES = {"what loses nothing": lossless_table, "what loses something": projection_table}


def with_tables(page: str) -> str:
    """The page with its tables as they are now."""
    for name, table in TABLES.items():
        before, mark, after = page.partition(MARK.format(name))
        if not mark:
            raise ValueError(f"docs/formats.md has no line {MARK.format(name)!r}")
        page = before + mark + "\n" + table() + "\n" + END + after.partition(END)[2]
    return page


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{PAGE.relative_to(ROOT)} is up to date\n")
