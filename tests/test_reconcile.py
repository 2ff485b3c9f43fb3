"""What a target lacks, found out by asking it, and sent again: PostgreSQL, ClickHouse, and a file."""

from __future__ import annotations

import itertools
import json
from contextlib import closing
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from auditmw.archive import archive
from auditmw.cli.program import program
from auditmw.journal import Journal
from auditmw.journal.cursor import CursorError
from auditmw.reconcile.comparison import Comparison, Day, NothingShippedError
from auditmw.reconcile.resending import resend
from auditmw.ship.address import Address
from auditmw.ship.shipper import Shipper
from auditmw.ship.target import CursorKeeper, Inventory, Target
from auditmw.ship.targets import target_for
from clickhouse_server import CLUSTER, clickhouse
from postgres_server import postgres
from servers import HOST
from ship_conformance import DIFFICULT, FakeTime, body, ident, idents, write_events

numbers = itertools.count(1)
DAY = datetime(2026, 11, 20).date()


class Losing(Target):
    """Stands before a target, and has it lose some events, of which it says that it has them."""

    def __init__(self, target, lost):
        self.max_events, self.max_bytes, self.format = target.max_events, target.max_bytes, target.format
        self.inner, self.lost = target, lost

    def record(self, entry, event):
        return self.inner.record(entry, event)

    def kept(self, batch):
        return batch.part([at for at, entry in enumerate(batch) if entry.id not in self.lost])

    def send(self, batch):
        return self.inner.send(self.kept(batch))

    def close(self):
        self.inner.close()


class LosingKeeper(Losing):
    """The same before one that keeps the cursor."""

    def claim(self, name):
        return self.inner.claim(name)

    def send_with_cursor(self, batch, cursor):
        return self.inner.send_with_cursor(self.kept(batch), cursor)


@pytest.fixture(scope="module")
def database():
    with postgres() as server:
        yield server


@pytest.fixture(scope="module")
def shards():
    with clickhouse(2) as servers:
        yield servers


@pytest.fixture(
    params=[
        "file",
        pytest.param("postgresql", marks=pytest.mark.needs("postgres", "psycopg")),
        pytest.param("clickhouse", marks=pytest.mark.needs("clickhouse-server")),
        pytest.param("cluster", marks=pytest.mark.needs("clickhouse-server")),
    ]
)
def url(request, tmp_path):
    """The URL of an empty target."""
    number = next(numbers)
    if request.param == "file":
        return f"file://{tmp_path}/out.ndjson"
    if request.param == "postgresql":
        return request.getfixturevalue("database").url(schema=f"place_{number}")
    servers = request.getfixturevalue("shards")
    if request.param == "clickhouse":
        return servers[0].url(table=f"events_{number}", pause="0.001")
    hosts = ",".join(f"{HOST}:{server.port}" for server in servers)
    return f"clickhouse://{hosts}/?table=events_{number}&cluster={CLUSTER}&pause=0.001"


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "audit"
    path.mkdir()
    return path


def ship(directory, url, lost=()):
    target, fake = target_for(url), FakeTime()
    before = (LosingKeeper if isinstance(target, CursorKeeper) else Losing)(target, set(lost))
    assert Shipper(directory, before, name=Address(url).name, clock=fake.clock, wait=fake.wait).run_once()


def compared(directory, url, **options):
    with (
        closing(target_for(url)) as target,
        Comparison(directory, target, Address(url).name, **options) as comparison,
    ):
        return comparison.difference()


def run(directory, *arguments):
    return CliRunner().invoke(program, ["reconcile", str(directory), *arguments])


def test_a_target_that_has_everything_lacks_nothing(directory, url):
    write_events(directory, [body(n) for n in range(1, 1201)])
    ship(directory, url)
    found = compared(directory, url)
    assert found.days == (Day(DAY, 1200, 0, 0, 0),)
    assert (found.runs, found.more, found.unreadable) == ((), 0, ())


def test_what_it_lost_is_found_in_runs_and_sent_again(directory, url):
    writer = write_events(directory, [body(n) for n in range(1, 1201)])
    lost = [ident(1), *idents(500, 699), ident(1200)]
    ship(directory, url, lost)
    found = compared(directory, url)
    assert found.days == (Day(DAY, 1200, 0, 0, 202),)
    assert [run[1:] for run in found.runs] == [
        (writer, 1, 1, 1, ident(1)),
        (writer, 500, 699, 200, ident(500)),
        (writer, 1200, 1200, 1, ident(1200)),
    ]
    with closing(target_for(url)) as target, Comparison(directory, target, Address(url).name) as comparison:
        comparison.difference()
        events = list(comparison.missing())
        assert [event for _, _, event in events] == [body(int(each[-12:])) for each in lost]
        assert resend(directory, target, Address(url).name, events, shown=url) == (202, 0)
    assert compared(directory, url).total("missing") == 0


def test_archived_or_not_and_whatever_the_order_every_event_is_compared(directory, url):
    write_events(directory, [body(n) for n in range(1, 101)])
    ship(directory, url, [ident(50)])
    archive(directory)
    write_events(directory, [body(n) for n in range(101, 201)])
    ship(directory, url, [ident(150)])
    write_events(directory, [body(n) for n in range(201, 211)])  # on their way
    found = compared(directory, url)
    assert found.days == (Day(DAY, 210, 10, 0, 2),)
    assert [run.first_id for run in found.runs] == [ident(50), ident(150)]


def test_what_was_archived_before_shipping_began_is_missing_and_can_be_sent(directory, url):
    write_events(directory, [body(n) for n in range(1, 11)])
    archive(directory)
    for file in (directory / "journal").iterdir():
        file.unlink()
    write_events(directory, [body(11)])
    ship(directory, url)
    assert compared(directory, url).total("missing") == 10
    assert run(directory, url, "--resend").exit_code == 0
    assert compared(directory, url).total("missing") == 0


def test_a_request_whose_process_died_is_compared_as_it_was_shipped(directory, url):
    pending = body(1, outcome={"result": "pending"})
    write_events(directory, [pending, body(2, outcome={"result": "pending"}), body(2)])
    ship(directory, url)
    found = compared(directory, url)
    assert (found.total("events"), found.total("missing"), found.total("waiting")) == (2, 0, 0)


def test_a_request_that_is_still_running_is_none_yet(directory, url):
    journal = Journal(directory)
    journal.append(body(1))
    journal.append(body(2, outcome={"result": "pending"}))
    ship(directory, url)
    found = compared(directory, url)
    assert (found.total("events"), found.total("missing"), found.total("waiting")) == (1, 0, 0)
    journal.close()


def test_what_a_running_process_wrote_since_is_on_its_way(directory, url):
    journal = Journal(directory)
    for number in range(1, 6):
        journal.append(body(number))
    ship(directory, url, [ident(5)])
    for number in range(6, 9):
        journal.append(body(number))
    found = compared(directory, url)
    assert found.days == (Day(DAY, 8, 3, 0, 1),)
    journal.close()


def test_difficult_events_are_found_where_they_have_ids(directory, url):
    known = {name: each for name, each in DIFFICULT.items() if "id" not in name.split() and name != "no id"}
    write_events(directory, list(known.values()))
    ship(directory, url)
    found = compared(directory, url)
    # What the archive cannot read was shipped all the same.
    assert (found.total("missing"), found.more) == (0, len(found.unreadable))
    assert found.total("events") + len(found.unreadable) == len(known)
    assert found.days[-1].day is None


def test_what_the_target_has_beyond_the_directory_is_counted(directory, url):
    write_events(directory, [body(n) for n in range(1, 11)])
    ship(directory, url)
    (file,) = (directory / "journal").iterdir()
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:7]))
    found = compared(directory, url)
    assert (found.total("events"), found.more) == (7, 3)
    assert compared(directory, url, since=datetime(2026, 11, 1, tzinfo=UTC)).more is None


def test_a_range_is_all_that_is_compared(directory, url):
    events = [body(n, timestamp=f"2026-11-{n:02d}T12:00:00.000000Z") for n in range(1, 22)]
    write_events(directory, events)
    ship(directory, url, idents(1, 20))
    since, until = datetime(2026, 11, 5, tzinfo=UTC), datetime(2026, 11, 8, tzinfo=UTC)
    found = compared(directory, url, since=since, until=until)
    assert [(day.day.day, day.missing) for day in found.days] == [(5, 1), (6, 1), (7, 1)]


@pytest.mark.needs("postgres", "psycopg")
def test_dead_letters_are_told_apart(directory, database):
    url = database.url(schema="dead")
    with closing(target_for(url)) as target:
        target.claim("nobody")  # makes the tables
    database.execute("ALTER TABLE dead.events ADD CHECK (event IS DISTINCT FROM 'poison')")
    write_events(directory, [body(1), body(2, event="poison"), body(3)])
    ship(directory, url)
    found = compared(directory, url)
    assert found.days == (Day(DAY, 3, 0, 1, 0),)
    assert run(directory, url).exit_code == 1


@pytest.mark.needs("postgres", "psycopg")
def test_what_is_rejected_when_it_is_sent_again_is_a_dead_letter_then(directory, database):
    url = database.url(schema="refusing")
    write_events(directory, [body(1), body(2, event="poison"), body(3)])
    ship(directory, url, [ident(2), ident(3)])
    database.execute("ALTER TABLE refusing.events ADD CHECK (event IS DISTINCT FROM 'poison')")
    result = run(directory, url, "--resend")
    assert result.exit_code == 1
    assert "1 events were sent again, 1 are dead letters now." in result.stderr
    assert compared(directory, url).days == (Day(DAY, 3, 0, 1, 0),)


def test_the_command_tells_and_sends_again(directory, tmp_path):
    url = f"file://{tmp_path}/out"
    writer = write_events(directory, [body(n) for n in range(1, 21)])
    ship(directory, url, idents(5, 8))
    result = run(directory, url)
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "target": url,
        "events": 20,
        "missing": 4,
        "waiting": 0,
        "dead": 0,
        "more": 0,
        "resent": None,
        "days": [{"day": "2026-11-20", "events": 20, "waiting": 0, "dead": 0, "missing": 4}],
        "runs": [
            {"day": "2026-11-20", "writer": writer, "first": 5, "last": 8, "events": 4, "first_id": ident(5)},
        ],
    }
    assert "4 events are missing; --resend sends them again." in result.stderr
    again = run(directory, url, "--resend", "-o", "table")
    assert again.exit_code == 0
    assert "4 events were sent again, 0 are dead letters now." in again.stderr
    assert run(directory, url).exit_code == 0
    lines = (tmp_path / "out").read_bytes().splitlines()
    assert lines[-4:] == [body(n) for n in range(5, 9)]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        pytest.param(["stdout:"], 2, "stdout: cannot be asked what it has", id="cannot be asked"),
        pytest.param(["gopher://x"], 2, "expected one of stdout:, file:", id="unknown scheme"),
        pytest.param(["file:///nowhere"], 2, "nothing was shipped from", id="never shipped"),
        pytest.param(["file:///etc", "--name", "out"], 3, "cannot read /etc: Is a directory", id="away"),
    ],
)
def test_what_cannot_be_answered_is_said(directory, tmp_path, arguments, code, says):
    write_events(directory, [body(1)])
    target = target_for(f"file://{tmp_path}/out")
    assert Shipper(directory, target, name="out").run_once()
    result = run(directory, *arguments)
    assert result.exit_code == code
    assert says in " ".join(result.stderr.split())


def test_a_url_that_was_never_shipped_to_is_told_with_those_that_were(directory, tmp_path):
    write_events(directory, [body(1)])
    never = " ".join(run(directory, f"file://{tmp_path}/never").stderr.split())
    assert f"nothing was shipped from {directory} yet: `auditmw ship` comes first" in never
    CliRunner().invoke(program, ["ship", str(directory), "--to", f"file://{tmp_path}/out", "--once"])
    never = run(directory, f"file://{tmp_path}/never")
    assert never.exit_code == 2
    assert f"but to file://{tmp_path}/out as file-" in " ".join(never.stderr.split())


def test_a_file_that_is_not_there_yet_lacks_all_and_gets_all(tmp_path):
    write_events(tmp_path / "audit", [body(number) for number in (1, 2, 3)])
    arguments = ["reconcile", str(tmp_path / "audit"), f"file://{tmp_path}/out.ndjson", "--name", "out"]
    Shipper(tmp_path / "audit", target_for(f"file://{tmp_path}/out.ndjson"), name="out").run_once()
    (tmp_path / "out.ndjson").unlink()
    assert CliRunner().invoke(program, [*arguments, "--resend"]).exit_code == 0
    assert len((tmp_path / "out.ndjson").read_text().splitlines()) == 3
    assert CliRunner().invoke(program, arguments).exit_code == 0


def test_a_file_in_another_format_says_that_it_cannot_be_asked(tmp_path):
    target = target_for(f"file://{tmp_path}/out", "ecs")
    assert isinstance(target, Inventory)
    with pytest.raises(Exception, match="cannot be asked for events in the format ecs"):
        target.counts([])


def test_a_cursor_of_a_newer_version_is_an_error_and_no_answer(directory, tmp_path):
    write_events(directory, [body(1)])
    url = f"file://{tmp_path}/out"
    with pytest.raises(NothingShippedError):
        compared(directory, url)
    ship(directory, url)
    (directory / "ship" / Address(url).name / "cursor.json").write_bytes(b"{}")
    with pytest.raises(CursorError):
        compared(directory, url)
    assert run(directory, url).exit_code == 3
