"""The store that a database of ClickHouse is, filled by `auditmw ship`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from auditmw.clickhouse.connection import Connection, DatabaseError, server_of
from auditmw.clickhouse.view import ClickHouseView
from auditmw.query.language.clickhouse import CLICKHOUSE
from auditmw.query.language.clickhouse import ClickHouse as WordsOfClickHouse
from auditmw.query.language.dialect import Dialect
from auditmw.query.store import StoreError
from auditmw.ship.address import Address
from auditmw.ship.target import ShipError, UnusableError
from auditmw.ship.targets.clickhouse import Options
from auditmw.ship.targets.clickhouse.schema import (
    EPOCH,
    VERSION,
    Place,
    has_whole_seconds,
    schema_version,
    server_version,
)
from auditmw.ship.targets.clickhouse.server import Server

OLDEST = (25, 11)
"""The first version that has `IS DISTINCT FROM` everywhere (https://github.com/ClickHouse/ClickHouse/pull/87581)."""


class Known(NamedTuple):
    """What is known of a server and its tables: the words it has, and whether there are rows from before version 2."""

    dialect: WordsOfClickHouse
    has_older: bool


class ClickHouse:
    """The events of `clickhouse://user:password@host:port/database`, a URL as `auditmw ship --to` takes it.

    Constructing it does no I/O. `memory_bytes`: what one statement may need on the server. Safe for threads: each view
    has a connection of its own while it lasts. Raises AddressError, which is a ValueError, for a URL that is wrong.
    """

    archive_error = None

    def __init__(self, url: str, *, memory_bytes: int = 4 * 1024**3) -> None:
        server_of(url)
        self.shown = Address(url).shown
        self._url = url
        self._place = Options.of(Address(url)).place
        self._memory_bytes = memory_bytes
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._known: Known | None = None

    @property
    def dialect(self) -> Dialect:
        """The words that the server has, which is asked for them once. Raises DatabaseError."""
        return self._learned().dialect

    @contextmanager
    def view(self) -> Iterator[ClickHouseView]:
        """Look at what is stored by now. Raises DatabaseError, which is an OSError."""
        known = self._learned()
        with self._lock:
            connection = self._idle.pop() if self._idle else self._connection(known)
        try:
            yield self._view(connection, known)
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._idle.append(connection)

    def close(self) -> None:
        """Close the connections that nobody uses, and forget what is known."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._known = None
        for connection in idle:
            connection.close()

    def _connection(self, known: Known) -> Connection:
        return Connection(self._url, {**known.dialect.settings, "max_memory_usage": self._memory_bytes})

    def _learned(self) -> Known:
        known = self._known
        if known is None:
            server = server_of(self._url)
            try:
                known = self._known = _look_at(server, self._place)
            except ShipError as error:
                raise DatabaseError(error.reason) from error
            finally:
                server.close()
        return known

    def _view(self, connection: Connection, known: Known) -> ClickHouseView:
        try:
            return ClickHouseView(connection, self._place, has_older=known.has_older)
        except StoreError:
            self.close()  # it may be another server, or other tables, that the next view meets
            raise


def _look_at(server: Server, place: Place) -> Known:
    """Return what is to be known. Raises ShipError; UnusableError for what cannot be asked."""
    version = server_version(server)
    if version < OLDEST:
        needed, found = (f"{year}.{month}" for year, month in (OLDEST, version))
        raise UnusableError(f"questions need ClickHouse {needed} or newer, and {server.shown} is {found}")
    names = f"'{place.version}', '{place.table}'"
    there = server.rows(f"SELECT name FROM system.tables WHERE database = currentDatabase() AND name IN ({names})")
    if len(there) != 2:
        raise UnusableError(
            f"{server.shown} has no table {place.table} of auditmw's: expected the URL that `auditmw ship` fills, with "
            "its database and its table="
        )
    _check_schema(server, place)
    older = server.rows(f"SELECT 1 FROM `{place.table}` WHERE stored = {EPOCH} LIMIT 1")  # an index tells
    keeps = server.rows("SELECT 1 FROM system.settings WHERE name = 'enable_materialized_cte'")
    return Known(CLICKHOUSE if keeps else WordsOfClickHouse(keeps_tables=False), bool(older))


def _check_schema(server: Server, place: Place) -> None:
    version = schema_version(server, place)
    if version == VERSION:
        return
    wanted = f"questions need tables of version {VERSION}, not of {version!r} as {place.table} in {server.shown} is"
    if isinstance(version, int) and version > VERSION:
        raise UnusableError(f"{wanted}: a newer auditmw made it; use that one")
    if has_whole_seconds(server, place):
        raise UnusableError(
            f"{wanted}: an old server made it, with whole seconds; ship the events again, into another one with table="
        )
    raise UnusableError(f"{wanted}: an `auditmw ship` of this version brings it up to date when it next connects")
