"""Audit middleware for any WSGI or ASGI app: one trustworthy event per request, in a journal that survives kill -9."""

from auditmw.asgi import ASGIAudit
from auditmw.audit import Audit, Resolver, Service
from auditmw.context import Context, annotate, current, identify, outgoing_headers, record
from auditmw.head import ResponseHeaders
from auditmw.identity import Identity, Pseudonyms
from auditmw.logs import ContextFilter, add_context, get_logger, to_journal
from auditmw.peer import Proxies
from auditmw.reading import read
from auditmw.redact import Redactor
from auditmw.request import Request
from auditmw.shell import Served, Shell
from auditmw.trace import Tracer
from auditmw.wsgi import WSGIAudit

__all__ = [
    "ASGIAudit",
    "Audit",
    "Context",
    "ContextFilter",
    "Identity",
    "Proxies",
    "Pseudonyms",
    "Redactor",
    "Request",
    "Resolver",
    "ResponseHeaders",
    "Served",
    "Service",
    "Shell",
    "Tracer",
    "WSGIAudit",
    "add_context",
    "annotate",
    "current",
    "get_logger",
    "identify",
    "outgoing_headers",
    "read",
    "record",
    "to_journal",
]

__version__ = "0.1.0"
