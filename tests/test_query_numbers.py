"""Counts, charts, facets and the summary: the same numbers as somebody who looks at every event."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import query_reference as reference
from auditmw.query.buckets import WIDTHS, buckets, nice_width
from auditmw.query.comparison import compare, scope_before
from auditmw.query.count import Count, count
from auditmw.query.facets import facets
from auditmw.query.histogram import Histogram, histogram
from auditmw.query.partial import Partial
from auditmw.query.scope import Scope
from auditmw.query.summary import summary
from query_reference import value, within
from query_table import BOT, TableEngine, at, event, random_events

pytestmark = pytest.mark.usefixtures("each_store")

BOUNDS = st.one_of(st.none(), st.integers(-1, 9).map(at), st.integers(0, 3000).map(at))
AMSTERDAM = ZoneInfo("Europe/Amsterdam")


@settings(max_examples=30, deadline=None)
@given(random_events(), BOUNDS, BOUNDS, st.integers(1, 12))
def test_a_count_is_exact_or_says_that_there_are_more(events, start, end, cap):
    engine = TableEngine(events)
    scope = Scope("status:*", start, end)
    number = sum(value(row, "status") is not None for row in within(engine.rows, start, end))
    assert count(engine, scope) == Count(number, False, None)
    assert count(engine, scope, cap=cap) == Count(min(number, cap), number > cap, None)


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (Count(20_000, False, None), "20,000"),
        (Count(20_000, True, None), "20,000+"),
        (Count(7, False, Partial(("time limit",))), "7+"),
        (Count(7, False, Partial(("query",))), "7"),
    ],
    ids=["exact", "capped", "cut short", "malformed query"],
)
def test_a_count_reads_as_people_say_it(made, text):
    assert str(made) == text


def test_a_count_tells_how_far_it_is():
    seen = []
    engine = TableEngine([event(minute) for minute in range(20)])
    assert count(engine, on_progress=seen.append).value == 20
    assert [found.value for found in seen] == sorted(found.value for found in seen)
    assert {found.partial.reasons for found in seen} == {("under way",)}
    assert len(seen) > 2


@settings(max_examples=30, deadline=None)
@given(random_events(), BOUNDS, BOUNDS, st.sampled_from(["status", "level", None]), st.sampled_from(["1m", "1h", "1d"]))
def test_a_histogram_is_what_the_slow_way_counts(events, start, end, by, width):
    engine = TableEngine(events)
    found = histogram(engine, Scope("", start, end), by=by, width=width, zone=AMSTERDAM)
    rows = within(engine.rows, start, end)
    if found is None:
        assert not any(value(row, "time") for row in rows)
        return
    assert found.series == reference.histogram(rows, found.edges, by)
    assert found.edges[0] <= (start or found.edges[0])
    assert found.edges[-1] >= (end or found.edges[-1])
    assert sum(found.totals) == sum(value(row, "time") is not None for row in rows)
    assert found.partial is None


def test_a_histogram_has_its_empty_buckets_and_its_classes_in_order():
    made = [event(0, status=500), event(0, status=200), event(0), event(3, status=200)]
    found = histogram(TableEngine(made), Scope(None, at(0), at(5)), width="1m")
    edges = tuple(at(minute) for minute in range(6))
    series = {"2xx": (1, 0, 0, 1, 0), "5xx": (1, 0, 0, 0, 0), "none": (1, 0, 0, 0, 0)}
    assert found == Histogram("1m", edges, series, None)
    assert list(found.series) == ["2xx", "5xx", "none"]
    assert found.totals == (3, 0, 0, 1, 0)


def test_a_histogram_without_matches_is_empty_over_the_full_range():
    found = histogram(TableEngine([event(0), event(60)]), Scope("status:200"), width="1h")
    assert found.series == {}
    assert found.totals == (0,) * (len(found.edges) - 1)
    assert histogram(TableEngine()) is None


@pytest.mark.parametrize(
    ("seconds", "width"),
    [
        (1, "1s"),
        (60, "1s"),
        (3600, "1m"),
        (86400, "30m"),
        (7 * 86400, "3h"),
        (30 * 86400, "12h"),
        (366 * 86400, "1w"),
        (10**10, "1y"),
    ],
    ids=str,
)
def test_a_width_is_the_narrowest_nice_one_that_fits(seconds, width):
    assert nice_width(at(0), at(0) + timedelta(seconds=seconds), at_most=70) == width


@settings(max_examples=100, deadline=None)
@given(
    st.datetimes(datetime(1995, 1, 1), datetime(2037, 1, 1)),
    st.integers(1, 100_000),
    st.sampled_from(WIDTHS[5:]),
    st.sampled_from(
        ["UTC", "Europe/Amsterdam", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Sao_Paulo"]
    ),
)
def test_buckets_cover_the_range_without_gaps_and_begin_where_the_clock_says(start, seconds, width, name):
    zone = ZoneInfo(name)
    start = start.replace(tzinfo=UTC)
    end = start + timedelta(seconds=seconds)
    made = buckets(start, end, width, zone)
    assert made.edges[0] <= start
    assert made.edges[1] > start
    assert made.edges[-2] < end <= made.edges[-1]
    assert list(made.edges) == sorted(set(made.edges))
    assert all((edge.timestamp() % made.step_seconds) == 0 for edge in made.edges)
    for edge in made.edges:
        local = edge.astimezone(zone)
        assert local.second == 0
        if width in ("1d", "1w", "1mo", "1y"):
            assert (local - timedelta(microseconds=1)).date() < local.date() or local.hour <= 1
        if width == "1w":
            assert local.weekday() == 0
        if width in ("1mo", "1y"):
            assert local.day == 1


@pytest.mark.parametrize(
    ("width", "hours"),
    [("1d", [24, 25, 24]), ("6h", [6, 6, 6, 6, 7, 6, 6, 6, 6, 6, 6, 6]), ("1h", [1] * 73)],
    ids=str,
)
def test_a_day_on_which_clocks_change_is_one_bucket_and_has_all_its_hours(width, hours):
    start, end = (datetime(2026, 10, day, tzinfo=AMSTERDAM) for day in (24, 27))
    edges = buckets(start, end, width, AMSTERDAM).edges
    assert [(after - before) / timedelta(hours=1) for before, after in pairwise(edges)] == hours


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": "2h"}, "expected one of 1s, 5s, .*, not '2h'"),
        ({"width": "1s"}, "expected at most 20,000 buckets: of 1s, from .* has more"),
        ({"by": "path"}, "expected status, level or None, not 'path'"),
    ],
    ids=str,
)
def test_a_histogram_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        histogram(TableEngine(), Scope(None, at(0), at(10_000)), **options)


@settings(max_examples=30, deadline=None)
@given(random_events(), BOUNDS, BOUNDS, st.integers(1, 4))
def test_facets_are_what_the_slow_way_counts(events, start, end, limit):
    engine = TableEngine(events)
    rows = within(engine.rows, start, end)
    names = ["status", "user", "path", "session"]
    for found, name in zip(facets(engine, names, Scope("", start, end), limit=limit), names, strict=True):
        values, distinct, total = reference.facet(rows, name, limit)
        assert [tuple(one) for one in found.values] == values
        assert (found.field, found.distinct, found.total, found.partial) == (name, distinct, total, None)
        assert found.others == total - sum(number for _, number in values)


def test_a_facet_may_be_of_any_field_that_has_values():
    made = [event(0, data={"plan": "free", "n": 1}), event(0, data={"plan": "paid"}), event(0, data={"plan": "free"})]
    made[0]["actor"] = {"roles": ["clerk", "reader"]}
    made[1]["actor"] = {"roles": []}
    engine = TableEngine(made)
    by_name = {
        found.field: [tuple(one) for one in found.values]
        for found in facets(engine, ["data.plan", "actor.roles", "ua"])
    }
    assert by_name == {
        "data.plan": [("free", 2), ("paid", 1)],
        "actor.roles": [(None, 2), ("clerk", 1), ("reader", 1)],
        "agent": [(None, 3)],
    }


def test_a_facet_of_no_field_is_refused():
    with pytest.raises(LookupError, match="there is no field 'statsu'; did you mean status"):
        facets(TableEngine(), ["statsu"])
    with pytest.raises(ValueError, match="expected a field with values of its own, not 'http'"):
        facets(TableEngine(), ["http"])


@settings(max_examples=30, deadline=None)
@given(random_events(), BOUNDS, BOUNDS, st.integers(1, 4), st.booleans())
def test_a_summary_is_what_the_slow_way_counts(events, start, end, limit, stitched):
    engine = TableEngine(events)
    rows = within(engine.rows, start, end)
    found = summary(engine, Scope("", start, end), limit=limit, stitched=stitched)

    def person(row):
        return reference.person(row, engine.rows) if stitched else value(row, "user")

    people, bots = ([row for row in rows if reference.is_bot(row) == robots] for robots in (False, True))
    assert found.people._asdict() == reference.traffic(people, person)
    assert found.bots._asdict() == reference.traffic(bots, person)
    assert [tuple(one) for one in found.pages.shares] == reference.top(rows, reference.page_of, limit)
    assert [tuple(one) for one in found.referrers.shares] == reference.top(rows, reference.site, limit)
    assert [tuple(one) for one in found.agents.shares] == reference.top(rows, lambda row: value(row, "agent"), limit)
    assert [tuple(one) for one in found.ips.shares] == reference.top(rows, lambda row: value(row, "ip"), limit)
    lost = [row for row in rows if value(row, "status") == 404]
    assert [tuple(one) for one in found.not_found.shares] == reference.top(lost, lambda row: value(row, "path"), limit)
    assert found.partial is None


def test_own_hosts_are_no_referrers_and_robots_are_shown_beside_people():
    made = [
        event(0, referrer="https://shop.example/", path="/a/1"),
        event(0, referrer="https://www.shop.example/", path="/a/2"),
        event(0, referrer="https://NEWS.example/story?id=7", path="/a/2", agent=BOT),
    ]
    found = summary(TableEngine(made), own_hosts=["shop.example", "WWW.shop.example"])
    assert [tuple(one) for one in found.referrers.shares] == [("news.example", 0, 1)]
    assert [tuple(one) for one in found.pages.shares] == [("/a/{id}", 2, 1)]


def test_the_time_before_is_as_long_and_comes_right_before():
    scope = Scope("user:ada", at(0), at(90))
    assert scope_before(scope) == Scope("user:ada", at(-90), at(0))


@pytest.mark.parametrize(("days", "weeks"), [(1, 1), (7, 1), (8, 2), (30, 5)], ids=str)
def test_the_same_weekday_is_whole_weeks_earlier_by_the_clock_on_the_wall(days, weeks):
    start = datetime(2026, 10, 26, 9, tzinfo=AMSTERDAM)  # the day after the clocks changed
    end = start + timedelta(days=days)
    earlier = scope_before(Scope(None, start, end), against="weekday", zone=AMSTERDAM)
    assert earlier.start.astimezone(AMSTERDAM) == datetime(2026, 10, 26, 9, tzinfo=AMSTERDAM) - timedelta(weeks=weeks)
    assert earlier.end.astimezone(AMSTERDAM).hour == 9
    assert earlier.end <= start


def test_a_comparison_has_both_answers():
    engine = TableEngine([event(minute) for minute in (-3, -2, -1, 0, 1)])
    found = compare(lambda scope: count(engine, scope).value, Scope(None, at(0), at(3)))
    assert found == (2, 3, Scope(None, at(-3), at(0)))


@pytest.mark.parametrize(
    ("scope", "against", "message"),
    [
        (Scope(None, None, at(1)), "previous", "expected a range with a start and an end"),
        (Scope(None, at(1), at(1)), "previous", "expected a start before the end"),
        (Scope(None, at(0), at(1)), "year", "expected previous or weekday, not 'year'"),
    ],
    ids=["no start", "empty", "unknown"],
)
def test_a_comparison_that_makes_no_sense_is_refused(scope, against, message):
    with pytest.raises(ValueError, match=message):
        scope_before(scope, against=against)
