"""Django: DataPunt's ``django_audit_log``, with the same settings, the same ``request.audit_log`` and the same line.

    MIDDLEWARE = [..., "auditmw.contrib.datapunt_django.AuditLogMiddleware"]  # last, where the original was

With ``settings.AUDITMW`` (see `contrib.django`) each request is an event in the journal too. There may be an
`AuditMiddleware` as the first of MIDDLEWARE as well: there is still one event, and it has what DataPunt's line says.

docs/datapunt.md lists the settings, and what is different.
"""

from __future__ import annotations

import re
import sys
import weakref
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Self

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY
from django.contrib.auth.signals import user_logged_out
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import got_request_exception
from django.http import HttpRequest, HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

from auditmw.contrib.datapunt.line import user_entry
from auditmw.contrib.datapunt.logger import AuditLogger, ConfiguredAuditLogger
from auditmw.contrib.datapunt.problems import problems
from auditmw.contrib.datapunt.settings import check_name, check_path, exempt_patterns
from auditmw.contrib.datapunt.streams import WatchedChunks
from auditmw.contrib.django import AuditMiddleware

_SETTINGS = {
    "LOGGER_NAME": "AUDIT_LOG_LOGGER_NAME",
    "LOG_HANDLER_CALLABLE_PATH": "AUDIT_LOG_HANDLER_CALLABLE_PATH",
    "LOG_FORMATTER_CALLABLE_PATH": "AUDIT_LOG_FORMATTER_CALLABLE_PATH",
}


class DjangoAuditLogger(ConfiguredAuditLogger):
    """The ``request.audit_log`` of a request."""

    _request: weakref.ref[HttpRequest] | None = None

    def setting(self, name: str) -> Any:
        """The value of a setting, or None."""
        return getattr(settings, _SETTINGS[name], None)

    def set_django_http_request(self, request: HttpRequest) -> Self:
        """Set what was asked."""
        self._request = weakref.ref(request)
        try:
            url = request.build_absolute_uri()
        except Exception:  # a host that ALLOWED_HOSTS does not have: Django's own to refuse
            url = request.get_full_path()
        self.set_http_request(request.method, url, request.META.get("HTTP_USER_AGENT", "unknown"))
        return self

    def set_django_http_response(self, response: HttpResponseBase) -> Self:
        """Set what is answered; cookies are no headers to Django, and middleware further out may add more."""
        self.set_http_response(response.status_code, response.reason_phrase, dict(response.items()))
        return self

    def set_user_from_request(self, request: HttpRequest, realm: str = "") -> Self:
        """Set the user that Django knows: loads user and groups, and leaves no mark that the session was looked at."""
        session: Any = getattr(request, "session", None)
        accessed = getattr(session, "accessed", None)
        try:
            user = getattr(request, "user", None) or None
            known = user is not None and bool(user.is_authenticated)
            entry = user_entry(
                authenticated=known,
                provider="" if session is None else session.get(BACKEND_SESSION_KEY, ""),
                email=getattr(user, "email", ""),
                roles=_roles(user),
                ip=get_client_ip(request),
                realm=realm,
            )
            id = getattr(user, _user_field(), None) if known else None
            key = getattr(session, "session_key", None)
        except Exception as error:  # such as that of a database that does not answer
            problems.count("users", "DataPunt's audit line names nobody: the user could not be loaded", error)
            ip = get_client_ip(request)
            entry = user_entry(authenticated=False, provider="", email="", roles=[], ip=ip, realm=realm)
            id = key = None
        if accessed is False and not session.modified:
            session.accessed = False  # that we looked is no reason for ``Vary: Cookie``
        self.found_user(entry, id, key)
        return self

    def send_log(self) -> None:
        """Log the line; in a view with the user that Django knows so far, who is looked at again at the end."""
        request = None if self._request is None or self.finished or self.user is not None else self._request()
        if request is None:
            super().send_log()
            return
        self.set_user_from_request(request)
        super().send_log()
        self.user = None


class AuditLogMiddleware(MiddlewareMixin):  # type: ignore[misc]  # Django has no types
    """Logs a line for every request. Raises ImproperlyConfigured for bad settings; nothing raises into a request."""

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        super().__init__(get_response)
        self.redirect_exempt = _checked_settings()
        got_request_exception.connect(_note_exception, dispatch_uid=__name__)
        user_logged_out.connect(_note_logout, dispatch_uid=__name__)
        self._serve: Callable[[HttpRequest], Any] = self._serve_async if self.async_mode else self._serve_sync
        if getattr(settings, "AUDITMW", None) is not None:
            self._serve = AuditMiddleware(self._serve)

    def __call__(self, request: HttpRequest) -> Any:
        """Serve one request."""
        return self._serve(request)

    def process_request(self, request: HttpRequest) -> None:
        """Begin the line, where the path is not exempt."""
        try:
            if hasattr(request, "audit_log") or self.exempt_request(request):
                return
            request.audit_log = DjangoAuditLogger().set_django_http_request(request)
        except Exception as error:
            problems.count("requests", "DataPunt's audit line could not be begun", error)

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Log the line: at once, or at the end of a response that is streamed."""
        audit_log = getattr(request, "audit_log", None)
        if audit_log is None:
            return response
        try:
            audit_log.set_django_http_response(response)
            if not isinstance(audit_log, DjangoAuditLogger):  # the application's own
                audit_log.send_log()
                return response
            if audit_log.user is None:
                audit_log.set_user_from_request(request)
            audit_log.annotate()
            if response.streaming:
                _watch(response, audit_log)
            else:
                audit_log.finish()
        except Exception as error:
            problems.count("lines", "DataPunt's audit line was lost", error)
        return response

    def exempt_request(self, request: HttpRequest) -> bool:
        """Whether the path, without its leading slashes, matches one of the patterns."""
        path = request.path.lstrip("/")
        return any(pattern.search(path) for pattern in self.redirect_exempt)

    def _serve_sync(self, request: HttpRequest) -> Any:
        try:
            return super().__call__(request)
        except BaseException as error:
            _raised(request, error)
            raise

    async def _serve_async(self, request: HttpRequest) -> Any:
        try:
            return await self.__acall__(request)
        except BaseException as error:
            _raised(request, error)
            raise


class _WatchedAsyncChunks:
    """`WatchedChunks` that are iterated asynchronously; a handler may block, so the line is logged in a thread."""

    def __init__(self, chunks: AsyncIterator[Any], ended: Callable[[BaseException | None], None]) -> None:
        self._next, self._ended = aiter(chunks).__anext__, ended

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._next()
        except StopAsyncIteration:
            await sync_to_async(self._ended)(None)
            raise
        except BaseException as error:  # perhaps a cancellation: there is nothing to wait with
            self._ended(error)
            raise

    def close(self) -> None:
        """Django calls it with the response's other resources."""
        self._ended(None)


def get_client_ip(request: HttpRequest) -> str | None:
    """The first address in ``X-Forwarded-For``, or the peer's; anybody can claim the former."""
    claimed: str | None = request.META.get("HTTP_X_FORWARDED_FOR")
    return claimed.split(",")[0] if claimed else request.META.get("REMOTE_ADDR")


def _checked_settings() -> list[re.Pattern[str]]:
    """The patterns of exempt URLs, when all settings are good."""
    try:
        for name, setting in _SETTINGS.items():
            check = check_name if name == "LOGGER_NAME" else check_path
            check(setting, getattr(settings, setting, None))
        return exempt_patterns("AUDIT_LOG_EXEMPT_URLS", getattr(settings, "AUDIT_LOG_EXEMPT_URLS", []))
    except (TypeError, ValueError) as error:
        raise ImproperlyConfigured(str(error)) from error


def _watch(response: Any, audit_log: AuditLogger) -> None:
    watch = _WatchedAsyncChunks if response.is_async else WatchedChunks
    file = getattr(response, "file_to_stream", None)
    response.streaming_content = watch(response.streaming_content, audit_log.finish)
    if file is not None:
        response.file_to_stream = file  # Django takes it away from a response with other content


def _raised(request: HttpRequest, error: BaseException) -> None:
    """An exception that Django does not answer: the line has no response."""
    audit_log = getattr(request, "audit_log", None)
    if isinstance(audit_log, DjangoAuditLogger):
        ip = get_client_ip(request)  # no more: a cancelled request cannot wait for a database
        audit_log.user = audit_log.user or user_entry(authenticated=False, provider="", email="", roles=[], ip=ip)
        audit_log.finish(error)


def _note_exception(request: Any = None, **_: Any) -> None:
    audit_log = getattr(request, "audit_log", None)
    if isinstance(audit_log, AuditLogger):
        audit_log.failed(sys.exception())


def _note_logout(request: Any, user: Any, **_: Any) -> None:
    """Who logs out is not known any more when the response starts."""
    audit_log = getattr(request, "audit_log", None)
    if user is not None and isinstance(audit_log, DjangoAuditLogger) and audit_log.user is None:
        audit_log.set_user_from_request(request)


def _roles(user: Any) -> list[str]:
    groups = getattr(user, "groups", None)  # a user model of the project's own need not have them
    return [] if groups is None else list(groups.values_list("name", flat=True))


def _user_field() -> str:
    """The field that identifies users in events: that of `contrib.django`."""
    given = getattr(settings, "AUDITMW", None)
    return str(given.get("user_field", "pk")) if isinstance(given, Mapping) else "pk"
