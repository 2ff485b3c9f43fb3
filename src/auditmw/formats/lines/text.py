"""Formats of lines that are literal text and variables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from auditmw.formats.line import Event, LineError, TimeBasis
from auditmw.formats.lines.assembly import Values, complete, with_homes_once, written
from auditmw.formats.lines.combined import Combined
from auditmw.formats.lines.escapes import Dialect
from auditmw.formats.lines.homes import User
from auditmw.formats.lines.requests import new_event
from auditmw.formats.lines.template import Part, Slot, compiled, first_difference, literals_merged, pieces, slots


class Family(NamedTuple):
    """What the text formats of one server share.

    `combined` are the parts of its combined format, `size` is a regular expression for the number of bytes in it, where
    `-` is 0, `time` is what it calls the time.
    """

    dialect: Dialect
    basis: TimeBasis
    combined: tuple[Part, ...]
    size: str
    time: str


class TextFormat:
    """One format, made of its parts: literal texts, and slots for variables.

    `fast` are the ways to read plain lines of it, of which each gives no event for lines that need a second look;
    `combined` is that way for a format that is the combined one and no more.
    Raises FormatError for parts of which a line could not be read.
    """

    def __init__(self, name: str, parts: Sequence[Part], family: Family) -> None:
        self.name = name
        self._family = family
        merged = literals_merged(parts)
        self.variables = with_homes_once([slot.variable for slot in slots(merged)])
        variables = iter(self.variables)
        self._parts = [part if isinstance(part, str) else part._replace(variable=next(variables)) for part in merged]
        self._pieces = pieces(self._parts, family.dialect)
        self._match = compiled(self._pieces).fullmatch
        combined = self._fast_way()
        self.fast = [] if combined is None else [combined.event]
        self.combined = combined if combined is not None and combined.is_all else None

    def parse(self, line: bytes) -> Event | None:
        """Return the event of one line, None for a blank one. Raises LineError."""
        for fast in self.fast:
            event = fast(line)
            if event is not None:
                return event
        return self.parse_any(line)

    def parse_any(self, line: bytes) -> Event | None:
        """Do what `parse` does, for any line."""
        text = line.decode("utf-8", "surrogateescape").removesuffix("\r")
        if not text or text.isspace():
            return None
        return self.read(text, len(line)) or self._cut_off(text, len(line)) or self.parse_other(text, len(line))

    def read(self, text: str, length: int) -> Event | None:
        """Return the event of a line that is as described, None for others. Raises LineError."""
        match = self._match(text)
        return None if match is None else self.event(zip(self.variables, match.groups(), strict=True), length)

    def parse_other(self, text: str, length: int) -> Event:
        """Return the event of a line that the description does not fit, of this length in bytes. Raises LineError."""
        return self.refuse(text)

    def event(self, values: Values, length: int, dialect: Dialect | None = None) -> Event:
        """Return the event of these values, from a line of this length in bytes. Raises LineError."""
        values = list(values)
        event = complete(new_event(self.name, self._family.basis), values, dialect or self._family.dialect, length)
        if "timestamp" not in event:
            self._insist_on_the_time(values)
        return event

    def refuse(self, text: str) -> NoReturn:
        """Raise a LineError that says from where on a line is not of this format."""
        raise LineError(f"not a line of {self.name}: {first_difference(self._pieces, text)}")

    def is_header(self, line: bytes) -> bool:
        """Return False: every line is read alone."""
        return False

    def render(self, event: Event) -> bytes:
        """Return the line of an event, without a line feed. Raises LineError for one that is no HTTP request."""
        if event.get("event") != "http_request":
            raise LineError(
                f"expected an http_request, which is all that {self.name} can say, not {event.get('event')!r}"
            )
        dialect = self._family.dialect
        return b"".join(
            part.encode() if isinstance(part, str) else written(event, part.variable, dialect) for part in self._parts
        )

    def _cut_off(self, text: str, length: int) -> Event | None:
        """Return the event of a line that ends within its last value, unless half of it would name somebody else."""
        last, end = (None, *self._parts)[-2:]
        if not isinstance(last, Slot) or isinstance(last.variable.home, User) or not isinstance(end, str):
            return None
        event = self.read(text + end, length)
        if event is None:
            return None
        meta = event.setdefault("meta", {})
        pointers = [*meta.get("truncated", ()), *(last.variable.home.texts(event) if last.variable.home else ())]
        meta["truncated"] = list(dict.fromkeys(pointers))
        return event

    def _insist_on_the_time(self, values: Values) -> None:
        """Raise LineError when the line has a time, and it is none."""
        for variable, value in values:
            if (
                variable.home is not None
                and "/timestamp" in variable.home.claims
                and value != self._family.dialect.absent
            ):
                raise LineError(f"expected a time that exists in {variable.name}, not {value!r}")

    def _fast_way(self) -> Combined | None:
        """Return the fast way when the format begins as the combined one does."""
        *head, end = self._family.combined or ("",)
        whole, *rest = self._parts[len(head) :] or ("",)
        if not head or self._parts[: len(head)] != head or not (isinstance(whole, str) and isinstance(end, str)):
            return None
        if not whole.startswith(end):
            return None
        tail = literals_merged([whole.removeprefix(end), *rest])
        return Combined(
            self.name,
            self._family.basis,
            self._family.dialect,
            size=self._family.size,
            time=self._family.time,
            tail="".join(piece.pattern for piece in pieces(tail, self._family.dialect)),
            extras=[slot.variable for slot in slots(tail)],
        )
