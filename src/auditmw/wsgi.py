"""The WSGI shell (PEP 3333): wraps any WSGI callable.

Rules:

1. What the application gives passes unchanged: status, the order of its headers, the result object where it is a list
   or a file wrapper, chunk boundaries, exceptions; `close()` is called once, by the server through us.
2. The event is written before the last byte leaves: before a list is returned, before an iterator ends or hands over
   the chunk that completes Content-Length, else in `close()`.
3. `wsgi.input` is never touched.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TYPE_CHECKING, Any, ClassVar, cast

from auditmw.context import current_exchange, leave
from auditmw.exchange import Exchange, begun
from auditmw.head import HTTP_VERSIONS, port_number, split_status

if TYPE_CHECKING:
    from types import TracebackType
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from auditmw.audit import Audit, Resolver
    from auditmw.policy import Policy

    ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]

_REFUSED = b"The audit record of this request could not be written.\n"
_VERSIONS = {f"HTTP/{version}": version for version in HTTP_VERSIONS}
_WHOLE = (list, tuple)


class WSGIAudit:
    """WSGI middleware: every request to `app` becomes one event of `audit`.

    `resolver` is asked who is calling where the audit was given none.
    """

    def __init__(self, app: WSGIApplication, audit: Audit, *, resolver: Resolver | None = None) -> None:
        if not callable(app):
            raise TypeError(f"expected a WSGI application as the first argument, not {app!r}")
        if inspect.iscoroutinefunction(app):
            raise TypeError(f"expected a WSGI application as the first argument, not the async {app!r}; use ASGIAudit")
        if not hasattr(audit, "policy_with"):
            raise TypeError(f"expected an auditmw.Audit as the second argument, not {audit!r}")
        self.app = app
        self.audit = audit
        self._policy = audit.policy_with(resolver, blocking=True)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        exchange = begun(WSGIExchange, self._policy, environ)
        if exchange is None:
            return self.app(environ, start_response)
        if self._policy.intent and not exchange.begin():
            start_response(
                "503 Service Unavailable", [("Content-Type", "text/plain"), ("Content-Length", str(len(_REFUSED)))]
            )
            return [_REFUSED]
        exchange.inner = start_response
        token = current_exchange.set(exchange)
        try:
            wrapper = environ.get("wsgi.file_wrapper")
            if wrapper is not None and not isinstance(wrapper, type):  # uWSGI's is a function
                wrapper = environ["wsgi.file_wrapper"] = _FileWrapper(wrapper)
            result = self.app(environ, exchange.start_response)
            if isinstance(result, _WHOLE):
                return _whole(exchange, result)
            if wrapper is not None and _is_file(wrapper, result):
                return _file(exchange, result)
            return _SizedBody(exchange, result) if hasattr(type(result), "__len__") else Body(exchange, result)
        except BaseException as error:
            exchange.failed(error)
            _finish(exchange)
            exchange.release()
            raise
        finally:
            leave(token)

    def begin(self, environ: WSGIEnvironment) -> Exchange | None:
        """A new exchange; None where a shell outside of this one has made it already."""
        return begun(WSGIExchange, self._policy, environ)


class WSGIExchange(Exchange):
    """One request as an environ tells it, and its answer as `start_response` is told it."""

    SOURCE: ClassVar = {"kind": "middleware", "format": "wsgi"}

    __slots__ = ("inner", "write")

    inner: StartResponse  # the server's own
    write: Callable[[bytes], object]  # the server's own, once the response has started

    def read(self, policy: Policy, environ: WSGIEnvironment) -> None:
        """Read the request from the environ; may raise."""
        self.started_ns = time.perf_counter_ns()
        get = environ.get
        path = get("PATH_INFO", "")
        script = get("SCRIPT_NAME")
        if script:
            path = script + path
        raw = get("RAW_URI") or get("REQUEST_URI")
        target = None if raw is None or raw.startswith(path) else raw  # as received, where decoding changed it
        if not path.isascii():
            path = path.encode("latin-1", "replace").decode("utf-8", "surrogateescape")
        self.path = path or "/"
        self.method = get("REQUEST_METHOD") or "UNKNOWN"
        self.query = get("QUERY_STRING") or ""
        self.scheme = get("wsgi.url_scheme", "http")
        protocol = get("SERVER_PROTOCOL", "")
        self.version = _VERSIONS.get(protocol) or (None if protocol.startswith("HTTP/") else "1.1")
        self.port = port_number(get("REMOTE_PORT"))
        self.fields = (
            get("HTTP_HOST"),
            get("HTTP_USER_AGENT"),
            get("HTTP_REFERER"),
            get("CONTENT_TYPE"),
            get("CONTENT_LENGTH"),
            get("HTTP_ORIGIN"),
            get(policy.forwarded_variable),
        )
        claims = policy.claims
        named = (
            {} if environ.keys().isdisjoint(claims) else {claims[key]: environ[key] for key in claims if key in environ}
        )
        self.start(policy, environ, get("REMOTE_ADDR", "unknown"), named)  # '' is a unix socket's, under gunicorn
        if target is not None:
            self.more().target = target
        if policy.extra_variables and (
            sent := {n: environ[key] for key, n in policy.extra_variables if environ.get(key)}
        ):
            self.more().sent = sent

    @staticmethod
    def read_headers(carrier: WSGIEnvironment) -> dict[str, str]:
        """All request headers: lower-case name to value (PEP 3333, environ variables)."""
        headers = {
            key[5:].replace("_", "-").lower(): value for key, value in carrier.items() if key.startswith("HTTP_")
        }
        for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            if carrier.get(key):
                headers[key.replace("_", "-").lower()] = carrier[key]
        return headers

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], object]:
        """What the application is given in place of the server's."""
        before = self.status
        try:
            if before or exc_info is not None:
                self._replace(exc_info)
            self.status, reason = split_status(status)
            if reason is not None:
                self.more().reason = reason
            if type(headers) is not list:
                headers = list(headers)
            headers = self.answered(headers, str) + self.added()
        except Exception as error:  # a malformed header list is the server's to refuse
            self.policy.count("internal_errors", error)
            headers = self.policy.kinds.without_identity(headers)
        try:
            self.write = self.inner(status, headers) if exc_info is None else self.inner(status, headers, exc_info)
        except BaseException:
            self.status = before  # the server refused: what it sent before stays (PEP 3333, error handling)
            raise
        return self._write

    def _replace(self, exc_info: ExcInfo | None) -> None:
        if self.status:
            self.restart()
        if exc_info is not None and exc_info[1] is not None:
            self.failed(exc_info[1], handled=True)

    def _write(self, data: bytes) -> object:
        """The legacy `write` callable (PEP 3333)."""
        try:
            if self.will_complete(len(data)):
                self.account(len(data))
                _finish(self)
                return self.write(data)
            written = self.write(data)
        except OSError:  # the server could not send it
            if not self.complete:
                self.more().client_gone = True
            raise
        self.account(len(data))
        return written


class Body:
    """A result that is iterated: hands over every chunk as it comes, and knows its end."""

    __slots__ = ("_exchange", "_next", "_result")

    def __init__(self, exchange: Exchange, result: Iterable[bytes]) -> None:
        self._exchange = exchange
        self._result = result
        self._next: Callable[[], bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        exchange = self._exchange
        token = current_exchange.set(exchange)
        try:
            if self._next is None:
                self._next = iter(self._result).__next__
            chunk = self._next()
            whole = exchange.account(len(chunk) if isinstance(chunk, bytes) else 0)  # anything else the server refuses
            if whole or self._is_last():
                _finish(exchange)
            return chunk
        except StopIteration:
            exchange.complete = exchange.status != 0
            _finish(exchange)
            raise
        except BaseException as error:
            exchange.failed(error)
            _finish(exchange)
            raise
        finally:
            leave(token)

    def __del__(self) -> None:
        """A server that lets go of the body without `close` breaks PEP 3333; the request has its event all the same."""
        if not self._exchange.done:
            self._exchange.left()
            _finish(self._exchange)

    def _is_last(self) -> bool:
        return False

    def close(self) -> None:
        """Close the application's result; a body that was not read to its end means that the client went away."""
        exchange = self._exchange
        close = getattr(self._result, "close", None)
        token = current_exchange.set(exchange)
        try:
            if close is not None:
                close()
        except BaseException as error:
            exchange.failed(error)
            raise
        finally:
            if not exchange.done:
                exchange.left()
                _finish(exchange)
            exchange.release()
            self._result, self._next = (), None  # which may refer to us: Django's do
            leave(token)


class _SizedBody(Body):
    """A body that tells its number of chunks, from which servers make a Content-Length (PEP 3333)."""

    __slots__ = ("_chunks_left", "_sized")

    def __init__(self, exchange: Exchange, result: Iterable[bytes]) -> None:
        super().__init__(exchange, result)
        self._sized = cast("Sized", result)
        self._chunks_left: int | None = None

    def _is_last(self) -> bool:
        """Whether the server, which knows the number of chunks, takes the one that is handed over for the last one."""
        if self._chunks_left is None:
            self._chunks_left = len(self._sized)
        self._chunks_left -= 1
        if self._chunks_left != 0 or self._exchange.status == 0:
            return False
        self._exchange.complete = True
        return not self._exchange.done

    def __len__(self) -> int:
        return len(self._sized)


class _FileWrapper:
    """A `wsgi.file_wrapper` that is a function: remembers what it made."""

    __slots__ = ("inner", "made")

    def __init__(self, inner: Callable[..., Any]) -> None:
        self.inner = inner
        self.made: Any = None

    def __call__(self, *args: Any) -> Any:
        self.made = made = self.inner(*args)
        return made


def _is_file(wrapper: Any, result: object) -> bool:
    return result is wrapper.made if isinstance(wrapper, _FileWrapper) else isinstance(result, wrapper)


def _whole(exchange: Exchange, result: list[bytes] | tuple[bytes, ...]) -> Iterable[bytes]:
    """A list is all there: its sizes are known, and the same object goes to the server."""
    try:
        if type(result) is list or type(result).__iter__ in (list.__iter__, tuple.__iter__):
            exchange.body_bytes += len(result[0]) if len(result) == 1 else sum(map(len, result))  # type: ignore[operator]
        else:  # one of its own may work only once
            exchange.body_bytes = None
    except Exception:
        exchange.body_bytes = None  # not bytes: the server's to refuse
    exchange.complete = exchange.status != 0
    _finish(exchange)
    exchange.release()
    return result


def _file(exchange: Exchange, result: Iterable[bytes]) -> Iterable[bytes]:
    """A file goes to the server untouched, for sendfile; how much of it was sent only Content-Length can tell."""
    exchange.body_bytes = exchange.promised_bytes()
    exchange.complete = exchange.status != 0
    _finish(exchange)
    exchange.release()
    return result


def _finish(exchange: Exchange) -> None:
    if exchange.done:
        return
    exchange.finish()
    if exchange.policy.commit is not None:
        exchange.policy.commit()
