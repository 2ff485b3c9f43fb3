"""Tables that are made anew while views still read the old ones.

A view has no transaction: an error or an interrupt would end it. So what a view reads never changes: a table only gets
rows with a higher `arrival`, and is dropped when it was replaced and nobody reads it any more.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import NamedTuple

import duckdb


class Tables(NamedTuple):
    """What a view reads beside the parts: the table of live lines up to an arrival, and that of cut-off requests."""

    live: str
    arrival: int
    cut_off: str


class Versions:
    """The tables of one connection. Any thread may release what is pinned; the rest is for one at a time."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._pins: Counter[str] = Counter()
        self._retired: set[str] = set()
        self._count = 0

    def name(self, stem: str) -> str:
        """Return a new name for a table."""
        self._count += 1
        return f"{stem}_{self._count}"

    def retire(self, name: str) -> None:
        """Have the table dropped as soon as nobody reads it."""
        self._retired.add(name)

    def drop_retired(self) -> None:
        """Drop what nobody reads."""
        with self._lock:
            unread = {name for name in self._retired if not self._pins[name]}
        for name in unread:
            self._connection.execute(f"DROP TABLE {name}")
        self._retired -= unread

    def pinned(self, tables: Tables) -> Pinned:
        """Keep the tables until they are released."""
        with self._lock:
            self._pins.update((tables.live, tables.cut_off))
        return Pinned(self, tables)

    def unpin(self, tables: Tables) -> None:
        """Need the tables once less."""
        with self._lock:
            self._pins.subtract((tables.live, tables.cut_off))


class Pinned:
    """Tables that stay until `release`."""

    def __init__(self, versions: Versions, tables: Tables) -> None:
        self.tables = tables
        self._versions: Versions | None = versions

    def release(self) -> None:
        """Let go of the tables; more than once is once."""
        versions, self._versions = self._versions, None
        if versions is not None:
            versions.unpin(self.tables)
