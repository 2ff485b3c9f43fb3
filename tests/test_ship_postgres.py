"""`postgresql://` against a real server: the conformance suite, and what can go wrong with a database."""

from __future__ import annotations

import itertools
import json
import random
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ship_batches
from auditmw.journal import FileReader, Journal, journal_files
from auditmw.ship.address import Address, AddressError
from auditmw.ship.batch import Batch
from auditmw.ship.shipper import Shipper
from auditmw.ship.status import statuses
from auditmw.ship.target import RejectedError, RetryableError, Target, UnusableError
from auditmw.ship.targets import target_for
from certificates import Certificates
from cutting_proxy import CuttingProxy
from postgres_server import Postgres, postgres
from servers import HOST, free_ports, poll
from ship_conformance import DIFFICULT, Place, ShipConformance, body, ident, idents, kept, write_events

pytestmark = [pytest.mark.needs("psycopg"), pytest.mark.needs("postgres")]

numbers = itertools.count(1)

# Who may come in how; everybody else as the superuser may: from this machine, without a password.
HBA = """
hostssl all encrypted 127.0.0.1/32 trust
host all encrypted 127.0.0.1/32 reject
host all secret 127.0.0.1/32 scram-sha-256
"""


def batch_of(*bodies: bytes) -> Batch:
    """A batch for this target."""
    from auditmw.ship.targets.postgres.columns import row

    return ship_batches.batch_of(*bodies, record=row)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server(certificates):
    with postgres(hba=HBA, certificates=certificates) as started:
        started.execute("CREATE ROLE encrypted LOGIN")
        started.execute("CREATE ROLE secret LOGIN PASSWORD 'hunter2'")
        started.execute("CREATE ROLE writer LOGIN")
        yield started


class PostgresPlace(Place):
    """A schema of its own, which takes no event that is called `poison`."""

    once = True
    poison = body(999, event="poison")

    def __init__(self, server: Postgres, **options: str) -> None:
        self.server = server
        self.schema = f"place_{next(numbers)}"
        self.url = server.url(schema=self.schema, **options)
        self.targets: list[Target] = []

    def target(self) -> Target:
        self.targets.append(target_for(self.url))
        return self.targets[-1]

    def close(self) -> None:
        for target in self.targets:
            target.close()

    def rows(self):
        rows = self.query("SELECT id, body FROM {schema}.events ORDER BY stored, tableoid, ctid")
        return [(ident, body.encode()) for ident, body in rows]

    def query(self, statement: str):
        return self.server.execute(statement.format(schema=self.schema))

    def down(self):
        self.server.kill()

    def up(self):
        self.server.start()


@pytest.fixture
def place(server):
    place = PostgresPlace(server)
    yield place
    place.close()


class TestPostgres(ShipConformance):
    @pytest.fixture
    def place(self, place):
        place.target().claim("nobody")  # makes the tables
        place.query("ALTER TABLE {schema}.events ADD CHECK (event IS DISTINCT FROM 'poison')")
        return place


def bodies_in(directory: Path) -> list[bytes]:
    """Every event of a journal."""
    return [line.body for path in journal_files(directory) for line in FileReader(path).lines()]


def check_all(place: PostgresPlace, directory: Path) -> None:
    """The rows are the journal's events, each once."""
    rows = place.rows()
    assert sorted(body for _, body in rows) == sorted(bodies_in(directory))
    assert len({found for found, _ in rows}) == len(rows)


@contextmanager
def shipping(directory: Path, url: str, *, max_events: int = 50) -> Iterator[Shipper]:
    """A shipper at work in a thread; it does not wait long for anything."""
    waiting = threading.Event()
    target = target_for(url)
    target.max_events = max_events
    shipper = Shipper(directory, target, name="place", wait=lambda seconds: waiting.wait(min(seconds, 0.05)))
    thread = threading.Thread(target=shipper.run)
    thread.start()
    try:
        yield shipper
    finally:
        shipper.stop()
        thread.join(60)
        assert not thread.is_alive()


def wait_until_shipped(directory: Path) -> None:
    poll(lambda: [each.lag.events for each in statuses(directory)] == [0], "everything to be shipped", 120)


def prepared(place: PostgresPlace) -> PostgresPlace:
    """The place with its tables."""
    with closing(place.target()) as target:
        target.claim("nobody")
    return place


# The server dies, or the connection.


def test_killed_again_and_again_in_the_middle_of_copy_it_has_each_event_once(place, tmp_path):
    chance = random.Random(20_261_121)
    journal = Journal(tmp_path)
    in_copy = 0
    with shipping(tmp_path, place.url + "&connect_timeout=5", max_events=400):
        for first in range(1, 6001, 1000):
            for number in range(first, first + 1000):
                journal.append(body(number, note="x" * 2000))
            threading.Event().wait(chance.random() * 0.3)
            in_copy += is_in(place.server, "COPY")
            place.server.kill()
            place.server.start()
        journal.close()
        wait_until_shipped(tmp_path)
    check_all(place, tmp_path)
    assert len(place.rows()) == 6000


def is_in(server: Postgres, command: str) -> bool:
    """Whether a process of the server says, in its title, that it is at this command."""
    return any(command in title for title in server.titles())


def test_killed_when_a_copy_has_begun_it_has_each_event_once(place, tmp_path):
    """The server is killed at the very moment, four times, that one of its processes is at COPY or at INSERT."""
    write_events(tmp_path, [body(number, note="x" * 3000) for number in range(1, 4001)])
    seen = []
    with shipping(tmp_path, place.url + "&connect_timeout=5", max_events=2000):
        for command in ("COPY", "INSERT", "COPY", "INSERT"):
            if statuses(tmp_path) and statuses(tmp_path)[0].lag.events == 0:
                break
            end = threading.Event()
            for _ in range(2000):
                if is_in(place.server, command):
                    seen.append(command)
                    break
                end.wait(0.001)
            place.server.kill()
            place.server.start()
        wait_until_shipped(tmp_path)
    check_all(place, tmp_path)
    assert seen


@pytest.mark.parametrize("deliver", [pytest.param(True, id="after COMMIT"), pytest.param(False, id="before COMMIT")])
def test_a_connection_that_is_cut_around_commit_makes_nothing_twice_and_loses_nothing(place, tmp_path, deliver):
    prepared(place)
    write_events(tmp_path, [body(number) for number in range(1, 101)])
    with CuttingProxy((HOST, place.server.port)) as proxy:
        target = target_for(place.url.replace(f":{place.server.port}", f":{proxy.port}") + "&sslmode=disable")
        target.max_events = 10
        shipper = Shipper(tmp_path, target, name="place")
        for _ in range(5):
            proxy.cut_at(b"COMMIT", skip=3, deliver=deliver)  # those of claim, and of the tables, are not it
            with pytest.raises(RetryableError):
                shipper.run_once()
        assert proxy.cuts == 5
        proxy.cut_at(None)
        assert shipper.run_once()
    check_all(place, tmp_path)


def test_a_server_that_has_stopped_is_given_up_in_time_and_has_nothing_twice(place):
    prepared(place)
    with closing(target_for(place.url + "&timeout=0.5")) as target:
        epoch = target.claim("journal/name").epoch
        with place.server.frozen(), pytest.raises(RetryableError, match=r"no answer within 0\.5 s"):
            target.send_with_cursor(batch_of(body(1)), kept("journal/name", epoch, b"1"))
    with closing(place.target()) as target:
        target.send_with_cursor(batch_of(body(1)), kept("journal/name", epoch, b"1"))
    assert place.rows() == [(ident(1), body(1))]


def test_a_table_that_is_locked_is_given_up_in_time(place):
    prepared(place)
    with place.server.connect() as other, other.transaction():
        other.execute(f"LOCK TABLE {place.schema}.events IN ACCESS EXCLUSIVE MODE")
        impatient = target_for(place.url + "&timeout=0.5")
        with closing(impatient), pytest.raises(RetryableError, match=r"timeout|no answer"):
            impatient.send(batch_of(body(1)))
    with closing(place.target()) as target:
        assert target.send(batch_of(body(1))).events == 1


def test_two_shippers_of_a_copied_directory_leave_each_event_once(place, tmp_path):
    prepared(place)
    for name in ("one", "two"):
        write_events(tmp_path / name, [body(number) for number in range(1, 1001)])
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda name: ship_in_small_batches(tmp_path / name, place), ("one", "two")))
    assert sorted(place.rows()) == sorted((ident(number), body(number)) for number in range(1, 1001))


def ship_in_small_batches(directory: Path, place: PostgresPlace) -> None:
    target = target_for(place.url)
    target.max_events = 37
    shipper = Shipper(directory, target, name="place")
    for _ in range(50):  # a deadlock is told as retryable
        try:
            shipper.run_once()
            return
        except RetryableError as error:
            if "deadlock" not in error.reason:
                raise
    raise AssertionError("deadlocks without end")


# The server refuses.


def test_a_wrong_password_is_told_without_it(place):
    url = place.url.replace("postgres@", "secret:wr0ng@")
    with closing(target_for(url)) as target, pytest.raises(UnusableError, match="password authentication failed") as c:
        target.claim("journal/name")
    assert "wr0ng" not in c.value.reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(("/postgres?", "/nowhere?"), 'database "nowhere" does not exist', id="no such database"),
        pytest.param(("postgres@", "nobody@"), 'role "nobody" does not exist', id="no such role"),
        pytest.param(("postgres@", "secret@"), "no password supplied", id="no password"),
        pytest.param(("postgres@", "writer@"), "permission denied for database", id="no permission to make tables"),
        pytest.param(("postgres@", "encrypted@"), "rejects connection", id="TLS is required"),
        pytest.param(("?", "?sslrootcert=/none&sslmode=verify-full&"), "does not exist", id="no root certificate"),
    ],
)
def test_what_nobody_but_a_person_can_mend_is_unusable(place, change, reason):
    more = "&sslmode=disable" if "encrypted@" in change else ""
    url = place.url.replace(*change, 1) + more
    with closing(target_for(url)) as target, pytest.raises(UnusableError, match=re.escape(reason)):
        target.claim("journal/name")


def test_tls_is_used_where_it_is_required_and_verified_where_that_is_asked_for(place, certificates):
    url = place.url.replace("postgres@", "encrypted@")
    place.query("CREATE SCHEMA {schema} AUTHORIZATION encrypted")
    other = f"{url}&sslmode=verify-full&sslrootcert={certificates.path('other.pem')}"
    with closing(target_for(other)) as target, pytest.raises(UnusableError, match="certificate verify failed"):
        target.claim("journal/name")
    for mode in ("require", f"verify-full&sslrootcert={certificates.path('ca.pem')}"):
        with closing(target_for(f"{url}&sslmode={mode}")) as target:
            assert target.send(batch_of(body(1))).events == 1
    assert len(place.rows()) == 1


def test_a_server_that_is_not_there_is_waited_for():
    (port,) = free_ports(1)
    with closing(target_for(f"postgresql://{HOST}:{port}/x")) as target, pytest.raises(RetryableError, match="refused"):
        target.claim("journal/name")


def test_a_role_that_may_only_insert_is_enough_when_the_tables_are_there(place, caplog):
    prepared(place)
    for grant in ("USAGE ON SCHEMA {schema}", "SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA {schema}"):
        place.query(f"GRANT {grant} TO writer")
    with closing(target_for(place.url.replace("postgres@", "writer@"))) as target:
        epoch = target.claim("journal/name").epoch
        assert target.send_with_cursor(batch_of(body(1)), kept("journal/name", epoch, b"1")).events == 1
    assert place.rows() == [(ident(1), body(1))]
    assert place.query("SELECT count(*) FROM {schema}.events_other") == [(1,)]
    assert "its events go to events_other: permission denied" in caplog.text
    with closing(place.target()) as target:  # somebody who may make the month's table has it made, with what there is
        assert target.send(batch_of(body(2))).events == 1
    assert place.query("SELECT count(*) FROM {schema}.events_other") == [(0,)]
    assert [found for found, _ in place.rows()] == idents(1, 2)


def test_a_database_of_another_encoding_is_refused(place):
    name = f"latin_{next(numbers)}"
    place.query(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with closing(target_for(place.server.url(name))) as target, pytest.raises(UnusableError, match="UTF8, not LATIN1"):
        target.claim("journal/name")


def test_a_read_only_server_is_waited_for(place):
    name = f"read_only_{next(numbers)}"
    place.query(f"CREATE DATABASE {name}")
    place.query(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with closing(target_for(place.server.url(name))) as target, pytest.raises(RetryableError, match="read-only"):
        target.claim("journal/name")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        pytest.param("53100", RetryableError, id="disk full"),
        pytest.param("53200", RetryableError, id="out of memory"),
        pytest.param("58030", RetryableError, id="I/O error"),
        pytest.param("XX001", RetryableError, id="data corrupted"),
        pytest.param("40001", RetryableError, id="serialization failure"),
        pytest.param("42501", UnusableError, id="insufficient privilege"),
        pytest.param("P0001", RejectedError, id="a trigger that raises"),
        pytest.param("23514", RejectedError, id="a check that fails"),
    ],
)
def test_an_error_of_the_table_is_told_by_its_code_and_nothing_is_kept(place, code, error):
    prepared(place)
    place.query(
        "CREATE FUNCTION {schema}.fail() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION 'the disk is on fire' USING ERRCODE = '{code}'; END $$"
    )
    place.query("CREATE TRIGGER fail BEFORE INSERT ON {schema}.events FOR EACH ROW EXECUTE FUNCTION {schema}.fail()")
    with closing(place.target()) as target:
        epoch = target.claim("journal/name").epoch
        with pytest.raises(error, match=rf"the disk is on fire \[{code}\]"):
            target.send_with_cursor(batch_of(body(1)), kept("journal/name", epoch, b"1"))
        assert target.claim("journal/name").data is None
        place.query("DROP TRIGGER fail ON {schema}.events")
        assert target.send(batch_of(body(1))).events == 1


# The tables.


@pytest.mark.parametrize(
    "drift",
    [
        pytest.param("ALTER TABLE {schema}.events DROP COLUMN user_id", id="a column that is gone"),
        pytest.param("ALTER TABLE {schema}.events ALTER COLUMN status TYPE boolean USING NULL", id="another type"),
        pytest.param("ALTER TABLE {schema}.events ALTER COLUMN event TYPE varchar(3) USING NULL", id="a shorter type"),
        pytest.param("DROP TABLE {schema}.events CASCADE", id="no table"),
        pytest.param("DROP TABLE {schema}.cursors", id="no cursors"),
    ],
)
def test_tables_that_somebody_changed_make_no_dead_letters(place, tmp_path, drift):
    prepared(place)
    place.query(drift)
    write_events(tmp_path, [body(number, http={"response": {"status_code": 200}}) for number in range(1, 11)])
    with closing(place.target()) as target, pytest.raises(UnusableError):
        Shipper(tmp_path, target, name="place").run_once()
    [status] = statuses(tmp_path)
    assert (status.dead_letters, status.lag.events) == (0, 10)


def test_a_column_that_somebody_made_mandatory_does_not_empty_the_journal_into_dead_letters(place, tmp_path):
    prepared(place)
    place.query("ALTER TABLE {schema}.events ADD COLUMN tenant text NOT NULL DEFAULT 'x'")
    place.query("ALTER TABLE {schema}.events ALTER COLUMN tenant DROP DEFAULT")
    write_events(tmp_path, [body(number) for number in range(1, 51)])
    with closing(place.target()) as target, pytest.raises(UnusableError, match="may be the target that is wrong"):
        Shipper(tmp_path, target, name="place", most_dead_in_a_row=10).run_once()
    assert statuses(tmp_path)[0].dead_letters == 10
    place.query("ALTER TABLE {schema}.events ALTER COLUMN tenant SET DEFAULT 'x'")
    with closing(place.target()) as target:
        shipper = Shipper(tmp_path, target, name="place", most_dead_in_a_row=10)
        assert shipper.run_once()
        assert shipper.replay() == (10, 0)
    check_all(place, tmp_path)


def test_tables_of_a_newer_version_are_left_alone(place):
    prepared(place)
    place.query("INSERT INTO {schema}.schema_versions (version) VALUES (99)")
    with closing(place.target()) as target, pytest.raises(UnusableError, match="not 99: a later auditmw made them"):
        target.claim("journal/name")


def test_tables_of_an_older_version_are_brought_up_to_date_once(place, monkeypatch):
    from auditmw.ship.targets.postgres import schema

    prepared(place)
    with closing(place.target()) as target:
        target.send(batch_of(body(1)))
    step = ("ALTER TABLE {schema}.events ADD COLUMN newer text",)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, step))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: claim_once(place, number), range(4)))
    assert place.query("SELECT version FROM {schema}.schema_versions ORDER BY 1") == [(1,), (2,)]
    with closing(place.target()) as target:
        target.send(batch_of(body(2)))
    assert place.query("SELECT id, newer FROM {schema}.events ORDER BY 1") == [(ident(1), None), (ident(2), None)]


def claim_once(place: PostgresPlace, number: int) -> None:
    with closing(target_for(place.url)) as target:
        target.claim(f"journal/{number}")


def test_four_shippers_that_come_first_make_the_tables_once(place):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: claim_once(place, number), range(4)))
    assert place.query("SELECT count(*) FROM {schema}.cursors") == [(4,)]


def test_columns_have_what_people_ask_for(place):
    event = json.loads(body(1)) | {
        "trace": {"trace_id": "0af7651916cd43dd8448eb211c80319c"},
        "actor": {"id": "alice", "type": "user"},
        "session": {"id": "s1"},
        "client": {"address": "2001:db8::1"},
        "http": {"request": {"method": "GET"}, "response": {"status_code": 404, "body_size": 12}},
        "duration_ns": 1_500_000,
        "url": {"path": "/ö"},
        "data": {"order": {"id": 17}},
    }
    with closing(place.target()) as target:
        target.send(batch_of(json.dumps(event, ensure_ascii=False).encode()))
    [row] = place.query(
        "SELECT time, event, result, trace_id, user_id, session_id, host(ip), client, method, status, size_bytes, "
        "duration_ns, path, writer, seq, {schema}.fields(e) -> 'data' -> 'order' ->> 'id' FROM {schema}.events e"
    )
    assert row == (
        datetime(2026, 11, 20, 0, 0, 1, 1, tzinfo=UTC),
        *("test_happened", "success", "0af7651916cd43dd8448eb211c80319c", "alice", "s1", "2001:db8::1", "2001:db8::1"),
        *("GET", 404, 12, 1_500_000, "/ö", "w", 1, "17"),
    )


TIMES = {
    "2026-11-20T01:02:03.000004Z": "2026-11-20 01:02:03.000004+00",
    "2026-11-20T01:02:03Z": "2026-11-20 01:02:03+00",
    "2026-11-20T01:02:03.5+05:30": "2026-11-19 19:32:03.5+00",
    "2026-11-20 01:02:03": "2026-11-20 01:02:03+00",
    "20261120T010203Z": "2026-11-20 01:02:03+00",
    "2026-W47-5T01:02:03.000004Z": "2026-11-20 01:02:03.000004+00",
    "0001-01-01T00:00:00.000000Z": "0001-01-01 00:00:00+00",
    "9999-12-31T23:59:59.999999Z": "9999-12-31 23:59:59.999999+00",
    "9999-12-31T23:59:59-01:00": None,
    "2026-02-30T00:00:00.000000Z": None,
    "2026-11-20T01:02:60.000000Z": None,
    "\u0662\u0660\u0662\u0666-11-20T01:02:03.000004Z": None,
    "yesterday": None,
    "": None,
}


def test_a_time_is_what_its_text_says(place):
    with closing(place.target()) as target:
        target.send(batch_of(*(body(number, timestamp=text) for number, text in enumerate(TIMES))))
    rows = place.query(
        "SELECT body::jsonb ->> 'timestamp', (time AT TIME ZONE 'UTC')::text || '+00' FROM {schema}.events"
    )
    assert dict(rows) == TIMES


MORE_DIFFICULT = {
    "a number that jsonb does not hold": body(30)[:-1] + b',"n":1e200000}',
    "a number that is too small for it": body(31)[:-1] + b',"n":[1,-2.5e-20000 ],"s":"1e20000"}',
    "a number of too many digits": body(32)[:-1] + b',"n":0.' + b"1" * 20_000 + b"}",
    "a backslash before what looks like an escape": body(33, note="\\u0000 \\ud800"),
    "all of U+0000 and halves of pairs": body(34)[:-1] + rb',"\u0000":"\ud83d\ude00\ud83d\u0000\ude00\uD83D"}',
    "a user of a length that no index holds": body(35, actor={"id": "\U0001f600" * 20_000}, session={"id": "x" * 9000}),
    "an id of a length that no index holds": body(36, id="i" * 90_000),
    "an address that is a name": body(37, client={"address": "unix:"}),
    "an address with a zone": body(38, client={"address": "fe80::1%eth0"}),
    "true and false for texts": body(39, message=True, level=False),
}


@pytest.mark.parametrize("kind", [*DIFFICULT, *MORE_DIFFICULT])
def test_every_event_can_be_asked_for_its_fields(place, kind):
    each = (DIFFICULT | MORE_DIFFICULT)[kind]
    with closing(place.target()) as target:
        accepted = target.send(batch_of(each))
    assert (accepted.events, accepted.refused) == (1, {})
    [(found, fields)] = place.query("SELECT body, length({schema}.fields(e)::text) FROM {schema}.events e")
    assert found.encode() == each
    assert fields > 20


def test_an_event_that_is_not_utf8_is_refused_and_the_others_arrive(place):
    with closing(place.target()) as target:
        accepted = target.send(batch_of(body(1), body(2, note="\udc80"), body(3)))
    assert accepted.events == 2
    assert "not UTF-8" in accepted.refused[1]
    assert [found for found, _ in place.rows()] == [ident(1), ident(3)]


def test_another_event_with_the_same_id_is_kept_aside_counted_and_told_once(place, caplog):
    other = body(1, note="another")
    with closing(place.target()) as target:
        assert target.send(batch_of(body(1), body(2))).note == ""
        accepted = target.send(batch_of(body(2), other, body(3)))
        assert accepted.events == 3
        assert accepted.note.startswith("1 events have ids of other events")
        assert target.send(batch_of(body(2), other, body(3))).note == ""  # it comes again
    rows = dict(place.rows())
    [aside] = set(rows) - set(idents(1, 3))
    assert re.fullmatch(ident(1) + "~[0-9a-f]{16}", aside)
    assert (rows[ident(1)], rows[aside]) == (body(1), other)
    assert place.query("SELECT id, collides_with FROM {schema}.events WHERE collides_with IS NOT NULL") == [
        (aside, ident(1))
    ]


def test_two_events_with_one_id_in_one_batch_are_both_kept(place):
    with closing(place.target()) as target:
        target.send(batch_of(body(1), body(1, note="another"), body(1), body(1, note="a third")))
    assert sorted(body for _, body in place.rows()) == sorted(
        [body(1), body(1, note="another"), body(1, note="a third")]
    )


# Months.


def month_id(year: int, month: int, number: int = 0) -> str:
    """The id of an event in the middle of a month."""
    digits = f"{int(datetime(year, month, 15, tzinfo=UTC).timestamp() * 1000) + number:012x}"
    return f"{digits[:8]}-{digits[8:]}-7000-8000-000000000000"


def at(place: PostgresPlace, time: datetime, **options: str) -> Target:
    """A target for which it is that time."""
    from auditmw.ship.targets.postgres.connection import settings
    from auditmw.ship.targets.postgres.target import PostgresTarget

    return PostgresTarget(settings(Address(place.server.url(schema=place.schema, **options))), now=lambda: time)


def tables(place: PostgresPlace) -> list[str]:
    rows = place.query(
        "SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = '{schema}.events'::regclass"
    )
    return sorted(name.removeprefix("events_") for (name,) in rows)


def test_the_tables_of_the_next_months_are_there_before_the_events(place):
    with closing(at(place, datetime(2026, 11, 30, tzinfo=UTC))) as target:
        target.send(batch_of(body(1, id=month_id(2026, 11))))
    assert tables(place) == ["2026_11", "2026_12", "2027_01", "other"]
    with closing(at(place, datetime(2026, 12, 1, tzinfo=UTC), ahead="3")) as target:
        target.send(batch_of(body(2, id=month_id(2026, 12))))
    assert tables(place) == ["2026_11", "2026_12", "2027_01", "2027_02", "2027_03", "other"]


def test_events_of_long_ago_get_their_month_and_strange_ones_are_in_other(place):
    ids = [month_id(2011, 2), month_id(1999, 1), month_id(2300, 1), "zzz", "019", ident(1)[:-1], "0" * 36]
    with closing(at(place, datetime(2026, 11, 30, tzinfo=UTC))) as target:
        target.send(batch_of(*(body(number, id=each) for number, each in enumerate(ids))))
    assert tables(place) == ["2011_02", "2026_11", "2026_12", "2027_01", "other"]
    found = dict(place.query("SELECT id, tableoid::regclass::text FROM {schema}.events"))
    assert found[month_id(2011, 2)].endswith("events_2011_02")
    assert {table.rpartition("_")[2] for each, table in found.items() if each != month_id(2011, 2)} == {"other"}


def test_a_month_that_comes_late_takes_its_events_from_other(place):
    with closing(at(place, datetime(2026, 1, 15, tzinfo=UTC))) as target:
        target.send(batch_of(body(1, id=month_id(2028, 5)), body(2, id=month_id(2028, 6))))
    assert place.query("SELECT count(*) FROM {schema}.events_other") == [(2,)]
    with closing(at(place, datetime(2028, 5, 15, tzinfo=UTC), ahead="1")) as target:
        target.send(batch_of(body(1, id=month_id(2028, 5)), body(3, id=month_id(2028, 5, 1))))
    assert place.query("SELECT count(*) FROM {schema}.events_other") == [(0,)]
    assert place.query("SELECT count(*) FROM {schema}.events_2028_05") == [(2,)]
    assert len(place.rows()) == 3


def test_the_months_around_a_border_are_told_apart(place):
    border = int(datetime(2026, 12, 1, tzinfo=UTC).timestamp() * 1000)
    ids = []
    for milliseconds in (border - 1, border):
        digits = f"{milliseconds:012x}"
        ids.append(f"{digits[:8]}-{digits[8:]}-7fff-bfff-ffffffffffff")
    with closing(at(place, datetime(2026, 11, 30, tzinfo=UTC))) as target:
        target.send(batch_of(*(body(number, id=each) for number, each in enumerate(ids))))
    assert place.query("SELECT id FROM {schema}.events_2026_11") == [(ids[0],)]
    assert place.query("SELECT id FROM {schema}.events_2026_12") == [(ids[1],)]


def test_first_id_lets_a_query_look_at_some_months_only(place):
    with closing(at(place, datetime(2026, 11, 30, tzinfo=UTC))) as target:
        target.send(batch_of(*(body(month, id=month_id(2026, month)) for month in range(1, 13))))
    where = "id >= {schema}.first_id('2026-03-01Z') AND id < {schema}.first_id('2026-05-01Z')"
    assert place.query("SELECT count(*) FROM {schema}.events WHERE " + where) == [(2,)]
    plan = "\n".join(line for (line,) in place.query("EXPLAIN SELECT count(*) FROM {schema}.events WHERE " + where))
    assert set(re.findall(r"events_(\d{4}_\d\d)\b", plan)) == {"2026_03", "2026_04"}


def test_a_month_that_was_taken_off_stays_off(place):
    with closing(at(place, datetime(2026, 11, 30, tzinfo=UTC))) as target:
        target.send(batch_of(body(1, id=month_id(2026, 10))))
    place.query("ALTER TABLE {schema}.events DETACH PARTITION {schema}.events_2026_10")
    with closing(at(place, datetime(2026, 11, 30, tzinfo=UTC))) as target:
        target.send(batch_of(body(2, id=month_id(2026, 10, 1))))
    assert place.query("SELECT count(*) FROM {schema}.events_2026_10") == [(1,)]
    assert place.query("SELECT count(*) FROM {schema}.events_other") == [(1,)]


# The documentation.


def documented_sql() -> str:
    """The SQL of the page, without comments."""
    page = (Path(__file__).parent.parent / "docs" / "shipping-targets.md").read_text()
    section = page.partition("\n## PostgreSQL")[2].partition("\n## ")[0]
    return re.sub("--.*", "", "".join(re.findall(r"^```sql\n(.*?)^```", section, re.MULTILINE | re.DOTALL)))


def test_the_documented_sql_runs_and_its_grants_are_enough(place):
    name = f"documented_{next(numbers)}"
    place.query(f"CREATE DATABASE {name}")
    place.query("CREATE ROLE shop LOGIN")
    try:
        url = place.server.url(name)
        order = body(1, id=month_id(2026, 3), data={"order": {"id": 17}}, actor={"id": "alice"})
        with closing(target_for(url)) as target:
            target.send(batch_of(order, body(2, id=month_id(2025, 11))))
        answers = []
        with place.server.connect(dbname=name) as connection:
            for statement in filter(str.strip, documented_sql().split(";")):
                cursor = connection.execute(statement)
                answers.append(cursor.fetchall() if cursor.description else None)
        found = datetime(2026, 11, 20, 0, 0, 1, 1, tzinfo=UTC)
        assert answers.count([(found, "alice")]) == 2  # by fields, and by the index
        assert answers.count([(1,)]) == 1  # of March
        with closing(target_for(url.replace("postgres@", "shop@"))) as target:
            epoch = target.claim("journal/name").epoch
            assert target.send_with_cursor(batch_of(body(3)), kept("journal/name", epoch, b"3")).events == 1
    finally:
        place.server.execute("DROP OWNED BY shop", dbname=name)
        place.query(f"DROP DATABASE {name} WITH (FORCE)")
        place.query("DROP ROLE shop")


# What needs no server.


@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_json_is_repaired_where_postgresql_would_not_take_it_and_nowhere_else(value):
    from auditmw.ship.targets.postgres.columns import repaired, storable

    def cleaned(each):
        if isinstance(each, dict):
            return {storable(name): cleaned(inner) for name, inner in each.items()}
        if isinstance(each, list):
            return [cleaned(inner) for inner in each]
        return storable(each) if isinstance(each, str) else each

    text = json.dumps(value)
    assert json.loads(repaired(text)) == cleaned(json.loads(text))
    if "\\u" not in text:
        assert repaired(text) == text


@given(st.text())
def test_half_a_pair_of_surrogates_is_found_wherever_it_stands(text):
    from auditmw.ship.targets.postgres.columns import repaired

    halves = "\ud83d".join(text) + "\ude00"
    json.loads(repaired(json.dumps(halves))).encode()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        pytest.param("postgresql://a/x?sslmode=yes", "one of disable, allow, prefer", id="no mode of TLS"),
        pytest.param("postgresql://a/x?schema=pg_catalog", "the name of a schema", id="the system's schema"),
        pytest.param("postgresql://a/x?schema=" + "n" * 64, "the name of a schema", id="a schema of 64 bytes"),
        pytest.param("postgresql://a/x?batch=0", "a whole number above 0 for batch", id="an empty batch"),
        pytest.param("postgresql://a/x?tabel=y", "has no option 'tabel'; it has: ahead, batch", id="no such option"),
    ],
)
def test_a_url_that_says_nothing_clear_is_refused(url, message):
    with pytest.raises(AddressError, match=message):
        target_for(url)


def test_a_format_is_refused_because_the_tables_are_the_form():
    with pytest.raises(AddressError, match="takes no format, so not 'ecs'"):
        target_for("postgresql://a/x", "ecs")


def test_several_servers_and_a_socket_folder_are_passed_on():
    from psycopg.conninfo import conninfo_to_dict

    from auditmw.ship.targets.postgres.connection import settings

    found = conninfo_to_dict(settings(Address("postgresql://u:p%40@a:1,b/db?sslmode=require")).conninfo)
    assert (found["host"], found["port"], found["user"], found["password"]) == ("a,b", "1,5432", "u", "p@")
    assert (found["dbname"], found["sslmode"], found["target_session_attrs"]) == ("db", "require", "read-write")
    found = conninfo_to_dict(settings(Address("postgresql:///db?host=/run/postgresql")).conninfo)
    assert (found["host"], "port" in found) == ("/run/postgresql", False)
