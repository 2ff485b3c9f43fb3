"""Elastic Common Schema: every field that is written exists in ECS 9.4, with a value of its type."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from auditmw.formats.ecs import DERIVED, FIELDS, REMAINDER, VERSION, EcsFormat
from event_table import SAMPLES, every_event
from random_events import THOROUGH, events

REGISTRY = json.loads((Path(__file__).parent / "data" / "ecs-9.4.0-fields.json").read_text())
ECS = EcsFormat()


def rendered(event: dict[str, Any]) -> dict[str, Any]:
    return json.loads(ECS.render(event))


def leaves(value: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if isinstance(item, dict):
            yield from leaves(item, f"{path}{name}.")
        else:
            yield path + name, item


def is_of(kind: str, value: Any) -> bool:
    if kind.endswith("[]"):
        return isinstance(value, list) and all(is_of(kind[:-2], item) for item in value)
    if kind == "long":
        return type(value) is int and -(2**63) <= value < 2**63
    if kind == "ip":
        return bool(ipaddress.ip_address(value))
    if kind == "date":
        return datetime.fromisoformat(value).tzinfo is not None
    return kind in ("keyword", "match_only_text", "wildcard") and isinstance(value, str)


def check(event: dict[str, Any]) -> None:
    document = rendered(event)
    del document[REMAINDER]
    for name, value in leaves(document):
        assert name in REGISTRY["fields"], f"ECS has no {name}"
        assert is_of(REGISTRY["fields"][name], value), f"{name}: {value!r} is no {REGISTRY['fields'][name]}"
    about = document["event"]
    assert about["kind"] in REGISTRY["kinds"]
    assert about.get("outcome", "unknown") in REGISTRY["outcomes"]
    for category in about.get("category", []):
        assert set(about["type"]) <= set(REGISTRY["categories"][category])
    assert document["ecs"]["version"] == VERSION


def test_every_field_of_the_table_is_in_the_registry():
    assert {field.target for field in FIELDS} | set(DERIVED.values()) | {"user.hash"} <= REGISTRY["fields"].keys()


def test_every_event_there_is_has_fields_of_ecs_alone_with_values_of_their_types():
    for _, event in every_event():
        check(event)


@THOROUGH
@given(events())
def test_every_valid_event_has_fields_of_ecs_alone_with_values_of_their_types(event):
    check(event)


def test_a_request_in_ecs():
    document = rendered(SAMPLES["1-wsgi-request"])
    assert document["@timestamp"] == "2026-11-20T20:20:11.874123Z"
    assert document["event"] == {
        "id": "01a1fa9d-dbe2-76b9-a3e2-bda43d201f24",
        "start": "2026-11-20T20:20:11.863040Z",
        "duration": 11083412,
        "action": "http_request",
        "severity": 9,
        "kind": "event",
        "category": ["web"],
        "type": ["access"],
        "outcome": "success",
        "dataset": "wsgi",
    }
    assert document["client"] == {"address": "100.123.123.123", "ip": "100.123.123.123", "port": 51322}
    assert document["user"] == {
        "id": "alice@example.com",
        "email": "alice@example.com",
        "domain": "datapunt",
        "roles": ["hr_admin", "reader"],
    }
    assert document["trace"] == {"id": "0af7651916cd43dd8448eb211c80319c"}
    assert document["transaction"] == {"id": "00f067aa0ba902b7"}
    assert document["auditmw"]["session"] == {"id": "s1.k2.mfrggzdfmztwq2lknnwg23tpoa"}


def test_a_pseudonym_is_a_hash_and_no_id():
    document = rendered(SAMPLES["4-user-signed-up"])
    assert document["user"] == {"hash": "u1.k2.pa4h6rqvx3w2k5n7d0s8f1g2j3"}


def test_what_an_enrichment_makes_of_a_user_does_not_change_who_it_was():
    document = rendered(SAMPLES["1-wsgi-request"])
    document["user"]["hash"] = "added by a pipeline"
    assert ECS.parse(json.dumps(document).encode()) == SAMPLES["1-wsgi-request"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"outcome": {"result": "pending"}}, {"outcome": "unknown"}, id="pending is unknown"),
        pytest.param({"category": "other"}, {"category": None, "type": None}, id="other is no category of ECS"),
        pytest.param({"category": "iam", "action": "create"}, {"type": ["creation"]}, id="who may do what"),
        pytest.param({"category": "email", "action": "create"}, {"type": ["info"]}, id="no type for the action"),
        pytest.param({"category": "authentication", "action": "authenticate/login"}, {"type": ["start"]}, id="login"),
    ],
)
def test_outcome_category_and_type(fields, expected):
    about = rendered(SAMPLES["3-file-uploaded"] | fields)["event"]
    assert {name: about.get(name) for name in expected} == expected


def test_an_address_that_is_none_is_no_ip():
    document = rendered(SAMPLES["1-wsgi-request"] | {"client": {"address": "unix:"}})
    assert document["client"] == {"address": "unix:"}


def test_what_has_a_field_is_not_said_twice():
    event = {"timestamp": "2026-11-20T20:20:11.874123Z", "client": {"address": "192.0.2.1"}, "trace": {"flags": 2}}
    assert rendered(event)[REMAINDER] == {"trace": {"flags": 2}}


def test_a_value_of_another_type_than_the_field_has_stays_in_the_remainder():
    event = {"client": {"port": True, "address": 7}, "duration_ns": 2**63, "actor": {"roles": [1]}}
    assert rendered(event)[REMAINDER] == event
