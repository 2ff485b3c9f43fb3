"""auditmw's archive as a store of audit events, asked through `auditmw.query`, as the command line asks it."""

from __future__ import annotations

import os
import time
from datetime import datetime
from typing import Any

from auditmw.archive import archive
from auditmw.query import Engine, Facet, Scope, facets, histogram, page, timeline
from auditmw.query.buckets import Width
from auditmw.query.histogram import NONE
from auditmw.query.journeys.funnel import FunnelDefinition, funnel
from auditmw.query.journeys.retention import retention
from benchmarks.questions import FACET_VALUES, FUNNEL_WINDOW, PAGE, Subject

FUNNEL = FunnelDefinition(
    (
        'method:GET route:"/products/<slug>"',
        "method:POST route:/cart/items",
        "method:GET route:/checkout",
        "event:order_paid",
    ),
    window=FUNNEL_WINDOW,
)
PART_SECONDS = 0.5
"""After how long a search that takes longer shows what it has found until then, and goes on."""


def build(directory: str | os.PathLike[str]) -> int:
    """Archive all closed journal files of ``directory``, to the end; return the number of events."""
    rows = 0
    while (report := archive(directory)).rows:
        rows += report.rows
    return rows


class Store:
    """The questions, put to an audit directory. Every answer is a value that other stores' can be held to."""

    def __init__(self, directory: str | os.PathLike[str], subject: Subject) -> None:
        self._engine = Engine(directory, time_limit_seconds=60.0)
        self._subject = subject
        self.first_seconds: float | None = None  # when the first part of the last answer was there

    def newest_page(self) -> Any:
        """The newest events of all."""
        return self._page("")

    def user_page(self) -> Any:
        """The newest events of a user."""
        return self._page(f'user:"{self._subject.user}"')

    def session_page(self) -> Any:
        """The newest events of a session."""
        return self._page(f'session:"{self._subject.session}"')

    def trace_page(self) -> Any:
        """The events of a trace."""
        return self._page(f'trace:"{self._subject.trace}"')

    def text_24h(self) -> Any:
        """The newest events of the last day with a word in them."""
        return self._page(f'"{self._subject.common}"', self._subject.last_day)

    def text_all_time(self) -> Any:
        """The newest events with a word in them that hardly any has, part by part."""
        began, bodies, cursor = time.perf_counter(), [], None
        scope = Scope(f'"{self._subject.rare}"')
        while True:
            part = page(self._engine, scope, limit=PAGE, after=cursor, time_limit_seconds=PART_SECONDS)
            if cursor is None:
                self.first_seconds = time.perf_counter() - began
            bodies += [entry.body.decode() for entry in part.entries]
            if part.next is None:
                return bodies
            cursor = part.next

    def histogram_24h(self) -> Any:
        """Events of the last day by ten minutes and class of status."""
        return self._histogram(self._subject.last_day, "10m")

    def histogram_30d(self) -> Any:
        """Events of 30 days by six hours and class of status."""
        return self._histogram(self._subject.first_day, "6h")

    def facets_24h(self) -> Any:
        """The most frequent values of three fields in the last day."""
        return self._facets(self._subject.last_day)

    def facets_30d(self) -> Any:
        """The same in 30 days."""
        return self._facets(self._subject.first_day)

    def timeline(self) -> Any:
        """The newest visits of a user, and how many events of theirs there are from when until when."""
        found = timeline(self._engine, "user", self._subject.user, limit=PAGE)
        assert found.life is not None
        bodies = [entry.body.decode() for visit in found.visits for entry in visit.entries]
        return [*bodies, [found.life.events, str(found.life.first), str(found.life.last)]]

    def funnel_30d(self) -> Any:
        """How many sessions came to each step."""
        found = funnel(self._engine, FUNNEL, self._month())
        return [step.units for step in found.steps]

    def retention_30d(self) -> Any:
        """How many users of each day came on each later one."""
        found = retention(self._engine, self._month(), now=self._subject.until)
        return [
            [number, later, cell.units]
            for number, cohort in enumerate(found.cohorts)
            for later, cell in enumerate(cohort.cells)
            if cell.units
        ]

    def close(self) -> None:
        """Let go of memory and temporary files."""
        self._engine.close()

    def _page(self, query: str, since: datetime | None = None) -> Any:
        scope = Scope(query, since, self._subject.until if since else None)
        found = page(self._engine, scope, limit=PAGE)
        return [entry.body.decode() for entry in found.entries]

    def _histogram(self, since: datetime, width: Width) -> Any:
        found = histogram(self._engine, Scope("", since, self._subject.until), width=width)
        assert found is not None
        return [
            [number, None if name == NONE else int(name[0]), events]
            for name, series in found.series.items()
            for number, events in enumerate(series)
            if events
        ]

    def _facets(self, since: datetime) -> Any:
        scope = Scope("", since, self._subject.until)
        found = facets(self._engine, ("status", "user", "route"), scope, limit=FACET_VALUES + 1)
        return [_present(facet)[:FACET_VALUES] for facet in found[:2]]  # SQLite has another third one

    def _month(self) -> Scope:
        return Scope("", self._subject.first_day, self._subject.until)


def _present(facet: Facet) -> list[Any]:
    return [[value, count] for value, count in facet.values if value is not None]
