"""What lies where in DIR/archive.

    manifest.json               the list of the Parquet files that are the archive
    <YYYY-MM-DD>/<name>.parquet events of one UTC day, sorted by time; `unknown/` holds events without a usable time
    retention.json              what is pruned without being asked
    lock                        its flock makes a process the leader, the one that writes here
    temporary/                  what the leader is writing; nobody needs it when there is no leader

Other names here are left alone.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path

from auditmw.journal.layout import JOURNAL, QUARANTINE, file_name, writer_of

ARCHIVE = "archive"
INCOMING = "incoming"
"""The folder, beside the archive's, of rows that are on their way into it."""

MANIFEST = "manifest.json"
RETENTION = "retention.json"
LOCK = "lock"
TEMPORARY = "temporary"
UNKNOWN_DAY = "unknown"

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}|" + UNKNOWN_DAY)
_PART = re.compile(r"[0-9]{8}T[0-9]{6}-[0-9a-f]{8}\.parquet")


class Layout:
    """The places of one audit directory; makes nothing."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        # Absolute, because a viewer may change its working directory.
        self.directory = Path(os.path.abspath(os.fsdecode(directory)))
        self.archive = self.directory / ARCHIVE
        self.journal = self.directory / JOURNAL
        self.incoming = self.directory / INCOMING
        self.quarantine = self.directory / QUARANTINE
        self.manifest = self.archive / MANIFEST
        self.retention = self.archive / RETENTION
        self.lock = self.archive / LOCK
        self.temporary = self.archive / TEMPORARY

    def days(self) -> list[Path]:
        """Return the folders of days, in order."""
        try:
            with os.scandir(self.archive) as entries:
                found = [e.name for e in entries if _DAY.fullmatch(e.name) and e.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return []
        return [self.archive / name for name in sorted(found)]

    def parts(self) -> list[str]:
        """Return the Parquet files that are there, `<day>/<name>`, in order; whether they count, the manifest says."""
        return [
            f"{day.name}/{name}" for day in self.days() for name in sorted(os.listdir(day)) if _PART.fullmatch(name)
        ]


def part_name(day: str, now: datetime) -> str:
    """Return a new name for a Parquet file, `<day>/<when it was written>-<random>.parquet`."""
    return f"{day}/{now.astimezone(UTC):%Y%m%dT%H%M%S}-{os.urandom(4).hex()}.parquet"


def number_of(file: Path) -> int | None:
    """Return the number in a journal file's name; None when that is not written as a journal writes it."""
    number = int(file.name.removesuffix(".jsonl").rpartition(".")[2])
    return number if file.name == file_name(writer_of(file), number) else None
