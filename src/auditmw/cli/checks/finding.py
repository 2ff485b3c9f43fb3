"""One thing that a check looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, what was seen, and what to do about it.

    `check` is a stable name such as `directory.mode`; `advice` is empty when there is nothing to do. `fail` means
    that events are or will be lost, exposed or wrong; `warn` that somebody should decide.
    """

    level: Level
    check: str
    seen: str
    advice: str = ""


def ok(check: str, seen: str) -> Finding:
    """Return a finding that nothing is wrong."""
    return Finding("ok", check, seen)


def warn(check: str, seen: str, advice: str) -> Finding:
    """Return a finding that somebody should decide about."""
    return Finding("warn", check, seen, advice)


def fail(check: str, seen: str, advice: str) -> Finding:
    """Return a finding that must be mended."""
    return Finding("fail", check, seen, advice)
