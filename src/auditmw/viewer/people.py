"""Who looks: the answer of `authorize`, and the question it is asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from auditmw import Proxies, Request, Tracer
from auditmw.query import Query, parse

Carrier: TypeAlias = dict[str, Any]
"""A WSGI environ or an ASGI scope."""


@dataclass(frozen=True)
class Viewer:
    """Somebody who may look at the events: their name, and what they may see of them.

    `restriction`: a query that every event matches that there is for this viewer, such as ``data.tenant:acme``; None is
    all events. As text it is read anew for every question, so that times such as ``time:-7d..`` move on. `may_export`:
    whether they may take events away as a file.

    Raises ValueError for an empty name, and for a restriction that is empty or has errors.
    """

    name: str
    restriction: Query | str | None = None
    may_export: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"expected the name of a viewer, which their audit events have, not {self.name!r}")
        if self.restriction is None:
            return
        parsed = parse(self.restriction) if isinstance(self.restriction, str) else self.restriction
        if not isinstance(parsed, Query) or parsed.errors or parsed.tree is None:
            raise ValueError(
                f"expected a restriction to be a query without errors, or None for all events; not {self.restriction!r}"
            )


Authorize: TypeAlias = Callable[[Request], Viewer | None] | Callable[[Request], Awaitable[Viewer | None]]
"""Says who makes a request, and what they may see; None: nobody that may see anything."""


class Seen:
    """A request as `auditmw.Request` wants to see it, outside of the middleware."""

    def __init__(self, carrier: Carrier, proxies: Proxies, tracer: Tracer) -> None:
        self.carrier: Any = carrier
        self._proxies = proxies
        peer, self._port = _peer(carrier)
        self._peer: str
        self.trusted: bool
        self._peer, self.trusted = proxies.peer(peer)
        asgi = is_scope(carrier)
        self.method: str = carrier["method"] if asgi else carrier["REQUEST_METHOD"]
        self.scheme: str = carrier.get("scheme", "http") if asgi else carrier["wsgi.url_scheme"]
        self.path: str = carrier["path"] if asgi else _decoded(carrier.get("SCRIPT_NAME", "") + carrier["PATH_INFO"])
        self.trace: Any = tracer.begin(read_headers(carrier), self.trusted)

    @property
    def read_headers(self) -> Callable[[Any], dict[str, str]]:
        """What reads all headers from the carrier: lower-case name to value."""
        return read_headers

    def client(self) -> Any:
        """Where the request came from, as far as trusted proxies tell."""
        header = self._proxies.header
        told = None if header is None else read_headers(self.carrier).get(header)
        return self._proxies.client(self._peer, self._port, told)


def is_scope(carrier: Mapping[str, Any]) -> bool:
    """Return whether it is an ASGI scope, and no WSGI environ."""
    return carrier.get("type") == "http"


def read_headers(carrier: Mapping[str, Any]) -> dict[str, str]:
    """Return all headers: lower-case name to value, fields of one name joined (RFC 9110 §5.3, RFC 9113 §8.2.3)."""
    if not is_scope(carrier):
        named = {key[5:]: value for key, value in carrier.items() if key.startswith("HTTP_")}
        named |= {key: carrier[key] for key in ("CONTENT_TYPE", "CONTENT_LENGTH") if carrier.get(key)}
        return {name.replace("_", "-").lower(): value for name, value in named.items()}
    headers: dict[str, str] = {}
    for raw, value in carrier["headers"]:
        name, text = raw.decode("latin-1").lower(), value.decode("latin-1")
        between = "; " if name == "cookie" else ","
        headers[name] = f"{headers[name]}{between}{text}" if name in headers else text
    return headers


def _peer(carrier: Mapping[str, Any]) -> tuple[object, int | None]:
    if not is_scope(carrier):
        return carrier.get("REMOTE_ADDR", "unknown"), None
    client = carrier.get("client")
    return (client[0], client[1]) if client else (None, None)


def _decoded(path: str) -> str:
    return path.encode("latin-1", "replace").decode("utf-8", "replace")
