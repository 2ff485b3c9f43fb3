"""Exceptions that were made text or data before they came here, as the event's ``error`` object.

Sources: CPython's `traceback` for text, as structlog's `format_exc_info` has it; structlog's `ExceptionDictTransformer`
(`dict_tracebacks`) for data. The local variables that the latter adds are left out: they hold what nobody looked at.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterator, Sequence
from typing import Any

_HEAD = "Traceback (most recent call last):"
_NAMED = re.compile(r"([A-Za-z_][\w.]*)(?:: (.*))?\Z", re.DOTALL)
_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"


def error_of(rendered: object) -> dict[str, Any] | None:
    """Type, message and traceback of an exception that somebody rendered, None for anything else; never raises."""
    try:
        if isinstance(rendered, str):
            return _of_text(rendered)
        if isinstance(rendered, Sequence) and rendered and all("exc_type" in stack for stack in rendered):
            return _of_data(rendered)
    except Exception:  # of values whose own methods raise, or of another shape
        return None
    return None


def _of_text(text: str) -> dict[str, Any] | None:
    _, head, after = text.rpartition(_HEAD)
    lines = after.splitlines()
    place = next((n for n, line in enumerate(lines) if line and not line[0].isspace()), None)
    match = None if place is None else _NAMED.match("\n".join(lines[place:]))
    if match is None or not (head or _is_builtin(match[1])):
        return None
    error = {"type": _qualified(match[1]), "message": (match[2] or "").rstrip("\n"), "stacktrace": text}
    return error if head else {key: value for key, value in error.items() if key != "stacktrace"}


def _of_data(stacks: Sequence[Any]) -> dict[str, Any]:
    first = stacks[0]
    trace: list[str] = []
    for stack in reversed(stacks):
        trace += _lines_of(stack)
        if stack is not first:
            trace.append(_CAUSE if stack.get("is_cause") else _CONTEXT)
    return {"type": _qualified(str(first["exc_type"])), "message": _message(first), "stacktrace": "".join(trace)}


def _lines_of(stack: Any) -> Iterator[str]:
    yield f"{_HEAD}\n"
    for frame in stack.get("frames") or ():
        yield f'  File "{frame.get("filename")}", line {frame.get("lineno")}, in {frame.get("name")}\n'
    yield f"{stack['exc_type']}: {_message(stack)}\n"


def _message(stack: Any) -> str:
    return "\n".join([str(stack.get("exc_value", "")), *map(str, stack.get("exc_notes") or ())])


def _qualified(name: str) -> str:
    """The name with its module, where that is known."""
    return f"builtins.{name}" if _is_builtin(name) else name


def _is_builtin(name: str) -> bool:
    found = getattr(builtins, name, None)
    return isinstance(found, type) and issubclass(found, BaseException)
