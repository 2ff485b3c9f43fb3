"""Paths: what came next, or before, exactly."""

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditmw.query.journeys.conditions import UnusableQueryError
from auditmw.query.journeys.paths import Link, Place, Visits, paths
from auditmw.query.templates import path_template
from journey_table import JourneyEngine, happening, in_order, matching, of_session, of_user, random_happenings
from journeys_reference import walks

pytestmark = pytest.mark.usefixtures("each_store")

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


def steps_of(happenings, anchor="path:/", **options):
    """The places of each step: the page, or what else it is, and how many units are there."""
    found = paths(ENGINE.hold(happenings), anchor, **options)
    return [[(one.place.page or one.place.kind, one.units) for one in step] for step in found.steps]


VISITS = in_order(
    *[
        happening(minute, page)
        for minute, page in enumerate(["/in", "/", "/users/1", "/users/2", "/pricing", "/signup"])
    ],
    *[happening(minute, page, session="t") for minute, page in enumerate(["/", "/pricing"])],
)


def test_the_steps_after_the_anchor_are_counted_with_those_that_go_no_further():
    assert steps_of(VISITS) == [
        [("/pricing", 1), ("/users/{id}", 1)],
        [("/pricing", 1), ("end", 1)],
        [("/signup", 1)],
    ]


def test_the_steps_before_the_anchor_are_counted_with_those_that_began_there():
    assert steps_of(VISITS, "path:/pricing", backward=True) == [
        [("/", 1), ("/users/{id}", 1)],
        [("/", 1), ("start", 1)],
        [("/in", 1)],
    ]


def test_the_links_say_from_where_to_where():
    found = paths(ENGINE.hold(VISITS), "path:/", steps=2)
    assert found.links == (
        Link(1, None, at("/pricing"), 1),
        Link(1, None, at("/users/{id}"), 1),
        Link(2, at("/pricing"), END, 1),
        Link(2, at("/users/{id}"), at("/pricing"), 1),
    )
    assert found.steps[0] == (Visits(at("/pricing"), 1, 0.5), Visits(at("/users/{id}"), 1, 0.5))


def test_the_same_page_again_is_a_step_only_where_that_is_asked_for():
    again = in_order(*[happening(minute, page) for minute, page in enumerate(["/", "/", "/pricing", "/pricing", "/"])])
    assert steps_of(again) == [[("/pricing", 1)], [("/", 1)], [("end", 1)]]
    assert steps_of(again, collapse=False) == [[("/", 1)], [("/pricing", 1)], [("/pricing", 1)]]


def test_the_walk_begins_at_the_first_anchor():
    assert steps_of(
        in_order(happening(0), happening(1, "/pricing"), happening(2), happening(3, "/signup")), steps=1
    ) == [[("/pricing", 1)]]


def test_less_frequent_pages_are_one_place_together():
    visits = [
        one
        for number, page in enumerate(["/a", "/b", "/c", "/a"])
        for one in (happening(0, session=f"s{number}"), happening(1, page, session=f"s{number}"))
    ]
    assert steps_of(in_order(*visits), top=1, steps=1) == [[("/a", 2), ("rest", 2)]]


def test_the_route_is_the_page_where_it_is_known():
    routed = {"request": {"method": "GET"}, "route": "/users/<int:id>"}
    visit = in_order(happening(0), happening(1, "/users/me", http=routed), happening(2, "/users/<int:id>"))
    assert steps_of(visit, steps=2) == [[("/users/<int:id>", 1)], [("end", 1)]]


def test_a_route_is_no_path_of_the_same_text():
    visit = in_order(happening(0), happening(1, "/x", http={"route": "/users/42"}), happening(2, "/users/42"))
    assert steps_of(visit, steps=2) == [[("/users/42", 1)], [("/users/{id}", 1)]]


def test_events_of_the_application_are_anchors_but_no_pages():
    visit = in_order(
        happening(0), happening(1, None, event="cart_filled"), happening(2, None, event="paid"), happening(3, "/thanks")
    )
    assert steps_of(visit, "event:cart_filled", steps=1) == [[("/thanks", 1)]]
    assert steps_of(visit, "event:cart_filled", steps=1, backward=True) == [[("/", 1)]]


def test_only_pages_among_those_asked_for_are_steps():
    assert steps_of(VISITS, among="-path:/users/*", steps=1) == [[("/pricing", 2)]]


def test_anchors_that_belong_to_nobody_are_told():
    found = paths(ENGINE.hold(in_order(happening(0), happening(0, session=None))), "path:/")
    assert (found.units, found.without_unit) == (1, 1)
    assert paths(ENGINE.hold([]), "path:/") == (0, ((), (), ()), (), 0, None)


def test_a_person_goes_on_in_another_session():
    visit = in_order(happening(0), happening(1, "/login", user="ada"), happening(9, "/", session="t", user="ada"))
    assert steps_of(visit, "path:/login", unit="person", backward=True, steps=1) == [[("/", 1)]]
    assert steps_of(visit, "path:/login", unit="person", steps=1) == [[("/", 1)]]


@pytest.mark.parametrize(
    ("anchor", "options", "said"),
    [
        pytest.param("", {}, "anchor: expected a query; event:* matches every event; not ''", id="no anchor"),
        pytest.param("path:", {}, "anchor: expected a value after path:", id="malformed anchor"),
        pytest.param("path:/", {"among": "nosuch:1"}, "among: there is no field 'nosuch'", id="malformed among"),
        pytest.param("path:/", {"unit": "trace"}, "not 'trace'", id="unit"),
        pytest.param("path:/", {"steps": 0}, "from 1 to 10 steps, not 0", id="no steps"),
        pytest.param("path:/", {"steps": 11}, "from 1 to 10 steps, not 11", id="too many steps"),
        pytest.param("path:/", {"top": 0}, "the top 1 to 100 pages, not 0", id="no pages"),
        pytest.param("path:/", {"top": 101}, "the top 1 to 100 pages, not 101", id="too many pages"),
    ],
)
def test_what_makes_no_paths_is_refused(anchor, options, said):
    with pytest.raises(ValueError, match=re.escape(said)) as refused:
        paths(ENGINE, anchor, **options)
    assert isinstance(refused.value, UnusableQueryError) == (": " in said)


def test_paths_that_had_to_end_say_so():
    found = paths(ENGINE.hold(VISITS), "path:/", time_limit_seconds=0)
    assert (found.units, found.steps, found.partial.reasons) == (0, ((), (), ()), ("time limit",))


def test_of_equally_frequent_pages_those_that_sort_first_are_shown():
    visits = [
        one
        for number, page in enumerate("fbdaec")
        for one in (happening(0, session=f"s{number}"), happening(1, f"/{page}", session=f"s{number}"))
    ]
    assert steps_of(in_order(*visits), top=2, steps=1) == [[("/a", 1), ("/b", 1), ("rest", 4)]]


def test_the_page_that_is_not_repeated_is_that_of_the_first_anchor():
    visit = in_order(*[happening(minute, page) for minute, page in enumerate(["/", "/", "/pricing"])])
    assert steps_of(visit, "path:(/ OR /pricing)", steps=1) == [[("/pricing", 1)]]
