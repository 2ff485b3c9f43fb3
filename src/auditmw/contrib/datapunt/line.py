"""The line that is logged: its formatter, and the entries of it that are made here."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Mapping
from typing import Any

import auditmw

_LONGEST_TRACE, _DEEPEST = 16_384, 64

_redactor = auditmw.Redactor()


class AuditLogFormatter(logging.Formatter):
    """Formats a record's ``audit`` as one line of JSON, as ``json.dumps`` writes it.

    What ``json.dumps`` refuses is written as text; an exception of the record stands inside the JSON, not below it.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Format the record as one line."""
        record.message = record.getMessage()
        return self.formatMessage(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """Make the JSON; the point at which a subclass may make another."""
        entry = {"audit": getattr(record, "audit", {"message": "LogRecord misses audit attribute"})}
        if record.exc_info:
            entry["exc_info"] = self.formatException(record.exc_info)
        if record.stack_info:
            entry["stack_info"] = record.stack_info
        try:
            return json.dumps(entry)
        except Exception:  # unserialisable, circular, too deep, or with methods that raise
            return json.dumps(_plain(entry, ()))


def _plain(value: Any, ancestors: tuple[int, ...]) -> Any:
    """A copy that ``json.dumps`` takes; never raises."""
    try:
        if id(value) in ancestors or len(ancestors) > _DEEPEST:
            return "<circular>" if id(value) in ancestors else "<too deep>"
        inside = (*ancestors, id(value))
        if isinstance(value, Mapping):
            return {_key(key): _plain(item, inside) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [_plain(item, inside) for item in value]
        return value if value is None or isinstance(value, bool | float) else _scalar(value)
    except Exception:
        return f"<{type(value).__name__}>"


def _scalar(value: Any) -> Any:
    if isinstance(value, int):
        json.dumps(value)  # more digits than Python writes raise here
        return value
    if isinstance(value, bytes | bytearray):
        return value.decode("utf-8", "backslashreplace")
    told = getattr(value, "isoformat", None)  # of dates and times
    return str(value if told is None else told())


def _key(key: Any) -> Any:
    return key if key is None or isinstance(key, str | bool | int | float) else str(_scalar(key))


def describe_error(error: BaseException) -> dict[str, str]:
    """The line's ``error``: type, message and stacktrace of an exception, without what is known as a secret."""
    described = {"type": f"{type(error).__module__}.{type(error).__qualname__}", "message": "", "stacktrace": ""}
    try:
        described["message"] = _redactor.prose(str(error))
        described["stacktrace"] = _redactor.prose("".join(traceback.format_exception(error)))[-_LONGEST_TRACE:]
    except Exception:
        return described  # its own methods raise: the type says something
    return described


def user_entry(
    *, authenticated: Any, provider: Any, email: Any, roles: Any = None, ip: Any = "", realm: Any = ""
) -> dict[str, Any]:
    """The line's ``user``."""
    return {
        "authenticated": authenticated,
        "email": email,
        "roles": roles,
        "ip": ip,
        "provider": {"name": provider, "realm": realm},
    }
