"""Exceptions as the event's ``error`` object."""

from __future__ import annotations

import traceback
from typing import Any

_HEAD, _TAIL = 4_000, 12_000  # characters of a long traceback that are kept: where it began, and where it broke


def describe_error(error: BaseException, *, handled: bool) -> dict[str, Any]:
    """Type (module and qualified name), message and traceback of an exception; never raises."""
    kind = type(error)
    described: dict[str, Any] = {"type": f"{kind.__module__}.{kind.__qualname__}"[:1024], "handled": handled}
    try:
        described["message"] = str(error)[:8192]
    except Exception:
        described["message"] = "<the exception's own message could not be made>"
    try:
        trace = "".join(traceback.format_exception(error))
    except Exception:
        return described
    if len(trace) > _HEAD + _TAIL:
        trace = f"{trace[:_HEAD]}\n  ... {len(trace) - _HEAD - _TAIL} characters left out ...\n{trace[-_TAIL:]}"
    described["stacktrace"] = trace
    return described
