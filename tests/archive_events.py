"""What the archive's tests share: journals as writers leave them, and what a query sees of a directory."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from auditmw.archive.archiver import ArchiveReport, archive
from auditmw.archive.snapshot import Snapshot
from auditmw.journal import seal

DAY = datetime(2026, 11, 20, tzinfo=UTC)
IMPORTED = f"import-{'0' * 16}-{'f' * 16}-0-9"  # a writer whose name is kept for ever
NO_GRACE = timedelta(0)

Seen = tuple[str, int, bytes]  # writer, number, body


def body(number: int, *, at: datetime | None = None, **fields: Any) -> bytes:
    """An event that says which one it is; a second after the other, from the beginning of the day."""
    time = (at or DAY + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    event = {"id": f"id-{number}", "timestamp": time, "event": "test_happened", "level": "info"} | fields
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()


def pending(number: int, **fields: Any) -> bytes:
    """The intent record of `body(number)`."""
    return body(number, outcome={"result": "pending"}, **fields)


def write_file(directory: Path, writer: str, number: int, bodies: Iterable[bytes], *, seq: int = 1) -> Path:
    """A journal file of a writer that is gone; its first line has the number `seq`."""
    folder = directory / "journal"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{writer}.{number:06d}.jsonl"
    file.write_bytes(b"".join(seal(each, seq + at) for at, each in enumerate(bodies)))
    return file


def seen(directory: Path, **bounds: Any) -> list[Seen]:
    """What a query sees, in order of time; nothing is archived for it."""
    with Snapshot(directory, archive_bytes=None, threads=1) as snapshot, snapshot.view() as view:
        assert view.missing == ()
        rows = view.connection.execute(
            f'SELECT writer, seq, body FROM {view.relation(**bounds)} ORDER BY "time" NULLS FIRST, writer, seq'
        ).fetchall()
    return [(writer, seq, body.encode()) for writer, seq, body in rows]


def column(directory: Path, name: str) -> list[Any]:
    """One column of what a query sees, by writer and number."""
    with Snapshot(directory, archive_bytes=None, threads=1) as snapshot, snapshot.view() as view:
        rows = view.connection.execute(f'SELECT "{name}" FROM {view.relation()} ORDER BY writer, seq').fetchall()
    return [value for (value,) in rows]


def numbered(writer: str, bodies: Iterable[bytes], *, seq: int = 1) -> list[Seen]:
    """Lines as `seen` gives them."""
    return [(writer, seq + at, each) for at, each in enumerate(bodies)]


def assert_once(found: Iterable[Seen], expected: Iterable[Seen]) -> None:
    """Fail unless these are the expected lines, each once."""
    counted, wanted = Counter(found), Counter(expected)
    assert not wanted - counted, f"lost: {sorted((wanted - counted).elements())[:5]}"
    assert not counted - wanted, f"too many: {sorted((counted - wanted).elements())[:5]}"


def journal(directory: Path) -> list[str]:
    """The names of the journal files."""
    return sorted(path.name for path in (directory / "journal").glob("*"))


def parquet(directory: Path) -> list[str]:
    """The Parquet files of the archive, below DIR/archive."""
    archive_folder = directory / "archive"
    return sorted(str(path.relative_to(archive_folder)) for path in archive_folder.glob("*/*.parquet"))


def archived(directory: Path, **options: Any) -> ArchiveReport:
    """Archive, delete at once what is superseded, and return the report."""
    return archive(directory, **{"grace": NO_GRACE, "now": lambda: DAY + timedelta(days=30), **options})
