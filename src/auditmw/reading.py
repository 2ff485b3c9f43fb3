"""Reading an audit directory back: dicts in time order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import orjson

from auditmw.event import Event
from auditmw.journal import Damage, read_events


def read(directory: str | os.PathLike[str], *, on_damage: Callable[[Damage], None] | None = None) -> Iterator[Event]:
    """The events of an audit directory, in time order, each once.

    Damaged lines are left out, copied to ``DIR/quarantine`` and told to `on_damage`. Where intent records are on, a
    request whose process died has the outcome ``unknown``, reason ``process_died``. Raises FileNotFoundError when there
    is no such directory, or one that holds other things.
    """
    if not os.path.isdir(os.path.join(directory, "journal")) and not _is_unused(directory):
        raise FileNotFoundError(
            f"expected an audit directory, not {os.fspath(directory)!r}; is it the one given to Audit?"
        )
    return read_events(directory, loads=orjson.loads, on_damage=on_damage)


def _is_unused(directory: str | os.PathLike[str]) -> bool:
    """Whether it may yet become an audit directory: it is empty, or has just its key."""
    return os.path.isdir(directory) and set(os.listdir(directory)) <= {"pseudonym.key", "quarantine"}
