"""Flask: DataPunt's ``flask_audit_log``, with the same settings, the same ``g.audit_log`` and the same line.

    from auditmw.contrib.datapunt_flask import AuditLogMiddleware  # was: from flask_audit_log.middleware import ...
    AuditLogMiddleware(app)
    AuditLogMiddleware(app, auditmw.Audit("/var/lib/shop/audit", service="shop"))  # and an event in the journal

docs/datapunt.md lists the settings, and what is different.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import copy_context
from functools import partial
from typing import Any, Self

from flask import Flask, Request, Response, g, request
from werkzeug.wsgi import ClosingIterator

import auditmw
from auditmw.contrib.datapunt.line import user_entry
from auditmw.contrib.datapunt.logger import ConfiguredAuditLogger
from auditmw.contrib.datapunt.problems import problems
from auditmw.contrib.datapunt.settings import check_name, check_path, exempt_patterns, import_callable
from auditmw.contrib.datapunt.streams import WatchedChunks
from auditmw.contrib.flask import FlaskAudit

_PATHS = ("LOG_HANDLER_CALLABLE_PATH", "LOG_FORMATTER_CALLABLE_PATH", "USER_FROM_REQUEST_CALLABLE_PATH")
_EXAMPLE = '{"EXEMPT_URLS": [r"^/health"]}'


class FlaskAuditLogger(ConfiguredAuditLogger):
    """The ``g.audit_log`` of a request. `settings`: the mapping ``app.config["AUDIT_LOG"]``."""

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        self.settings = {} if settings is None else settings
        self.streamed = False
        super().__init__()

    def setting(self, name: str) -> Any:
        """The value of a setting, or None."""
        return self.settings.get(name)

    def set_flask_http_request(self, request: Request) -> Self:
        """Set what was asked."""
        try:
            url = request.url
        except Exception:  # a host that Werkzeug does not trust: the application's to refuse
            url = request.full_path
        self.set_http_request(method=request.method, url=url, user_agent=request.headers.get("User-Agent", "?"))
        return self

    def set_flask_http_response(self, response: Response) -> Self:
        """Set what is answered; of headers that are there twice, the last."""
        self.set_http_response(response.status_code, response.status, dict(response.headers.items()))
        return self


class AuditLogMiddleware:
    """Logs a line for every request to `app`, and makes it an event of `audit` where one is given.

    Raises TypeError or ValueError, with the setting and what came, for bad settings. Nothing raises into a request.
    """

    def __init__(self, app: Flask, audit: auditmw.Audit | None = None) -> None:
        self.app = app
        self.settings: Mapping[str, Any] = app.config.get("AUDIT_LOG", {})
        if not isinstance(self.settings, Mapping):
            raise TypeError(f"expected app.config['AUDIT_LOG'] to be a dict such as {_EXAMPLE}, not {self.settings!r}")
        self.redirect_exempt = exempt_patterns("AUDIT_LOG['EXEMPT_URLS']", self.settings.get("EXEMPT_URLS", []))
        check_name("AUDIT_LOG['LOGGER_NAME']", self.settings.get("LOGGER_NAME"))
        for name in _PATHS:
            check_path(f"AUDIT_LOG[{name!r}]", self.settings.get(name))
        if audit is not None:
            FlaskAudit(app, audit)
        self.setup_audit_log()

    def setup_audit_log(self) -> None:
        """Register with the application."""
        self.app.before_request(self._before_request)
        self.app.after_request(self._after_request)
        self.app.teardown_request(self._teardown_request)

    def _before_request(self) -> None:
        try:
            self._begin()
        except Exception as error:
            problems.count("requests", "DataPunt's audit line could not be begun", error)

    def _after_request(self, response: Response) -> Response:
        try:
            self._begin()  # another's before_request may have answered before ours was called
            if "audit_log" in g:
                self._answered(g.audit_log, response)
        except Exception as error:
            problems.count("responses", "DataPunt's audit line lacks the response", error)
        return response

    def _teardown_request(self, error: BaseException | None) -> None:
        audit_log = g.get("audit_log")
        try:
            if audit_log is None:
                return
            if not isinstance(audit_log, FlaskAuditLogger):  # the application's own
                audit_log.send_log()
            elif error is not None or not audit_log.streamed:
                audit_log.finish(error)
        except Exception as own:
            problems.count("lines", "DataPunt's audit line was lost", own)

    def _begin(self) -> None:
        known = g.get("audit_log")  # `g` may be that of several requests, in a command or a test
        if (known is not None and not getattr(known, "finished", False)) or self._exempt_url(request.path):
            return
        g.audit_log = audit_log = FlaskAuditLogger(self.settings)
        audit_log.set_flask_http_request(request)
        self._find_user(audit_log)

    def _answered(self, audit_log: Any, response: Response) -> None:
        if not isinstance(audit_log, FlaskAuditLogger):  # the application's own
            audit_log.set_flask_http_response(response)
            return
        if audit_log.finished:
            return
        nobody = audit_log.user is audit_log.found and not (audit_log.user or {}).get("authenticated")
        if nobody and self.settings.get("USER_FROM_REQUEST_CALLABLE_PATH"):
            self._find_user(audit_log)  # the view may have logged somebody in
        audit_log.set_flask_http_response(response)
        audit_log.annotate()
        audit_log.streamed = _is_streamed(response)
        if audit_log.streamed:
            # Handlers and formatters may ask for `request` and `g`, which are gone where the body is iterated.
            response.response = WatchedChunks(response.response, partial(copy_context().run, audit_log.finish))

    def _find_user(self, audit_log: FlaskAuditLogger) -> None:
        """Ask the callable who it is; whatever it raises costs the user of this line."""
        user: Any = {"ip": get_client_ip(request)}
        default = user
        try:
            ask = self._get_user_from_request_callable()
            if ask is not None:
                user = ask()
            if not isinstance(user, Mapping):
                raise TypeError(f"expected a dict from the callable, not {user!r}")
        except Exception as error:
            problems.count("users", "AUDIT_LOG['USER_FROM_REQUEST_CALLABLE_PATH'] names nobody in this line", error)
            user = default
        entry = user_entry(
            authenticated=user.get("authenticated", False),
            provider=user.get("provider", ""),
            email=user.get("email", ""),
            roles=user.get("roles", []),
            ip=user.get("ip"),
            realm=user.get("realm", ""),
        )
        audit_log.found_user(entry, entry["email"])

    def _get_user_from_request_callable(self) -> Callable[[], Any] | None:
        path = self.settings.get("USER_FROM_REQUEST_CALLABLE_PATH")
        return import_callable(path) if path else None

    def _exempt_url(self, path: str) -> bool:
        return any(pattern.search(path) for pattern in self.redirect_exempt)


def _is_streamed(response: Response) -> bool:
    """Whether the body is yet to be made: neither is a file that the server sends, nor the page of an HTTPException."""
    page = isinstance(response.response, ClosingIterator) and response.content_length is not None
    return response.is_streamed and not response.direct_passthrough and not page


def get_client_ip(request: Request) -> str | None:
    """The first ``X-Forwarded-For`` header, whole, or the peer's address; anybody can claim the former."""
    return request.headers.get("X-Forwarded-For") or request.remote_addr
