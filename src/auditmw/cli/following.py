"""Events as they come: the lines of a journal, or what arrives in a database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from auditmw.cli.events import WrittenEvent
from auditmw.journal import Damage, Follower
from auditmw.places import Place
from auditmw.query.language import Query
from auditmw.query.scope import Scope

AT_MOST = 10_000  # of one look at a database


class Following(Protocol):
    """Gives what came since the last look; `poll_seconds`: how long to wait until the next one."""

    poll_seconds: float

    def poll(self) -> Sequence[Mapping[str, Any]]:
        """Return the events that came and match. Raises OSError."""
        ...


def follower_of(place: Place, wanted: Query | None, on_damage: Callable[[Damage], None]) -> Following:
    """Return what follows a place from now on. Raises OSError."""
    return _Table(place, wanted) if place.directory is None else _Lines(place.directory, wanted, on_damage)


class _Lines:
    poll_seconds = 0.25

    def __init__(self, directory: Path, wanted: Query | None, on_damage: Callable[[Damage], None]) -> None:
        self._follower = Follower(directory, loads=WrittenEvent.parse, on_damage=on_damage)
        self._wanted = wanted

    def poll(self) -> Sequence[Mapping[str, Any]]:
        wanted = self._wanted
        return [event for event in self._follower.poll() if wanted is None or wanted.matches(event)]


class _Table:
    poll_seconds = 2.0

    def __init__(self, place: Place, wanted: Query | None) -> None:
        from auditmw.clickhouse import arrivals

        self._arrivals = arrivals
        self._engine = place.engine(time_limit_seconds=60)
        self._scope = Scope(wanted)
        self._mark = arrivals.mark(self._engine)

    def poll(self) -> Sequence[Mapping[str, Any]]:
        came = self._arrivals.arrived(self._engine, self._scope, self._mark, limit=AT_MOST)
        self._mark = came.mark
        return [WrittenEvent.parse(entry.body) for entry in came.entries]
