"""The errors of the archive."""

from __future__ import annotations


class ArchiveError(Exception):
    """The archive cannot be written, or not be understood: what happened, where, and what to do. No event is lost."""


class ExpiredError(Exception):
    """A view is older than the archive's grace time, and files that it reads were superseded and deleted: ask anew."""
