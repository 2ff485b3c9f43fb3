"""CloudEvents: the official SDK reads every record, and its attributes are what the specification allows."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given

from auditmw.formats.cloudevents import CloudEventsFormat
from event_table import SAMPLES, every_event, same
from random_events import SCHEMA, THOROUGH, events

FORMAT = CloudEventsFormat()
# RFC 3986 §4.1, and that it is not empty.
URI_REFERENCE = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
NAME = re.compile(r"[a-z0-9]{1,20}")

pytestmark = pytest.mark.needs("cloudevents")


def check(event: dict[str, Any]) -> Any:
    from cloudevents.core.formats.json import JSONFormat
    from cloudevents.core.v1.event import CloudEvent

    record = FORMAT.render(event)
    read = JSONFormat().read(CloudEvent, record)
    assert same(read.get_data(), event)
    attributes = read.get_attributes()
    assert attributes["specversion"] == "1.0"
    assert read.get_id()
    assert URI_REFERENCE.fullmatch(read.get_source())
    assert read.get_type().startswith("auditmw.")
    for name, value in json.loads(record).items():
        assert NAME.fullmatch(name)
        assert name == "data" or is_fit(value), f"{name}: {value!r}"
    return read


def is_fit(value: Any) -> bool:
    """Whether an attribute may have it (§"Type System")."""
    if isinstance(value, int):
        return -(2**31) <= value < 2**31
    return bool(value) and not any(
        ord(c) < 0x20 or 0x7F <= ord(c) <= 0x9F or ord(c) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(c) <= 0xFDEF
        for c in value
    )


def test_the_sdk_reads_every_event_there_is():
    for _, event in every_event():
        check(event)


@THOROUGH
@given(events())
def test_the_sdk_reads_every_valid_event(event):
    check(event)


def test_a_request_as_a_cloud_event():
    read = check(SAMPLES["1-wsgi-request"])
    assert read.get_id() == "01a1fa9d-dbe2-76b9-a3e2-bda43d201f24"
    assert read.get_source() == "/people-api"
    assert read.get_type() == "auditmw.http_request"
    assert read.get_subject() == "/api/persons"
    assert read.get_time() == datetime(2026, 11, 20, 20, 20, 11, 874123, UTC)
    assert read.get_datacontenttype() == "application/json"
    assert read.get_dataschema() == SCHEMA["$id"]
    assert read.get_extension("traceparent") == "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-03"
    assert read.get_extension("tracestate") == "congo=t61rcWkgMzE"
    assert (read.get_extension("severitytext"), read.get_extension("severitynumber")) == ("info", 9)


@pytest.mark.parametrize(
    ("fields", "source", "subject"),
    [
        pytest.param({"service": {"name": "à b/ç"}}, "/%C3%A0%20b%2F%C3%A7", "file/f-9c1", id="a name that is no URI"),
        pytest.param({"service": None}, "/import/structlog", "file/f-9c1", id="no service"),
        pytest.param({"target": {"type": "file", "name": "a.txt"}}, "/files", "file/a.txt", id="a name for an id"),
        pytest.param({"target": {"type": "file", "name": "a\nb"}}, "/files", "file", id="a control character"),
        pytest.param({"target": {"type": "a\x00"}}, "/files", None, id="a target that cannot be said"),
        pytest.param({"target": None, "http": {"route": "/a/<id>"}}, "/files", "/a/<id>", id="the route"),
    ],
)
def test_source_and_subject(fields, source, subject):
    read = check(SAMPLES["3-file-uploaded"] | fields)
    assert (read.get_source(), read.get_subject()) == (source, subject)
