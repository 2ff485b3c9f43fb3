"""What was collected, known from the names of journal files alone (journal/spans.py).

The messages of a track become a journal file at once, so that they were collected or not. There is no other record of
it. Archived files are told together, so that the names stay few.
"""

from __future__ import annotations

from collections.abc import Iterable

from auditmw.journal.spans import Messages


class Ledger:
    """How far each track is collected, by `writers`, the names of the writers of journal files."""

    def __init__(self, writers: Iterable[str] = ()) -> None:
        self._last: dict[str, int] = {}
        for messages in filter(None, map(Messages.of_writer, writers)):
            self.add(messages)

    def position(self, track: str) -> int:
        """Return the number of the last message that is collected; 0 when none is."""
        return self._last.get(track, 0)

    def add(self, messages: Messages) -> None:
        """Take messages that are collected."""
        self._last[messages.track] = max(self.position(messages.track), messages.last)
