"""Who may look, and at what: closed by default, and a restriction holds everywhere."""

import asyncio
import json
import re

import pytest
from werkzeug.exceptions import Forbidden, HTTPException
from werkzeug.test import Client, create_environ
from werkzeug.utils import redirect

import auditmw
from auditmw.viewer import ASGIViewerApp, TokenAccess, Viewer, ViewerApp
from auditmw.viewer.app import _OTHERS, _QUESTIONS
from query_table import at
from viewer_site import ACME, Site, all_events, event_id, of_tenant, write

ADDRESSES = ["/", "/api/config", "/api/count", "/api/tail", "/api/export", "/static/app.js", "/api/nothing"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return write(tmp_path_factory.mktemp("viewer") / "audit", all_events())


@pytest.fixture(scope="module")
def acme(directory):
    site = Site(directory, ACME)
    yield site
    site.app.close()


# --------------------------------------------------------------------------------------------------- who may look


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        pytest.param({}, "expected authorize=", id="nothing said"),
        pytest.param({"open_to_all": False}, "expected authorize=", id="closed"),
        pytest.param({"authorize": lambda request: None, "open_to_all": True}, "not both", id="both"),
    ],
)
def test_without_a_word_on_who_may_look_there_is_no_viewer(directory, options, wrong):
    with pytest.raises(ValueError, match=wrong):
        ViewerApp(directory, **options)


def test_authorize_has_to_be_callable(directory):
    with pytest.raises(TypeError, match="callable"):
        ViewerApp(directory, authorize="alice")


@pytest.mark.parametrize("address", ADDRESSES)
def test_nobody_sees_anything(directory, address):
    response = Client(ViewerApp(directory, authorize=lambda request: None)).get(address)
    assert response.status_code == 401
    if address.startswith("/api/"):
        assert response.json["error"]["message"].startswith("you are not signed in")
    else:
        assert response.content_type == "text/html; charset=utf-8"


@pytest.mark.parametrize(
    "answer", [True, "alice", ACME.name, 1, object()], ids=["true", "a name", "its name", "one", "an object"]
)
def test_an_answer_that_is_no_viewer_lets_nobody_in(directory, answer):
    assert Client(ViewerApp(directory, authorize=lambda request: answer)).get("/api/count").status_code == 500


def test_an_authorize_that_fails_lets_nobody_in(directory):
    assert Client(ViewerApp(directory, authorize=lambda request: 1 // 0)).get("/api/count").status_code == 500


def test_authorize_may_send_people_to_a_page_to_sign_in(directory):
    def authorize(request):
        raise HTTPException(response=redirect("/login"))

    client = Client(ViewerApp(directory, authorize=authorize))
    assert client.get("/").headers["Location"] == "/login"
    assert client.get("/api/count").status_code == 401


def test_authorize_may_refuse(directory):
    def authorize(request):
        raise Forbidden("only for auditors")

    response = Client(ViewerApp(directory, authorize=authorize)).get("/api/count")
    assert (response.status_code, response.json["error"]["message"]) == (403, "only for auditors")


def test_authorize_sees_the_request(directory):
    seen = []

    def authorize(request):
        seen.append(request)
        return ACME

    app = ViewerApp(directory, authorize=authorize)
    headers = {"X-Forwarded-For": "203.0.113.7", "Cookie": "a=b", "X-Two": "2"}
    Client(app, use_cookies=False).get(
        "/api/config", base_url="https://x/audit", headers=headers, environ_base={"REMOTE_ADDR": "127.0.0.1"}
    )
    (request,) = seen
    assert (request.method, request.path, request.scheme) == ("GET", "/audit/api/config", "https")
    assert (request.client, request.trusted, request.cookies["a"]) == ("203.0.113.7", True, "b")
    assert request.headers["x-two"] == "2"
    assert len(request.trace_id) == 32
    assert request.carrier["PATH_INFO"] == "/api/config"


@pytest.mark.parametrize(
    ("options", "client"),
    [
        pytest.param({}, "203.0.113.7", id="the own machine"),
        pytest.param({"trusted_proxies": ()}, "127.0.0.1", id="nobody"),
        pytest.param({"trusted_proxies": auditmw.Proxies(header=None)}, "127.0.0.1", id="no header"),
    ],
)
def test_who_is_believed_on_the_clients_address_can_be_said(directory, options, client):
    seen = []
    app = ViewerApp(directory, authorize=lambda request: seen.append(request.client), **options)
    Client(app).get("/", headers={"X-Forwarded-For": "203.0.113.7"}, environ_base={"REMOTE_ADDR": "127.0.0.1"})
    assert seen == [client]


def test_an_async_authorize_is_awaited(directory):
    async def authorize(request):
        await asyncio.sleep(0)
        return ACME

    assert Client(ViewerApp(directory, authorize=authorize)).get("/api/count").json["answer"]["value"] == 13


@pytest.mark.parametrize("restriction", ["", " ", "usr:x", "user:", "(", 7], ids=repr)
def test_a_viewer_with_a_restriction_that_restricts_nothing_is_none(restriction):
    with pytest.raises((ValueError, AttributeError)):
        Viewer("anna", restriction=restriction)


def test_a_viewer_has_a_name():
    with pytest.raises(ValueError, match="expected the name"):
        Viewer("")


# ------------------------------------------------------------------------------------------------ the restriction


EVERY_QUESTION = {
    "events": {},
    "events of the others": {"": "events", "q": "data.tenant:umbra"},
    "events with or": {"": "events", "q": "data.tenant:umbra OR user:*"},
    "count": {},
    "count of the others": {"": "count", "q": "data.tenant:umbra"},
    "histogram": {},
    "facets": {"fields": "user,path,session,ip,service,data.word,data.tenant"},
    "facets multi": {"": "facets", "fields": "user,path,data.tenant", "q": "data.tenant:umbra", "multi": 1},
    "event": {"id": event_id("umbra", 3)},
    "context of theirs": {"": "context", "id": event_id("umbra", 3)},
    "context": {"id": event_id("acme", 3), "before": 100, "after": 100},
    "context of a session": {"": "context", "id": event_id("acme", 20), "same": "session"},
    "timeline/user": {"id": "umbra-user", "stitched": 1},
    "timeline/session": {"id": "umbra-session"},
    "timeline of the shared session": {"": "timeline/session", "id": "shared", "stitched": 1},
    "timeline/trace": {"id": "umbra-trace"},
    "timeline/client": {"id": "192.0.2.2"},
    "summary": {"stitched": 1},
    "funnel": {"step": ["path:/umbra/0", "path:/umbra/1"], "breakdown": "user"},
    "funnel/units": {"step": ["path:/umbra/0", "path:/umbra/1"], "step_index": 1},
    "funnel of persons": {"": "funnel/units", "step": ["session:*", "path:*"], "unit": "person", "step_index": 1},
    "retention": {"unit": "person"},
    "conversion": {"goal": "path:/umbra/0", "breakdown": "user"},
    "paths": {"anchor": "session:*", "repeats": 1},
    "tail": {},
}


@pytest.mark.parametrize("question", EVERY_QUESTION)
def test_of_another_tenants_events_nothing_is_told(acme, question):
    parameters = dict(EVERY_QUESTION[question])
    path = parameters.pop("", question)
    told = acme.get(path, **parameters)
    assert told.status_code == 200
    assert told.json.pop("scope") is not None
    assert "umbra" not in json.dumps(told.json["answer"])
    assert "192.0.2.2" not in json.dumps(told.json["answer"])


def test_every_question_of_the_api_is_asked_above():
    asked = {parameters.get("", name) for name, parameters in EVERY_QUESTION.items()}
    assert {re.sub("timeline/.*", "timeline/<of>", path) for path in asked} == set(_QUESTIONS)
    assert set(_OTHERS) == {"config", "parse", "save", "delete", "cancel"}


def test_the_own_events_are_all_there(acme):
    assert acme.answer("count")["value"] == 13
    assert acme.answer("timeline/user", id="acme-user", stitched=1)["life"]["events"] == 12
    assert acme.answer("event", id=event_id("acme", 3))["event"]["id"] == event_id("acme", 3)


def test_a_query_cannot_get_out_of_the_restriction(acme):
    for query in ("data.tenant:umbra", "user:* OR data.tenant:umbra", ") OR (user:*", "-data.tenant:acme", "a) OR (b"):
        assert acme.answer("count", q=query)["value"] <= 13
        assert "umbra-" not in acme.get("events", q=query).text


def test_the_life_of_somebody_else_is_not_even_counted(acme):
    assert acme.answer("timeline/user", id="umbra-user")["life"] == {
        "events": 0,
        "first": None,
        "last": None,
        "partial": None,
    }


def test_an_export_has_the_own_events_only(acme):
    for form in ("ndjson", "csv"):
        response = acme.get("export", format=form, q="data.tenant:umbra OR data.tenant:acme")
        assert response.text.count("\n") == 13 + (form == "csv")
        assert "umbra" not in response.text


@pytest.mark.parametrize("text", ["user:", "path:/u", "data.word:", "data.tenant:um", "session:", "ip:", "service:"])
def test_completion_suggests_no_value_of_others(acme, text):
    items = acme.answer("parse", q=text, at=len(text))["complete"]["items"]
    assert "umbra" not in json.dumps(items)
    assert "192.0.2.2" not in json.dumps(items)


def test_the_tail_shows_the_own_events_only(tmp_path):
    site = Site(write(tmp_path / "audit", []), ACME)
    audit = auditmw.Audit(site.directory, service="shop")
    cursor = site.answer("tail")["cursor"]
    for tenant in ("acme", "umbra"):
        auditmw.record("thing_done", audit=audit, tenant=tenant)
    news = site.answer("tail", cursor=cursor)
    assert [entry["event"]["data"]["tenant"] for entry in news["entries"]] == ["acme"]
    assert site.answer("tail", cursor=cursor, q="data.tenant:umbra")["entries"] == []
    audit.close()


def test_a_restriction_may_have_a_time_that_moves(directory):
    assert Site(directory, Viewer("late", restriction="time:-1h..")).answer("count")["value"] == 0
    assert Site(directory, Viewer("all", restriction="time:2026-10..")).answer("count")["value"] == 26


def test_a_restricted_viewer_has_views_of_their_own(tmp_path):
    directory = write(tmp_path / "audit", of_tenant("acme"))
    viewers = {name: Site(directory, Viewer(name, restriction="status:*")) for name in ("anna", "ben")}
    everybody = Site(directory)
    for name, site in [*viewers.items(), ("all", everybody)]:
        assert site.change("POST", "views", {"name": "Mine", "q": f"{name}-secret"}).status_code == 200
    for name, site in [*viewers.items(), ("all", everybody)]:
        own = [view["q"] for view in site.answer("config")["views"] if not view["builtin"]]
        assert own == [f"{name}-secret"]
    assert viewers["anna"].change("DELETE", "views?name=Mine").status_code == 200
    assert viewers["ben"].change("DELETE", "views?name=Mine").status_code == 200
    assert everybody.change("DELETE", "views?name=Mine").status_code == 200


def test_what_another_viewer_saved_is_not_replaced(tmp_path):
    directory = write(tmp_path / "audit", of_tenant("acme"))
    anna, ben = (Site(directory, Viewer(name)) for name in ("anna", "ben"))
    assert anna.change("POST", "views", {"name": "Ours"}).status_code == 200
    assert ben.change("POST", "views", {"name": "Ours"}).status_code == 409


def test_who_may_not_export_does_not(directory):
    site = Site(directory, Viewer("anna", may_export=False))
    assert site.answer("config")["viewer"]["may_export"] is False
    assert site.refusal("export")[0] == 403


def test_damage_is_told_without_what_it_concerns(directory, acme, monkeypatch):
    assert acme.answer("histogram")["edges"][0] >= at(-1).strftime("%Y-%m-%dT%H:%M:%SZ")


# ----------------------------------------------------------------------------------------------- other sites' hands


CHANGES = [
    pytest.param("POST", "views", {"name": "x"}, id="save"),
    pytest.param("DELETE", "views?name=x", None, id="delete"),
    pytest.param("POST", "cancel", {"token": "x"}, id="cancel"),
]
OTHER_SITES = [
    pytest.param({"X-Auditmw": "1", "Sec-Fetch-Site": "cross-site"}, id="cross-site"),
    pytest.param({"X-Auditmw": "1", "Sec-Fetch-Site": "same-site"}, id="another host of the site"),
    pytest.param({"X-Auditmw": "1", "Origin": "https://evil.example"}, id="another origin"),
    pytest.param({"X-Auditmw": "1", "Origin": "http://localhost:81"}, id="another port"),
    pytest.param({"X-Auditmw": "1", "Origin": "null"}, id="no origin"),
    pytest.param({}, id="a form, without the header"),
    pytest.param({"X-Auditmw": "yes"}, id="another value of the header"),
]


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
@pytest.mark.parametrize("headers", OTHER_SITES)
def test_another_site_changes_nothing(tmp_path, method, path, body, headers):
    site = Site(write(tmp_path / "audit", of_tenant("acme")[:1]))
    response = site.change(method, path, body, headers=headers)
    assert response.status_code == 403
    assert response.json["error"]["message"]
    assert not (site.directory / "viewer").exists()


@pytest.mark.parametrize("headers", [each for each in OTHER_SITES if len(each.values[0]) == 2])
def test_another_site_exports_nothing(acme, headers):
    assert acme.get("export", headers=headers).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Sec-Fetch-Site": "same-origin"}, id="the page"),
        pytest.param({"Sec-Fetch-Site": "none"}, id="a bookmark"),
        pytest.param({}, id="no browser"),
    ],
)
def test_the_own_page_exports(acme, headers):
    assert acme.get("export", headers=headers).status_code == 200


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_response_keeps_others_out(directory, address):
    for app in (ViewerApp(directory, open_to_all=True), ViewerApp(directory, authorize=lambda request: None)):
        headers = Client(app).get(address).headers
        policy = dict(part.partition(" ")[::2] for part in headers["Content-Security-Policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
        assert policy["require-trusted-types-for"] == "'script'"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "no-store" in headers["Cache-Control"] or address.startswith("/static/")
        assert "Access-Control-Allow-Origin" not in headers


# ----------------------------------------------------------------------------------------- looking is an event too


def test_who_looks_at_what_is_written_once(tmp_path):
    directory = write(tmp_path / "audit", of_tenant("acme"))
    audit = auditmw.Audit(tmp_path / "looked", service="auditmw")
    site = Site(directory, ACME, audit=audit)

    def looked():
        return [event for event in auditmw.read(tmp_path / "looked") if event["event"] == "auditmw.viewed"]

    site.client.get("/")
    for path in ("config", "events", "count", "histogram", "facets"):
        site.answer(path, q="user:bob")
    (seen,) = looked()
    assert seen["actor"]["id"] == "anna"
    assert seen["data"] == {"viewer": "anna", "what": "events", "q": "user:bob"}
    assert seen["client"]["address"]
    assert (seen["action"], seen["source"]["kind"]) == ("read", "app")

    site.answer("events", q="user:carol", **{"from": "now-1h"})
    site.answer("events", q="user:carol", **{"from": "now-1h"}, after=site.answer("events")["next"] or "")
    site.answer("timeline/user", id="acme-user")
    site.answer("event", id=event_id("acme", 1))
    site.answer("funnel", step=["a", "b"])
    for _ in range(3):
        site.answer("tail", cursor=site.answer("tail")["cursor"])
    assert [(seen["data"]["what"], seen["data"].get("q")) for seen in looked()[1:]] == [
        ("events", "user:carol"),
        ("events", None),
        ("timeline", None),
        ("event", None),
        ("funnel", None),
        ("tail", None),
    ]
    assert [seen["data"].get("id") for seen in looked()[3:5]] == ["acme-user", event_id("acme", 1)]
    assert looked()[3]["data"]["of"] == "user"

    site.client.get("/")  # the page, loaded anew
    site.answer("events", q="user:bob")
    assert looked()[-1]["data"]["q"] == "user:bob"
    audit.close()


def test_a_value_that_is_suggested_was_looked_at(tmp_path):
    directory = write(tmp_path / "audit", of_tenant("acme"))
    audit = auditmw.Audit(tmp_path / "looked", service="auditmw")
    site = Site(directory, ACME, audit=audit)
    for text in ("user:", "user:a", "user:ac"):
        site.answer("parse", q=text, at=len(text))
    assert [event["data"]["what"] for event in auditmw.read(tmp_path / "looked")] == ["values of user"]
    audit.close()


@pytest.mark.parametrize("options", [{}, {"intent": True}, {"durability": "disk"}], ids=str)
def test_an_export_is_written_every_time(tmp_path, options):
    directory = write(tmp_path / "audit", of_tenant("acme"))
    audit = auditmw.Audit(tmp_path / "looked", service="auditmw", **options)
    site = Site(directory, ACME, audit=audit)
    for _ in range(2):
        assert site.get("export", format="csv", columns="time,user", q="status:200").status_code == 200
    found = list(auditmw.read(tmp_path / "looked"))
    assert [event["event"] for event in found] == ["auditmw.exported"] * 2
    told = {"viewer": "anna", "q": "status:200", "format": "csv", "columns": ["time", "user"]}
    assert found[0]["data"] == told
    assert found[0]["results"] == {"count": 11}
    audit.close()


def test_within_an_audited_application_looking_belongs_to_its_request(tmp_path):
    directory = write(tmp_path / "audit", of_tenant("acme"))
    audit = auditmw.Audit(tmp_path / "looked", service="shop", resolver=lambda request: auditmw.Identity("anna@shop"))
    app = auditmw.WSGIAudit(ViewerApp(directory, authorize=lambda request: ACME, audit=audit), audit)
    Client(app).get("/api/count")
    viewed, request = sorted(auditmw.read(tmp_path / "looked"), key=lambda event: event["event"] == "http_request")
    assert viewed["trace"]["trace_id"] == request["trace"]["trace_id"]
    assert viewed["actor"]["id"] == "anna@shop"
    audit.close()


def test_without_an_audit_nothing_is_written(directory):
    before = sorted(path.name for path in (directory / "journal").iterdir())
    Site(directory, ACME).answer("count")
    assert sorted(path.name for path in (directory / "journal").iterdir()) == before


# ------------------------------------------------------------------------------------------------------- the token


TOKEN = "0123456789abcdef"


@pytest.fixture
def locked(directory):
    return ViewerApp(directory, authorize=TokenAccess(TOKEN, cookie="auditmw_1"))


def test_the_link_with_the_token_becomes_a_cookie_and_a_link_without_it(locked):
    client = Client(locked)
    assert client.get("/api/count", base_url="http://x/audit/").status_code == 401
    response = client.get("/", query_string={"token": TOKEN, "q": 'user:"a&b"'}, base_url="http://x/audit/")
    assert response.status_code == 200
    cookie = response.headers["Set-Cookie"]
    assert re.fullmatch(r"auditmw_1=[0-9a-f]{64}; HttpOnly; Path=/audit/; SameSite=Strict", cookie)
    assert TOKEN not in response.text + str(response.headers)
    assert 'url=./?q=user%3A%22a%26b%22"' in response.text
    assert client.get("/api/count", base_url="http://x/audit/").json["answer"]["value"] == 26


def test_over_tls_the_cookie_is_secure(directory):
    app = ViewerApp(directory, authorize=TokenAccess(TOKEN, secure=True))
    assert "; Secure" in Client(app).get("/", query_string={"token": TOKEN}).headers["Set-Cookie"]


@pytest.mark.parametrize("token", ["", "0123456789abcdeg", TOKEN.upper(), TOKEN + "x", "ä"], ids=repr)
def test_another_token_lets_nobody_in(locked, token):
    client = Client(locked)
    assert client.get("/", query_string={"token": token}).status_code == 401
    assert (
        client.get("/api/count", headers={"Authorization": f"Bearer {token}".encode().decode("latin-1")}).status_code
        == 401
    )
    client.set_cookie("auditmw_1", token or "x")
    assert client.get("/api/count").status_code == 401


def test_a_program_sends_the_token_in_a_header(locked):
    assert Client(locked).get("/api/count", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_a_token_is_not_short(directory):
    with pytest.raises(ValueError, match="at least 16 characters"):
        TokenAccess("short")


def test_every_token_is_another_one():
    assert TokenAccess().token != TokenAccess().token


# ----------------------------------------------------------------------------------------------------------- ASGI


def test_under_asgi_authorize_finds_the_scope(directory):
    seen = []

    async def authorize(request):
        seen.append(request)
        return ACME if request.carrier["user"] == "anna" else None

    async def ask(user):
        sent, received = [], [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive():
            return received.pop() if received else await asyncio.Event().wait()

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "https",
            "root_path": "/audit",
            "path": "/audit/api/count",
            "query_string": b"",
            "headers": [(b"cookie", b"a=b"), (b"cookie", b"c=d")],
            "client": ("192.0.2.9", 1234),
            "user": user,
        }
        await ASGIViewerApp(ViewerApp(directory, authorize=authorize))(scope, receive, send)
        return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)

    status, body = asyncio.run(ask("anna"))
    assert (status, json.loads(body)["answer"]["value"]) == (200, 13)
    assert (seen[0].path, seen[0].client, dict(seen[0].cookies)) == (
        "/audit/api/count",
        "192.0.2.9",
        {"a": "b", "c": "d"},
    )
    assert asyncio.run(ask("eve"))[0] == 401


def test_an_environ_is_not_changed(directory):
    environ = create_environ("/api/count")
    before = set(environ)
    assert ViewerApp(directory, open_to_all=True).respond(environ).status_code == 200
    assert set(environ) - before <= {"werkzeug.request"}
