"""The text of an event that free text is looked for in, beside its columns: the same paths as in projection.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from auditmw.archive.projection import SEARCHED


def other_texts(event: Mapping[str, Any]) -> Iterator[str]:
    """Yield the values that the archive's column `text` has of an event."""
    yield from _texts(event, _PLACES)


def _tree() -> dict[str, Any]:
    """Return the paths as a tree: at its leaves True, where all below is searched."""
    root: dict[str, Any] = {}
    for path in SEARCHED:
        *above, last = path.split(".")
        place = root
        for key in above:
            place = place.setdefault(key, {})
        place[last] = True
    return root


_PLACES = _tree()


def _texts(event: Mapping[str, Any], places: Mapping[str, Any]) -> Iterator[str]:
    for key, value in event.items():
        below = places.get(key)
        if below is True:
            yield from _leaves(value)
        elif below is not None and isinstance(value, Mapping):
            yield from _texts(value, below)


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
