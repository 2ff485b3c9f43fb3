"""SQLite as the store of audit events: the yardstick for `benchmarks.query`.

It is used as well as we know how: one table with the JSON as text, an index for every question, covering ones where
that helps, pages of 16 KiB, indices made after the load. A funnel in SQL alone takes many times as long as this one: a
state machine over streams from a covering index, because SQLite has neither a hash join nor a join that ends at the
first match in time.
"""

from __future__ import annotations

import os
import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from auditmw.journal import FileReader, journal_files
from benchmarks.questions import FACET_VALUES, FUNNEL, FUNNEL_WINDOW, PAGE, Subject

SCHEMA = """
    PRAGMA page_size = 16384;
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA locking_mode = EXCLUSIVE;
    CREATE TABLE event (
        id INTEGER PRIMARY KEY,
        time INTEGER NOT NULL,  -- microseconds since the epoch
        status INTEGER,
        user TEXT,
        session TEXT,
        trace TEXT,
        action TEXT,  -- method and route of a request, the name of any other event
        body TEXT NOT NULL
    );
"""
INDICES = """
    CREATE INDEX by_time ON event (time, status);
    CREATE INDEX by_user ON event (user, time);
    CREATE INDEX by_session ON event (session, time);
    CREATE INDEX by_trace ON event (trace);
    CREATE INDEX by_action ON event (action, time, session, user);
    CREATE INDEX failed ON event (time) WHERE status >= 400;
    PRAGMA analysis_limit = 400;
    PRAGMA optimize;
"""
INSERT = "INSERT INTO event (time, status, user, session, trace, action, body) VALUES (?, ?, ?, ?, ?, ?, ?)"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MINUTE, _HOUR, _DAY = (
    delta // _MICROSECOND for delta in (timedelta(minutes=1), timedelta(hours=1), timedelta(days=1))
)


def build(directory: str | os.PathLike[str], file: str | os.PathLike[str]) -> int:
    """Load all journal files of ``directory`` into a new database with its indices; return the number of events."""
    connection = sqlite3.connect(file)
    try:
        connection.executescript(SCHEMA)
        for journal_file in journal_files(directory):
            connection.executemany(INSERT, (_row(line.body) for line in FileReader(journal_file).lines()))
        connection.commit()
        connection.executescript(INDICES)
        count: int = connection.execute("SELECT count(*) FROM event").fetchone()[0]
        return count
    finally:
        connection.close()


def _row(body: bytes) -> tuple[Any, ...]:
    event = orjson.loads(body)
    http, name = event.get("http", {}), event["event"]
    return (
        (datetime.fromisoformat(event["timestamp"]) - _EPOCH) // _MICROSECOND,
        http.get("response", {}).get("status_code"),
        event.get("actor", {}).get("id"),
        event.get("session", {}).get("id"),
        event["trace"]["trace_id"],
        f"{http['request']['method']} {http.get('route', '')}" if name == "http_request" else name,
        body.decode(),
    )


class Store:
    """The questions, put to a database that `build` made. Every answer is a value that other stores' can be held to."""

    def __init__(self, file: str | os.PathLike[str], subject: Subject) -> None:
        self._connection = sqlite3.connect(f"file:{os.fspath(file)}?mode=ro", uri=True)
        self._subject = subject
        self.first_seconds: float | None = None  # answers come whole
        self._until = (subject.until - _EPOCH) // _MICROSECOND
        self._last_day = (subject.last_day - _EPOCH) // _MICROSECOND
        self._first_day = (subject.first_day - _EPOCH) // _MICROSECOND

    def newest_page(self) -> Any:
        """The newest events of all."""
        return self._bodies("ORDER BY time DESC LIMIT ?", PAGE)

    def user_page(self) -> Any:
        """The newest events of a user."""
        return self._bodies("WHERE user = ? ORDER BY time DESC LIMIT ?", self._subject.user, PAGE)

    def session_page(self) -> Any:
        """The newest events of a session."""
        return self._bodies("WHERE session = ? ORDER BY time DESC LIMIT ?", self._subject.session, PAGE)

    def trace_page(self) -> Any:
        """The events of a trace."""
        return self._bodies("WHERE trace = ? ORDER BY time DESC LIMIT ?", self._subject.trace, PAGE)

    def timeline(self) -> Any:
        """The newest events of a user, and how many there are from when until when."""
        sql = "SELECT count(*), min(time), max(time) FROM event WHERE user = ?"
        events, first, last = self._connection.execute(sql, (self._subject.user,)).fetchone()
        life = [events, str(_EPOCH + first * _MICROSECOND), str(_EPOCH + last * _MICROSECOND)]
        return [*self.user_page(), life]

    def text_24h(self) -> Any:
        """The newest events of the last day with a word in them."""
        where = "WHERE time >= ? AND time < ? AND body LIKE ? ORDER BY time DESC LIMIT ?"
        return self._bodies(where, self._last_day, self._until, f"%{self._subject.common}%", PAGE)

    def text_all_time(self) -> Any:
        """The newest events with a word in them that hardly any has: all are looked at."""
        return self._bodies("WHERE body LIKE ? ORDER BY time DESC LIMIT ?", f"%{self._subject.rare}%", PAGE)

    def histogram_24h(self) -> Any:
        """Events of the last day by ten minutes and class of status."""
        return self._histogram(self._last_day, 10 * _MINUTE)

    def histogram_30d(self) -> Any:
        """Events of 30 days by six hours and class of status."""
        return self._histogram(self._first_day, 6 * _HOUR)

    def facets_24h(self) -> Any:
        """The most frequent values of three fields in the last day."""
        return self._facets(self._last_day)

    def facets_30d(self) -> Any:
        """The same in 30 days."""
        return self._facets(self._first_day)

    def funnel_30d(self) -> Any:
        """How many sessions came to each step: its first time at or after the step before."""
        window = FUNNEL_WINDOW // _MICROSECOND
        began: dict[str, int] = {}
        reached: dict[str, int] = {}
        counts = []
        for number, action in enumerate(FUNNEL):
            before, reached = reached, {}
            sql = "SELECT session, time FROM event WHERE action = ? AND time >= ? AND time < ? ORDER BY time"
            for session, time in self._connection.execute(sql, (action, self._first_day, self._until)):
                if session is None or session in reached:
                    continue
                if number == 0:
                    began[session] = reached[session] = time
                elif before.get(session, self._until) <= time <= began.get(session, 0) + window:
                    reached[session] = time
            counts.append(len(reached))
        return counts

    def retention_30d(self) -> Any:
        """How many users of each day came on each later one."""
        sql = """
            WITH days AS (
                SELECT DISTINCT user, (time - ?1) / ?3 AS day FROM event
                WHERE user IS NOT NULL AND time >= ?1 AND time < ?2
            ), firsts AS (SELECT user, min(day) AS first FROM days GROUP BY user)
            SELECT first, day - first, count(*) FROM days JOIN firsts USING (user) GROUP BY 1, 2 ORDER BY 1, 2
        """
        return self._connection.execute(sql, (self._first_day, self._until, _DAY)).fetchall()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _bodies(self, rest: str, *values: object) -> list[str]:
        return [body for (body,) in self._connection.execute(f"SELECT body FROM event {rest}", values)]

    def _histogram(self, since: int, width: int) -> Any:
        sql = """
            SELECT (time - ?1) / ?3, status / 100, count(*) FROM event WHERE time >= ?1 AND time < ?2
            GROUP BY 1, 2 ORDER BY 1, 2
        """
        return self._connection.execute(sql, (since, self._until, width)).fetchall()

    def _facets(self, since: int) -> Any:
        sql = """
            SELECT {0}, count(*) FROM event {1} WHERE time >= ? AND time < ? AND {0} IS NOT NULL
            GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?
        """
        # Of the whole time it is faster to read an index in its own order than to look up each time's row.
        indexed = {"user": "INDEXED BY by_user", "action": "INDEXED BY by_action"} if since == self._first_day else {}
        values = (since, self._until, FACET_VALUES)
        found = {
            field: self._connection.execute(sql.format(field, indexed.get(field, "")), values).fetchall()
            for field in ("status", "user", "action")
        }
        return [[[str(value), count] for value, count in found[field]] for field in ("status", "user")]
