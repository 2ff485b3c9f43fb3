"""How many events match."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import closing
from typing import NamedTuple

from auditmw.query.engine import Engine
from auditmw.query.partial import Partial
from auditmw.query.question import Question
from auditmw.query.scope import EVERYTHING, Scope


class Count(NamedTuple):
    """How many events match. `capped`: there are more than `value`, and counting ended there."""

    value: int
    capped: bool
    partial: Partial | None

    def __str__(self) -> str:
        at_least = self.capped or (self.partial is not None and self.partial.incomplete)
        return f"{self.value:,}{'+' * at_least}"


def count(
    engine: Engine,
    scope: Scope = EVERYTHING,
    *,
    cap: int | None = None,
    on_progress: Callable[[Count], None] | None = None,
    time_limit_seconds: float | None = None,
    token: Hashable = None,
) -> Count:
    """Return how many events match: exactly, or, where `cap` is given, whether it is more than that.

    `on_progress` is told of what was counted so far.
    """
    if cap is not None and cap < 1:
        raise ValueError(f"expected a cap of at least 1, not {cap!r}")

    def answer(question: Question) -> Count:
        total = 0
        sql, bound = ("SELECT count(*) FROM events", {})
        if cap is not None:
            sql, bound = "SELECT count(*) FROM (SELECT 1 FROM events LIMIT $limit)", {"limit": cap + 1}
        with closing(question.each(sql, bound)) as slices:
            for ((number,),) in slices:
                total += number
                if cap is not None and total > cap:
                    break
                if on_progress is not None:
                    on_progress(Count(total, False, question.partial))
        if cap is not None and total > cap:
            return Count(cap, True, question.partial)
        return Count(total, False, question.partial)

    return engine.ask(answer, scope, time_limit_seconds=time_limit_seconds, token=token)
