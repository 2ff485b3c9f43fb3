"""The target: one INSERT a batch, into the table of one server or over the shards of a cluster.

1. At least once. A batch that comes again, because its answer was lost, has the same token, and ClickHouse passes over
   it: as long as it is among the last 1,000, and from version 22.8 on. Beyond that the table itself has each event once
   for whoever asks with FINAL, as its key is the event's time and id.
2. An INSERT over a cluster answers when the shards have it, not when the node that was asked has put it aside. While a
   shard is away, batches wait.
3. An INSERT makes a part of the table, and merging them is work: those that are not half full come `pause_seconds`
   apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from auditmw.formats.record import Event
from auditmw.ship.batch import Batch, Entry
from auditmw.ship.target import Accepted, Inventory, Mention, RetryableError, ShipError
from auditmw.ship.targets.clickhouse.rows import encoded, names, row
from auditmw.ship.targets.clickhouse.schema import Place, Ready, prepare
from auditmw.ship.targets.clickhouse.server import Server

MAX_EVENTS = 20_000
MAX_BYTES = 24 * 1024 * 1024
_FIRST, _END = datetime(1970, 1, 1, tzinfo=UTC), datetime(2106, 1, 1, tzinfo=UTC)  # what `time` has room for


class ClickHouseTarget(Inventory):
    """Inserts by the first of `servers`, and by the next one when that does not answer.

    `clock`: seconds that never go back; `sleep`: waits so many.
    """

    def __init__(
        self,
        servers: Sequence[Server],
        place: Place,
        pause_seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.max_events, self.max_bytes = MAX_EVENTS, MAX_BYTES
        self._servers = list(servers)
        self._place = place
        self._pause_seconds = pause_seconds
        self._clock, self._sleep = clock, sleep
        self._next_at = float("-inf")
        self._ready: Ready | None = None
        self._whole_seconds = False

    def record(self, entry: Entry, event: Event) -> bytes:
        """Return an event's row, for tables like the last ones."""
        return row(entry, event, whole_seconds=self._whole_seconds)

    def send(self, batch: Batch) -> Accepted:
        """Insert the batch."""
        if not len(batch):
            return Accepted(0)
        self._pace(batch)
        problem: RetryableError | None = None
        for _ in self._servers:
            try:
                self._insert(batch)
                return Accepted(len(batch))
            except RetryableError as error:
                problem = problem or error
                self._servers.append(self._servers.pop(0))
        assert problem is not None  # noqa: S101 - there is a server
        raise problem

    def absent(self, events: Sequence[Mention]) -> set[str]:
        """Look the ids up; where all have times, between the first and the last, as the table is sorted by time."""
        ids = [event.id for event in events]
        between = _between([event.time for event in events])
        statement = f"SELECT DISTINCT id FROM `{self._place.table}` WHERE {between}id GLOBAL IN (SELECT id FROM asked)"
        return set(ids) - {ident for (ident,) in self._ask(lambda server: server.rows_about(statement, ids))}

    def counts(self, writers: Sequence[str]) -> Mapping[str, int]:
        """Count the ids of each writer; doubles count once."""
        told = "SELECT writer, uniqExact(id)"
        statement = f"{told} FROM `{self._place.table}` WHERE writer GLOBAL IN (SELECT id FROM asked) GROUP BY writer"
        rows = self._ask(lambda server: server.rows_about(statement, writers))
        return {writer: int(count) for writer, count in rows}

    def _ask(self, question: Callable[[Server], list[list[Any]]]) -> list[list[Any]]:
        """Ask the first server that answers."""
        problem: RetryableError | None = None
        for server in self._servers:
            try:
                return question(server)
            except RetryableError as error:
                problem = problem or error
        assert problem is not None  # noqa: S101 - there is a server
        raise problem

    def close(self) -> None:
        """Close the connections."""
        self._ready = None
        for server in self._servers:
            server.close()

    def _insert(self, batch: Batch) -> None:
        try:
            ready = self._ready = self._ready or self._prepared()
            self._whole_seconds = ready.whole_seconds
            columns = ", ".join(f"`{name}`" for name in names(whole_seconds=ready.whole_seconds))
            statement = f"INSERT INTO `{self._place.table}` ({columns}) FORMAT TabSeparated"
            data = encoded(batch, whole_seconds=ready.whole_seconds)
            self._servers[0].insert(statement, data, self._settings(batch, ready))
        except ShipError:
            self._ready = None  # it may be another server, or other tables, that the next batch meets
            raise

    def _prepared(self) -> Ready:
        ready = prepare(self._servers[0], self._place)
        for server in self._servers[1:] if self._place.cluster else ():
            with suppress(RetryableError):  # its turn comes when it is back
                prepare(server, self._place)
        return ready

    def _settings(self, batch: Batch, ready: Ready) -> dict[str, str]:
        settings = {"insert_distributed_sync": "1"} if self._place.cluster else {}
        if ready.is_modern:
            settings |= {"insert_deduplication_token": batch.token, "async_insert": "0"}
        return settings

    def _pace(self, batch: Batch) -> None:
        """Wait after a small INSERT, so that the next one is not as small."""
        wait_seconds = self._next_at - self._clock()
        if wait_seconds > 0:
            self._sleep(wait_seconds)
        is_small = 2 * len(batch) < self.max_events and 2 * batch.bytes < self.max_bytes
        self._next_at = self._clock() + self._pause_seconds if is_small else float("-inf")


def _between(times: Sequence[datetime | None]) -> str:
    """Return a condition on `time` that holds for all of these, in whole seconds; "" where there is none."""
    known = [time if time.tzinfo else time.replace(tzinfo=UTC) for time in times if time is not None]
    if len(known) < len(times) or not all(_FIRST <= time < _END for time in known):
        return ""
    first, last = int(min(known).timestamp()), int(max(known).timestamp())
    return f"time >= toDateTime({first}) AND time < toDateTime({last + 1}) AND "
