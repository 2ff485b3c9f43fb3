"""Conversion over time: how many of how many, exactly."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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

from auditmw.query.conditions import UnusableQueryError
from auditmw.query.conversion import Conversion, Rate, Series, conversion
from auditmw.query.scope import Scope

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
