"""The event's JSON, without what stands in the columns anyway: a third of the size, and exact to the byte.

`packed` is the event's JSON in which values of the columns are replaced by control characters, which JSON text never
holds (RFC 8259 §7): U+0001 stands for the event's `trace`, U+0002 for its `id`, and so on (MARKS). So every engine that
reads the Parquet files gets the JSON back with nested calls of `replace`; `unpack` is that expression. A text that does
not come back from this exactly is stored as it is, and comes back as it is, since there is nothing in it to replace.
"""

from __future__ import annotations

from typing import NamedTuple

NEVER = "chr(31)"
"""SQL of a character that is in no line of the journal that was taken into the archive."""

_MIN_TEXT_BYTES = 7  # a shorter value may stand anywhere, and replacing it saves nothing


class Mark(NamedTuple):
    """What one control character stands for: an SQL expression over the columns, and the JSON that comes before it."""

    number: int
    value: str
    before: str = ""

    @property
    def character(self) -> str:
        """The SQL of the control character."""
        return f"chr({self.number})"

    @property
    def column(self) -> str:
        """The column whose value it stands for."""
        return self.value.split('"')[1]


MARKS = (
    Mark(1, '"trace"'),
    Mark(2, '"id"'),
    Mark(3, '"session"'),
    Mark(4, '"ip"'),
    Mark(5, '"referrer"'),
    Mark(6, '"path"'),
    Mark(7, '"agent"'),
    Mark(14, '"user"'),
    Mark(15, "strftime(\"time\", '%Y-%m-%dT%H:%M:%S.%fZ')"),
    Mark(16, '"dur"::VARCHAR', '"duration_ns":'),
    Mark(17, '"size"::VARCHAR', '"body_size":'),
)
"""The order in which values are replaced; they are put back in the opposite order."""


def pack(body: str) -> str:
    """Return SQL that packs the SQL expression `body`. What it gives may not be exact: compare with `unpack`."""
    packed = body
    for mark in MARKS:
        if mark.before:
            searched, put = f"'{mark.before}' || {mark.value}", f"'{mark.before}' || {mark.character}"
        else:
            searched = f"CASE WHEN strlen({mark.value}) >= {_MIN_TEXT_BYTES} THEN {mark.value} END"
            put = mark.character
        packed = f"replace({packed}, coalesce({searched}, {NEVER}), {put})"
    return packed


def unpack(packed: str) -> str:
    """Return SQL that gives the event's JSON for the SQL expression `packed`."""
    body = packed
    for mark in reversed(MARKS):
        body = f"replace({body}, {mark.character}, coalesce({mark.value}, ''))"
    return body
