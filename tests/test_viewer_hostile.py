"""What no browser sends: a clear refusal, and never a failure of the viewer."""

import json
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.test import Client

from auditmw.journal import seal
from auditmw.viewer import files
from auditmw.viewer.app import _QUESTIONS, MAX_BODY, MAX_URL
from auditmw.viewer.tail import Position
from query_table import event
from viewer_site import WRITER, Site, all_events, event_id, write

PARAMETERS = (
    *("q", "from", "to", "tz", "token", "id", "order", "after", "before", "limit", "cap", "by", "width", "at_most"),
    *("fields", "multi", "compare", "step", "unit", "strict", "window", "breakdown", "step_index", "outcome", "value"),
    *(
        "start",
        "returning",
        "first_time",
        "period",
        "goal",
        "base",
        "anchor",
        "backward",
        "steps",
        "top",
        "cursor",
        "at",
    ),
    *("format", "columns", "same", "stitched", "among", "repeats"),
)
CURSOR = "WzE3OTI4NzM4MDAwMDAwMDAsInciLDFd"
GOOD = ("1", "2", "now-1d", "user:*", "path:/acme/*", "session", "day", "UTC", "status", event_id("acme", 3), CURSOR)
NASTY = (
    *(
        "",
        " ",
        "\0",
        "\ud7ff",
        "%",
        "'",
        '"',
        "\\",
        "--",
        "$_0",
        "?",
        "0",
        "-1",
        "9" * 30,
        "1e9",
        "NaN",
        "now-999999999w",
    ),
    *(
        "0001-01-01",
        "9999-12-31T23:59:59.999999Z",
        "9999-12-31T23:59:59-14:00",
        "١",
        'data."a.b"',
        "user:",
        "a OR",
        "(",
    ),
    *(
        "data." + "a." * 40,
        "time:9999..",
        "x" * 3000,
        "1y",
        "1s",
        "Europe/../..",
        "/etc/passwd",
        "a\r\nb",
        "=1+1",
        "<b>",
    ),
)
VALUES = st.one_of(st.sampled_from(GOOD), st.sampled_from(NASTY), st.text(max_size=20))
PATHS = [*(path.replace("<of>", "user") for path in _QUESTIONS), "config", "parse", "export"]
# Parameters without which there is no answer, so that not every example ends there.
NEEDED = {
    "funnel": {"step": ["path:/acme/0", "path:/acme/1"]},
    "funnel/units": {"step": ["path:/acme/0", "path:/acme/1"]},
    "conversion": {"goal": "status:200"},
    "paths": {"anchor": "status:200"},
    "event": {"id": event_id("acme", 3)},
    "context": {"id": event_id("acme", 3)},
    "timeline/user": {"id": "acme-user"},
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    made = Site(write(tmp_path_factory.mktemp("viewer") / "audit", all_events()), time_limit_seconds=5)
    yield made
    made.app.close()


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=25)
@given(given_parameters=st.dictionaries(st.sampled_from(PARAMETERS), VALUES, max_size=4))
def test_no_parameters_make_the_viewer_fail(site, path, given_parameters):
    response = site.get(path, **(NEEDED.get(path, {}) | given_parameters))
    assert response.status_code in (200, 400), (given_parameters, response.text)
    if response.status_code == 400:
        assert response.json["error"]["message"]


@settings(max_examples=60)
@given(query=st.binary(max_size=40), path=st.sampled_from(PATHS))
def test_no_query_string_makes_the_viewer_fail(site, query, path):
    response = site.client.get(f"/api/{path}", query_string=query.decode("latin-1"))
    assert response.status_code in (200, 400), response.text


@settings(max_examples=100)
@given(path=st.text(max_size=30), method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "X"]))
def test_no_path_and_no_method_make_the_viewer_fail(site, path, method):
    response = site.client.open("/" + quote(path, safe="/%"), method=method)
    assert response.status_code < 500 or "not built" in response.text


@settings(max_examples=60)
@given(
    body=st.one_of(
        st.binary(max_size=50), st.recursive(st.none() | st.text(max_size=5), st.lists).map(json.dumps).map(str.encode)
    )
)
def test_no_body_makes_the_viewer_fail(site, body):
    for path in ("views", "cancel"):
        response = site.client.post(f"/api/{path}", data=body, headers={"X-Auditmw": "1"})
        assert response.status_code in (200, 400), response.text


# ------------------------------------------------------------------------------------------------------------- sizes


def test_a_url_that_is_too_long_is_refused(site):
    assert site.refusal("count", q="x" * MAX_URL) == (
        413,
        {"message": "expected a URL of at most 16,384 characters", "parameter": None},
    )
    assert site.get("count", q="x" * (MAX_URL - 100)).status_code == 200


@pytest.mark.parametrize("path", ["views", "cancel"])
def test_a_body_that_is_too_large_is_refused(site, path):
    response = site.client.post(f"/api/{path}", data=b" " * (MAX_BODY + 1), headers={"X-Auditmw": "1"})
    assert (response.status_code, response.json["error"]["message"]) == (
        413,
        "expected a request body of at most 65,536 bytes",
    )


@pytest.mark.parametrize(
    ("method", "address", "status", "allowed"),
    [
        pytest.param("GET", "/api/nothing", 404, None, id="nothing there"),
        pytest.param("GET", "/api/", 404, None, id="nothing asked"),
        pytest.param("GET", "/api//count", 404, None, id="two slashes"),
        pytest.param("POST", "/api/count", 405, "GET, HEAD", id="a question posted"),
        pytest.param("GET", "/api/cancel", 405, "POST", id="a change got"),
        pytest.param("GET", "/api/views", 405, "DELETE, POST", id="the views"),
        pytest.param("OPTIONS", "/api/count", 405, "GET, HEAD", id="a preflight"),
        pytest.param("TRACE", "/api/count", 405, "GET, HEAD", id="trace"),
    ],
)
def test_what_is_not_there_is_said_in_json(site, method, address, status, allowed):
    response = site.client.open(address, method=method)
    assert (response.status_code, response.headers.get("Allow")) == (status, allowed)
    assert response.json["error"]["message"]


# --------------------------------------------------------------------------------------------------------- the files


@pytest.fixture
def built(tmp_path, monkeypatch):
    folder = tmp_path / "package" / "static"
    folder.mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>x</title>")
    (folder / "app-1.js").write_text("1;" * 500)
    (folder / "icon.svg").write_text("<svg/>")
    (folder / ".hidden.js").write_text("2")
    (folder / "notes.txt").write_text("3")
    (folder / "below").mkdir()
    (folder / "below" / "x.js").write_text("4")
    (tmp_path / "package" / "app.py").write_text("secret")
    monkeypatch.setattr(files, "STATIC", folder)
    return Site(write(tmp_path / "audit", all_events()[:1]))


def test_the_page_and_its_files(built):
    page = built.client.get("/")
    assert (page.status_code, page.content_type) == (200, "text/html; charset=utf-8")
    assert page.headers["Cache-Control"] == "no-store"
    script = built.client.get("/static/app-1.js")
    assert (script.content_type, script.text) == ("text/javascript; charset=utf-8", "1;" * 500)
    assert script.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert built.client.get("/static/icon.svg").content_type == "image/svg+xml"


def test_the_files_are_packed_for_who_can_unpack_them(built):
    packed = built.client.get("/static/app-1.js", headers={"Accept-Encoding": "gzip, br"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.data) < 100
    assert (
        "Content-Encoding" not in built.client.get("/static/app-1.js", headers={"Accept-Encoding": "gzip;q=0"}).headers
    )


@pytest.mark.parametrize(
    "name",
    [
        *("../app.py", "..%2fapp.py", "%2e%2e/app.py", "..%5capp.py", "....//app.py", "/etc/passwd", "%2fetc%2fpasswd"),
        *("below/x.js", "below", "notes.txt", "index.html", "", ".", "..", "app-1.js%00.txt", "app-1.js/", "APP-1.JS"),
        *("app-1.js%00", "\u2025/app.py", "static/app-1.js", "x" * 5000),
    ],
)
def test_nothing_but_the_pages_files_is_there(built, name):
    response = built.client.get(f"/static/{name}")
    assert response.status_code == 404 or (name == "app-1.js/" and response.text.startswith("1;"))
    assert "secret" not in response.text


def test_without_a_build_the_page_says_what_to_do(built):
    (files.STATIC / "index.html").unlink()
    response = built.client.get("/")
    assert response.status_code == 503
    assert "npm run build" in response.text


# ------------------------------------------------------------------------------------------------------- hostile events


def test_hostile_events_come_as_they_are_as_json_and_never_as_a_page(tmp_path):
    script = "<script>alert(1)</script>"
    nasty = [
        {
            "schema": "auditmw.event/1.0",
            **event(0, id="a", path=f"/{script}", user=script, agent='"><img src=x onerror=1>'),
        },
        {"schema": "auditmw.event/1.0", **event(1, id="b", message="\u202e\u0000\u001b[31m", user="x" * 100_000)},
        {"schema": "auditmw.event/1.0", **event(2, id="c", data={f"k{number}": number for number in range(10_000)})},
    ]
    site = Site(write(tmp_path / "audit", nasty))
    response = site.get("events")
    assert response.content_type == "application/json"
    assert [entry["event"] for entry in response.json["answer"]["entries"]] == nasty[::-1]
    assert site.answer("event", id="b")["event"] == nasty[1]
    for form in ("csv", "ndjson"):
        export = site.get("export", format=form)
        assert export.headers["Content-Disposition"].startswith("attachment")
        assert export.headers["X-Content-Type-Options"] == "nosniff"
    assert site.answer("facets", fields="user,path,agent")[0]["values"][0]["events"] == 1


NO_JSON = {
    "not a number": (b"NaN", None),
    "infinite": (b"[-Infinity, 1e400]", None),
    "half a character": (b'"\\ud800"', "\ud800"),
    "a large number": (b"123456789012345678901234567890", 123456789012345678901234567890),
}


@pytest.mark.parametrize(("written", "read"), NO_JSON.values(), ids=NO_JSON)
def test_an_event_that_is_hardly_json_spoils_no_answer(tmp_path, written, read):
    whole = [{"schema": "x", **event(minute, id=str(minute))} for minute in range(3)]
    bodies = [json.dumps(made, separators=(",", ":")).encode() for made in whole]
    bodies[1] = bodies[1][:-1] + b',"data":{"odd":' + written + b"}}"
    folder = tmp_path / "audit" / "journal"
    folder.mkdir(parents=True)
    (folder / f"{WRITER}.000001.jsonl").write_bytes(b"".join(seal(body, n) for n, body in enumerate(bodies, 1)))
    site = Site(tmp_path / "audit")

    def strict(response):
        return json.loads(response.data, parse_constant=lambda number: pytest.fail(number))["answer"]

    shown = [entry["event"]["id"] for entry in strict(site.get("events"))["entries"]]
    assert set(shown) >= {"0", "2"}  # the archive need not take it for an event, but it does no harm
    if "1" in shown:
        odd = strict(site.get("event", id="1"))["event"]["data"]["odd"]
        assert odd == read or isinstance(odd, list)
    assert site.get("export", format="csv", columns="id,data.odd").text.count("\n") == len(shown) + 1
    before = Position(0.0, {f"{WRITER}.000001.jsonl": 0})
    assert len(strict(site.get("tail", cursor=str(before)))["entries"]) == 3


def test_what_somebody_asked_for_is_not_part_of_a_page(site):
    for address in ("/<script>alert(1)</script>", "/static/<script>", "/?x=<script>"):
        assert "<script>alert" not in Client(site.app).get(address).text
