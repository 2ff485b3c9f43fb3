"""The engine: what it does within its limits, and what it says when they are too narrow."""

import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditmw.archive.snapshot import Missing, PartFile
from auditmw.query.count import count
from auditmw.query.deadline import Deadline
from auditmw.query.engine import Engine
from auditmw.query.facets import facets
from auditmw.query.page import page, pages
from auditmw.query.partial import Partial, QueryError
from auditmw.query.scope import EVERYTHING, Scope
from auditmw.query.slices import Slice, newest, slices
from auditmw.query.store import StaleViewError, StoreError
from auditmw.query.summary import summary
from query_table import BEGINNING, MINUTE, TableEngine, at, event

COUNT = "SELECT count(*) FROM events"
FOREVER = "SELECT count(*) FROM events, range(100000000) a, range(100000000) b WHERE hash(a.range, b.range) = 7"
KEYS = {"time", "writer", "seq", "user", "session"}
TWENTY = [event(minute, status=200 + minute) for minute in range(20)]


class Clock:
    """Goes by a second whenever the engine writes a statement, and only then."""

    def __init__(self):
        self.seconds = 1000.0

    def __call__(self):
        return self.seconds

    def tick(self):
        self.seconds += 1


def slow_engine(limit_seconds, **options):
    """An engine with twenty events, of which a statement takes a second."""
    clock = Clock()
    engine = TableEngine(TWENTY, clock=clock, time_limit_seconds=limit_seconds, **options)
    engine.table.on_relation = clock.tick
    return engine


def whole(question):
    return question.whole(COUNT), question.partial


def each(question):
    return [rows[0][0] for rows in question.each(COUNT)], question.partial


# Slices


def naive(minute):
    return at(minute).replace(tzinfo=None)


PARTS = st.lists(
    st.tuples(st.integers(0, 100), st.integers(0, 30), st.integers(1, 50)).map(
        lambda made: PartFile("p", made[2], 0, naive(made[0]), naive(made[0] + made[1]))
    ),
    max_size=6,
)
MOMENTS = st.one_of(st.none(), st.integers(-5, 140).map(naive))


@given(PARTS, MOMENTS, MOMENTS, st.integers(1, 20), st.integers(1, 60), st.booleans())
def test_slices_are_the_whole_without_gap_or_overlap(parts, since, until, first_rows, rows, oldest_first):
    if since is not None and until is not None and since > until:
        since, until = until, since
    made = slices(parts, Slice(since, until), first_rows=first_rows, rows=rows, oldest_first=oldest_first)
    ordered = made if oldest_first else made[::-1]
    assert (ordered[0].since, ordered[-1].until) == (since, until)
    assert [one.until for one in ordered[:-1]] == [one.since for one in ordered[1:]]
    assert all(one.since is None or one.until is None or one.since < one.until for one in ordered) or len(ordered) == 1


@pytest.mark.parametrize("oldest_first", [False, True], ids=["newest first", "oldest first"])
def test_slices_begin_small_and_are_cut_where_files_begin_or_end(oldest_first):
    parts = [PartFile(str(day), 100, 0, naive(day * 10), naive(day * 10 + 9)) for day in range(20)]
    made = slices(parts, Slice(None, None), first_rows=100, rows=900, oldest_first=oldest_first)
    cuts = [one.until if oldest_first else one.since for one in made[:-1]]
    if oldest_first:
        assert cuts == [naive(minute) + timedelta(microseconds=1) for minute in (9, 89, 179)]
    else:
        assert cuts == [naive(minute) for minute in (190, 110, 20)]


def test_a_file_that_is_larger_than_a_slice_is_cut_inside():
    made = slices([PartFile("p", 1000, 0, naive(0), naive(100))], Slice(None, None), first_rows=100, rows=400)
    assert len(made) == 4
    assert made[0] == Slice(naive(90), None)


def test_the_newest_part_has_about_its_share_of_the_events():
    parts = [PartFile(str(day), 100, 0, naive(day * 10), naive(day * 10 + 9)) for day in range(16)]
    assert newest(parts, Slice(None, naive(500)), share=1 / 8) == Slice(naive(140), naive(500))
    assert newest([], Slice(None, None), share=1 / 8) is None


# Limits


def test_a_question_within_its_limit_is_answered_whole():
    engine = TableEngine(TWENTY)
    assert engine.ask(whole) == ([(20,)], None)
    numbers, partial = engine.ask(each)
    assert (sum(numbers), partial) == (20, None)
    assert len(numbers) > 2


@pytest.mark.parametrize("seconds", range(2, 5))
def test_a_count_that_runs_out_of_time_says_from_when_on_it_is_exact(seconds):
    found = count(slow_engine(seconds))
    assert found.partial.reasons == ("time limit",)
    assert found.partial.covered_to is None
    covered = [made for made in TWENTY if datetime.fromisoformat(made["timestamp"]) >= found.partial.covered_from]
    assert 0 < found.value == len(covered) < 20
    assert str(found) == f"{found.value}+"


def test_no_time_at_all_is_no_answer_and_no_error():
    engine = TableEngine(TWENTY, time_limit_seconds=0)
    for value, partial in (engine.ask(each), engine.ask(whole)):
        assert value == []
        assert partial.reasons == ("time limit",)
        assert partial.covered_from == partial.covered_to
    shown = page(engine)
    assert (shown.entries, shown.next) == ((), None)
    assert summary(engine).partial.reasons == ("time limit",)
    with pytest.raises(TimeoutError, match="not even a part of the events could be searched: time limit"):
        list(pages(engine))


@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize("seconds", range(4, 10))
def test_a_page_that_ran_out_of_time_goes_on_where_it_stopped(seconds, order):
    engine = slow_engine(seconds, part_rows=2, slice_rows=2)
    shown = list(pages(engine, Scope("status:(201 OR 200 OR 218)"), order=order, limit=5))
    assert {one.partial.reasons for one in shown if one.partial} == {("time limit",)}
    statuses = [entry.event["http"]["response"]["status_code"] for one in shown for entry in one.entries]
    assert statuses == ([218, 201, 200] if order == "newest" else [200, 201, 218])
    assert shown[-1].partial is None


def test_a_statement_under_way_is_interrupted_at_the_limit_and_asked_for_less():
    engine = TableEngine(TWENTY, time_limit_seconds=0.2)
    efforts = []

    def answer(question):
        efforts.append(question.covered)
        return question.whole(FOREVER), question.partial

    rows, partial = engine.ask(answer)
    assert rows == []
    assert partial.reasons == ("time limit",)
    assert efforts[0] == Slice(None, None)
    assert efforts[1].since > naive(0)
    assert efforts[2] is None


def test_what_does_not_fit_at_once_is_answered_for_the_newest_part():
    def answer(question):
        sql = COUNT if question.covered.since else FOREVER
        return question.whole(sql), question.whole(COUNT), question.partial

    first, second, partial = TableEngine(TWENTY, part_rows=1, time_limit_seconds=0.4).ask(answer)
    assert first == second == [(4,)]
    assert partial == Partial(("time limit",), at(16))


def test_memory_that_is_too_small_is_told_as_such():
    engine = TableEngine(TWENTY)
    engine.table.connection.execute("SET memory_limit = '30MB'; SET max_temp_directory_size = '0KB'")
    sql = "SELECT count(*) FROM (SELECT DISTINCT hash(events.time, a.range) FROM events, range(10000000) a)"
    rows, partial = engine.ask(lambda question: (question.whole(sql), question.partial))
    assert rows == []
    assert partial.reasons == ("memory",)


def spied(engine, method):
    """What a method of the engine's views is called with from now on: by position, and by name."""
    calls = []

    def spy(view):
        inner = getattr(view, method)

        def noted(*values, **named):
            calls.append((values, named))
            return inner(*values, **named)

        setattr(view, method, noted)

    engine.table.on_view = spy
    return calls


def test_of_the_columns_only_those_are_read_that_a_statement_names():
    engine = TableEngine(TWENTY)
    relations = spied(engine, "relation")
    assert count(engine, Scope("status:>=100 -path:/a")).value == 20
    assert all(named["columns"] == KEYS | {"status", "path"} for _, named in relations)
    relations.clear()
    page(engine, Scope("status:200"))
    assert [named["columns"] for _, named in relations if "body" in named["columns"]] == [KEYS | {"body"}]


def test_bodies_are_looked_for_where_the_times_of_the_events_are():
    engine = TableEngine([event(minute, user="ada" if minute in {1, 3, 11} else "bob") for minute in range(20)], live=0)
    relations = spied(engine, "relation")
    assert len(page(engine, Scope("user:ada")).entries) == 3
    looked_at = [[part.path for part in named["parts"]] for _, named in relations if "body" in named["columns"]]
    assert [path for some in looked_at for path in some] == ["2", "0"]


def test_facets_of_several_columns_take_one_pass():
    engine = TableEngine(TWENTY)
    statements = spied(engine, "run")
    found = facets(engine, ["status", "path", "actor.roles", "level"])
    assert [facet.field for facet in found] == ["status", "path", "actor.roles", "level"]
    assert [facet.total for facet in found] == [20, 20, 20, 20]
    assert len(statements) == 2


def test_a_facet_that_is_too_slow_says_so_and_the_others_are_whole(monkeypatch):
    slow = "(SELECT count(*) FROM range(100000000) a, range(100000000) b WHERE hash(a.range, b.range, path) = 7)"
    module = sys.modules["auditmw.query.facets"]

    def values(field, dialect):
        return (slow if field.name == "path" else f'"{field.name}"'), {}

    monkeypatch.setattr(module, "_values", values)
    status, path, level = facets(TableEngine(TWENTY, time_limit_seconds=2.0), ["status", "path", "level"])
    assert (status.partial, level.partial) == (None, None)
    assert (status.total, level.total) == (20, 20)
    assert path.partial.reasons == ("time limit",)
    assert path.values == ()


def test_an_interrupt_is_repeated_until_the_answer_ends():
    deadline = Deadline(lambda: 0.0)
    deadline.begin(60)
    interrupts, enough = [], threading.Event()

    def interrupt():
        interrupts.append(len(interrupts))
        if len(interrupts) == 3:
            enough.set()

    with deadline.enforced(interrupt):
        deadline.cancel()
        assert enough.wait(10)
    assert not any(thread.name == "auditmw-query-deadline" for thread in threading.enumerate())


# Cancelling


def test_another_thread_ends_a_question_by_its_token():
    engine = TableEngine(TWENTY, time_limit_seconds=60)
    begun = threading.Event()

    def answer(question):
        begun.set()
        return question.whole(FOREVER), question.partial

    found = []
    asking = threading.Thread(target=lambda: found.append(engine.ask(answer, token="tab 1")))
    asking.start()
    assert begun.wait(10)
    assert engine.cancel("another") is False
    assert engine.cancel("tab 1") is True
    asking.join(20)
    ((rows, partial),) = found
    assert rows == []
    assert partial.reasons == ("cancelled",)
    assert engine.cancel("tab 1") is False
    assert engine.ask(whole, token="tab 1") == ([(20,)], None)


def test_a_cancelled_export_ends_with_a_page_that_says_so():
    engine = TableEngine(TWENTY)
    shown = []
    for one in pages(engine, limit=5, token="export"):
        shown.append(one)
        engine.table.on_view = lambda view: engine.cancel("export")
    assert [len(one.entries) for one in shown] == [5, 0]
    assert shown[-1].partial.reasons == ("cancelled",)


def test_several_threads_ask_one_engine_at_the_same_time():
    engine = TableEngine(TWENTY)
    found = []
    threads = [threading.Thread(target=lambda: found.append(count(engine).value)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [20] * 8


# Damage


LOST = Missing("2026-10-24/a.parquet", 7, naive(100), naive(200), "checksum does not match")


@pytest.mark.parametrize(
    ("scope", "missing"),
    [
        (EVERYTHING, (LOST,)),
        (Scope(None, at(150), at(160)), (LOST,)),
        (Scope(None, at(200)), (LOST,)),
        (Scope(None, None, at(100)), None),
        (Scope(None, at(201)), None),
    ],
    ids=["all time", "inside", "its last event", "right before", "behind"],
)
def test_a_file_that_is_missing_is_named_where_it_matters(scope, missing):
    engine = TableEngine(TWENTY)
    engine.table.missing = (LOST,)
    partial = engine.ask(whole, scope)[1]
    assert partial == (missing and Partial(("damage",), scope.start, scope.end, missing))


def test_a_missing_file_without_times_always_matters():
    engine = TableEngine(TWENTY)
    engine.table.missing = (LOST._replace(first=None, last=None),)
    assert engine.ask(whole, Scope(None, at(0), at(1)))[1].reasons == ("damage",)


def test_a_file_that_turns_out_to_be_damaged_costs_its_events_and_is_named():
    engine = TableEngine(TWENTY)
    views = []

    def answer(question):
        if not engine.table.missing:
            engine.table.missing = views[-1].damaged = (LOST,)
            question.whole("SELECT error('no magic bytes at the end of the file') FROM events")
        return question.whole(COUNT), question.partial

    engine.table.on_view = views.append
    rows, partial = engine.ask(answer)
    assert rows == [(20,)]
    assert partial == Partial(("damage",), None, None, (LOST,))
    assert len(views) == 2


def test_a_file_that_was_superseded_while_it_was_read_is_read_anew():
    engine = TableEngine(TWENTY)
    views = []

    def expired():
        raise StaleViewError("superseded")

    def answer(question):
        if len(views) == 1:
            views[0].check = expired
            question.whole("SELECT error('no such file') FROM events")
        return whole(question)

    engine.table.on_view = views.append
    assert engine.ask(answer) == ([(20,)], None)


def test_an_error_of_the_question_itself_is_passed_on():
    with pytest.raises(StoreError, match="nonsense"):
        TableEngine(TWENTY).ask(lambda question: question.whole("SELECT nonsense FROM events"))


# Scopes


def test_a_query_with_an_error_is_answered_for_the_rest_and_says_where():
    rows, partial = TableEngine(TWENTY).ask(whole, Scope("status:>=210 path:("))
    assert rows == [(10,)]
    assert partial.reasons == ("query",)
    assert not partial.incomplete
    assert all(isinstance(error, QueryError) for error in partial.errors)


def test_a_count_that_is_capped_says_what_is_wrong_with_its_query():
    found = count(TableEngine(TWENTY), Scope("path:("), cap=3)
    assert (found.value, found.capped, found.partial.reasons) == (3, True, ("query",))


def test_an_engine_that_was_closed_opens_anew(tmp_path):
    engine = Engine(tmp_path)
    assert count(engine).value == 0
    engine.close()
    assert count(engine).value == 0
    engine.close()


def test_times_in_the_query_are_bounds_like_those_of_the_scope():
    engine = TableEngine(TWENTY)
    scope = Scope(f"time:>={at(5).isoformat().replace('+00:00', 'Z')}", None, at(8))
    assert engine.ask(lambda question: (question.whole(COUNT), question.covered), scope) == (
        [(3,)],
        Slice(naive(5), naive(8)),
    )


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(ValueError, match=r"expected a time with its zone, such as datetime.now\(UTC\), not datetime"):
        count(TableEngine(), Scope(None, datetime(2026, 10, 24)))


def test_a_scope_in_any_zone_is_the_same_moment():
    engine = TableEngine(TWENTY)
    start = at(10).astimezone(datetime.now(UTC).astimezone().tzinfo)
    assert count(engine, Scope(None, start)).value == 10
    assert count(engine, Scope(None, (BEGINNING + 10 * MINUTE).astimezone(UTC))).value == 10


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda tmp_path: tmp_path / "missing", "expected an audit directory: '.*missing' is not a directory"),
        (lambda tmp_path: ((tmp_path / "x").write_text("") and None) or tmp_path, "has no journal/"),
    ],
    ids=["missing", "other things"],
)
def test_a_directory_that_is_none_is_refused_as_read_does_it(tmp_path, make, message):
    with pytest.raises(FileNotFoundError, match=message):
        count(Engine(make(tmp_path)))


def test_an_empty_directory_has_no_events(tmp_path):
    engine = Engine(tmp_path)
    assert count(engine) == (0, False, None)
    assert page(engine).entries == ()
    engine.close()


def test_without_duckdb_the_error_says_what_to_install():
    program = "import sys; sys.modules['duckdb'] = None; import auditmw.query"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "ModuleNotFoundError: queries need DuckDB: pip install 'auditmw[query]'" in ran.stderr
