"""Funnels: who came how far, exactly."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journey_table import TableEngine, happening, in_order, matching, of_session, of_user, random_happenings
from journeys_reference import best_attempts, funnel_numbers

from auditmw.query.funnel import FunnelDefinition, funnel, funnel_units

STEPS = ("path:/", "path:/pricing", "path:/signup", "path:/*", "path:/users/*", "data.plan:paid", "path:(/ OR /signup)")
WINDOWS = [None, timedelta(minutes=1), timedelta(minutes=7), timedelta(minutes=30), timedelta(days=400000)]
ENGINE = TableEngine()  # for random data: making tables anew takes longer than asking

DEFINITIONS = st.builds(
    FunnelDefinition,
    st.lists(st.sampled_from(STEPS), min_size=2, max_size=8).map(tuple),
    unit=st.sampled_from(["session", "user"]),
    strict=st.booleans(),
    window=st.sampled_from(WINDOWS),
)


def expected_attempts(happenings, definition):
    return best_attempts(
        happenings,
        [matching(step) for step in definition.steps],
        {"session": of_session, "user": of_user}[definition.unit],
        strict=definition.strict,
        window=definition.window,
    )


def units(engine, definition, **which):
    """All pages of the list."""
    found, after = [], None
    while True:
        page = funnel_units(engine, definition, after=after, limit=2, **which)
        found += page.attempts
        after = page.next
        if after is None:
            return found


@settings(max_examples=100, deadline=None)
@given(random_happenings(), DEFINITIONS)
def test_a_funnel_is_what_the_slow_way_counts(happenings, definition):
    attempts = expected_attempts(happenings, definition)
    found = funnel(ENGINE.hold(happenings), definition)
    numbers = [(step.units, step.dropped, step.median_seconds) for step in found.steps]
    assert numbers == funnel_numbers(attempts, len(definition.steps))


@settings(max_examples=25, deadline=None)
@given(random_happenings(), DEFINITIONS)
def test_the_list_has_exactly_those_that_were_counted_newest_first(happenings, definition):
    attempts = expected_attempts(happenings, definition)
    engine = ENGINE.hold(happenings)
    for step, counted in enumerate(funnel(engine, definition).steps, start=1):
        reached = units(engine, definition, step=step)
        dropped = units(engine, definition, step=step, outcome="dropped")
        assert (len(reached), len(dropped)) == (counted.units, counted.dropped)
        assert {one.unit: list(one.times) for one in reached} == {
            unit: times for unit, times in attempts.items() if len(times) >= step
        }
        assert [one.unit for one in reached] == [
            one.unit for one in sorted(reached, key=lambda one: (-one.times[0].timestamp(), one.unit))
        ]
