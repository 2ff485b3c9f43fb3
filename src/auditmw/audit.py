"""`Audit`: the configuration of an audit log, decided at construction."""

from __future__ import annotations

import inspect
import os
import re
import secrets
import weakref
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, NamedTuple, TypeVar, cast

from asgiref.sync import async_to_sync

from auditmw import forks
from auditmw.emitter import Emitter
from auditmw.event import Event, encode
from auditmw.head import ResponseHeaders, header_name
from auditmw.health import Health
from auditmw.identity import Identity, Pseudonyms, key_file
from auditmw.journal import Journal, Quota, StreamJournal
from auditmw.peer import DEFAULT_TRUSTED, Proxies
from auditmw.policy import Policy
from auditmw.redact import Redactor
from auditmw.request import Request
from auditmw.stream_format import line_formatter
from auditmw.trace import Tracer

if TYPE_CHECKING:
    from auditmw.formats.record import RecordFormat
    from auditmw.ship.inprocess import Shipping

WhenFull = Literal["drop_newest", "refuse", "drop_oldest_unshipped"]
Resolver = Callable[[Request], Identity | None] | Callable[[Request], Awaitable[Identity | None]]

_T = TypeVar("_T")

_audits: weakref.WeakSet[Audit] = weakref.WeakSet()


@dataclass(frozen=True, slots=True)
class Service:
    """What runs here: `name` is required; the others are absent from events where they are None."""

    name: str
    version: str | None = None
    environment: str | None = None
    instance_id: str | None = None
    host: str | None = None


class Audit:
    """The configuration of an audit log, decided at construction. Construction does no I/O and starts no thread.

    `destination`: the directory that holds the journal, or a binary stream such as ``sys.stdout.buffer``.
    `service`: the name of what runs here, or a `Service`.
    `format`: for a stream, the format of its lines: a name such as ``"ecs"`` (``auditmw.formats.RECORD_FORMATS``) or a
    format of one's own; an event that it has no line for is written as its JSON, and counted. A directory has none.
    `resolver`: ``Request -> Identity | None``, plain or ``async``; asked when the response starts, and again at the end
    when it had nothing to say. A plain one runs in the event loop under ASGI: it must not block.
    `trusted_proxies`: networks (CIDR) and ``"unix"``, whose word on traces and client addresses is believed and who get
    the identity headers; or `Proxies`, which also says which header they set.
    `exempt`: regular expressions searched in the path; errors (status >= 400) are recorded nevertheless, unless
    `exempt_errors`.
    `headers`: names of the response headers, and who gets those with the identity.
    `capture_headers`: further request and response headers to write; denied ones (``authorization``, ...) are refused.
    `tracer`, `redactor`, `pseudonyms`: in place of the default ones.
    `intent`: write a record before the application runs, so that a request whose process dies has an event too.
    `on_failure`: ``serve`` goes on and counts what is lost; ``refuse`` (which implies `intent`) answers 503 before the
    application runs when that record cannot be written.
    `durability`: ``os`` survives the death of the process; ``disk`` also that of the machine.
    `rotate_bytes`, `rotate_seconds`: when a journal file is closed and the next one begun.
    `quota_bytes`: how many the journal may have, of all processes together. `when_full`: ``drop_newest`` counts and
    tells what is not written; ``refuse`` is that of `on_failure`; ``drop_oldest_unshipped`` removes the oldest closed
    files, first those that were shipped, and counts and tells the events of the others.
    `ship`: URLs of systems that a thread sends the events to, as `auditmw ship` does, which is a process of its own.

    Raises ValueError or TypeError that say what was expected, what came, and what to do.
    """

    def __init__(
        self,
        destination: str | os.PathLike[str] | BinaryIO,
        *,
        service: str | Service,
        format: str | RecordFormat | None = None,
        resolver: Resolver | None = None,
        trusted_proxies: Sequence[str] | Proxies = DEFAULT_TRUSTED,
        exempt: Iterable[str] = (),
        exempt_errors: bool = False,
        headers: ResponseHeaders | None = None,
        capture_headers: Iterable[str] = (),
        tracer: Tracer | None = None,
        redactor: Redactor | None = None,
        pseudonyms: Pseudonyms | None = None,
        intent: bool = False,
        on_failure: Literal["serve", "refuse"] = "serve",
        durability: Literal["os", "disk"] = "os",
        rotate_bytes: int = 16 * 1024 * 1024,
        rotate_seconds: float = 3600.0,
        quota_bytes: int | None = None,
        when_full: WhenFull = "drop_newest",
        ship: Iterable[str] = (),
    ) -> None:
        refuse = "refuse" in (_one_of("on_failure", on_failure, ("serve", "refuse")), when_full)
        self.journal, key = _open(destination, durability, rotate_bytes, rotate_seconds, _quota(quota_bytes, when_full))
        self._health = Health()
        formatter = _formatter(format, self.journal, self._health.count)
        self._emitter = Emitter(self.journal, self._health, described := _service(service), formatter)
        self._shipping = _shipping(ship, self.journal, self._health)
        tracer, redactor, headers = tracer or Tracer(), redactor or Redactor(), headers or ResponseHeaders()
        self.policy = Policy(
            service=described,
            tracer=tracer,
            proxies=trusted_proxies if isinstance(trusted_proxies, Proxies) else Proxies(trusted_proxies),
            redactor=redactor,
            pseudonyms=pseudonyms or Pseudonyms(key),
            **_resolvers(resolver)._asdict(),
            exempt=_exempt(exempt),
            exempt_errors=exempt_errors,
            intent=intent or refuse,
            refuse=refuse,
            headers=headers,
            extra_headers=_captured(capture_headers, redactor),
            **self._ways_out(durability),
        )
        _audits.add(self)

    def _ways_out(self, durability: str) -> dict[str, Any]:
        emit = self._emitter.emit
        return {
            "emit": self._shipping.after(emit) if self._shipping else emit,
            "finish": partial(emit, is_promised=True),
            "commit": self._emitter.commit if durability == "disk" else None,
            "count": self._health.count,
        }

    def _renew_in_child(self) -> None:
        self._health.renew()
        self._emitter.renew_in_child()
        if self._shipping:
            self._shipping.renew_in_child()

    def health(self) -> dict[str, Any]:
        """How this process's part of the log is doing.

        ``status``: ``ok``, or ``degraded`` when anything was lost, late or went wrong. ``counts``: by kind, such as
        ``lost``, ``late``, ``resolver_errors``, ``format_errors``, ``refused``, ``exempted``. ``last``: the last reason
        of each kind. ``journal``: the writer, its file, and how many events it wrote. ``shipping``: with
        `ship`, how far each target is and what went wrong there, whichever process ships.
        """
        told = self._health.snapshot()
        wrong = [kind for kind in told["counts"] if kind != "exempted"]
        shipping = {"shipping": self._shipping.health()} if self._shipping else {}
        return {"status": "degraded" if wrong else "ok", **told, "journal": self.journal.stats(), **shipping}

    def policy_with(self, resolver: Resolver | None, *, blocking: bool) -> Policy:
        """The policy for a shell, which asks `resolver` where this audit has none.

        `blocking`: the shell cannot await; an ``async`` resolver is run to its end by asgiref.
        """
        policy = self.policy
        if policy.resolver is None and policy.async_resolver is None:
            policy = replace(policy, **_resolvers(resolver)._asdict())
        if blocking and policy.async_resolver is not None:  # a WSGI server's threads have no event loop of their own
            policy = replace(policy, resolver=async_to_sync(policy.async_resolver), async_resolver=None)
        return policy

    def owns(self, policy: Policy) -> bool:
        """Whether a request under this policy is one of this audit's."""
        return policy.emit is self.policy.emit

    def close(self) -> None:
        """Close the journal's file; nothing is ever waiting to be written, so this is only for tidiness."""
        self.journal.close()
        if self._shipping:
            self._shipping.close()


def _renew_in_child() -> None:
    for audit in list(_audits):
        audit._renew_in_child()


forks.in_child(_renew_in_child)


def only_audit() -> Audit | None:
    """The process's `Audit` where there is exactly one: it takes the events recorded outside of any request."""
    audits = list(_audits)
    return audits[0] if len(audits) == 1 else None


def _open(
    destination: str | os.PathLike[str] | BinaryIO,
    durability: Literal["os", "disk"],
    rotate_bytes: int,
    rotate_seconds: float,
    quota: Quota | None,
) -> tuple[Journal | StreamJournal, bytes | Callable[[], bytes]]:
    """The journal, and the key for pseudonyms: the directory's, or for a stream one that this process tree makes."""
    _one_of("durability", durability, ("os", "disk"))
    if callable(getattr(destination, "write", None)):
        if quota is not None:
            raise ValueError("expected no quota for a stream: what it takes is gone, and its reader's to bound")
        return StreamJournal(cast(BinaryIO, destination)), secrets.token_bytes(32)
    if not isinstance(destination, (str, os.PathLike)):
        raise TypeError(f"expected a directory or a binary stream as destination, not {destination!r}")
    journal = Journal(
        destination, durability=durability, rotate_bytes=rotate_bytes, rotate_seconds=rotate_seconds, quota=quota
    )
    return journal, key_file(destination)


def _quota(quota_bytes: int | None, when_full: WhenFull) -> Quota | None:
    _one_of("when_full", when_full, ("drop_newest", "refuse", "drop_oldest_unshipped"))
    if quota_bytes is not None:
        return Quota(quota_bytes, drop_oldest=when_full == "drop_oldest_unshipped")
    if when_full != "drop_newest":
        raise ValueError(f"expected quota_bytes, how many are full, beside when_full={when_full!r}")
    return None


def _shipping(urls: Iterable[str], journal: Journal | StreamJournal, health: Health) -> Shipping | None:
    if not urls:
        return None
    if not isinstance(journal, Journal):
        raise ValueError(  # noqa: TRY004 - the value is one for a directory
            f"expected a directory as destination where there is ship={urls!r}: a stream keeps nothing to be sent later"
        )
    from auditmw.ship.inprocess import Shipping

    return Shipping(journal.stats()["directory"], urls, health.count)


def _formatter(
    format: str | RecordFormat | None, journal: Journal | StreamJournal, count: Callable[[str, Exception], None]
) -> Callable[[Event], bytes]:
    if format is None:
        return encode
    if isinstance(journal, Journal):
        raise ValueError(  # noqa: TRY004 - the value is one for a stream
            f"expected no format for a directory, not {format!r}: queries, the archive and recovery read its journal. "
            "Choose the format when events leave it (auditmw query DIR --format NAME), or give a stream"
        )
    return line_formatter(format, count)


def _service(service: str | Service) -> Mapping[str, str]:
    if isinstance(service, str):
        service = Service(service)
    if not isinstance(service, Service) or not service.name:
        raise TypeError(
            f"expected the service's name or a Service, not {service!r}; it says which application wrote an event"
        )
    return {name: str(value)[:1024] for name, value in asdict(service).items() if value is not None}


def _exempt(patterns: Iterable[str]) -> tuple[re.Pattern[str], ...]:
    if isinstance(patterns, (str, bytes)):
        raise TypeError(f"expected a list of regular expressions for exempt, not {patterns!r}; put it in a list")
    compiled = []
    for pattern in patterns:
        try:
            compiled.append(re.compile(pattern))
        except (re.error, TypeError) as error:
            raise ValueError(f"expected a regular expression in exempt, not {pattern!r}: {error}") from error
    return tuple(compiled)


class _Resolvers(NamedTuple):
    resolver: Callable[[Request], Identity | None] | None = None
    async_resolver: Callable[[Request], Awaitable[Identity | None]] | None = None


def _resolvers(resolver: Resolver | None) -> _Resolvers:
    if resolver is None:
        return _Resolvers()
    if not callable(resolver):
        raise TypeError(f"expected a callable Request -> Identity | None as resolver, not {resolver!r}")
    call = resolver if inspect.isroutine(resolver) else type(resolver).__call__
    if inspect.iscoroutinefunction(call):
        return _Resolvers(None, cast("Callable[[Request], Awaitable[Identity | None]]", resolver))
    return _Resolvers(cast("Callable[[Request], Identity | None]", resolver))


def _captured(names: Iterable[str], redactor: Redactor) -> tuple[str, ...]:
    if isinstance(names, str):
        raise TypeError(f"expected a list of header names for capture_headers, not {names!r}; put it in a list")
    captured = tuple(header_name(name) for name in names)
    for name in captured:
        if redactor.header(name):
            raise ValueError(f"expected headers without secrets in capture_headers, not {name!r}; it is never written")
    return captured


def _one_of(option: str, value: _T, known: Sequence[_T]) -> _T:
    if value not in known:
        raise ValueError(f"expected {option} to be one of {', '.join(map(repr, known))}, not {value!r}")
    return value
