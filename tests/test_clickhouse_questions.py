"""Directory or database: the command line and the viewer say the same of the same events."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import HTTPCookieProcessor, OpenerDirector, build_opener

import pytest
from click.testing import CliRunner, Result

from auditmw.cli.program import program
from auditmw.clickhouse import ClickHouse, arrivals
from auditmw.places import Place
from auditmw.query import (
    EVERYTHING,
    Engine,
    Scope,
    count,
    facets,
    histogram,
    page,
    pages,
    summary,
    timeline,
)
from auditmw.ship.targets import target_for
from auditmw.viewer import Viewer
from clickhouse_http import PASSWORD, USER, ClickHouseHTTP, clickhouse_http
from clickhouse_places import new_url, rows_of, send, shipped
from event_table import every_event
from query_table import event
from servers import HOST, free_ports, poll
from viewer_site import ACME, PER_TENANT, Site, all_events, event_id, write

pytestmark = pytest.mark.needs("chdb")


@pytest.fixture(scope="module")
def server() -> Iterator[ClickHouseHTTP]:
    with clickhouse_http() as running:
        yield running


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("audit"), all_events())


@pytest.fixture(scope="module")
def url(server, directory) -> str:
    return shipped(server, directory)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(program, arguments)


# The command line.

COMMANDS = {
    "query": ["query", "{}", "acme-secret"],
    "query, as a table": ["query", "{}", "status:5xx", "-o", "table", "-z", "UTC"],
    "query, as csv": ["query", "{}", "-o", "csv", "--columns", "time,user,data.tenant"],
    "query, as another format": ["query", "{}", "--format", "ecs", "--limit", "3"],
    "query, a field without a column": ["query", "{}", "data.word:umbra-secret path:/umbra/*"],
    "query, with errors": ["query", "{}", "status:>x"],
    "count": ["count", "{}", "user:*"],
    "histogram": ["histogram", "{}", "-o", "json"],
    "facets": ["facets", "{}", "-o", "json"],
    "summary": ["summary", "{}", "-o", "json"],
    "user": ["user", "{}", "acme-user"],
    "session": ["session", "{}", "shared", "-o", "json"],
    "trace": ["trace", "{}", "umbra-trace"],
    "client": ["client", "{}", "192.0.2.1", "--limit", "5"],
    "context": ["context", "{}", event_id("acme", 5)],
    "funnel": ["funnel", "{}", "path:/acme/0", "path:/acme/1", "-o", "json"],
    "retention": ["retention", "{}", "--from", "2026-10-20", "--to", "2026-11-20", "-o", "json"],
    "conversion": ["conversion", "{}", "path:/acme/1", "-o", "json"],
    "paths": ["paths", "{}", "path:/acme/0", "-o", "json"],
    "tail": ["tail", "{}"],
    "tail, with a query": ["tail", "{}", "--limit", "4", "user:umbra-user"],
    "tail, all": ["tail", "{}", "--limit", "0", "-o", "json"],
}


@pytest.mark.parametrize("case", COMMANDS)
def test_a_command_says_of_a_database_what_it_says_of_a_directory(case, directory, url):
    of_directory, of_database = (
        run(*(argument.replace("{}", place) for argument in COMMANDS[case])) for place in (str(directory), url)
    )
    assert of_database.stdout == of_directory.stdout
    assert of_database.stderr == of_directory.stderr
    assert of_database.exit_code == of_directory.exit_code
    assert of_database.stdout or case == "query, with errors"


FILES_ONLY = {
    "archive": ["archive", "{}"],
    "prune": ["prune", "{}", "--older-than", "90d"],
    "ship": ["ship", "{}", "--to", "stdout:"],
    "check": ["check", "{}"],
    "collect": ["collect", "nats://h/S", "--into", "{}"],
}


@pytest.mark.parametrize("case", FILES_ONLY)
def test_what_works_on_files_refuses_a_database(case):
    place = "clickhouse://reader:secret@ch.example/audit?token=secret"
    found = run(*(argument.replace("{}", place) for argument in FILES_ONLY[case]))
    assert found.exit_code == 2
    assert "works on the files of an audit directory, and clickhouse://ch.example/audit is a database" in found.stderr
    assert "secret" not in found.stderr


UNUSABLE = {
    "another database": (
        "postgresql://u:secret@h/db",
        "expected an audit directory, or a URL such as clickhouse://",
        2,
    ),
    "a wrong option": ("clickhouse://u:secret@h/db?tabel=x", "has no option 'tabel'", 2),
    "a wrong port": ("clickhouse://u:secret@h:port/db", "expected a port", 2),
}


@pytest.mark.parametrize("command", ["query", "tail", "count", "serve"])
@pytest.mark.parametrize("case", UNUSABLE)
def test_a_url_that_cannot_be_asked_is_told_without_its_password(command, case):
    place, words, code = UNUSABLE[case]
    found = run(command, place)
    assert (found.exit_code, words in found.stderr, "secret" in found.stderr) == (code, True, False), found.stderr


@pytest.mark.parametrize("command", ["query", "tail", "count", "summary", "funnel", "serve"])
def test_a_database_that_does_not_answer_is_an_error_with_code_3(command, server):
    (closed,) = free_ports(1)
    steps = {"funnel": ["path:/a", "path:/b"], "serve": ["--token", "short"]}.get(command, [])
    for place, words in (
        (f"clickhouse://u:secret@{HOST}:{closed}/db", "connection refused"),
        (server.url(user="u:secret"), "Authentication failed"),
        (server.url(table="nothing"), "has no table nothing"),
    ):
        found = run(command, place, *steps)
        assert (found.exit_code, found.stdout) == (3, ""), found.output
        assert words in found.stderr
        assert "secret" not in found.stderr


def test_a_time_limit_that_comes_first_is_told_as_with_a_directory(url):
    found = run("count", url, "--time-limit", "0.000001")
    assert found.exit_code == 1
    assert "Nothing was looked at (time limit)" in found.stderr


def test_what_is_followed_comes_as_it_is_shipped(server):
    place = new_url(server)
    bodies = [json.dumps(made).encode() for made in all_events()]
    send(place, rows_of(*bodies[:10]))
    command = [sys.executable, "-m", "auditmw", "tail", place, "-f", "--limit", "2", "user:*"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        lines: list[bytes] = []
        assert child.stdout is not None
        reading = threading.Thread(target=lambda: lines.extend(iter(child.stdout.readline, b"")))  # type: ignore[union-attr]
        reading.start()
        try:
            looks = f"FROM `{place.rpartition('=')[2]}` AS t FINAL"
            poll(lambda: sum(looks in text and "groupArray(top)" in text for _, text in server.seen) > 1, "it to look")
            send(place, rows_of(*bodies[10:], first=11))
            expected = [body for body in bodies[10:] if json.loads(body).get("actor")]
            poll(lambda: len(lines) >= len(expected), "the events to come")
        finally:
            child.send_signal(signal.SIGINT)
            reading.join(30)
    assert child.returncode == 0
    assert [line.rstrip(b"\n") for line in lines] == expected


def test_serve_shows_a_database_and_says_what_there_is_no_place_for(url):
    place = url.replace("//", f"//{USER}:{PASSWORD.replace(' ', '%20')}@")
    command = [sys.executable, "-m", "auditmw", "serve", place, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        told = []
        try:
            while not told or "nobody records who looked" not in told[-1]:
                told.append(child.stderr.readline())
                assert told[-1], "".join(told)
            said = "".join(told)
            link = re.search(r"http://\S+token=\S+", said)
            assert link is not None
            opener = build_opener(HTTPCookieProcessor())
            poll(lambda: _opened(opener, link[0]), "the page")
            with opener.open(f"{link[0].partition('?')[0]}api/count") as answer:
                assert json.load(answer)["answer"]["value"] == len(all_events())
        finally:
            child.send_signal(signal.SIGINT)
            child.wait(30)
    assert PASSWORD.split()[1] not in said
    assert "A database has no place for it: no views are saved" in said


def _opened(opener: OpenerDirector, link: str) -> bool:
    try:
        with opener.open(link) as page:
            return bool(page.status == 200)
    except OSError:
        return False


# The same numbers however it is asked.


@pytest.fixture(scope="module")
def scattered(server, tmp_path_factory) -> tuple[Path, str]:
    """Events at few and at many moments in three months, and some without any."""
    chance = random.Random(5)
    events = []
    for number in range(90):
        minute = chance.choice([chance.randrange(9), chance.randrange(60 * 24 * 90), None])
        values: dict[str, Any] = {
            "user": [None, None, "ada", "bob"],
            "session": [None, "s1", "s2"],
            "status": [200, 404],
        }
        values |= {"path": ["/", "/a", "/b"], "dur": [None, 1, 10**9], "ip": ["10.0.0.1", "2001:db8::1"]}
        chosen = {name: chance.choice(some) for name, some in values.items()}
        events.append({"schema": "auditmw.event/1.0", **event(minute, id=f"id{number}", **chosen)})
    home = write(tmp_path_factory.mktemp("audit"), sorted(events, key=lambda made: made.get("timestamp", "")))
    return home, shipped(server, home)


QUESTIONS: dict[str, Callable[[Engine], Any]] = {
    "count": count,
    "histogram": histogram,
    "facets": lambda engine: facets(engine, ["user", "status", "path"]),
    "summary": summary,
    "timeline": lambda engine: timeline(engine, "user", "ada", stitched=True),
    "all pages": lambda engine: [entry.body for part in pages(engine, limit=17) for entry in part.entries],
    "pages, newest first": lambda engine: [
        entry.body for part in pages(engine, Scope("user:*"), order="newest", limit=5) for entry in part.entries
    ],
    "a page back": lambda engine: page(engine, before=page(engine, order="oldest", limit=30).next, order="oldest"),
}


@pytest.mark.parametrize("slice_rows", [7, 10**6])
@pytest.mark.parametrize("case", QUESTIONS)
def test_an_answer_is_the_same_slice_by_slice_and_at_once(case, slice_rows, scattered):
    home, place = scattered
    answers = []
    for where in (home, ClickHouse(place)):
        engine = Engine(where, slice_rows=slice_rows, time_limit_seconds=120)
        answers.append(QUESTIONS[case](engine))
        engine.close()
    assert answers[1] == answers[0]


QUERIES = (
    *("alice", "status:>=400", "path:/api/*", "-path:*", "bot:true", "level:>=warning", "dur:>1s", "size:<1kb", "é"),
    *("ip:10.0.0.0/8", "ip:2001:db8::/32", "agent:*curl*", "time:2026-11-20", "-session:*", "data:*", "actor.roles:*"),
)


def test_difficult_events_are_found_by_the_same_queries_and_in_the_same_order(server, tmp_path):
    write(tmp_path, [made for _, made in every_event()])
    engines = Engine(tmp_path, time_limit_seconds=120), Engine(ClickHouse(shipped(server, tmp_path)))
    for query in ("", *QUERIES):
        of_directory, of_database = (page(engine, Scope(query), limit=1_000) for engine in engines)
        assert [entry.body for entry in of_database.entries] == [entry.body for entry in of_directory.entries], query
    for engine in engines:
        engine.close()


# What arrives.


@pytest.fixture
def growing(server):
    place = new_url(server)
    send(place, rows_of(json.dumps(event(0, id="a")).encode()))
    engine = Engine(ClickHouse(place))
    yield place, engine
    engine.close()


def ids(came: arrivals.Arrived) -> list[str]:
    return [entry.event["id"] for entry in came.entries]


def test_each_event_arrives_once_in_order_and_only_what_the_query_finds(growing):
    place, engine = growing
    mark = arrivals.mark(engine)
    first = arrivals.arrived(engine, EVERYTHING, mark, limit=10)
    assert ids(first) == []
    send(place, rows_of(*(json.dumps(event(n, id=f"b{n}", status=200 + n % 2)).encode() for n in (3, 2, 1)), first=2))
    send(place, rows_of(json.dumps(event(None, id="new", status=200)).encode(), writer="another"))
    second = arrivals.arrived(engine, Scope("status:200"), first.mark, limit=10)
    assert ids(second) == ["new", "b2"]
    assert ids(arrivals.arrived(engine, EVERYTHING, first.mark, limit=10)) == ["new", "b1", "b2", "b3"]
    assert ids(arrivals.arrived(engine, EVERYTHING, second.mark, limit=10)) == []


def test_more_than_there_is_room_for_is_counted(growing):
    place, engine = growing
    mark = arrivals.mark(engine)
    send(place, rows_of(*(json.dumps(event(n, id=f"b{n}")).encode() for n in range(5)), first=2))
    came = arrivals.arrived(engine, EVERYTHING, mark, limit=2)
    assert (ids(came), came.behind) == (["b3", "b4"], 3)


def test_what_a_writer_sent_long_after_the_last_look_arrives(growing):
    place, engine = growing
    mark = arrivals.Mark(arrivals.mark(engine).taken, {})  # as when nothing had come for a minute before
    send(place, rows_of(json.dumps(event(1, id="b")).encode(), first=2))
    came = arrivals.arrived(engine, EVERYTHING, mark._replace(taken=mark.taken + arrivals.WINDOW_SECONDS), limit=9)
    assert ids(came) == ["b"]


# The viewer.

ENDPOINTS: dict[str, tuple[str, dict[str, Any]]] = {
    "events": ("events", {"q": "acme-secret", "limit": 5}),
    "events, oldest first": ("events", {"order": "oldest", "limit": 3}),
    "count": ("count", {"q": "status:5xx"}),
    "histogram": ("histogram", {}),
    "facets": ("facets", {"fields": "user,status,path,data.tenant"}),
    "event": ("event", {"id": event_id("umbra", 3)}),
    "context": ("context", {"id": event_id("umbra", 3), "same": "session"}),
    "summary": ("summary", {}),
    "timeline of a user, stitched": ("timeline/user", {"id": "acme-user", "stitched": "1"}),
    "timeline of a client": ("timeline/client", {"id": "192.0.2.2"}),
    "funnel": ("funnel", {"step": ["path:/acme/0", "path:/acme/1"]}),
    "retention": ("retention", {"start": "event:http_request"}),
    "conversion": ("conversion", {"goal": "path:/acme/1"}),
    "paths": ("paths", {"anchor": "path:/acme/0"}),
}


@pytest.fixture(scope="module")
def sites(directory, url) -> Iterator[dict[str, tuple[Site, Site]]]:
    made = {
        name: (Site(directory, viewer), Site(url, viewer))  # type: ignore[arg-type]
        for name, viewer in (("all", None), ("restricted", ACME))
    }
    yield made
    for both in made.values():
        for site in both:
            site.app.close()


@pytest.mark.parametrize("seen", ["all", "restricted"])
@pytest.mark.parametrize("case", ENDPOINTS)
def test_the_viewer_answers_the_same_of_a_database_and_of_a_directory(case, seen, sites):
    path, parameters = ENDPOINTS[case]
    of_directory, of_database = (site.get(path, **parameters) for site in sites[seen])
    assert of_database.status_code == of_directory.status_code
    assert of_database.json.get("answer") == of_directory.json.get("answer")
    assert of_database.json.get("errors") == of_directory.json.get("errors")
    assert seen == "restricted" or of_database.status_code == 200


@pytest.mark.parametrize("form", ["ndjson", "csv"])
def test_an_export_is_the_same_to_the_byte(form, sites):
    of_directory, of_database = (site.get("export", format=form) for site in sites["all"])
    assert of_database.data == of_directory.data
    assert of_database.data.count(b"\n") >= 2 * PER_TENANT


def test_the_page_is_told_to_poll_and_what_comes_is_there_at_the_next_look(server):
    place = new_url(server)
    bodies = [json.dumps(made).encode() for made in all_events()]
    send(place, rows_of(*bodies[:4]))
    everybody, anna = Site(place), Site(place, ACME)  # type: ignore[arg-type]
    assert everybody.app.respond({**_environ("/api/config")}, tail="sse").json["answer"]["tail"] == "poll"  # type: ignore[index]
    first = [site.answer("tail")["cursor"] for site in (everybody, anna)]
    send(place, rows_of(*bodies[4:8], first=5))
    came = [site.answer("tail", cursor=cursor) for site, cursor in zip((everybody, anna), first, strict=True)]
    assert [len(news["entries"]) for news in came] == [4, 2]
    assert {entry["event"]["data"]["tenant"] for entry in came[1]["entries"]} == {"acme"}
    again = [site.answer("tail", cursor=news["cursor"]) for site, news in zip((everybody, anna), came, strict=True)]
    assert [news["entries"] for news in again] == [[], []]
    assert everybody.refusal("tail", cursor="nonsense")[0] == 400
    for site in (everybody, anna):
        site.app.close()


def _environ(path: str) -> dict[str, Any]:
    from werkzeug.test import EnvironBuilder

    return EnvironBuilder(path).get_environ()


def test_views_cannot_be_saved_beside_a_database(sites):
    _, site = sites["all"]
    assert all(view["builtin"] for view in site.answer("config")["views"])
    response = site.change("POST", "views", {"name": "mine", "q": "status:500"})
    assert (response.status_code, "beside a database" in response.json["error"]["message"]) == (409, True)


def test_a_database_that_does_not_answer_is_told_to_the_page():
    (closed,) = free_ports(1)
    site = Site(f"clickhouse://u:secret@{HOST}:{closed}/db", Viewer("anna"))  # type: ignore[arg-type]
    status, error = site.refusal("events")
    assert (status, "connection refused" in error["message"], "secret" in error["message"]) == (503, True, False)
    site.app.close()


def test_a_place_says_what_it_is_without_a_password(server, directory):
    place = Place(server.url(user=f"{USER}:{PASSWORD.replace(' ', '%20')}"))
    assert (place.directory, PASSWORD in place.shown, "***" in place.shown) == (None, False, True)
    assert Place(directory).directory == directory
    assert Place(os.fspath(directory)).shown == str(directory)
    with pytest.raises(ValueError, match="such as clickhouse://"):
        Place("nats://u:secret@h/x")


def test_a_directory_needs_nothing_of_shipping():
    code = "import sys, auditmw.places as p; p.Place('/tmp'); print('auditmw.ship' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout == "False\n"


def test_the_url_for_shipping_is_the_one_for_asking(url):
    assert target_for(f"{url}&batch=10&pause=2&gzip=yes")
    assert Place(f"{url}&batch=10&pause=2&gzip=yes").engine()
