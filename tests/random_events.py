"""Strategies of events: valid ones, drawn from the published schema, and any JSON object at all."""

from __future__ import annotations

import json
import os
import re
import string
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

# Other ones in each run; more at once for whoever changes a format: AUDITMW_EXAMPLES=5000 ./x test tests/test_formats_*
THOROUGH = settings(
    max_examples=int(os.environ.get("AUDITMW_EXAMPLES", "400")), suppress_health_check=list(HealthCheck)
)
SCHEMA = json.loads((Path(__file__).parent.parent / "src" / "auditmw" / "event.schema.json").read_text())
END = "(?![\\s\\S])"  # how the schema says \Z
# What separates, escapes or ends things in some format, and what is far from ASCII.
HOSTILE = [
    '"',
    "\\",
    "]",
    "=",
    " ",
    "\n",
    "\r",
    "\t",
    "\0",
    "\x1b",
    "\x7f",
    "\x85",
    "\u2028",
    "\ufffe",
    "é",
    "😀",
    "%",
    "~",
]
CHARACTERS = st.sampled_from([*string.ascii_letters[:8], *"019./-_:@", *HOSTILE])
TEXTS = st.text(CHARACTERS, max_size=6) | st.sampled_from(["", "null", "REDACTED", "-", "x" * 200])
NUMBERS = st.sampled_from([0, 1, -1, 42, 2**31, 2**53, 2**63 - 1, -(2**63), 2**63, 2**64 - 1])
FLOATS = st.sampled_from([0.0, -0.0, 1.0, 0.1, 1e300, 5e-324, -2.5, 2.0**60])
SCALARS = TEXTS | NUMBERS | FLOATS | st.booleans() | st.none()
KEYS = TEXTS | st.sampled_from(["a", "b", "a.b", "values", "stringValue", "key", "id", "name"])
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
ADDRESSES = st.sampled_from(
    ["192.0.2.1", "2001:db8::17", "::ffff:192.0.2.1", "unix:", "shop.example", "203.0.113.0", "i1.k2.abcd", "fe80::1"]
)
# Where a schema's text has a meaning of its own, it is drawn with that meaning most of the time.
MEANT = {
    "/client/address": ADDRESSES,
    "/client/peer_address": ADDRESSES,
    "/http/request/method": st.sampled_from(["GET", "POST", "DELETE", "PURGE", "_OTHER", "QUERY"]),
    "/event": st.sampled_from(["http_request", "file_uploaded", "user_logged_in", "signed_out", "auditmw.gap"]),
    "/action": st.sampled_from(["read", "create", "authenticate/login", "delete", "unknown", "restore"]),
    "/target/type": st.sampled_from(["file", "user", "order"]),
    "/actor/email": st.sampled_from(["alice@example.com", "not an address"]),
}


def objects() -> st.SearchStrategy[dict[str, Any]]:
    """Any JSON object, with names of an event's members in places where an event has them or not."""
    names = st.sampled_from(sorted(NAMES)) | KEYS
    values = st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=4), max_leaves=8
    )
    return st.dictionaries(names, values, max_size=6)


def _names(schema: dict[str, Any]) -> set[str]:
    below = schema.get("properties", {})
    return set(below).union(*map(_names, below.values())) if below else set()


NAMES = _names(SCHEMA)


def events() -> st.SearchStrategy[dict[str, Any]]:
    """Valid events: every member is there or not, every value is one that the schema allows."""
    return EVENTS


def _made_valid(event: dict[str, Any]) -> dict[str, Any]:
    """What the schema says of members together, which no member can know."""
    lowest = {"debug": 1, "info": 9, "warning": 13, "error": 17, "critical": 21}[event["level"]]
    event["severity"] = lowest + event["severity"] % 4
    source, trace = event["source"], event.get("trace", {})
    if "raw" in source:
        source.pop("raw_b64", None)
    if source["kind"] == "import":
        event.setdefault("observed", event["timestamp"])
        source.setdefault("format", "nginx:combined")
    else:
        event["trace"] = {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "00f067aa0ba902b7"} | trace
        event.setdefault("service", {"name": "shop"})
    if "trace_id" not in event.get("trace", {"trace_id": ""}):
        for name in ("span_id", "parent_id", "flags", "state"):
            trace.pop(name, None)
    if event["event"] == "http_request":
        event.setdefault("http", {})
    return event


def _drawn(schema: dict[str, Any], pointer: str = "") -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        return _drawn(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], pointer)
    if pointer in MEANT:
        return MEANT[pointer]
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kind = schema.get("type")
    if kind == "object":
        return _object(schema, pointer)
    if kind == "string":
        return _text(schema)
    if kind == "array":
        most = min(schema.get("maxItems", 3), 3)
        return st.lists(_drawn(schema["items"]), min_size=schema.get("minItems", 0), max_size=most, unique_by=repr)
    if kind == "integer":
        lowest, highest = schema["minimum"], schema.get("maximum", 2**53 - 1)
        return st.sampled_from(sorted({lowest, highest, min(highest, 443), min(highest, 7), min(highest, 500)}))
    if kind == "boolean":
        return st.booleans()
    return ANYTHING if kind is None or "null" in kind else TEXTS | st.dictionaries(KEYS, ANYTHING, max_size=2)


def _object(schema: dict[str, Any], pointer: str) -> st.SearchStrategy[Any]:
    members = {name: _drawn(each, f"{pointer}/{name}") for name, each in schema.get("properties", {}).items()}
    if members:
        required = {name: members.pop(name) for name in schema.get("required", ())}
        return st.fixed_dictionaries(required, optional=members)
    names = _text(schema["propertyNames"]) if "propertyNames" in schema else KEYS
    values = schema.get("additionalProperties", True)
    return st.dictionaries(names, ANYTHING if values is True else _drawn(values), max_size=2)


def _text(schema: dict[str, Any]) -> st.SearchStrategy[str]:
    pattern = schema.get("pattern", "").removesuffix(END)
    if schema.get("format") == "date-time":
        return st.sampled_from(
            ["2026-11-20T20:20:11.874123Z", "1970-01-01T00:00:00.000000Z", "2016-02-29T23:59:59.999999Z"]
        )
    if schema.get("format") == "json-pointer":
        return st.sampled_from(["/actor/id", "/url/query", "/data/a~1b"])
    if not pattern:
        return TEXTS
    drawn = EXAMPLES.get(pattern)
    assert drawn, f"no examples for the pattern {pattern}"
    assert all(re.search(schema["pattern"], text) for text in drawn), pattern
    return st.sampled_from(drawn)


EXAMPLES = {
    r"^auditmw\.event/1\.(0|[1-9][0-9]*)": ["auditmw.event/1.0", "auditmw.event/1.7"],
    r"^[0-9a-f]{8}-[0-9a-f]{4}-[78][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}": [
        "01a1fa9d-dbe2-76b9-a3e2-bda43d201f24",
        "01553454-88d7-8a11-9c2f-5d0f3c1b2a99",
    ],
    r"^[A-Za-z0-9._~:/+=@-]{1,128}": ["85a06c90788800c9b2c9898e6f94d3df", "a:b/c=d@e", "-"],
    r"^(?!0{32}(?![\s\S]))[0-9a-f]{32}": ["0af7651916cd43dd8448eb211c80319c", "80f198ee56343ba864fe8b2a57d3eff7"],
    r"^(?!0{16}(?![\s\S]))[0-9a-f]{16}": ["00f067aa0ba902b7", "b7ad6b7169203331"],
    r"^[0-9](\.[0-9])?": ["1.1", "2", "0.9"],
    r"^[a-z][a-z0-9+.-]*": ["https", "http", "wss"],
    r"^[a-z0-9][a-z0-9_.:+-]*": ["wsgi", "nginx:extended", "datapunt:0.4"],
    r"^[0-9a-f]{64}": ["73d0d0205f8be5f371a38460e033b376f534f5481589947298a83d8d5286d32a"],
    r"^[!#$%&'*+.^_`|~0-9a-z-]{1,256}": ["accept", "content-type", "x-forwarded-for", "!#$%&'*+.^_`|~", "a.b"],
}

EVENTS = _drawn(SCHEMA).map(_made_valid)
