"""The steps of auditmw that `machine --steps` takes away, one at a time, to see what the whole costs without it.

What takes the place of a step costs next to nothing and lets the others go on; the events are then wrong, of course.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from auditmw import Identity, compose, emitter, exchange, facts, identity, redact, trace
from auditmw.journal import writer

_LINE = b'{"schema":"auditmw.event/1.0","' + b"x" * 1_150 + b'":0}'
_IDS = trace.Trace("1" * 32, "1" * 16, None, 2, None, "generated", None, "1" * 32, None)
_WHO = Identity("user-1")
_ACTOR = identity.describe(_WHO, identity.Pseudonyms(b"k" * 32))
_MEMBERS = {"method": "GET"}
_MOMENTS = "2026-11-20T12:00:00.000000Z", "2026-11-20T12:00:00.000000Z"


def _encoded_is(line: bytes) -> None:
    begin = emitter.Emitter.__init__

    def __init__(self: Any, journal: Any, health: Any, service: Any, formatter: Any = None) -> None:
        begin(self, journal, health, service, lambda event: line)

    _replace(emitter.Emitter, __init__=__init__)


def _replace(owner: Any, **replacements: Any) -> None:
    for name, replacement in replacements.items():
        getattr(owner, name)  # it must be there: what was renamed would seem to cost nothing
        setattr(owner, name, replacement)


def _without_event() -> None:
    _replace(exchange, compose=lambda facts, now_ns, duration_ns: {})
    _encoded_is(_LINE)


def _without_tracing() -> None:
    _replace(trace.Tracer, begin=lambda self, headers, trusted: _IDS, start=lambda self, remote=None: _IDS)


def _without_resolver() -> None:
    _replace(exchange.Exchange, resolve=lambda self: setattr(self, "identity", _WHO))


STEPS: dict[str, Callable[[], None]] = {
    "the event: compose and encode": _without_event,
    "- trace, client, actor, session in it": lambda: _replace(compose, add_context=lambda facts, event: None),
    "- path and query": lambda: _replace(compose, _url=lambda facts: _MEMBERS),
    "- - redaction of the query": lambda: _replace(redact.Redactor, query=lambda self, raw: raw),
    "- request and response": lambda: _replace(
        compose, _request=lambda facts: _MEMBERS, _response=lambda facts: _MEMBERS
    ),
    "- id and times": lambda: _replace(
        compose, new_id=lambda now_ns: "1" * 36, timestamps=lambda end_ns, duration_ns: _MOMENTS
    ),
    "- encode": lambda: _encoded_is(_LINE),
    "the journal: append": lambda: _replace(writer.Journal, append=lambda self, body: None),
    "- number and checksum": lambda: _replace(writer, seal=lambda body, seq: body),
    "trace ids": _without_tracing,
    "asking the resolver": _without_resolver,
    "the identity made safe": lambda: _replace(facts, describe=lambda identity, pseudonyms: _ACTOR),
    "looking at the response's headers": lambda: _replace(
        exchange.Exchange, answered=lambda self, headers, text: headers
    ),
}
