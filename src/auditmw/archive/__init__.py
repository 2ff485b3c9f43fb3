"""The archive: closed journal files as Parquet, one column per common field beside the exact line.

What works with DuckDB is imported when it is first used; `archived_writers` and the columns need none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from auditmw.archive.columns import COLUMNS, NAMES, Column
from auditmw.archive.error import ArchiveError, ExpiredError
from auditmw.archive.manifest import archived_writers

if TYPE_CHECKING:
    from auditmw.archive.archiver import ArchiveReport, archive
    from auditmw.archive.archiving import Progress
    from auditmw.archive.reading import read_events
    from auditmw.archive.retention import PruneReport, Retention, get_retention, prune, set_retention
    from auditmw.archive.snapshot import Missing, PartFile, Snapshot, View

__all__ = [
    "COLUMNS",
    "NAMES",
    "ArchiveError",
    "ArchiveReport",
    "Column",
    "ExpiredError",
    "Missing",
    "PartFile",
    "Progress",
    "PruneReport",
    "Retention",
    "Snapshot",
    "View",
    "archive",
    "archived_writers",
    "get_retention",
    "prune",
    "read_events",
    "set_retention",
]


def __getattr__(name: str) -> Any:
    """Return a name that needs DuckDB. Raises ModuleNotFoundError, which names the extra, where that is missing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from auditmw.archive import archiver, archiving, reading, retention, snapshot
    except ModuleNotFoundError as error:
        if error.name != "duckdb":
            raise
        raise ModuleNotFoundError("the archive needs DuckDB: pip install 'auditmw[query]'", name="duckdb") from error
    where = next(module for module in (archiver, archiving, reading, retention, snapshot) if hasattr(module, name))
    globals()[name] = found = getattr(where, name)
    return found
