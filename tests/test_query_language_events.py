"""What a query means: its SQL and its Python find the same events, and those that the page about it says."""

import re

import pytest
from hypothesis import HealthCheck, given, settings

from archive_table import ClickHouseEvents, DuckEvents
from auditmw.query.language import Query, parse
from auditmw.query.language.predicate import lookup, predicate
from auditmw.query.language.syntax import print_query
from random_queries import ATOMS, NOW, questions, trees

STORES = {"duckdb": DuckEvents, "clickhouse": ClickHouseEvents}


@pytest.fixture(scope="module", params=["duckdb", pytest.param("clickhouse", marks=pytest.mark.needs("chdb"))])
def table(request):
    """A table for events, of each store."""
    return STORES[request.param]()


def found_by_python(query, events):
    return [number for number, event in enumerate(events) if query.matches(event)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(question=questions())
def test_sql_and_python_find_the_same_events(table, question):
    events, queries = question
    events = [{**event, "id": f"{event.get('id', 'no')}-{number}"} for number, event in enumerate(events)]
    table.fill(events)
    for tree in queries:
        query = Query(print_query(tree), tree, now=NOW)
        found = found_by_python(query, events)
        assert table.found(query) == found, str(query)
        times = [events[number].get("timestamp") for number in found]
        assert all(is_within(time, query.time_range()) for time in times)


def is_within(stamp, bounds):
    first, before = (bound and bound.strftime("%Y-%m-%dT%H:%M:%S.%fZ") for bound in bounds)
    return (first is None or (stamp is not None and stamp >= first)) and (
        before is None or (stamp is not None and stamp < before)
    )


EVENT = {
    "id": "01a1fa9d-e842-7b02-9a44-1f0e5d7c9b11",
    "timestamp": "2026-11-20T12:15:00.250000Z",
    "observed": "2026-11-20T12:16:00.000000Z",
    "duration_ns": 250_000_000,
    "event": "http_request",
    "level": "warning",
    "message": 'Größe of the "order" is 100%',
    "outcome": {"result": "failure", "reason": "http_404"},
    "trace": {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"},
    "actor": {"id": "Alice Smith", "roles": ["clerk", "Auditor"], "authenticated": True},
    "session": {"id": "4f23b99c"},
    "client": {"address": "10.1.2.3", "peer_address": "2001:db8::17", "port": 4711},
    "http": {
        "request": {
            "method": "GET",
            "user_agent": "curl/8.5",
            "headers": {"origin": ["https://shop.example"], "accept": ["a/b", "c/d"]},
            "size": 512,
        },
        "response": {"status_code": 404, "body_size": 10_240},
    },
    "url": {"path": "/api/orders/*17", "query": "q=a%20b"},
    "upstream": [{"address": "10.9.9.9", "status_code": 502}, {"address": "10.9.9.8", "status_code": 404}],
    "data": {
        "order": {"id": 17, "lines": [{"sku": "x-1"}, {"sku": "y-2"}]},
        "price": 19.5,
        "tags": ["new", 5, True],
        "due": "2026-12-01",
        "order id": "a b",
        "dotted.key": "yes",
        "big": 2**63 + 1,
        "none": None,
        "empty": [],
    },
}
BARE = {"id": "019abc", "event": "signed_up", "source": {"kind": "app"}}
"""An event with nothing else: what has no value has neither this value nor another one."""


@pytest.fixture(scope="module")
def example(table):
    """The table with two events, of which one has next to nothing."""
    table.fill([EVENT, BARE])
    return table


def is_found(table, text):
    query = parse(text, now=NOW)
    assert query.errors == ()
    found = table.found(query)
    assert found_by_python(query, [EVENT, BARE]) == found
    return found


FOUND = r"""
    user:"Alice Smith" | user:Alice* | user:*Smith | user:*ice* | user:A*e?S*h | user:bob,Alice*
    path:/api/orders/* | path:"/api/orders/*17" | path:/api/orders/\*17 | path:/*/* | path:/api/orders/?17
    status:404 | status:4xx | status:40x | status:>=404 | status:>403 | status:<405 | status:<=404 | status:400..499
    status:404..404 | status:400.. | status:..404 | status:5xx,404 | status:(500 OR 4xx) | client.port:>4710
    dur:250ms | dur:>249ms | dur:0.25s | dur:<1m | dur:100ms..1s | duration_ns:>=0.25s
    size:10KiB | size:>10kB | size:10240 | size:10kB..11kB | http.request.size:512
    time:2026-11-20 | time:>=2026-11-20T12:15:00.25 | time:-1h.. | time:-1h..now | time:2026-11-20T12:15
    time:2026-11-20T13:15+01:00 | observed:2026-11-20T12:16 | observed:<=2026
    ip:10.1.2.3 | ip:10.0.0.0/8 | ip:10.1.2.0/24 | ip:10.1.2.3/32 | ip:10.1.0.0/13 | ip:0.0.0.0/0 | ip:10.*
    client.peer_address:2001:db8::/32 | client.peer_address:2001:db8::10/124 | client.peer_address:2001:DB8:0:0::17
    client.peer_address:2001:db8::17/128 | upstream.address:10.9.9.8/31
    level:warning | level:Warning | level:>=info | level:<error | level:w* | result:failure,success
    actor.roles:clerk | actor.roles:Aud* | actor.roles:* | actor.authenticated:true | bot:true
    upstream.status_code:5xx | http.request.headers.origin:https://shop.example | HTTP.Request.Headers.Accept:c/d
    data.order.id:17 | data.order.id:>16.5 | data.order.id:10..20 | data.order.lines.sku:y-2 | data.price:19.50
    data.price:19..20 | data.tags:new | data.tags:5 | data.tags:true | data.tags:>4 | data.tags:n?w
    data.due:>=2026-11 | data."order id":"a b" | data."dotted.key":yes | data.big:9223372036854775809
    session:* | data:* | upstream:* | client:* | data.order:* | http.request.headers:*
    größe | GRÖßE | "ORDER\" is" | 100% | 4bf92f35 | 1FA9D-E8 | 4F23B99C | a%20b | http_*4
    y-2 | clerk | shop.example | 19.5 | 2026-12-01 | x-1 y-2 | -nothing | NOT nothing
    user:bob OR status:404 | status:404 AND -user:bob | -(user:bob OR status:500) | (user:bob OR level:warning) GET
"""
NOT_FOUND = r"""
    user:"alice smith" | user:Alice | user:alice* | user:bob | path:/api | path:/api/orders/? | path:*.php
    status:500 | status:5xx | status:>404 | status:<404 | status:200..403 | status:405.. | status:..403
    dur:>250ms | dur:<250ms | dur:250.5ms | dur:0 | size:10kB | size:<10KiB | level:>warning | level:>critical
    time:2026-11-19 | time:>2026-11-20 | time:<2026-11-20T12:15 | time:-10m.. | time:..-1h | start:*
    ip:10.1.2.30 | ip:11.0.0.0/8 | ip:10.1.2.4/31 | ip:10.1.2.2/32 | ip:::/0
    client.peer_address:2001:db9::/32 | client.peer_address:2001:db8::/124 | client.peer_address:2001:db8::18/125
    client.peer_address:0.0.0.0/0 | upstream.address:10.9.9.6/31
    actor.roles:auditor | actor.roles:cler | actor.authenticated:false | upstream.status_code:200 | bot:false
    data.order.id:18 | data.order.id:>17 | data.Order.id:17 | data.order:17 | data.price:19 | data.due:>2027
    data.due:>5 | data.order.id:>a | data.order.id:1? | data.tags:fals? | data.tags:6..7 | data."*":new
    data.none:* | data.empty:* | data.missing:* | data.big:9223372036854775808 | -session:* | -data.order:*
    nothing | order17 | 4bf | 01a | tags | "order id" | 250000000 | Smith -user:* | -status:404 | -4xx 4xx
    status:404 user:bob | -(user:bob OR status:404) | user:bob OR status:500
"""


def queries(table):
    """The queries of a table, in which a bar parts them."""
    return [query.strip() for line in table.strip().splitlines() for query in line.split(" | ")]


@pytest.mark.parametrize("text", queries(FOUND))
def test_the_event_is_found(example, text):
    assert 0 in is_found(example, text)


@pytest.mark.parametrize("text", queries(NOT_FOUND))
def test_the_event_is_not_found(example, text):
    assert 0 not in is_found(example, text)


@pytest.mark.parametrize(
    ("text", "is_there"),
    [
        pytest.param("path:/health", False, id="value"),
        pytest.param("-path:/health", True, id="not the value"),
        pytest.param("-path:/h*", True, id="not the shape"),
        pytest.param("path:*", False, id="presence"),
        pytest.param("-path:*", True, id="absence"),
        pytest.param("-status:>=500", True, id="not the range"),
        pytest.param("-ip:10.0.0.0/8", True, id="not the network"),
        pytest.param("-time:2026", True, id="not the time"),
        pytest.param("-actor.roles:clerk", True, id="not in a list"),
        pytest.param("-data.order.id:17", True, id="not in data"),
        pytest.param("-upstream.status_code:5xx", True, id="not in a list of objects"),
        pytest.param("-(path:/health status:200)", True, id="not both"),
        pytest.param("-(path:/health OR event:signed_up)", False, id="not one of them"),
        pytest.param("-slow", True, id="not the text"),
        pytest.param("-(-path:/health)", False, id="not not the value"),
        pytest.param("-signed_up", False, id="a text that is there"),
        pytest.param("bot:false", True, id="no bot where there is no user agent"),
    ],
)
def test_an_event_without_a_value_has_neither_it_nor_another(example, text, is_there):
    assert (1 in is_found(example, text)) is is_there


@pytest.mark.parametrize(
    ("text", "sql", "params"),
    [
        pytest.param("user:alice", '"user" = ?', ("alice",), id="equal"),
        pytest.param("user:alice,bob,alice", '"user" IN (?, ?)', ("alice", "bob"), id="one of"),
        pytest.param("status:404", '"status" = ?', (404,), id="equal number"),
        pytest.param("status:5xx", '("status" >= ? AND "status" < ?)', (500, 600), id="from and to"),
        pytest.param("status:>=500", '"status" >= ?', (500,), id="at least"),
        pytest.param("path:/api/*", 'starts_with("path", ?)', ("/api/",), id="beginning"),
        pytest.param("path:*.php", 'ends_with("path", ?)', (".php",), id="end"),
        pytest.param("path:*admin*", 'contains("path", ?)', ("admin",), id="part"),
        pytest.param("path:*/a_?%*", "\"path\" LIKE ? ESCAPE '\\'", (r"%/a\__\%%",), id="shape"),
        pytest.param(
            "path:/u/*/x", '(starts_with("path", ?) AND "path" LIKE ? ESCAPE \'\\\')', ("/u/", "/u/%/x"), id="both"
        ),
        pytest.param("session:*", '"session" IS NOT NULL', (), id="presence"),
        pytest.param("", "TRUE", (), id="everything"),
    ],
)
def test_columns_are_asked_in_the_way_that_skips_most_of_a_file(text, sql, params):
    assert predicate(parse(text)) == (sql, params)


def test_ids_are_searched_only_for_what_could_be_part_of_one():
    assert '"trace"' in predicate(parse("4bf9")).sql
    assert '"trace"' not in predicate(parse("4bf")).sql
    assert '"trace"' not in predicate(parse("signed_up")).sql
    assert '"session"' in predicate(parse("signed_up")).sql
    assert '"session"' not in predicate(parse('"signed up"')).sql


LITERALS = {
    *("", "$", "$[*]", "\\", "ARRAY", "BIGINT", "BOOLEAN", "DOUBLE", "NULL", "OBJECT", "UBIGINT", "VARCHAR"),
    *(":", "::", "0:", "0"),
}


@settings(max_examples=150, deadline=None)
@given(trees(ATOMS))
def test_no_value_and_no_name_of_a_query_stands_in_the_sql(tree):
    sql, params = predicate(Query("", tree, now=NOW))
    assert sql.count("?") == len(params)
    assert set(re.findall(r"'([^']*)'", sql)) <= LITERALS
    assert sql.isascii()


def test_a_large_query_is_planned(example):
    deep = "x"
    for number in range(24):
        deep = f"-(data.a.b.c:{number} OR ({deep}))"
    for text in ("data" + ".a" * 31 + ":1", deep, " ".join(f"-w{number}" for number in range(100))):
        is_found(example, text)


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        pytest.param("user:alice", '"user" = ?', id="one value"),
        pytest.param("user:alice status:500 -path:/", '"user" = ?', id="beside other conditions"),
        pytest.param("trace:a session:b", '("trace" = ? AND "session" = ?)', id="two fields"),
        pytest.param("user:(a OR b)", '"user" IN (?, ?)', id="one of several values"),
        pytest.param("user:a OR user:b", None, id="one of several conditions"),
        pytest.param("-user:a", None, id="all others"),
        pytest.param("user:a*", None, id="a pattern"),
        pytest.param("user:*", None, id="any value"),
        pytest.param("status:500", None, id="a field of which a value has many events"),
        pytest.param("", None, id="everything"),
    ],
)
def test_a_lookup_is_what_names_values_of_which_there_are_few_events(text, sql):
    found = lookup(parse(text))
    assert (found and found.sql) == sql
