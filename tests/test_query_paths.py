"""Paths: what came next, or before, exactly."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journey_table import JourneyEngine, happening, in_order, matching, of_session, of_user, random_happenings
from journeys_reference import walks

from auditmw.query.conditions import UnusableQueryError
from auditmw.query.paths import Link, Place, Visits, paths
from auditmw.query.templates import path_template

ENGINE = JourneyEngine()
REST, END = Place("rest"), Place("end")


def page(happening):
    event = happening.event
    return event.get("http", {}).get("route") or (path_template(event["url"]["path"]) if "url" in event else None)


def at(name):
    return Place("page", name)


@settings(max_examples=60, deadline=None)
@given(
    random_happenings(),
    st.sampled_from(["path:/", "path:/signup", "data.plan:paid"]),
    st.sampled_from([None, "-path:/pricing", "path:/users/*"]),
    st.sampled_from(["session", "user"]),
    st.integers(1, 4),
    st.integers(1, 5),
    st.booleans(),
    st.booleans(),
)
def test_paths_are_what_the_slow_way_counts(happenings, anchor, among, unit, steps, top, backward, collapse):
    found = paths(
        ENGINE.hold(happenings),
        anchor,
        unit=unit,
        steps=steps,
        top=top,
        among=among,
        backward=backward,
        collapse=collapse,
    )
    expected = walks(
        happenings,
        {"session": of_session, "user": of_user}[unit],
        matching(anchor),
        page,
        matching(among or ""),
        steps=steps,
        backward=backward,
        collapse=collapse,
    )
    assert found.units == len(expected)
    assert list(found.links) == sorted(
        expected_links(expected.values(), steps, top, Place("start" if backward else "end")),
        key=lambda link: (link.step, -link.units, str(link.source), str(link.target)),
    )


def expected_links(pages_of_units, steps, top, over):
    """The links, made of the walks of all units: a list of pages for each, with None behind the last one."""
    counts = [Counter(pages[step] for pages in pages_of_units if len(pages) > step) for step in range(steps)]
    frequent = [
        sorted((one for one in count if one is not None), key=lambda one: (-count[one], one))[:top] for count in counts
    ]

    def place(step, name):
        return over if name is None else at(name) if name in frequent[step] else REST

    links = Counter(
        (step + 1, place(step - 1, pages[step - 1]) if step else None, place(step, pages[step]))
        for pages in pages_of_units
        for step in range(len(pages))
    )
    return [Link(*link, units) for link, units in links.items()]
