"""The state machine: one request, from its begin to its final event.

Rules:

1. When an event is final, and what may still change it, is decided here and nowhere else.
2. This file does not know WSGI from ASGI: a shell's own exchange reads the request, and is told `begin`, `answered`,
   `added`, `failed` and `finish`, the bytes of the body, and what else was seen (`complete`, `client_gone`).
3. An exchange emits its event exactly once, at the first `finish`; what comes later is dropped and counted.
4. It does no I/O: what it decided leaves through `Policy.emit`.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
import time
from abc import abstractmethod
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeVar, cast

from auditmw import forks
from auditmw.caching import shared_cache_may_keep
from auditmw.compose import compose, compose_least, header_text
from auditmw.event import SEVERITY, new_id
from auditmw.facts import NO_FIELDS, PLAIN, Facts
from auditmw.head import CACHING, CONTENT_LENGTH, CONTENT_TYPE, OTHER, REQUEST_ID, SESSION, USER
from auditmw.identity import Identity
from auditmw.outcome import tells_of_the_client
from auditmw.policy import Policy
from auditmw.record import application_event
from auditmw.request import Request
from auditmw.trace import is_token, traceparent

_Text = TypeVar("_Text", str, bytes)
_E = TypeVar("_E", bound="Exchange")

# A resolver may log, or call the application: what is begun inside of it asks nobody.
_asking: ContextVar[bool] = ContextVar("auditmw_asking", default=False)


class Exchange(Facts):
    """One request and its answer; a shell's own reads the request."""

    __slots__ = ()

    @abstractmethod
    def read(self, policy: Policy, carrier: Any) -> None:
        """Read the request from what carries it; may raise."""

    def begin_unread(self, policy: Policy, carrier: Any) -> None:
        """Begin with a request that cannot be read."""
        self.started_ns = time.perf_counter_ns()
        self.method, self.path, self.query = "UNKNOWN", "/", ""
        self.scheme, self.version, self.port = "http", "1.1", None
        self.fields = NO_FIELDS
        self.start(policy, carrier, "unknown", {})

    # -- told by the shell

    def begin(self) -> bool:
        """Write the intent record; False when it could not be written and the request is to be refused."""
        policy = self.policy
        if self.exempt:
            return True
        written = False
        try:
            now_ns = time.time_ns()
            self.more().id = new_id(now_ns)
            event = compose(self, now_ns, 0)
            event["outcome"] = {"result": "pending"}
            event["level"], event["severity"] = "info", SEVERITY["info"]
            del event["duration_ns"]
            written = self.more().is_promised = policy.emit(event)
            if written and policy.refuse and policy.commit is not None:
                written = policy.commit()
        except Exception as error:
            written = False
            policy.count("internal_errors", error)
        if written or not policy.refuse:
            return True
        policy.count("refused")
        return False

    def answered(self, headers: list[tuple[_Text, _Text]], text: Callable[[_Text], str]) -> list[tuple[_Text, _Text]]:
        """Note the headers of the response; returns those that are passed on. `text` makes a str of a name or value."""
        kinds, hidden = self.policy.kinds, False
        for name, value in headers:
            kind = kinds[name]
            if kind == OTHER:
                continue
            if kind == CONTENT_TYPE:
                self.content_type = text(value)
            elif kind == CONTENT_LENGTH:
                self.content_length = text(value)
            else:
                hidden = self._note_header(kind, text(name).lower(), text(value)) or hidden
        return kinds.without_identity(headers) if hidden else headers

    def added(self) -> list[tuple[str, str]]:
        """The headers to add, now that the response's own have been noted; asks a plain resolver who is calling."""
        policy = self.policy
        headers = policy.headers
        if self.status >= 500 and self.extra.error is None:
            error = sys.exception()  # an error page is often made while its exception is being handled
            if isinstance(error, Exception):
                self.failed(error, handled=True)
        extra = self.extra
        added = [(headers.request_id, self.trace.request_id)] if extra is PLAIN or not extra.has_request_id else []
        if self.identity is None and policy.resolver is not None:
            self.resolve()
        actor = self.actor or self.describe_actor()
        tells = self.trusted in policy.identified and (extra is PLAIN or not shared_cache_may_keep(extra.caching))
        if tells and actor is not None:
            if actor.user_header is not None:
                added.append((headers.user, actor.user_header))
            if actor.session_header is not None:
                added.append((headers.session, actor.session_header))
        if headers.server_timing:
            trace = self.trace
            added.append(("Server-Timing", f"trace;desc={traceparent(trace.trace_id, trace.span_id, trace.flags)}"))
        return added

    def account(self, size_bytes: int) -> bool:
        """Add bytes of the body; True when they complete a response that promised its length."""
        if self.body_bytes is not None:
            self.body_bytes += size_bytes
        if not self.will_complete(size_bytes):
            if self.remaining_bytes is not None:
                self.remaining_bytes -= size_bytes
            return False
        self.remaining_bytes = 0
        self.complete = True
        return not self.done

    def will_complete(self, size_bytes: int) -> bool:
        """Whether so many bytes more complete a response that promised its length."""
        remaining = self.remaining_bytes
        if remaining is None:
            if not self.status:
                return False
            promised = self.promised_bytes()
            remaining = self.remaining_bytes = -1 if promised is None else promised
        return 0 <= remaining <= size_bytes

    def left(self) -> None:
        """The server let go of the body before its end: the client went away, unless nothing more was promised."""
        self.complete = self.will_complete(0)
        gone = not self.complete and self.status != 0
        if gone is not self.extra.client_gone:
            self.more().client_gone = gone

    def restart(self) -> None:
        """Forget a response that an error page replaces before its headers were sent (PEP 3333, `exc_info`)."""
        self.content_type = self.content_length = self.remaining_bytes = None
        extra = self.more()
        extra.reason = extra.captured = extra.app_user = extra.app_session = None
        extra.caching, extra.has_request_id = (), False

    def failed(self, error: BaseException, *, handled: bool = False) -> None:
        """Note the exception that ended the request, or that an error page answers; one that nobody handled wins."""
        extra = self.more()
        if self.done:
            gone = extra.client_gone and tells_of_the_client(
                error
            )  # the last byte was not taken: no failure of the app
            if error is not extra.error and isinstance(error, Exception) and not gone:
                self._record_late(error)
        elif extra.error is None or (extra.handled and not handled):
            extra.error, extra.handled = error, handled

    def finish(self) -> None:
        """Emit the event, once."""
        if self.done:
            return
        if self.process != forks.process:  # a child forked inside the request: its event is the parent's
            self.done = True
            return
        policy = self.policy
        try:
            if self.identity is None and policy.resolver is not None and not self.exempt:
                self.resolve()
        finally:  # a resolver may exit, or be cancelled
            self.done = True
            self._emit(policy)

    def _emit(self, policy: Policy) -> None:
        try:
            if self.exempt and (policy.exempt_errors or (self.status < 400 and self.extra.error is None)):
                policy.count("exempted")
                return
            now_ns, duration_ns = time.time_ns(), time.perf_counter_ns() - self.started_ns
            try:
                event = compose(self, now_ns, duration_ns)
            except Exception as error:  # whatever it was, the request has its event
                policy.count("degraded", error)
                event = compose_least(self, now_ns, duration_ns)
            (policy.finish if self.extra.is_promised else policy.emit)(event)
        except Exception as error:
            policy.count("lost", error)

    def release(self) -> None:
        """Let go of the exception, whose frames would keep everything alive until the garbage collector runs.

        The carrier may come again, to be served anew.
        """
        if self.extra is not PLAIN:
            self.extra.error = None
        try:
            del self.carrier[self.policy.mark]
        except Exception:
            return  # it was taken away, or could not be set

    def _note_header(self, kind: int, name: str, value: str) -> bool:
        """Note one that has no part in a plain response; True when it is not to be passed on."""
        extra = self.more()
        if kind == USER:
            extra.app_user = value
            return True
        if kind == SESSION:
            extra.app_session = value
            return True
        if kind == REQUEST_ID:
            extra.has_request_id = True
            if is_token(value):  # the application's own id is the one that everybody will look for
                self.trace = self.trace._replace(request_id=value)
            return False
        if kind == CACHING:
            extra.caching = (*extra.caching, (name, value))
        if name in self.policy.response_captured:
            extra.captured = captured = extra.captured or {}
            values = captured.setdefault(name, [])
            values.append(header_text(self, value, f"/http/response/headers/{name}/{len(values)}"))
        return False

    # -- who is calling

    def resolve(self) -> None:
        """Ask a plain resolver who is calling; whatever goes wrong there stays there."""
        policy = self.policy
        if policy.resolver is not None and not self.asking and not _asking.get():
            self.asking = True
            token = _asking.set(True)
            try:
                identity = policy.resolver(Request(self))
                if type(identity) is Identity and self.identity is None:
                    self.identity, self.actor = identity, None
                elif identity is not None:
                    self._known_as(identity)
                self.asking = False
            except Exception as error:  # it stays `asking`: what failed once is not asked again
                policy.count("resolver_errors", error)
            finally:  # what exits or is cancelled is not asked again
                _asking.reset(token)

    def must_ask(self) -> bool:
        """Whether an asynchronous resolver is to be asked: nobody is known, or whoever is known by no session."""
        return self.policy.async_resolver is not None and (self.identity is None or self.extra.session_wanted)

    async def resolve_async(self) -> None:
        """Ask an asynchronous resolver who is calling; only a cancellation passes."""
        policy = self.policy
        if policy.async_resolver is not None and not self.asking and not _asking.get():
            self.asking = True
            token = _asking.set(True)
            try:
                self._known_as(await policy.async_resolver(Request(self)))
                self.asking = False
                if self.extra.session_wanted:
                    self.extra.session_wanted = False
            except Exception as error:
                policy.count("resolver_errors", error)
            finally:
                with contextlib.suppress(ValueError):  # driven on in another context
                    _asking.reset(token)

    # -- told by the application

    def identify(self, identity: Identity) -> None:
        """Take the identity that the application itself declares; it wins over the resolver's."""
        if self.done:
            self.policy.count("late")
            return
        if identity.session is None:
            if self.identity is None:
                self.resolve()
            known = self.identity
            if isinstance(known, Identity):
                identity = identity._replace(session=known.session)
            self.more().session_wanted = identity.session is None
        self.identity, self.actor = identity, None

    def annotate(self, fields: dict[str, Any], data: dict[str, Any]) -> None:
        """Add fields of the event, already made safe, and `data` of the application's own."""
        if self.done:
            self.policy.count("late")
            return
        extra = self.more()
        extra.route = fields.pop("route", extra.route)
        if fields:
            extra.annotations = {**(extra.annotations or {}), **fields}
        if data:
            extra.data = {**(extra.data or {}), **data}

    def _known_as(self, returned: object) -> None:
        if not isinstance(returned, Identity) and inspect.iscoroutine(
            returned
        ):  # a plain function that returned a coroutine
            returned.close()
            raise TypeError(
                "expected an Identity or None from the resolver, not a coroutine; make it an async function"
            )
        if self.extra.session_wanted and isinstance(returned, Identity) and self.identity is not None:
            self.identity, self.actor = self.identity._replace(session=returned.session), None
        elif self.identity is None and returned is not None:
            self.identity, self.actor = cast("Identity", returned), None  # garbage is described as such

    def _record_late(self, error: BaseException) -> None:
        """An exception after the last byte, such as that of a background task, is an event of its own."""
        try:
            fields = {"level": "error", "outcome": {"result": "failure", "reason": "exception"}}
            self.policy.emit(application_event(self.policy, self, "failed_after_response", fields, error=error))
        except Exception as own:
            self.policy.count("lost", own)


def begun(kind: type[_E], policy: Policy, carrier: Any) -> _E | None:
    """The exchange, of a shell's kind, of the carrier, an environ or a scope; None where it is recorded already.

    Never raises: what a server or a middleware put there may be anything, and the request has its event all the same.
    """
    exchange = kind()
    try:
        if policy.mark in carrier:  # wrapped twice: one event
            return None
        exchange.read(policy, carrier)
    except Exception as error:
        policy.count("degraded", error)
        exchange.begin_unread(policy, carrier)
    try:
        carrier[policy.mark] = True
    except Exception:  # it may be read only: then it is not wrapped twice by us either
        policy.count("internal_errors")
    return exchange
