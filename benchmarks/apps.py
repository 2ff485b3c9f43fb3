"""The bare applications, one per kind: each answers every request with the same small JSON body."""

from __future__ import annotations

from typing import Any

BODY = b'{"items": [1, 2, 3], "next": null}'
LENGTH = str(len(BODY))

ASGI_KINDS = ("asgi", "fastapi")
WSGI_KINDS = ("wsgi", "flask", "django")
KINDS = ("asgi", "wsgi", "flask", "django", "fastapi")


def make(kind: str, **django_settings: Any) -> Any:
    """Return a new bare application of ``kind``; ``django_settings`` (MIDDLEWARE, ...) apply to Django alone."""
    return _MAKERS[kind](**django_settings)


def _asgi() -> Any:
    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", LENGTH.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": BODY})

    return app


def _wsgi() -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", LENGTH)])
        return [BODY]

    return app


def _flask() -> Any:
    import flask

    app = flask.Flask("bench")

    @app.route("/api/<noun>/<int:number>", methods=["GET", "POST", "PUT", "DELETE"])
    def item(noun: str, number: int) -> Any:
        return flask.Response(BODY, mimetype="application/json")

    return app


def _django(**settings: Any) -> Any:
    import django
    from django.conf import settings as django_settings

    django_settings.configure(
        **{
            "ALLOWED_HOSTS": ["*"],
            "ROOT_URLCONF": "benchmarks.django_urls",
            "SECRET_KEY": "benchmark",
            "LOGGING_CONFIG": None,
            "USE_I18N": False,
            **settings,
        }
    )
    django.setup()
    from django.core.handlers.wsgi import WSGIHandler

    return WSGIHandler()


def _fastapi() -> Any:
    import fastapi

    app = fastapi.FastAPI(openapi_url=None)

    @app.api_route("/api/{noun}/{number}", methods=["GET", "POST", "PUT", "DELETE"])
    async def item(noun: str, number: int) -> Any:
        return fastapi.Response(BODY, media_type="application/json")

    return app


_MAKERS = {"asgi": _asgi, "wsgi": _wsgi, "flask": _flask, "django": _django, "fastapi": _fastapi}
