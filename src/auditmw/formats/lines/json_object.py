"""Formats of lines that are one JSON object each, whose members are known: what they share.

1. A member is called by its path, `request.tls.version`; in a name a dot is `%2E`, and no name at all is `%`.
2. A known member goes to its home in the event. What has none, or would not come back the same, is kept in
   `source.fields` by its path: text as it is, unless it could be read as JSON, and all else as JSON.
3. `render` gives an equal JSON object back, whose members stand in the order in which their server writes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import orjson

from auditmw.event import SEVERITY
from auditmw.formats.line import Event, LineError, TimeBasis
from auditmw.formats.lines import escapes
from auditmw.formats.lines.assembly import Variable, complete
from auditmw.formats.lines.homes import Home, Place, member
from auditmw.formats.lines.requests import judge, new_event

_VERBATIM = escapes.NONE._replace(absent="\0\ud800")  # no text means that there is none
_SHOWN = 60  # characters of a line in a message


class Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


class StatusNumber(Place):
    """A status code as a number; 0 says that nothing was sent."""

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write the code, and what follows from it."""
        if not text.isdecimal() or len(text) > 3:
            raise ValueError("expected a status code")
        event["level"], event["outcome"] = judge(int(text))
        event["severity"] = SEVERITY[event["level"]]
        if text == "0":
            return False
        self.set(event, int(text))
        return self.get(event) == text

    def get(self, event: Event) -> str | None:
        """Return the code."""
        value = member(event, self.path)
        return None if value is None else str(value)


class Member(NamedTuple):
    """A known member: its path, its home, and whether its value is a number; `derived` is that of `Variable`."""

    path: str
    home: Home
    number: bool = False
    derived: bool = False


STATUS_NUMBER = StatusNumber("http", "response", "status_code")


class JsonObjectFormat:
    """One format, made by a subclass. `order`: the paths, or beginnings of paths, as the server writes them."""

    name: str
    basis: TimeBasis
    order: tuple[str, ...]

    def members(self, event: Event, values: Mapping[str, Any]) -> Sequence[Member]:
        """Return the known members, of a line with these values by their paths, or of an event where there are none."""
        raise NotImplementedError

    def put_objects(self, event: Event, values: dict[str, Any]) -> None:
        """Take from `values` what is known by the beginning of its path alone, headers, and put it into the event."""
        raise NotImplementedError

    def objects_of(self, event: Event) -> dict[str, Any]:
        """Return, by their paths, what `put_objects` took."""
        raise NotImplementedError

    def implied(self, event: Event) -> dict[str, Any]:
        """Return, by their paths, what the server always writes and what says nothing more than the event does."""
        raise NotImplementedError

    def is_header(self, line: bytes) -> bool:
        """Return False: every line is read alone."""
        return False

    def event(self, found: dict[str, Any], length: int) -> Event:
        """Return the event of a line's object; `length` is that of the line, in bytes. Raises LineError."""
        values = dict(flat(found))
        event = new_event(self.name, self.basis)
        self.put_objects(event, values)
        known = {one.path: one for one in self.members(event, values) if one.path in values}
        texts = {path: values.pop(path) for path, one in known.items() if _is(values[path], number=one.number)}
        kept = {path: as_field(value) for path, value in values.items()}
        event["source"]["fields"] = kept
        slots = [(Variable(path, known[path].home, derived=known[path].derived), text) for path, text in texts.items()]
        event = complete(event, slots, _VERBATIM, length)
        fields: dict[str, str] = event["source"].get("fields", {})
        fields.update((path, as_field(text)) for path, text in texts.items() if fields.get(path) == text)
        for path, value in self.implied(event).items():
            if fields.get(path) == as_field(value):
                del fields[path]
        if not fields:
            event["source"].pop("fields", None)
        return event

    def render(self, event: Event) -> bytes:
        """Return the line of an event, without a line feed. Raises LineError for one that is no HTTP request."""
        if event.get("event") != "http_request":
            what = f"expected an http_request, which is all that {self.name} can say"
            raise LineError(f"{what}, not {event.get('event')!r}")
        values = {**self.implied(event), **self.objects_of(event)}
        for one in self.members(event, {}):
            text = one.home.get(event)
            if text is not None:
                values[one.path] = Number(text) if one.number else text
        fields = member(event, ("source", "fields")) or {}
        values.update((path, from_field(text)) for path, text in fields.items())
        return dumped(_nested({path: values[path] for path in sorted(values, key=self._rank)}))

    def refuse(self, line: bytes) -> NoReturn:
        """Raise a LineError that says what the line is not."""
        shown = line[:_SHOWN].decode("utf-8", "backslashreplace")
        raise LineError(f"not a line of {self.name}: expected a JSON object about one request, not {shown!r}")

    def _rank(self, path: str) -> int:
        for rank, beginning in enumerate(self.order):
            if path == beginning or path.startswith(f"{beginning}."):
                return rank
        return len(self.order)


def object_of(line: bytes) -> dict[str, Any] | None:
    """Return the JSON object that a line is, its numbers as Number; None when it is none."""
    try:
        found = json.loads(line.decode(), parse_float=Number, parse_int=Number, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def path_of(before: str, name: str) -> str:
    """Return the path of a member of the object that has the path `before`, "" for the line's own."""
    name = name.replace("%", "%25").replace(".", "%2E") or "%"
    return f"{before}.{name}" if before else name


def named_after(path: str, before: str) -> str:
    """Return the name of the member of the object `before` that has this path."""
    return _name_of(path[len(before) + 1 :])


def flat(value: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield path and value of all that is no object within an object, or an empty one."""
    for name, item in value.items():
        path = path_of(before, name)
        if isinstance(item, dict) and item:
            yield from flat(item, path)
        else:
            yield path, item


def as_field(value: Any) -> str:
    """Return a JSON value as text for `source.fields`, from which `from_field` gives it back."""
    if type(value) is str and object_or_value(value) is None:
        return value
    return dumped(value).decode()


def from_field(text: str) -> Any:
    """Return the JSON value of a text in `source.fields`."""
    found = object_or_value(text)
    return text if found is None else found[0]


def object_or_value(text: str) -> tuple[Any] | None:
    """Return the JSON value that a text is, None when it is none."""
    try:
        return (json.loads(text, parse_float=Number, parse_int=Number, parse_constant=_no_constant),)
    except (ValueError, RecursionError):
        return None


def _name_of(part: str) -> str:
    return "" if part == "%" else part.replace("%2E", ".").replace("%25", "%")


def _is(value: Any, *, number: bool) -> bool:
    return type(value) is (Number if number else str)


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in values.items():
        *parents, last = map(_name_of, path.split("."))
        place = tree
        for name in parents:
            inner = place.setdefault(name, {})
            if not isinstance(inner, dict):
                inner = place[name] = {}
            place = inner
        place[last] = value
    return tree


def dumped(value: Any) -> bytes:
    """Return a value as JSON, its numbers as they were written."""
    return orjson.dumps(_with_numbers(value))


def _with_numbers(value: Any) -> Any:
    if type(value) is Number:
        return orjson.Fragment(value.encode())
    if isinstance(value, dict):
        return {name: _with_numbers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_numbers(item) for item in value]
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"expected JSON, not {name}")
