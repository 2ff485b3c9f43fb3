"""OTLP: the official protobuf messages read it, its names are the registry's, and JSON and protobuf say the same."""

from __future__ import annotations

import base64
import importlib
import io
import json
import pkgutil
import sys
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from auditmw.formats import otlp, otlp_protobuf, record_format
from auditmw.formats.record import PROTOBUF, RecordError, framed
from event_table import SAMPLES, every_event, same
from random_events import THOROUGH, events

JSON = otlp.OtlpFormat()

pytestmark = pytest.mark.needs("opentelemetry.proto", "opentelemetry.semconv")


def binary() -> Any:
    return otlp_protobuf.OtlpProtobufFormat()


@pytest.fixture(params=["json", "protobuf"])
def chosen(request: pytest.FixtureRequest) -> Any:
    return JSON if request.param == "json" else binary()


def logs_data(encoded: bytes) -> Any:
    from opentelemetry.proto.logs.v1.logs_pb2 import LogsData

    message = LogsData()
    assert message.ParseFromString(encoded) == len(encoded)
    assert message.FindInitializationErrors() == []
    return message


def from_json(text: bytes) -> Any:
    """The message that OTLP/JSON means; ids are hexadecimal there and base64 in the JSON of protobuf itself."""
    from google.protobuf.json_format import Parse
    from opentelemetry.proto.logs.v1.logs_pb2 import LogsData

    document = json.loads(text)
    for resource_logs in document["resourceLogs"]:
        for record in resource_logs["scopeLogs"][0]["logRecords"]:
            for name in {"traceId", "spanId"} & record.keys():
                record[name] = base64.b64encode(bytes.fromhex(record[name])).decode()
    return Parse(json.dumps(document), LogsData())


def the_record(message: Any) -> Any:
    (resource_logs,) = message.resource_logs
    (scope_logs,) = resource_logs.scope_logs
    (record,) = scope_logs.log_records
    return record


def check(event: dict[str, Any]) -> None:
    message = logs_data(binary().render(event))
    assert message == from_json(JSON.render(event)), "JSON and protobuf differ"
    names = {pair.key for pair in the_record(message).attributes}
    names |= {pair.key for pair in message.resource_logs[0].resource.attributes}
    assert {name for name in names if not known(name)} == set()


def known(name: str) -> bool:
    headers = ("http.request.header.", "http.response.header.")
    return name in registry() or name == otlp.REMAINDER or name.startswith(headers)


def registry() -> set[str]:
    """The names of all attributes of the semantic conventions."""
    if not NAMES:
        for package in ("opentelemetry.semconv.attributes", "opentelemetry.semconv._incubating.attributes"):
            for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
                values = vars(importlib.import_module(f"{package}.{module.name}"))
                NAMES.update(value for name, value in values.items() if name.isupper() and isinstance(value, str))
    return NAMES


NAMES: set[str] = set()


def test_every_attribute_of_the_table_is_in_the_registry():
    attributes = {f.target.partition("/")[2] for f in otlp.FIELDS if f.target.startswith(("attributes/", "resource/"))}
    attributes |= {*otlp.DERIVED.values(), "user.hash", "http.request.method_original"}
    attributes |= {"http.request.header", "http.response.header"}
    assert attributes - registry() == set()


def test_every_field_of_the_record_is_one_of_the_message():
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

    fields = {field.json_name for field in LogRecord.DESCRIPTOR.fields}
    assert {f.target.partition("/")[2] for f in otlp.FIELDS if f.target.startswith("record/")} <= fields


def test_every_event_there_is_is_the_same_message_in_both_forms():
    for _, event in every_event():
        check(event)


@THOROUGH
@given(events())
def test_every_valid_event_is_the_same_message_in_both_forms(event):
    check(event)


def test_integers_of_64_bits_are_text_in_json_and_ids_are_hexadecimal():
    """https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding, and the JSON mapping of Protocol Buffers."""
    resource_logs = json.loads(JSON.render(SAMPLES["1-wsgi-request"]))["resourceLogs"][0]
    record = resource_logs["scopeLogs"][0]["logRecords"][0]
    assert record["timeUnixNano"] == "1795206011874123000"
    assert record["severityNumber"] == 9
    assert record["traceId"] == "0af7651916cd43dd8448eb211c80319c"
    assert {"key": "http.response.status_code", "value": {"intValue": "200"}} in record["attributes"]


def test_a_request_as_a_log_record():
    message = logs_data(binary().render(SAMPLES["1-wsgi-request"]))
    record = the_record(message)
    assert record.time_unix_nano == 1795206011_874123000
    assert record.event_name == "auditmw.http_request"
    assert (record.severity_number, record.severity_text) == (9, "info")
    assert record.body.string_value == "Search persons"
    assert record.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert record.span_id.hex() == "00f067aa0ba902b7"
    assert record.flags == 3
    attributes = {pair.key: pair.value for pair in record.attributes}
    assert attributes["http.response.status_code"].int_value == 200
    assert [item.string_value for item in attributes["http.request.header.accept"].array_value.values] == [
        "application/json"
    ]
    assert {pair.key: pair.value.string_value for pair in message.resource_logs[0].resource.attributes} == {
        "service.name": "people-api",
        "service.version": "2.4.1",
        "deployment.environment.name": "production",
        "service.instance.id": "people-api-7d9f:4312",
        "host.name": "web-1",
    }


def attributes_of(event: dict[str, Any]) -> dict[str, Any]:
    return otlp.log_record(event).attributes


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"error": {"type": "builtins.OSError"}}, "builtins.OSError", id="an exception"),
        pytest.param({"http": {"response": {"status_code": 503}}}, "503", id="the server's failure"),
        pytest.param({"http": {"response": {"status_code": 404}}}, None, id="the client's"),
    ],
)
def test_error_type_says_why_a_server_failed(fields, expected):
    assert attributes_of(SAMPLES["1-wsgi-request"] | fields).get("error.type") == expected


@pytest.mark.parametrize("method", ["PURGE", "get", "_OTHER"])
def test_a_method_that_is_not_known_is_other_and_kept(method):
    event = SAMPLES["1-wsgi-request"] | {"http": {"request": {"method": method}}}
    attributes = attributes_of(event)
    assert attributes["http.request.method"] == "_OTHER"
    assert attributes["http.request.method_original"] == method
    assert same(JSON.parse(JSON.render(event)), event)


def test_a_pseudonym_is_a_hash_and_no_id():
    attributes = attributes_of(SAMPLES["4-user-signed-up"])
    assert attributes["user.hash"] == "u1.k2.pa4h6rqvx3w2k5n7d0s8f1g2j3"
    assert "user.id" not in attributes


def test_a_batch_has_the_records_of_one_service_together_and_all_come_back(chosen):
    found = [event for _, event in every_event()]
    request = chosen.render_all(found)
    message = logs_data(request) if chosen is not JSON else from_json(request)
    services = {json.dumps(event.get("service")) for event in found}
    assert len(message.resource_logs) == len(services)
    assert same(in_order(chosen.parse_all(request)), in_order(found))


def in_order(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(found, key=lambda event: json.dumps(event, sort_keys=True))


def test_a_batch_of_none_is_an_empty_request(chosen):
    assert chosen.parse_all(chosen.render_all([])) == []


def test_a_message_with_several_records_is_no_single_event(chosen):
    request = chosen.render_all([SAMPLES["1-wsgi-request"], SAMPLES["3-file-uploaded"]])
    with pytest.raises(RecordError, match="one log record, not with 2"):
        chosen.parse(request)


def test_the_official_json_of_the_message_is_read_as_well():
    """It leaves defaults out and has 64-bit integers as text."""
    from google.protobuf.json_format import MessageToDict

    event = SAMPLES["3-file-uploaded"]
    document = MessageToDict(logs_data(binary().render(event)), use_integers_for_enums=True)
    record = document["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
    for name in ("traceId", "spanId"):
        record[name] = base64.b64decode(record[name]).hex()
    assert same(JSON.parse(json.dumps(document).encode()), event)


@pytest.mark.parametrize("levels", [50, 300, 3_000])
def test_a_message_that_is_nested_too_deep_is_refused(levels):
    value = '{"arrayValue":{"values":[' * levels + "]}}" * levels
    record = f'{{"attributes":[{{"key":"auditmw.event","value":{value}}}]}}'
    with pytest.raises(RecordError, match="expected"):
        JSON.parse(f'{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{record}]}}]}}]}}'.encode())


SIZES = [0, 1, 100, 126, 127, 128, 129, 200, 255, 256, 16_000, 16_383, 16_384, 70_000]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(SIZES) | st.integers(0, 500), max_size=4))
@example(SIZES)
def test_framed_messages_are_read_by_the_protobuf_library(sizes):
    from google.protobuf.proto import parse_length_prefixed
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue

    messages = [AnyValue(bytes_value=b"\n" * size) for size in sizes]
    stream = io.BytesIO(b"".join(framed(message.SerializeToString(), PROTOBUF) for message in messages))
    assert [parse_length_prefixed(AnyValue, stream) for _ in messages] == messages
    assert stream.read() == b""


def test_framed_text_ends_in_a_line_feed():
    assert framed(b"{}", "application/json") == b"{}\n"


def test_without_the_library_the_error_names_the_extra(monkeypatch):
    otlp_protobuf._library.cache_clear()
    monkeypatch.setitem(sys.modules, "opentelemetry.proto.collector.logs.v1.logs_service_pb2", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'auditmw\[otlp\]'") as raised:
        record_format("otlp:protobuf")
    assert raised.value.name == "opentelemetry.proto"
    assert record_format("otlp").render(SAMPLES["1-wsgi-request"])  # JSON needs nothing
