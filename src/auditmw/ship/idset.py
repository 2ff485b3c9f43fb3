"""A set of ids that may be larger than the memory: in a temporary file, which is gone when it is closed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

_VARIABLES = 500  # of a statement; SQLite before 3.32 takes 999 (https://sqlite.org/limits.html)


class IdSet:
    """The ids that it was made of. For one thread."""

    def __init__(self, ids: Iterable[str]) -> None:
        # A file of its own, written when the cache is full (https://sqlite.org/inmemorydb.html).
        self._database = sqlite3.connect("")
        self._database.execute("CREATE TABLE ids (id TEXT PRIMARY KEY) WITHOUT ROWID")
        self._database.executemany("INSERT OR IGNORE INTO ids VALUES (?)", ((ident,) for ident in ids))
        self._database.commit()

    def __len__(self) -> int:
        (count,) = self._database.execute("SELECT count(*) FROM ids").fetchone()
        return int(count)

    def absent(self, ids: Sequence[str]) -> set[str]:
        """Return those that are not in it."""
        missing = set(ids)
        for start in range(0, len(ids), _VARIABLES):
            some = ids[start : start + _VARIABLES]
            statement = f"SELECT id FROM ids WHERE id IN ({', '.join('?' * len(some))})"  # noqa: S608 - question marks
            missing.difference_update(ident for (ident,) in self._database.execute(statement, some))
        return missing

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()
