"""A connection that asks: statements with their values, limits, and an end from another thread.

1. What a statement is to be run with stands in its SETTINGS clause, as some servers pass over settings in the URL of a
   request with a form (https://github.com/ClickHouse/ClickHouse/pull/85570); but for the limits of its own length.
2. Values go in the URL while that is short, and else in a form (https://github.com/ClickHouse/ClickHouse/pull/40055),
   which has no room for a long statement.
3. The server buffers an answer until it is whole (`wait_end_of_query`), so that an error has a status of its own.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import urlencode

from auditmw.clickhouse.values import FORMAT, FORMAT_SETTINGS, Row, rows, typed
from auditmw.query.store import OutOfMemoryError, StatementInterruptedError, StoreError
from auditmw.ship.address import Address
from auditmw.ship.http_client import Answer, AnswerTooLongError, Bounds
from auditmw.ship.target import ShipError
from auditmw.ship.targets.clickhouse import Options
from auditmw.ship.targets.clickhouse.errors import CODE_HEADER, code_of, problem
from auditmw.ship.targets.clickhouse.server import Server

ANSWER_BYTES = 256 * 1024 * 1024
GRACE_SECONDS = 5.0
"""How much longer than the server may take for a statement its answer is waited for."""

_TEXT = "text/plain; charset=utf-8"
_URL_BYTES = 6_000  # of parameters; servers and proxies take 8 KiB and more
_FIELD_CHARACTERS = 100_000  # of a statement in a form; `http_max_field_value_size` is 128 KiB
_BEFORE_PARSING = frozenset(("max_query_size", "max_ast_elements", "max_expanded_ast_elements"))
_LEAST_SECONDS = 0.05  # 0 would be no limit
_KILL_SECONDS = 5.0

_INTERRUPTED = {"TIMEOUT_EXCEEDED": 159, "TOO_SLOW": 160, "QUERY_WAS_CANCELLED": 394}
_OUT_OF_MEMORY = {"CANNOT_ALLOCATE_MEMORY": 173, "MEMORY_LIMIT_EXCEEDED": 241, "MEMORY_RESERVATION_FAILED": 778}
_READ_ONLY = 164

_AT_THE_DOOR = {
    "default_format": FORMAT,
    "wait_end_of_query": "1",
    "cancel_http_readonly_queries_on_client_close": "1",
}
_SETTINGS: dict[str, object] = {
    **FORMAT_SETTINGS,
    "session_timezone": "UTC",
    # A key never spans two partitions, as it begins with the time by which they are cut.
    "do_not_merge_across_partitions_select_final": 1,
    # Rows with one key are one event: what an index says of one of them holds for all.
    "use_skip_indexes_if_final": 1,
    "distributed_product_mode": "global",
    "timeout_overflow_mode": "throw",
    "timeout_before_checking_execution_speed": 0,  # else it may give up because it thinks that it will be too slow
}


class DatabaseError(StoreError, OSError):
    """The database does not answer: unreachable, refused, too old, without our tables. The text has no secret."""


class Connection:
    """Asks one server, for one thread at a time; any other may `interrupt`. Constructing it does no I/O.

    `settings`: those of the dialect, and the limit of memory. Raises AddressError for a URL that cannot be one.
    """

    def __init__(self, url: str, settings: Mapping[str, object]) -> None:
        self._url = url
        self.server = server_of(url)
        self._lengths = {name: str(value) for name, value in settings.items() if name in _BEFORE_PARSING}
        self._settings = {**_SETTINGS, **{name: value for name, value in settings.items() if name not in self._lengths}}
        self._lock = threading.Lock()
        self._query_id: str | None = None
        self._interrupted = False

    def run(self, sql: str, parameters: Mapping[str, object], *, seconds: float) -> list[Row]:
        """Return the rows of a statement, which names its values as `$name`. Raises as `StoreView.run` does."""
        text, values = typed(sql, parameters)
        limits = {"max_execution_time": round(max(seconds, _LEAST_SECONDS), 3)}
        text = (
            f"{text} SETTINGS {', '.join(f'{name} = {_value(v)}' for name, v in {**self._settings, **limits}.items())}"
        )
        query_id = f"auditmw-{uuid.uuid4()}"
        began = time.monotonic()
        self._begin(query_id)
        try:
            answer = self._posted(query_id, text, values, Bounds(seconds + GRACE_SECONDS, ANSWER_BYTES))
        except ShipError as error:
            if self._interrupted or time.monotonic() - began >= seconds:
                raise StatementInterruptedError(error.reason) from error
            if isinstance(error.__cause__, AnswerTooLongError):
                raise OutOfMemoryError(error.reason) from error
            raise DatabaseError(error.reason) from error
        finally:
            self._end()
        if not answer.is_success or CODE_HEADER in answer.headers:
            raise self._refusal(answer)
        try:
            return rows(answer.body)
        except ValueError as error:
            raise DatabaseError(f"{self.server.shown} does not answer as ClickHouse does: {error}") from error

    def interrupt(self) -> None:
        """End the statement that runs, from another thread: nobody waits for it any more, and the server is told."""
        with self._lock:
            query_id = self._query_id
            if query_id is None:
                return
            is_first, self._interrupted = not self._interrupted, True  # before who waits sees why it waits no longer
            self.server.abort()
        if is_first:
            name = "auditmw-clickhouse-kill"
            threading.Thread(target=_kill, args=(self._url, query_id), name=name, daemon=True).start()

    def close(self) -> None:
        """Close the connection; the next statement opens another one."""
        self.server.close()

    def _begin(self, query_id: str) -> None:
        with self._lock:
            self._query_id, self._interrupted = query_id, False

    def _end(self) -> None:
        with self._lock:
            self._query_id = None

    def _posted(self, query_id: str, text: str, values: Mapping[str, str], bounds: Bounds) -> Answer:
        parameters = {**_AT_THE_DOOR, **self._lengths, "query_id": query_id}
        named = {f"param_{name}": value for name, value in values.items()}
        if len(urlencode(named)) <= _URL_BYTES or len(text) > _FIELD_CHARACTERS:
            return self.server.ask({**parameters, **named}, text.encode(), _TEXT, bounds)
        content_type, body = form({"query": text, **named})
        return self.server.ask(parameters, body, content_type, bounds)

    def _refusal(self, answer: Answer) -> StoreError:
        code = code_of(answer)
        reason = problem(self.server.shown, answer).reason
        if code in _INTERRUPTED.values():
            return StatementInterruptedError(reason)
        if code in _OUT_OF_MEMORY.values():
            return OutOfMemoryError(reason)
        if code == _READ_ONLY:
            reason += "; the user needs a profile in which limits may be set (readonly = 2, or 0)"
        return DatabaseError(reason)


def server_of(url: str) -> Server:
    """Return the server of a URL, as shipping has it. Raises AddressError."""
    address = Address(url)
    options = Options.of(address)
    address.flag("gzip", False)  # is about what is shipped
    server = Server(address, options.secure)
    address.done()
    return server


def form(fields: Mapping[str, str]) -> tuple[str, bytes]:
    """Return the type and the body of a form (RFC 7578). Names are ours, so that none needs to be escaped."""
    boundary = uuid.uuid4().hex
    parts = [
        b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
        % (boundary.encode(), name.encode(), value.encode("utf-8", "replace"))
        for name, value in fields.items()
    ]
    return f"multipart/form-data; boundary={boundary}", b"".join(parts) + b"--%b--\r\n" % boundary.encode()


def _kill(url: str, query_id: str) -> None:
    """Tell the server to end a statement. Where that fails, its own limit of time ends it."""
    server = server_of(url)
    statement = f"KILL QUERY WHERE query_id = '{query_id}' ASYNC".encode()
    try:
        with suppress(ShipError):
            server.ask({}, statement, _TEXT, Bounds(_KILL_SECONDS))
    finally:
        server.close()


def _value(value: object) -> str:
    """Return a setting's value as SQL has it."""
    text = str(int(value) if isinstance(value, bool) else value)
    return text if isinstance(value, int | float) else f"'{text}'"
