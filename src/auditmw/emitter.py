"""The way of an event into the journal, and the account of those that found none.

Rules:

1. `emit` never raises. It says whether the event is in the journal.
2. What could not be written is counted at once, and told by an ``auditmw.gap`` event as soon as writing works again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from auditmw.event import SCHEMA, SEVERITY, Event, encode, new_id, timestamp
from auditmw.health import Health
from auditmw.journal import Journal, StreamJournal
from auditmw.journal.quota import Dropped
from auditmw.trace import new_span_id, new_trace_id


class Emitter:
    """Writes events to `journal`; `formatter` makes the bytes of one (one line, without the newline)."""

    def __init__(
        self,
        journal: Journal | StreamJournal,
        health: Health,
        service: Mapping[str, str],
        formatter: Callable[[Event], bytes] = encode,
    ) -> None:
        self._journal = journal
        self._append: Callable[[bytes], None] = journal.append
        self._append_promised = (
            partial(journal.append, is_promised=True) if isinstance(journal, Journal) else self._append
        )
        self._sync = journal.sync
        self._health = health
        self._service = service
        self._format = formatter
        self._begin()
        if isinstance(journal, Journal) and journal.quota is not None:
            journal.quota.on_dropped = self._account_dropped

    def renew_in_child(self) -> None:
        """Start anew in a forked child: the parent writes its own file, and tells of its own losses."""
        self._journal.renew_in_child()
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.RLock()  # a signal handler may come in the middle
        self._lost: dict[str, Any] | None = None

    def emit(self, event: Event, *, is_promised: bool = False) -> bool:
        """Write the event; False when it is lost. `is_promised`: beyond the quota, too, as its intent is there."""
        append = self._append_promised if is_promised else self._append
        try:
            append(self._format(event))
        except Exception as error:
            self._account(event, error)
            return False
        if self._lost is not None:
            self._tell()
        return True

    def commit(self) -> bool:
        """Wait until all that was emitted is on stable storage; False when it could not get there, which is counted."""
        try:
            self._sync()
        except Exception as error:
            self._health.count("not_durable", error)
            return False
        return True

    def _account(self, event: Event, error: Exception) -> None:
        self._health.count("lost", error)
        moment = event.get("timestamp", "")
        with self._lock:
            lost = self._lost or {"count": 0, "first": moment}
            self._lost = {**lost, "count": lost["count"] + 1, "last": moment, "reason": str(error)[:256]}

    def _account_dropped(self, dropped: Dropped) -> None:
        """Account for events that gave way to newer ones; the next event that is written tells."""
        reason = "the journal was full: the oldest events, which were not shipped yet, gave way"
        self._health.count("dropped", reason)
        with self._lock:
            lost = self._lost or {"count": 0, "first": dropped.first, "last": dropped.last}
            first, last = min(lost["first"], dropped.first), max(lost["last"], dropped.last)
            count = lost["count"] + dropped.events
            self._lost = {"count": count, "first": first, "last": last, "reason": reason}

    def _tell(self) -> None:
        with self._lock:
            lost, self._lost = self._lost, None
        if lost is None:
            return
        now_ns = time.time_ns()
        gap: Event = {
            "schema": SCHEMA,
            "id": new_id(now_ns),
            "timestamp": timestamp(now_ns),
            "event": "auditmw.gap",
            "level": "critical",
            "severity": SEVERITY["critical"],
            "message": f"{lost['count']} audit events could not be written, or kept",
            "outcome": {"result": "failure", "reason": "events_lost"},
            "trace": {"trace_id": new_trace_id(), "span_id": new_span_id(), "flags": 2, "origin": "generated"},
            "service": self._service,
            "source": {"kind": "app", "format": "auditmw"},
            "data": lost,
        }
        try:
            self._append(self._format(gap))
            self._health.count("gaps", gap["message"])
        except Exception:
            with self._lock:
                later = self._lost
                self._lost = (
                    lost
                    if later is None
                    else {**later, "count": later["count"] + lost["count"], "first": lost["first"]}
                )
