r"""Events as rows of tab-separated text, which COPY of PostgreSQL and TabSeparated of ClickHouse read alike.

1. Cells end in a tab, rows in a line feed; \N is NULL, and a backslash goes before what is meant otherwise (PostgreSQL
   manual, COPY, "Text Format"; https://clickhouse.com/docs/interfaces/formats/TabSeparated).
2. JSON text holds control characters only as escapes (RFC 8259 §7). So an event whose JSON has no backslash needs none
   in its row, and such an event whose columns all hold texts is the fast case: it is joined as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any, NamedTuple

from auditmw.formats.record import Event

NULL = r"\N"

Convert = Callable[[Any], str | None]
"""Makes the text of a cell out of a value of JSON, None for NULL."""

_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
_WHITE_SPACE = {b"\t": rb"\t", b"\n": rb"\n", b"\r": rb"\r"}  # all that JSON text has of control characters
_NULLS = repeat(NULL)
_NOTHING: dict[str, Any] = {}


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
        self._text, self._storable = text, storable
        self._objects: list[tuple[str, ...]] = [()]
        texts: dict[int, list[Column]] = {}
        others: list[tuple[int, Column]] = []
        for column in columns:
            number = self._number(column.path[:-1])
            if column.convert is None:
                texts.setdefault(number, []).append(column)
            else:
                others.append((number, column))
        self._inner = [(self._objects.index(path[:-1]), path[-1]) for path in self._objects[1:]]
        self._texts = [(number, tuple(column.path[-1] for column in found)) for number, found in texts.items()]
        self._others = [(number, column.path[-1], column.convert) for number, column in others if column.convert]
        ordered = [column for found in texts.values() for column in found] + [column for _, column in others]
        self.names = tuple(column.name for column in ordered)

    def _number(self, path: tuple[str, ...]) -> int:
        """Return the number of an object of the event, which those that it is in go before."""
        if path not in self._objects:
            self._number(path[:-1])
            self._objects.append(path)
        return self._objects.index(path)

    def row(self, head: Sequence[str], event: Event, body: bytes, *, is_plain: bool) -> bytes:
        """Return a row: the cells of `head`, those of the columns, and `body`, the event's JSON.

        `is_plain`: no cell of the head has a character to be escaped that does not come from an escape in the JSON.
        NULL in the head is the constant.
        """
        objects = [event]
        for number, name in self._inner:
            found = objects[number].get(name)
            objects.append(found if type(found) is dict else _NOTHING)
        if is_plain and b"\\" not in body and b"\t" not in body and b"\r" not in body:
            try:
                return b"%b\t%b\n" % ("\t".join(self._cells(head, objects)).encode(), body)
            except (TypeError, UnicodeEncodeError):  # not all are texts, or texts that can be stored
                pass
        texts = [NULL if cell is None else self._escaped(cell) for cell in self._careful_cells(head, objects)]
        return b"%b\t%b\n" % ("\t".join(texts).encode(), _escaped_json(body))

    def _cells(self, head: Sequence[str], objects: Sequence[Event]) -> list[str]:
        cells = list(head)
        for number, names in self._texts:
            cells += map(objects[number].get, names, _NULLS)
        for number, name, convert in self._others:
            value = objects[number].get(name)
            cells.append(NULL if value is None or (cell := convert(value)) is None else cell)
        return cells

    def _careful_cells(self, head: Sequence[str], objects: Sequence[Event]) -> Iterator[str | None]:
        """Yield cells that are texts, whatever the values are; None for NULL."""
        yield from (None if cell is NULL else cell for cell in head)
        wanted = [(number, name, self._text) for number, names in self._texts for name in names]
        for number, name, convert in [*wanted, *self._others]:
            value = objects[number].get(name)
            yield None if value is None else convert(value)

    def _escaped(self, cell: str) -> str:
        return self._storable(cell).translate(_ESCAPES)


def _escaped_json(body: bytes) -> bytes:
    body = body.replace(b"\\", b"\\\\")
    for raw, escaped in _WHITE_SPACE.items():
        if raw in body:
            body = body.replace(raw, escaped)
    return body
