"""The event: its fields, ids and times, and how it becomes bytes.

Rules:

1. An event is a dict in the shape of ``event.schema.json``: absent means unknown, ``None`` is never written
   outside ``data``, ``results`` and ``filter``.
2. `encode` never fails. What JSON cannot carry is made plain, what is too long is cut, and ``meta`` says where.
3. `plain` is for values that come from an application; it copies, so that a later change in the application
   does not reach the event.
"""

from __future__ import annotations

import dataclasses
import enum
import itertools
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from auditmw import forks

Event = dict[str, Any]

SCHEMA = "auditmw.event/1.0"
MAX_EVENT_BYTES = 65_536  # one event on one line; also the most that a C2SP tlog entry bundle carries
SEVERITY = {"debug": 5, "info": 9, "warning": 13, "error": 17, "critical": 21}  # OpenTelemetry SeverityNumber
# CADF (DSP0262) verbs for HTTP methods, as keystonemiddleware maps them.
ACTIONS = {"GET": "read", "HEAD": "read", "POST": "create", "PUT": "update", "PATCH": "update", "DELETE": "delete"}

# Nothing in an event shorter than this can exceed a limit of the schema: shorter limits than the user agent's 2048 are
# kept where their values are made, and the required fields around it take more than 300 bytes.
_SURELY_FITS_BYTES = 2_300
_MAX_DEPTH = 32
_MAX_ITEMS = 1_000  # of one container
_MAX_VALUES = 10_000  # of one call
_INT_RANGE = range(-(2**63), 2**64)  # what orjson writes exactly
SHORT = 1_024  # characters; the schema's limit of a short string
_LIMITS: dict[str, int] = {
    "/message": 8_192,
    "/event": 128,
    "/outcome/reason": 256,
    "/http/request/method": 64,
    "/http/request/target": 8_192,
    "/http/request/user_agent": 2_048,
    "/http/request/referrer": 4_096,
    "/url/full": 8_192,
    "/url/path": 8_192,
    "/url/query": 8_192,
    "/trace/state": 8_192,
    "/error/message": 8_192,
    "/error/stacktrace": 32_768,
    "/source/raw": 65_536,
    "/source/raw_b64": 87_384,
}
_FREE = (
    *("/data", "/results", "/filter", "/target/attributes", "/source/fields"),
    *("/http/request/headers", "/http/response/headers", "/http/request/body"),
)
_FREE_LIMIT = 8_192
# What goes first when a whole event is too large.
_EXPENDABLE = ("data", "results", "filter", "target", "error", "http", "url", "source")

_DIGITS = tuple(f"{n:03d}" for n in range(1000))
_seconds: dict[int, str] = {}


def timestamp(time_ns: int) -> str:
    """RFC 3339 in UTC with exactly six digits: 27 characters that sort as text.

    `time_ns`: nanoseconds since the epoch, as `time.time_ns` gives them.
    """
    second = time_ns // 1_000_000_000
    microseconds = (time_ns - second * 1_000_000_000) // 1000
    prefix = _seconds.get(second) or _prefix(second)
    return f"{prefix}{_DIGITS[microseconds // 1000]}{_DIGITS[microseconds % 1000]}Z"


def timestamps(end_ns: int, duration_ns: int) -> tuple[str, str]:
    """The timestamps of something's end and of its start, most of the time within the same second."""
    second = end_ns // 1_000_000_000
    within_ns = end_ns - second * 1_000_000_000
    prefix = _seconds.get(second) or _prefix(second)
    end, start = within_ns // 1000, (within_ns - duration_ns) // 1000
    return (
        f"{prefix}{_DIGITS[end // 1000]}{_DIGITS[end % 1000]}Z",
        f"{prefix}{_DIGITS[start // 1000]}{_DIGITS[start % 1000]}Z" if start >= 0 else timestamp(end_ns - duration_ns),
    )


def _prefix(second: int) -> str:
    """A timestamp up to its decimals."""
    if len(_seconds) >= 64:  # requests that take longer than a second need some of those before
        _seconds.clear()
    prefix = _seconds[second] = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
    return prefix


# UUIDv7 (RFC 9562 §5.7, counter of §6.2 method 1): milliseconds, 12 bits that count, and 62 random bits that are
# new every 4096 ids and in every forked process. 4096 ids take longer than a millisecond, so no pair repeats.
_COUNTED = tuple(f"-7{n:03x}-" for n in range(4096))
_OCTETS = tuple(f"{n:02x}" for n in range(256))
_source: tuple[Callable[[], int], str]  # the counter and the random part that it belongs to: one object, read at once
_minute: tuple[int, str] = (-1, "")  # 65,536 milliseconds, and the eight digits that they share


def _renew() -> None:
    global _source
    digits = os.urandom(8).hex()
    _source = itertools.count().__next__, f"{'89ab'[int(digits[0], 16) & 3]}{digits[1:4]}-{digits[4:]}"


_renew()
forks.in_child(_renew)


def new_id(time_ns: int) -> str:
    """A UUIDv7 as text for the moment `time_ns` (nanoseconds since the epoch)."""
    global _minute
    milliseconds = time_ns // 1_000_000
    minute, digits = _minute
    if milliseconds >> 16 != minute:
        minute = milliseconds >> 16
        digits = f"{minute & 0xFFFFFFFF:08x}-"
        _minute = minute, digits
    count, random_part = _source
    n = count()
    if n > 4095:
        _renew()
        return new_id(time_ns)
    return f"{digits}{_OCTETS[milliseconds >> 8 & 255]}{_OCTETS[milliseconds & 255]}{_COUNTED[n]}{random_part}"


def encode(event: Event) -> bytes:
    """The event as one JSON object without a newline, at most `MAX_EVENT_BYTES` long; never raises."""
    try:
        body = orjson.dumps(event)
    except Exception:
        return fit(event)
    return body if len(body) < _SURELY_FITS_BYTES else fit(event, body)


def fit(event: Event, body: bytes | None = None) -> bytes:
    """The event within the limits of the schema: made plain, strings cut, the largest parts left out if need be."""
    try:
        notes = Notes()
        if body is None:
            event = {key: plain(value, f"/{key}", notes) for key, value in event.items()}
        event = {key: _cut(value, f"/{key}", notes) for key, value in event.items()}
        for part in _EXPENDABLE:
            body = orjson.dumps(notes.written_into(event))
            if len(body) <= MAX_EVENT_BYTES:
                return body
            if part in event:
                event[part] = _remainder(event[part])
                notes.truncated.append(f"/{part}")
        body = orjson.dumps(notes.written_into(event))
        return body if len(body) <= MAX_EVENT_BYTES else _least(event)
    except Exception:
        return _least(event)


class Notes:
    """What had to be changed while an event was made, as JSON pointers (RFC 6901) for its ``meta``."""

    __slots__ = ("escaped", "redacted", "truncated", "values")

    def __init__(self) -> None:
        self.truncated: list[str] = []
        self.escaped: list[str] = []
        self.redacted: list[str] = []
        self.values = 0

    def written_into(self, event: Event) -> Event:
        """The event with these notes added to its ``meta``."""
        meta = dict(event.get("meta", ()))
        for name in ("redacted", "truncated", "escaped"):
            pointers = getattr(self, name)
            if pointers:
                meta[name] = list(dict.fromkeys([*meta.get(name, ()), *map(_short_pointer, pointers)]))[:64]
        return {**event, "meta": meta} if meta else event


def plain(value: Any, pointer: str, notes: Notes, depth: int = 0) -> Any:
    """The value as JSON can carry it: a copy of dicts, lists, strings, numbers, booleans and None.

    Deeper than 32 levels, longer than 1,000 items or more than 10,000 values in all is cut; integers beyond 64 bits,
    NaN and infinities become strings; other objects become their `str`. `notes` says where. Never raises.
    """
    notes.values += 1
    kind = type(value)
    if kind is str:
        return _text(value, pointer, notes)
    if value is None or kind is bool or (kind is int and value in _INT_RANGE):
        return value
    if kind is float and math.isfinite(value):
        return value
    if depth >= _MAX_DEPTH or notes.values > _MAX_VALUES:
        notes.truncated.append(pointer)
        return None
    try:
        return _composite(value, pointer, notes, depth)
    except Exception:
        notes.truncated.append(pointer)
        return f"<{kind.__module__}.{kind.__qualname__}>"


def pointer_to(parent: str, key: str) -> str:
    """The JSON pointer of a member (RFC 6901 §3)."""
    return f"{parent}/{key.replace('~', '~0').replace('/', '~1')}" if "~" in key or "/" in key else f"{parent}/{key}"


def wire_text(value: str) -> tuple[str, bool]:
    r"""Text of a header or query as it came over the wire (latin-1 decoded, PEP 3333), and whether it was escaped.

    UTF-8 is decoded; anything else is written as nginx does, every byte outside ASCII and every backslash as ``\xHH``.
    """
    if value.isascii():
        return value, False
    try:
        return value.encode("latin-1").decode("utf-8"), False
    except UnicodeError:
        raw = value.encode("latin-1", "replace")
        return "".join(chr(b) if 0x20 <= b < 0x7F and b != 0x5C else f"\\x{b:02X}" for b in raw), True


def _short_pointer(pointer: str) -> str:
    """The pointer, or where it is very long that of what holds it."""
    return pointer if len(pointer) <= 512 else pointer[: pointer.rfind("/", 1, 512)] if "/" in pointer[1:512] else "/"


def _text(value: str, pointer: str, notes: Notes) -> str:
    if len(value) > MAX_EVENT_BYTES:
        notes.truncated.append(pointer)
        value = value[:MAX_EVENT_BYTES]
    if value.isascii():
        return str(value)
    try:
        value.encode()
    except UnicodeEncodeError:
        notes.escaped.append(pointer)
        return value.replace("\\", "\\x5C").encode("utf-8", "backslashreplace").decode()
    return str(value)


def _composite(value: Any, pointer: str, notes: Notes, depth: int) -> Any:
    if isinstance(value, Mapping):
        return _members(value.items(), pointer, notes, depth)
    if isinstance(value, (list, tuple, set, frozenset)) or type(value).__name__ in (
        "deque",
        "dict_keys",
        "dict_values",
    ):
        return _items(value, pointer, notes, depth)
    if isinstance(value, enum.Enum):
        return plain(value.value, pointer, notes, depth + 1)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _octets(bytes(value[:MAX_EVENT_BYTES]), pointer, notes)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
        return _members(fields, pointer, notes, depth)
    if isinstance(value, (int, float)):  # beyond 64 bits, not finite, or a subclass
        if isinstance(value, int) and value in _INT_RANGE:
            return int(value)
        if isinstance(value, float) and math.isfinite(value):
            return float(value)
        notes.truncated.append(pointer)
        return str(value)[:SHORT]
    if callable(getattr(value, "model_dump", None)):  # pydantic
        return plain(value.model_dump(), pointer, notes, depth + 1)
    if callable(getattr(value, "isoformat", None)):
        return _text(str(value.isoformat()), pointer, notes)
    return _text(str(value), pointer, notes)


def _members(pairs: Iterable[tuple[Any, Any]], pointer: str, notes: Notes, depth: int) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, item in itertools.islice(pairs, _MAX_ITEMS + 1):
        if len(result) >= _MAX_ITEMS or notes.values > _MAX_VALUES:
            notes.truncated.append(pointer)
            break
        name = _text(key if isinstance(key, str) else str(plain(key, pointer, notes, depth + 1)), pointer, notes)[
            :SHORT
        ]
        result[name] = plain(item, pointer_to(pointer, name), notes, depth + 1)
    return result


def _items(values: Iterable[Any], pointer: str, notes: Notes, depth: int) -> list[Any]:
    result: list[Any] = []
    for index, item in enumerate(itertools.islice(values, _MAX_ITEMS + 1)):
        if index >= _MAX_ITEMS or notes.values > _MAX_VALUES:
            notes.truncated.append(pointer)
            break
        result.append(plain(item, f"{pointer}/{index}", notes, depth + 1))
    return result


def _octets(value: bytes, pointer: str, notes: Notes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        notes.escaped.append(pointer)
        return value.replace(b"\\", b"\\x5C").decode("utf-8", "backslashreplace")


def _cut(value: Any, pointer: str, notes: Notes) -> Any:
    if isinstance(value, str):
        limit = _LIMITS.get(pointer) or (_FREE_LIMIT if pointer.startswith(_FREE) else SHORT)
        if len(value) <= limit:
            return value
        notes.truncated.append(pointer)
        return value[:limit]
    if isinstance(value, dict):
        return {key: _cut(item, pointer_to(pointer, key), notes) for key, item in value.items()}
    if isinstance(value, list):
        return [_cut(item, f"{pointer}/{index}", notes) for index, item in enumerate(value)]
    return value


def _remainder(part: Any) -> Any:
    """What stays of a part that is too large: its short strings and its numbers."""
    if isinstance(part, dict):
        kept = {key: _remainder(item) for key, item in itertools.islice(part.items(), 32) if len(key) <= 64}
        return {key: item for key, item in kept.items() if item is not None}
    if isinstance(part, str):
        return part[:256]
    return part if isinstance(part, (int, float)) else None


def _least(event: Event) -> bytes:
    """The event that can always be written: the fields that only auditmw itself sets."""
    own = (
        "schema",
        "id",
        "timestamp",
        "event",
        "level",
        "severity",
        "trace",
        "service",
        "source",
        "observed",
        "request_id",
    )
    least: Event = {key: event[key] for key in own if key in event}
    least["outcome"] = {"result": "unknown", "reason": "not_serialisable"}
    least["meta"] = {"truncated": ["/"]}
    if event.get("event") == "http_request":
        least["http"] = {}
    return orjson.dumps(least, default=repr, option=orjson.OPT_NON_STR_KEYS)
