"""What a question is about: a query and a range of time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from auditmw.query.language import Query, parse


class Scope(NamedTuple):
    """The events that match `query`, from `start` on and before `end`.

    `query`: text in the query language, or what `parse` made of it; None and "" match every event. `start` and `end`:
    times with their zone; None is no bound. An event without a time is in a scope without bounds only.
    """

    query: Query | str | None = None
    start: datetime | None = None
    end: datetime | None = None

    def parsed(self) -> Query:
        """Return the syntax tree of the query."""
        return parse(self.query or "") if self.query is None or isinstance(self.query, str) else self.query

    def bounds(self, query: Query) -> tuple[datetime | None, datetime | None]:
        """Return start and end as the archive has times, in UTC without a zone; those of the query count as well.

        Raises ValueError for a time without its zone.
        """
        starts, ends = zip((self.start, self.end), query.time_range(), strict=True)
        return (
            max((_in_utc(moment) for moment in starts if moment), default=None),
            min((_in_utc(moment) for moment in ends if moment), default=None),
        )


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"expected a time with its zone, such as datetime.now(UTC), not {moment!r}")
    return moment.astimezone(UTC).replace(tzinfo=None)


EVERYTHING = Scope()
"""All events."""
