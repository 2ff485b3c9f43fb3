"""The event's JSON, without what stands in the columns anyway: a third of the size, and exact to the byte.

`packed` is the event's JSON in which values of the columns are replaced by control characters, which JSON text never
holds (RFC 8259 §7): U+0001 stands for the event's `trace`, U+0002 for its `id`, and so on (MARKS). So every engine that
reads the Parquet files gets the JSON back with nested calls of `replace`; `unpack` is that expression. A text that does
not come back from this exactly is stored as it is, and comes back as it is, since there is nothing in it to replace.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

NEVER = "chr(31)"
"""SQL of a character that is in no line of the journal that was taken into the archive."""

_MIN_TEXT_BYTES = 7  # a shorter value may stand anywhere, and replacing it saves nothing


class Dialect(NamedTuple):
    """How an engine's SQL spells the parts of the expression; `{}` stands for arguments."""

    column: str
    character: str
    replaced: str
    number: str
    time: str


DIALECTS = {
    "duckdb": Dialect('"{}"', "chr({})", "replace({}, {}, {})", "{}::VARCHAR", "strftime({}, '%Y-%m-%dT%H:%M:%S.%fZ')"),
    "clickhouse": Dialect(
        "`{}`", "char({})", "replaceAll({}, {}, {})", "toString({})", "formatDateTime({}, '%Y-%m-%dT%H:%i:%S.%fZ')"
    ),
    "spark": Dialect(
        "`{}`",
        "char({})",
        "replace({}, {}, {})",
        "CAST({} AS STRING)",
        """date_format({}, "yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'")""",
    ),
}
"""The engines whose SQL `unpack` knows."""


class Mark(NamedTuple):
    """What one control character stands for: the value of a column, as JSON has it, and the JSON that comes before."""

    number: int
    column: str
    kind: Literal["text", "number", "time"] = "text"
    before: str = ""

    def value(self, dialect: Dialect) -> str:
        """Return SQL of what it stands for."""
        column = dialect.column.format(self.column)
        if self.kind == "text":
            return column
        return (dialect.time if self.kind == "time" else dialect.number).format(column)


MARKS = (
    Mark(1, "trace"),
    Mark(2, "id"),
    Mark(3, "session"),
    Mark(4, "ip"),
    Mark(5, "referrer"),
    Mark(6, "path"),
    Mark(7, "agent"),
    Mark(14, "user"),
    Mark(15, "time", "time"),
    Mark(16, "dur", "number", '"duration_ns":'),
    Mark(17, "size", "number", '"body_size":'),
)
"""The order in which values are replaced; they are put back in the opposite order."""


def pack(body: str) -> str:
    """Return SQL that packs the SQL expression `body`. What it gives may not be exact: compare with `unpack`."""
    packed, dialect = body, DIALECTS["duckdb"]
    for mark in MARKS:
        value, put = mark.value(dialect), dialect.character.format(mark.number)
        if mark.before:
            searched, put = f"'{mark.before}' || {value}", f"'{mark.before}' || {put}"
        else:
            searched = f"CASE WHEN strlen({value}) >= {_MIN_TEXT_BYTES} THEN {value} END"
        packed = f"replace({packed}, coalesce({searched}, {NEVER}), {put})"
    return packed


def unpack(packed: str, dialect: str = "duckdb") -> str:
    """Return SQL that gives the event's JSON for the SQL expression `packed`, in the SQL of one of DIALECTS."""
    body, spelled = packed, DIALECTS[dialect]
    for mark in reversed(MARKS):
        character, value = spelled.character.format(mark.number), mark.value(spelled)
        body = spelled.replaced.format(body, character, f"coalesce({value}, '')")
    return body
