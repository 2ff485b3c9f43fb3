"""Pages of events: every event once, in order, from either end, also while others write."""

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditmw.query.cursor import Key, from_cursor, to_cursor
from auditmw.query.page import Page, page, pages
from auditmw.query.scope import Scope
from query_reference import in_order, place, value, within
from query_table import BEGINNING, MINUTE, TableEngine, at, event, random_events

pytestmark = pytest.mark.usefixtures("each_store")

BOUNDS = st.one_of(st.none(), st.integers(-1, 9).map(at), st.integers(0, 3000).map(at))
ORDERS = st.sampled_from(["newest", "oldest"])


def keys(shown):
    return [(entry.key.writer, entry.key.seq) for entry in shown.entries]


def expected(rows, order="oldest"):
    return [(row.writer, row.seq) for row in (in_order(rows) if order == "oldest" else in_order(rows)[::-1])]


@settings(max_examples=50, deadline=None)
@given(random_events(), ORDERS, st.integers(2, 7), BOUNDS, BOUNDS)
def test_all_pages_together_have_every_event_of_the_scope_once_in_order(events, order, limit, start, end):
    engine = TableEngine(events)
    scope = Scope("status:>=300", start, end)
    shown = list(pages(engine, scope, order=order, limit=limit))
    matching = [row for row in within(engine.rows, start, end) if (value(row, "status") or 0) >= 300]
    assert [key for one in shown for key in keys(one)] == expected(matching, order)
    assert {one.partial for one in shown} == {None}
    assert all(len(one.entries) == limit for one in shown[:-1])


@settings(max_examples=50, deadline=None)
@given(random_events(), ORDERS, st.integers(2, 7), st.data())
def test_a_page_before_a_cursor_is_what_comes_right_before_it(events, order, limit, data):
    engine = TableEngine(events)
    there = expected(engine.rows, order)
    rows = {(row.writer, row.seq): row for row in engine.rows}
    if not there:
        return
    number = data.draw(st.integers(0, len(there) - 1))
    row = rows[there[number]]
    when = place(row)[1] or None
    cursor = to_cursor(Key(when and when.replace(tzinfo=None), row.writer, row.seq))
    shown = page(engine, order=order, before=cursor, limit=limit)
    assert keys(shown) == there[max(number - limit, 0) : number]
    following = page(engine, order=order, after=shown.next, limit=limit)
    assert keys(following) == (there[number : number + limit] if shown.entries else there[number + 1 :][:limit])


def test_an_entry_has_the_event_and_its_bytes():
    made = event(3, user="ada", message="hé")
    (entry,) = page(TableEngine([made])).entries
    assert entry.event == made
    assert json.loads(entry.body) == made
    assert entry.key == Key(at(3).replace(tzinfo=None), "w0", 1)


def test_events_that_are_written_while_somebody_reads_change_no_page():
    before = [event(minute) for minute in range(6)]
    after = [*before, event(2.5), event(6), event(7)]
    first = page(TableEngine(before), limit=2)
    second = page(TableEngine(after), after=first.next, limit=2)
    third = page(TableEngine(after), after=second.next, limit=9)
    minutes = [
        (entry.key.time - BEGINNING.replace(tzinfo=None)) / MINUTE
        for one in (first, second, third)
        for entry in one.entries
    ]
    assert minutes == [5, 4, 3, 2.5, 2, 1, 0]


def test_a_reader_finds_what_is_newer_with_the_cursor_of_before():
    shown = page(TableEngine([event(minute) for minute in range(3)]), limit=2)
    newer = page(TableEngine([event(minute) for minute in range(5)]), before=shown.previous)
    assert [entry.event["timestamp"][11:16] for entry in newer.entries] == ["20:34", "20:33"]
    nothing = page(TableEngine([event(minute) for minute in range(5)]), before=newer.previous)
    assert nothing == Page((), newer.previous, newer.previous, None)


def test_the_last_page_says_that_it_is_the_last():
    engine = TableEngine([event(minute) for minute in range(4)])
    first = page(engine, limit=2)
    assert first.next is not None
    assert page(engine, after=first.next, limit=2).next is None
    assert page(TableEngine()) == Page((), None, None, None)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "äöü",
        "....",
        "A" * 5000,
        *(
            base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
            for text in (
                "null",
                "[]",
                "[1,2]",
                '[1,"w"]',
                '[1,"w",null]',
                '[1,"w",1.5]',
                '[1,"w",true]',
                '[true,"w",1]',
                '["1","w",1]',
                '[1.5,"w",1]',
                "[1,2,3]",
                '[1,"w",9223372036854775808]',
                '[99999999999999999999,"w",1]',
                '[1,"\\ud800",1]',
                "[" * 900,
                '{"a":1}',
            )
        ),
    ],
    ids=lambda text: text[:12],
)
def test_a_cursor_that_no_page_gave_is_refused(cursor):
    with pytest.raises(ValueError, match="expected a cursor that a page gave, not"):
        page(TableEngine(), after=cursor)


@given(st.text())
def test_no_text_at_all_is_more_than_a_place_or_an_error(text):
    try:
        key = from_cursor(text)
    except ValueError:
        return
    assert from_cursor(to_cursor(key)) == key


@pytest.mark.parametrize("minute", [None, -(10**9), 0, 10**9], ids=str)
@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_a_forged_cursor_is_a_place_and_nothing_else(order, minute):
    engine = TableEngine([event(1), event(2), event(None)])
    time = minute if minute is None else (BEGINNING + minute * MINUTE).replace(tzinfo=None)
    cursor = to_cursor(Key(time, "' OR 1=1 --", -(2**63)))
    assert len(page(engine, order=order, after=cursor).entries) <= 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "expected a limit from 1 to 10,000, not 0"),
        ({"limit": 10_001}, "expected a limit from 1 to 10,000, not 10001"),
        ({"order": "up"}, "expected newest or oldest, not 'up'"),
        ({"after": "WzEsInciLDFd", "before": "WzEsInciLDFd"}, "expected one cursor, after or before, not both"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_page_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        page(TableEngine(), **options)
