"""The store that an audit directory is: archive and live lines, read by DuckDB."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from auditmw.archive.archiving import Progress
from auditmw.archive.error import ArchiveError, ExpiredError
from auditmw.archive.snapshot import Missing, PartFile, Snapshot, View
from auditmw.journal.reader import OnDamage
from auditmw.query.language.dialect import DUCKDB
from auditmw.query.store import OutOfMemoryError, Parameters, Row, StaleViewError, StatementInterruptedError, StoreError
from auditmw.reading import what_is_wrong_with


class DirectoryStore:
    """The events of an audit directory; the arguments are those of `Engine`."""

    dialect = DUCKDB

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        threads: int = 2,
        memory_bytes: int = 512 * 1024 * 1024,
        on_damage: OnDamage | None = None,
        archive_bytes: int | None = 64 * 1024 * 1024,
        on_archiving: Callable[[Progress | None], None] | None = None,
    ) -> None:
        self._directory = Path(directory)
        self._snapshot = Snapshot(
            directory,
            archive_bytes=archive_bytes,
            memory_bytes=memory_bytes,
            threads=threads,
            on_damage=on_damage,
            on_progress=on_archiving,
        )

    @contextmanager
    def view(self) -> Iterator[DirectoryView]:
        """Look at what is there now. Raises FileNotFoundError when there is no such directory or it is none of ours."""
        wrong = what_is_wrong_with(self._directory)
        if wrong is not None and not (self._directory / "archive").is_dir():
            raise FileNotFoundError(f"expected an audit directory: {wrong}")
        with self._snapshot.view() as view:
            yield DirectoryView(view)

    @property
    def archive_error(self) -> ArchiveError | None:
        """Why the last view could not archive what was waiting."""
        return self._snapshot.archive_error

    def close(self) -> None:
        """Let go of memory and temporary files."""
        self._snapshot.close()


class DirectoryView:
    """A view of the directory, and DuckDB's answers as those of any store."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.relation = view.relation

    @property
    def parts(self) -> tuple[PartFile, ...]:
        """The Parquet files."""
        return self._view.parts

    @property
    def live(self) -> int:
        """How many events are in no file yet."""
        return self._view.live

    @property
    def missing(self) -> tuple[Missing, ...]:
        """The files that cannot be read."""
        return self._view.missing

    def run(self, sql: str, parameters: Parameters, *, seconds: float) -> list[Row]:
        """Return the rows of a statement; it is `interrupt` that ends it."""
        return rows(self._view.connection, sql, parameters)

    def interrupt(self) -> None:
        """End the statement that runs."""
        self._view.connection.interrupt()

    def check(self) -> list[Missing]:
        """Compare the checksums of all files."""
        try:
            return self._view.check()
        except ExpiredError as error:
            raise StaleViewError(str(error)) from error


def rows(connection: duckdb.DuckDBPyConnection, sql: str, parameters: Parameters) -> list[Row]:
    """Return the rows of a statement. Raises as `StoreView.run` does."""
    try:
        return connection.execute(sql, dict(parameters)).fetchall()
    except duckdb.InterruptException as error:
        raise StatementInterruptedError(str(error)) from error
    except duckdb.OutOfMemoryException as error:
        raise OutOfMemoryError(str(error)) from error
    except duckdb.Error as error:
        raise StoreError(str(error)) from error
