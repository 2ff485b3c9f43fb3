"""The API's events: pages of them, one with its context, and what one user, session, trace or client did."""

from __future__ import annotations

from typing import Any

from auditmw.query import EVERYTHING, context, event, page, timeline
from auditmw.query.answers import event_json
from auditmw.query.page import Order
from auditmw.query.timeline import Of
from auditmw.viewer.asking import Ask
from auditmw.viewer.refusals import Refusal

PAGE_LIMIT = 1_000
_ORDERS: tuple[Order, ...] = ("newest", "oldest")
_KINDS: dict[str, Of] = {
    "user": "user",
    "session": "session",
    "trace": "trace",
    "client": "ip",
    "request": "request",
    "correlation": "correlation",
}
_SAME = ("trace", "session", "user", "ip")


def events(ask: Ask) -> Any:
    """Return a page of events, as `auditmw.query.page` does."""
    return ask.answer(page, ask.scope, **_paging(ask))


def one_event(ask: Ask) -> Any:
    """Return the event with an id."""
    found = ask.answer(event, ask.parameters.required("id"))
    if found.entry is None:
        return {"event": None, "cursor": None, "partial": found.partial}
    return {"event": event_json(found.entry.body), "cursor": found.entry.cursor, "partial": found.partial}


def around(ask: Ask) -> Any:
    """Return an event and its neighbours in the scope."""
    read = ask.parameters
    same = read.one_of("same", _SAME, "") or None
    sides: dict[str, Any] = {name: read.number(name, 10, 0, PAGE_LIMIT) for name in ("before", "after")}
    return ask.answer(context, read.required("id"), same=same, scope=ask.scope, **sides)


def life_of(ask: Ask, of: str) -> Any:
    """Return what one user, session, ... did; all of it, unless there is a range or a query."""
    if of not in _KINDS:
        raise Refusal(404, f"expected a timeline of {', '.join(_KINDS)}, not of {of[:80]!r}")
    read = ask.parameters
    scope = ask.scope if read.text("q") or ask.scope.start or ask.scope.end else EVERYTHING
    named = {**_paging(ask), "stitched": read.flag("stitched")}
    return ask.answer(timeline, _KINDS[of], read.required("id"), scope, **named)


def _paging(ask: Ask) -> dict[str, Any]:
    read = ask.parameters
    return {
        "order": read.one_of("order", _ORDERS, "newest"),
        "after": read.text("after"),
        "before": read.text("before"),
        "limit": read.number("limit", 200, 1, PAGE_LIMIT),
    }
