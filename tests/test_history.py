"""The generated history: the same every time, in order, and in every member what the middleware writes."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from itertools import pairwise, product

import orjson
import pytest
from werkzeug.test import EnvironBuilder

import auditmw
from auditmw.cli.history import History, write_journal
from auditmw.testing import Recorder, assert_valid

UNTIL = datetime(2026, 11, 20, 17, 45, tzinfo=UTC)
FULL_HOUR = "2026-11-20T17:00:00.000000Z"


def history(events=10_000, days=30, seed=1):
    return History(events, days, until=UNTIL, seed=seed)


@pytest.fixture(scope="module")
def events():
    return [orjson.loads(entry.body) for entry in history()]


def at(event, *path):
    for name in path:
        event = event.get(name, {})
    return event or None


# ----------------------------------------------------------------------------------------------------------------------
# The same every time, exactly as many as wanted, in order.


def test_the_same_arguments_give_the_same_bytes():
    assert list(history(1_000)) == list(history(1_000))


def test_another_seed_gives_another_history():
    assert list(history(1_000)) != list(history(1_000, seed=2))


@pytest.mark.parametrize(("count", "days"), [(1, 1), (7, 30), (2_345, 2), (10_000, 30)])
def test_there_are_exactly_as_many_events_as_wanted(count, days):
    assert sum(1 for _ in history(count, days)) == count


def test_events_come_in_time_order_and_within_their_days(events):
    times = [event["timestamp"] for event in events]

    assert times == sorted(times)
    first = (datetime.fromisoformat(FULL_HOUR) - timedelta(days=30)).isoformat(timespec="microseconds")
    assert first.replace("+00:00", "Z") <= min(event.get("start", event["timestamp"]) for event in events)
    assert times[-1] < FULL_HOUR


def test_the_days_made_apart_are_the_whole_history_of_each_writer():
    def by_writer(entries):
        bodies = {}
        for writer, body in entries:
            bodies.setdefault(writer, []).append(body)
        return bodies

    whole = by_writer(history(3_000, 5))
    parts = [by_writer(history(3_000, 5).part(day, day + 1)) for day in range(5)]

    assert {writer: bodies for part in parts for writer, bodies in part.items()} == whole
    assert sum(map(len, parts)) == len(whole)


@pytest.mark.parametrize(
    "arguments",
    [(0, 30, UNTIL), (10, 0, UNTIL), (10, 30, UNTIL.replace(tzinfo=None))],
    ids=["no events", "no days", "no zone"],
)
def test_what_cannot_be_made_is_refused(arguments):
    events, days, until = arguments
    with pytest.raises(ValueError, match="expected"):
        History(events, days, until=until)


# ----------------------------------------------------------------------------------------------------------------------
# Every event is one that the middleware could have written.


def test_events_are_valid(events):
    for event in events[::7]:
        assert_valid(event)


def test_ids_are_unique_and_go_up_within_a_writer_and_a_millisecond(events):
    assert len({event["id"] for event in events}) == len(events)
    assert all(event["id"][14] == "7" for event in events)


def test_start_and_duration_add_up_to_the_end(events):
    for event in events:
        if "start" in event:
            took = datetime.fromisoformat(event["timestamp"]) - datetime.fromisoformat(event["start"])
            assert abs(took.total_seconds() * 1e9 - event["duration_ns"]) < 2_000


BELONG_TO_NOBODY = [
    ip_network(network)
    for network in ("10.0.0.0/8", "100.64.0.0/10", "192.0.2.0/24", "198.18.0.0/15", "203.0.113.0/24", "2001:db8::/32")
]


def test_addresses_are_canonical_and_belong_to_nobody(events):
    for text in {at(event, "client", "address") for event in events} - {None}:
        address = ip_address(text)
        assert str(address) == text
        assert any(address in network for network in BELONG_TO_NOBODY)


def shape(value, path=""):
    """The paths of all members, in order; those of `data` and of a target's are the application's own."""
    if not isinstance(value, dict) or path in {"/data", "/target"}:
        return (path,)
    return tuple(found for name, member in value.items() for found in shape(member, f"{path}/{name}"))


def written_shapes():
    """The shapes of what the real middleware writes for all kinds of requests that the history has."""
    recorder = Recorder()
    resolvers = {
        "nobody": lambda request: None,
        "anonymous": lambda request: auditmw.Identity(session="s"),
        "user": lambda request: auditmw.Identity(id="u", session="s"),
        "user, new session": lambda request: auditmw.Identity(id="u", session="s", previous_session="r"),
        "service": lambda request: auditmw.Identity(id="u", type="service"),
        "unasked": None,
    }
    for resolver in resolvers.values():
        audit = auditmw.Audit(recorder, service="shop", resolver=resolver, trusted_proxies=("unix", "10.0.0.0/8"))
        app = auditmw.WSGIAudit(application, audit)
        for choices in product([False, True], repeat=6):
            request(app, resolver is None, *choices)
        auditmw.record(
            "done", audit=audit, message="all of it", category="email", action="send", outcome="success", data={"n": 1}
        )
        auditmw.record(
            "stopped", audit=audit, message="", action="backup", outcome="failure", reason="slow", data={"n": 1}
        )
    return {shape(event) for event in recorder.events}


def application(environ, start_response):
    if environ["routed"]:
        auditmw.annotate(route="/products/<slug>")
    for name, fields in {
        "signed_up": {"action": "create", "category": "iam", "target": {"type": "user"}, "data": {"method": "x"}},
        "refused": {"action": "create", "category": "iam", "target": {"type": "user"}, "outcome": "failure"}
        | {"reason": "wrong_password"},
        "paid": {"action": "create", "target": {"type": "order", "id": "o"}, "data": {"amount": 1}},
        "not_paid": {"message": "why", "action": "create", "target": {"type": "order"}, "data": {"amount": 1}},
        "uploaded": {"category": "file", "action": "create", "target": {"type": "file"}, "data": {"size": 1}},
    }.items():
        auditmw.record(name, **fields)
    if not environ["raises"]:
        start_response(environ["answer"], [("Content-Type", "text/html")])
        return [b"done"]
    try:
        raise KeyError("discount")
    except KeyError as error:
        environ["auditmw.test"] = error
        start_response("500 Internal Server Error", [("Content-Type", "text/html")], (KeyError, error, None))
        return [b"sorry"]


def request(app, inner, posts, asks, referred, routed, fails, raises):
    headers = {"User-Agent": "Mozilla/5.0", "X-Request-ID": "0af7651916cd43dd8448eb211c80319c"}
    if inner:
        headers["Traceparent"] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
    else:
        headers["X-Forwarded-For"] = "192.0.2.1"
    if referred:
        headers["Referer"] = "https://www.google.com/"
    environ = EnvironBuilder(
        "/products/x",
        method="POST" if posts else "GET",
        data={"a": "1"} if posts else None,
        query_string="q=x" if asks else "",
        base_url="https://shop.example",
        headers=headers,
    ).get_environ()
    environ |= {"REMOTE_ADDR": "10.0.3.11", "REMOTE_PORT": "40000"} if inner else {"REMOTE_ADDR": ""}
    environ |= {"routed": routed, "raises": raises, "answer": "402 Payment Required" if fails else "200 OK"}
    list(app(environ, lambda status, headers, exc_info=None: None))


def test_every_event_has_a_shape_that_the_middleware_writes(events):
    written = written_shapes()
    made = Counter(shape(event) for event in events)

    assert {found: count for found, count in made.items() if found not in written} == {}


# ----------------------------------------------------------------------------------------------------------------------
# All that makes a history realistic is there.


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("http_request", 9_000),
        ("user_signed_up", 40),
        ("user_logged_in", 70),
        ("login_refused", 5),
        ("order_paid", 8),
        ("payment_refused", 1),
        ("file_uploaded", 1),
        ("reminders_sent", 1),
    ],
)
def test_there_are_events_of_each_kind(events, name, least):
    assert sum(event["event"] == name for event in events) >= least


@pytest.mark.parametrize("status", [200, 201, 303, 401, 402, 404, 500, 503])
def test_there_are_answers_of_each_kind(events, status):
    assert any(at(event, "http", "response", "status_code") == status for event in events)


def test_the_service_account_does_two_percent(events):
    assert sum(at(event, "actor", "id") == "svc-stock-sync" for event in events) == pytest.approx(200, rel=0.2)


def test_robots_are_there_in_force_but_fewer_than_people(events):
    robots = sum("bot" in (at(event, "http", "request", "user_agent") or "").lower() for event in events)
    assert 600 < robots < 1_500


def test_somebody_looks_for_holes(events):
    probes = [event for event in events if at(event, "url", "path") == "/.env"]
    assert probes
    assert all(at(event, "http", "response", "status_code") == 404 for event in probes)


def test_few_users_do_much(events):
    counts = sorted(Counter(at(event, "actor", "id") for event in events).values(), reverse=True)
    assert sum(counts[2 : 2 + len(counts) // 5]) > sum(counts[2:]) * 0.4


def test_evenings_are_busier_than_nights_and_the_weekend_than_tuesday(events):
    times = [datetime.fromisoformat(event["timestamp"]) for event in events]
    hours, weekdays = Counter(time.hour for time in times), Counter(time.weekday() for time in times)
    assert hours[19] > 5 * hours[3]
    assert weekdays[6] > weekdays[1]


def test_sessions_begin_anonymous_and_go_on_as_a_user(events):
    actors = {}
    for event in events:
        if "session" in event:
            actors.setdefault(event["session"]["id"], []).append(at(event, "actor", "id"))
    turned = [seen for seen in actors.values() if seen[0] is None and seen[-1] is not None]

    assert len(turned) > 50
    assert all(len(set(seen) - {None}) == 1 for seen in turned)


def test_some_sessions_follow_another_that_was_anonymous(events):
    followed = {at(event, "session", "previous_id") for event in events} - {None}
    anonymous = {event["session"]["id"] for event in events if "session" in event and "id" not in event["actor"]}
    assert len(followed & anonymous) > 10


def test_a_user_signs_up_at_most_once_and_does_nothing_before(events):
    first = {}
    for event in events:
        first.setdefault(at(event, "actor", "id"), event["timestamp"])
    signed_up = [event for event in events if event["event"] == "user_signed_up"]
    users = [event["actor"]["id"] for event in signed_up]

    assert len(set(users)) == len(users)
    for event in signed_up:
        before = datetime.fromisoformat(event["timestamp"]) - datetime.fromisoformat(first[event["actor"]["id"]])
        assert before < timedelta(minutes=1)


def test_services_share_traces_and_the_callee_is_done_before_the_caller(events):
    spans = {at(event, "trace", "span_id"): event for event in events if event["event"] == "http_request"}
    pairs = [
        (event, spans[event["trace"]["parent_id"]]) for event in events if event["trace"].get("parent_id") in spans
    ]

    assert {(inner["service"]["name"], outer["service"]["name"]) for inner, outer in pairs} >= {
        ("catalog", "shop"),
        ("catalog", "api"),
        ("payments", "shop"),
    }
    for inner, outer in pairs:
        assert inner["trace"]["trace_id"] == outer["trace"]["trace_id"]
        assert outer["start"] <= inner["start"] <= inner["timestamp"] <= outer["timestamp"]


def test_visitors_come_from_somewhere(events):
    assert any("utm_source=newsletter" in (at(event, "url", "query") or "") for event in events)
    referrers = {at(event, "http", "request", "referrer") for event in events}
    assert {"https://www.google.com/", "https://shop.example/"} <= referrers


def test_a_time_of_trouble_shows():
    failed = Counter()
    for entry in history(20_000, 2):
        event = orjson.loads(entry.body)
        failed[event["timestamp"][:13]] += (at(event, "http", "response", "status_code") or 0) >= 500
    usual = sorted(failed.values())[len(failed) // 2]
    assert max(failed.values()) > 10 * max(usual, 1)


def test_some_requests_are_slow(events):
    durations = sorted(event["duration_ns"] for event in events if "duration_ns" in event)
    assert durations[len(durations) // 2] < 60_000_000 < 400_000_000 < durations[-len(durations) // 500]


# ----------------------------------------------------------------------------------------------------------------------
# As journal files.


def test_a_journal_is_written_that_reads_back_as_the_same_events(tmp_path, events):
    count, size = write_journal(history(), tmp_path, file_bytes=100_000)
    files = list((tmp_path / "journal").iterdir())

    assert count == 10_000
    assert size == sum(file.stat().st_size for file in files)
    assert len(files) > len({file.name.partition(".")[0] for file in files})
    damage = []
    assert list(auditmw.read(tmp_path, on_damage=damage.append)) == events
    assert damage == []


def test_what_is_written_is_for_its_owner_and_group(tmp_path):
    write_journal(history(10, 1), tmp_path / "audit")
    made = [tmp_path / "audit", *(tmp_path / "audit").rglob("*")]
    assert all(path.stat().st_mode & 0o027 == 0 for path in made)
    assert len(made) > 2


def test_files_that_are_there_are_not_written_over(tmp_path):
    write_journal(history(10, 1), tmp_path)
    with pytest.raises(FileExistsError):
        write_journal(history(10, 1), tmp_path)


def test_a_writer_numbers_its_lines_from_one(tmp_path):
    write_journal(history(500, 1), tmp_path, file_bytes=10_000)
    numbers = {}
    for file in sorted((tmp_path / "journal").iterdir()):
        lines = file.read_bytes().splitlines()
        numbers.setdefault(file.name.partition(".")[0], []).extend(orjson.loads(line)["seq"] for line in lines)
    for found in numbers.values():
        assert found[0] == 1
        assert all(after == before + 1 for before, after in pairwise(found))
