"""A Django site in one module, for tests: settings, views, a database. `ready` sets it up, once a process."""

from __future__ import annotations

import asyncio
import atexit
import functools
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import django
from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, Http404, HttpResponse, StreamingHttpResponse
from django.urls import path, re_path
from django.utils.decorators import async_only_middleware, sync_and_async_middleware, sync_only_middleware

import auditmw

DATABASE = Path(tempfile.gettempdir()) / f"auditmw-django-site-{os.getpid()}.sqlite3"
MIDDLEWARE = [
    "auditmw.contrib.django.AuditMiddleware",
    "django_site.gate",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]


@functools.cache
def ready() -> None:
    """Configure Django, make the tables and the user "alice"."""
    settings.configure(
        SECRET_KEY="only for tests",
        ROOT_URLCONF="django_site",
        ALLOWED_HOSTS=["*"],
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(DATABASE)}},
        MIDDLEWARE=MIDDLEWARE,
        LOGGING_CONFIG=None,
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        USE_TZ=True,
    )
    django.setup()
    from django.contrib.auth.models import User
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    atexit.register(DATABASE.unlink)
    User.objects.create_user("alice", password="a password")


@sync_only_middleware
def sync_gate(get_response: Any) -> Any:
    """A middleware that answers some requests itself, as those for maintenance or for CSRF do."""

    def answer(request: Any) -> Any:
        return HttpResponse("shut", status=429) if request.path == "/shut" else get_response(request)

    return answer


@async_only_middleware
def async_gate(get_response: Any) -> Any:
    async def answer(request: Any) -> Any:
        return HttpResponse("shut", status=429) if request.path == "/shut" else await get_response(request)

    return answer


@sync_and_async_middleware
def gate(get_response: Any) -> Any:
    return (async_gate if iscoroutinefunction(get_response) else sync_gate)(get_response)


def hello(request: Any) -> HttpResponse:
    return HttpResponse("hello")


async def hello_async(request: Any) -> HttpResponse:
    await asyncio.sleep(0)
    return HttpResponse("hello")


def item(request: Any, pk: int) -> HttpResponse:
    return HttpResponse(f"item {pk}")


def whoami(request: Any) -> HttpResponse:
    return HttpResponse(request.user.get_username() or "nobody")


async def whoami_async(request: Any) -> HttpResponse:
    user = await request.auser()
    return HttpResponse(user.get_username() or "nobody")


def count(request: Any) -> HttpResponse:
    request.session["count"] = request.session.get("count", 0) + 1
    return HttpResponse(str(request.session["count"]))


def log_in(request: Any) -> HttpResponse:
    from django.contrib.auth import authenticate, login

    user = authenticate(request, username="alice", password="a password")
    login(request, user)
    return HttpResponse("welcome")


def log_out(request: Any) -> HttpResponse:
    from django.contrib.auth import logout

    logout(request)
    return HttpResponse("bye")


def named(request: Any) -> HttpResponse:
    auditmw.identify("bob", session="of bob")
    auditmw.annotate(message="bob was here")
    return HttpResponse("hello bob")


def recorded(request: Any) -> HttpResponse:
    auditmw.record("order_shipped", carrier="post")
    return HttpResponse("shipped")


def token(request: Any) -> HttpResponse:
    request.user = SimpleNamespace(pk="owner of a token", is_authenticated=True)
    return HttpResponse("hello")


def boom(request: Any) -> HttpResponse:
    raise ValueError("kaboom")


async def boom_async(request: Any) -> HttpResponse:
    raise ValueError("kaboom")


def forbidden(request: Any) -> HttpResponse:
    raise PermissionDenied


def lost(request: Any) -> HttpResponse:
    raise Http404


def spoof(request: Any) -> HttpResponse:
    return HttpResponse("hello", headers={"X-Userid": "carol", "x_sessionid": "s", "X-Other": "kept"})


def chunks() -> Iterator[str]:
    yield "some "
    auditmw.annotate(message="in the middle")
    yield "é"


def stream(request: Any) -> StreamingHttpResponse:
    return StreamingHttpResponse(chunks())


def stream_of_known_length(request: Any) -> StreamingHttpResponse:
    return StreamingHttpResponse(chunks(), headers={"Content-Length": "7"})


def stream_that_fails(request: Any) -> StreamingHttpResponse:
    def failing() -> Iterator[str]:
        yield "some"
        raise ValueError("kaboom")

    return StreamingHttpResponse(failing())


async def async_chunks() -> AsyncIterator[str]:
    yield "some "
    await asyncio.sleep(0)
    auditmw.annotate(message="in the middle")
    yield "é"


async def async_stream(request: Any) -> StreamingHttpResponse:
    return StreamingHttpResponse(async_chunks())


async def async_stream_of_known_length(request: Any) -> StreamingHttpResponse:
    return StreamingHttpResponse(async_chunks(), headers={"Content-Length": "7"})


async def async_stream_that_fails(request: Any) -> StreamingHttpResponse:
    async def failing() -> AsyncIterator[str]:
        yield "some"
        raise ValueError("kaboom")

    return StreamingHttpResponse(failing())


async def endless(request: Any) -> StreamingHttpResponse:
    async def ticks() -> AsyncIterator[str]:
        while True:
            yield "tick"
            await asyncio.sleep(0)

    return StreamingHttpResponse(ticks())


patients: list[Any] = []


async def patient(request: Any) -> HttpResponse:
    """Answers nothing before its client goes."""
    patients.append(request)
    await asyncio.Event().wait()
    return HttpResponse("never")


opened: list[Any] = []


def file(request: Any) -> FileResponse:
    opened.append(open(__file__, "rb"))  # noqa: SIM115 - the response closes it
    return FileResponse(opened[-1])


urlpatterns = [
    path("", hello),
    path("async/", hello_async),
    path("items/<int:pk>/", item),
    re_path(r"^old/(?P<pk>\d+)/$", item),
    path("whoami/", whoami),
    path("whoami-async/", whoami_async),
    path("count/", count),
    path("login/", log_in),
    path("logout/", log_out),
    path("named/", named),
    path("recorded/", recorded),
    path("token/", token),
    path("boom/", boom),
    path("boom-async/", boom_async),
    path("forbidden/", forbidden),
    path("lost/", lost),
    path("spoof/", spoof),
    path("stream/", stream),
    path("stream-of-known-length/", stream_of_known_length),
    path("stream-that-fails/", stream_that_fails),
    path("async-stream/", async_stream),
    path("async-stream-of-known-length/", async_stream_of_known_length),
    path("async-stream-that-fails/", async_stream_that_fails),
    path("endless/", endless),
    path("patient/", patient),
    path("file/", file),
]
