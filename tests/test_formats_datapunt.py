"""Lines of the DataPunt audit logs: into an event and back, the same to the key; and any event as such a line."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from auditmw.formats import record_format
from auditmw.formats.datapunt import DatapuntFormat
from auditmw.formats.line import FormatError, LineError
from event_table import SAMPLES, every_event
from hostile_lines import imported
from random_events import ANYTHING, KEYS, TEXTS, THOROUGH, events

PRINTED, README = DatapuntFormat("0.4"), DatapuntFormat("readme")
PROFILES = {"0.4": PRINTED, "readme": README}
KEYS_OF_0_4 = ["http_request", "http_response", "user", "filter", "results", "type", "message"]

# What the packages printed, in tests/data/datapunt; and what else datapunt-audit-log 0.4.0 can print.
PRINTED_BY_THE_PACKAGES = {
    f"{file.stem}: {found['case']}": found["printed"]
    for file in sorted((Path(__file__).parent / "data" / "datapunt").glob("*.jsonl"))
    for found in map(json.loads, file.read_text().splitlines())
    if (found.get("printed") or "").startswith('{"audit"')  # some printed by a formatter of the application's own
}
NOBODY = '{"audit": {"http_request": null, "http_response": null, "user": null, "filter": null, '
LINES = {
    **PRINTED_BY_THE_PACKAGES,
    "a user without an address": '{"audit": {"http_request": null, "http_response": {"status_code": 500, "reason": '
    '"500 INTERNAL SERVER ERROR", "headers": {}}, "user": {"authenticated": true, "email": "a@b.example", "roles": '
    'null, "ip": null, "provider": {"name": "keycloak", "realm": "employee"}}, "filter": null, "results": null, '
    '"type": "INFO", "message": ""}}',
    "the logger alone": NOBODY + '"results": null, "type": "CRITICAL", "message": "\\u00e9\\ud83d\\ude00"}}',
    "half a character": NOBODY + '"results": "\\ud83d", "type": "INFO", "message": "\\ude00"}}',
    "what JSON does not know": NOBODY + '"results": [NaN, 36893488147419103232, -Infinity], "type": "INFO", '
    '"message": ""}}',
    "a record of somebody else": '{"audit": {"message": "LogRecord misses audit attribute"}}',
}
SEARCHED = LINES["flask: filter, results, message and two cookies"]


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_a_printed_line_comes_back_byte_for_byte(check_event, line):
    event = PRINTED.parse(line.encode())
    check_event(imported(event))
    assert PRINTED.render(event).decode() == line


def test_the_parts_of_a_printed_line_go_where_the_schema_has_them():
    event = PRINTED.parse(SEARCHED.encode())
    assert event == {
        "schema": "auditmw.event/1.0",
        "event": "http_request",
        "level": "warning",
        "severity": 13,
        "category": "web",
        "action": "read",
        "outcome": {"result": "success"},
        "message": "Searched items",
        "actor": {"type": "anonymous", "authenticated": False},
        "client": {"address": "1.2.3.4, 10.0.0.1", "origin": "log"},
        "http": {
            "request": {"method": "GET", "user_agent": "UA/1"},
            "response": {
                "status_code": 200,
                "reason": "200 OK",
                "content_type": "application/json",
                "headers": {
                    "content-type": ["application/json"],
                    "content-length": ["2"],
                    "set-cookie": ["other=2; Path=/"],
                },
            },
        },
        "url": {
            "full": "http://localhost/items?q=abc&token=SECRET",
            "scheme": "http",
            "host": "localhost",
            "path": "/items",
            "query": "q=abc&token=SECRET",
        },
        "filter": {"object": "Item", "kwargs": {"name": "abc"}},
        "results": [{"id": 1}],
        "source": {"kind": "import", "format": "datapunt:0.4", "time_basis": "unknown"},
    }


def test_the_lines_of_the_readme_have_no_more_than_was_set(check_event):
    line = (
        '{"http_request": {"method": "get", "url": "https://shop.example/?a=b", "user_agent": "x"}, "http_response": '
        '{"status_code": 404, "reason": "Not Found", "headers": {"ETag": "1", "X-A": ""}}, "user": {"authenticated": '
        'true, "provider": "keycloak", "realm": "shop", "email": "a@b.example", "roles": ["r"], "ip": "192.0.2.1"}, '
        '"filter": {"object": "person", "fields": ["name"], "terms": ["jan"]}, "results": {"ids": [1]}, '
        '"type": "DEBUG", "message": "m"}'
    )
    event = check_event(imported(README.parse(line.encode())))
    assert event["filter"] == {"object": "person", "fields": ["name"], "terms": ["jan"]}
    assert (event["level"], event["outcome"]) == ("debug", {"result": "failure", "reason": "http_404"})
    assert README.render(event).decode() == line
    assert README.render(README.parse(b'{"http_request": null, "user": {"ip": "x"}}')) == (
        b'{"user": {"ip": "x"}, "http_request": null}'
    )


# ------------------------------------------------------------------------------------------------------ any document

MOSTLY = ANYTHING | st.none()
USERS = {"authenticated": st.booleans() | MOSTLY, "email": TEXTS, "roles": st.lists(TEXTS, max_size=3) | MOSTLY}
PARTS = {
    "http_request": st.fixed_dictionaries({"method": TEXTS, "url": TEXTS, "user_agent": TEXTS}) | MOSTLY,
    "http_response": st.fixed_dictionaries(
        {
            "status_code": st.integers(-1, 1_000) | MOSTLY,
            "reason": TEXTS | MOSTLY,
            "headers": st.dictionaries(
                st.sampled_from(["Content-Type", "content-type", "ETag", "X-a", "é"]) | KEYS, TEXTS
            )
            | MOSTLY,
        }
    )
    | MOSTLY,
    "user": st.fixed_dictionaries(
        {**USERS, "ip": TEXTS | MOSTLY, "provider": st.fixed_dictionaries({"name": TEXTS, "realm": TEXTS}) | MOSTLY}
    )
    | st.fixed_dictionaries({**USERS, "ip": TEXTS | MOSTLY, "provider": TEXTS, "realm": TEXTS})
    | MOSTLY,
    "filter": st.fixed_dictionaries(
        {"object": TEXTS | MOSTLY}, optional={"kwargs": MOSTLY, "fields": MOSTLY, "terms": MOSTLY}
    )
    | MOSTLY,
    "results": MOSTLY,
    "type": st.sampled_from(["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "NOTSET", "Level 7"]) | MOSTLY,
    "message": TEXTS | MOSTLY,
}
DOCUMENTS = st.fixed_dictionaries({}, optional=PARTS) | st.fixed_dictionaries(PARTS, optional={"added": MOSTLY})


@THOROUGH
@given(audit=DOCUMENTS)
@example(audit={"http_response": {"status_code": 200, "reason": "", "headers": {"A": "1", "a": "2", "ETag": "3"}}})
def test_any_document_comes_back_from_either_profile(check_event, audit):
    if audit and not set(audit) & set(KEYS_OF_0_4):
        return
    for parser, document in ((PRINTED, {"audit": audit}), (README, audit)):
        event = parser.parse(json.dumps(document).encode())
        check_event(imported(event))
        again = json.loads(parser.render(event))
        assert json.dumps(again, sort_keys=True) == json.dumps(document, sort_keys=True)


# -------------------------------------------------------------------------------------------------------- any event


def check_line(event):
    before = copy.deepcopy(event)
    printed, described = (record_format(f"datapunt:{name}").render(event) for name in PROFILES)
    audit = json.loads(printed)["audit"]
    if event["source"].get("format") != "datapunt:0.4":
        assert list(audit) == KEYS_OF_0_4
    assert printed.decode() == json.dumps({"audit": audit})
    assert set(json.loads(described)) <= {*KEYS_OF_0_4}
    assert PRINTED.parse(printed)
    assert README.parse(described)
    assert event == before
    return audit


@THOROUGH
@given(events().filter(lambda event: not event["source"].get("format", "").startswith("datapunt")))
def test_any_event_has_a_line(event):
    audit = check_line(event)
    assert audit["type"] == event["level"].upper()
    assert audit["message"] == event.get("message", "" if event["event"] == "http_request" else event["event"])
    assert PRINTED.render(PRINTED.parse(PRINTED.render(event))) == PRINTED.render(event)


def test_every_event_of_the_scenario_table_and_of_the_samples_has_a_line():
    for _, event in every_event():
        check_line(event)


def test_what_the_middleware_knows_reads_as_the_package_prints_it():
    audit = json.loads(record_format("datapunt:0.4").render(SAMPLES["1-wsgi-request"]))["audit"]
    assert audit == {
        "http_request": {
            "method": "GET",
            "url": "https://example.com/api/persons?name=jan&token=REDACTED",
            "user_agent": "Mozilla/5.0 (X11; Linux x86_64)",
        },
        "http_response": {"status_code": 200, "reason": "OK", "headers": {"Content-Type": "application/json"}},
        "user": {
            "authenticated": True,
            "email": "alice@example.com",
            "roles": ["hr_admin", "reader"],
            "ip": "100.123.123.123",
            "provider": {"name": "keycloak", "realm": "datapunt"},
        },
        "filter": {"object": "person", "kwargs": {"fields": ["name"], "terms": ["jan"]}},
        "results": {"count": 2, "ids": [11, 12]},
        "type": "INFO",
        "message": "Search persons",
    }


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ({}, None),
        ({"path": "/a b", "query": "c=d"}, "/a%20b?c=d"),
        ({"scheme": "https", "host": "shop.example", "port": 443, "path": "/"}, "https://shop.example/"),
        ({"scheme": "http", "host": "::1", "port": 8080, "path": "/x"}, "http://[::1]:8080/x"),
        ({"host": "shop.example", "path": "/x"}, "//shop.example/x"),
        ({"full": "http://h/x", "path": "/y"}, "http://h/x"),
    ],
)
def test_the_url_is_whole_as_far_as_it_is_known(url, text):
    audit = json.loads(PRINTED.render({"event": "http_request", "url": url}))["audit"]
    assert (audit["http_request"] and audit["http_request"]["url"]) == text


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        ({"Content-Type": "a", "X-Request-Id": "b"}, None),
        ({"ETag": "1", "content-type": "a"}, '["ETag", "content-type"]'),
        ({"A": "1", "a": "2"}, '["A", "a"]'),
        ({}, None),
    ],
)
def test_of_headers_only_the_names_are_kept_besides_where_they_are_written_otherwise(headers, kept):
    response = {"status_code": 200, "reason": "OK", "headers": headers}
    event = PRINTED.parse(json.dumps({"audit": {"http_response": response}}).encode())
    assert event["source"]["fields"].get("http_response.headers") == kept
    assert "http_response" not in event["source"]["fields"]


@pytest.mark.parametrize(
    ("actor", "authenticated"),
    [({"id": "alice"}, True), ({"type": "anonymous", "authenticated": False}, False), ({"type": "unknown"}, False)],
)
def test_who_is_known_is_authenticated_unless_it_is_said_otherwise(actor, authenticated):
    audit = json.loads(PRINTED.render({"event": "http_request", "actor": actor}))["audit"]
    assert audit["user"]["authenticated"] is authenticated


@pytest.mark.parametrize(
    ("found", "printed", "described"),
    [
        ({"object": "o"}, {"object": "o", "kwargs": {}}, {"object": "o"}),
        (
            {"object": "o", "kwargs": {"a": 1}},
            {"object": "o", "kwargs": {"a": 1}},
            {"object": "o", "fields": ["a"], "terms": [1]},
        ),
        (
            {"object": "o", "fields": "a"},
            {"object": "o", "kwargs": {"fields": "a"}},
            {"object": "o", "fields": "a"},
        ),
        (
            {"object": "o", "fields": "a", "kwargs": {"b": 2}},
            {"object": "o", "kwargs": {"b": 2, "fields": "a"}},
            {"object": "o", "fields": "a", "kwargs": {"b": 2}},
        ),
    ],
)
def test_a_filter_has_the_form_of_its_profile(found, printed, described):
    event = {"event": "http_request", "filter": found}
    assert json.loads(PRINTED.render(event))["audit"]["filter"] == printed
    assert json.loads(README.render(event))["filter"] == described


def test_what_the_importer_replaced_stays_replaced():
    event = PRINTED.parse(b'{"audit": {"results": 7, "user": {"token": "x"}, "message": ""}}')
    event["source"]["fields"]["user"] = "REDACTED"
    assert json.loads(PRINTED.render(event))["audit"]["user"] == "REDACTED"


# ------------------------------------------------------------------------------------------------------- what is not


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"{", id="torn"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"\xff", id="no text"),
        pytest.param(b'{"level": "info"}', id="another log"),
        pytest.param(b'{"audit": {"level": "info"}}', id="another audit log"),
        pytest.param(b'{"audit": null}', id="nothing"),
        pytest.param(b"[" * 100_000, id="very deep"),
        pytest.param(b'{"audit": {}, "level": "info"}', id="more around it"),
    ],
)
def test_what_is_no_line_is_refused_with_what_was_expected(profile, line):
    with pytest.raises(LineError, match=rf"expected .* for datapunt:{profile}"):
        PROFILES[profile].parse(line)


def test_a_blank_line_holds_no_event():
    assert PRINTED.parse(b" \r") is None


def test_a_profile_that_is_none_is_refused():
    with pytest.raises(FormatError, match=r"expected 0.4 or readme .*, not '0.5'"):
        DatapuntFormat("0.5")


@pytest.mark.parametrize("profile", PROFILES)
def test_a_format_can_be_pickled(profile):
    again = pickle.loads(pickle.dumps(PROFILES[profile]))
    assert again.name == f"datapunt:{profile}"
    assert again.is_header(b"#") is False
