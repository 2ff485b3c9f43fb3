"""Applications with the viewer mounted at /a/b, for real servers. VIEWER_DIRECTORY: the audit directory."""

from __future__ import annotations

import os
from typing import Any

from auditmw.viewer import ASGIViewerApp, Viewer, ViewerApp

ROOT = os.environ.get("VIEWER_DIRECTORY", ".")


def authorize(request: Any) -> Viewer | None:
    """Who says in a header that they are Anna, is."""
    return Viewer("anna") if request.headers.get("x-who") == "anna" else None


def flask_app() -> Any:
    from flask import Flask
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    app = Flask(__name__)
    app.add_url_rule("/ready", view_func=lambda: "ready")
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/a/b": ViewerApp(ROOT, authorize=authorize)})
    return app


def django_urls() -> list[Any]:
    from django.http import HttpResponse
    from django.urls import include, path

    from auditmw.contrib.django_viewer import viewer_urls

    return [
        path("ready", lambda request: HttpResponse("ready")),
        path("a/", include(viewer_urls("b", ROOT, authorize=authorize))),
    ]


def _django() -> None:
    import sys
    import types

    import django
    from django.conf import settings

    settings.configure(
        SECRET_KEY="x",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="viewer_urls_module",
        MIDDLEWARE=[
            "django.middleware.security.SecurityMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.middleware.clickjacking.XFrameOptionsMiddleware",
        ],
        LOGGING_CONFIG=None,
    )
    django.setup()
    module = types.ModuleType("viewer_urls_module")
    module.urlpatterns = django_urls()
    sys.modules["viewer_urls_module"] = module


def django_wsgi() -> Any:
    _django()
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()


def django_asgi() -> Any:
    _django()
    from django.core.asgi import get_asgi_application

    return get_asgi_application()


def _ready(request: Any) -> Any:
    from starlette.responses import PlainTextResponse

    return PlainTextResponse("ready")


def starlette_app() -> Any:
    from starlette.applications import Starlette
    from starlette.routing import Mount, Route

    viewer = ASGIViewerApp(ViewerApp(ROOT, authorize=authorize))
    return Starlette(routes=[Route("/ready", _ready), Mount("/a", routes=[Mount("/b", app=viewer)])])


def fastapi_app() -> Any:
    from fastapi import FastAPI

    app = FastAPI()
    app.add_api_route("/ready", lambda: "ready")
    app.mount("/a/b", ASGIViewerApp(ViewerApp(ROOT, authorize=authorize)))
    return app


_APPS = {
    "flask": flask_app,
    "django_wsgi": django_wsgi,
    "django_asgi": django_asgi,
    "starlette": starlette_app,
    "fastapi": fastapi_app,
}
if "VIEWER_APP" in os.environ:
    app = _APPS[os.environ["VIEWER_APP"]]()
