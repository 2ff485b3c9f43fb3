"""Small parts of one day become one.

1. Parts are put together by size: a part is rewritten only with others that are together as large, so that a byte is
   written again only when its part doubles. On a day that is over, fewer and less equal parts do.
2. Parts that follow each other in time are put together as they are; others are sorted.
3. What a merge gives is bounded, because DuckDB sorts it in memory, and so that retention and damage cost no more than
   a piece of a day. When the memory does not suffice, the parts stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby, pairwise

import duckdb

from auditmw.archive.error import ArchiveError
from auditmw.archive.leader import Leader
from auditmw.archive.manifest import Part, united
from auditmw.archive.parts import Draft, replaced_by, what_is_wrong_with, write
from auditmw.archive.sql import parquet
from auditmw.archive.states import settled

TARGET_BYTES = 16 * 1024 * 1024
"""A part of this size is merged no more."""

_AT_ONCE = 16  # merges, between two writings of the manifest
_TODAY, _OVER = (4, 1.0), (2, 2.0)  # how many parts at least, and how large one may be beside the smaller ones together


def merge(leader: Leader, *, target_bytes: int = TARGET_BYTES) -> int:
    """Merge what should be merged by now; return how many parts went into others. Raises OSError, duckdb.Error."""
    today, merged = leader.now().date().isoformat(), 0
    left: set[str] = set()  # days that have to wait for another step
    while groups := [group for group in _groups(leader, today, target_bytes) if group[0].day not in left]:
        for at in range(0, len(groups), _AT_ONCE):
            merged += _merge(leader, groups[at : at + _AT_ONCE], left)
    return merged


def plan(parts: Sequence[Part], *, over: bool, target_bytes: int = TARGET_BYTES) -> list[Part]:
    """Return which of a day's parts to put together, none if there is no need. `over`: the day has ended."""
    at_least, factor = _OVER if over else _TODAY
    group: list[Part] = []
    total = 0
    for part in sorted(parts, key=lambda part: (part.bytes, part.file)):
        if total + part.bytes > target_bytes:
            break
        if group and part.bytes > factor * total:
            if len(group) >= at_least:
                break
            group, total = [], 0
        group.append(part)
        total += part.bytes
    return group if len(group) >= at_least else []


def _groups(leader: Leader, today: str, target_bytes: int) -> list[list[Part]]:
    days = groupby(sorted(leader.manifest.parts, key=lambda part: part.file), lambda part: part.day)
    plans = (plan(list(parts), over=day < today, target_bytes=target_bytes) for day, parts in days)
    return [group for group in plans if group]


def _merge(leader: Leader, groups: Sequence[Sequence[Part]], left: set[str]) -> int:
    """Merge each group, and make that the manifest in one step; add to `left` the days where it cannot be done."""
    done: list[Part] = []
    drafts: list[Draft] = []
    for group in groups:
        if any(what_is_wrong_with(leader.layout, part) for part in group):
            leader.check([part.file for part in group])
            left.add(group[0].day)
            continue
        try:
            drafts.append(_merged(leader, group))
            done += group
        except duckdb.OutOfMemoryException:
            left.add(group[0].day)
    if drafts:
        leader.supersede(done, drafts)
    return len(done)


def _merged(leader: Leader, group: Sequence[Part]) -> Draft:
    group = sorted(group, key=lambda part: (part.first or datetime.min, part.last or datetime.min))
    in_order = all(a.last and b.first and a.last <= b.first for a, b in pairwise(group))
    rows = settled(parquet(leader.layout.archive / part.file for part in group), group)
    draft = write(
        leader.connection,
        rows,
        leader.layout,
        group[0].day,
        now=leader.now(),
        sources=united(part.sources for part in group),
        replaces=[name for part in group for name in replaced_by(leader.connection, leader.layout, part)],
        in_order=in_order,
    )
    if draft.part.rows != sum(part.rows for part in group):
        files = [part.file for part in group]
        raise ArchiveError(f"merging {files} gave {draft.part.rows} rows; they stay as they are")
    return draft
