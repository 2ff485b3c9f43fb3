"""What `auditmw demo` shows in a browser: the viewer, over a month of generated history and what comes now."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import auditmw
from auditmw.cli.history import History, write_journal
from auditmw.cli.serve import link, listen, new_access, viewer_server

DAYS = 30
_HOST = "127.0.0.1"
_END_SECONDS = 5


def is_new(directory: Path) -> bool:
    """Return whether an audit directory has no events yet."""
    journal = directory / "journal"
    return not (directory / "archive").exists() and not (journal.is_dir() and any(journal.iterdir()))


def write_history(directory: Path, number: int) -> None:
    """Write so many events of the last month, and archive them: the first page then comes as fast as all others."""
    from auditmw.archive import archive

    write_journal(History(number, DAYS, until=datetime.now(UTC)), directory)
    archive(directory)


@contextmanager
def viewing(directory: Path, port: int) -> Iterator[str]:
    """Serve the viewer of a directory from a thread; gives the link to it."""
    directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    listening = listen(_HOST, port)
    number = listening.getsockname()[1]
    access = new_access("auto", number)
    audit = auditmw.Audit(directory, service="auditmw")
    server = viewer_server(directory, access, audit)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="viewer", daemon=True)
    thread.start()
    try:
        yield link(_HOST, number, "", access)
    finally:
        server.should_exit = True
        thread.join(_END_SECONDS)
        listening.close()
        audit.close()
