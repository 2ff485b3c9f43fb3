"""Retention: who came back, exactly."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journey_table import BEGINNING, TableEngine, happening, in_order, matching, of_session, of_user, random_happenings
from journeys_reference import retention as expected_retention

from auditmw.query.retention import retention
from auditmw.query.scope import Scope

ENGINE = TableEngine()
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
