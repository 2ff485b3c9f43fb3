"""`postgresql://` against a real server: the conformance suite, and what can go wrong with a database."""

from __future__ import annotations

import itertools

import pytest

from auditmw.ship.target import Target
from auditmw.ship.targets import target_for
from postgres_server import Postgres, postgres
from ship_conformance import Place, ShipConformance, body

pytestmark = [pytest.mark.needs("psycopg"), pytest.mark.needs("postgres")]

numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server():
    with postgres() as started:
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
