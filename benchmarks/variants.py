"""The variants that are measured: the bare application, auditmw, the minimum, and the peers.

Each builder takes the kind of application and a directory for its files, imports what it needs, and returns the
application to call. A package that is missing shows as ModuleNotFoundError, and the variant is left out by name.
"""

from __future__ import annotations

import itertools
import logging
import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import apps
from benchmarks.limit import LimitASGI, LimitWSGI

USERS = [(f"user-{number}", f"session-{number:032x}") for number in range(500)]
"""User and session ids that the resolvers hand out in turn, so that no two neighbouring requests share them."""


@dataclass(frozen=True)
class Variant:
    """One thing to measure.

    Attributes:
        build: makes the application for a kind, with its files in a directory.
        kinds: the kinds of application that it can wrap.
        packages: distributions whose versions belong under the table.
        lines: lines that it writes per request to files under its directory; 0 where it writes none.
    """

    build: Callable[[str, Path], Any]
    kinds: tuple[str, ...]
    packages: tuple[str, ...] = ()
    lines: int = 0


def bare(kind: str, directory: Path) -> Any:
    """The application alone."""
    return apps.make(kind)


def limit(kind: str, directory: Path) -> Any:
    """The hand-written minimum of limit.py."""
    fd = os.open(directory / "limit.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    shell = LimitASGI if kind in apps.ASGI_KINDS else LimitWSGI
    return shell(apps.make(kind), fd, itertools.cycle(USERS).__next__)


def auditmw(kind: str, directory: Path) -> Any:
    """The shells of auditmw around the application, with default settings."""
    import auditmw as package

    shell = package.ASGIAudit if kind in apps.ASGI_KINDS else package.WSGIAudit
    return shell(apps.make(kind), _audit(directory))


def auditmw_adapter(kind: str, directory: Path) -> Any:
    """The adapter of auditmw for the framework, with default settings."""
    if kind == "flask":
        from auditmw.contrib.flask import FlaskAudit

        app = apps.make(kind)
        FlaskAudit(app, _audit(directory))
        return app
    settings = {"directory": str(directory), "service": "bench", "resolver": resolver()}
    return apps.make(kind, MIDDLEWARE=["auditmw.contrib.django.AuditMiddleware"], AUDITMW=settings)


def structlog_textbook(kind: str, directory: Path) -> Any:
    """Bind the request into structlog's context, and log one JSON line when it is done."""
    import orjson
    import structlog

    file = open(directory / "structlog.jsonl", "ab")  # noqa: SIM115  (open as long as the process)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.BytesLoggerFactory(file),
        cache_logger_on_first_use=True,
    )
    wrap = _structlog_asgi if kind in apps.ASGI_KINDS else _structlog_wsgi
    return wrap(apps.make(kind), structlog.get_logger())


def _structlog_asgi(app: Any, log: Any) -> Any:
    from structlog.contextvars import bind_contextvars, clear_contextvars

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        clear_contextvars()
        bind_contextvars(
            request_id=uuid.uuid4().hex, method=scope["method"], path=scope["path"], client=scope["client"][0]
        )
        started, status = time.perf_counter(), 0

        async def send_and_note(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        await app(scope, receive, send_and_note)
        log.info("request", status=status, duration=time.perf_counter() - started)

    return middleware


def _structlog_wsgi(app: Any, log: Any) -> Any:
    from structlog.contextvars import bind_contextvars, clear_contextvars

    def middleware(environ: Any, start_response: Any) -> Any:
        clear_contextvars()
        bind_contextvars(
            request_id=uuid.uuid4().hex,
            method=environ["REQUEST_METHOD"],
            path=environ["PATH_INFO"],
            client=environ["REMOTE_ADDR"],
        )
        started, status = time.perf_counter(), ""

        def note(line: str, headers: Any, exc_info: Any = None) -> Any:
            nonlocal status
            status = line
            return start_response(line, headers, exc_info)

        body = app(environ, note)
        log.info("request", status=status, duration=time.perf_counter() - started)
        return body

    return middleware


def asgi_correlation_id(kind: str, directory: Path) -> Any:
    """A request id in a context variable and in the response; no event."""
    from asgi_correlation_id import CorrelationIdMiddleware

    return CorrelationIdMiddleware(apps.make(kind))


def starlette_context(kind: str, directory: Path) -> Any:
    """Request id, correlation id and user agent in a context variable; no event."""
    from starlette_context import plugins
    from starlette_context.middleware import RawContextMiddleware

    chosen = (plugins.RequestIdPlugin(), plugins.CorrelationIdPlugin(), plugins.UserAgentPlugin())
    return RawContextMiddleware(apps.make(kind), plugins=chosen)


def opentelemetry(kind: str, directory: Path) -> Any:
    """Spans through the batch processor to an exporter that drops them: the cost before any byte is written."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class NullExporter(SpanExporter):
        def export(self, spans: Any) -> Any:
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(NullExporter()))
    if kind in apps.ASGI_KINDS:
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
    else:
        from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
    return OpenTelemetryMiddleware(apps.make(kind), tracer_provider=provider)


def keystonemiddleware(kind: str, directory: Path) -> Any:
    """CADF events, one for the request and one for the response, through its own log notifier to a file."""
    from keystonemiddleware.audit import AuditMiddleware

    _log_to_file("keystonemiddleware.audit", directory / "keystone.log")
    audited = AuditMiddleware(apps.make(kind), service_name="bench")

    def with_catalog(environ: Any, start_response: Any) -> Any:
        environ["HTTP_X_SERVICE_CATALOG"] = "[]"  # what auth_token puts there; without it each request logs a warning
        return audited(environ, start_response)

    return with_catalog


def datapunt(kind: str, directory: Path) -> Any:
    """DataPunt's audit log of the framework, its JSON formatter, and a handler that writes to a file."""
    if kind == "flask":
        from flask_audit_log.middleware import AuditLogMiddleware

        app = _datapunt_app(kind, directory)
        AuditLogMiddleware(app)
        return app
    import django_audit_log  # noqa: F401  (a missing package is named before Django is configured)

    return _datapunt_app(kind, directory, MIDDLEWARE=["django_audit_log.middleware.AuditLogMiddleware"])


def auditmw_datapunt(kind: str, directory: Path) -> Any:
    """The replacement for it in `auditmw.contrib`, which writes the same line."""
    if kind == "flask":
        from auditmw.contrib.datapunt_flask import AuditLogMiddleware

        app = _datapunt_app(kind, directory)
        AuditLogMiddleware(app)
        return app
    return _datapunt_app(kind, directory, MIDDLEWARE=["auditmw.contrib.datapunt_django.AuditLogMiddleware"])


def auditmw_datapunt_journal(kind: str, directory: Path) -> Any:
    """The same with an `Audit`: DataPunt's line, and the event in the journal."""
    if kind == "flask":
        from auditmw.contrib.datapunt_flask import AuditLogMiddleware

        app = _datapunt_app(kind, directory)
        AuditLogMiddleware(app, _audit(directory))
        return app
    settings = {"directory": str(directory), "service": "bench", "resolver": resolver()}
    middleware = ["auditmw.contrib.datapunt_django.AuditLogMiddleware"]
    return _datapunt_app(kind, directory, MIDDLEWARE=middleware, AUDITMW=settings)


def _datapunt_app(kind: str, directory: Path, **settings: Any) -> Any:
    """The application with DataPunt's settings, whatever reads them."""
    global _datapunt_file
    _datapunt_file = str(directory / "datapunt.jsonl")
    handler = f"{__name__}.datapunt_handler"
    if kind != "flask":
        return apps.make(kind, AUDIT_LOG_HANDLER_CALLABLE_PATH=handler, **settings)
    app = apps.make(kind)
    app.config["AUDIT_LOG"] = {"LOG_HANDLER_CALLABLE_PATH": handler}
    return app


_datapunt_file = ""


def datapunt_handler() -> logging.Handler:
    """Return the handler that DataPunt's loggers ask for by dotted path."""
    return logging.FileHandler(_datapunt_file)


def django_structlog(kind: str, directory: Path) -> Any:
    """django-structlog as its documentation sets it up: structlog through stdlib logging into a JSON file."""
    import django_structlog  # noqa: F401
    import structlog

    formatter = structlog.stdlib.ProcessorFormatter(processor=structlog.processors.JSONRenderer())
    _log_to_file("django_structlog", directory / "django-structlog.jsonl", formatter)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.filter_by_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            structlog.processors.UnicodeDecoder(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    return apps.make(
        kind,
        INSTALLED_APPS=["django_structlog"],
        MIDDLEWARE=["django_structlog.middlewares.RequestMiddleware"],
    )


def _audit(directory: Path) -> Any:
    import auditmw as package

    return package.Audit(directory, service="bench", resolver=resolver())


def resolver() -> Callable[[Any], Any]:
    """Return a resolver that hands out the users in turn: the cost is that of asking, not of looking anybody up."""
    import auditmw as package

    identities = itertools.cycle([package.Identity(user, session=session) for user, session in USERS])
    return lambda request: next(identities)


def _log_to_file(logger: str, path: Path, formatter: logging.Formatter | None = None) -> None:
    handler = logging.FileHandler(path)
    handler.setFormatter(formatter)
    chosen = logging.getLogger(logger)
    chosen.setLevel(logging.INFO)
    chosen.addHandler(handler)
    chosen.propagate = False


ANY = apps.KINDS
OPENTELEMETRY = (
    "opentelemetry-sdk",
    "opentelemetry-instrumentation-asgi",
    "opentelemetry-instrumentation-wsgi",
)

VARIANTS: dict[str, Variant] = {
    "bare": Variant(bare, ANY, ("flask", "django", "fastapi", "starlette")),
    "limit": Variant(limit, ANY, ("orjson",), lines=1),
    "auditmw": Variant(auditmw, ANY, ("auditmw",), lines=1),
    "auditmw-adapter": Variant(auditmw_adapter, ("flask", "django"), lines=1),
    "asgi-correlation-id": Variant(asgi_correlation_id, apps.ASGI_KINDS, ("asgi-correlation-id",)),
    "structlog-textbook": Variant(structlog_textbook, ANY, ("structlog",), lines=1),
    "starlette-context": Variant(starlette_context, apps.ASGI_KINDS, ("starlette-context",)),
    "opentelemetry": Variant(opentelemetry, ANY, OPENTELEMETRY),
    "datapunt": Variant(datapunt, ("flask", "django"), ("datapunt-audit-log", "datapunt-django-audit-log"), lines=1),
    "auditmw-datapunt": Variant(auditmw_datapunt, ("flask", "django"), lines=1),
    "auditmw-datapunt-journal": Variant(auditmw_datapunt_journal, ("flask", "django"), lines=2),
    "django-structlog": Variant(django_structlog, ("django",), ("django-structlog",), lines=2),
    "keystonemiddleware": Variant(keystonemiddleware, ("wsgi", "flask"), ("keystonemiddleware",), lines=2),
}
