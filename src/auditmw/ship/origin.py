"""What a shipper ships, and from where on: the journal of a directory, or something else that has events in order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from auditmw.journal.cursor import SHIP, Cursor, journal_id
from auditmw.journal.reader import OnDamage
from auditmw.ship.portion import Portion
from auditmw.ship.source import Render, Source
from auditmw.ship.status import Lag


class Reader(Protocol):
    """Hands over what comes after a cursor. Raises OSError, RetryableError, UnusableError."""

    unreadable: dict[str, str]
    """Writers that wait, and why."""

    def next(self, cursor: Cursor) -> Portion | None:
        """Return what comes after the cursor; None when there is nothing now."""
        ...

    def again(self, cursor: Cursor) -> Portion:
        """Return the batch that the cursor has as pending, the same events in it."""
        ...


class Origin(Protocol):
    """Where events come from. `kind`: what that is called. `stream`: its URL without secrets, if it has one.

    `folder`: where the folders of its targets are.
    """

    kind: str
    stream: str
    folder: Path

    def identity(self) -> str:
        """Return what a cursor belongs to. Raises OSError."""
        ...

    def open(
        self, folder: Path, *, max_events: int, max_bytes: int, render: Render | None, on_damage: OnDamage
    ) -> Reader:
        """Return a reader for the target whose folder this is."""
        ...

    def lag(self) -> Lag:
        """Return what is not shipped yet, where others cannot measure it."""
        ...

    def settled(self, cursor: Cursor) -> None:
        """Hear that what is before the cursor is done with, and the cursor saved; never raises."""
        ...

    def close(self) -> None:
        """Let go of connections; never raises, and may be called twice."""
        ...


class JournalOrigin:
    """The journal of a directory."""

    kind = "journal"
    stream = ""

    def __init__(self, directory: Path, clock: Callable[[], float]) -> None:
        self.folder = directory / SHIP
        self._directory = directory
        self._clock = clock

    def identity(self) -> str:
        """Return the journal's random name."""
        return journal_id(self._directory)

    def open(
        self, folder: Path, *, max_events: int, max_bytes: int, render: Render | None, on_damage: OnDamage
    ) -> Reader:
        """Return a source that reads the journal's files."""
        return Source(
            self._directory,
            max_events=max_events,
            max_bytes=max_bytes,
            render=render,
            on_damage=on_damage,
            clock=self._clock,
        )

    def lag(self) -> Lag:
        """Return nothing: whoever asks measures it (status.py)."""
        return Lag()

    def settled(self, cursor: Cursor) -> None:
        """Do nothing: whoever deletes files asks the cursor."""

    def close(self) -> None:
        """Do nothing: a source has nothing open between two batches."""
