"""The questions of auditmw.query answered the slow way: one look at every event, nothing clever."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from auditmw.query.templates import path_template
from query_table import BOT, PATHS, Row, at_path


def value(row: Row, name: str) -> Any:
    """What stands in a column's place in an event."""
    return at_path(row.event, PATHS[name])


def moment(row: Row) -> datetime | None:
    stamp = value(row, "time")
    return None if stamp is None else datetime.fromisoformat(stamp)


def place(row: Row) -> tuple[Any, ...]:
    """What events are in order by; those without a time are the oldest."""
    when = moment(row)
    return (when is not None, when or 0, row.writer, row.seq)


def in_order(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=place)


def within(rows: list[Row], start: datetime | None, end: datetime | None) -> list[Row]:
    """Those from `start` on and before `end`; without a time, only where there is neither bound."""
    if start is None and end is None:
        return rows
    timed = [row for row in rows if moment(row) is not None]
    return [row for row in timed if (start is None or moment(row) >= start) and (end is None or moment(row) < end)]


def facet(rows: list[Row], name: str, limit: int) -> tuple[list[tuple[str | None, int]], int, int]:
    """The most frequent values with their numbers, how many values there are, and how many events."""
    counts = Counter(value(row, name) for row in rows)
    texts = [(None if found is None else str(found), number) for found, number in counts.items()]
    texts.sort(key=lambda one: (-one[1], one[0] is None, one[0] or ""))
    return texts[:limit], len(texts), len(rows)


def histogram(rows: list[Row], edges: tuple[datetime, ...], by: str | None) -> dict[str, tuple[int, ...]]:
    """Of each class, how many events there are between one edge and the next."""

    def kind(row: Row) -> str:
        found = value(row, by) if by else "all"
        return "none" if found is None else f"{found // 100}xx" if by == "status" else found

    timed = [row for row in rows if moment(row) is not None]
    return {
        one: tuple(
            sum(kind(row) == one and low <= moment(row) < high for row in timed)
            for low, high in itertools.pairwise(edges)
        )
        for one in {kind(row) for row in timed}
    }


def person(row: Row, rows: list[Row]) -> str | None:
    """Whose event it is: the user's, or the one's who next is known in the session."""
    if value(row, "user") is not None or value(row, "session") is None or moment(row) is None:
        return value(row, "user")
    known = [
        other
        for other in in_order(rows)
        if value(other, "session") == value(row, "session")
        and value(other, "user") is not None
        and moment(other) is not None
        and moment(other) >= moment(row)
    ]
    return value(known[0], "user") if known else None


def traffic(rows: list[Row], person_of: Callable[[Row], str | None]) -> dict[str, Any]:
    """The numbers of `Traffic` for these events."""
    requests = [row for row in rows if value(row, "event") == "http_request"]
    durations = sorted(value(row, "dur") for row in requests if value(row, "dur") is not None)

    def rank(share: float) -> int | None:
        return durations[max(math.ceil(share * len(durations)) - 1, 0)] if durations else None

    def visitor(row: Row) -> str | None:
        known = person_of(row) or value(row, "session")
        if known is not None:
            return known
        return None if value(row, "ip") is None else f"{value(row, 'ip')}\n{value(row, 'agent') or ''}"

    def different(found: list[Any]) -> int:
        return len({one for one in found if one is not None})

    return {
        "requests": len(requests),
        "events": len(rows),
        "users": different([person_of(row) for row in rows]),
        "sessions": different([value(row, "session") for row in rows]),
        "visitors": different([visitor(row) for row in rows]),
        "errors": sum(
            (value(row, "status") or 0) >= 500 or value(row, "level") in ("error", "critical") for row in rows
        ),
        "client_errors": sum(400 <= (value(row, "status") or 0) < 500 for row in rows),
        "size_bytes": sum(value(row, "size") or 0 for row in rows),
        "p50_ns": rank(0.5),
        "p95_ns": rank(0.95),
        "p99_ns": rank(0.99),
    }


def is_bot(row: Row) -> bool:
    return value(row, "agent") == BOT


def top(rows: list[Row], of: Callable[[Row], str | None], limit: int) -> list[tuple[str, int, int]]:
    """The values that most requests of people have, with how many requests of people and of robots do."""
    counts: dict[str, list[int]] = {}
    for row in rows:
        if value(row, "event") == "http_request" and of(row) is not None:
            counts.setdefault(of(row), [0, 0])[is_bot(row)] += 1
    found = [(one, people, bots) for one, (people, bots) in counts.items()]
    return sorted(found, key=lambda one: (-one[1], -one[2], one[0]))[:limit]


def page_of(row: Row) -> str | None:
    path = value(row, "path")
    return value(row, "route") or (None if path is None else path_template(path))


def site(row: Row) -> str | None:
    """The host that somebody came from, unless it is the one that was asked."""
    scheme, mark, rest = (value(row, "referrer") or "").partition("://")
    host = bare(rest.split("/")[0].split("?")[0]) if mark and scheme else ""
    return host if host and host != bare(value(row, "host") or "") else None


def bare(authority: str) -> str:
    """A host without user and port, in lower case."""
    return authority.rpartition("@")[2].partition(":")[0].lower()


def visits(rows: list[Row], pause: timedelta) -> list[list[Row]]:
    """Events in the order of time, in groups of one session with no pause in it."""
    groups: list[list[Row]] = []
    for row in in_order(rows):
        mine = [group for group in groups if value(group[-1], "session") == value(row, "session")]
        if mine and seconds_between(mine[-1][-1], row) <= pause.total_seconds():
            mine[-1].append(row)
        else:
            groups.append([row])
    return groups


def seconds_between(earlier: Row, later: Row) -> float:
    """How long after the one the other was; none where that is not known."""
    first, last = moment(earlier), moment(later)
    return (last - first).total_seconds() if first and last else 0
