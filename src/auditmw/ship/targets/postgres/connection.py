"""The way to the server: what the URL says, and a limit for how long anything may take."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg
from psycopg import Connection
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from auditmw.ship.address import Address, AddressError

_TLS_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_DEFAULT_PORT = 5432
_CONNECT_SECONDS = 10
_NAME_BYTES = 63  # of an identifier; the longest of ours in a schema is short


@dataclass(frozen=True)
class Settings:
    """What the URL says. `conninfo` is libpq's, with the password; `shown` the URL without it."""

    conninfo: str
    shown: str
    schema: str
    timeout_seconds: float
    max_events: int
    months_ahead: int


def settings(address: Address) -> Settings:
    """Take the parts and options of the URL. Raises AddressError."""
    schema = address.text("schema", "auditmw")
    if not 0 < len(schema.encode()) <= _NAME_BYTES or "\0" in schema or schema.startswith("pg_"):
        raise AddressError(f"expected the name of a schema in {address.shown}, not {schema!r}")
    found = Settings(
        conninfo=_conninfo(address),
        shown=address.shown,
        schema=schema,
        timeout_seconds=address.seconds("timeout", 30.0),
        max_events=address.whole("batch", 2_000),
        months_ahead=address.whole("ahead", 2),
    )
    address.done()
    return found


def _conninfo(address: Address) -> str:
    """Return what libpq takes; what is not said here, it takes from its environment and ~/.pgpass."""
    parameters: dict[str, str | None] = {
        "user": address.user,
        "password": address.password,
        "dbname": address.path or None,
        "host": address.text("host", ",".join(host for host, _ in address.hosts)) or None,
        "port": ",".join(str(port or _DEFAULT_PORT) for _, port in address.hosts) or None,
        "sslmode": address.choice("sslmode", "", _TLS_MODES) or None,
        "connect_timeout": str(address.whole("connect_timeout", _CONNECT_SECONDS)),
        "application_name": "auditmw",
        "client_encoding": "UTF8",
        "target_session_attrs": "read-write",  # of several servers, the one that is not a standby
        "tcp_user_timeout": "30000",
        "keepalives_idle": "30",
    }
    for option in ("sslrootcert", "sslcert", "sslkey"):
        parameters[option] = address.text(option, "") or None
    return make_conninfo(**{name: value for name, value in parameters.items() if value is not None})


def connect(found: Settings) -> Connection[TupleRow]:
    """Return a connection that commits by itself, outside of transactions. Raises psycopg.Error."""
    connection = psycopg.connect(found.conninfo, autocommit=True, prepare_threshold=None)
    try:
        with bounded(connection, found.timeout_seconds):
            connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
            # An acknowledgement is to mean durable, and large rows are to be packed fast where the server can.
            connection.execute(
                "SELECT set_config('synchronous_commit', 'on', false) "
                "WHERE current_setting('synchronous_commit') IN ('off', 'local')"
            )
            connection.execute(
                "SELECT set_config(name, 'lz4', false) FROM pg_settings "
                "WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)"
            )
            milliseconds = str(int(found.timeout_seconds * 1000))
            connection.execute("SELECT set_config('statement_timeout', %s, false)", (milliseconds,))
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def bounded(connection: Connection[TupleRow], seconds: float) -> Iterator[None]:
    """Cut the connection when the block takes longer, and raise TimeoutError.

    A server that hangs, or is stopped, keeps to no statement_timeout, and libpq has no limit of its own for answers.
    """
    duplicate = socket.socket(fileno=os.dup(connection.fileno()))
    is_late = threading.Event()
    timer = threading.Timer(seconds, _cut, (duplicate, is_late))
    timer.daemon = True
    timer.start()
    try:
        yield
    except psycopg.Error as error:
        if is_late.is_set():
            raise TimeoutError(f"no answer within {seconds:g} s") from error
        raise
    finally:
        timer.cancel()
        timer.join()
        duplicate.close()


def _cut(duplicate: socket.socket, is_late: threading.Event) -> None:
    is_late.set()
    with suppress(OSError):
        duplicate.shutdown(socket.SHUT_RDWR)
