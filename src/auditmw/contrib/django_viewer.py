"""Django: the viewer among a project's URLs.

    def staff(request):
        return Viewer(request.user.get_username()) if request.user.is_staff else None

    urlpatterns = [*viewer_urls("audit", authorize=staff), ...]

It answers at the prefix with and without a slash at its end, under WSGI and under ASGI, also below an ``include``.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from io import BytesIO
from typing import Any, TypeAlias

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.urls import re_path
from django.urls.resolvers import URLPattern
from django.views.decorators.csrf import csrf_exempt

import auditmw
from auditmw.contrib.django import audit as configured_audit
from auditmw.viewer import Viewer, ViewerApp

Authorize: TypeAlias = Callable[[HttpRequest], "Viewer | HttpResponseBase | None"]
"""Says who looks and at what; a response in place of that, such as the way to the login page, is what people get who
open the page, and None is 401."""

_FOUND = "auditmw.django.viewer"
_MAX_BODY = 65_536


def viewer_urls(
    prefix: str,
    directory: str | os.PathLike[str] | None = None,
    *,
    authorize: Authorize | None = None,
    open_to_all: bool = False,
    audit: auditmw.Audit | None = None,
    **options: Any,
) -> list[URLPattern]:
    """Return the URL patterns of a viewer at `prefix`, such as ``audit``.

    `directory` and `audit` are those of ``settings.AUDITMW`` unless they are given. `options`: more of `ViewerApp`.
    Raises ValueError as `ViewerApp` does: without `authorize` nobody is let in, unless `open_to_all` says that all are.
    """
    if directory is None:
        audit = audit or configured_audit()
        directory = _configured_directory()
    found = None if authorize is None else _found
    viewer = ViewerApp(directory, authorize=found, open_to_all=open_to_all, audit=audit, **options)
    view = csrf_exempt(functools.partial(_answer, viewer, authorize))  # the viewer has a protection of its own
    return [re_path(rf"^{re.escape(prefix.strip('/'))}(?P<rest>/.*)?\Z", view, name="auditmw-viewer")]


def _configured_directory() -> str | os.PathLike[str]:
    given = getattr(settings, "AUDITMW", None)
    directory = given.get("directory") if isinstance(given, Mapping) else None
    if not isinstance(directory, (str, os.PathLike)):
        raise ImproperlyConfigured('expected viewer_urls(prefix, directory), or settings.AUDITMW["directory"]')
    return directory


def _found(request: auditmw.Request) -> Viewer | None:
    viewer: Viewer | None = request.carrier[_FOUND]
    return viewer


def _answer(
    viewer: ViewerApp, authorize: Authorize | None, request: HttpRequest, rest: str | None = None
) -> HttpResponseBase:
    rest = rest or ""
    found = None if authorize is None else authorize(request)
    if isinstance(found, HttpResponseBase):
        if not rest.startswith("/api/"):
            return found
        found = None
    response = viewer.respond(_environ(request, rest) | {_FOUND: found})
    headers = dict(response.headers)
    if not response.is_streamed:
        return HttpResponse(response.get_data(), status=response.status_code, headers=headers)
    chunks: Any = response.iter_encoded()
    if hasattr(request, "scope"):
        chunks = _in_threads(chunks)
    return StreamingHttpResponse(chunks, status=response.status_code, headers=headers)


def _environ(request: HttpRequest, rest: str) -> dict[str, Any]:
    """Return the request as the viewer, mounted where it is, wants it."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    body = request.body if length.isdigit() and int(length) <= _MAX_BODY else b""
    mount = request.path[: len(request.path) - len(rest)]
    return {
        "SERVER_PROTOCOL": "HTTP/1.1",
        **request.META,
        "SCRIPT_NAME": mount.encode().decode("latin-1"),
        "PATH_INFO": rest.encode().decode("latin-1"),
        "wsgi.url_scheme": request.scheme,
        "wsgi.input": BytesIO(body),
    }


async def _in_threads(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    def following() -> bytes | None:
        return next(chunks, None)

    while (chunk := await sync_to_async(following, thread_sensitive=False)()) is not None:
        yield chunk
