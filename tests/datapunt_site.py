"""Views of a Django site that was written against DataPunt's audit log, beside those of `django_site`."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Iterator
from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path

import auditmw
import django_site


def said(request: Any) -> HttpResponse:
    request.audit_log.set_filter("Item", {"name": "abc"}).set_results([{"id": 1}]).warning("Searched items")
    return HttpResponse("said")


async def said_async(request: Any) -> HttpResponse:
    request.audit_log.set_filter("Item", {"name": "abc"}).set_results([{"id": 1}]).warning("Searched items")
    return HttpResponse("said")


def debug(request: Any) -> HttpResponse:
    request.audit_log.debug("looked closely")
    return HttpResponse("debug")


def dates(request: Any) -> HttpResponse:
    request.audit_log.set_results({"at": datetime.date(2026, 1, 2)})
    return HttpResponse("dates")


def named(request: Any) -> HttpResponse:
    request.audit_log.set_user(True, "keycloak", "eva@b.nl", roles=["clerk"], realm="employee")
    return HttpResponse("named")


def identified(request: Any) -> HttpResponse:
    auditmw.identify("user-42")
    return HttpResponse("identified")


def results_in_the_stream(request: Any) -> StreamingHttpResponse:
    def chunks() -> Iterator[str]:
        yield "some "
        request.audit_log.set_results({"in": "the stream"})
        yield "more"

    return StreamingHttpResponse(chunks())


def sent(request: Any) -> HttpResponse:
    request.audit_log.info("sent").send_log()
    return HttpResponse("sent")


def sent_before_login(request: Any) -> HttpResponse:
    sent(request)
    return django_site.log_in(request)


async def results_in_the_async_stream(request: Any) -> StreamingHttpResponse:
    async def chunks() -> AsyncIterator[str]:
        yield "some "
        request.audit_log.set_results({"in": "the stream"})
        yield "more"

    return StreamingHttpResponse(chunks())


urlpatterns = [
    path("said/", said),
    path("async-said/", said_async),
    path("debug/", debug),
    path("dates/", dates),
    path("named-here/", named),
    path("identified/", identified),
    path("sent/", sent),
    path("sent-before-login/", sent_before_login),
    path("results/", results_in_the_stream),
    path("async-results/", results_in_the_async_stream),
    *django_site.urlpatterns,
]
