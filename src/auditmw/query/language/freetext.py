"""Where free text is looked for, and how: without regard to case, in the columns of text and in the column `text`.

The columns of ids are looked into only for what could be part of an id: they are long and all different, and so are the
costliest of all to search.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from auditmw.archive.columns import COLUMNS, Column
from auditmw.query.language.texts import Pattern

_HEXADECIMAL = re.compile(r"[0-9a-f-]{4,}", re.IGNORECASE)
_ID = re.compile(r"[0-9a-z_-]{4,}", re.IGNORECASE)
_IDS = {"id": _HEXADECIMAL, "trace": _HEXADECIMAL, "request": _ID, "correlation": _ID, "session": _ID}


def text_columns(pattern: Pattern) -> Iterator[Column]:
    """Yield the columns of text that the pattern could stand in."""
    text = "".join(part for part in pattern if isinstance(part, str))
    for column in COLUMNS:
        shape = _IDS.get(column.name)
        if column.kind == "text" and (shape is None or shape.fullmatch(text)):
            yield column


def folded(text: str) -> str:
    """Return the text in lower case, character by character, as DuckDB's lower() does.

    Python's own looks at what stands around a capital sigma, and makes two characters of an I with a dot.
    """
    return text.translate({0x03A3: 0x03C3, 0x0130: 0x0069}).lower()
