"""Events into PostgreSQL, each exactly once: rows and cursor are one transaction.

1. A batch is copied straight into the table. Where one of its ids is there already, it is copied into a temporary
   table, and inserted from there; what is there stays as it is. So an answer that was lost, a cursor that was lost, or
   a copied directory makes no event come twice.
2. Another event with the same id is not dropped: it gets an id of its own, `<id>~<digits of its SHA-256>`, and
   `collides_with` has the one that both came with.
3. COMMIT is answered when the rows are on the server's disk, and on that of a synchronous standby.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import psycopg
from psycopg import Connection, sql
from psycopg.rows import TupleRow

from auditmw.formats.record import Event
from auditmw.ship.batch import Batch, Entry
from auditmw.ship.target import (
    Accepted,
    Claim,
    CursorKeeper,
    FencedError,
    Inventory,
    KeptCursor,
    Mention,
    RetryableError,
)
from auditmw.ship.targets.postgres.columns import row, stored_id
from auditmw.ship.targets.postgres.connection import Settings, bounded, connect
from auditmw.ship.targets.postgres.partitions import Partitions
from auditmw.ship.targets.postgres.refusal import ship_error
from auditmw.ship.targets.postgres.schema import check_types, prepare
from auditmw.ship.targets.postgres.statements import COPY_STAGED, STAGE, Statements

MAX_BYTES = 4 * 1024 * 1024
_NOT_UTF8 = "its JSON is not UTF-8"
_log = logging.getLogger("auditmw.ship")


def _utc_now() -> datetime:
    return datetime.now(UTC)


class PostgresTarget(CursorKeeper, Inventory):
    """Puts events into the tables of one schema. `now`: the time, aware: for which months there are to be tables."""

    def __init__(self, found: Settings, *, now: Callable[[], datetime] = _utc_now) -> None:
        self.max_events, self.max_bytes = found.max_events, MAX_BYTES
        self._settings = found
        self._partitions = Partitions(found.schema, found.months_ahead, now)
        self._statements = Statements(found.schema)
        self._connection: Connection[TupleRow] | None = None
        self._is_news = True  # whether the last batch had nothing that was there already

    def record(self, entry: Entry, event: Event) -> bytes:
        """Return an event's row."""
        return row(entry, event)

    def send(self, batch: Batch) -> Accepted:
        """Insert the batch."""
        return self._send(batch, None) if len(batch) else Accepted(0)

    def send_with_cursor(self, batch: Batch, cursor: KeptCursor) -> Accepted:
        """Insert the batch and keep the cursor, both or none."""
        return self._send(batch, cursor)

    def claim(self, name: str) -> Claim:
        """Return the next epoch of a cursor, and what was kept with it."""
        with self._working() as connection:
            row = connection.execute(self._statements.claim, (name,)).fetchone()
            assert row is not None  # noqa: S101 - RETURNING
            return Claim(int(row[0]), None if row[1] is None else bytes(row[1]))

    def absent(self, events: Sequence[Mention]) -> set[str]:
        """Look the ids up, by the primary key."""
        asked = {stored_id(event.id): event.id for event in events}
        with self._working() as connection:
            rows = connection.execute(self._statements.absent, (list(asked),)).fetchall()
        return {asked[ident] for (ident,) in rows}

    def counts(self, writers: Sequence[str]) -> Mapping[str, int]:
        """Count the rows of each writer."""
        with self._working() as connection:
            return dict(connection.execute(self._statements.counts, (list(writers),)).fetchall())

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.close()

    def _send(self, batch: Batch, cursor: KeptCursor | None) -> Accepted:
        with self._working() as connection:
            self._partitions.ensure(connection, (entry.id for entry in batch))
            refused, aside = self._transact(connection, batch, cursor)
        note = f"{aside} events have ids of other events; see collides_with" if aside else ""
        if note:
            _log.warning("auditmw: %s: %s", self._settings.shown, note)
        return Accepted(len(batch) - len(refused), refused=refused, note=note)

    def _transact(
        self, connection: Connection[TupleRow], batch: Batch, cursor: KeptCursor | None
    ) -> tuple[dict[int, str], int]:
        """Do it all in one transaction; return what was refused, and how many events were set aside for their ids."""
        if self._is_news:
            try:
                with self._keeping(connection, cursor):
                    return self._copy(connection, self._statements.copy, batch), 0
            except psycopg.errors.UniqueViolation:
                self._is_news = False
        with self._keeping(connection, cursor):
            return self._insert(connection, batch)

    def _insert(self, connection: Connection[TupleRow], batch: Batch) -> tuple[dict[int, str], int]:
        """Insert what is not there yet, and set aside what is there with another content."""
        connection.execute(STAGE)
        refused = self._copy(connection, COPY_STAGED, batch)
        self._is_news = connection.execute(self._statements.insert).rowcount == len(batch) - len(refused)
        return refused, 0 if self._is_news else connection.execute(self._statements.set_aside).rowcount

    def _copy(
        self, connection: Connection[TupleRow], statement: sql.SQL | sql.Composed, batch: Batch
    ) -> dict[int, str]:
        """Copy the events to the server; return those that cannot be there, by position, and why."""
        if len(batch):
            with connection.cursor() as cursor, cursor.copy(statement) as copy:
                copy.write(b"".join(entry.record for entry in batch))
        return {position: _NOT_UTF8 for position, entry in enumerate(batch) if not entry.record}

    @contextmanager
    def _keeping(self, connection: Connection[TupleRow], cursor: KeptCursor | None) -> Iterator[None]:
        """Keep the cursor in one transaction with the block."""
        with connection.transaction():
            if cursor is not None:
                self._keep(connection, cursor)
            yield

    def _keep(self, connection: Connection[TupleRow], cursor: KeptCursor) -> None:
        """Keep the cursor first: whoever was overtaken waits for nobody, and does no work."""
        if connection.execute(self._statements.keep_cursor, (cursor.name, cursor.epoch, cursor.data)).rowcount == 0:
            raise FencedError(f"another shipper has taken over {cursor.name}; this one, of epoch {cursor.epoch}, stops")

    @contextmanager
    def _working(self) -> Iterator[Connection[TupleRow]]:
        """Give a connection with tables; turn what goes wrong into what the shipper knows."""
        try:
            connection = self._connected()
            with bounded(connection, self._settings.timeout_seconds):
                yield connection
        except psycopg.Error as error:
            self._check_types(error)
            raise ship_error(error) from error
        except OSError as error:
            raise RetryableError(str(error)) from error
        finally:
            if self._connection is not None and (self._connection.closed or self._connection.broken):
                self.close()

    def _check_types(self, error: psycopg.Error) -> None:
        """Raise UnusableError when it is not the value that is wrong, but the column."""
        if self._connection is not None and isinstance(error, psycopg.DataError):
            with suppress(psycopg.Error), bounded(self._connection, self._settings.timeout_seconds):
                check_types(self._connection, self._settings.schema)

    def _connected(self) -> Connection[TupleRow]:
        if self._connection is not None:
            return self._connection
        connection = connect(self._settings)
        try:
            with bounded(connection, self._settings.timeout_seconds):
                connection.execute("SET client_min_messages = warning")
                prepare(connection, self._settings.schema)
                self._partitions.load(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection
