r"""Events as rows of tab-separated text, which COPY of PostgreSQL and TabSeparated of ClickHouse read alike.

1. Cells end in a tab, rows in a line feed; \N is NULL, and a backslash goes before what is meant otherwise (PostgreSQL
   manual, COPY, "Text Format"; https://clickhouse.com/docs/interfaces/formats/TabSeparated).
2. JSON text holds control characters only as escapes (RFC 8259 §7). So an event whose JSON has no backslash needs none
   in its row, and such an event whose columns all hold texts is the fast case: it is joined as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, repeat
from operator import itemgetter
from typing import Any, NamedTuple

from auditmw.formats.record import Event

NULL = r"\N"

Convert = Callable[[Any], str | None]
"""Makes the text of a cell out of a value of JSON, None for NULL."""

_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
_WHITE_SPACE = {b"\t": rb"\t", b"\n": rb"\n", b"\r": rb"\r"}  # all that JSON text has of control characters
_get = dict.get
_NULLS = repeat(NULL)
_NOTHING: repeat[Event] = repeat({})


class Column(NamedTuple):
    """A column: its name, where its value stands in the event, and what makes a cell of it; None for a plain text."""

    name: str
    path: tuple[str, ...]
    convert: Convert | None = None


class Tabular:
    """Makes rows of the columns, in the order of `names`.

    `text`: what a plain text's cell is when the value may be none. `storable`: a text as the database takes it, with
    something else in place of half of a surrogate pair.
    """

    def __init__(self, columns: Iterable[Column], *, text: Convert, storable: Callable[[str], str]) -> None:
        every = list(columns)
        texts = [column for column in every if column.convert is None]
        others = [(column, column.convert) for column in every if column.convert is not None]
        self.names = (*(column.name for column in texts), *(column.name for column, _ in others))
        self._text, self._storable = text, storable
        objects = _objects(column.path for column in every)
        self._levels = [_Places(level, objects) for level in _levels(objects)]
        self._texts = _Places([column.path for column in texts], objects)
        self._others = [(objects.index(column.path[:-1]), column.path[-1], convert) for column, convert in others]

    def row(self, head: Sequence[str], event: Event, body: bytes, *, is_plain: bool, is_open: bool = False) -> bytes:
        """Return a row: the cells of `head`, those of the columns, and `body`, the event's JSON.

        `is_plain`: no cell of the head has a character to be escaped that does not come from an escape in the JSON.
        NULL in the head is the constant. `is_open`: without the body where that is the row's end as it is; such a row
        ends in a tab, and `pieces` closes it, so that the body is not in memory twice.
        """
        if is_plain and body.find(b"\\") < 0 and body.find(b"\t") < 0 and body.find(b"\r") < 0:  # twice as fast as `in`
            try:
                plain = "\t".join(self._cells(head, event)).encode()
            except (TypeError, UnicodeEncodeError):  # not all are texts, or texts that can be stored
                pass
            else:
                return plain + b"\t" if is_open else b"%b\t%b\n" % (plain, body)
        cells = self._careful_cells(head, event)
        texts = [NULL if cell is None else self._storable(cell).translate(_ESCAPES) for cell in cells]
        return b"%b\t%b\n" % ("\t".join(texts).encode(), _escaped_json(body))

    def _cells(self, head: Sequence[str], event: Event) -> list[str]:
        """Return the cells as they are. Raises TypeError where an object is none."""
        objects = [event]
        for level in self._levels:
            objects += map(_get, level.holders(objects), level.names, _NOTHING)
        cells = [*head, *map(_get, self._texts.holders(objects), self._texts.names, _NULLS)]
        for number, name, convert in self._others:
            value = _get(objects[number], name)
            cells.append(NULL if value is None or (cell := convert(value)) is None else cell)
        return cells

    def _careful_cells(self, head: Sequence[str], event: Event) -> Iterator[str | None]:
        """Yield cells that are texts, whatever the values are; None for NULL."""
        yield from (None if cell is NULL else cell for cell in head)
        objects = [event]
        for level in self._levels:
            found = [holder.get(name) for holder, name in zip(level.holders(objects), level.names, strict=True)]
            objects += [each if type(each) is dict else {} for each in found]
        for holder, name in zip(self._texts.holders(objects), self._texts.names, strict=True):
            value = holder.get(name)
            yield None if value is None else self._text(value)
        for number, name, convert in self._others:
            value = objects[number].get(name)
            yield None if value is None else convert(value)


def pieces(rows: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    """Return what rows are together, the open ones with their bodies: in each pair a row, and the event's JSON."""
    found: list[bytes] = []
    for row, body in rows:
        found += (row, body, b"\n") if row.endswith(b"\t") else (row,)
    return found


class _Places:
    """Where values stand: the `names` of all, and `holders`, which takes the objects that have them out of all."""

    def __init__(self, paths: Sequence[tuple[str, ...]], objects: Sequence[tuple[str, ...]]) -> None:
        self.names = tuple(path[-1] for path in paths)
        numbers = [objects.index(path[:-1]) for path in paths]
        self.holders: Callable[[Sequence[Event]], Sequence[Event]] = (
            itemgetter(*numbers) if len(numbers) > 1 else lambda found: [found[number] for number in numbers]
        )


def _objects(paths: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the paths of the objects that values at these paths are in, the outer ones first."""
    found = {path[:end] for path in paths for end in range(len(path))}
    return sorted(found, key=lambda path: (len(path), path))


def _levels(objects: Sequence[tuple[str, ...]]) -> list[list[tuple[str, ...]]]:
    """Return the same without the outermost, those of one depth together."""
    return [list(level) for depth, level in groupby(objects, len) if depth]


def _escaped_json(body: bytes) -> bytes:
    body = body.replace(b"\\", b"\\\\")
    for raw, escaped in _WHITE_SPACE.items():
        if raw in body:
            body = body.replace(raw, escaped)
    return body
