"""httpx and httpx2: the trace of the request that is being served goes on to the services that it calls.

    httpx.Client(event_hooks={"request": [auditmw.contrib.httpx.hook]})
    httpx.AsyncClient(event_hooks={"request": [auditmw.contrib.httpx.async_hook]})
    httpx.Client(transport=auditmw.contrib.httpx.AuditTransport(httpx.HTTPTransport(), only=["stock.internal"]))

What the caller set itself stays; outside of a request nothing is added. The ids name a request and not its user, so any
host may see them; `only` is for those who want to keep them at home.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import auditmw

if TYPE_CHECKING:
    from httpx import AsyncBaseTransport, BaseTransport
else:  # clients ask a transport for its methods, not for its class: this serves the clients of both packages
    BaseTransport = AsyncBaseTransport = object


def hook(request: Any) -> None:
    """Request hook of a client."""
    request.headers.update(_missing(request))


async def async_hook(request: Any) -> None:
    """Request hook of an asynchronous client."""
    hook(request)


class AuditTransport(BaseTransport):
    """Transport that adds the headers to what `inner` sends, to the hosts in `only` where that is given."""

    def __init__(self, inner: BaseTransport, *, only: Iterable[str] | None = None) -> None:
        self._inner = inner
        self._hosts = _hosts(only)

    def handle_request(self, request: Any) -> Any:
        """Send the request."""
        return self._inner.handle_request(_traced(request, self._hosts))

    def __enter__(self) -> AuditTransport:
        self._inner.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._inner.__exit__(*error)

    def close(self) -> None:
        """Close the inner transport."""
        self._inner.close()


class AsyncAuditTransport(AsyncBaseTransport):
    """`AuditTransport` for asynchronous clients."""

    def __init__(self, inner: AsyncBaseTransport, *, only: Iterable[str] | None = None) -> None:
        self._inner = inner
        self._hosts = _hosts(only)

    async def handle_async_request(self, request: Any) -> Any:
        """Send the request."""
        return await self._inner.handle_async_request(_traced(request, self._hosts))

    async def __aenter__(self) -> AsyncAuditTransport:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._inner.__aexit__(*error)

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()


def _hosts(only: Iterable[str] | None) -> frozenset[str] | None:
    if isinstance(only, str):
        raise TypeError(f"expected a list of host names for only, not {only!r}; put it in a list")
    return None if only is None else frozenset(host.lower() for host in only)


def _traced(request: Any, hosts: frozenset[str] | None) -> Any:
    """The request with the headers: a copy, so that a redirect to another host does not carry them on."""
    added = _missing(request) if hosts is None or request.url.host in hosts else None
    if not added:
        return request
    headers = request.headers.copy()
    headers.update(added)
    return type(request)(
        request.method, request.url, headers=headers, stream=request.stream, extensions=request.extensions
    )


def _missing(request: Any) -> dict[str, str]:
    """The headers that the caller has not set itself; a trace of its own is left alone as a whole."""
    headers = auditmw.outgoing_headers()
    if "traceparent" in request.headers:
        headers.pop("traceparent", None)
        headers.pop("tracestate", None)
    return {name: value for name, value in headers.items() if name not in request.headers}
