"""The errors of the archive."""

from __future__ import annotations

import os
import re

from auditmw.archive.layout import Layout

# What DuckDB says of a call that failed in one of its threads.
_ERRNO = re.compile(r'"errno":"(\d+)"')


class ArchiveError(Exception):
    """The archive cannot be written, or not be understood: what happened, where, and what to do. No event is lost."""


class ExpiredError(Exception):
    """A view is older than the archive's grace time, and files that it reads were superseded and deleted: ask anew."""


def cannot(do: str, layout: Layout, error: Exception) -> ArchiveError:
    """Return the error that an archive step ends with: what the operating system or DuckDB said, and what to do."""
    said = _ERRNO.search(str(error))
    reason = os.strerror(int(said[1])) if said else str(error)
    return ArchiveError(f"cannot {do} {str(layout.directory)!r}: {reason}; nothing is lost, run it again")
