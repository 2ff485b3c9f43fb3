"""What is known of one request and its answer."""

from __future__ import annotations

from collections.abc import Mapping
from os import getpid
from typing import Any, ClassVar

from auditmw import forks
from auditmw.event import Notes, wire_text
from auditmw.identity import Actor, Identity, describe
from auditmw.peer import Client
from auditmw.policy import Policy
from auditmw.trace import Trace

_NO_BODY = frozenset({204, 304})  # RFC 9110 §6.4.1

# Request headers as they came, None where one did not: Host, User-Agent, Referer, Content-Type, Content-Length, Origin,
# and the one in which proxies tell the client.
Fields = tuple[str | None, str | None, str | None, str | None, str | None, str | None, str | None]
NO_FIELDS: Fields = (None, None, None, None, None, None, None)


class Extra:
    """What most requests have nothing of; the hot path asks only whether there is any of it."""

    id: str | None = None  # only where an intent record made it known before the end
    is_promised: bool = False  # the intent record is in the journal
    event: str = "http_request"
    target: str | None = None  # the request-target as received, where path and query do not tell it
    sent: dict[str, str] | None = None  # further request headers that are written, by lower-case name
    route: str | None = None
    reason: str | None = None  # where it is not the registered one
    captured: dict[str, list[str]] | None = None  # of the response's headers
    has_request_id: bool = False  # the application set the header itself
    caching: tuple[tuple[str, str], ...] = ()  # the response's header fields that speak to caches
    app_user: str | None = None  # X-Userid as the application set it
    app_session: str | None = None
    client_gone: bool = False
    error: BaseException | None = None
    handled: bool = False  # an error page answered the error
    session_wanted: bool = False  # the application named the user, and the resolver may know the session
    annotations: dict[str, Any] | None = None
    data: dict[str, Any] | None = None
    notes: Notes | None = None


class _Plain(Extra):
    """What a request is until the first `Facts.more`: the one object of all of them, so nothing is set on it."""

    __slots__ = ()

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"expected {name} to be set on what Facts.more() returns")


PLAIN = _Plain()


class Facts:
    """Plain data of one request and its answer, at first of a request to which nothing came yet.

    A shell's own exchange reads the request, which is all from `started_ns` to `port`, and then calls `start`.
    """

    SOURCE: ClassVar[dict[str, str]]  # the event's `source`

    started_ns: int
    method: str
    path: str
    query: str
    fields: Fields
    scheme: str
    version: str | None  # of HTTP, where it is one of those that there are
    port: int | None  # of the socket's other end
    policy: Policy
    carrier: Any
    peer: str  # the socket's other end
    trusted: bool  # the peer is one of the trusted proxies
    trace: Trace
    process: int  # the id of the process that began it
    exempt: bool
    status: int  # 0: no response was started
    content_type: str | None
    content_length: str | None
    remaining_bytes: int | None  # of the body, that the head still promises; -1: it promised nothing; None: not looked
    body_bytes: int | None  # None: not known
    received_bytes: int | None
    complete: bool  # the response was handed over to its last byte
    done: bool  # the event was written
    asking: bool  # a resolver is being asked, or left without an answer
    identity: Identity | None
    actor: Actor | None
    extra: Extra

    # Slots, all set at once: attributes that a class holds a default for are several times as slow in CPython.
    __slots__ = tuple(name for name in __annotations__ if name != "SOURCE")

    def start(self, policy: Policy, carrier: Any, peer: object, claims: Mapping[str, str]) -> None:
        """Decide what follows from the peer and from the headers that tell the trace, by lower-case name."""
        if getpid() != forks.process:
            forks.renew()
        self.process = forks.process
        self.policy = policy
        self.carrier = carrier
        self.peer, self.trusted = policy.proxies.peer(peer)
        self.trace = policy.tracer.begin(claims, self.trusted) if claims else policy.tracer.start()
        self.exempt = policy.exempt != () and policy.exempts(self.path)
        self.status = self.body_bytes = 0
        self.complete = self.done = self.asking = False
        self.content_type = self.content_length = self.remaining_bytes = self.received_bytes = None
        self.identity = self.actor = None
        self.extra = PLAIN

    @staticmethod
    def read_headers(carrier: Any) -> dict[str, str]:
        """All request headers: lower-case name to value, several fields of a name joined with a comma."""
        raise NotImplementedError

    def more(self) -> Extra:
        """Where to set what most requests have nothing of."""
        extra = self.extra
        if extra is PLAIN:
            self.extra = extra = Extra()
        return extra

    def noted(self) -> Notes:
        """Where changes to this event are noted."""
        extra = self.more()
        if extra.notes is None:
            extra.notes = Notes()
        return extra.notes

    def client(self) -> Client:
        """Where the request came from, as far as trusted proxies tell."""
        return self.policy.proxies.client(self.peer, self.port, self.fields[6])

    def promised_bytes(self) -> int | None:
        """How long the body will be, where the response's head tells it (RFC 9110 §8.6)."""
        if self.status in _NO_BODY or self.method == "HEAD":
            return 0
        length = self.content_length
        if length is None:
            return None
        if not length.isdigit():
            length = length.strip(" \t")
        return int(length) if len(length) < 18 and length.isdigit() and length.isascii() else None

    def has_no_body(self) -> bool:
        """Whether the response goes out without a body, whatever the application gives."""
        return self.status in _NO_BODY or self.method == "HEAD"

    def describe_actor(self) -> Actor | None:
        """The identity made safe to write, decided once; None when nobody named one."""
        if self.actor is not None:
            return self.actor
        identity = self.identity
        if identity is None:  # the application's own headers are the identity of last resort
            user, session = self.extra.app_user, self.extra.app_session
            if user is None and session is None:
                return None
            identity = Identity(id=user and wire_text(user)[0], session=session and wire_text(session)[0])
        self.actor = actor = describe(identity, self.policy.pseudonyms)
        for problem in actor.problems:
            self.policy.count("identity_problems", problem)
        return actor
