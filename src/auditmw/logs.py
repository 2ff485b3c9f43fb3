"""The request's context in ordinary logs, and a logger whose events are audit events.

Nothing is bound per request: the one ContextVar is read when a line is logged.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

from auditmw.context import current, unwritten, write_event
from auditmw.tracebacks import error_of

_LEVELS = {"warn": "warning", "exception": "error", "fatal": "critical", "msg": "info", "log": "info", "notset": "info"}
_NAMES = ("trace_id", "request_id", "user_id", "session_id")
# What structlog and its ProcessorFormatter put there for their own use, and what an event has of its own.
_OWN = frozenset(("event", "exc_info", "timestamp", "stack_info", "_record", "_from_structlog"))

EventDict = MutableMapping[str, Any]


def add_context(logger: Any, method_name: str, event_dict: EventDict) -> EventDict:
    """A structlog processor that adds `trace_id`, `request_id`, `user_id` and `session_id` where the line has none."""
    context = current()
    if context is not None:
        for name in _NAMES:
            value = getattr(context, name)
            if value is not None:
                event_dict.setdefault(name, value)
    return event_dict


class ContextFilter(logging.Filter):
    """Filter for a stdlib handler: gives every record the attributes that `add_context` adds, ``-`` where unknown."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the attributes; lets every record pass."""
        context = current()
        for name in _NAMES:
            if not hasattr(record, name):
                setattr(record, name, getattr(context, name, None) or "-")
        return True


def to_journal(logger: Any, method_name: str, event_dict: EventDict) -> EventDict:
    """A structlog processor that writes the line as an audit event too, and passes it on.

    Put it before the processors that format. `exc_info` becomes the event's ``error``, and so does ``exception``, which
    `format_exc_info` and `dict_tracebacks` make of it. In the ``foreign_pre_chain`` of structlog's ProcessorFormatter
    it takes the lines of the standard library's loggers.
    """
    try:
        _write(method_name, event_dict)
    except Exception as error:  # of a value whose own methods raise
        unwritten.count("lost", error)
    return event_dict


def get_logger(**initial_values: Any) -> Any:
    """A structlog logger whose events go to the journal with the request's context, and nowhere else.

    The first argument of `info` and its like is the event's name; keyword arguments are those of `auditmw.record`.
    """
    import structlog  # not above: it loads rich and Twisted where they are, three times what `import auditmw` takes

    return structlog.wrap_logger(
        None,
        processors=[structlog.contextvars.merge_contextvars, to_journal, _drop],
        wrapper_class=structlog.BoundLogger,
        context_class=dict,
        cache_logger_on_first_use=True,
        **initial_values,
    )


def _write(method_name: str, event_dict: EventDict) -> None:
    said = {key: value for key, value in event_dict.items() if key not in _OWN}
    _forget_context(said)
    level = str(said.pop("level", method_name)).lower()
    # structlog's generic logger leaves it to us that `exception` means the one being handled.
    error: BaseException | Mapping[str, Any] | None = _exception(event_dict.get("exc_info", method_name == "exception"))
    described = error_of(said.get("exception"))
    if described is not None:
        del said["exception"]
    said = {"level": _LEVELS.get(level, level), **said}
    write_event(
        _text(event_dict.get("event", "")), said, error=described if error is None else error, format="structlog"
    )


def _forget_context(said: dict[str, Any]) -> None:
    """Take out what `add_context` put there: the event has it, in its places."""
    context = current() if not said.keys().isdisjoint(_NAMES) else None
    for name in _NAMES if context is not None else ():
        if name in said and said[name] == getattr(context, name):
            del said[name]


def _drop(logger: Any, method_name: str, event_dict: EventDict) -> EventDict:
    from structlog import DropEvent

    raise DropEvent


def _exception(exc_info: Any) -> BaseException | None:
    if isinstance(exc_info, tuple):
        error = exc_info[1] if len(exc_info) == 3 else None
        return error if isinstance(error, BaseException) else None
    if isinstance(exc_info, BaseException):
        return exc_info
    return sys.exception() if exc_info else None


def _text(event: Any) -> str:
    try:
        return str(event)
    except Exception:  # its own __str__: the type says something
        return f"<{type(event).__module__}.{type(event).__qualname__}>"
