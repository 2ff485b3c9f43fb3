"""Shipping: does every target get its events, and what happens when the journal is full meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from auditmw.audit import Audit
from auditmw.cli.checks.finding import Finding, fail, ok, warn
from auditmw.journal import Journal, journal_files
from auditmw.journal.cursor import CURSOR, JOURNAL_ID, SHIP, CursorError, load
from auditmw.ship.status import IDLE_STATES, Status, statuses

LAG_SECONDS = 300.0
SILENT_SECONDS = 300.0  # a shipper that works or has nothing to do says so every second; an attempt takes a minute
SILENT_WAITING_SECONDS = 3900.0  # one that waits may have been asked to for an hour
QUOTA_WARN, QUOTA_FAIL = 0.7, 0.9
WAITING_STATES = ("retrying", "unusable")
_AS_THE_SHIPPER = "chown it to the user that ships, or run this check as that one"
_COUNTS = {
    "rejected": ("events were dropped by the target, which does not say which ones", "look into the target's own log"),
    "missing": ("numbers of the journal are nowhere", "find out who removed files of the journal"),
    "damaged": ("damaged places of the journal are in quarantine", "look into the kernel's log for disk errors"),
    "left_out": ("events have no record in the format, and were left out", "another --format has one for every event"),
}


def check_shipping(directory: Path, now: datetime) -> Iterator[Finding]:
    """Yield findings about each target in DIR/ship; none where nothing is shipped. `now` has a time zone."""
    try:
        found = statuses(directory, now)
    except OSError as error:
        yield fail("ship.readable", f"{error.filename or directory / SHIP}: {error.strerror}", _AS_THE_SHIPPER)
        return
    for status in found:
        folder = directory / SHIP / status.name
        problems = [*_folder(folder), *_cursor(folder, status), *check_target(status, now), *_lag(status)]
        if any(each.check == "ship.begun" for each in problems):  # then none runs either
            problems = [each for each in problems if each.check != "ship.running"]
        yield from problems
        if not problems:
            shipped, waiting = status.counts.get("shipped", 0), status.lag.events
            seen = f"{status.name}: {shipped:,} events shipped, {waiting:,} wait ({status.state})"
            yield ok("ship.target", seen)


def check_target(status: Status, now: datetime) -> Iterator[Finding]:
    """Yield what is wrong with one target as its shipper tells it; nothing when all is well."""
    name = status.name
    if status.state in IDLE_STATES and status.lag.events:
        seen = f"{name}: {status.lag.events:,} events wait, and no shipper runs ({status.state}{_error(status)})"
        yield warn("ship.running", seen, f"start it, or remove {SHIP}/{name} if the target was given up")
    if status.state in WAITING_STATES and status.last_error:
        seen = f"{name}: {status.state}, {status.last_error_at}: {status.last_error}"
        level = fail if status.state == "unusable" else warn
        yield level("ship.target", seen, "it is tried again by itself; nothing is lost while the journal has room")
    if who := silence(status, now):
        seen = f"{name}: the shipper has said nothing {who}"
        yield fail("ship.silent", seen, "end that process; --take-over leads in its place at once")
    for kind, (what, advice) in _COUNTS.items():
        if status.counts.get(kind):
            yield warn(f"ship.{kind}", f"{name}: {status.counts[kind]:,} {what}", advice)
    if status.dead_letters:
        seen = f"{name}: {status.dead_letters:,} dead letters"
        yield warn("ship.dead_letters", seen, "--replay sends them again, once their cause is gone")
    for file in status.unreadable:
        yield fail("ship.unreadable", f"{name}: cannot read {file}; what its writer wrote waits", _AS_THE_SHIPPER)


def _error(status: Status) -> str:
    return f"; its last error, {status.last_error_at}: {status.last_error}" if status.last_error else ""


def silence(status: Status, now: datetime) -> str:
    """Return for how long a process that leads has done nothing, and why that may be; "" when all is well."""
    most = SILENT_WAITING_SECONDS if status.state in WAITING_STATES else SILENT_SECONDS
    try:
        silent = (now - datetime.fromisoformat(status.updated)).total_seconds()
    except (ValueError, TypeError):
        return ""
    if status.state in IDLE_STATES or silent <= most:
        return ""
    if _exists(status.pid):
        who = f"its process {status.pid} hangs, or was stopped"
    else:
        who = f"its process {status.pid} is gone, and another one, which it forked or of a container, holds the lock"
    return f"for {silent / 60:.0f} minutes: {who}"


def _lag(status: Status) -> Iterator[Finding]:
    if status.state in IDLE_STATES or status.lag.seconds <= LAG_SECONDS:
        return
    seen = (
        f"{status.name}: {status.lag.events:,} events wait ({status.lag.bytes / (1 << 20):.1f} MiB), the oldest for "
        f"{status.lag.seconds / 60:.0f} minutes; {status.events_per_second:g} events/s go"
    )
    yield warn(
        "ship.lag", seen, "is the target slower than what comes? `auditmw ship --status` again shows where it goes"
    )


def _folder(folder: Path) -> Iterator[Finding]:
    for path in (folder.parent, folder):
        if not os.access(path, os.R_OK | os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
            seen = f"{path} cannot be written: nothing is sent that could not be accounted for"
            yield fail("ship.writable", seen, _AS_THE_SHIPPER)
            return


def _cursor(folder: Path, status: Status) -> Iterator[Finding]:
    """Yield a finding about a cursor that nobody can go on with; until then it holds every file of the journal."""
    given_up = f"remove {folder} if the target was given up"
    try:
        cursor = load(folder / CURSOR)
        journal = (folder.parent / JOURNAL_ID).read_text("ascii").strip() if cursor else ""
    except CursorError as error:
        yield fail("ship.cursor", str(error), given_up)
        return
    except (OSError, ValueError) as error:
        yield fail("ship.cursor", f"{folder.name}: {error}", _AS_THE_SHIPPER)
        return
    if cursor is None and status.state in WAITING_STATES:
        return  # why it cannot begin is told of the target
    if cursor is None:
        seen = f"{folder.name}: nothing was shipped yet, and every file of the journal is kept for it{_error(status)}"
        yield warn("ship.begun", seen, f"start its shipper, or {given_up}")
    elif cursor.journal != journal:
        seen = f"{folder.name}: the cursor is that of another journal ({cursor.journal}), not of this one ({journal})"
        advice = "give the shipper another --name, or remove the cursor to ship all from the start"
        yield fail("ship.cursor", seen, advice)


def check_begun(audit: Audit) -> Iterator[Finding]:
    """Yield the targets that the application ships to by itself, and to which it never began to."""
    for status in audit.health().get("shipping", ()):
        if status["state"] == "new":
            seen = f"the app ships to {status['target']}, and no process has begun to"
            advice = "it begins with the first event of a worker; a server may run no threads (uWSGI: enable-threads)"
            yield warn("ship.begun", seen, advice)


def check_quota(audit: Audit, directory: Path) -> Iterator[Finding]:
    """Yield how much of its quota the journal has, and what happens when it is full."""
    quota = audit.journal.quota if isinstance(audit.journal, Journal) else None
    if quota is None:
        return
    used = sum(_size(file) for file in journal_files(directory))
    then = "events are lost, counted and told"
    if quota.drop_oldest:
        used, then = _unshipped(directory, used), "the oldest are removed, counted and told"
    elif audit.policy.refuse:
        then = "requests are answered with 503"
    what = "not shipped everywhere" if quota.drop_oldest else "in the journal"
    share = used / quota.max_bytes
    seen = f"{used / (1 << 20):.1f} MiB {what}, {share:.0%} of the quota; when it is full, {then}"
    advice = (
        "find out which target holds the files (`auditmw ship --status`), run `auditmw archive`, or raise quota_bytes"
    )
    if share < QUOTA_WARN:
        yield ok("quota", seen)
    else:
        yield (fail if share >= QUOTA_FAIL else warn)("quota", seen, advice)


def _unshipped(directory: Path, used: int) -> int:
    """Return how many bytes the slowest target does not have; those that all have go first, and nobody misses them."""
    try:
        return min(used, max((status.lag.bytes for status in statuses(directory)), default=used))
    except OSError:
        return used


def _size(file: Path) -> int:
    try:
        return os.stat(file).st_size
    except OSError:
        return 0


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return pid > 0
