"""An event's JSON read back, also where another program wrote it.

What only some readers take for JSON, and what is nested deeper than they go, is read as far as it can be: orjson ends
at 1,024 levels, and writes no more than 254; the library of the standard ends where Python's stack does. An event of
ours has less than 50.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import orjson

Event = dict[str, Any]

LEVELS = 200
"""How deep an event is read: so deep that it can also be written in any format, and looked through by a function that
calls itself."""

DEEPER = f"(what is more than {LEVELS} levels deep is not shown here)"
"""The text that stands for what is deeper."""

# A string that does not end is one to the end, so that nobody looks for its end twice.
_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[{\]}]', re.DOTALL)

# A string, which is kept; a number that is none, in any case; a comma behind the last item. DuckDB reads with the flags
# ALLOW_INF_AND_NAN and ALLOW_TRAILING_COMMAS of yyjson (https://ibireme.github.io/yyjson/doc/doxygen/html/).
_OF_THE_ARCHIVE = re.compile(
    rb'"(?:[^"\\]|\\.)*+"?|-?\b(?:nan|inf(?:inity)?)\b|(?<=[^\s\[{,:])\s*+,(?=\s*[\]}])', re.DOTALL | re.IGNORECASE
)


def parse_event(body: bytes) -> Event:
    """Return the event of one JSON object; None stands for a number that is none, `DEEPER` for what is too deep.

    Raises ValueError where it is no JSON object. What is too deep is not looked into, but for its brackets.
    """
    body = shallow(body)
    try:
        event = orjson.loads(body)
    except ValueError:
        event = _read_by_the_standard(body)
    if not isinstance(event, dict):
        raise ValueError(f"expected a JSON object, not {body[:60]!r}")  # noqa: TRY004 - as what is no JSON
    return event


def shallow(body: bytes) -> bytes:
    """Return JSON without what is more than `LEVELS` deep; of most events, `body` itself."""
    if body.count(b"{") + body.count(b"[") <= LEVELS:
        return body
    depth, end, kept = 0, 0, list[bytes]()
    for token in _STRING_OR_BRACKET.finditer(body):
        if token[0] in b"[{":
            depth += 1
            if depth == LEVELS + 1:
                kept += body[end : token.start()], b'"%b"' % DEEPER.encode()
        elif token[0] in b"]}":
            if depth == LEVELS + 1:
                end = token.end()
            depth -= 1
    return b"".join([*kept, body[end:]]) if kept and depth == 0 else body


def _read_by_the_standard(body: bytes) -> Any:
    """Return what orjson does not read: half of a surrogate pair, and what the archive takes for JSON beside JSON."""
    try:
        return json.loads(_OF_THE_ARCHIVE.sub(_as_json, body), parse_float=_finite, parse_int=_whole)
    except (
        ValueError,
        RecursionError,
    ) as error:  # the latter for brackets that do not close
        raise ValueError(f"expected a JSON object, not {body[:60]!r}: {error}") from error


def _as_json(token: re.Match[bytes]) -> bytes:
    return token[0] if token[0].startswith(b'"') else b"" if b"," in token[0] else b"null"


def _whole(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:  # more digits than Python takes
        return None


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None
