"""What is said about one request, and the line that is made of it."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Mapping
from typing import Any, Self

import auditmw
from auditmw.contrib.datapunt.line import AuditLogFormatter, describe_error, user_entry
from auditmw.contrib.datapunt.problems import problems
from auditmw.contrib.datapunt.settings import import_callable

AUDIT_LOGGER_NAME = "audit_log"

_UNSET: Any = object()
_LEVELS = {10: "debug", 20: "info", 30: "warning", 40: "error", 50: "critical"}

_installing = threading.RLock()


def _renew() -> None:
    """In a forked child, where another thread's lock would be held for ever."""
    global _installing
    _installing = threading.RLock()


os.register_at_fork(after_in_child=_renew)


class AuditLogger:
    """What is said about one request, and the line that is made of it; every ``set_`` and every level returns self.

    `get_logger_name`, `get_log_handler` and `get_log_formatter` are there to be overridden. Nothing raises into the
    request: where a handler or a formatter cannot be had, the line goes to stdout.
    """

    def __init__(self) -> None:
        self.logger = self.init_logger()
        self.level = logging.INFO
        self.message = ""
        self.http_request: dict[str, Any] | None = None
        self.http_response: dict[str, Any] | None = None
        self.user: dict[str, Any] | None = None
        self.filter: dict[str, Any] | None = None
        self.results: Any = None
        self.found: dict[str, Any] | None = None
        self.finished = False
        self._error: dict[str, str] | None = None
        self._annotated: dict[str, Any] = {}

    def init_logger(self) -> logging.Logger:
        """The logger, with a handler; `get_log_handler` is asked when the logger has none."""
        logger = logging.getLogger(self.get_logger_name())
        if logger.level != logging.DEBUG:
            logger.setLevel(logging.DEBUG)
        logger.propagate = False
        if not logger.handlers:
            with _installing:  # first requests come together
                if not logger.handlers:
                    logger.addHandler(self._handler())
        return logger

    def get_logger_name(self) -> str:
        """The name of the logger."""
        return AUDIT_LOGGER_NAME

    def get_log_handler(self) -> logging.Handler:
        """A handler for a logger that has none."""
        return logging.StreamHandler(stream=sys.stdout)

    def get_log_formatter(self) -> logging.Formatter:
        """The formatter of that handler."""
        return AuditLogFormatter()

    def debug(self, msg: str) -> Self:
        """Set the message, at level DEBUG."""
        return self._say(logging.DEBUG, msg)

    def info(self, msg: str) -> Self:
        """Set the message, at level INFO."""
        return self._say(logging.INFO, msg)

    def warning(self, msg: str) -> Self:
        """Set the message, at level WARNING."""
        return self._say(logging.WARNING, msg)

    def error(self, msg: str) -> Self:
        """Set the message, at level ERROR."""
        return self._say(logging.ERROR, msg)

    def critical(self, msg: str) -> Self:
        """Set the message, at level CRITICAL."""
        return self._say(logging.CRITICAL, msg)

    def set_http_request(self, method: str, url: str, user_agent: str = "") -> Self:
        """Set what was asked."""
        self.http_request = {"method": method, "url": url, "user_agent": user_agent}
        return self

    def set_http_response(self, status_code: int, reason: str, headers: dict[str, str] | None = None) -> Self:
        """Set what was answered."""
        self.http_response = {"status_code": status_code, "reason": reason, "headers": headers}
        return self

    def set_user(
        self,
        authenticated: bool,
        provider: str,
        email: str,
        roles: list[str] | None = None,
        ip: str | None = "",
        realm: str = "",
    ) -> Self:
        """Set who asked; whoever has an e-mail address is the identity of the request's own event too."""
        self.user = user_entry(
            authenticated=authenticated, provider=provider, email=email, roles=roles, ip=ip, realm=realm
        )
        if email:
            identify(email, self.user)
        return self

    def found_user(self, user: dict[str, Any], id: Any, session: str | None = None) -> None:
        """Set a `user_entry` that nobody declared but something found out; a view's own `auditmw.identify` wins."""
        self.user = self.found = user
        if id is None or id == "":
            return
        known = auditmw.current()
        if known is not None and known.user_id in (None, str(id)):
            identify(id, user, session)

    def set_filter(self, object_name: str, kwargs: Any = None, terms: Any = _UNSET, fields: Any = _UNSET) -> Self:
        """Set what was looked for: ``(object_name, kwargs)``, or as in the READMEs ``(object_name, fields, terms)``."""
        if terms is _UNSET and fields is _UNSET:
            self.filter = {"object": object_name, "kwargs": kwargs}
        else:
            searched, sought = kwargs if fields is _UNSET else fields, None if terms is _UNSET else terms
            self.filter = {"object": object_name, "fields": searched, "terms": sought}
        return self

    def set_results(self, results: Any = None) -> Self:
        """Set what was found: any value that JSON has."""
        self.results = results
        return self

    def send_log(self) -> None:
        """Log the line. Never raises: a line that a handler loses is counted, and told on the logger ``auditmw``."""
        try:
            self.annotate()
            audit = self._get_extras(logging.getLevelName(self.level))
            if self._error is not None:
                audit["error"] = self._error
            self.logger.log(level=self.level, msg=self.message, extra={"audit": audit})
        except Exception as error:
            problems.count("lines", "DataPunt's audit line was lost: the logger's handler raised", error)

    # -- what the middlewares call

    def failed(self, error: BaseException | None) -> None:
        """Note the exception that ended the request."""
        if isinstance(error, Exception):  # others say that the client or the server went away
            self._error = describe_error(error)

    def finish(self, error: BaseException | None = None) -> None:
        """Log the line at the end of the request; only the first call does."""
        if not self.finished:
            self.finished = True
            self.failed(error)
            self.send_log()

    def annotate(self) -> None:
        """Add to the request's own event what has been said and is not there yet."""
        if self.message == "" and self.level == logging.INFO and self.filter is None and self.results is None:
            return
        said = {"message": self.message or None, "level": self._level(), "filter": self.filter, "results": self.results}
        known = self._annotated
        new = {name: value for name, value in said.items() if value is not None and value is not known.get(name)}
        if new:
            self._annotated = {**known, **new}
            if isinstance(self.filter, dict) and "filter" in new:
                new["filter"] = {name: value for name, value in self.filter.items() if value is not None}
            auditmw.annotate(**new)

    def _level(self) -> str | None:
        """The level for the event; one that makes light of a failure is not taken over."""
        status = (self.http_response or {}).get("status_code") or 0
        failed = self._error is not None or (isinstance(status, int) and status >= 500)
        return None if failed and self.level < logging.ERROR else _LEVELS.get(self.level)

    def _say(self, level: int, message: str) -> Self:
        self.level, self.message = level, message
        return self

    def _handler(self) -> logging.Handler:
        formatter = self._formatter()
        try:
            handler = self.get_log_handler()
            if not isinstance(handler, logging.Handler):
                raise TypeError(f"expected a logging.Handler, not {handler!r}")
            handler.setFormatter(formatter)
        except Exception as error:
            problems.count("handlers", "DataPunt's log handler could not be made; its lines go to stdout", error)
            handler = AuditLogger.get_log_handler(self)
            handler.setFormatter(formatter)
        return handler

    def _formatter(self) -> logging.Formatter:
        try:
            formatter = self.get_log_formatter()
            if isinstance(formatter, str) or not callable(getattr(formatter, "format", None)):
                raise TypeError(f"expected a logging.Formatter, not {formatter!r}")
        except Exception as error:
            problems.count("formatters", "DataPunt's log formatter could not be made; its lines are JSON", error)
            formatter = AuditLogFormatter()
        return formatter

    def _get_extras(self, log_type: str) -> dict[str, Any]:
        return {
            "http_request": self.http_request,
            "http_response": self.http_response,
            "user": self.user,
            "filter": self.filter,
            "results": self.results,
            "type": log_type,
            "message": self.message,
        }


class ConfiguredAuditLogger(AuditLogger):
    """An `AuditLogger` with the three settings that the frameworks' loggers share; `setting` looks one up."""

    def setting(self, name: str) -> Any:
        """The value of LOGGER_NAME, LOG_HANDLER_CALLABLE_PATH or LOG_FORMATTER_CALLABLE_PATH, or nothing."""
        raise NotImplementedError

    def get_logger_name(self) -> str:
        """The configured name of the logger."""
        return self.setting("LOGGER_NAME") or super().get_logger_name()

    def get_log_handler(self) -> logging.Handler:
        """What the configured callable returns."""
        path = self.setting("LOG_HANDLER_CALLABLE_PATH")
        handler: logging.Handler = import_callable(path)() if path else super().get_log_handler()
        return handler

    def get_log_formatter(self) -> logging.Formatter:
        """What the configured callable returns."""
        path = self.setting("LOG_FORMATTER_CALLABLE_PATH")
        formatter: logging.Formatter = import_callable(path)() if path else super().get_log_formatter()
        return formatter


def identify(id: Any, user: Mapping[str, Any], session: str | None = None) -> None:
    """Name the user of a `user_entry` in the request's own event."""
    name, realm = user["provider"]["name"], user["provider"]["realm"]
    auditmw.identify(
        id,
        session=session,
        email=user["email"],
        authenticated=user["authenticated"],
        provider=name,
        realm=realm,
        roles=user["roles"] or (),
    )
