"""The shell of frameworks whose handlers take a request and return a response object; `contrib.django` is built on it.

Rules:

1. What the handler gives passes unchanged, but for the headers that are added to it; so do exceptions.
2. The event is written before a whole response is returned, and at the end of one that is iterated.
3. Nothing here knows a framework: its adapter tells what its request and response objects hold.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

from auditmw.asgi import ASGIAudit, in_a_thread
from auditmw.context import current_exchange, leave
from auditmw.exchange import Exchange
from auditmw.head import split_status
from auditmw.wsgi import Body, WSGIAudit

if TYPE_CHECKING:
    from contextvars import Token
    from types import TracebackType

    from auditmw.audit import Audit, Resolver


class Shell:
    """Makes every request that a framework's handler answers one event of `audit`. For adapters.

    `resolver` is asked who is calling where the audit was given none.
    """

    def __init__(self, audit: Audit, *, resolver: Resolver | None = None) -> None:
        self._wsgi = WSGIAudit(_no_app, audit, resolver=resolver)
        self._asgi = ASGIAudit(_no_app, audit, resolver=resolver)
        self._policies = {blocking: audit.policy_with(resolver, blocking=blocking) for blocking in (True, False)}

    def begin(self, carrier: dict[str, Any], *, blocking: bool) -> Served | None:
        """Begin to watch the request of a WSGI environ or an ASGI scope.

        None where a shell outside of this one does so already. `blocking`: the handler is plain, not ``async``.
        """
        is_scope = carrier.get("type") == "http"
        exchange = self._asgi.begin(carrier) if is_scope else self._wsgi.begin(carrier)
        if exchange is None:
            return None
        exchange.policy = self._policies[blocking]  # a plain handler may answer an ASGI request, and the reverse
        return Served(exchange)


class Served:
    """One request that a handler answers: enter it around the handler's call, with ``async with`` around an async one.

    Tell `start`, and then one of `end`, `stream` and `stream_async`. `refused`: the audit cannot record the request and
    was told to refuse such (`on_failure`); answer 503 without calling the handler.
    """

    __slots__ = ("_exchange", "_token", "refused")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._token: Token[Exchange | None] | None = None
        self.refused = exchange.policy.intent and not exchange.begin()

    def __enter__(self) -> None:
        self._token = current_exchange.set(self._exchange)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        commit = self._leave(error)
        if commit is not None:
            commit()

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        commit = self._leave(error)
        if commit is not None:
            await in_a_thread(commit)

    async def resolve(self) -> None:
        """Ask an async resolver who is calling; before `start`."""
        await _resolve(self._exchange)

    def start(self, status: str, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Note status line and headers of the response; returns the headers that it is to be sent with."""
        exchange = self._exchange
        try:
            exchange.status, reason = split_status(status)
            if reason is not None:
                exchange.more().reason = reason
            return exchange.answered(headers, str) + exchange.added()
        except Exception as error:
            exchange.policy.count("internal_errors", error)
            return headers

    def end(self, body_bytes: int | None = None) -> None:
        """Write the event of a response that is all there. None: its length is what Content-Length says, or unknown."""
        exchange = self._exchange
        length = exchange.promised_bytes()
        exchange.body_bytes = length if body_bytes is None else body_bytes
        exchange.complete = True
        exchange.finish()

    def stream(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The chunks, watched; their end writes the event, and so does `close`, which the server has to call."""
        return Body(self._exchange, chunks)

    def stream_async(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The chunks, watched; their end writes the event, and so does `close`, which the server has to call."""
        return _AsyncBody(self._exchange, chunks)

    def _leave(self, error: BaseException | None) -> Callable[[], object] | None:
        """Leave the request's context; returns what has yet to be done where the event was written."""
        exchange = self._exchange
        if error is not None:
            exchange.failed(error)
            exchange.finish()
        if self._token is not None:
            leave(self._token)
        if not exchange.done:
            return None
        exchange.release()
        return exchange.policy.commit


class _AsyncBody:
    """A body that is iterated asynchronously: hands over every chunk as it comes, and knows its end."""

    __slots__ = ("_exchange", "_next")

    def __init__(self, exchange: Exchange, chunks: AsyncIterator[bytes]) -> None:
        self._exchange = exchange
        self._next: Callable[[], Awaitable[bytes]] = chunks.__anext__

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        exchange = self._exchange
        token = current_exchange.set(exchange)
        try:
            chunk = await self._next()
            if exchange.account(len(chunk)):
                await self._finish()
            return chunk
        except StopAsyncIteration:
            await self._finish()
            raise
        except BaseException as error:
            exchange.failed(error)
            exchange.finish()
            raise
        finally:
            leave(token)

    def close(self) -> None:
        """Write the event where it was not; a body that was not read to its end means that the client went away."""
        exchange = self._exchange
        if not exchange.done:
            exchange.left()
            exchange.finish()
            if exchange.policy.commit is not None:
                exchange.policy.commit()
        exchange.release()
        self._next = _no_more  # what it was may refer to us: Django's does

    async def _finish(self) -> None:
        exchange = self._exchange
        if not exchange.done:
            exchange.complete = True
            await _resolve(exchange)
            exchange.finish()
            if exchange.policy.commit is not None:
                await in_a_thread(exchange.policy.commit)


async def _resolve(exchange: Exchange) -> None:
    if exchange.must_ask():
        await exchange.resolve_async()


async def _no_more() -> bytes:
    raise StopAsyncIteration


def _no_app(*arguments: Any) -> Any:
    """Stands where the shells want an application: only their `begin` is used."""
    raise NotImplementedError
