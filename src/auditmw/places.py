"""Where events are that can be asked: an audit directory, or a database that `auditmw ship` fills."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditmw.query import Engine
from auditmw.reading import what_is_wrong_with

if TYPE_CHECKING:
    from auditmw.clickhouse import ClickHouse

DATABASES = ("clickhouse", "clickhouses")
"""The schemes of the URLs that can be asked."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SECRET = re.compile(r"//[^/?#]*@")


class Place:
    """A directory, or the URL of a database; constructing it does no I/O.

    `directory`: where its files are, None for a database. `shown`: what it is called, without a password. Raises
    ValueError for a URL that cannot be asked, in a text without secrets.
    """

    def __init__(self, text: str | os.PathLike[str]) -> None:
        self._database: ClickHouse | None = None
        self.directory: Path | None = None
        scheme = scheme_of(text)
        if scheme is None:
            self.directory = Path(text)
            self.shown = os.fspath(text)
        elif scheme in DATABASES:
            from auditmw.clickhouse import ClickHouse  # a directory needs nothing of it

            self._database = ClickHouse(os.fspath(text))
            self.shown = self._database.shown
        else:
            raise ValueError(f"expected an audit directory, or a URL such as clickhouse://host/db, not {shown(text)!r}")

    def engine(self, *, time_limit_seconds: float = 10.0, **of_a_directory: Any) -> Engine:
        """Return an engine that asks it; the other arguments of `Engine` count for a directory only."""
        if self._database is not None:
            return Engine(self._database, time_limit_seconds=time_limit_seconds)
        assert self.directory is not None  # noqa: S101 - it is one or the other
        return Engine(self.directory, time_limit_seconds=time_limit_seconds, **of_a_directory)

    def wrong(self) -> str | None:
        """Return why this is no audit directory; None where it is one, and for a database, which tells when asked.

        Raises OSError when it cannot be looked at.
        """
        return None if self.directory is None else what_is_wrong_with(self.directory)


def scheme_of(text: str | os.PathLike[str]) -> str | None:
    """Return the scheme when this is a URL, None when it names a directory."""
    found = _URL.match(os.fspath(text))
    return found[1].lower() if found else None


def shown(text: str | os.PathLike[str]) -> str:
    """Return what may be shown of a URL: nothing of who somebody is, and no options."""
    return _SECRET.sub("//", os.fspath(text)).partition("?")[0]
