"""The one error of the journal."""

from __future__ import annotations


class JournalError(OSError):
    """An event could not be written, or not be made durable: `errno`, `reason` and `path` say why and where."""

    @classmethod
    def of(cls, error: OSError, path: str | None) -> JournalError:
        """Return `error` as a JournalError; about `path`, unless it says itself what it is about."""
        return cls(error.errno, error.strerror or str(error), error.filename or path)

    @property
    def reason(self) -> str:
        """What the operating system said."""
        return str(self.strerror)

    @property
    def path(self) -> str | None:
        """The file or directory, None for a stream without a name."""
        return None if self.filename is None else str(self.filename)
