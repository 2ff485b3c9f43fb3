"""What an engine asks: a store of events, looked at as it is at one moment, that answers SQL in its own dialect.

`directory.DirectoryStore` is one, an audit directory by way of DuckDB.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from auditmw.archive.columns import NAMES
from auditmw.archive.view import Missing, PartFile
from auditmw.query.language.dialect import Dialect

Row: TypeAlias = tuple[Any, ...]
"""What a statement gives: str, int, float, bool, None, lists of these; a time is a datetime without a zone, in UTC."""

Parameters: TypeAlias = Mapping[str, object]
"""What a statement binds, by name: the same types."""


class StoreError(Exception):
    """A statement has no answer, for another reason than the two below; what the store itself said is the cause."""


class StatementInterruptedError(StoreError):
    """A statement ended early, because of `interrupt` or because its time was over."""


class OutOfMemoryError(StoreError):
    """A statement needed more memory than it may have."""


class StaleViewError(Exception):
    """What a view reads is no longer there, and nothing is wrong: a new view has it."""


class StoreView(Protocol):
    """A store as it was at one moment, for the statements of one question; for one thread at a time."""

    @property
    def parts(self) -> Sequence[PartFile]:
        """Where in time how many events are, newest first: by this a question is cut into slices.

        `first` and `last` are those of the events in it, naive and in UTC; None for the events without a time.
        """

    @property
    def live(self) -> int:
        """How many events are in no part yet. Where there are any, some may have no time."""

    @property
    def missing(self) -> tuple[Missing, ...]:
        """What cannot be read."""

    def relation(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        parts: Iterable[PartFile] | None = None,
        live: bool = True,
        columns: Collection[str] = NAMES,
    ) -> str:
        """Return SQL that stands where a table does, in parentheses: the events with since <= time < until, each once.

        Its columns are `columns`, of which there is at least one; NULL where an event has no such value, also `time`
        and `minute`. Events without a time are in it when neither bound is given. `parts`: of these only, and `live`:
        whether also those in none.
        """

    def run(self, sql: str, parameters: Parameters, *, seconds: float) -> list[Row]:
        """Return the rows of a statement, which names its values as ``$name``, and may take so many seconds.

        Raises StatementInterruptedError, OutOfMemoryError, else StoreError.
        """

    def interrupt(self) -> None:
        """End the statement that runs, if there is one; from any thread."""

    def check(self) -> Sequence[Missing]:
        """Return what turns out to be damaged, after a StoreError: it is in no relation of any view from now on.

        Nothing, when the error is the statement's. Raises StaleViewError.
        """


class Store(Protocol):
    """Where events are. Safe for threads."""

    @property
    def dialect(self) -> Dialect:
        """How its SQL says what the standard has no words for."""

    @property
    def archive_error(self) -> Exception | None:
        """Why the last view could not put what is waiting in order, if it could not; it is complete all the same."""

    def view(self) -> AbstractContextManager[StoreView]:
        """Look at the events that there are now. Raises OSError when there is no such place or it cannot be reached."""

    def close(self) -> None:
        """Let go of memory, files and connections. A store that was closed opens anew."""
