"""The questions that `benchmarks.query` asks, how soon they are to be answered, and about whom they are."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from auditmw.journal import FileReader, journal_files

DAYS = 30
PAGE = 100
FACET_VALUES = 20
FUNNEL = ("GET /products/<slug>", "POST /cart/items", "GET /checkout", "order_paid")
"""Its steps: requests by method and route, and an event by its name."""
FUNNEL_WINDOW = timedelta(days=1)
_LOOKED_AT = 20_000


class Question(NamedTuple):
    """One question: the method of a contender that answers it, what it is, and the target in milliseconds."""

    method: str
    title: str
    target_ms: float


QUESTIONS = (
    Question("newest_page", "newest page", 50),
    Question("user_page", "newest page of a user", 50),
    Question("session_page", "newest page of a session", 50),
    Question("trace_page", "newest page of a trace", 50),
    Question("histogram_24h", "24 h histogram by class", 50),
    Question("facets_24h", "24 h facets: status, user, route", 50),
    Question("facets_30d", "30 d facets: status, user, route", 200),
    Question("histogram_30d", "30 d histogram by class", 200),
    Question("text_24h", "free text in 24 h", 200),
    Question("timeline", "timeline of a user", 200),
    Question("funnel_30d", "funnel of 4 steps over 30 d", 1_500),
    Question("retention_30d", "retention by day over 30 d", 1_500),
    Question("text_all_time", "free text, all time", 3_000),
)


class Subject(NamedTuple):
    """Who and what the questions are about; `until` is the end of the history.

    `common` is a word in some of a day's events, `rare` one in a single event of the whole history.
    """

    until: datetime
    user: str
    session: str
    trace: str
    common: str
    rare: str

    @property
    def last_day(self) -> datetime:
        """When the last 24 hours began."""
        return self.until - timedelta(days=1)

    @property
    def first_day(self) -> datetime:
        """When the last 30 days began."""
        return self.until - timedelta(days=DAYS)


def choose(directory: str | os.PathLike[str], until: datetime) -> Subject:
    """Choose from the middle of the history: one of the more active users, one of their sessions, an uploaded file."""
    files = journal_files(directory)
    middle = chain.from_iterable(map(_events, files[len(files) // 2 :]))
    events = list(islice(middle, _LOOKED_AT))
    users = Counter(event["actor"]["id"] for event in events if event.get("actor", {}).get("type") == "user")
    user = users.most_common()[len(users) // 10][0]
    theirs = next(event for event in events if event.get("actor", {}).get("id") == user)
    rare = next(event["target"]["name"] for event in chain(events, middle) if event["event"] == "file_uploaded")
    return Subject(until, user, theirs["session"]["id"], theirs["trace"]["trace_id"], "reminders", rare)


def _events(file: Path) -> Iterator[dict[str, Any]]:
    return (orjson.loads(line.body) for line in FileReader(file).lines())
