"""One event by its id, and what happened around it."""

from __future__ import annotations

from collections.abc import Hashable
from datetime import UTC, datetime, timedelta
from functools import partial as bound_to
from typing import Any, NamedTuple
from uuid import UUID

from auditmw.query.engine import Engine
from auditmw.query.language.fields import Field, find
from auditmw.query.page import EVENTS, FIRST_ROWS, Entry, Search, Source
from auditmw.query.partial import Partial
from auditmw.query.question import Question
from auditmw.query.scope import EVERYTHING, Scope

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BEFORE, _AFTER = timedelta(minutes=1), timedelta(hours=1)


class Found(NamedTuple):
    """The event with an id, None when there is none; with `partial`, not all places were looked at."""

    entry: Entry | None
    partial: Partial | None


class Context(NamedTuple):
    """An event and its neighbours, all in the order of time; None for `entry` when there is no such event."""

    before: tuple[Entry, ...]
    entry: Entry | None
    after: tuple[Entry, ...]
    partial: Partial | None


def event(engine: Engine, id: str, *, time_limit_seconds: float | None = None, token: Hashable = None) -> Found:
    """Return the event with this id.

    An id that is a UUID of version 7 or 8 begins with a time (RFC 9562 §5.7): the event is looked for near it first.
    """
    search = Search(None, descending=True, limit=1, source=Source.of("id", id))

    def answer(question: Question) -> Found:
        entries, _ = search.run(question)
        return Found(entries[0] if entries else None, None if entries else question.partial)

    near = engine.ask(answer, _near(id), time_limit_seconds=time_limit_seconds, token=token)
    if near.entry is not None or _near(id) == EVERYTHING:
        return near
    return engine.ask(answer, time_limit_seconds=time_limit_seconds, token=token)


def context(
    engine: Engine,
    id: str,
    *,
    before: int = 10,
    after: int = 10,
    same: str | None = None,
    scope: Scope = EVERYTHING,
    time_limit_seconds: float | None = None,
    token: Hashable = None,
) -> Context:
    """Return the event with this id, and up to so many of the scope's events right before and right after it.

    `same`: only those that have the same session, trace, user, or whatever field this names; none where the event has
    no such field. Raises LookupError for a name that no column has.
    """
    field = None if same is None else _column(same)
    found = event(engine, id, time_limit_seconds=time_limit_seconds, token=token)
    if found.entry is None:
        return Context((), None, (), found.partial)
    source = EVENTS
    if field is not None and field.column is not None:
        source = Source.of(field.column, _value(found.entry, field), FIRST_ROWS)
    searches = [
        Search(found.entry.key, descending, limit, source) for descending, limit in ((True, before), (False, after))
    ]
    (earlier, partial), (later, partial_later) = engine.ask_each(
        [bound_to(_neighbours, search=search) for search in searches],
        scope,
        time_limit_seconds=time_limit_seconds,
        token=token,
    )
    return Context(earlier[::-1], found.entry, later, partial or partial_later)


def _neighbours(question: Question, *, search: Search) -> tuple[tuple[Entry, ...], Partial | None]:
    entries, _ = search.run(question) if search.limit else ([], None)
    return tuple(entries), question.partial


def _column(name: str) -> Field:
    field = find(name)
    if field.column is None or field.rest:
        raise LookupError(f"expected a field that is a column of the archive, such as session or trace, not {name!r}")
    return field


def _value(entry: Entry, field: Field) -> object:
    value: Any = entry.event
    for key in field.path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _near(id: str) -> Scope:
    """Return where an event with this id is, if its clock was right and it took less than an hour."""
    try:
        uuid = UUID(id)
        made = _EPOCH + timedelta(milliseconds=uuid.int >> 80)
        return Scope(None, made - _BEFORE, made + _AFTER) if uuid.version in {7, 8} else EVERYTHING
    except (ValueError, OverflowError):
        return EVERYTHING
