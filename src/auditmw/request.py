"""The request as a resolver sees it: the same for WSGI and ASGI, and read-only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from werkzeug.http import parse_cookie

if TYPE_CHECKING:
    from collections.abc import Callable


class Request:
    """What a resolver may look at to say who is calling.

    `method`, `path`, `scheme`: as the server gave them. `headers`: lower-case name to value, several fields of a name
    joined with a comma. `carrier`: the WSGI environ or the ASGI scope itself, for what the framework has put there.
    `client`: address of the client as `trusted_proxies` decides it. `trusted`: the socket's peer is one of them.
    """

    __slots__ = ("_read_headers", "carrier", "client", "method", "path", "request_id", "scheme", "trace_id", "trusted")

    def __init__(
        self,
        carrier: Any,
        read_headers: Callable[[Any], dict[str, str]],
        method: str,
        path: str,
        scheme: str,
        client: str,
        trusted: bool,
        trace_id: str,
        request_id: str,
    ) -> None:
        self.carrier = carrier
        self._read_headers = read_headers
        self.method = method
        self.path = path
        self.scheme = scheme
        self.client = client
        self.trusted = trusted
        self.trace_id = trace_id
        self.request_id = request_id

    @property
    def headers(self) -> Mapping[str, str]:
        """Lower-case header name to value."""
        return self._read_headers(self.carrier)

    @property
    def cookies(self) -> Mapping[str, str]:
        """Cookie name to value (RFC 6265 §5.4)."""
        return parse_cookie(self.headers.get("cookie"))

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path}>"
