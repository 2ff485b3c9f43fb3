"""Which events a directory has already, by their ids: those of the archive and those of the journal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from auditmw.archive import Snapshot
from auditmw.collect.events import Known

_MOMENT = timedelta(microseconds=1)
_MEMORY_BYTES = 256 * 1024 * 1024


class Present:
    """Looks ids up in the audit directory `directory`; opens nothing before it has to."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._snapshot: Snapshot | None = None

    def among(self, events: Sequence[Known]) -> set[str]:
        """Return the ids of those of these events that the directory has. Raises ArchiveError, OSError, duckdb.Error.

        An event that comes again has the time that it had, so only the time from the first to the last is looked at.
        Closed journal files are archived when there are many: else nobody might, where nobody asks.
        """
        if not events:
            return set()
        if self._snapshot is None:
            self._snapshot = Snapshot(self._directory, memory_bytes=_MEMORY_BYTES, threads=1)
        times = [event.time for event in events if event.time is not None]
        bounds = (min(times), max(times) + _MOMENT) if len(times) == len(events) else (None, None)
        with self._snapshot.view() as view:
            rows = view.connection.execute(
                f"SELECT id FROM {view.relation(*bounds)} WHERE id IN (SELECT unnest($ids))",  # noqa: S608 - bound
                {"ids": [event.id for event in events]},
            ).fetchall()
        return {ident for (ident,) in rows}

    def close(self) -> None:
        """Let go of memory and files."""
        if self._snapshot is not None:
            self._snapshot.close()
            self._snapshot = None
