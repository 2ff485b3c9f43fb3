"""Funnels: who came how far, exactly."""

import json
import random
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive_events import write_file
from auditmw.archive import archive
from auditmw.query.engine import Engine
from auditmw.query.journeys import attempts
from auditmw.query.journeys.conditions import UnusableQueryError
from auditmw.query.journeys.funnel import FunnelDefinition, Step, funnel, funnel_units
from auditmw.query.language import parse
from auditmw.query.scope import Scope
from journey_table import (
    BEGINNING,
    PATHS,
    JourneyEngine,
    happening,
    in_order,
    matching,
    of_session,
    of_user,
    random_happenings,
)
from journeys_reference import best_attempts, first_values, funnel_numbers

pytestmark = pytest.mark.usefixtures("each_store")

ENGINE = JourneyEngine()
UNITS = {"session": of_session, "user": of_user}
STEPS = ("path:/", "path:/pricing", "path:/signup", "path:/*", "path:/users/*", "data.plan:paid", "path:(/ OR /signup)")
WINDOWS = [None, timedelta(minutes=1), timedelta(minutes=7), timedelta(minutes=30), timedelta.max]
DEFINITIONS = st.builds(
    FunnelDefinition,
    st.lists(st.sampled_from(STEPS), min_size=2, max_size=8).map(tuple),
    unit=st.sampled_from(list(UNITS)),
    strict=st.booleans(),
    window=st.sampled_from(WINDOWS),
)
TWO = ("path:/", "path:/signup")
THREE = ("path:/", "path:/pricing", "path:/signup")


def expected_attempts(happenings, definition):
    return best_attempts(
        happenings,
        [matching(step) for step in definition.steps],
        UNITS[definition.unit],
        strict=definition.strict,
        window=definition.window,
    )


def numbers(steps):
    return [(step.units, step.dropped, step.median_seconds) for step in steps]


def reached(happenings, steps, **options):
    """How many units came to each step."""
    return [step.units for step in funnel(ENGINE.hold(happenings), FunnelDefinition(steps, **options)).steps]


def times(happenings, steps, **options):
    """The minutes at which the units took their steps, by unit."""
    page = funnel_units(ENGINE.hold(happenings), FunnelDefinition(steps, **options), step=1)
    return {one.unit: [(time - BEGINNING) / timedelta(minutes=1) for time in one.times] for one in page.attempts}


def listed(engine, definition, **which):
    """The list, from all of its pages."""
    found, after = [], None
    while True:
        page = funnel_units(engine, definition, after=after, limit=3, **which)
        found += page.attempts
        after = page.next
        if after is None:
            return found


def crowd(seed, sessions):
    """Short journeys of many sessions, each with few pages at few moments, and a funnel to send them through."""
    chance = random.Random(seed)
    steps = [chance.choice(STEPS[:4]) for _ in range(chance.randint(2, 5))]
    window = timedelta(minutes=chance.randint(1, 6)) if chance.random() < 0.8 else None
    definition = FunnelDefinition(steps, strict=chance.random() < 0.3, window=window, breakdown="data.plan")
    happenings = [
        happening(
            chance.randint(0, 9),
            chance.choice(PATHS[:3]),
            session=f"s{number}",
            writer=chance.choice("ab"),
            seq=seq,
            **chance.choice([{}, {}, {"data": {"plan": chance.choice("fpp")}}]),
        )
        for number in range(sessions)
        for seq in chance.sample(range(100), chance.randint(1, 9))
    ]
    return happenings, definition


def plan(happening):
    return happening.event.get("data", {}).get("plan")


CROWDS = pytest.mark.parametrize("seed", range(20))


@CROWDS
@pytest.mark.parametrize("long", [timedelta(0), timedelta.max], ids=["read again", "starts kept"])
def test_every_session_of_a_crowd_has_the_attempt_that_the_slow_way_finds(seed, long, monkeypatch):
    monkeypatch.setattr(attempts, "_LONG", long)
    happenings, definition = crowd(seed, sessions=300)
    definition = replace(definition, breakdown=None)
    page = funnel_units(ENGINE.hold(happenings), definition, step=1, limit=1000)
    assert {one.unit: list(one.times) for one in page.attempts} == expected_attempts(happenings, definition)


@CROWDS
def test_segments_are_what_the_slow_way_counts(seed):
    happenings, definition = crowd(seed, sessions=100)
    expected = expected_attempts(happenings, definition)
    values = first_values(happenings, of_session, plan, plan)
    sizes = Counter(values[unit] for unit in expected)
    found = funnel(ENGINE.hold(happenings), definition, top=2)
    ordered = sorted(sizes, key=lambda value: (-sizes[value], value is None, value))
    assert [segment.value for segment in found.segments] == [*ordered[:2], *[None] * (len(ordered) > 2)]
    for segment in found.segments:
        own = ordered[2:] if segment.rest else [segment.value]
        part = {unit: taken for unit, taken in expected.items() if values[unit] in own}
        assert numbers(segment.steps) == funnel_numbers(part, len(definition.steps))


@CROWDS
def test_the_list_has_exactly_those_that_were_counted_newest_first(seed):
    happenings, definition = crowd(seed, sessions=20)
    expected = expected_attempts(happenings, definition)
    engine = ENGINE.hold(happenings)
    segment = funnel(engine, definition).segments[0]
    for step in (1, 2):
        came = listed(engine, definition, step=step, value=segment.value)
        stayed = listed(engine, definition, step=step, value=segment.value, outcome="dropped")
        assert (len(came), len(stayed)) == (segment.steps[step - 1].units, segment.steps[step - 1].dropped)
        assert all(list(one.times) == expected[one.unit] for one in came)
        assert stayed == [one for one in came if len(one.times) == step < len(definition.steps)]
        assert came == sorted(came, key=lambda one: (-one.times[0].timestamp(), one.unit))


@settings(max_examples=50, deadline=None)
@given(random_happenings(), DEFINITIONS)
def test_a_funnel_is_what_the_slow_way_counts(happenings, definition):
    expected = expected_attempts(happenings, definition)
    found = funnel(ENGINE.hold(happenings), definition)
    assert numbers(found.steps) == funnel_numbers(expected, len(definition.steps))
    began = matching(definition.steps[0])
    assert found.without_unit == sum(began(one) and UNITS[definition.unit](one) is None for one in happenings)


def test_a_unit_that_starts_twice_counts_when_any_start_leads_through_in_time():
    tries = in_order(happening(0, "/"), happening(50, "/"), happening(55, "/signup"))
    assert reached(tries, TWO, window=timedelta(minutes=10)) == [1, 1]
    assert times(tries, TWO, window=timedelta(minutes=10)) == {"s": [50, 55]}


def test_of_attempts_that_come_equally_far_the_one_that_began_first_counts():
    tries = in_order(happening(0, "/"), happening(3, "/signup"), happening(5, "/"), happening(6, "/signup"))
    assert times(tries, TWO, window=timedelta(minutes=10)) == {"s": [0, 3]}


def test_the_furthest_attempt_counts_though_an_earlier_one_began_first():
    tries = in_order(
        happening(0, "/"),
        happening(1, "/pricing"),
        happening(20, "/"),
        happening(21, "/pricing"),
        happening(22, "/signup"),
    )
    assert times(tries, THREE, window=timedelta(minutes=10)) == {"s": [20, 21, 22]}
    assert times(tries, THREE) == {"s": [0, 1, 22]}


@pytest.mark.parametrize(
    ("minutes", "units"),
    [pytest.param(10, [1, 1], id="at its end"), pytest.param(10 + 1 / 60e6, [1, 0], id="a microsecond later")],
)
def test_the_end_of_the_window_is_in_it(minutes, units):
    tries = in_order(happening(0, "/"), happening(minutes, "/signup"))
    assert reached(tries, TWO, window=timedelta(minutes=10)) == units


def test_the_window_is_counted_from_the_first_step_and_not_from_the_step_before():
    tries = in_order(happening(0, "/"), happening(6, "/pricing"), happening(12, "/signup"))
    assert reached(tries, THREE, window=timedelta(minutes=10)) == [1, 1, 0]


def test_at_the_same_time_the_writers_and_then_the_numbers_say_what_came_first():
    later_number = [happening(0, "/", seq=2), happening(0, "/signup", seq=1)]
    assert reached(later_number, TWO) == [1, 0]
    assert reached([one._replace(seq=3 - one.seq) for one in later_number], TWO) == [1, 1]
    other_writers = [happening(0, "/", writer="b", seq=1), happening(0, "/signup", writer="a", seq=2)]
    assert reached(other_writers, TWO) == [1, 0]
    assert reached([happening(0, "/", writer="a", seq=2), happening(0, "/signup", writer="b", seq=1)], TWO) == [1, 1]


@pytest.mark.parametrize("strict", [False, True])
def test_the_first_and_the_last_moment_that_a_timestamp_can_have_are_in_order(strict, each_store):
    ends = (datetime(1, 1, 1), datetime(9999, 12, 31))
    if each_store == "clickhouse":  # what it has no room for has no time
        ends = (datetime(1970, 1, 1, 0, 0, 1), datetime(2105, 12, 31))
    first, last = ((moment.replace(tzinfo=UTC) - BEGINNING) / timedelta(minutes=1) for moment in ends)
    ages = in_order(happening(last, "/signup"), happening(first, "/"))
    assert reached(ages, TWO, strict=strict) == [1, 1]
    assert reached(ages, TWO, strict=strict, window=timedelta.max) == [1, 1]
    assert reached(ages, TWO, strict=strict, window=(ends[1] - ends[0]) * 0.99) == [1, 0]


def test_one_event_takes_one_step():
    assert reached([happening(0, "/")], ("path:/", "path:/*")) == [1, 0]
    assert reached(in_order(happening(0, "/"), happening(0, "/")), ("path:/", "path:/*")) == [1, 1]


def test_a_strict_step_is_the_very_next_event_in_the_scope():
    tries = in_order(happening(0, "/"), happening(1, "/pricing"), happening(2, "/signup"))
    strict = FunnelDefinition(TWO, strict=True)
    assert reached(tries, TWO) == [1, 1]
    assert reached(tries, TWO, strict=True) == [1, 0]
    assert [step.units for step in funnel(ENGINE, strict, Scope("-path:/pricing")).steps] == [1, 1]


def test_what_is_outside_of_the_range_does_not_count():
    engine = ENGINE.hold(in_order(happening(0, "/"), happening(1, "/"), happening(9, "/signup")))
    at = [BEGINNING + timedelta(minutes=minutes) for minutes in (1, 9)]
    assert [step.units for step in funnel(engine, FunnelDefinition(TWO), Scope(None, *at)).steps] == [1, 0]


def test_events_without_a_unit_are_told_and_not_counted():
    engine = ENGINE.hold(in_order(happening(0, "/"), happening(1, "/", session=None), happening(2, "/x", session=None)))
    found = funnel(engine, FunnelDefinition(TWO))
    assert (found.steps[0].units, found.without_unit) == (1, 1)


def test_the_numbers_of_a_step():
    engine = ENGINE.hold(
        in_order(
            *[happening(minute, "/", session=f"s{minute}") for minute in range(4)],
            *[happening(minute + 10 + minute * minute, "/signup", session=f"s{minute}") for minute in range(3)],
        )
    )
    first, last = funnel(engine, FunnelDefinition(TWO)).steps
    assert first == Step(units=4, dropped=1, overall=1.0, conversion=1.0, median_seconds=None)
    assert last == Step(units=3, dropped=0, overall=0.75, conversion=0.75, median_seconds=660.0)


def test_a_funnel_of_nobody_is_all_zeros():
    found = funnel(ENGINE.hold([]), FunnelDefinition(TWO, breakdown="path"))
    nobody = Step(units=0, dropped=0, overall=None, conversion=None, median_seconds=None)
    assert found == ((nobody, nobody), (), 0, None)
    assert funnel_units(ENGINE, FunnelDefinition(TWO), step=1) == ((), None, None)


def test_a_person_is_the_same_before_and_after_the_login():
    before_login = happening(0, "/", session="s1")
    after_login = happening(1, "/", session="s1", user="ada")
    elsewhere = happening(5, "/signup", session="s2", user="ada")
    tries = in_order(before_login, after_login, elsewhere)
    assert times(tries, TWO, unit="person") == {"ada": [0, 5]}
    assert times(tries, TWO, unit="user") == {"ada": [1, 5]}


def test_the_address_is_the_unit_of_logs_that_know_neither_sessions_nor_users():
    tries = in_order(*[happening(0, one, session=None, client={"address": "192.0.2.7"}) for one in ("/", "/signup")])
    assert reached(tries, TWO, unit="ip") == [1, 1]


def came_with(**first):
    """A session whose first request has this in it, and the second one does not."""
    url = {"path": "/", **first.pop("url", {})}
    return in_order(happening(0, "/", url=url, **first), happening(1, "/signup"))


@pytest.mark.parametrize(
    ("field", "happenings", "value"),
    [
        pytest.param(
            "referrer.host",
            came_with(http={"request": {"referrer": "https://news.example:8443/item?id=1"}}),
            "news.example:8443",
            id="host of the referrer",
        ),
        pytest.param("referrer.host", came_with(http={"request": {"referrer": "-"}}), None, id="no referrer"),
        pytest.param("query.utm_source", came_with(url={"query": "a=1&utm_source=ads"}), "ads", id="parameter"),
        pytest.param("query.utm_source", came_with(url={"query": "xutm_source=ads"}), None, id="other parameter"),
        pytest.param("query.q", came_with(url={"query": "q=caf%C3%A9+noir&q=2"}), "café noir", id="encoded parameter"),
        pytest.param("query.q", came_with(url={"query": "q=%FF%"}), "%FF%", id="badly encoded parameter"),
        pytest.param("query.q", came_with(url={"query": "q="}), "", id="empty parameter"),
        pytest.param("query.q", came_with(), None, id="no query string"),
        pytest.param("actor.roles", came_with(actor={"roles": ["clerk", "admin"]}), "clerk", id="first of a list"),
        pytest.param("status", came_with(http={"response": {"status_code": 302}}), "302", id="number"),
        pytest.param('data."a/b"', came_with(data={"a/b": "odd"}), "odd", id="odd key"),
    ],
)
def test_units_are_told_apart_by_what_they_first_came_with(field, happenings, value):
    (segment,) = funnel(ENGINE.hold(happenings), FunnelDefinition(TWO, breakdown=field)).segments
    assert (segment.value, segment.rest, [step.units for step in segment.steps]) == (value, False, [1, 1])


def test_who_came_from_nowhere_did_not_come_from_the_page_before():
    inside = {"request": {"referrer": "https://shop.example/"}}
    visit = in_order(happening(0, "/"), happening(1, "/signup", http=inside))
    (segment,) = funnel(ENGINE.hold(visit), FunnelDefinition(TWO, breakdown="referrer")).segments
    assert segment.value is None


def test_an_event_of_the_application_is_not_what_a_unit_came_with():
    outside = {"request": {"referrer": "https://news.example/"}}
    visit = in_order(happening(0, None, event="session_opened"), happening(1, "/", http=outside))
    (segment,) = funnel(ENGINE.hold(visit), FunnelDefinition(TWO, breakdown="referrer")).segments
    assert segment.value == "https://news.example/"


def test_less_frequent_values_are_one_segment_together():
    visits = [happening(0, "/", session=f"s{number}", data={"plan": "abca"[number]}) for number in range(4)]
    found = funnel(ENGINE.hold(in_order(*visits)), FunnelDefinition(TWO, breakdown="data.plan"), top=1)
    assert [(one.value, one.rest, one.steps[0].units) for one in found.segments] == [("a", False, 2), (None, True, 2)]


DEFINITION = FunnelDefinition(TWO)


@pytest.mark.parametrize(
    ("attempt", "said"),
    [
        pytest.param(lambda: FunnelDefinition(()), "expected from 2 to 8 steps, not 0", id="no step"),
        pytest.param(lambda: FunnelDefinition(("path:/",)), "expected from 2 to 8 steps, not 1", id="one step"),
        pytest.param(lambda: FunnelDefinition("path:/"), "expected from 2 to 8 steps, not 1", id="a text"),
        pytest.param(lambda: FunnelDefinition(["path:/"] * 9), "expected from 2 to 8 steps, not 9", id="nine steps"),
        pytest.param(
            lambda: FunnelDefinition(("path:/", " ")),
            "step 2: expected a query; event:* matches every event; not ' '",
            id="empty step",
        ),
        pytest.param(lambda: FunnelDefinition(TWO, window=timedelta(0)), "expected a window", id="no window"),
        pytest.param(lambda: FunnelDefinition(TWO, window=timedelta(-1)), "expected a window", id="window before"),
        pytest.param(lambda: FunnelDefinition(TWO, unit="trace"), "session, user, person, ip; not 'trace'", id="unit"),
        pytest.param(lambda: FunnelDefinition(TWO, breakdown="pth"), "no field 'pth'", id="unknown field"),
        pytest.param(lambda: FunnelDefinition(TWO, breakdown="http"), "a group of fields", id="group of fields"),
        pytest.param(lambda: funnel(ENGINE, DEFINITION, top=0), "at least one segment, not 0", id="no segments"),
        pytest.param(lambda: funnel_units(ENGINE, DEFINITION, step=0), "a step from 1 to 2, not 0", id="step zero"),
        pytest.param(lambda: funnel_units(ENGINE, DEFINITION, step=3), "a step from 1 to 2, not 3", id="step three"),
        pytest.param(
            lambda: funnel_units(ENGINE, DEFINITION, step=1, outcome="left"),
            "reached or dropped, not 'left'",
            id="outcome",
        ),
        pytest.param(lambda: funnel_units(ENGINE, DEFINITION, step=1, limit=0), "from 1 to 10,000, not 0", id="limit"),
        pytest.param(lambda: funnel_units(ENGINE, DEFINITION, step=1, after="x"), "expected a cursor", id="cursor"),
    ],
)
def test_what_makes_no_funnel_is_refused(attempt, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        attempt()


def test_a_step_with_an_error_is_refused_with_the_place_of_the_error():
    with pytest.raises(UnusableQueryError) as refused:
        FunnelDefinition(("path:/", "status:200 nosuch:1"))
    assert (refused.value.role, refused.value.text) == ("step 2", "status:200 nosuch:1")
    assert [(error.start, error.end) for error in refused.value.errors] == [(11, 17)]


def test_steps_may_be_parsed_already():
    assert reached(in_order(happening(0, "/"), happening(1, "/signup")), [parse(text) for text in TWO]) == [1, 1]


@pytest.mark.parametrize("hostile", ["' OR 1=1 --", '"; DROP TABLE archived; --', "$window", "?", "\\", "{0}"])
def test_values_are_bound_and_never_part_of_the_statement(hostile):
    text = '"' + hostile.replace("\\", "\\\\").replace('"', '\\"') + '"'
    tries = in_order(happening(0, hostile), happening(1, "/signup"))
    definition = FunnelDefinition((f"path:{text}", "path:/signup"), breakdown=f"query.{hostile}")
    assert [step.units for step in funnel(ENGINE.hold(tries), definition).steps] == [1, 1]


def test_a_funnel_that_had_to_end_says_so():
    engine = ENGINE.hold(in_order(happening(0, "/"), happening(1, "/signup")))
    found = funnel(engine, DEFINITION, time_limit_seconds=0)
    assert found.partial.reasons == ("time limit",)
    assert found.partial.covered_from == found.partial.covered_to
    assert [step.units for step in found.steps] == [0, 0]
    assert funnel_units(engine, DEFINITION, step=1, time_limit_seconds=0).partial.reasons == ("time limit",)


def test_a_scope_with_an_error_is_answered_without_it_and_says_so():
    engine = ENGINE.hold(in_order(happening(0, "/"), happening(1, "/signup")))
    found = funnel(engine, DEFINITION, Scope("nosuch:1 session:s"))
    assert found.partial.reasons == ("query",)
    assert [step.units for step in found.steps] == [1, 1]


def test_archive_and_journal_are_one_to_a_funnel(tmp_path):
    tries = in_order(happening(0, "/"), happening(1, "/", session="t"), happening(2, "/signup"))
    for number, one in enumerate(tries, start=1):
        write_file(tmp_path, f"w{number}", 1, [json.dumps(one.event).encode()])
    engine = Engine(tmp_path)
    before = funnel(engine, DEFINITION)
    archive(tmp_path)
    write_file(tmp_path, "w9", 1, [json.dumps(happening(3, "/signup", session="t").event).encode()])
    after = funnel(engine, DEFINITION)
    engine.close()
    assert [step.units for step in before.steps] == [2, 1]
    assert [step.units for step in after.steps] == [2, 2]
