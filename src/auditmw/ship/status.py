"""How shipping is doing, per target: what is left, how fast it goes, what went wrong; also as Prometheus text.

What is left (the lag) is measured from the cursor and the journal, so it is right also when no shipper runs. The rest
is what the last shipper wrote into DIR/ship/<name>/status.json, at most once a second.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from auditmw.journal import FileReader, journal_files, smallfile, writer_of
from auditmw.journal.cursor import SHIP, Cursor, Position, cursors
from auditmw.journal.frame import MAX_LINE_BYTES
from auditmw.journal.layout import sort_key
from auditmw.parsing import parse_event
from auditmw.ship.deadletters import DeadLetters
from auditmw.ship.lease import is_leased

STATUS = "status.json"
IDLE_STATES = ("stopped", "gone")
UP_STATES = ("shipping", "collecting", "idle")
_TAIL_BYTES = 64 * 1024


@dataclass(frozen=True)
class Lag:
    """What is not shipped yet: lines of the journal, bytes, and how old the oldest of them is."""

    events: int = 0
    bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Status:
    """One target's.

    `state`: shipping (collecting, into a directory), idle, retrying, unusable; stopped, gone (its process died); new
    (never begun).
    `counts`: events by what came of them, for as long as there is the cursor: `shipped`, `dead` letters, `rejected` by
    the target without saying which, `left_out` for lack of a record in the format, `damaged` stretches, `missing`
    lines; and `retries` of this process. `updated`: when the shipper last said something (RFC 3339, UTC).
    `unreadable`: the files that cannot be read, and whose writers wait. `stream`: where the events come from, when
    that is not the directory's journal (collect/).
    """

    name: str
    target: str
    state: str
    lag: Lag = field(default_factory=Lag)
    events_per_second: float = 0.0
    counts: Mapping[str, int] = field(default_factory=dict)
    dead_letters: int = 0
    epoch: int = 0
    pid: int = 0
    updated: str = ""
    last_error: str = ""
    last_error_at: str = ""
    unreadable: tuple[str, ...] = ()
    stream: str = ""


def write(folder: Path, status: Status) -> None:
    """Write the status where others can read it. Raises OSError."""
    draft = folder / f".{STATUS}.{os.getpid()}"  # not durable: it is of no use after a power failure
    draft.write_text(json.dumps(asdict(status)) + "\n")
    with contextlib.suppress(OSError):
        smallfile.hand_over(draft, smallfile.FILE_MODE, folder)
    os.replace(draft, folder / STATUS)


def statuses(directory: str | os.PathLike[str], now: datetime | None = None) -> list[Status]:
    """Return the status of every target of an audit directory, by name, with the lag as it is now.

    Raises FileNotFoundError when there is no such directory.
    """
    directory, found = Path(directory), []
    os.stat(directory)
    for name, cursor in cursors(directory).items():
        status = last_told(directory / SHIP / name)
        found.append(replace(status, lag=lag(directory, cursor, now)))
    return found


def last_told(folder: Path) -> Status:
    """Return what was said last of a target in its folder, the lag too; as "gone" when nobody says it any more."""
    status = Status(**{"state": "stopped", "target": "", **_told(folder), "name": folder.name})
    if status.state not in IDLE_STATES and not _runs(status.pid, folder):
        status = replace(status, state="gone")
    return replace(status, dead_letters=len(DeadLetters(folder, "")))


def _told(folder: Path) -> dict[str, Any]:
    try:
        told = json.loads((folder / STATUS).read_bytes())
        told = {key: value for key, value in told.items() if key in Status.__dataclass_fields__}
        return {**told, "unreadable": tuple(told.get("unreadable", ())), "lag": Lag(**told.get("lag", {}))}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _runs(pid: int, folder: Path) -> bool:
    """Whether a shipper runs; one in another container has a number that says nothing here, but holds the lock."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return is_leased(folder)
    except OSError:
        return True
    return pid > 0


def lag(directory: Path, cursor: Cursor | None, now: datetime | None = None) -> Lag:
    """Return what is not shipped. Raises FileNotFoundError when there is no such directory."""
    now = now or datetime.now(UTC)
    events = size = 0
    oldest = now
    for writer, files in groupby(journal_files(directory), writer_of):
        at = Position() if cursor is None else cursor.writers.get(writer, Position())
        waiting = [
            (file, at.offset if file.name == at.file else 0)
            for file in files
            if not at.file or sort_key(file.name) >= sort_key(at.file)
        ]
        rest = sum(max(0, _size(file) - offset) for file, offset in waiting)
        if rest:
            size += rest
            events += max(0, _last_seq(waiting, at.seq) - (at.seq or _first(waiting)[0] - 1))
            oldest = min(oldest, _first(waiting)[1] or oldest)
    return Lag(events, size, max(0.0, (now - oldest).total_seconds()))


def _first(files: Iterable[tuple[Path, int]]) -> tuple[int, datetime | None]:
    """Return the number and the time of the first line."""
    for file, offset in files:
        for line in FileReader(file, offset=offset).lines():
            with contextlib.suppress(ValueError, TypeError, AttributeError):
                stamp = datetime.fromisoformat(parse_event(line.body)["timestamp"])
                return line.seq, stamp if stamp.tzinfo else None
            return line.seq, None
    return 1, None


def _last_seq(files: list[tuple[Path, int]], known: int) -> int:
    for file, offset in reversed(files):
        for tail in (_TAIL_BYTES, 2 * MAX_LINE_BYTES):
            start = max(offset, _size(file) - tail)
            last = max((line.seq for line in FileReader(file, offset=start).lines()), default=0)
            if last:
                return last
    return known


def _size(file: Path) -> int:
    try:
        return os.stat(file).st_size
    except OSError:
        return 0


Metrics = Sequence[tuple[str, str, str]]
"""Names without a prefix, types, and what they are."""

SHIPPED: Metrics = (
    ("lag_events", "gauge", "Lines of the journal that are not shipped yet."),
    ("lag_bytes", "gauge", "Bytes of the journal that are not shipped yet."),
    ("lag_seconds", "gauge", "Age of the oldest event that is not shipped yet."),
    ("events_per_second", "gauge", "Events shipped a second, lately."),
    ("dead_letters", "gauge", "Events set aside because the target rejected them."),
    ("up", "gauge", "1 while the target takes events, 0 while it does not or no shipper runs."),
    ("events_total", "counter", "Events by what came of them."),
)


def prometheus(found: Iterable[Status], metrics: Metrics = SHIPPED, prefix: str = "auditmw_ship") -> str:
    """Return the statuses in the text format of Prometheus (exposition format 0.0.4), for every target."""
    found, lines = list(found), []
    for metric, kind, help_ in metrics:
        name = f"{prefix}_{metric}"
        lines += [f"# HELP {name} {help_}", f"# TYPE {name} {kind}"]
        for status in found:
            labels = f'name="{_label(status.name)}",target="{_label(status.target)}"'
            if status.stream:
                labels += f',stream="{_label(status.stream)}"'
            if metric == "events_total":
                lines += [f'{name}{{{labels},kind="{_label(k)}"}} {n}' for k, n in sorted(status.counts.items())]
            else:
                lines.append(f"{name}{{{labels}}} {_value(status, metric)}")
    return "\n".join(lines) + "\n"


def _value(status: Status, metric: str) -> float:
    if metric == "up":
        return int(status.state in UP_STATES)
    if metric.startswith("lag_"):
        value: float = getattr(status.lag, metric.removeprefix("lag_"))
        return value
    return float(getattr(status, metric))


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
