"""What code inside a request uses: one ContextVar that holds the request's exchange, set by the shells.

The variable is set once per request and never rebound inside it, so that what a view says is seen outside of it, in
its threads (asgiref, anyio and `contextvars.copy_context` carry it over) and in its tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar, Token
from dataclasses import dataclass
from os import getpid
from typing import Any, cast

from auditmw import forks
from auditmw.audit import Audit, only_audit
from auditmw.event import Notes
from auditmw.exchange import Exchange
from auditmw.health import Health
from auditmw.identity import Identity
from auditmw.record import application_event, safe_fields
from auditmw.trace import outgoing

unwritten = Health()  # what no Audit could be found for
current_exchange: ContextVar[Exchange | None] = ContextVar("auditmw_exchange", default=None)


def leave(token: Token[Exchange | None]) -> None:
    """Undo a `current_exchange.set`; a coroutine may be driven on in another context than the one it began in."""
    try:
        current_exchange.reset(token)
    except ValueError:
        current_exchange.set(None)


@dataclass(frozen=True, slots=True)
class Context:
    """The ids of the request that is being served, as its event has them."""

    trace_id: str
    span_id: str
    parent_id: str | None
    request_id: str
    correlation_id: str | None
    user_id: str | None
    session_id: str | None


def current() -> Context | None:
    """The ids of the request that is being served, or None outside of one."""
    exchange = current_exchange.get()
    if exchange is None:
        return None
    trace = exchange.trace
    actor = exchange.describe_actor()
    return Context(
        trace_id=trace.trace_id,
        span_id=trace.span_id,
        parent_id=trace.parent_id,
        request_id=trace.request_id,
        correlation_id=trace.correlation_id,
        user_id=None if actor is None else actor.actor.get("id"),
        session_id=None if actor is None or actor.session is None else actor.session.get("id"),
    )


def identify(
    id: object = None,
    *,
    session: str | None = None,
    name: str | None = None,
    email: str | None = None,
    type: str | None = None,
    authenticated: bool | None = None,
    provider: str | None = None,
    realm: str | None = None,
    roles: Sequence[str] = (),
    on_behalf_of: str | None = None,
    previous_session: str | None = None,
) -> None:
    """Say who makes the request that is being served; it wins over what the resolver finds.

    `session` is the live session id: what is written and sent is its keyed hash. Outside of a request nothing happens.
    """
    exchange = current_exchange.get()
    if exchange is not None:
        identity = Identity(
            cast("str | None", id),  # whatever comes is made safe when it is described
            session,
            name,
            email,
            type,
            authenticated,
            provider,
            realm,
            roles,
            on_behalf_of,
            previous_session,
        )
        try:
            exchange.identify(identity)
        except Exception as error:
            exchange.policy.count("internal_errors", error)


def annotate(**said: Any) -> None:
    """Add to the event of the request that is being served.

    `message`, `level`, `action`, `category`, `outcome`, `reason`, `filter`, `results`, `target` and `route` are fields
    of the event; `error` is an exception that was caught and answered; `data` is a mapping of further values, and any
    other name goes there too. Later values win. What comes after the event was written is dropped and counted
    (`Audit.health`: ``late``); outside of a request nothing happens.
    """
    exchange = current_exchange.get()
    if exchange is not None:
        try:
            if isinstance(said.get("error"), BaseException):
                exchange.failed(said.pop("error"), handled=True)
            fields, data = safe_fields(exchange.policy, said, exchange.noted())
            exchange.annotate(fields, data)
        except Exception as error:
            exchange.policy.count("internal_errors", error)


def record(event: str, *, error: object = None, audit: Audit | None = None, **said: Any) -> None:
    """Write an event of the application's own, with the context of the request that is being served.

    `event`: a name in the past tense such as ``file_uploaded``. `error`: an exception that was caught. The other names
    are those of `annotate`. Outside of a request the event goes to `audit`, or to the process's only `Audit`.
    """
    if error is not None and not isinstance(error, BaseException):
        said["error"], error = error, None
    write_event(event, said, error=error, audit=audit)


def write_event(
    event: str,
    said: Mapping[str, Any],
    *,
    error: BaseException | Mapping[str, Any] | None = None,
    audit: Audit | None = None,
    format: str = "auditmw",
) -> None:
    """What `record` does, for names that are not identifiers, and exceptions that are described already.

    `format` is the event's ``source.format``.
    """
    if getpid() != forks.process:
        forks.renew()
    exchange = current_exchange.get()
    if exchange is not None and audit is not None and not audit.owns(exchange.policy):
        exchange = None
    if exchange is None:
        audit = audit or only_audit()
        if audit is None:
            unwritten.count(
                "no_audit", f"{event!r} was recorded outside of a request, and not exactly one Audit exists"
            )
            return
    policy = audit.policy if exchange is None and audit is not None else exchange.policy  # type: ignore[union-attr]
    try:
        if exchange is not None and exchange.identity is None and not exchange.done:
            exchange.resolve()
        notes = Notes()
        fields, data = safe_fields(policy, said, notes)
        fields.pop("route", None)
        written = application_event(policy, exchange, event, fields, data=data, error=error, notes=notes, format=format)
        policy.emit(written)
        if exchange is None and policy.commit is not None:
            policy.commit()
    except Exception as own:
        policy.count("lost", own)


def outgoing_headers() -> dict[str, str]:
    """The headers that carry this request's trace on to a service that it calls; empty outside of a request."""
    exchange = current_exchange.get()
    return {} if exchange is None else outgoing(exchange.trace)
