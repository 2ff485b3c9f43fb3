"""Intent records: the pending event that is written before the application runs, and the final one of the same id.

1. A pending event says `"outcome": {"result": "pending"}`. Once its final event is there, it is dropped.
2. While its writer lives the request may still be running, and the pending event is held back.
3. When its writer is gone and no final event came, the request was cut off: the pending event is given once, with the
   outcome "unknown", the reason "process_died", and the level of a warning.
4. Pairs are made within one writer: a request ends in the process in which it began.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from itertools import groupby
from typing import Any

from auditmw.journal.layout import writer_of
from auditmw.journal.reader import Line

Event = dict[str, Any]


def may_be_pending(body: bytes) -> bool:
    """Return False for nearly every event that is not pending, without parsing it."""
    return b'"pending"' in body


def is_pending(event: Event) -> bool:
    """Return whether the event is an intent record, to be paired by its id."""
    outcome = event.get("outcome")
    return isinstance(outcome, dict) and outcome.get("result") == "pending" and isinstance(event.get("id"), str)


def cut_off(event: Event) -> Event:
    """Return what a pending event means once its process has died."""
    outcome = {"result": "unknown", "reason": "process_died"}
    return {**event, "level": "warning", "severity": 13, "outcome": outcome}


class Intents:
    """The pending events of any number of writers whose final events have not come yet."""

    def __init__(self) -> None:
        self._held: dict[str, dict[str, Any]] = {}

    def admit(self, writer: str, event: Event, item: Any) -> bool:
        """Return True for an event that is final, also of its pending one; False to hold `item` for a pending one."""
        if is_pending(event):
            self._held.setdefault(writer, {})[event["id"]] = item
            return False
        held = self._held.get(writer)
        if held:
            held.pop(str(event.get("id")), None)
        return True

    def writers(self) -> list[str]:
        """Return the writers that have pending events here."""
        return [writer for writer, held in self._held.items() if held]

    def release(self, writer: str) -> list[Any]:
        """Return the items that are held of a writer, and hold them no more."""
        return list(self._held.pop(writer, {}).values())


def settle(pairs: Iterable[tuple[Line, Event]], *, dead: Container[str]) -> Iterator[tuple[Line, Event]]:
    """Yield the lines of `read_lines`, each with its parsed event, without the pending ones.

    `dead`: the result of `dead_writers` from before the lines were read. What such a writer left pending comes, cut
    off, after its last line.
    """
    for writer, lines in groupby(pairs, lambda pair: writer_of(pair[0].file)):
        intents = Intents()
        for line, event in lines:
            if intents.admit(writer, event, (line, event)):
                yield line, event
        if writer in dead:
            for line, event in intents.release(writer):
                yield line, cut_off(event)
