"""Conversion over time: how many of how many, exactly."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditmw.query.journeys.conditions import UnusableQueryError
from auditmw.query.journeys.conversion import Conversion, Rate, Series, conversion
from auditmw.query.scope import Scope
from journey_table import (
    BEGINNING,
    JourneyEngine,
    happening,
    in_order,
    matching,
    of_session,
    of_user,
    random_happenings,
)
from journeys_reference import conversion as expected_conversion
from journeys_reference import first_values

pytestmark = pytest.mark.usefixtures("each_store")

ENGINE = JourneyEngine()
AMSTERDAM = ZoneInfo("Europe/Amsterdam")


def numbers(series):
    """What is not nothing in a series, as the reference has it: None stands for the whole range."""
    rates = {None: series.overall, **dict(enumerate(series.rates))}
    return {number: tuple(rate) for number, rate in rates.items() if any(rate)}


@settings(max_examples=60, deadline=None)
@given(
    random_happenings(minutes=4 * 24 * 60),
    st.sampled_from(["path:/signup", "data.plan:paid"]),
    st.sampled_from([None, "path:/", "path:(/ OR /signup)"]),
    st.sampled_from(["session", "user"]),
    st.sampled_from([UTC, AMSTERDAM, ZoneInfo("Asia/Kathmandu")]),
    st.integers(1, 3),
)
def test_conversion_is_what_the_slow_way_counts(happenings, goal, base, unit, zone, top):
    first = BEGINNING.astimezone(zone).date()
    of_unit = {"session": of_session, "user": of_user}[unit]
    arguments = of_unit, matching(goal), matching(base or ""), lambda time: (time.astimezone(zone).date() - first).days
    scope = Scope(None, BEGINNING, BEGINNING + timedelta(days=5))
    found = conversion(
        ENGINE.hold(happenings), goal, scope, base=base, unit=unit, zone=zone, breakdown="data.plan", top=top
    )
    assert numbers(found.total) == expected_conversion(happenings, *arguments)
    assert found.without_unit == sum(matching(goal)(one) and of_unit(one) is None for one in happenings)

    plans = first_values(happenings, of_unit, plan, plan)
    for series in found.segments:
        if not series.rest:
            part = [one for one in happenings if of_unit(one) and plans[of_unit(one)] == series.value]
            assert numbers(series) == expected_conversion(part, *arguments)
    together = [sum(part) for part in zip(*(series.overall for series in found.segments), strict=True)]
    assert together == (list(found.total.overall) if found.segments else [])
    assert len([series for series in found.segments if not series.rest]) <= top


def plan(happening):
    return happening.event.get("data", {}).get("plan")


ONE_DAY = Scope(None, datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 3, 29, tzinfo=UTC))


def rates(happenings, scope=ONE_DAY, **options):
    """The rate of each segment over the whole range."""
    found = conversion(ENGINE.hold(happenings), "path:/signup", scope, **options)
    return {series.value: tuple(series.overall) for series in found.segments} or tuple(found.total.overall)


def test_a_unit_counts_once_in_a_period_and_once_in_all():
    visits = in_order(happening(0), happening(1), happening(2, "/signup"), happening(121), happening(122, "/signup"))
    days = Scope(None, BEGINNING - timedelta(hours=1), BEGINNING + timedelta(days=1))
    found = conversion(ENGINE.hold(visits), "path:/signup", days)
    assert found.total == Series(None, False, Rate(1, 1, 2), (Rate(1, 1, 1), Rate(1, 1, 1)))


def test_converted_are_units_of_the_base_and_other_goals_are_told():
    visits = in_order(happening(0), happening(1, "/signup"), happening(1, "/signup", session="t"))
    assert rates(visits, base="path:/") == (1, 1, 2)
    assert Rate(2, 1, 5).share == 0.5
    assert Rate(0, 0, 1).share is None


def test_the_base_of_a_segment_is_filtered_as_what_converted_of_it():
    def came(session, plan, *paths):
        return [happening(minute, path, session=session, data={"plan": plan}) for minute, path in enumerate(paths)]

    visits = in_order(*came("s", "a", "/", "/signup"), *came("t", "a", "/"), *came("u", "b", "/"))
    assert rates(visits, breakdown="data.plan") == {"a": (2, 1, 1), "b": (1, 0, 0)}
    assert rates(visits, breakdown="data.plan", scope=ONE_DAY._replace(query="data.plan:a")) == {"a": (2, 1, 1)}


def test_a_unit_belongs_to_the_segment_that_it_first_came_with():
    first = happening(0, http={"request": {"referrer": "https://news.example/"}})
    then = happening(1, "/signup", http={"request": {"referrer": "https://shop.example/"}})
    assert rates(in_order(first, then), breakdown="referrer.host") == {"news.example": (1, 1, 1)}


def test_by_events_the_goals_are_divided_by_the_events_of_the_base():
    visits = in_order(
        happening(0), happening(1), happening(2, "/signup"), happening(3, None, event="user_signed_up", session=None)
    )
    found = conversion(ENGINE.hold(visits), "event:user_signed_up", ONE_DAY, base="event:http_request", unit="event")
    assert (found.total.overall, found.without_unit) == (Rate(3, 1, 1), 0)
    assert rates(visits, unit="event", breakdown="path") == {"/": (2, 0, 0), "/signup": (1, 1, 1), None: (1, 0, 0)}


def test_without_a_breakdown_there_are_no_segments():
    assert conversion(ENGINE.hold([happening(0)]), "path:/", ONE_DAY).segments == ()


def test_a_person_converted_in_another_session_than_the_one_that_they_came_with():
    visits = in_order(happening(0), happening(1, user="ada"), happening(9, "/signup", session="t", user="ada"))
    assert rates(visits, base="path:/", unit="person") == (1, 1, 1)
    assert rates(visits, base="path:/", unit="session") == (1, 0, 1)


def test_hours_are_those_of_the_zone_and_every_one_is_there():
    scope = Scope(None, BEGINNING, BEGINNING + timedelta(hours=5))
    found = conversion(ENGINE.hold([happening(0), happening(190)]), "path:/", scope, period="hour", zone=AMSTERDAM)
    assert [f"{period.start:%H:%M}" for period in found.periods] == [
        "22:00",
        "23:00",
        "00:00",
        "01:00",
        "03:00",
        "04:00",
    ]
    assert [rate.base for rate in found.total.rates] == [1, 0, 0, 0, 1, 0]


def test_a_period_that_is_not_over_or_only_in_part_in_the_range_is_marked():
    scope = Scope(None, BEGINNING, BEGINNING + timedelta(days=3))
    found = conversion(ENGINE.hold([]), "path:/", scope, now=BEGINNING + timedelta(days=2))
    assert [period.complete for period in found.periods] == [False, True, False, False]


def test_without_a_range_it_is_from_the_first_event_until_now():
    found = conversion(ENGINE.hold([happening(0)]), "path:/", now=BEGINNING + timedelta(days=2))
    assert [period.complete for period in found.periods] == [True, True, False]
    assert conversion(ENGINE.hold([]), "path:/") == Conversion((), Series(None, False, Rate(), ()), (), 0, None)
    before = conversion(ENGINE.hold([happening(0)]), "path:/", Scope(None, None, BEGINNING - timedelta(days=1)))
    assert before.periods == ()


@pytest.mark.parametrize(
    ("goal", "options", "said"),
    [
        pytest.param("", {}, "goal: expected a query; event:* matches every event; not ''", id="no goal"),
        pytest.param("path:", {}, "goal: expected a value after path:", id="malformed goal"),
        pytest.param("path:/", {"base": "nosuch:1"}, "base: there is no field 'nosuch'", id="malformed base"),
        pytest.param("path:/", {"unit": "events"}, "not 'events'", id="unit"),
        pytest.param("path:/", {"period": "minute"}, "not 'minute'", id="period"),
        pytest.param("path:/", {"breakdown": "pth"}, "no field 'pth'", id="unknown field"),
        pytest.param("path:/", {"top": 0}, "at least one segment, not 0", id="no segments"),
        pytest.param(
            "path:/", {"scope": Scope(None, BEGINNING - timedelta(days=2001))}, "at most 2,000 periods", id="too many"
        ),
    ],
)
def test_what_makes_no_conversion_is_refused(goal, options, said):
    engine = ENGINE.hold([happening(0)])  # up to which the periods go
    with pytest.raises(ValueError, match=re.escape(said)) as refused:
        conversion(engine, goal, **{"scope": ONE_DAY, **options})
    assert isinstance(refused.value, UnusableQueryError) == (":" in said)


def test_a_conversion_that_had_to_end_says_so():
    found = conversion(ENGINE.hold([happening(0)]), "path:/", ONE_DAY, time_limit_seconds=0)
    assert found.partial.reasons == ("time limit",)
    assert found.total.overall == Rate(0, 0, 0)
