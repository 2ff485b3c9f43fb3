"""Retention: who came back, exactly."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditmw.query.journeys.retention import retention
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
from journeys_reference import retention as expected_retention

pytestmark = pytest.mark.usefixtures("each_store")

ENGINE = JourneyEngine()
AMSTERDAM = ZoneInfo("Europe/Amsterdam")
QUERIES = st.sampled_from([None, "path:/", "path:/signup", "data.plan:paid", "path:(/ OR /pricing)"])


def matrix(found):
    """What is not nothing in the answer, as the reference has it."""
    sizes = {number: cohort.units for number, cohort in enumerate(found.cohorts) if cohort.units}
    cells = {
        (number, later): cell.units
        for number, cohort in enumerate(found.cohorts)
        for later, cell in enumerate(cohort.cells)
        if cell.units
    }
    return sizes, cells


@settings(max_examples=100, deadline=None)
@given(
    random_happenings(minutes=8 * 24 * 60),
    QUERIES,
    QUERIES,
    st.sampled_from(["session", "user"]),
    st.booleans(),
    st.sampled_from([UTC, AMSTERDAM, ZoneInfo("America/Sao_Paulo"), ZoneInfo("Asia/Kathmandu")]),
    st.integers(-1, 3),
)
def test_retention_is_what_the_slow_way_counts(happenings, start, returning, unit, first_time, zone, days):
    begin = (BEGINNING + timedelta(days=days)).astimezone(zone)
    end = BEGINNING + timedelta(days=7, hours=3)
    local_date = begin.date()

    def period(time):
        return (time.astimezone(zone).date() - local_date).days

    counted = [one for one in happenings if one.time < end]
    if not first_time:
        counted = [one for one in counted if period(one.time) >= 0]
    sizes, cells = expected_retention(
        counted,
        {"session": of_session, "user": of_user}[unit],
        matching(start or ""),
        matching(returning or ""),
        period,
        first_time=first_time,
    )
    found = retention(
        ENGINE.hold(happenings),
        Scope(None, begin, end),
        start=start,
        returning=returning,
        unit=unit,
        first_time=first_time,
        zone=zone,
        now=end,
    )
    expected_sizes = {cohort: size for cohort, size in sizes.items() if cohort >= 0}
    assert matrix(found) == (expected_sizes, {place: units for place, units in cells.items() if place[0] >= 0})


def sizes(happenings, *, days=3, **options):
    """The cohorts of the days from BEGINNING on: how many began, and how many returned after no, one, ... days."""
    scope = Scope(None, BEGINNING, BEGINNING + timedelta(days=days - 1))
    found = retention(ENGINE.hold(happenings), scope, now=scope.end, unit="session", **options)
    return [(cohort.units, [cell.units for cell in cohort.cells]) for cohort in found.cohorts]


DAY = 24 * 60


def test_who_began_is_in_one_cohort_and_is_found_again_in_the_days_of_return():
    days = in_order(happening(0), happening(1), happening(2 * DAY - 60), happening(DAY, session="t"))
    assert sizes(days) == [(1, [1, 0, 1]), (1, [1, 0]), (0, [0])]


def test_the_first_time_is_the_first_in_the_archive_and_not_in_the_range():
    days = in_order(happening(-5 * DAY), happening(0), happening(0, session="t"))
    assert sizes(days) == [(1, [1, 0, 0]), (0, [0, 0]), (0, [0])]
    assert sizes(days, first_time=False) == [(2, [2, 0, 0]), (0, [0, 0]), (0, [0])]


def test_the_first_time_may_be_that_of_a_query():
    days = in_order(happening(-5 * DAY, "/"), happening(0, "/signup"), happening(DAY, "/"))
    assert sizes(days, start="path:/signup") == [(1, [1, 1, 0]), (0, [0, 0]), (0, [0])]


def test_who_is_there_every_day_is_in_the_cohort_of_every_day_unless_only_the_first_time_counts():
    days = in_order(happening(0), happening(DAY), happening(2 * DAY - 1))
    assert sizes(days, first_time=False) == [(1, [1, 1, 1]), (1, [1, 1]), (1, [1])]


def test_what_was_done_before_the_start_is_no_return():
    before = in_order(happening(0, "/"), happening(1, "/signup"))
    assert sizes(before, start="path:/signup", returning="path:/")[0] == (1, [0, 0, 0])
    same_time = in_order(happening(1, "/"), happening(1, "/signup"))
    assert sizes(same_time, start="path:/signup", returning="path:/")[0] == (1, [1, 0, 0])


def test_days_are_those_of_the_zone_also_where_the_clocks_change():
    # In Amsterdam it is 22:59 on the 28th, and the 29th has 23 hours.
    nights = in_order(happening(0), happening(61), happening(61 + 23 * 60 - 1), happening(61 + 23 * 60))
    scope = Scope(None, BEGINNING, BEGINNING + timedelta(days=2))
    found = retention(ENGINE.hold(nights), scope, unit="session", zone=AMSTERDAM, now=scope.end, first_time=False)
    assert [str(cohort.period.start) for cohort in found.cohorts] == [
        "2026-03-28 00:00:00+01:00",
        "2026-03-29 00:00:00+01:00",
        "2026-03-30 00:00:00+02:00",
    ]
    assert [cohort.units for cohort in found.cohorts] == [1, 1, 1]
    assert matrix(found)[1] == {(0, 0): 1, (0, 1): 1, (0, 2): 1, (1, 0): 1, (1, 1): 1, (2, 0): 1}


@pytest.mark.parametrize(
    ("period", "starts"),
    [
        pytest.param("day", ["2026-03-28", "2026-03-29", "2026-03-30"], id="day"),
        pytest.param("week", ["2026-03-23", "2026-03-30"], id="week"),
        pytest.param("month", ["2026-03-01"], id="month"),
    ],
)
def test_the_periods_cover_the_range_and_the_first_one_is_counted_as_a_whole(period, starts):
    early = happening(-21 * 60)  # the 28th, 00:59
    scope = Scope(None, BEGINNING, BEGINNING + timedelta(days=2))
    for first_time in (True, False):
        found = retention(
            ENGINE.hold([early]), scope, unit="session", period=period, first_time=first_time, now=scope.end
        )
        assert [f"{cohort.period.start:%Y-%m-%d}" for cohort in found.cohorts] == starts
        assert found.cohorts[0].units == 1


def test_a_period_that_is_not_over_is_marked():
    scope = Scope(None, BEGINNING, BEGINNING + timedelta(days=3))
    found = retention(ENGINE.hold([happening(0)]), scope, unit="session", now=BEGINNING + timedelta(days=1))
    assert [cell.complete for cell in found.cohorts[0].cells] == [True, False, False, False]
    assert [cohort.period.complete for cohort in found.cohorts] == [True, False, False, False]


def test_a_share_is_that_of_the_cohort():
    days = in_order(happening(0), happening(0, session="t"), happening(DAY))
    scope = Scope(None, BEGINNING, BEGINNING + timedelta(days=1, minutes=1))
    cells = retention(ENGINE.hold(days), scope, unit="session").cohorts[0].cells
    assert [cell.share for cell in cells] == [1.0, 0.5]
    assert [cell.share for cell in retention(ENGINE.hold([]), scope).cohorts[0].cells] == [None, None]


def test_without_a_range_it_is_from_the_first_event_until_now():
    engine = ENGINE.hold(in_order(happening(0), happening(DAY)))
    found = retention(engine, unit="session", now=BEGINNING + timedelta(days=3))
    assert [(cohort.units, len(cohort.cells)) for cohort in found.cohorts] == [(1, 4), (0, 3), (0, 2), (0, 1)]
    assert retention(ENGINE.hold([])) == ((), 0, None)


def test_starts_that_belong_to_nobody_are_told():
    engine = ENGINE.hold(in_order(happening(0, session=None), happening(0, "/x", session=None), happening(0)))
    scope = Scope(None, BEGINNING, BEGINNING + timedelta(days=1))
    found = retention(engine, scope, unit="session", start="path:/")
    assert (found.cohorts[0].units, found.without_unit) == (1, 1)


def test_a_person_began_before_the_login():
    days = in_order(happening(0), happening(DAY, user="ada"))
    scope = Scope(None, BEGINNING, BEGINNING + timedelta(days=1, minutes=1))
    person = retention(ENGINE.hold(days), scope, unit="person")
    user = retention(ENGINE, scope, unit="user")
    assert [cohort.units for cohort in person.cohorts] == [1, 0]
    assert [cohort.units for cohort in user.cohorts] == [0, 1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param({"unit": "trace"}, "not 'trace'", id="unit"),
        pytest.param({"period": "fortnight"}, "hour, day, week, month; not 'fortnight'", id="period"),
        pytest.param({"start": ""}, "start: expected a query", id="empty start"),
        pytest.param({"returning": "nosuch:1"}, "returning: there is no field 'nosuch'", id="malformed return"),
        pytest.param({"scope": Scope(None, datetime(2026, 1, 1))}, "a time with its zone", id="no zone"),
        pytest.param(
            {"scope": Scope(None, datetime(2020, 1, 1, tzinfo=UTC))}, "at most 400 periods: from 2020", id="too many"
        ),
    ],
)
def test_what_makes_no_retention_is_refused(options, said):
    asked = {"scope": Scope(None, BEGINNING, BEGINNING + timedelta(days=1)), **options}
    with pytest.raises(ValueError, match=re.escape(said)):
        retention(ENGINE, **asked)


def test_retention_that_had_to_end_says_so():
    found = retention(
        ENGINE.hold([happening(0)]), Scope(None, BEGINNING), time_limit_seconds=0, now=BEGINNING + 3 * timedelta(days=1)
    )
    assert found.partial.reasons == ("time limit",)
    assert matrix(found) == ({}, {})
