"""The archive: closed journal files as Parquet, one column per common field beside the exact line."""

from auditmw.archive.archiver import ArchiveReport, archive
from auditmw.archive.error import ArchiveError, ExpiredError
from auditmw.archive.retention import PruneReport, Retention, get_retention, prune, set_retention
from auditmw.archive.snapshot import Missing, PartFile, Snapshot, View

__all__ = [
    "ArchiveError",
    "ArchiveReport",
    "ExpiredError",
    "Missing",
    "PartFile",
    "PruneReport",
    "Retention",
    "Snapshot",
    "View",
    "archive",
    "get_retention",
    "prune",
    "set_retention",
]
