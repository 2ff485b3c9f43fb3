"""The text of an event that free text is looked for in, beside its columns: the same paths as in projection.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from auditmw.archive.projection import SEARCHED


def other_texts(event: Mapping[str, Any]) -> list[str]:
    """Return the values that the archive's column `text` has of an event."""
    found: list[str] = []
    _gather(event, _PLACES, found)
    return found


def _tree() -> dict[str, Any]:
    """Return the paths as a tree: at its leaves None, where all below is searched."""
    root: dict[str, Any] = {}
    for path in SEARCHED:
        *above, last = path.split(".")
        place = root
        for key in above:
            place = place.setdefault(key, {})
        place[last] = None
    return root


_PLACES = _tree()


def _gather(event: Mapping[str, Any], places: Mapping[str, Any], found: list[str]) -> None:
    for key, value in event.items():
        if key not in places:
            continue
        below = places[key]
        if below is None:
            found += (value,) if type(value) is str else _leaves(value)
        elif isinstance(value, dict):
            _gather(value, below, found)


def _leaves(value: Any) -> Iterator[str]:
    """Yield the strings and numbers in a JSON value, however deep, without keys."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            waiting += reversed(list(value.values()))
        elif isinstance(value, list):
            waiting += reversed(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield str(value)
