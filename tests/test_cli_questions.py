"""The commands that ask: what they print in each form, what they say about what is missing, and their errors."""

import csv
import io
import json
import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from archive_events import body, write_file
from auditmw.archive import archive
from auditmw.cli.program import program
from journal_tools import needs_root

DAY = datetime(2026, 11, 20, 9, tzinfo=UTC)
ASKED = ["--from", "2026-11-20", "--to", "2026-11-21", "-z", "UTC"]


def request(number, path, status=200, user=None, session=None, **more):
    event = {
        "event": "http_request",
        "http": {"request": {"method": "GET", "user_agent": "Firefox"}, "response": {"status_code": status}},
        "url": {"path": path, "host": "shop.example"},
        "client": {"address": "203.0.113.9"},
        "duration_ns": 1_000_000 * number,
        "outcome": {"result": "failure" if status >= 500 else "success"},
        **({"actor": {"id": user}} if user else {}),
        **({"session": {"id": session}} if session else {}),
        **more,
    }
    return body(number, at=DAY + timedelta(minutes=number), **event)


BODIES = [
    request(1, "/", session="s1"),
    request(2, "/cart", session="s1"),
    request(3, "/login", 303, session="s1"),
    request(4, "/checkout", user="alice", session="s1"),
    body(
        5,
        at=DAY + timedelta(minutes=5),
        event="order_paid",
        actor={"id": "alice"},
        session={"id": "s1"},
        data={"total": 17},
    ),
    request(6, "/", session="s2"),
    request(7, "/cart", session="s2"),
    request(8, "/boom", 500, user="bob", session="s2", error={"type": "ValueError", "message": "=1+1"}),
    request(9, "/pages/\x1b[2J", 404),
]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Five events in the archive, and four that are in the journal alone."""
    home = tmp_path_factory.mktemp("audit")
    write_file(home, "w1", 1, BODIES[:5])
    archive(home)
    write_file(home, "w2", 1, BODIES[5:])
    return home


def run(directory, command, *arguments):
    return CliRunner().invoke(program, [command, str(directory), *arguments])


def answer(directory, command, *arguments):
    """The one JSON object that a command prints into a pipe."""
    result = run(directory, command, *arguments, *ASKED)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_query_gives_the_bytes_that_were_written_archived_or_not(directory):
    result = run(directory, "query", "session:s1 OR session:s2")
    assert result.stdout_bytes.splitlines() == BODIES[:8]


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        pytest.param("user:alice", [4, 5], id="a user"),
        pytest.param("status:>=500", [8], id="a comparison"),
        pytest.param("status:5xx OR status:404", [8, 9], id="a class"),
        pytest.param("path:/c*", [2, 4, 7], id="a glob"),
        pytest.param("data.total:>16", [5], id="data"),
        pytest.param('"valueerror"', [8], id="a text"),
        pytest.param("session:s2 -status:500", [6, 7], id="not"),
    ],
)
def test_a_query_finds_what_it_asks_for(directory, query, numbers):
    found = run(directory, "query", query).stdout_bytes.splitlines()
    assert found == [BODIES[number - 1] for number in numbers]


def test_the_newest_are_shown_and_it_is_said_that_there_are_more(directory):
    result = run(directory, "query", "-n", "2")
    assert result.stdout_bytes.splitlines() == BODIES[-2:]
    assert "--limit 0 shows all" in result.stderr
    assert run(directory, "query", "-n", "2", "--first").stdout_bytes.splitlines() == BODIES[:2]
    assert run(directory, "query", "-n", "0").stdout_bytes.splitlines() == BODIES


def test_a_table_line_cannot_move_the_cursor(directory):
    shown = run(directory, "query", "status:404", "-o", "table").stdout
    assert "\\x1b[2J" in shown
    assert "\x1b" not in shown


def test_csv_has_the_columns_that_were_asked_for_and_no_formulas(directory):
    shown = run(directory, "query", "user:*", "-o", "csv", "--columns", "user,data.total,error_message").stdout
    assert list(csv.reader(io.StringIO(shown))) == [
        ["user", "data.total", "error_message"],
        ["alice", "", ""],
        ["alice", "17", ""],
        ["bob", "", "'=1+1"],
    ]


def test_a_column_that_no_event_has_is_named(directory):
    result = run(directory, "query", "-o", "csv", "--columns", "usr")
    assert result.exit_code == 2
    assert "did you mean user" in result.stderr


def test_an_error_in_a_query_is_underlined(directory):
    result = run(directory, "query", "user:alice", "(status:>=500")
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    text = next(number for number, line in enumerate(lines) if line == "  user:alice (status:>=500")
    assert lines[text + 1].startswith("             ^ ")


def test_a_range_narrows_what_is_counted(directory):
    assert answer(directory, "count")["value"] == 9
    until = ["--from", "2026-11-20T09:00", "--to", "2026-11-20T09:04:00.5", "-z", "UTC"]
    assert json.loads(run(directory, "count", *until).stdout)["value"] == 4
    amsterdam = ["--to", "2026-11-20T10:04:00.5", "-z", "Europe/Amsterdam"]
    assert json.loads(run(directory, "count", *amsterdam).stdout)["value"] == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["--since", "1h", "--from", "2h"], "give one of them", id="since and from"),
        pytest.param(["--from", "2026-11-21", "--to", "2026-11-20"], "the range is empty", id="an empty range"),
        pytest.param(["--from", "soon"], "expected 5m", id="no time"),
        pytest.param(["--time-limit", "0"], "--time-limit", id="no time limit"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(directory, arguments, said):
    result = run(directory, "count", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_facets_of_words_in_no_event_tell_how_fields_are_named(directory):
    assert "fields are named with --fields" in run(directory, "facets", "status user").stderr


def test_facets_count_values_and_their_absence(directory):
    (facet,) = answer(directory, "facets", "--fields", "user")
    assert [(one["value"], one["events"]) for one in facet["values"]] == [(None, 6), ("alice", 2), ("bob", 1)]
    shown = run(directory, "facets", "--fields", "user", "-n", "1", "-o", "table", *ASKED).stdout
    assert "(2 others)" in shown


def test_a_histogram_has_every_bucket_and_a_bar(directory):
    found = answer(directory, "histogram", "--width", "12h")
    assert found["series"]["2xx"] == [5, 0]
    assert found["series"]["none"] == [1, 0]
    shown = run(directory, "histogram", "--width", "12h", "-o", "table", *ASKED).stdout
    assert "█" in shown


def test_a_summary_counts_people_and_compares_with_the_time_before(directory):
    found = answer(directory, "summary")
    assert (found["people"]["requests"], found["people"]["users"], found["people"]["errors"]) == (8, 2, 1)
    compared = answer(directory, "summary", "--compare", "previous")
    assert compared["now"]["people"] == found["people"]
    assert compared["before"]["people"]["requests"] == 0
    assert "people before" in run(directory, "summary", "--compare", "weekday", "-o", "table", *ASKED).stdout


def test_a_comparison_needs_a_range(directory):
    result = run(directory, "summary", "--compare", "previous")
    assert result.exit_code == 2
    assert "start and an end" in result.stderr


def test_a_user_has_what_came_before_the_login_too(directory):
    assert run(directory, "user", "alice").stdout_bytes.splitlines() == BODIES[:5]
    assert run(directory, "user", "alice", "--only-logged-in").stdout_bytes.splitlines() == BODIES[3:5]


def test_a_timeline_says_when_it_began_and_ended(directory):
    shown = run(directory, "session", "s1", "-o", "table", "-z", "UTC").stdout
    assert "session s1: 5 events, the first 2026-11-20 09:01:00, the last 2026-11-20 09:05:00" in shown
    assert run(directory, "client", "203.0.113.9", "-n", "1").stdout_bytes.splitlines() == BODIES[-1:]
    unheard_of = run(directory, "trace", "unheard-of")
    assert (unheard_of.exit_code, unheard_of.stdout, unheard_of.stderr) == (0, "", "trace unheard-of: no events\n")


def test_the_context_of_an_event_is_what_stands_around_it(directory):
    assert run(directory, "context", "id-5", "-C", "1").stdout_bytes.splitlines() == BODIES[3:6]
    assert run(directory, "context", "id-5", "-C", "9", "--same", "session").stdout_bytes.splitlines() == BODIES[:5]


def test_an_event_that_is_not_there_is_said_so(directory):
    result = run(directory, "context", "id-99")
    assert result.exit_code == 1
    assert "no event with the id 'id-99'" in result.stderr


STEPS = ("path:/cart", "path:/checkout", "event:order_paid")


def test_a_funnel_counts_steps_and_lists_who_stayed(directory):
    found = answer(directory, "funnel", *STEPS)
    assert [step["units"] for step in found["steps"]] == [2, 1, 1]
    shown = run(directory, "funnel", *STEPS, "--dropped", "1", "-o", "csv", *ASKED).stdout
    assert list(csv.reader(io.StringIO(shown)))[1][0] == "s2"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["path:/"], "from 2 to 8 steps", id="one step"),
        pytest.param(["path:/", "pth:/"], "step 2 cannot be used", id="a step with an error"),
        pytest.param(["path:/", "path:/cart", "--window", "soon"], "expected a span", id="a window that is no span"),
        pytest.param(["path:/", "path:/cart", "--breakdown", "nothing"], "nothing", id="an unknown field"),
    ],
)
def test_a_funnel_that_cannot_be_meant_is_refused(directory, arguments, said):
    result = run(directory, "funnel", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_retention_conversion_and_paths_answer(directory):
    cohort = answer(directory, "retention", "--unit", "session")["cohorts"][0]
    assert (cohort["units"], cohort["cells"][0]["units"]) == (2, 2)
    assert answer(directory, "conversion", "event:order_paid")["total"]["overall"]["converted"] == 1
    first = answer(directory, "paths", "path:/", "--steps", "1")["steps"][0]
    assert (first[0]["place"]["page"], first[0]["units"]) == ("/cart", 2)


@pytest.mark.parametrize("command", ["query", "count", "facets", "histogram", "summary", "retention"])
@pytest.mark.parametrize("form", ["table", "csv", "json", "ndjson"])
def test_every_form_of_an_answer_is_printed(directory, command, form):
    result = run(directory, command, "-o", form, *ASKED)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip()
    if form == "json":
        json.loads(result.stdout)


@pytest.mark.parametrize("is_archived", [False, True], ids=["in the journal", "archived"])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
@pytest.mark.parametrize("command", ["query", "tail", "histogram", "summary"])
def test_an_event_of_the_last_or_first_moment_that_there_is_spoils_no_question(tmp_path, command, zone, is_archived):
    times = (
        "0001-01-01T00:00:00.000000Z",
        "0001-01-02T00:00:00Z",
        "9999-12-30T23:59:59Z",
        "9999-12-31T23:59:59.999999Z",
    )
    write_file(tmp_path, "w", 1, [BODIES[0], *(body(10 + n, timestamp=time) for n, time in enumerate(times))])
    if is_archived:
        archive(tmp_path)
    result = CliRunner().invoke(program, [command, str(tmp_path), "-z", zone, "-o", "csv"])
    assert (result.exit_code, result.exception) == (0, None)


@pytest.mark.parametrize("form", ["csv", "table", "ndjson"])
@pytest.mark.parametrize("number", ["1e999", "nan", "-Infinity", "9" * 5000, "1,"], ids=lambda text: text[:9])
def test_a_number_that_is_beyond_all_numbers_spoils_no_answer(tmp_path, form, number):
    write_file(tmp_path, "w", 1, [BODIES[0], body(2)[:-1] + b',"data":{"n":%b}}' % number.encode()])
    result = CliRunner().invoke(program, ["query", str(tmp_path), "-o", form])
    assert (result.exit_code, result.exception) == (0, None)


@needs_root
@pytest.mark.parametrize(
    "arguments", [["query"], ["tail"], ["ship", "--status"], ["reconcile", "file:///x"], ["collect", "--status"]]
)
def test_a_directory_that_this_user_may_not_read_is_said_so(arguments):
    command, *more = arguments
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to others
        Path(folder).chmod(0o755)
        closed = Path(folder, "audit")
        (closed / "collect").mkdir(parents=True, mode=0o700)
        if command != "collect":
            closed.chmod(0o700)
        where = ["--into", str(closed)] if command == "collect" else [str(closed)]
        CliRunner().invoke(program, [command, *where, *more])  # imports what another user may not read
        os.seteuid(65534)
        try:
            result = CliRunner().invoke(program, [command, *where, *more])
        finally:
            os.seteuid(0)
    assert (result.exit_code, repr(result.exception)) == (3, "SystemExit(3)")
    assert "Permission denied" in " ".join(result.output.split())


DEEP = request(2, "/deep", user="bob")[:-1] + b',"data":{"n":1,"tree":' + b'{"a":' * 3000 + b"1" + b"}" * 3002
SO_DEEP = "1 event is nested more than 200 levels deep, and shown no deeper"


@pytest.fixture(scope="module", params=[False, True], ids=["in the journal", "archived"])
def deep(request, tmp_path_factory):
    """A directory with an event of another program that is nested deeper than parsers go, between two others."""
    home = tmp_path_factory.mktemp("deep")
    write_file(home, "w", 1, [BODIES[0], DEEP, BODIES[2]])
    if request.param:
        archive(home)
    return home


@pytest.mark.parametrize(
    "form", [["-o", "table"], ["-o", "csv"], ["--format", "ecs"], ["--format", "syslog"], ["--format", "otlp"]], ids=str
)
@pytest.mark.parametrize("command", [["query"], ["tail"]], ids=str)
def test_an_event_that_is_nested_too_deep_is_shown_as_far_as_it_can_be_and_that_is_said(deep, command, form):
    result = CliRunner().invoke(program, [*command, str(deep), *form])
    assert result.exit_code == 1
    assert "/deep" in result.stdout
    assert SO_DEEP in result.stderr
    assert "/login" in result.stdout


@pytest.mark.parametrize("arguments", [["user", "bob"], ["context", "id-2", "--same", "user"]], ids=str)
def test_an_event_that_is_nested_too_deep_breaks_no_timeline_and_no_context(deep, arguments):
    result = CliRunner().invoke(program, [arguments[0], str(deep), *arguments[1:], "-o", "table"])
    assert result.exit_code == 1
    assert "/deep" in result.stdout
    assert SO_DEEP in result.stderr


@pytest.mark.parametrize("command", ["query", "tail"])
def test_an_event_that_is_nested_too_deep_is_given_as_it_was_written(deep, command):
    result = run(deep, command, "-o", "ndjson")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.encode().splitlines() == [BODIES[0], DEEP, BODIES[2]]


@pytest.mark.parametrize("command", ["query", "count", "archive"])
def test_a_directory_that_is_not_there_is_named(tmp_path, command):
    result = run(tmp_path / "nowhere", command)
    assert result.exit_code == 3
    assert "nowhere" in result.stderr


def test_archiving_says_what_it_did(tmp_path):
    write_file(tmp_path, "w1", 1, BODIES)
    done = json.loads(run(tmp_path, "archive").stdout)
    assert (done["files"], done["rows"]) == (1, len(BODIES))
    assert json.loads(run(tmp_path, "archive").stdout)["files"] == 0
    assert run(tmp_path, "query", "-n", "0").stdout_bytes.splitlines() == BODIES


def test_pruning_asks_first_and_says_what_it_freed(tmp_path):
    write_file(tmp_path, "w1", 1, BODIES)
    run(tmp_path, "archive")
    assert "--yes" in run(tmp_path, "prune", "--older-than", "0h").stderr
    planned = run(tmp_path, "prune", "--older-than", "0h", "--dry-run")
    assert json.loads(planned.stdout)["rows"] == len(BODIES)
    assert "Would free 9 events" in planned.stderr
    assert json.loads(run(tmp_path, "prune", "--older-than", "0h", "--yes").stdout)["rows"] == len(BODIES)
    assert run(tmp_path, "query").stdout == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param([], "--older-than, --max-size", id="no limit"),
        pytest.param(["--older-than", "soon"], "expected an age", id="no age"),
        pytest.param(["--max-size", "-5"], "expected a size", id="no size"),
    ],
)
def test_pruning_needs_a_limit_that_can_be_meant(tmp_path, arguments, said):
    result = run(tmp_path, "prune", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
