"""An event as a row of ClickHouse, as TabSeparated has it: the columns of the archive, and the exact line.

1. What is not of a column's type is absent from the column, which is NULL then. `body` has all of it.
2. `time` cannot be NULL, as the table is sorted by it: an event without a time, or with one that is not between 1970
   and 2105 (what DateTime can tell), has 1970-01-01 00:00:00.
3. `text` has what of an event no column has and free text is looked for in, as in the archive; it is empty, not
   NULL, where there is nothing of that.
4. Half of a surrogate pair is no text in UTF-8: a column has U+FFFD instead.
5. Where `time` has whole seconds, there is no `text`: in its place are the microseconds, in numbers without zeros in
   front: 18.16 takes the first one for the whole number. Rows are made before it is known which it is, so either can be
   made of the other: `time` comes first, and what follows its 19 characters tells.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson

from auditmw.archive.columns import COLUMNS
from auditmw.archive.texts import other_texts
from auditmw.formats.record import Event
from auditmw.ship.batch import Batch, Entry
from auditmw.ship.tabular import Column, Tabular, pieces

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_OURS = re.compile(r"(?:19[789]\d|20\d\d|210[0-5])-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_FIRST, _END = datetime(1970, 1, 1, tzinfo=UTC), datetime(2106, 1, 1, tzinfo=UTC)
_MAX_BIGINT = 2**63 - 1
_SURROGATE = re.compile("[\ud800-\udfff]")
_BETWEEN_TEXTS = "\x1f"  # as in the archive (projection.SEPARATOR)
_NO_TIME = "1970-01-01 00:00:00.000000"
_SECONDS = 19  # characters of a time to the second
_POINT, _TAB = b".\t"


def _json(value: Any) -> str | None:
    """Return a value's JSON; None for one that is too deep to be written anew."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # half of a surrogate pair, an integer of more than 64 bits, or more than 254 levels
        with suppress(RecursionError):
            return json.dumps(value, separators=(",", ":"))
    return None


def _integer(value: Any) -> str | None:
    return str(value) if type(value) is int and -_MAX_BIGINT <= value <= _MAX_BIGINT else None


def _text(value: Any) -> str | None:
    return value if type(value) is str else _json(value)


def _storable(text: str) -> str:
    return _SURROGATE.sub("\ufffd", text)


def instant(timestamp: Any) -> str | None:
    """Return a timestamp of RFC 3339 as `YYYY-MM-DD hh:mm:ss.ffffff` in UTC; None when it tells none that has room."""
    if type(timestamp) is not str:
        return None
    try:
        if _OURS.fullmatch(timestamp):
            datetime.fromisoformat(timestamp)  # raises ValueError for the 31st of February
            return f"{timestamp[:10]} {timestamp[11:26]}"
        if not _RFC3339.fullmatch(timestamp):
            return None
        time = datetime.fromisoformat(timestamp.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return time.strftime("%Y-%m-%d %H:%M:%S.%f") if _FIRST <= time < _END else None


HEAD = ("time", "text", "id", "writer", "seq")
"""The columns before those of the archive's fields, in order; `row` makes their cells."""

_CONVERT = {"text": None, "integer": _integer, "json": _json}
_TABULAR = Tabular(
    [Column(each.name, each.path, _CONVERT[each.kind]) for each in COLUMNS if each.name not in HEAD],
    text=_text,
    storable=_storable,
)


def names(*, whole_seconds: bool) -> tuple[str, ...]:
    """Return the columns of a row, in order. `whole_seconds`: with `microsecond`, the fractions, in place of `text`."""
    first, text, *head = HEAD
    return (first, "microsecond" if whole_seconds else text, *head, *_TABULAR.names, "body")


def row(entry: Entry, event: Event, *, whole_seconds: bool) -> bytes:
    """Return an event as a row, open where it can be (`Tabular.row`)."""
    time = instant(event.get("timestamp")) or _NO_TIME
    if whole_seconds:
        first = time[:_SECONDS], str(int(time[_SECONDS + 1 :]))
    else:
        first = time, _BETWEEN_TEXTS.join(other_texts(event))
    head = (*first, entry.id, entry.writer, str(entry.seq))
    return _TABULAR.row(head, event, entry.body, is_plain="\\" not in entry.writer, is_open=True)


def encoded(batch: Batch, *, whole_seconds: bool) -> list[bytes]:
    """Return the data of an INSERT of a batch whose records are rows, made for a table of this kind or the other."""
    wanted, made = (_TAB, _with_whole_seconds) if whole_seconds else (_POINT, _with_fractions)
    return pieces((each.record if each.record[_SECONDS] == wanted else made(each), each.body) for each in batch)


def _with_whole_seconds(entry: Entry) -> bytes:
    """Return a row with its fractions as a column of their own; cheaply, as the first batches come like this."""
    row = entry.record
    behind_text = row.index(_TAB, len(_NO_TIME) + 1)
    return b"%b\t%d%b" % (row[:_SECONDS], int(row[_SECONDS + 1 : len(_NO_TIME)]), row[behind_text:])


def _with_fractions(entry: Entry) -> bytes:
    return row(entry, entry.event, whole_seconds=False)
