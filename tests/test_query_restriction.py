"""An engine with a restriction: every answer is what it would be if there were no other events."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditmw.query import (
    FunnelDefinition,
    Scope,
    conversion,
    count,
    facets,
    funnel,
    funnel_units,
    histogram,
    page,
    parse,
    paths,
    retention,
    summary,
    timeline,
)
from query_table import TableEngine, at, event, random_events

pytestmark = pytest.mark.usefixtures("each_store")

RESTRICTION = "status:<400 -event:user_signed_up"
NOW = datetime(2026, 10, 27, tzinfo=UTC)
STEPS = FunnelDefinition(("path:/", "path:/a/*"), unit="person", breakdown="agent")
SCOPES = st.sampled_from([Scope(), Scope("user:ada"), Scope(None, at(2)), Scope("-session:s1", None, at(2000))])

QUESTIONS = {
    "count": count,
    "facets": lambda engine, scope: facets(engine, ["user", "status", "path"], scope),
    "histogram": histogram,
    "summary": lambda engine, scope: summary(engine, scope, stitched=True),
    "funnel": lambda engine, scope: funnel(engine, STEPS, scope),
    "funnel units": lambda engine, scope: funnel_units(engine, STEPS, scope, step=1),
    "retention": lambda engine, scope: retention(engine, scope, unit="person", now=NOW),
    "retention, any time": lambda engine, scope: retention(engine, scope, first_time=False, now=NOW),
    "conversion": lambda engine, scope: conversion(engine, "status:200", scope, unit="person", now=NOW),
    "paths": lambda engine, scope: paths(engine, "path:/", scope, unit="person"),
}


def seen(shown):
    """The events of a page, or a timeline, without the numbers that their writers gave them."""
    visits = getattr(shown, "visits", None)
    entries = shown.entries if visits is None else [entry for visit in visits for entry in visit.entries]
    return [entry.event for entry in entries]


def both(events):
    """A restricted engine, and one over the events that the restriction lets through."""
    restriction = parse(RESTRICTION)
    allowed = [made for made in events if restriction.matches(made)]
    return TableEngine(events).restricted_to(RESTRICTION), TableEngine(allowed)


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
@settings(max_examples=12)
@given(events=random_events(), scope=SCOPES)
def test_an_answer_is_the_one_that_would_be_given_if_there_were_no_other_events(question, events, scope):
    restricted, without_others = both(events)
    assert question(restricted, scope) == question(without_others, scope)


@settings(max_examples=12)
@given(events=random_events(), scope=SCOPES, order=st.sampled_from(["newest", "oldest"]))
def test_a_page_has_no_other_events(events, scope, order):
    # Of events at the same time the order is that of their writers, which differ between the two.
    restricted, without_others = (page(engine, scope, order=order) for engine in both(events))
    assert sorted(map(str, seen(restricted))) == sorted(map(str, seen(without_others)))


@settings(max_examples=20)
@given(events=random_events(), user=st.sampled_from(["ada", "bob"]))
def test_a_timeline_takes_nothing_from_other_events_not_even_whose_an_anonymous_one_is(events, user):
    shown = [timeline(engine, "user", user, stitched=True) for engine in both(events)]
    assert sorted(map(str, seen(shown[0]))) == sorted(map(str, seen(shown[1])))
    assert shown[0].life == shown[1].life


def test_who_logged_in_elsewhere_does_not_name_who_was_anonymous_here():
    here, elsewhere = event(0, session="s1", path="/", status=200), event(1, session="s1", user="ada", status=500)
    engine = TableEngine([here, elsewhere])
    steps = FunnelDefinition(("path:/", "path:/b"), unit="person")
    assert funnel(engine, steps).steps[0].units == 1
    assert funnel(engine.restricted_to("status:200"), steps).steps[0].units == 0
    assert len(seen(timeline(engine, "user", "ada", stitched=True))) == 2
    assert seen(timeline(engine.restricted_to("status:200"), "user", "ada", stitched=True)) == []


def test_a_histogram_does_not_tell_when_others_began_and_ended():
    engine = TableEngine([event(0, status=500), event(60, status=200), event(61, status=200), event(6000, status=500)])
    edges = histogram(engine.restricted_to("status:200")).edges
    assert at(59) < edges[0] <= at(60)
    assert edges[-1] <= at(62)


def test_damage_elsewhere_is_told_but_not_how_much_of_it_there_is():
    engine = TableEngine([event(0), event(1)])
    engine.table.missing = (type("Missing", (), {"first": None, "last": None, "rows": 7})(),)
    assert count(engine).partial.missing[0].rows == 7
    partial = count(engine.restricted_to("status:200")).partial
    assert (partial.reasons, partial.missing) == (("damage",), ())


@pytest.mark.parametrize(
    ("restriction", "wrong"),
    [
        pytest.param("", "cannot be empty", id="empty"),
        pytest.param("  ", "cannot be empty", id="blank"),
        pytest.param("usr:bob", "there is no field 'usr'", id="unknown field"),
        pytest.param("user:", "expected a value after user:", id="no value"),
        pytest.param("user:bob (", "this parenthesis is not closed", id="half of it"),
    ],
)
def test_a_restriction_that_would_let_through_more_than_it_says_is_refused(restriction, wrong):
    with pytest.raises(ValueError, match=re.escape(wrong)):
        TableEngine([event()]).restricted_to(restriction)


def test_a_restricted_engine_cannot_be_given_another_restriction():
    with pytest.raises(ValueError, match="put both into one query"):
        TableEngine([event()]).restricted_to("status:200").restricted_to("status:500")


def test_the_engine_that_was_restricted_has_all_events_still():
    engine = TableEngine([event(0, status=200), event(1, status=500)])
    assert count(engine.restricted_to("status:500")).value == 1
    assert count(engine).value == 2
