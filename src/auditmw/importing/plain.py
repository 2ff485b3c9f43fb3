"""The plain lines of a combined log as rows of the archive, without making an event of each.

1. What a plain line says is a few texts. Lines that differ in nothing but in these have events, and so rows, that
   differ in nothing but in these: they are of one shape. The first line of a shape is taken the general way, and the
   rest of the shape is made of its event. So there is one place that knows what the event of a line is.
2. So of a line only the values are written, and once for each chunk the shapes (archive/rowfile.py).
3. A line with anything in it that may have to be redacted, or written in another way than it stands, gives no row.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import count
from typing import Any

import orjson

from auditmw.archive.columns import COLUMNS
from auditmw.archive.packing import MARKS
from auditmw.archive.projection import BOT
from auditmw.archive.rowfile import CELL_END, SHAPE_CELLS
from auditmw.event import Event
from auditmw.formats.lines.combined import Combined
from auditmw.formats.lines.requests import readable_path
from auditmw.formats.lines.times import clf_time
from auditmw.importing.events import Reading
from auditmw.importing.ids import beginning_at, id_of, milliseconds_of
from auditmw.importing.redaction import EventRedactor

_LONGEST_LINE_BYTES = 768  # nothing in the event of such a line can be too long
_MOST_REMEMBERED, _LONGEST_REMEMBERED = 16_384, 256  # values, and characters of one
_ABSENT = "-"

# Control characters, which JSON text never holds, for what varies: those of packing.py, what is known when a chunk
# begins, and what is open until a line comes, in the order in which events have it.
_MARKS = {mark.column: chr(mark.number) for mark in MARKS}
_OBSERVED = "\x13"
_TARGET, _QUERY, _LINE, _OFFSET, _RAW, _DIGEST, _TIME, _NAME = _OPEN = tuple(map(chr, range(0x14, 0x1C)))

_VARIES = {
    ("id",): _MARKS["id"],
    ("timestamp",): _MARKS["time"],
    ("observed",): _OBSERVED,
    ("client", "address"): _MARKS["ip"],
    ("http", "request", "target"): _TARGET,
    ("http", "request", "user_agent"): _MARKS["agent"],
    ("http", "request", "referrer"): _MARKS["referrer"],
    ("http", "response", "body_size"): _MARKS["size"],
    ("url", "path"): _MARKS["path"],
    ("url", "query"): _QUERY,
    ("source", "line"): _LINE,
    ("source", "offset"): _OFFSET,
    ("source", "raw"): _RAW,
    ("source", "raw_sha256"): _DIGEST,
    ("actor", "name"): _NAME,
}
_STAYS = {
    *(("schema",), ("event",), ("level",), ("severity",), ("category",), ("action",), ("client", "origin")),
    *(("outcome", "result"), ("outcome", "reason"), ("http", "version"), ("http", "request", "method")),
    *(("http", "response", "status_code"), ("source", "kind"), ("source", "format"), ("source", "file")),
    ("source", "time_basis"),
}
_NUMBERS = {_LINE, _OFFSET, _MARKS["size"]}
_NEEDED = {("http", "response", "body_size"), ("source", "raw")}
_FIELDS = ("source", "fields")
_PATHS = {column.name: column.path for column in COLUMNS}
_PARTS = SHAPE_CELLS.index("part_0")
_CHUNKS = count(1)  # of this process
_IS_BOT = re.compile(BOT).search

_Shape = tuple[str, str, str, str, bool, bool, bool, bool, bool]


Row = tuple[str, str]
"""The time of an event, as text that sorts, and its row."""


class PlainRows:
    """Makes rows of the plain lines of one combined format; one for a process. `begin` before the lines of a chunk."""

    def __init__(self, combined: Combined, redact: EventRedactor) -> None:
        self._values = combined.values
        self._harmless = redact.harmless
        self._targets = _Targets(redact)
        self._hours = _Hours()
        self._bots = _Bots()
        self._source: tuple[str, str] | None = None  # of the events that the shapes were made of
        self._shapes: dict[_Shape, str | None] = {}
        self._time = ""  # of the line before, its timestamp, and how ids of that begin
        self._begun: tuple[str, str] | None = None

    def begin(self, reading: Reading, writer: str) -> None:
        """Take what all lines of a chunk have in common."""
        source = reading.parser.name, reading.origin.file
        if source != self._source:
            self._source, self._shapes = source, {}
        self._common = writer, reading.observed
        self._mark = reading.mark
        self._chunk = f"{os.getpid():x}.{next(_CHUNKS):x}"
        self._ready: dict[_Shape, str | None] = {}  # the number of each shape in the chunk
        self.shapes: list[str] = []

    def row(self, line: bytes, number: int, offset: int, seq: int, event_of: Callable[[], Event | None]) -> Row | None:
        """Return the row of a line at its place in the input, number `seq` of its writer; None for one not plain.

        `event_of` gives the event of the line, and is called for the first line of a shape. Raises what that raises.
        """
        values = self._values(line.decode("latin-1"))  # of which nothing but ASCII matches
        if values is None or len(line) > _LONGEST_LINE_BYTES:
            return None
        address, user, time, minute, second, zone, method, target, _, query, version, status, size, referrer, agent = (
            values
        )
        harmless, written = self._harmless, self._targets[target]
        if written is None or not (harmless[address] and harmless[user] and harmless[referrer] and harmless[agent]):
            return None
        if not referrer or not agent:  # an empty cell would say that it is not there
            return None
        path, packed = written
        nobody, unsized, direct, nameless = user == _ABSENT, size == _ABSENT, referrer == _ABSENT, agent == _ABSENT
        shape = method, version, status, zone, not query, nobody, unsized, direct, nameless
        number_of_shape = self._ready.get(shape, "")
        if number_of_shape == "":
            number_of_shape = self._prepared(shape, time, event_of)
        if time != self._time:  # most lines share their second with the line before
            self._time, self._begun = time, self._hours.second(minute, second, zone)
        if number_of_shape is None or self._begun is None:
            return None
        moment, beginning = self._begun
        sha = sha256(line)
        digest = sha.hexdigest()
        sha.update(b"%b%d" % (self._mark, offset))
        return (
            moment,
            f"{moment}\x1f{id_of(beginning, sha.hexdigest())}\x1f{number_of_shape}\x1f{'' if nobody else user}\x1f"
            f"{address}\x1f{'0' if unsized else size}\x1f{'' if nameless else agent}\x1f{self._bots[agent]}\x1f"
            f"{'' if direct else referrer}\x1f{path}\x1f{query or ''}\x1f{time}\x1f{seq}\x1f"
            f"{packed}\x1f{number}\x1f{offset}\x1f{digest}\n",
        )

    def _prepared(self, shape: _Shape, time: str, event_of: Callable[[], Event | None]) -> str | None:
        """Tell the shape to the chunk, and return its number there."""
        if shape not in self._shapes:
            event = event_of()
            self._shapes[shape] = None if event is None else shape_of(event, shape, time)
        found, number = self._shapes[shape], None
        if found is not None:
            number = f"{self._chunk}.{len(self.shapes)}"
            writer, observed = self._common
            told = found.replace(_OBSERVED, observed)
            self.shapes.append(f"{number}{CELL_END}{writer}{CELL_END}{told}\n")
        self._ready[shape] = number
        return number


def shape_of(event: Event, shape: _Shape, time: str) -> str | None:
    """Return what SHAPE_CELLS say of a shape, but for the first two, made of one event of it; None where it has more.

    `time`: as the line of the event has it.
    """
    paths = set(_paths(event))
    fields = event["source"].get("fields", {})
    if list(fields.values()) == [time]:
        paths -= {(*_FIELDS, *fields)}
    elif fields:
        return None
    if not _NEEDED <= paths <= _VARIES.keys() | _STAYS:
        return None
    said = {"zoned": str(bool(fields)), "sized": str(not shape[6])}
    constants = [said[name] if name in said else _constant(event, _PATHS[name]) for name in SHAPE_CELLS[2:_PARTS]]
    try:
        packed = orjson.dumps(_opened(event)).decode()
    except TypeError:  # a surrogate in the name of the file
        return None
    return CELL_END.join([*constants, *_parts(packed, shape)])


def _constant(event: Event, path: tuple[str, ...]) -> str:
    value: Any = event
    for key in path:
        value = value.get(key, {})
    return "" if value == {} else str(value)


def _opened(value: Any, path: tuple[str, ...] = ()) -> Any:
    """Return a copy of the event in which what varies is a control character."""
    if path in _VARIES:
        character = _VARIES[path]
        return orjson.Fragment((character if character in _NUMBERS else f'"{character}"').encode())
    if path == _FIELDS:
        return {name: orjson.Fragment(f'"{_TIME}"'.encode()) for name in value}
    if type(value) is dict:
        return {key: _opened(member, (*path, key)) for key, member in value.items()}
    return value


def _parts(packed: str, shape: _Shape) -> Iterator[str]:
    """Yield the parts of packed JSON between the values that PACKED names.

    Where a value is not there, it is empty, and the part after it, too.
    """
    method, version, status, _, _, nobody, unsized, direct, nameless = shape
    ip, referrer, agent = (
        _MARKS["ip"],
        _ABSENT if direct else _MARKS["referrer"],
        _ABSENT if nameless else _MARKS["agent"],
    )
    raw = (
        f"{ip} - {_ABSENT if nobody else ''}",
        " [",
        rf"] \"{method} ",
        rf" HTTP/{version}\" {status} {_ABSENT if unsized else ''}",
        rf" \"{referrer}\" \"{agent}\"",
    )
    for character in _OPEN:
        before, found, after = packed.partition(character)
        if not found:
            yield from [""] * (len(raw) - 1 if character == _RAW else 1)
        elif character == _RAW:
            yield before + raw[0]
            yield from raw[1:-1]
            packed = raw[-1] + after
        else:
            yield before
            packed = after
    yield packed


def _paths(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield where the values of an event stand."""
    if type(value) is dict:
        for key, member in value.items():
            yield from _paths(member, (*path, key))
    else:
        yield path


class _Bots(dict[str, str]):
    """By a user agent, whether it is a program's."""

    def __missing__(self, agent: str) -> str:
        is_bot = str(bool(_IS_BOT(agent)))
        if len(self) >= _MOST_REMEMBERED:
            self.clear()
        self[agent] = is_bot
        return is_bot


class _Targets(dict[str, tuple[str, str] | None]):
    """By a request target: its path as events have it, and itself in packed JSON; None for one not plain."""

    def __init__(self, redact: EventRedactor) -> None:
        super().__init__()
        self._redact = redact

    def __missing__(self, target: str) -> tuple[str, str] | None:
        path, _, query = target.partition("?")
        readable = readable_path(path) if "%" in path else path
        url = {"path": readable, "query": query} if query else {"path": readable}
        packed = _MARKS["path"] + target[len(path) :] if readable == path else target
        as_it_stands = '"' not in readable and "\\" not in readable
        written = (readable, packed) if as_it_stands and self._redact.is_harmless_target(target, url) else None
        if len(target) <= _LONGEST_REMEMBERED:
            if len(self) >= _MOST_REMEMBERED:
                self.clear()
            self[target] = written
        return written


class _Hours(dict[tuple[str, str], tuple[str, int] | None]):
    """By an hour of a log's time and its zone: the timestamp up to the hour, and its milliseconds since 1970."""

    def second(self, minute: str, second: str, zone: str) -> tuple[str, str] | None:
        """Return the timestamp of a second and how ids of it begin; None for a time that does not exist.

        `minute`: the time up to it, `10/Oct/2000:13:55:`.
        """
        if zone[3:] != "00":  # no hour of it is one of UTC
            return self._second(f"{minute}{second}", zone)
        begun = self[minute[:15], zone]
        if begun is None:
            return None
        milliseconds = begun[1] + 60_000 * int(minute[15:17]) + 1_000 * int(second)
        return f"{begun[0]}{minute[15:]}{second}", beginning_at(milliseconds)

    def __missing__(self, hour: tuple[str, str]) -> tuple[str, int] | None:
        moment = _moment(f"{hour[0]}00:00", hour[1])
        if len(self) >= _MOST_REMEMBERED:
            self.clear()
        self[hour] = begun = None if moment is None else (moment[:14], milliseconds_of(moment))
        return begun

    @staticmethod
    def _second(second: str, zone: str) -> tuple[str, str] | None:
        moment = _moment(second, zone)
        return None if moment is None else (moment[:19], beginning_at(milliseconds_of(moment)))


def _moment(second: str, zone: str) -> str | None:
    """Return the timestamp of a second; None for one that does not exist, or that this way does not write.

    DuckDB writes years before 1000 in another way, and ids know no time before 1970.
    """
    try:
        moment, _ = clf_time(f"{second} {zone}")
    except ValueError:
        return None
    return moment if moment >= "1970" else None
