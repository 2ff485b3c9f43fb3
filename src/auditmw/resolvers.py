"""Ready-made resolvers that need no framework; those of frameworks are in `auditmw.contrib`.

A resolver is ``Request -> Identity | None``, plain or ``async``, given to `Audit` as `resolver`.
"""

from __future__ import annotations

import base64
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from auditmw.identity import Identity
from auditmw.request import Request

Resolver = Callable[[Request], Identity | None] | Callable[[Request], Awaitable[Identity | None]]


def header(name: str, *, session: str | None = None) -> Callable[[Request], Identity | None]:
    """The user whom a proxy names in the header `name`, and the session in the header `session`.

    Believed only from a trusted proxy (`Audit`'s `trusted_proxies`), which has to remove what clients send themselves.
    """
    user_header, session_header = _name(name), None if session is None else _name(session)

    def resolve(request: Request) -> Identity | None:
        if not request.trusted:
            return None
        headers = request.headers
        return _identity(headers.get(user_header), None if session_header is None else headers.get(session_header))

    return resolve


def basic_auth() -> Callable[[Request], Identity | None]:
    """The user id of HTTP Basic authentication (RFC 7617); the password goes nowhere.

    It is what the client claims: whoever answers 401 to a wrong password is the application or the proxy.
    """

    def resolve(request: Request) -> Identity | None:
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            decoded = base64.b64decode(credentials.strip(), validate=True)
        except ValueError:
            return None
        user, colon, _ = decoded.partition(b":")
        return _identity(_text(user), None) if colon else None

    return resolve


def session_cookie(name: str) -> Callable[[Request], Identity | None]:
    """The session whose id is the value of the cookie `name`; written and sent as a keyed hash, as every session is."""
    if not isinstance(name, str) or not name:
        raise ValueError(f"expected the name of a cookie, not {name!r}")

    def resolve(request: Request) -> Identity | None:
        return _identity(None, request.cookies.get(name))

    return resolve


def first_of(*resolvers: Resolver) -> Resolver:
    """The identity that the first of the resolvers to know one gives; ``async`` where one of them is."""
    for resolver in resolvers:
        if not callable(resolver):
            raise TypeError(f"expected resolvers, callables Request -> Identity | None, not {resolver!r}")

    def resolve(request: Request) -> Identity | None:
        found = (resolver(request) for resolver in resolvers)
        return next((identity for identity in found if identity is not None), None)  # type: ignore[return-value]

    async def resolve_async(request: Request) -> Identity | None:
        for resolver in resolvers:
            found: Any = resolver(request)
            identity: Identity | None = await found if inspect.isawaitable(found) else found
            if identity is not None:
                return identity
        return None

    return resolve_async if any(_is_async(resolver) for resolver in resolvers) else resolve


def _identity(user: str | None, session: str | None) -> Identity | None:
    return Identity(user or None, session=session or None) if user or session else None


def _text(user: bytes) -> str:
    try:
        return user.decode("utf-8")
    except UnicodeDecodeError:
        return user.decode("latin-1")  # what browsers sent before RFC 7617 §2.1 named UTF-8


def _is_async(resolver: Resolver) -> bool:
    call = resolver if inspect.isroutine(resolver) else type(resolver).__call__
    return inspect.iscoroutinefunction(call)


def _name(name: str) -> str:
    if not isinstance(name, str) or not name or not name.isascii():
        raise ValueError(f"expected the name of a header, not {name!r}")
    return name.lower().replace("_", "-")
