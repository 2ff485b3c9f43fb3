"""Programs that write, read and archive one directory at the same time.

python archive_processes.py write DIRECTORY EVENTS     appends events, some after their intents, as fast as one may
python archive_processes.py archive DIRECTORY          archives again and again, until it is killed
python archive_processes.py read DIRECTORY STOP        checks every view against all before, until STOP exists
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import duckdb

from archive_events import body, pending
from auditmw.archive.archiver import archive
from auditmw.archive.error import ExpiredError
from auditmw.archive.snapshot import Snapshot
from auditmw.journal import Journal

GRACE = timedelta(seconds=0.3)  # shorter than some queries take, so that views expire


def write(directory: str, events: str) -> None:
    """Write `events` events; every third one after its intent. Small files, so that there is much to archive."""
    audit_log = Journal(directory, rotate_bytes=4_000)
    for number in range(int(events)):
        if number % 3 == 0:
            audit_log.append(pending(number, writer=audit_log.writer))
        audit_log.append(body(number, writer=audit_log.writer, message="x" * 200))
        time.sleep(0.002)
    audit_log.close()


def archive_for_ever(directory: str) -> None:
    """Archive until somebody ends it."""
    while True:
        archive(directory, grace=GRACE)


def read(directory: str, stop: str) -> None:
    """Fail when a view has an event twice, lacks one that an older line of its writer proves, or one seen before."""
    reached: dict[str, int] = {}
    views = 0
    with Snapshot(directory, archive_bytes=None, threads=1) as snapshot:
        while not Path(stop).exists() or not views:
            with snapshot.view() as view:
                try:
                    rows = view.connection.execute(
                        f"SELECT body ->> 'writer', count(*), count(DISTINCT id), max(substr(id, 4)::INTEGER) "
                        f"FROM {view.relation()} WHERE result IS NULL GROUP BY 1"
                    ).fetchall()
                except duckdb.Error:
                    try:
                        assert view.check() == []
                    except ExpiredError:
                        continue
                    raise
            views += 1
            for writer, count, distinct, last in rows:
                assert count == distinct, f"{count - distinct} events of {writer} are there twice"
                assert count == last + 1, f"of {last + 1} events of {writer} there are {count}"
                assert count >= reached.get(writer, 0), f"{writer} had {reached[writer]} events, and has {count}"
                reached[writer] = count
            assert reached.keys() <= {writer for writer, *_ in rows}, "a writer disappeared"
    print(views)


ROLES: dict[str, Callable[..., None]] = {"write": write, "archive": archive_for_ever, "read": read}

if __name__ == "__main__":
    ROLES[sys.argv[1]](*sys.argv[2:])
