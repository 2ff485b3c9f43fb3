"""A database of ClickHouse as a store: what a view sees, how statements end, and what cannot be asked."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from click.testing import CliRunner

from auditmw.cli.program import program
from auditmw.clickhouse import ClickHouse, DatabaseError
from auditmw.clickhouse.connection import Connection
from auditmw.clickhouse.view import ClickHouseView
from auditmw.query import Engine, Scope, count, page, pages
from auditmw.query.question import Question
from auditmw.query.store import OutOfMemoryError, StatementInterruptedError
from auditmw.ship.address import Address, AddressError
from auditmw.ship.targets.clickhouse import Options
from auditmw.ship.targets.clickhouse.schema import statements
from chdb_server import CLUSTER, connection
from clickhouse_http import PASSWORD, USER, ClickHouseHTTP, clickhouse_http
from clickhouse_places import new_url, rows_of, send
from clickhouse_server import clickhouse
from servers import HOST, free_ports, poll

pytestmark = pytest.mark.needs("chdb")
# Minutes of work, of which a look at the clock comes often.
LONG = "SELECT count() FROM numbers(1000000000000) WHERE cityHash64(number) = 1"


@pytest.fixture(scope="module")
def modern() -> Iterator[ClickHouseHTTP]:
    with clickhouse_http() as running:
        yield running


@pytest.fixture
def server(modern: ClickHouseHTTP) -> Iterator[ClickHouseHTTP]:
    modern.seen.clear()
    modern.killed.clear()
    yield modern
    modern.version, modern.before = None, lambda statement: None


def event(number: int, timestamp: str | None = "2026-11-20T00:00:{:02d}Z", **fields: Any) -> bytes:
    told = {} if timestamp is None else {"timestamp": timestamp.format(number)}
    return json.dumps({"id": f"id-{number}", **told, "event": "http_request", **fields}).encode()


def sql(statement: str) -> list[list[Any]]:
    with connection() as asked:
        return list(json.loads(asked.query(statement, "JSONCompact").bytes() or b'{"data": []}')["data"])


def table_of(url: str) -> str:
    return url.rpartition("=")[2]


@pytest.fixture
def url(server):
    made = new_url(server)
    send(made, rows_of(*(event(number) for number in range(1, 11))))
    return made


@pytest.fixture
def store(url):
    opened = ClickHouse(url)
    yield opened
    opened.close()


def number_of_events(view: ClickHouseView, **options: Any) -> int:
    ((number,),) = view.run(f"SELECT count() FROM {view.relation(**options)}", {}, seconds=10)
    return int(number)


# What a view sees.


def test_a_view_sees_what_was_there_and_the_next_one_what_came(store, url):
    with store.view() as view:
        assert number_of_events(view) == 10
        send(url, rows_of(event(11), event(12), first=11))
        assert number_of_events(view) == 10
    with store.view() as view:
        assert number_of_events(view) == 12


def test_an_event_that_comes_again_stays_in_the_view_and_is_there_once(store, url):
    with store.view() as view:
        send(url, rows_of(*(event(number) for number in range(5, 9)), writer="another"))
        assert number_of_events(view) == 10
    with store.view() as view:
        assert number_of_events(view) == 10


def test_parts_are_months_newest_first(server):
    url = new_url(server)
    stamps = ("2026-11-20T00:00:00Z", "2026-11-21T00:00:00.5Z", "2025-01-01T00:00:00Z")
    send(url, rows_of(*(event(number, stamp) for number, stamp in enumerate(stamps))))
    store = ClickHouse(url)
    with store.view() as view:
        assert [(part.path, part.rows, part.first, part.last) for part in view.parts] == [
            ("202611", 2, datetime(2026, 11, 20), datetime(2026, 11, 21, 0, 0, 0, 500_000)),
            ("202501", 1, datetime(2025, 1, 1), datetime(2025, 1, 1)),
        ]
        assert [number_of_events(view, parts=[part]) for part in view.parts] == [2, 1]
        assert number_of_events(view, parts=()) == 0
    store.close()


def test_events_without_a_time_are_a_part_of_their_own_and_in_no_range(server):
    url = new_url(server)
    send(url, rows_of(event(1, None), event(2, "1970-01-02T00:00:00Z"), event(3)))
    store = ClickHouse(url)
    with store.view() as view:
        assert [(part.path, part.rows, part.first) for part in view.parts] == [
            ("202611", 1, datetime(2026, 11, 20, 0, 0, 3)),
            ("197001", 1, datetime(1970, 1, 2)),
            ("timeless", 1, None),
        ]
        assert number_of_events(view) == 3
        assert number_of_events(view, until=datetime(2030, 1, 1)) == 2
        assert number_of_events(view, since=datetime.min) == 2
        assert number_of_events(view, parts=view.parts[2:]) == 1
        rows = view.run(f"SELECT time, minute FROM {view.relation()} ORDER BY time NULLS LAST", {}, seconds=10)
        assert rows[-1] == (None, None)
    store.close()


def test_a_range_has_its_beginning_and_not_its_end(store):
    with store.view() as view:
        since, until = datetime(2026, 11, 20, 0, 0, 3), datetime(2026, 11, 20, 0, 0, 5, tzinfo=UTC)
        assert number_of_events(view, since=since, until=until) == 2


def test_an_empty_table_has_no_parts(server):
    url = new_url(server)
    send(url, rows_of(event(1)))
    sql(f"TRUNCATE TABLE {table_of(url)}")
    store = ClickHouse(url)
    with store.view() as view:
        assert (view.parts, number_of_events(view)) == ((), 0)
    store.close()


def test_a_page_of_ten_thousand_events_comes_whole(server):
    url = new_url(server)
    bodies = [event(n, f"2026-11-20T{n // 3600:02d}:{n // 60 % 60:02d}:{n % 60:02d}Z") for n in range(10_000)]
    send(url, rows_of(*bodies))
    engine = Engine(ClickHouse(url), time_limit_seconds=60)
    got = page(engine, order="oldest", limit=10_000)
    assert got.partial is None
    assert [entry.body for entry in got.entries] == bodies
    assert sum(len(part.entries) for part in pages(engine)) == 10_000
    engine.close()


def test_a_cluster_is_asked_through_the_distributed_table(server):
    url = new_url(server, cluster=CLUSTER)
    send(url, rows_of(*(event(number, data={"word": "needle"}) for number in range(1, 11))))
    engine = Engine(ClickHouse(url))
    assert count(engine).value == 10
    assert count(engine, Scope("needle id:id-3")).value == 1
    engine.close()
    assert sql(f"SELECT count() FROM {table_of(url)}_local WHERE stored > '2020-01-01'") == [[10]]


def test_threads_ask_side_by_side(url):
    engine = Engine(ClickHouse(url))
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(count(engine).value)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.close()
    assert found == [10] * 8


# Rows from before version 2.


def as_version_1(url: str, *, over: str = "") -> None:
    """Take from the table what version 2 added; `over`: where it is Distributed, over which one."""
    table = table_of(url)
    dropped = ", ".join(f"DROP COLUMN {name}" for name in ("minute", "bot", "state", "stored", "text"))
    sql(f"ALTER TABLE {over or table} DROP INDEX by_stored")
    for name in filter(None, (table, over)):
        sql(f"ALTER TABLE {name} {dropped}")
    sql(f"CREATE OR REPLACE VIEW {table}_version AS SELECT toUInt32(1) AS version")


def test_tables_of_version_1_are_refused_until_a_shipper_has_brought_them_up_to_date(server):
    url = new_url(server)
    send(url, rows_of(*(event(number, data={"word": f"needle-{number}"}) for number in range(1, 11))))
    as_version_1(url)
    store = ClickHouse(url)
    with (
        pytest.raises(DatabaseError, match=r"version 2, not of 1 as .* an `auditmw ship` of this version"),
        store.view(),
    ):
        pass
    send(url, rows_of(event(11, data={"word": "needle-11"}), first=11))
    engine = Engine(store)
    assert count(engine).value == 11
    # What was stored before has no `text`, and is found by its whole body.
    assert [count(engine, Scope(f"needle-{number}")).value for number in (3, 11, 12)] == [1, 1, 0]
    assert count(engine, Scope("minute")).value == 0
    engine.close()
    times = sql(f"SELECT stored = 0, count() FROM {table_of(url)} GROUP BY 1 ORDER BY 1")
    assert times == [[0, 1], [1, 10]]


def test_the_tables_of_a_cluster_are_brought_up_to_date_both(server):
    url = new_url(server, cluster=CLUSTER)
    send(url, rows_of(*(event(number, data={"word": f"needle-{number}"}) for number in range(1, 11))))
    as_version_1(url, over=f"{table_of(url)}_local")
    send(url, rows_of(event(11, data={"word": "needle-11"}), first=11))
    engine = Engine(ClickHouse(url))
    assert [count(engine, Scope(query)).value for query in ("", "needle-3", "needle-11")] == [11, 1, 1]
    engine.close()
    assert sql(f"SELECT count() FROM {table_of(url)}_local WHERE stored > '2020-01-01'") == [[1]]


def test_two_shippers_may_bring_tables_up_to_date_side_by_side(server):
    url = new_url(server)
    send(url, rows_of(event(1)))
    as_version_1(url)
    threads = [threading.Thread(target=send, args=(url, rows_of(event(2), writer=f"w{n}"))) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine = Engine(ClickHouse(url))
    assert count(engine).value == 2
    engine.close()


# How a statement ends.


def test_a_statement_has_a_time_limit_of_its_own(store):
    with store.view() as view, pytest.raises(StatementInterruptedError, match="Timeout exceeded"):
        view.run(LONG, {}, seconds=0.2)


def test_a_question_that_takes_too_long_is_answered_for_less(store):
    engine = Engine(store, time_limit_seconds=0.5)
    found = engine.ask(
        lambda question: (question.whole(f"{LONG} AND (SELECT count() FROM events) > 0"), question.partial)
    )
    assert found[0] == []
    assert "time limit" in found[1].reasons


def test_who_cancels_a_question_has_the_server_end_it(store, server):
    engine = Engine(store, time_limit_seconds=60)
    running = threading.Event()
    server.before = lambda statement: running.set() if "numbers(1000000000000)" in statement else None
    partials: list[Any] = []

    def answer(question: Question) -> None:
        question.whole(LONG)
        partials.append(question.partial)

    asking = threading.Thread(target=lambda: engine.ask(answer, token="mine"))
    asking.start()
    assert running.wait(30)
    assert engine.cancel("mine")
    asking.join(30)
    assert partials[-1].reasons == ("cancelled",)
    query_id = next(given["query_id"] for given, statement in server.seen if statement.startswith("WITH events"))
    kill = f"KILL QUERY WHERE query_id = '{query_id}' ASYNC"
    poll(lambda: any(statement == kill for _, statement in server.seen), "KILL QUERY to arrive")
    left = "SELECT count() FROM system.processes WHERE query LIKE '%numbers(1000000000000)%'"
    poll(lambda: sql(f"{left} AND query NOT LIKE '%processes%'") == [[0]], "the server to end it")
    assert count(engine).value == 10  # and the next one is not ended


def test_a_statement_that_needs_too_much_memory_is_told_as_such(url):
    store = ClickHouse(url, memory_bytes=50_000_000)
    greedy = "SELECT length(groupArray(toString(number))) FROM numbers(10000000)"
    with store.view() as view, pytest.raises(OutOfMemoryError, match="emory limit exceeded"):
        view.run(greedy, {}, seconds=30)
    engine = Engine(store)
    partial = engine.ask(lambda question: (question.whole(greedy), question.partial)[1])
    assert "memory" in partial.reasons
    engine.close()


def test_an_answer_that_is_too_long_is_memory_too(store, monkeypatch):
    monkeypatch.setattr("auditmw.clickhouse.connection.ANSWER_BYTES", 100_000)
    with store.view() as view, pytest.raises(OutOfMemoryError, match="more than 100000 bytes"):
        view.run("SELECT repeat('x', 1000) FROM numbers(200)", {}, seconds=10)


def test_a_server_that_does_not_answer_is_waited_for_no_longer_than_the_statement_may_take(store, server, monkeypatch):
    monkeypatch.setattr("auditmw.clickhouse.connection.GRACE_SECONDS", 0.1)
    thawed = threading.Event()
    with store.view() as view:
        server.before = lambda statement: thawed.wait(30)
        try:
            with pytest.raises(StatementInterruptedError, match="did not answer"):
                view.run("SELECT 1", {}, seconds=0.1)
        finally:
            thawed.set()


def test_who_interrupts_a_server_that_does_not_answer_waits_no_longer(store, server):
    thawed, came = threading.Event(), threading.Event()

    def before(statement: str) -> None:
        if statement.startswith("SELECT 'frozen'"):
            came.set()
            thawed.wait(30)

    server.before = before
    with store.view() as view:
        interrupting = threading.Thread(target=lambda: came.wait(30) and view.interrupt())
        interrupting.start()
        try:
            with pytest.raises(StatementInterruptedError):
                view.run("SELECT 'frozen'", {}, seconds=600)
            assert not thawed.is_set()
        finally:
            thawed.set()
            interrupting.join()
        assert number_of_events(view) == 10


def test_many_values_go_in_a_form_and_few_in_the_url(store, server):
    many = [f"value {number}" for number in range(5_000)]
    with store.view() as view:
        assert view.run("SELECT length($many), $few", {"many": many, "few": "a'b\n"}, seconds=10) == [(5_000, "a'b\n")]
        assert view.run("SELECT $few", {"few": "a'b\n"}, seconds=10) == [("a'b\n",)]
    (first, _), (second, _) = server.seen[-2:]
    assert first["param_few"] == second["param_few"] == "a'b\\n"
    assert all(len(given["query_id"]) > 30 for given in (first, second))


def test_a_query_of_a_hundred_words_is_asked(store, server):
    engine = Engine(store, time_limit_seconds=120)
    words = " ".join(f"word{number}" for number in range(99))
    assert count(engine, Scope(f"{words} http_request")).value == 0
    assert count(engine, Scope(" ".join(f"-word{number}" for number in range(99)))).value == 10
    given, statement = server.seen[-1]
    assert len(statement) > 100_000
    assert int(given["max_query_size"]) > len(statement)


def test_a_connection_that_the_server_closed_is_opened_again(store):
    with store.view() as view:
        connection = view._connection
        connection.server.abort()
        assert number_of_events(view) == 10


def test_an_interrupt_between_two_statements_is_without_effect(store, server):
    with store.view() as view:
        view.interrupt()
        assert number_of_events(view) == 10
    assert server.killed == []


# What cannot be asked.


def refused(url: str) -> str:
    store = ClickHouse(url)
    with pytest.raises(DatabaseError) as caught, store.view():
        pass
    store.close()
    assert isinstance(caught.value, OSError)
    return str(caught.value)


def test_a_wrong_password_is_told_and_not_shown(server):
    told = refused(server.url(user=f"{USER}:guess"))
    assert "Authentication failed" in told
    assert "guess" not in told


def test_the_right_password_lets_in(url, server):
    with_password = server.url(user=f"{USER}:{PASSWORD.replace(' ', '%20')}", table=table_of(url))
    store = ClickHouse(with_password)
    assert PASSWORD not in store.shown
    with store.view() as view:
        assert number_of_events(view) == 10
    store.close()


def test_a_password_in_the_environment_lets_in(url, server, monkeypatch):
    store = ClickHouse(server.url(user=USER, table=table_of(url)))
    assert "Authentication failed" in refused(server.url(user=USER))
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", PASSWORD)
    with store.view() as view:
        assert number_of_events(view) == 10
    store.close()


def test_an_unknown_database_is_told(server):
    assert "nowhere" in refused(server.url("nowhere"))


def test_a_database_without_our_tables_is_told(server):
    assert "has no table elsewhere of auditmw's" in refused(server.url(table="elsewhere"))


def test_a_server_that_is_not_there_is_told():
    (closed,) = free_ports(1)
    assert "connection refused" in refused(f"clickhouse://{HOST}:{closed}/db")


def test_a_server_that_is_too_old_is_told_before_it_is_asked_anything_else(url, server):
    server.version = "25.8.1.1"
    server.seen.clear()
    assert re.search(r"questions need ClickHouse \d+\.\d+ or newer, and .* is 25\.8$", refused(url))
    assert len(server.seen) == 1


@pytest.mark.needs("clickhouse-server")
def test_the_server_of_debian_is_shipped_to_and_not_asked():
    with clickhouse(1) as [old]:
        url = old.url(table="events")
        send(url, rows_of(event(1)))
        assert old.rows("SELECT count() FROM events") == [["1"]]
        assert refused(url).startswith("questions need ClickHouse")
        assert refused(url).endswith("is 18.16")
        for arguments in (["count", url], ["serve", url, "--token", "short"]):
            told = CliRunner().invoke(program, arguments)
            assert (told.exit_code, "questions need ClickHouse" in told.stderr) == (3, True)


def test_tables_of_a_newer_version_are_left_alone(url):
    sql(f"CREATE OR REPLACE VIEW {table_of(url)}_version AS SELECT toUInt32(3) AS version")
    assert "a newer auditmw made it" in refused(url)


def test_tables_that_an_old_server_made_are_refused(server):
    url = new_url(server)
    for statement in statements(Options.of(Address(url)).place, is_modern=False).values():
        sql(statement)
    assert "with whole seconds" in refused(url)


def test_what_is_mended_meanwhile_is_asked_the_next_time(server):
    url = new_url(server)
    store = ClickHouse(url)
    with pytest.raises(DatabaseError), store.view():
        pass
    send(url, rows_of(event(1)))
    with store.view() as view:
        assert number_of_events(view) == 1
    store.close()


def test_what_is_known_of_a_table_is_forgotten_when_it_is_gone(store, url):
    with store.view():
        pass
    for name in (table_of(url), f"{table_of(url)}_version"):
        sql(f"DROP TABLE {name}")
    told = []
    for _ in range(2):
        with pytest.raises(DatabaseError) as caught, store.view():
            pass
        told.append(str(caught.value))
    assert "(code 60)" in told[0]
    assert "has no table" in told[1]


class _Stranger(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "1000000")  # more than is read at once, and then it closes the connection
        self.end_headers()
        self.wfile.write(b"Hello" * 200_000)

    def log_message(self, format: str, *args: Any) -> None:
        """Tests are silent."""


def test_what_is_no_clickhouse_is_told():
    with HTTPServer((HOST, 0), _Stranger) as stranger:
        thread = threading.Thread(target=stranger.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            assert "does not answer as ClickHouse does" in refused(f"clickhouse://{HOST}:{stranger.server_port}/db")
        finally:
            stranger.shutdown()
            thread.join()


def test_a_statement_that_the_server_refuses_is_told_in_its_words(store):
    with store.view() as view, pytest.raises(DatabaseError, match=r"nonsense.*\(code 47\)"):
        view.run("SELECT nonsense", {}, seconds=5)


@pytest.mark.parametrize("wrong", ["clickhouse://h/?tabel=x", "clickhouse://h/?table=a-b", "clickhouse://h:x/"])
def test_a_url_that_is_wrong_is_told_at_once(wrong):
    with pytest.raises(AddressError):
        ClickHouse(wrong)


def test_options_that_are_about_shipping_are_no_mistake():
    url = "clickhouse://u:secret@h/db?batch=5&pause=2&gzip=yes&cluster=c&timeout=3"
    assert "secret" not in ClickHouse(url).shown
    Connection(url, {}).close()
