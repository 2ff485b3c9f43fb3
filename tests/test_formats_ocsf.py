"""OCSF 1.8: every record is valid by the JSON Schema that the public registry's classes give."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator

from auditmw.formats.ocsf import OcsfFormat
from auditmw.formats.record import RecordError
from event_table import SAMPLES, every_event
from random_events import THOROUGH, events

CLASSES = {3002: "authentication", 4002: "http_activity", 6003: "api_activity", 6006: "file_hosting"}
OCSF = OcsfFormat()

pytestmark = pytest.mark.needs("ocsf_json_schema")


@functools.cache
def registry() -> dict[str, Any]:
    """The compiled schema of OCSF, as the package brings it."""
    from ocsf_json_schema import get_ocsf_schema

    return get_ocsf_schema("1.8.0")


@functools.cache
def validator(class_uid: int, profiles: tuple[str, ...]) -> Draft202012Validator:
    from ocsf_json_schema import OcsfJsonSchemaEmbedded

    schema = OcsfJsonSchemaEmbedded(registry()).get_class_schema(CLASSES[class_uid], list(profiles))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def rendered(event: dict[str, Any]) -> dict[str, Any]:
    return json.loads(OCSF.render(event))


def check(event: dict[str, Any]) -> dict[str, Any]:
    record = rendered(event)
    judge = validator(record["class_uid"], tuple(record["metadata"].get("profiles", ())))
    assert [f"{error.json_path}: {error.message:.200}" for error in judge.iter_errors(record)] == [], record
    assert record["type_uid"] == record["class_uid"] * 100 + record["activity_id"]
    for name, objects in AT_LEAST_ONE.items():
        for each in found(record, name):
            assert objects & each.keys(), f"{name} has none of {sorted(objects)}"
    return record


# The constraints at_least_one of OCSF's objects, at the places where auditmw writes these.
AT_LEAST_ONE = {
    "actor": {"process", "user", "invoked_by", "session", "app_name", "app_uid"},
    "user": {"account", "name", "uid"},
    "src_endpoint": {"ip", "uid", "name", "hostname", "svc_name"},
    "dst_endpoint": {"ip", "uid", "name", "hostname", "svc_name"},
    "url": {"url_string", "path"},
    "service": {"name", "uid"},
    "resources": {"name", "uid"},
}


def found(value: Any, name: str) -> list[dict[str, Any]]:
    """Every object of this name, but for those in `unmapped`."""
    if isinstance(value, list):
        return [each for item in value for each in found(item, name)]
    if not isinstance(value, dict):
        return []
    here = value.get(name, [])
    below = [each for key, item in value.items() if key != "unmapped" for each in found(item, name)]
    return (here if isinstance(here, list) else [here]) + below


def test_the_constraints_of_objects_are_those_of_the_registry():
    objects = {"src_endpoint": "network_endpoint", "dst_endpoint": "network_endpoint", "resources": "resource_details"}
    for name, at_least in AT_LEAST_ONE.items():
        constraint = registry()["objects"][objects.get(name, name)]["constraints"]["at_least_one"]
        assert at_least <= set(constraint), name


@pytest.mark.parametrize("event", SAMPLES.values(), ids=SAMPLES.keys())
def test_a_sample_is_valid(event):
    check(event)


def test_what_the_scenarios_write_is_valid():
    for _, event in every_event():
        check(event)


@THOROUGH
@given(events())
def test_every_valid_event_is_a_valid_record(event):
    check(event)


@pytest.mark.parametrize(
    ("sample", "fields", "class_uid", "activity_id"),
    [
        pytest.param("1-wsgi-request", {}, 4002, 3, id="GET"),
        pytest.param("2-asgi-exception", {}, 4002, 6, id="POST"),
        pytest.param("1-wsgi-request", {"http": {"request": {"method": "PURGE"}}}, 4002, 99, id="another method"),
        pytest.param("1-wsgi-request", {"http": {}}, 4002, 0, id="a request of which nothing is known"),
        pytest.param("1-wsgi-request", {"category": "authentication"}, 3002, 99, id="about logins"),
        pytest.param(
            "1-wsgi-request",
            {"category": "authentication", "action": "authenticate/login"},
            3002,
            1,
            id="a request that is a login",
        ),
        pytest.param("1-wsgi-request", {"category": "file"}, 6006, 2, id="a request that is a download"),
        pytest.param("3-file-uploaded", {}, 6006, 1, id="an upload"),
        pytest.param("3-file-uploaded", {"category": "other", "action": "delete"}, 6006, 4, id="a deleted file"),
        pytest.param("3-file-uploaded", {"action": "notify"}, 6006, 99, id="something else about a file"),
        pytest.param("4-user-signed-up", {}, 6003, 1, id="an application's event"),
        pytest.param("4-user-signed-up", {"action": "unknown"}, 6003, 0, id="an action that is not known"),
        pytest.param("4-user-signed-up", {"action": "enable"}, 6003, 99, id="an action that OCSF has none for"),
        pytest.param(
            "4-user-signed-up",
            {"category": "authentication", "event": "user_logged_out", "action": "revoke"},
            3002,
            2,
            id="a logout",
        ),
        pytest.param("5-import-nginx-extended", {}, 4002, 3, id="an imported request"),
    ],
)
def test_class_and_activity(sample, fields, class_uid, activity_id):
    record = check(SAMPLES[sample] | fields)
    assert (record["class_uid"], record["activity_id"]) == (class_uid, activity_id)
    assert ("activity_name" in record) == (activity_id == 99)


@pytest.mark.parametrize(
    ("target", "user"),
    [
        pytest.param({"type": "user", "id": "u-7", "name": "alice"}, {"uid": "u-7", "name": "alice"}, id="the target"),
        pytest.param(
            {"type": "form", "id": "f"}, {"uid": "u1.k2.pa4h6rqvx3w2k5n7d0s8f1g2j3", "type_id": 1}, id="the actor"
        ),
    ],
)
def test_whose_login_it_was(target, user):
    fields = {"category": "authentication", "event": "login_failed", "target": target}
    assert check(SAMPLES["4-user-signed-up"] | fields)["user"] == user


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, {"uid", "parent_uid", "start_time", "end_time"}, id="a span"),
        pytest.param({"start": None}, None, id="without its start"),
        pytest.param({"trace": {"trace_id": "1" * 32, "parent_id": "2" * 16}}, None, id="without its id"),
    ],
)
def test_a_span_is_whole_or_not_there(fields, expected):
    span = check(SAMPLES["1-wsgi-request"] | fields)["trace"].get("span")
    assert (span and set(span)) == expected


def test_a_file_in_ocsf():
    assert check(SAMPLES["3-file-uploaded"])["file"] == {
        "name": "example.txt",
        "type_id": 1,
        "uid": "f-9c1",
        "mime_type": "text/plain",
        "size": 12345,
        "hashes": [
            {
                "algorithm": "SHA-256",
                "algorithm_id": 3,
                "value": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            }
        ],
    }


def test_a_request_in_ocsf():
    record = check(SAMPLES["1-wsgi-request"])
    assert record["time"] == 1795206011874
    assert record["start_time"] == 1795206011863
    assert record["duration"] == 11
    assert record["severity_id"] == 1
    assert record["status_id"] == 1
    assert record["status_code"] == "200"
    assert record["src_endpoint"]["intermediate_ips"] == ["100.123.123.123"]
    assert record["trace"]["span"]["parent_uid"] == "b7ad6b7169203331"
    assert record["metadata"]["profiles"] == ["host", "trace"]


@pytest.mark.parametrize("timestamp", [None, "yesterday", "1969-12-31T23:59:59.000000Z", "2026-02-30T00:00:00.000000Z"])
def test_an_event_without_a_time_has_no_record(timestamp):
    with pytest.raises(RecordError, match="expected an event with a timestamp since 1970"):
        OCSF.render(SAMPLES["1-wsgi-request"] | {"timestamp": timestamp})
