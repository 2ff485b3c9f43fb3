"""From the values of one log line to the one event, and back: what all formats with named values share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from auditmw.event import pointer_to
from auditmw.formats.line import Event
from auditmw.formats.lines import times
from auditmw.formats.lines.escapes import Dialect, text_of, value_of
from auditmw.formats.lines.homes import Home, User, member
from auditmw.formats.lines.limits import LONG_LINE_BYTES, SHORT_LINE_BYTES, fitted

# The response came out of nginx's cache, and with it the headers of the request that filled it.
_FROM_CACHE = frozenset({"HIT", "STALE", "UPDATING", "REVALIDATED"})
_CACHE_STATUS = ("http", "response", "cache_status")
_ASKED = "upstream_addr"  # without a value, no upstream was asked: nothing but a cache can know a user
_FIELDS = "/source/fields"


class Variable(NamedTuple):
    """One value of a line, as its format calls it.

    `name` is also its name in `source.fields`, where it stands when it has no home, or one that cannot hold it.
    `always`: it is kept there also when it says that there is nothing. `derived`: another variable of the format has
    that home, this one is kept when it says something else. `counts`: for it, what else says that there is nothing is
    a value.
    """

    name: str
    home: Home | None = None
    always: bool = False
    derived: bool = False
    counts: bool = False


Values = Iterable[tuple[Variable, str | None]]
_Text = tuple[Variable, str, bool]  # the text, and whether it is escaped


def with_homes_once(variables: Sequence[Variable]) -> tuple[Variable, ...]:
    """Return the variables, `derived` where another one has the better right to a home."""
    taken: set[str] = set()
    derived: set[int] = set()
    homes = [(variable.home, n) for n, variable in enumerate(variables) if variable.home is not None]
    for home, n in sorted(homes, key=lambda each: each[0].rank):
        if taken.isdisjoint(home.claims):
            taken.update(home.claims)
        else:
            derived.add(n)
    return tuple(variable._replace(derived=n in derived) for n, variable in enumerate(variables))


def complete(event: Event, values: Values, dialect: Dialect, length: int) -> Event:
    """Return the event with these values of its line in it; `length` is that of the line, in bytes."""
    kept: dict[str, str] = event["source"].setdefault("fields", {})
    escaped: list[str] = []
    late: list[_Text] = []
    absent: list[tuple[Variable, str]] = []
    nothing, from_cache = dialect.absent, False
    for variable, value in values:
        if value is None or (value == nothing and not variable.counts):
            from_cache = from_cache or variable.name == _ASKED
            if variable.always or variable.derived:
                absent.append((variable, value or ""))
            continue
        is_plain = value.isascii() and "\\" not in value
        text, is_escaped = (value, False) if is_plain else text_of(dialect, value)
        if variable.derived or isinstance(variable.home, User):
            late.append((variable, text, is_escaped))
        elif variable.home is None or not _is_put(event, variable.home, text, is_escaped, escaped):
            _keep(kept, variable, text, is_escaped, escaped)
    if late or absent:
        _settle(event, late, absent, from_cache, kept, escaped)
    if "duration_ns" in event:
        _place_in_time(event)
    return _finished(event, kept, escaped, length)


def _settle(
    event: Event,
    late: list[_Text],
    absent: list[tuple[Variable, str]],
    from_cache: bool,
    kept: dict[str, str],
    escaped: list[str],
) -> None:
    """Put users where no cache answered, and keep what other variables do not say as well."""
    from_cache = from_cache or member(event, _CACHE_STATUS) in _FROM_CACHE
    for variable, text, is_escaped in late:
        home = variable.home
        if variable.derived or home is None:
            continue
        if from_cache or not _is_put(event, home, text, is_escaped, escaped):
            _keep(kept, variable, text, is_escaped, escaped)
    for variable, text, is_escaped in late:
        if variable.derived and (variable.home is None or variable.home.get(event) != text):
            _keep(kept, variable, text, is_escaped, escaped)
    for variable, value in absent:
        if variable.always or (variable.home is not None and variable.home.get(event) is not None):
            kept[variable.name] = value


def written(event: Event, variable: Variable, dialect: Dialect) -> bytes:
    """Return the value of a variable as the line of this event has it."""
    pointers = member(event, ("meta", "escaped")) or ()
    kept = member(event, ("source", "fields")) or {}
    if variable.name in kept:
        return value_of(dialect, kept[variable.name], pointer_to(_FIELDS, variable.name) in pointers)
    text = variable.home.get(event) if variable.home else None
    if text is None or variable.home is None:
        return dialect.absent.encode()
    return value_of(dialect, text, bool(pointers) and not set(pointers).isdisjoint(variable.home.texts(event)))


def _finished(event: Event, kept: dict[str, str], escaped: list[str], length: int) -> Event:
    if "timestamp" in event:
        event = {"schema": event["schema"], "timestamp": event["timestamp"], **event}  # first, for who reads it
    else:
        event["source"]["time_basis"] = "unknown"
    if not kept:
        del event["source"]["fields"]
    if escaped:
        _note(event, escaped)
    too_long = length >= LONG_LINE_BYTES or (escaped and length >= SHORT_LINE_BYTES)
    return fitted(event, length) if too_long else event


def _is_put(event: Event, home: Home, text: str, is_escaped: bool, escaped: list[str]) -> bool:
    """Put a text where it belongs and return whether nothing more has to be kept of it."""
    try:
        says_all = home.put(event, text, is_escaped)
    except ValueError:
        return False
    if is_escaped:
        escaped.extend(home.texts(event))
    return says_all


def _keep(kept: dict[str, str], variable: Variable, text: str, is_escaped: bool, escaped: list[str]) -> None:
    kept[variable.name] = text
    if is_escaped:
        escaped.append(pointer_to(_FIELDS, variable.name))


def _place_in_time(event: Event) -> None:
    """Say when it began and ended, of which the line tells one and how long it took."""
    moment = event.get("timestamp")
    if moment is None:
        return
    with suppress(ValueError):  # before 1970 or after 9999
        if event["source"]["time_basis"] == "start":
            event["timestamp"] = times.later(moment, event["duration_ns"])
            event["start"] = moment
        else:
            event["start"] = times.later(moment, -event["duration_ns"])


def _note(event: Event, pointers: list[str]) -> None:
    """Name the texts that have an escape in them: of a request target, perhaps only the query."""
    named = [pointer for pointer in dict.fromkeys(pointers) if "\\" in str(_at(event, pointer))]
    if named:
        meta = event.setdefault("meta", {})
        meta["escaped"] = [*meta.get("escaped", ()), *named][:64]


def _at(event: Event, pointer: str) -> object:
    value: object = event
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list):
            value = value[int(name)] if int(name) < len(value) else None
        else:
            value = value.get(name) if isinstance(value, dict) else None
    return value
