"""Whose events they are, what somebody did, and what happened around an event."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import query_reference as reference
from auditmw.query.context import context
from auditmw.query.context import event as event_by_id
from auditmw.query.scope import EVERYTHING, Scope
from auditmw.query.timeline import Life, timeline
from query_reference import in_order, value, within
from query_table import MINUTE, TableEngine, at, event, random_events

pytestmark = pytest.mark.usefixtures("each_store")

BOUNDS = st.one_of(st.none(), st.integers(-1, 9).map(at), st.integers(0, 3000).map(at))
ORDERS = st.sampled_from(["newest", "oldest"])
PERSONS = "SELECT writer, seq, person FROM events"


def keys(entries):
    return [(entry.key.writer, entry.key.seq) for entry in entries]


def persons(engine, scope=EVERYTHING):
    return {
        (writer, seq): person for writer, seq, person in engine.ask(lambda q: q.whole(PERSONS), scope, stitched=True)
    }


@settings(max_examples=50, deadline=None)
@given(random_events(), BOUNDS, BOUNDS)
def test_every_event_belongs_to_whom_the_slow_way_says(events, start, end):
    engine = TableEngine(events)
    expected = {(row.writer, row.seq): reference.person(row, engine.rows) for row in within(engine.rows, start, end)}
    assert persons(engine, Scope("", start, end)) == expected
    anonymous = {(row.writer, row.seq) for row in engine.rows if value(row, "user") is None}
    assert persons(engine, Scope("-user:*", start, end)) == {
        key: person for key, person in expected.items() if key in anonymous
    }


ONE_SESSION = st.lists(
    st.builds(
        event,
        st.integers(0, 3),
        user=st.sampled_from([None, "ada", "bob"]),
        session=st.sampled_from(["s", "s", "t", None]),
    ),
    max_size=9,
)


@settings(max_examples=100, deadline=None)
@given(ONE_SESSION)
def test_every_event_belongs_to_one_person_also_when_much_happens_at_once(events):
    engine = TableEngine(events)
    found = engine.ask(lambda question: question.whole(PERSONS), stitched=True)
    expected = [(row.writer, row.seq, reference.person(row, engine.rows)) for row in engine.rows]
    assert sorted(found) == sorted(expected)


def story(*events):
    """Whose events they are, of events at one minute after the other, given as (user, session)."""
    made = [event(minute, user=user, session=session) for minute, (user, session) in enumerate(events)]
    engine = TableEngine(made)
    found = persons(engine)
    return [found[row.writer, row.seq] for row in engine.rows]


@pytest.mark.parametrize(
    ("events", "people"),
    [
        ([(None, "s"), (None, "s"), ("ada", "s")], ["ada", "ada", "ada"]),
        ([("ada", "s"), (None, "s")], ["ada", None]),
        ([("ada", "s"), (None, "s"), ("ada", "s")], ["ada", "ada", "ada"]),
        ([(None, "s"), ("ada", "s"), (None, "s"), ("bob", "s"), (None, "s")], ["ada", "ada", "bob", "bob", None]),
        ([(None, "s"), ("ada", "s"), ("bob", "s"), (None, "s"), ("ada", "s")], ["ada", "ada", "bob", "ada", "ada"]),
        ([(None, "t"), ("ada", "s")], [None, "ada"]),
        ([(None, None), ("ada", None)], [None, "ada"]),
    ],
    ids=[
        "before logging in",
        "after logging out",
        "logged out in between",
        "two people one after the other",
        "two people by turns",
        "another session",
        "no session",
    ],
)
def test_what_nobody_did_belongs_to_who_logs_in_next(events, people):
    assert story(*events) == people


def test_of_two_users_at_the_same_moment_the_one_that_sorts_first_counts():
    made = [
        event(1, user="bob", session="s"),
        event(1, user="ada", session="s"),
        event(1, session="s"),
        event(0, session="s"),
    ]
    engine = TableEngine(made)  # w0/1 bob, w1/1 ada, w0/2, w1/2
    assert persons(engine) == {("w0", 1): "bob", ("w1", 1): "ada", ("w0", 2): "bob", ("w1", 2): "bob"}


def test_somebody_who_logs_in_after_the_range_is_known_in_it():
    engine = TableEngine([event(0, session="s"), event(60, session="s", user="ada")])
    assert set(persons(engine, Scope(None, at(0), at(1))).values()) == {"ada"}


@settings(max_examples=30, deadline=None)
@given(random_events(), BOUNDS, BOUNDS, ORDERS, st.booleans(), st.integers(2, 7))
def test_a_timeline_is_what_the_slow_way_finds(events, start, end, order, stitched, limit):
    engine = TableEngine(events)

    def is_adas(row):
        return (reference.person(row, engine.rows) if stitched else value(row, "user")) == "ada"

    mine = [row for row in engine.rows if is_adas(row)]
    scope = Scope("", start, end)
    found = timeline(engine, "user", "ada", scope, order=order, limit=limit, stitched=stitched)
    shown, life = [found], found.life
    while shown[-1].next:
        shown.append(
            timeline(engine, "user", "ada", scope, order=order, limit=limit, stitched=stitched, after=shown[-1].next)
        )
    entries = {keys([entry])[0] for one in shown for visit in one.visits for entry in visit.entries}
    assert entries == {(row.writer, row.seq) for row in within(mine, start, end)}
    assert sum(len(visit.entries) for one in shown for visit in one.visits) == len(entries)
    times = [reference.moment(row) for row in mine if reference.moment(row)]
    assert life == Life(len(mine), min(times, default=None), max(times, default=None), None)
    assert {one.partial for one in shown} == {None}


@settings(max_examples=30, deadline=None)
@given(random_events(), ORDERS)
def test_visits_are_those_of_the_slow_way(events, order):
    engine = TableEngine(events)
    found = timeline(engine, "ip", "10.0.0.1", order=order)
    mine = [row for row in engine.rows if value(row, "ip") == "10.0.0.1"]
    groups = [[(row.writer, row.seq) for row in group] for group in reference.visits(mine, timedelta(minutes=30))]
    if order == "newest":
        groups = [group[::-1] for group in groups[::-1]]
    assert [keys(visit.entries) for visit in found.visits] == groups


def test_a_timeline_has_visits_with_the_gaps_between_them():
    made = [
        event(0, user="ada", session="s1"),
        event(30, user="ada", session="s1"),
        event(31, user="ada", session="s2"),
        event(32, user="ada", session="s1"),
        event(100, user="ada", session="s1"),
    ]
    found = timeline(TableEngine(made), "user", "ada", order="oldest")
    gaps = [(visit.session, len(visit.entries), visit.gap) for visit in found.visits]
    assert gaps == [("s1", 3, None), ("s2", 1, MINUTE), ("s1", 1, 68 * MINUTE)]
    newest = timeline(TableEngine(made), "user", "ada")
    assert [visit.gap for visit in newest.visits] == [68 * MINUTE, MINUTE, None]
    assert newest.life == Life(5, at(0), at(100), None)


def test_a_timeline_behind_a_cursor_goes_on_and_says_nothing_of_the_life():
    engine = TableEngine([event(minute, session="s") for minute in range(5)])
    first = timeline(engine, "session", "s", limit=3)
    second = timeline(engine, "session", "s", limit=3, after=first.next)
    assert [len(one.visits[0].entries) for one in (first, second)] == [3, 2]
    assert (second.life, second.next) == (None, None)


def test_a_timeline_of_nobody_is_empty_and_one_of_nothing_is_refused():
    assert timeline(TableEngine(), "user", "ada") == ((), None, None, Life(0, None, None, None), None)
    with pytest.raises(ValueError, match=r"expected one of user, session, .*, not 'path'"):
        timeline(TableEngine(), "path", "/")


def uuid(minute, version=7, number=1):
    milliseconds = int(at(minute).timestamp() * 1000)
    digits = f"{milliseconds:012x}{version:x}000{0x8000000000000000 + number:016x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


@pytest.mark.parametrize(
    ("id", "minute"),
    [
        (uuid(10), 10),
        (uuid(10, version=8), 10),
        (uuid(10), 50),
        (uuid(10), 5000),
        (uuid(10, version=4), 5000),
        ("not-a-uuid", 3),
        ("ffffffff-ffff-7fff-bfff-ffffffffffff", 3),
        (uuid(10), None),
    ],
    ids=["v7", "v8", "long request", "clock far off", "v4", "no uuid", "beyond all time", "no time"],
)
def test_an_event_is_found_by_its_id_wherever_it_is(id, minute):
    made = [event(number * 60) for number in range(20)]
    engine = TableEngine([*made, event(minute, id=id)])
    found = event_by_id(engine, id)
    assert found.entry.event["id"] == id
    assert found.partial is None


def test_an_event_is_looked_for_near_the_time_in_its_id_first(monkeypatch):
    engine = TableEngine([event(10, id=uuid(10))])
    scopes = []
    ask = engine.ask
    monkeypatch.setattr(
        engine, "ask", lambda answer, scope=EVERYTHING, **options: scopes.append(scope) or ask(answer, scope, **options)
    )
    event_by_id(engine, uuid(10))
    assert scopes == [Scope(None, at(9), at(70))]


def test_an_event_that_is_not_there_is_not_found():
    assert event_by_id(TableEngine([event(0)]), uuid(3)) == (None, None)
    assert context(TableEngine([event(0)]), uuid(3)) == ((), None, (), None)


@settings(max_examples=30, deadline=None)
@given(
    random_events(), st.integers(0, 4), st.integers(0, 4), st.sampled_from([None, "session", "user", "ip"]), st.data()
)
def test_a_context_is_what_the_slow_way_finds(events, before, after, same, data):
    for number, made in enumerate(events):
        made["id"] = str(number)
    engine = TableEngine(events)
    if not events:
        return
    chosen = data.draw(st.sampled_from(engine.rows))
    found = context(engine, chosen.event["id"], before=before, after=after, same=same)
    among = [
        row for row in in_order(engine.rows) if same is None or row is chosen or value(row, same) == value(chosen, same)
    ]
    if same and value(chosen, same) is None:
        among = [chosen]
    number = among.index(chosen)
    expected = [among[max(number - before, 0) : number], [chosen], among[number + 1 : number + 1 + after]]
    assert [keys(entries) for entries in (found.before, [found.entry], found.after)] == [
        [(row.writer, row.seq) for row in rows] for rows in expected
    ]


def test_a_context_keeps_to_its_scope():
    engine = TableEngine([event(minute, id=str(minute), status=200 + minute) for minute in range(9)])
    found = context(engine, "4", scope=Scope("-status:203", at(2), at(6)))
    assert [entry.event["id"] for entry in (*found.before, *found.after)] == ["2", "5"]


def test_a_context_of_the_same_nothing_is_refused():
    with pytest.raises(LookupError, match=r"expected a field that is a column of the archive, .*, not 'data.plan'"):
        context(TableEngine(), "1", same="data.plan")
    with pytest.raises(LookupError, match="there is no field 'sesion'"):
        context(TableEngine(), "1", same="sesion")


def test_times_in_a_life_have_their_zone():
    life = timeline(TableEngine([event(0, session="s")]), "session", "s").life
    assert life.first == datetime(2026, 10, 24, 20, 30, tzinfo=UTC)
