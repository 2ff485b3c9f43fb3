"""Questions to real audit directories: archive and journal together, while others write, archive and damage."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import query_reference as reference
from archive_events import archived, parquet, write_file
from auditmw.journal import Journal
from auditmw.query.context import event as event_by_id
from auditmw.query.count import Count, count
from auditmw.query.engine import Engine
from auditmw.query.facets import facets
from auditmw.query.histogram import histogram
from auditmw.query.page import page, pages
from auditmw.query.partial import Partial
from auditmw.query.scope import Scope
from auditmw.query.summary import summary
from auditmw.query.timeline import timeline
from query_reference import in_order
from query_table import Row, at, event, random_events

CUTS = st.lists(st.integers(0, 24), min_size=2, max_size=2).map(sorted)


def encoded(made):
    return json.dumps(made, separators=(",", ":")).encode()


def fill(directory, events, cuts):
    """Write the events as three processes that are gone left them: two of them archived one after the other."""
    rows = []
    for number, (first, last) in enumerate(zip([0, *cuts], [*cuts, len(events)], strict=True)):
        some = events[first:last]
        write_file(directory, f"w{number}", 1, map(encoded, some))
        rows += [Row(f"w{number}", seq, made) for seq, made in enumerate(some, start=1)]
        if number < 2:
            archived(directory)
    return rows


@pytest.fixture
def opened():
    """Engines that are closed after the test; nothing is archived for their questions."""
    engines = []

    def opened(directory, **options):
        engines.append(Engine(directory, **{"archive_bytes": None, "threads": 1, **options}))
        return engines[-1]

    yield opened
    for engine in engines:
        engine.close()


def keys(entries):
    return [(entry.key.writer, entry.key.seq) for entry in entries]


@settings(max_examples=8, deadline=None)
@given(random_events(), CUTS, st.sampled_from(["newest", "oldest"]))
def test_archive_and_journal_are_one(tmp_path_factory, events, cuts, order):
    directory = tmp_path_factory.mktemp("audit")
    rows = fill(directory, events, cuts)
    engine = Engine(directory, archive_bytes=None, threads=1, slice_rows=64)
    expected = in_order(rows) if order == "oldest" else in_order(rows)[::-1]
    shown = [entry for one in pages(engine, order=order, limit=5) for entry in one.entries]
    assert keys(shown) == [(row.writer, row.seq) for row in expected]
    assert [entry.event for entry in shown] == [row.event for row in expected]
    assert count(engine) == Count(len(rows), False, None)
    (found,) = facets(engine, ["path"], limit=3)
    assert ([tuple(one) for one in found.values], found.distinct, found.total) == reference.facet(rows, "path", 3)
    chart = histogram(engine, width="1h")
    assert chart is None or chart.series == reference.histogram(rows, chart.edges, "status")
    people = [row for row in rows if not reference.is_bot(row)]
    traffic = reference.traffic(people, lambda row: reference.person(row, rows))
    assert summary(engine, stitched=True).people._asdict() == traffic
    mine = [row for row in rows if reference.person(row, rows) == "ada"]
    life = timeline(engine, "user", "ada", stitched=True)
    assert sorted(keys(entry for visit in life.visits for entry in visit.entries)) == sorted(
        (row.writer, row.seq) for row in mine
    )
    engine.close()


def test_an_event_is_there_as_soon_as_its_line_is(tmp_path, opened):
    engine = opened(tmp_path)
    assert page(engine).entries == ()
    with_journal = Journal(tmp_path)
    for number in range(3):
        with_journal.append(encoded(event(number, id=str(number))))
        assert [entry.event["id"] for entry in page(engine, limit=1).entries] == [str(number)]
        assert count(engine).value == number + 1
    with_journal.close()
    archived(tmp_path)
    assert count(engine).value == 3
    assert event_by_id(engine, "1").entry.event == event(1, id="1")


def test_a_request_that_was_cut_off_is_found_as_one(tmp_path, opened):
    pending = event(1, id="1", result="pending")
    write_file(tmp_path, "dead", 1, map(encoded, [event(0), pending]))
    engine = opened(tmp_path)
    for _ in range(2):
        (entry,) = page(engine, Scope("result:unknown level:warning")).entries
        assert entry.event["outcome"] == {"result": "unknown", "reason": "process_died"}
        assert count(engine, Scope("result:pending")).value == 0
        archived(tmp_path)


def test_a_damaged_file_is_named_and_the_rest_is_answered(tmp_path, opened):
    rows = fill(tmp_path, [event(day * 24 * 60, path="/a") for day in range(9)], [3, 6])
    name = parquet(tmp_path)[1]
    lost = tmp_path / "archive" / name
    engine = opened(tmp_path)
    lost.write_bytes(lost.read_bytes()[:-20])
    for _ in range(2):
        (found,) = facets(engine, ["path"])
        assert found.total == len(rows) - 1
        assert found.partial.reasons == ("damage",)
        assert [one.file for one in found.partial.missing] == [name]
    assert count(engine, Scope(None, at(0), at(24 * 60))) == Count(1, False, None)
    assert isinstance(count(engine).partial, Partial)


def test_readers_see_every_event_once_while_it_is_written_and_archived(tmp_path, opened):
    engine = opened(tmp_path, archive_bytes=0)
    written, done = [], threading.Event()

    def read():
        """Look again and again, and return what was seen each time."""
        seen = []
        while not seen or not done.is_set():
            before = len(written)
            ids = [entry.event["id"] for one in pages(engine, limit=50) for entry in one.entries]
            seen.append((before, ids, count(engine).value))
        return seen

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for process in range(4):
            with_journal = Journal(tmp_path)
            for number in range(30):
                with_journal.append(encoded(event(len(written), id=f"{process}-{number}")))
                written.append(f"{process}-{number}")
            with_journal.close()
        done.set()
        seen = [one for reader in readers for one in reader.result(60)]
    assert [len(ids) for before, ids, number in seen if not before <= len(ids) <= number] == []
    assert [ids for _, ids, _ in seen if ids != written[: len(ids)]] == []
    assert count(engine).value == len(written)
    assert engine.archive_error is None
