"""The request as a resolver sees it: the same for WSGI and ASGI, and read-only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol


class Seen(Protocol):
    """What a request is a view of."""

    carrier: Any
    method: str
    path: str
    scheme: str
    trusted: bool
    trace: Any

    @property
    def read_headers(self) -> Callable[[Any], dict[str, str]]:
        """What reads all headers from the carrier."""

    def client(self) -> Any:
        """Where the request came from."""


class Request:
    """What a resolver may look at to say who is calling."""

    __slots__ = ("_seen",)

    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    @property
    def carrier(self) -> Any:
        """The WSGI environ or the ASGI scope itself, for what the framework has put there."""
        return self._seen.carrier

    @property
    def method(self) -> str:
        """The method as the server gave it."""
        return self._seen.method

    @property
    def path(self) -> str:
        """The decoded path as the server gave it, the mount point included."""
        return self._seen.path

    @property
    def scheme(self) -> str:
        """``http`` or ``https``, as the server gave it."""
        return self._seen.scheme

    @property
    def headers(self) -> Mapping[str, str]:
        """Lower-case name to value, several fields of a name joined with a comma."""
        return self._seen.read_headers(self._seen.carrier)

    @property
    def cookies(self) -> Mapping[str, str]:
        """Cookie name to value (RFC 6265 §5.4)."""
        from werkzeug.http import parse_cookie  # loads a server and a test client, which `import auditmw` need not

        return parse_cookie(self.headers.get("cookie"))

    @property
    def client(self) -> str:
        """Address of the client as `trusted_proxies` decides it."""
        return str(self._seen.client().address)

    @property
    def trusted(self) -> bool:
        """Whether the socket's peer is a trusted proxy."""
        return self._seen.trusted

    @property
    def trace_id(self) -> str:
        """The request's trace id."""
        return str(self._seen.trace.trace_id)

    @property
    def request_id(self) -> str:
        """The request's id."""
        return str(self._seen.trace.request_id)

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path}>"
