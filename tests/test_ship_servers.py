"""`Audit(..., ship=[URL])` in the workers of real servers: one of them ships, and another one when that is killed."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import journal_files
from auditmw.journal.reader import read_lines
from auditmw.ship.status import Status, statuses
from postgres_server import Postgres, postgres
from servers import HOST, PYUWSGI, SERVERS, AppServer, Kind, poll, request
from ship_conformance import body, write_events

WORKERS = "2"
CLIENTS = 4
KILLS = 2
PIPE_BYTES = 1 << 16  # what a pipe takes before its writer waits (pipe(7))


def gunicorn(worker: str, *more: str) -> tuple[str, ...]:
    return ("-m", "gunicorn", "-b", f"{HOST}:{{port}}", "-k", worker, "-w", WORKERS, *more, "{app}")


PREFORKED = {
    kind.name: kind
    for kind in (
        Kind("gunicorn-sync", "wsgi", ("gunicorn",), gunicorn("sync")),
        Kind("gunicorn-gthread", "wsgi", ("gunicorn",), gunicorn("gthread", "--threads", "4")),
        Kind("gunicorn-gevent", "wsgi", ("gunicorn", "gevent"), gunicorn("gevent")),
        Kind("gunicorn-preload", "wsgi", ("gunicorn",), gunicorn("sync", "--preload")),
        Kind("gunicorn-gevent-preload", "wsgi", ("gunicorn", "gevent"), gunicorn("gevent", "--preload")),
        Kind(
            "uvicorn",
            "asgi",
            ("uvicorn",),
            ("-m", "uvicorn", "--host", HOST, "--port", "{port}", "--workers", WORKERS, "{app}"),
        ),
        Kind(
            "granian",
            "asgi",
            ("granian",),
            (
                *("-m", "granian", "--host", HOST, "--port", "{port}", "--interface", "asgi"),
                *("--workers", WORKERS, "--respawn-failed-workers", "{app}"),
            ),
        ),
        Kind(
            "pyuwsgi",
            "wsgi",
            ("pyuwsgi",),
            (
                *("-c", PYUWSGI, "--http-socket", f"{HOST}:{{port}}", "--module", "{app}", "--master"),
                *("--processes", WORKERS, "--enable-threads", "--need-app", "--die-on-term"),
            ),
            stop_seconds=4,
        ),
    )
}
EACH = [pytest.param(kind, id=name, marks=pytest.mark.needs(*kind.modules)) for name, kind in PREFORKED.items()]


class Shop:
    """A started server whose workers ship to `url`; `arrived` gives the ids that are there."""

    def __init__(self, kind: Kind, root: Path, url: str, arrived: Callable[[], list[str]]) -> None:
        self.audit, self.arrived = root / "audit", arrived
        env = {"AUDIT_DIRECTORY": str(self.audit), "AUDIT_SHIP": url}
        self.server = AppServer(kind, root, f"server_apps:{kind.protocol}", env=env)

    def ask(self, count: int) -> int:
        """Ask so many times, from several clients at once; return how often there was an answer."""

        def one(_: int) -> bool:
            try:
                return request(self.server.port, "GET", "/list").status == 200
            except (OSError, http.client.HTTPException):  # its worker was killed
                return False

        with ThreadPoolExecutor(CLIENTS) as pool:
            return sum(pool.map(one, range(count)))

    def recorded(self) -> list[str]:
        lines = read_lines(self.audit, on_damage=lambda damage: None, quarantine=False)  # torn by a kill, it may be
        return sorted(json.loads(line.body)["id"] for line in lines)

    def status(self) -> Status:
        [status] = statuses(self.audit)
        return status

    def leader(self) -> int:
        """The process that ships, once there is one that says so."""
        return int(poll(lambda: self.audit.is_dir() and statuses(self.audit) and self.status().pid, "a leader"))

    def new_leader(self, old: int) -> int:
        poll(lambda: self.status().pid != old, f"another leader than {old}")
        return self.leader()

    def check(self) -> None:
        """Whatever was recorded has arrived, once, and the cursor says so."""
        poll(lambda: self.status().lag.events == 0, "the cursor to pass every event")
        assert sorted(self.arrived()) == self.recorded()


def writers(audit: Path) -> int:
    return len({path.name.rsplit(".", 2)[0] for path in journal_files.files(audit)})


def lines_in(path: Path) -> list[str]:
    """The ids of what is in the file by now, beside lines that were torn by a kill."""
    found = []
    for line in path.read_bytes().split(b"\n")[:-1] if path.exists() else []:
        with contextlib.suppress(ValueError):
            found.append(json.loads(line)["id"])
    return found


@pytest.mark.parametrize("kind", EACH)
def test_of_several_workers_one_ships_and_another_one_when_it_is_killed(kind: Kind, tmp_path: Path):
    out = tmp_path / "out.ndjson"
    shop = Shop(kind, tmp_path, f"file://{out}", lambda: lines_in(out))
    with shop.server:
        assert shop.ask(60) == 60
        poll(lambda: shop.ask(10) and writers(shop.audit) > 1, "a request for each worker")
        first = shop.leader()
        shop.check()
        assert first != shop.server.child.pid, "the process that only forks others ships"
        os.kill(first, signal.SIGKILL)
        assert poll(lambda: shop.ask(20), "the server to answer again")
        second = shop.new_leader(first)
        assert shop.ask(60) == 60
        shop.check()
        assert (shop.status().epoch, shop.status().pid) == (2, second)
        assert shop.status().last_error == ""


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with postgres() as server:
        yield server


@pytest.mark.needs("postgres", "psycopg")
@pytest.mark.parametrize(
    "kind", [each for each in EACH if each.id in ("gunicorn-gthread", "gunicorn-gevent", "uvicorn")]
)
def test_killed_while_requests_come_the_workers_bring_each_event_to_postgresql_once(
    kind: Kind, tmp_path: Path, database: Postgres
):
    schema = kind.name.replace("-", "_")

    def arrived() -> list[str]:
        return [ident for (ident,) in database.execute(f"SELECT id FROM {schema}.events")]

    shop = Shop(kind, tmp_path, database.url(schema=schema), arrived)
    with shop.server, ThreadPoolExecutor(1) as asking:
        shop.ask(20)
        leader = shop.leader()
        for _ in range(KILLS):
            before = len(shop.recorded())
            answers = asking.submit(shop.ask, 150)
            poll(lambda before=before: len(shop.recorded()) > before + 30, "some requests")
            os.kill(leader, signal.SIGKILL)
            leader = shop.new_leader(leader)
            assert answers.result() > 0
        assert poll(lambda: shop.ask(20), "the server to answer again")
        shop.check()
        assert shop.status().epoch == 1 + KILLS


@pytest.mark.needs("gunicorn", "gevent")
def test_a_target_that_does_not_go_on_holds_up_no_greenlet(tmp_path: Path):
    """Writing to a full pipe waits, and knows nothing of greenlets."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    shop = Shop(SERVERS["gunicorn-gevent"], tmp_path, f"file://{pipe}", list)
    shop.audit.mkdir()
    write_events(shop.audit, [body(1, text="x" * PIPE_BYTES)])
    with shop.server:
        assert shop.ask(20) == 20
        shop.leader()
        poll(lambda: shop.status().state == "shipping", "the event that the pipe does not take")
        assert shop.status().lag.events == 21
