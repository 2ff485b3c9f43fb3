"""What an answer does not cover: the one place where every result says that, and why, it is not whole."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

from auditmw.archive.snapshot import Missing
from auditmw.query.language.parser import QueryError as QueryError

Reason = Literal["under way", "time limit", "cancelled", "memory", "damage", "query"]
"""Why an answer is not whole. Under way: the rest is being looked at. Time limit, cancelled, memory: it ended early.
Damage: a file cannot be read. Query: the query has errors, and the rest of it was answered."""


class Partial(NamedTuple):
    """Why and where an answer is not whole.

    Every event of the scope from `covered_from` on and before `covered_to` was looked at, but for those in the
    `missing` files. None stands for the bound of the scope itself; where both are the same moment, nothing was looked
    at. Times are in UTC. `errors` are those of the query, with their places in its text.
    """

    reasons: tuple[Reason, ...]
    covered_from: datetime | None = None
    covered_to: datetime | None = None
    missing: tuple[Missing, ...] = ()
    errors: tuple[QueryError, ...] = ()

    @property
    def incomplete(self) -> bool:
        """Whether matching events may be missing from the answer."""
        return self.reasons != ("query",)
