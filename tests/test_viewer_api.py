"""The viewer's API: what each address answers."""

import csv
import io
import json
import subprocess
import sys
import threading
from datetime import UTC, datetime

import orjson
import pytest

from archive_events import write_file
from auditmw.parsing import DEEPER
from query_table import at
from servers import poll
from viewer_site import ACME, Site, all_events, event_id, write

EVERYTHING = {"from": "2026-10-24T00:00:00Z", "to": "2026-10-26T00:00:00Z"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    made = Site(write(tmp_path_factory.mktemp("viewer") / "audit", all_events()))
    yield made
    made.app.close()


def shown(answer):
    return [entry["event"] for entry in answer["entries"]]


def test_a_page_of_events_has_them_whole_and_goes_on(site):
    first = site.answer("events", limit=5)
    assert shown(first) == all_events()[:-6:-1]
    assert first["partial"] is None
    second = site.answer("events", limit=5, after=first["next"])
    assert shown(second) == all_events()[-6:-11:-1]
    assert shown(site.answer("events", limit=5, before=second["previous"])) == shown(first)
    assert shown(site.answer("events", limit=2, order="oldest")) == all_events()[:2]


def test_an_answer_says_what_was_asked_and_how_long_it_took(site):
    response = site.get("events", q="status:500   user:*", **EVERYTHING)
    assert response.content_type == "application/json"
    told = response.json
    assert told["scope"] == {
        "q": "status:500 user:*",
        "from": "2026-10-24T00:00:00Z",
        "to": "2026-10-26T00:00:00Z",
    }
    assert told["errors"] == []
    assert told["elapsed_ms"] > 0


def test_a_query_with_an_error_is_answered_as_far_as_it_makes_sense(site):
    told = site.get("count", q="user:acme-user status:> (").json
    assert told["answer"]["value"] == 6
    assert told["answer"]["partial"]["reasons"] == ["query"]
    assert [error["start"] for error in told["errors"]] == [22, 24]
    assert told["scope"]["q"] == "user:acme-user"


def test_an_event_is_found_by_its_id(site):
    found = site.answer("event", id=event_id("acme", 3))
    assert found["event"] == next(made for made in all_events() if made["id"] == event_id("acme", 3))
    assert site.answer("event", id="nothing") == {"event": None, "cursor": None, "partial": None}


def test_an_event_that_is_nested_too_deep_is_shown_as_far_as_it_can_be(tmp_path):
    before, after = all_events()[:2]
    body = orjson.dumps({**before, "id": "deep", "actor": {"id": "bob"}})[:-1]
    body += b',"data":' + b"[" * 3000 + b"]" * 3000 + b"}"
    write_file(tmp_path / "audit", "w", 1, [orjson.dumps(before), body, orjson.dumps(after)])
    site = Site(tmp_path / "audit")
    for answer in (site.answer("events"), site.answer("timeline/user", id="bob")["visits"][0]):
        assert any(DEEPER in orjson.dumps(event).decode() for event in shown(answer))
    assert site.answer("event", id="deep")["event"]["actor"] == {"id": "bob"}
    assert site.answer("context", id="deep", same="user")["entry"]["event"]["id"] == "deep"
    assert site.get("export").data.splitlines()[1] == body
    assert "deep" in site.get("export", format="csv", columns="id,data").text
    site.app.close()


def test_the_context_of_an_event_is_what_is_around_it(site):
    found = site.answer("context", id=event_id("acme", 3), before=1, after=2, same="session")
    assert [entry["event"]["id"] for entry in found["before"]] == [event_id("acme", 2)]
    assert [entry["event"]["id"] for entry in found["after"]] == [event_id("acme", 4), event_id("acme", 5)]
    assert found["entry"]["event"]["id"] == event_id("acme", 3)


def test_figures(site):
    assert site.answer("count")["value"] == 26
    assert site.answer("count", cap=10) == {"value": 10, "capped": True, "partial": None}
    bars = site.answer("histogram", by="none", width="5m", q="data.tenant:acme", **EVERYTHING)
    assert sum(bars["series"]["all"]) == 13
    facet = site.answer("facets", fields="path,user", limit=1, q="data.tenant:umbra user:*")
    assert [one["field"] for one in facet] == ["path", "user"]
    assert facet[1]["values"] == [{"value": "umbra-user", "events": 7}]


def test_a_facet_with_multi_shows_what_else_could_be_chosen(site):
    asked = {"fields": "status,path", "q": "status:500 path:/acme/2", "multi": 1}
    status, path = site.answer("facets", **asked)
    assert {one["value"]: one["events"] for one in status["values"]} == {"200": 3, "500": 1}
    assert {one["value"]: one["events"] for one in path["values"]} == {"/acme/2": 1, "/umbra/2": 1}
    either = site.answer("facets", fields="status", q="(status:500 OR status:404) -path:/acme/2", multi=1)
    assert sum(one["events"] for one in either[0]["values"]) == 22


def test_a_summary_may_be_compared_with_the_time_before(site):
    found = site.answer("summary", compare="previous", **{"from": at(6).isoformat(), "to": at(12).isoformat()})
    assert found["now"]["people"]["requests"] == 12
    assert found["before"]["people"]["requests"] == 12
    assert found["scope_before"]["from"] == at(0).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert site.answer("summary")["before"] is None
    assert site.refusal("summary", compare="week")[0] == 400


def test_a_timeline_is_of_all_time_and_may_be_stitched(site):
    own = site.answer("timeline/user", id="acme-user")
    assert own["life"]["events"] == 6
    stitched = site.answer("timeline/user", id="acme-user", stitched=1)
    assert stitched["life"]["events"] == 12
    assert [len(visit["entries"]) for visit in stitched["visits"]] == [12]
    assert site.answer("timeline/client", id="192.0.2.2")["life"]["events"] == 12
    assert site.answer("timeline/trace", id="acme-trace")["life"]["events"] == 12
    assert site.refusal("timeline/planet", id="x")[0] == 404


def test_journeys(site):
    asked = {"step": ["path:/acme/0", "path:/acme/1"], "unit": "session", "window": "1h"}
    assert [step["units"] for step in site.answer("funnel", **asked)["steps"]] == [1, 1]
    units = site.answer("funnel/units", step_index=2, **asked)
    assert [attempt["unit"] for attempt in units["attempts"]] == ["acme-session"]
    assert site.answer("retention", start="status:200", period="week", **EVERYTHING)["cohorts"][0]["units"] == 2
    assert site.answer("conversion", goal="status:500", **EVERYTHING)["total"]["overall"]["converted"] == 2
    walks = site.answer("paths", anchor="path:/acme/0", steps=1, repeats=1)
    assert walks["steps"][0][0]["place"] == {"kind": "page", "page": "/acme/{id}"}


@pytest.mark.parametrize(
    ("path", "parameters", "parameter", "message"),
    [
        pytest.param("events", {"limit": "many"}, "limit", "a whole number from 1 to 1,000", id="no number"),
        pytest.param("events", {"limit": "0"}, "limit", "a whole number from 1 to 1,000", id="too small"),
        pytest.param("events", {"limit": "9" * 400}, "limit", "a whole number", id="a long number"),
        pytest.param("events", {"order": "up"}, "order", "newest, oldest", id="no order"),
        pytest.param("events", {"after": "x"}, None, "a cursor that a page gave", id="no cursor"),
        pytest.param("events", {"from": "soon"}, "from", "a date like", id="no time"),
        pytest.param("events", {"from": "now", "to": "now-1h"}, "from", "the range is empty", id="empty range"),
        pytest.param("events", {"tz": "../etc/passwd"}, "tz", "a zone such as", id="no zone"),
        pytest.param("events", {"q": ["a", "b"]}, "q", "once, not 2 times", id="twice"),
        pytest.param("events", {"from": "0001-01-01T00:00:00+14:00"}, "from", "a date like", id="before all time"),
        pytest.param("event", {}, "id", "expected the parameter id", id="no id"),
        pytest.param("context", {"id": "x", "same": "hat"}, "same", "trace, session, user, ip", id="same what"),
        pytest.param("facets", {"fields": "hat"}, "fields", "there is no field 'hat'", id="no field"),
        pytest.param("facets", {"fields": "data"}, None, "a group of fields", id="a group"),
        pytest.param(
            "facets", {"fields": ",".join(["user"] * 21)}, "fields", "at most 20 fields, not 21", id="too many fields"
        ),
        pytest.param("histogram", {"width": "1s", "from": "2020", "to": "2025"}, "from", "a date like", id="a year"),
        pytest.param(
            "histogram", {"width": "1s", "from": "2020-01-01", "to": "2025-01-01"}, None, "at most 20,000", id="bars"
        ),
        pytest.param("funnel", {"step": "path:/"}, None, "from 2 to 8 steps, not 1", id="one step"),
        pytest.param("funnel", {"step": ["a", "("]}, "step", "step 2: this parenthesis", id="a broken step"),
        pytest.param("funnel", {"step": ["a", "b"], "window": "x"}, "window", "a span like", id="no window"),
        pytest.param("retention", {"start": "usr:a"}, "start", "there is no field 'usr'", id="a broken start"),
        pytest.param("conversion", {}, "goal", "expected the parameter goal", id="no goal"),
        pytest.param("paths", {"anchor": "user:"}, "anchor", "expected a value", id="a broken anchor"),
        pytest.param("tail", {"cursor": "x"}, "cursor", "a cursor that a tail gave", id="no place"),
        pytest.param("export", {"format": "xls"}, "format", "ndjson, csv", id="no format"),
        pytest.param("parse", {"q": "a", "at": "2"}, "at", "from 0 to 1", id="behind the end"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name_with_a_sentence(site, path, parameters, parameter, message):
    status, error = site.refusal(path, **parameters)
    assert (status, error["parameter"]) == (400, parameter)
    assert message in error["message"]


def test_the_errors_of_a_step_have_their_places(site):
    _, error = site.refusal("funnel", step=["a", "b (c"])
    assert error["errors"] == [{"start": 2, "end": 3, "message": "this parenthesis is not closed"}]


def test_config_says_what_the_page_has_to_know(site):
    told = site.answer("config")
    assert told["viewer"] == {"name": "everybody", "restricted": False, "may_export": True}
    assert (told["tail"], told["export_cap"], told["time_limit_seconds"]) == ("poll", 1_000_000, 10.0)
    by_name = {field["name"]: field for field in told["fields"]}
    assert by_name["status"]["path"] == "http.response.status_code"
    assert by_name["level"]["choices"] == ["debug", "info", "warning", "error", "critical"]
    assert {"Errors", "Logins"} <= {view["name"] for view in told["views"]}
    assert not any(site.get("count", q=view["q"]).json["errors"] for view in told["views"])


def test_head_is_answered_without_a_body(site):
    response = site.client.head("/api/count")
    assert (response.status_code, response.data) == (200, b"")


# ------------------------------------------------------------------------------------------------------ completion


def completed(site, text, **parameters):
    """What can follow at the place of the | in the text, and which part of the text it replaces."""
    at = text.index("|")
    text = text.replace("|", "")
    found = site.answer("parse", q=text, at=at, **parameters)["complete"]
    return [item["text"] for item in found["items"]], text[found["start"] : found["end"]]


def test_the_canonical_text_and_the_errors_of_a_query_are_told(site):
    told = site.answer("parse", q='user:"acme-user"  AND status:>')
    assert told["canonical"] == "user:acme-user"
    assert told["errors"] == [{"start": 29, "end": 30, "message": "expected a value after >"}]
    assert "complete" not in told


@pytest.mark.parametrize(
    ("text", "first", "replaced"),
    [
        pytest.param("|", "time:", "", id="nothing"),
        pytest.param("sta|", "status:", "sta", id="the beginning of a name"),
        pytest.param("user:x ST|", "status:", "ST", id="behind another term"),
        pytest.param("-sess|", "session:", "sess", id="negated"),
        pytest.param("(use|", "user:", "use", id="in parentheses"),
        pytest.param("st|:500", "status:", "st:", id="a name with its value"),
        pytest.param("da|", "data.", "da", id="a group"),
        pytest.param("user:|", "umbra-user", "", id="a value"),
        pytest.param("user:ac|", "acme-user", "ac", id="the beginning of a value"),
        pytest.param("user:AC|", "acme-user", "AC", id="in other capitals"),
        pytest.param("user:acme-user,um|", "umbra-user", "um", id="the second value"),
        pytest.param("user:(acme-user OR um|)", "umbra-user", "um", id="in a list"),
        pytest.param('path:"/ac|', "/acme/0", '"/ac', id="in quotes"),
        pytest.param("status:|", "200", "", id="a number"),
        pytest.param("level:w|", "warning", "w", id="a choice that no event has"),
        pytest.param("data.word:|", "acme-secret", "", id="of the application's own"),
        pytest.param("user:* -path:/acme/0 user:a|", "acme-user", "a", id="the second term of the field"),
        pytest.param("time:|", "-15m..", "", id="a time"),
    ],
)
def test_names_and_values_are_completed(site, text, first, replaced):
    items, replaces = completed(site, text)
    assert items[0] == first
    assert replaces == replaced


def test_the_values_are_those_of_the_rest_of_the_query_in_the_range(site):
    assert completed(site, "status:500 path:|")[0] == ["/acme/2", "/umbra/2"]
    assert completed(site, "user:umbra-user status:500 path:|")[0] == ["/umbra/2"]
    assert completed(site, "path:|", to=at(1).isoformat(), **{"from": at(0).isoformat()})[0] == ["/acme/0", "/umbra/0"]


@pytest.mark.parametrize("text", ["hat:|", 'he said "user:|', "a b |c", "|user:x", "user:x|"])
def test_where_there_is_nothing_to_complete_there_is_no_error(site, text):
    completed(site, text)


# ---------------------------------------------------------------------------------------------------------- export


def test_an_export_has_all_events_that_match(site):
    response = site.get("export", q="data.tenant:acme")
    assert response.headers["Content-Type"] == "application/x-ndjson"
    assert response.headers["Content-Disposition"].startswith('attachment; filename="events-')
    assert [json.loads(line) for line in response.text.splitlines()] == [
        made for made in all_events() if made["data"]["tenant"] == "acme"
    ]
    assert "X-Auditmw-Capped" not in response.headers


def test_an_export_to_a_spreadsheet_has_the_columns_that_were_chosen(site):
    response = site.get("export", format="csv", columns='time,path,data."word"', q="status:500")
    rows = list(csv.reader(io.StringIO(response.text)))
    assert rows[0] == ["time", "path", 'data."word"']
    assert [row[1:] for row in rows[1:]] == [["/acme/2", "acme-secret"], ["/umbra/2", "umbra-secret"]]


def test_an_export_is_safe_in_a_spreadsheet(tmp_path):
    made = {**all_events()[0], "message": "=cmd|' /C calc'!A0"}
    site = Site(write(tmp_path / "audit", [made]))
    assert "'=cmd|' /C calc'!A0" in site.get("export", format="csv", columns="message").text


def test_an_export_with_more_than_the_cap_says_so(tmp_path):
    site = Site(write(tmp_path / "audit", all_events()), export_cap=10)
    response = site.get("export", order="newest")
    assert response.headers["X-Auditmw-Capped"] == "10"
    assert [json.loads(line) for line in response.text.splitlines()] == all_events()[:-11:-1]


def test_an_export_that_fails_on_the_way_does_not_end_as_if_it_were_whole(site, monkeypatch):
    entries = iter([b'{"a":1}'])
    monkeypatch.setattr(
        "auditmw.viewer.export._lines", lambda found: (1 // 0 if line is None else line for line in [*entries, None])
    )
    response = site.client.get("/api/export", buffered=False)
    with pytest.raises(ZeroDivisionError):
        list(response.response)


# ----------------------------------------------------------------------------------------------------- saved views


@pytest.fixture
def fresh(tmp_path):
    return Site(write(tmp_path / "audit", all_events()))


VIEW = {"name": "Mine", "q": "user:acme-user", "columns": ["time", "path"], "from": "now-1h", "to": None}


def own_views(site):
    return [view for view in site.answer("config")["views"] if not view["builtin"]]


def test_a_view_is_kept_until_it_is_deleted(fresh):
    assert fresh.change("POST", "views", VIEW).status_code == 200
    assert own_views(fresh) == [{**VIEW, "by": "everybody", "builtin": False}]
    again = Site(fresh.directory)
    assert own_views(again) == own_views(fresh)
    assert fresh.change("POST", "views", {**VIEW, "q": "other"}).status_code == 200
    assert [view["q"] for view in own_views(again)] == ["other"]
    assert fresh.change("DELETE", "views?name=Mine").status_code == 200
    assert own_views(again) == []
    assert fresh.change("DELETE", "views?name=Mine").status_code == 404


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        pytest.param([], None, id="a list"),
        pytest.param({}, "name", id="no name"),
        pytest.param({"name": " "}, "name", id="a blank name"),
        pytest.param({"name": "x" * 81}, "name", id="a long name"),
        pytest.param({"name": "x", "q": 7}, "q", id="no query"),
        pytest.param({"name": "x", "columns": "time"}, "columns", id="no list of columns"),
        pytest.param({"name": "x", "columns": ["time"] * 41}, "columns", id="too many columns"),
        pytest.param({"name": "x", "columns": [7]}, "columns", id="a number as column"),
    ],
)
def test_what_is_no_view_is_refused(fresh, body, parameter):
    response = fresh.change("POST", "views", body)
    assert (response.status_code, response.json["error"]["parameter"]) == (400, parameter)


def test_the_name_of_a_view_that_comes_with_auditmw_is_taken(fresh):
    assert fresh.change("POST", "views", {**VIEW, "name": "Errors"}).status_code == 409


def test_saved_views_have_an_end(fresh):
    statuses = [
        fresh.change("POST", "views", {**VIEW, "name": f"v{number}", "q": "x" * 16_000}).status_code
        for number in range(4)
    ]
    assert statuses == [200, 200, 200, 409]
    assert len(own_views(fresh)) == 3


def test_views_that_are_saved_at_once_are_all_kept(fresh):
    def save(number):
        assert Site(fresh.directory).change("POST", "views", {**VIEW, "name": f"v{number}"}).status_code == 200

    threads = [threading.Thread(target=save, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(own_views(fresh)) == 8


def test_saved_views_that_are_damaged_are_told(fresh):
    fresh.change("POST", "views", VIEW)
    (fresh.directory / "viewer" / "views.json").write_text("[{")
    assert fresh.refusal("config")[0] == 503


# ------------------------------------------------------------------------------------------- limits, cancel, engine


def test_a_question_ends_at_the_time_limit_and_says_so(tmp_path):
    site = Site(write(tmp_path / "audit", all_events()), time_limit_seconds=1e-9)
    assert site.answer("count")["partial"]["reasons"] == ["time limit"]


def test_cancel_ends_what_was_asked_with_a_token(tmp_path, monkeypatch):
    site = Site(write(tmp_path / "audit", all_events()))
    began, over = threading.Event(), threading.Event()

    def slow(ask):
        began.set()
        poll(lambda: ask.handle.cancelled, "the question to be cancelled")
        over.set()
        return ask.answer(lambda engine, **options: None)

    monkeypatch.setitem(site.app.__init__.__globals__["_QUESTIONS"], "count", (slow, "events"))
    answers = []
    thread = threading.Thread(target=lambda: answers.append(site.get("count", token="mine")))
    thread.start()
    assert began.wait(10)
    assert site.change("POST", "cancel", {"token": "other"}).json["answer"] == {"cancelled": False}
    assert site.change("POST", "cancel", {"token": "mine"}).json["answer"] == {"cancelled": True}
    thread.join(10)
    assert over.is_set()
    assert answers[0].status_code == 409
    assert site.change("POST", "cancel", {"token": "mine"}).json["answer"] == {"cancelled": False}


def test_nobody_cancels_what_another_viewer_asked(tmp_path):
    site = Site(write(tmp_path / "audit", all_events()), ACME)
    with site.app._shared.running.named(("somebody else", "t"), handle := type("Handle", (), {"cancel": None})()):
        assert site.change("POST", "cancel", {"token": "t"}).json["answer"] == {"cancelled": False}
    assert handle.cancel is None


def test_too_many_questions_at_once_are_sent_away(tmp_path, monkeypatch):
    monkeypatch.setattr("auditmw.viewer.asking.PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr("auditmw.viewer.asking.Ask.slot.__defaults__", (0.01,))
    site = Site(write(tmp_path / "audit", all_events()), at_most_queries=1)
    with site.app._shared.running.slot(type("Handle", (), {"check": lambda self: None})()):
        response = site.get("count")
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert site.answer("count")["value"] == 26


FORKED = """
import os, sys, threading
from werkzeug.test import Client
from auditmw.viewer import ViewerApp

app = ViewerApp(sys.argv[1], open_to_all=True)
client = Client(app)
assert client.get("/api/count").json["answer"]["value"] == 26
app._engines._lock.acquire()  # as if another thread were at it when the process forks
app._shared.running._slots.acquire()
child = os.fork()
if not child:
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(client.get("/api/count").json)) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    os._exit(0 if [one["answer"]["value"] for one in answers] == [26] * 4 else 1)
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_process_that_is_forked_after_a_question_asks_with_an_engine_of_its_own(tmp_path):
    directory = write(tmp_path / "audit", all_events())
    command = [sys.executable, "-c", FORKED, str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_what_is_typed_behind_a_long_query_is_completed(site):
    text = "-a" * 7_000 + " user:ac"
    found = site.answer("parse", q=text, at=len(text))["complete"]
    assert (found["start"], found["items"][0]["text"]) == (len(text) - 2, "acme-user")
    assert completed(site, "(user:* OR path:/acme/0) " * 90 + "sta|")[0][0] == "status:"


def test_a_directory_that_is_not_there_is_told(tmp_path):
    status, error = Site(tmp_path / "nowhere").refusal("count")
    assert status == 503
    assert "expected an audit directory" in error["message"]


def test_an_error_of_ours_is_no_answer_and_is_logged(tmp_path, monkeypatch, caplog):
    site = Site(write(tmp_path / "audit", all_events()))
    monkeypatch.setattr("auditmw.viewer.overview.count", lambda *_, **__: {}["secret"])
    status, error = site.refusal("count")
    assert (status, error["message"]) == (500, "the viewer failed; the server's log says why")
    assert "KeyError: 'secret'" in caplog.text


def test_times_are_in_utc(site):
    assert orjson.loads(site.get("count", tz="Europe/Amsterdam", **{"from": "2026-10-24T22:00"}).data)["scope"][
        "from"
    ] == (datetime(2026, 10, 24, 20, tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
