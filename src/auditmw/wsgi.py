"""The WSGI shell (PEP 3333): wraps any WSGI callable.

Rules:

1. What the application gives passes unchanged: status, the order of its headers, the result object where it is a list
   or a file wrapper, chunk boundaries, exceptions; `close()` is called once, by the server through us.
2. The event is written before the last byte leaves: before a list is returned, before an iterator ends or hands over
   the chunk that completes Content-Length, else in `close()`.
3. `wsgi.input` is never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from auditmw.context import current_exchange
from auditmw.exchange import Exchange
from auditmw.head import split_status

if TYPE_CHECKING:
    from types import TracebackType
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from auditmw.audit import Audit

    ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]

_KEY = "auditmw.policy"  # in the environ: who records this request already
_REFUSED = b"The audit record of this request could not be written.\n"


def read_headers(environ: WSGIEnvironment) -> dict[str, str]:
    """All request headers: lower-case name to value (PEP 3333, environ variables)."""
    headers = {key[5:].replace("_", "-").lower(): value for key, value in environ.items() if key.startswith("HTTP_")}
    for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(key):
            headers[key.replace("_", "-").lower()] = environ[key]
    return headers


class WSGIAudit:
    """WSGI middleware: every request to `app` becomes one event of `audit`."""

    def __init__(self, app: WSGIApplication, audit: Audit) -> None:
        if not callable(app):
            raise TypeError(f"expected a WSGI application as the first argument, not {app!r}")
        self.app = app
        self.audit = audit
        self._policy = policy = audit.blocking_policy
        self._names = tuple(
            (
                name.upper().replace("-", "_")
                if name.startswith("content-")
                else f"HTTP_{name.upper().replace('-', '_')}",
                name,
            )
            for name in policy.request_names
        )

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        policy = self._policy
        if environ.get(_KEY) is policy:  # wrapped twice: one event
            return self.app(environ, start_response)
        try:
            exchange = self._begin(environ)
            environ[_KEY] = policy
        except Exception as error:  # never break the app
            policy.count("lost", error)
            return self.app(environ, start_response)
        if policy.intent and not exchange.begin():
            start_response(
                "503 Service Unavailable", [("Content-Type", "text/plain"), ("Content-Length", str(len(_REFUSED)))]
            )
            return [_REFUSED]
        start = _StartResponse(exchange, start_response)
        token = current_exchange.set(exchange)
        try:
            wrapper = environ.get("wsgi.file_wrapper")
            if wrapper is not None and not isinstance(
                wrapper, type
            ):  # uWSGI: a function whose result has no type of its own
                wrapper = environ["wsgi.file_wrapper"] = _FileWrapper(wrapper)
            result = self.app(environ, start)
            if type(result) is list or type(result) is tuple or isinstance(result, (list, tuple)):
                return _whole(exchange, start, result)
            if wrapper is not None and _is_file(wrapper, result):
                return _file(exchange, result)
            return _SizedBody(exchange, start, result) if hasattr(result, "__len__") else _Body(exchange, start, result)
        except BaseException as error:
            exchange.failed(error)
            _finish(exchange)
            raise
        finally:
            current_exchange.reset(token)

    def _begin(self, environ: WSGIEnvironment) -> Exchange:
        get = environ.get
        found = {}
        for key, name in self._names:
            value = get(key)
            if value is not None:
                found[name] = value
        script, port, protocol = get("SCRIPT_NAME"), get("REMOTE_PORT"), get("SERVER_PROTOCOL", "")
        path = get("PATH_INFO", "")
        if script:
            path = script + path
        if not path.isascii():
            path = path.encode("latin-1", "replace").decode("utf-8", "surrogateescape")
        query = get("QUERY_STRING") or ""
        exchange = Exchange(
            self._policy,
            "wsgi",
            environ,
            read_headers,
            found,
            get("REQUEST_METHOD") or "UNKNOWN",
            path or "/",
            query,
            get("wsgi.url_scheme", "http"),
            protocol[5:] if protocol.startswith("HTTP/") else "1.1",
            get("REMOTE_ADDR"),
            int(port) if port and port.isascii() and port.isdigit() else None,
        )
        raw = get("RAW_URI") or get("REQUEST_URI")
        if raw and raw != path and raw != (f"{path}?{query}" if query else path):
            exchange.target = raw
        return exchange


class _StartResponse:
    """`start_response`, watched."""

    __slots__ = ("exchange", "inner", "remaining", "write")

    def __init__(self, exchange: Exchange, inner: StartResponse) -> None:
        self.exchange = exchange
        self.inner = inner
        self.write: Callable[[bytes], object] | None = None
        self.remaining = -1  # bytes that Content-Length still promises; below 0: no promise

    def __call__(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], object]:
        exchange = self.exchange
        before = exchange.status
        try:
            answered = self._note(status, headers, exc_info)
        except Exception as error:  # a malformed header list is the server's to refuse
            exchange.policy.count("internal_errors", error)
            answered = headers
        try:
            self.write = self.inner(status, answered, *((exc_info,) if exc_info is not None else ()))
        except BaseException:
            exchange.status = before  # the server refused: what it sent before stays (PEP 3333, error handling)
            raise
        return self._write

    def _note(self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None) -> list[tuple[str, str]]:
        exchange = self.exchange
        if exchange.status:
            exchange.restart()
        if exc_info is not None and exc_info[1] is not None:
            exchange.failed(exc_info[1], handled=True)
        exchange.status, exchange.reason = split_status(status)
        kinds = exchange.policy.kinds
        passed = [
            header
            for header in headers
            if not (kind := kinds[header[0]]) or exchange.response_header(kind, header[0], header[1])
        ]
        passed += exchange.response_started()
        length = exchange.content_length
        self.remaining = int(length) if length is not None and length.isascii() and length.isdigit() else -1
        return passed

    def _write(self, data: bytes) -> object:
        """The legacy `write` callable (PEP 3333)."""
        exchange = self.exchange
        if exchange.body_bytes is not None:
            exchange.body_bytes += len(data)
        self.remaining -= len(data)
        return self.write(data) if self.write is not None else None


class _Body:
    """A result that is iterated: hands over every chunk as it comes, and knows its end."""

    __slots__ = ("_exchange", "_iterator", "_next", "_result", "_start")

    def __init__(self, exchange: Exchange, start: _StartResponse, result: Iterable[bytes]) -> None:
        self._exchange = exchange
        self._start = start
        self._result = result
        self._next: Callable[[], bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        exchange, start = self._exchange, self._start
        token = current_exchange.set(exchange)
        try:
            if self._next is None:
                self._next = iter(self._result).__next__
            chunk = self._next()
            size = len(chunk) if isinstance(chunk, bytes) else 0  # anything else is the server's to refuse
            exchange.body_bytes += size  # type: ignore[operator]
            if start.remaining > 0:
                start.remaining -= size
                if start.remaining <= 0:
                    exchange.complete = True
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
            current_exchange.reset(token)

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
                exchange.complete = self._start.remaining == 0 or exchange.has_no_body()
                exchange.client_gone = not exchange.complete
                _finish(exchange)
            current_exchange.reset(token)


class _SizedBody(_Body):
    """A body that tells its number of chunks, from which servers make a Content-Length (PEP 3333)."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self._result)


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


def _whole(exchange: Exchange, start: _StartResponse, result: Iterable[bytes]) -> Iterable[bytes]:
    """A list is all there: its sizes are known, and the same object goes to the server."""
    try:
        exchange.body_bytes += sum(map(len, result))  # type: ignore[operator]
    except Exception:
        exchange.body_bytes = None  # not bytes: the server's to refuse
    exchange.complete = start.exchange.status != 0
    _finish(exchange)
    return result


def _file(exchange: Exchange, result: Iterable[bytes]) -> Iterable[bytes]:
    """A file goes to the server untouched, for sendfile; how much of it was sent only Content-Length can tell."""
    length = exchange.content_length
    exchange.body_bytes = int(length) if length is not None and length.isascii() and length.isdigit() else None
    exchange.complete = exchange.status != 0
    _finish(exchange)
    return result


def _finish(exchange: Exchange) -> None:
    if exchange.done:
        return
    exchange.finish()
    if exchange.policy.commit is not None:
        exchange.policy.commit()
