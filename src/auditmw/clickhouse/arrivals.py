"""What came into the tables since the last look: for those who follow the log where there are no files.

A mark says when it was taken, by the server's clock, and the last number of each writer of whom something came in the
minute before. A writer's events come in the order of their numbers, so that what comes late, because its INSERT took
long, is not passed over. Of a writer that is not in it, all is new that came since a minute before.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from auditmw.query.cursor import Key
from auditmw.query.engine import Engine
from auditmw.query.page import Entry
from auditmw.query.question import Question
from auditmw.query.scope import EVERYTHING, Scope

WINDOW_SECONDS = 60
MOST_WRITERS = 400
_EPOCH = datetime(1970, 1, 1)

_MARK = f"""SELECT toInt64(toUnixTimestamp64Micro(now64(6, 'UTC'))), groupArray(writer), groupArray(top) FROM (
    SELECT writer, max(seq) AS top FROM events
    WHERE stored >= now64(6, 'UTC') - toIntervalSecond({WINDOW_SECONDS})
    GROUP BY writer ORDER BY max(stored) DESC LIMIT {MOST_WRITERS})"""
_NEW = """stored >= $since AND seq > transform(toString(writer), $writers, $known, toInt64(-1))
    AND seq <= transform(toString(writer), $writers, $tops, toInt64(-1))"""


class Mark(NamedTuple):
    """A moment, in seconds since 1970, and the last number of each writer that was heard of in the minute before."""

    taken: float
    seqs: Mapping[str, int]


class Arrived(NamedTuple):
    """What came, oldest first, and the mark to go on from. `behind`: how many more came, and are left out."""

    entries: tuple[Entry, ...]
    mark: Mark
    behind: int


def mark(engine: Engine, **options: Any) -> Mark:
    """Return how far it is now; `options` are those of `Engine.ask`."""
    return engine.ask(_mark, EVERYTHING, **options)


def arrived(engine: Engine, scope: Scope, since: Mark, *, limit: int, **options: Any) -> Arrived:
    """Return the newest `limit` events of the scope that came since a mark; of an engine for ClickHouse only."""
    now = mark(engine, **options)
    tops = {writer: top for writer, top in now.seqs.items() if top > since.seqs.get(writer, -1)}
    if not tops:
        return Arrived((), now, 0)
    values = {
        "since": _EPOCH + timedelta(seconds=since.taken - WINDOW_SECONDS),
        "writers": list(tops),
        "known": [since.seqs.get(writer, -1) for writer in tops],
        "tops": list(tops.values()),
    }

    def answer(question: Question) -> Arrived:
        sql = f"""SELECT time, writer, seq, body FROM events WHERE {_NEW}
            ORDER BY time DESC NULLS LAST, writer DESC, seq DESC LIMIT $limit"""
        rows = question.whole(sql, {**values, "limit": limit})
        count = len(rows)
        if count == limit:
            count = sum(number for (number,) in question.whole(f"SELECT count() FROM events WHERE {_NEW}", values))
        entries = tuple(Entry(Key(time, writer, seq), body.encode()) for time, writer, seq, body in reversed(rows))
        return Arrived(entries, now, max(0, count - len(entries)))

    return engine.ask(answer, scope, **options)


def _mark(question: Question) -> Mark:
    rows = question.whole(_MARK)
    if not rows:  # the time was over
        return Mark(datetime.now(UTC).timestamp(), {})
    ((micros, writers, tops),) = rows
    return Mark(micros / 1e6, dict(zip(writers, tops, strict=True)))
