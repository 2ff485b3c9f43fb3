"""What one user, session, trace or client did, in the order of time."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial as bound_to
from typing import Literal, NamedTuple, get_args

from auditmw.query.engine import Engine
from auditmw.query.language.dialect import Dialect
from auditmw.query.page import FIRST_LOOKED_UP, Entry, Order, Paging, Source
from auditmw.query.partial import Partial
from auditmw.query.question import Question
from auditmw.query.scope import EVERYTHING, Scope
from auditmw.query.stitching import spans_sql

Of = Literal["user", "session", "trace", "ip", "request", "correlation"]
PAUSE = timedelta(minutes=30)


class Visit(NamedTuple):
    """Events of one session, none of them longer than the pause after the one before, in the order of the timeline.

    `gap`: how long nobody did anything before it began, as far as the page shows. A visit may go on, or have begun, on
    another page.
    """

    session: str | None
    entries: tuple[Entry, ...]
    gap: timedelta | None


class Life(NamedTuple):
    """How many events there are over all time, and when the first and the last one were; in UTC."""

    events: int
    first: datetime | None
    last: datetime | None
    partial: Partial | None


class Timeline(NamedTuple):
    """One page of events, as visits, and where it goes on (`Page.next`, `Page.previous`).

    `life` is given with the first page only: None for those behind a cursor.
    """

    visits: tuple[Visit, ...]
    next: str | None
    previous: str | None
    life: Life | None
    partial: Partial | None


def timeline(
    engine: Engine,
    of: Of,
    value: str,
    scope: Scope = EVERYTHING,
    *,
    order: Order = "newest",
    after: str | None = None,
    before: str | None = None,
    limit: int = 100,
    pause: timedelta = PAUSE,
    stitched: bool = False,
    time_limit_seconds: float | None = None,
    token: Hashable = None,
) -> Timeline:
    """Return what the user, session, ... with this id did within the scope, a page at a time, as `page` does it.

    `stitched`: of a user, also what was done anonymously before logging in (stitching.py). `life` is of all time and
    all events, whatever the scope. Raises ValueError as `page` does.
    """
    if of not in get_args(Of):
        raise ValueError(f"expected one of {', '.join(get_args(Of))}, not {of!r}")
    paging = Paging.checked(order, after, before, limit)
    ask = bound_to(engine.ask, time_limit_seconds=time_limit_seconds, token=token)
    source = Source.of(of, value)
    incomplete = None
    if stitched and of == "user":
        spans, incomplete = ask(bound_to(_spans, user=value))
        if spans:
            source = Source(_stitched(engine.dialect), {"who": value, **spans}, first_rows=FIRST_LOOKED_UP)
    life = None
    if after is None and before is None:
        life = ask(bound_to(_life, source=source))
    page = ask(bound_to(paging.page, source=source), scope)
    return Timeline(visits(page.entries, order, pause), page.next, page.previous, life, page.partial or incomplete)


def _stitched(dialect: Dialect) -> str:
    """Return SQL for the events of a user, and for those in spans of sessions that nobody else did."""
    spans = dialect.unnested("", {"session": "$sessions", "since": "$since", "until": "$until"})
    return f"""(
    SELECT time, writer, seq FROM events WHERE "user" = $who
    UNION ALL
    SELECT events.time, events.writer, events.seq FROM events JOIN {spans} AS spans
    ON events.session = spans.session AND events.time <= spans.until
    WHERE events."user" IS NULL AND (spans.since = $always OR events.time > spans.since))"""


def _spans(question: Question, *, user: str) -> tuple[dict[str, object], Partial | None]:
    """Return the spans of sessions in which what nobody did is this user's, as `_stitched` binds them."""
    sessions_sql = 'SELECT DISTINCT session FROM events WHERE "user" = $user AND session IS NOT NULL'
    mine = question.whole(sessions_sql, {"user": user})
    dialect = question.dialect
    of_mine = f"(SELECT * FROM events WHERE {dialect.is_in('session', '$sessions')})"
    sql = f"""WITH {spans_sql(of_mine, dialect)}
        SELECT session, nullif(since, {dialect.ALWAYS}), until FROM _spans WHERE person = $user"""
    spans = question.whole(sql, {"user": user, "sessions": [session for (session,) in mine]})
    if not spans:
        return {}, question.partial
    sessions, since, until = zip(*spans, strict=True)
    began = [moment or datetime.min for moment in since]
    bound = {"sessions": list(sessions), "since": began, "until": list(until), "always": datetime.min}
    return bound, question.partial


def _life(question: Question, *, source: Source) -> Life:
    events, firsts, lasts = 0, [], []
    sql = f"SELECT count(*), min(time), max(time) FROM {source.sql}"
    for ((number, first, last),) in question.each(sql, source.parameters):
        events += number
        firsts += [first] if first else []
        lasts += [last] if last else []
    first, last = min(firsts, default=None), max(lasts, default=None)
    return Life(events, first and first.replace(tzinfo=UTC), last and last.replace(tzinfo=UTC), question.partial)


def visits(entries: Sequence[Entry], order: Order, pause: timedelta = PAUSE) -> tuple[Visit, ...]:
    """Return entries, which are in this order, as visits, in the same order.

    A visit is of one session, or of events without one, and ends where nothing is done in it for longer than `pause`.
    Visits that overlap, as those of two devices do, are in the order in which they began.
    """
    found: list[tuple[str | None, list[Entry], timedelta | None]] = []
    latest: dict[str | None, list[Entry]] = {}
    previous: Entry | None = None
    for entry in entries if order == "oldest" else reversed(entries):
        session = _session(entry)
        if session not in latest or _between(latest[session][-1], entry) > pause:
            latest[session] = []
            found.append((session, latest[session], previous and _between(previous, entry)))
        latest[session].append(entry)
        previous = entry
    way = 1 if order == "oldest" else -1
    return tuple(Visit(session, tuple(group[::way]), gap) for session, group, gap in found[::way])


def _session(entry: Entry) -> str | None:
    session = entry.event.get("session")
    return session.get("id") if isinstance(session, dict) else None


def _between(earlier: Entry, later: Entry) -> timedelta:
    """Return how long after one event another one was; no time at all where that is not known."""
    if earlier.key.time is None or later.key.time is None:
        return timedelta()
    return later.key.time - earlier.key.time
