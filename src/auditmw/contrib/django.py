"""Django: one middleware that makes an audit event of every request, under WSGI and under ASGI.

    MIDDLEWARE = ["auditmw.contrib.django.AuditMiddleware", ...]  # first, so that it sees what all others answer
    AUDITMW = {"directory": "/var/lib/shop/audit", "service": "shop"}

``settings.AUDITMW`` holds the keyword arguments of `auditmw.Audit`, or an `Audit`. With a dict there are two more:

``resolve``: ``"accessed"`` (the default) names the user and the session where the view looked at them, and so costs no
query and adds no ``Vary: Cookie``; ``"always"`` looks at ``request.user`` before every view.
``user_field``: the field of the user model that identifies; ``"pk"`` by default.

Around ``get_wsgi_application()`` or ``get_asgi_application()`` there may be a `WSGIAudit` or an `ASGIAudit` of that
`audit()`: there is still one event, and the middleware adds to it what only Django knows.
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.apps import apps
from django.conf import settings
from django.contrib.auth import SESSION_KEY, get_user_model
from django.contrib.auth.signals import user_logged_out
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import got_request_exception, setting_changed
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.functional import LazyObject, empty

import auditmw

_REQUEST = "auditmw.django.request"  # where the resolver finds Django's own request
_EXAMPLE = '{"directory": "/var/lib/shop/audit", "service": "shop"}'


class AuditMiddleware:
    """Makes every request one audit event; the first of MIDDLEWARE. Raises ImproperlyConfigured for bad settings."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)
        configured = _configured()
        self._shell = auditmw.Shell(configured.audit, resolver=user_resolver(configured.user_field))
        if configured.always:
            self.process_view = _look_at_user
        got_request_exception.connect(_note_exception, dispatch_uid=__name__)
        user_logged_out.connect(_note_logout, dispatch_uid=__name__)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Serve one request."""
        if self._is_async:
            return self._answer(request)
        served = self._begin(request)
        if served is None:
            response: HttpResponseBase = self.get_response(request)
            _note_route(request)
        elif served.refused:
            response = _refusal()
        else:
            with served:
                response = _watched(served, request, self.get_response(request))
        return response

    async def _answer(self, request: HttpRequest) -> HttpResponseBase:
        served = self._begin(request)
        if served is None:
            response: HttpResponseBase = await self.get_response(request)
            _note_route(request)
        elif served.refused:
            response = _refusal()
        else:
            async with served:
                response = await self.get_response(request)
                await served.resolve()
                response = _watched(served, request, response)
        return response

    def _begin(self, request: HttpRequest) -> auditmw.Served | None:
        carrier = getattr(request, "scope", request.META)
        carrier[_REQUEST] = weakref.ref(request)  # the request holds its carrier: a cycle would keep both for long
        return self._shell.begin(carrier, blocking=not self._is_async)


def audit() -> auditmw.Audit:
    """The `Audit` of the settings, for events recorded outside of a request."""
    return _configured().audit


def user_resolver(user_field: str = "pk") -> Callable[[auditmw.Request], auditmw.Identity | None]:
    """A resolver for Django's user and session, as far as the view or a middleware has looked at them."""

    def resolve(request: auditmw.Request) -> auditmw.Identity | None:
        reference = request.carrier.get(_REQUEST)
        return None if reference is None else _identity(reference(), user_field)

    return resolve


resolve = user_resolver()


class _Configured(NamedTuple):
    audit: auditmw.Audit
    always: bool
    user_field: str


@functools.cache
def _configured() -> _Configured:
    """The settings; one `Audit` for all the handlers of a process."""
    given = getattr(settings, "AUDITMW", None)
    if isinstance(given, auditmw.Audit):
        return _Configured(given, False, "pk")
    if not isinstance(given, Mapping):
        raise ImproperlyConfigured(f"expected settings.AUDITMW to be a dict such as {_EXAMPLE}, not {given!r}")
    options = dict(given)
    if missing := {"directory", "service"} - options.keys():
        raise ImproperlyConfigured(f"expected {' and '.join(sorted(missing))} in settings.AUDITMW, as in {_EXAMPLE}")
    look, field = options.pop("resolve", "accessed"), options.pop("user_field", "pk")
    if look not in ("accessed", "always"):
        raise ImproperlyConfigured(f"expected 'accessed' or 'always' as settings.AUDITMW['resolve'], not {look!r}")
    if apps.is_installed("django.contrib.auth") and not hasattr(get_user_model(), str(field)):
        raise ImproperlyConfigured(
            f"expected a field of {get_user_model().__name__} as settings.AUDITMW['user_field'], not {field!r}"
        )
    options.setdefault("resolver", user_resolver(field))
    try:
        return _Configured(auditmw.Audit(options.pop("directory"), **options), look == "always", field)
    except (TypeError, ValueError) as error:
        raise ImproperlyConfigured(f"settings.AUDITMW: {error}") from error


def _forget(setting: str, **_: Any) -> None:
    if setting == "AUDITMW":  # tests change it
        _configured.cache_clear()


setting_changed.connect(_forget, dispatch_uid=__name__)


def _watched(served: auditmw.Served, request: HttpRequest, response: Any) -> HttpResponseBase:
    """The response, told to the audit and with its headers; a stream is watched to its end."""
    _note_route(request)
    before = list(response.items())
    after = served.start(f"{response.status_code} {response.reason_phrase}", before)
    for name, _ in [header for header in before if header not in after]:
        del response[name]
    for name, value in [header for header in after if header not in before]:
        response[name] = value
    file = getattr(response, "file_to_stream", None)
    if not response.streaming:
        served.end(len(response.content) if getattr(response, "is_rendered", True) else None)
    elif file is not None and request.META.get("wsgi.file_wrapper"):
        served.end()  # the server takes the file itself
    else:
        watch = served.stream_async if response.is_async else served.stream
        response.streaming_content = watch(response.streaming_content)
        if file is not None:
            response.file_to_stream = file  # Django takes it away from a response with other content
    return response


def _identity(request: HttpRequest | None, user_field: str) -> auditmw.Identity | None:
    if request is None:
        return None
    session: Any = getattr(request, "session", None)
    accessed = session is not None and session.accessed  # then it is loaded, and looking costs nothing
    key = session.session_key if accessed else None
    user = _looked_at(request)
    if user is not None and user.is_authenticated:
        return auditmw.Identity(getattr(user, user_field), session=key, authenticated=True)
    known = session.get(SESSION_KEY) if accessed and user is None and user_field in ("pk", "id") else None
    if known is not None or key is not None:
        return auditmw.Identity(known, session=key)
    # Nobody looked, so nobody knows; whose session it may be stands in the cookie, which costs nothing.
    claimed = request.COOKIES.get(settings.SESSION_COOKIE_NAME) if session is not None and not accessed else None
    return auditmw.Identity(type="unknown", session=claimed) if claimed else None


def _looked_at(request: Any) -> Any:
    """The user where something has looked already; None elsewhere."""
    user = getattr(request, "user", None)
    if isinstance(user, LazyObject) and user._wrapped is empty:
        user = None
    return getattr(request, "_acached_user", None) if user is None else user  # `await request.auser()` keeps it there


def _look_at_user(request: Any, *_: Any) -> None:
    """Before every view where ``resolve`` is ``"always"``: late enough for all middleware, early enough to save."""
    session = getattr(request, "session", None)
    accessed = getattr(session, "accessed", False)
    try:
        bool(getattr(request, "user", None))
    except Exception:
        return  # a database that does not answer is the view's to find out
    if session is not None and not session.modified:
        session.accessed = accessed  # that we looked is no reason for ``Vary: Cookie``


def _note_route(request: HttpRequest) -> None:
    if request.resolver_match is not None:
        auditmw.annotate(route=f"/{request.resolver_match.route}")


def _note_exception(**_: Any) -> None:
    auditmw.annotate(error=sys.exception())  # Django answers it with a page


def _note_logout(request: HttpRequest, user: Any, **_: Any) -> None:
    """Who logs out is not known any more when the response starts."""
    if user is not None:
        auditmw.identify(getattr(user, _configured().user_field), session=request.session.session_key)


def _refusal() -> HttpResponse:
    return HttpResponse(
        "The audit record of this request could not be written.\n", status=503, content_type="text/plain"
    )
