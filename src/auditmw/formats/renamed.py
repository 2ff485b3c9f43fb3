"""Lines of JSON whose keys have other names than their format knows: they are renamed before it reads them."""

from __future__ import annotations

from collections.abc import Mapping

from auditmw.formats.line import Event, FormatError, LineFormat
from auditmw.formats.lines.json_object import dumped, object_of


class RenamedFormat:
    """The lines of `inner`, a format of JSON lines, with the keys of `names` called as its values say."""

    def __init__(self, inner: LineFormat, names: Mapping[str, str]) -> None:
        twice = sorted({new for new in names.values() if list(names.values()).count(new) > 1})
        if twice:
            raise FormatError(f"expected every name to be given to one key, not {', '.join(twice)} to several")
        self.name = inner.name
        self._inner = inner
        self._names = dict(names)

    def parse(self, line: bytes) -> Event | None:
        """Return the event of one line, None for one that holds none. Raises LineError."""
        return self._inner.parse(renamed(line, self._names))

    def is_header(self, line: bytes) -> bool:
        """Return whether the line says how the lines after it are to be read."""
        return self._inner.is_header(line)

    def render(self, event: Event) -> bytes:
        """Return the line of an event as `inner` writes it, with the keys that it writes renamed. Raises LineError."""
        return renamed(self._inner.render(event), {new: old for old, new in self._names.items()})


def renamed(line: bytes, names: Mapping[str, str]) -> bytes:
    """Return the line with its keys renamed; the line itself where it is no JSON object or has none of them."""
    found = object_of(line)
    if not found or found.keys().isdisjoint(names):
        return line
    # What bears a new name already gives way to the key that was mapped to it.
    taken = {names[key] for key in found if key in names}
    return dumped({names.get(key, key): value for key, value in found.items() if key in names or key not in taken})
