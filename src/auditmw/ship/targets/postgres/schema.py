"""The tables in PostgreSQL, made and brought up to date by the first shipper that may.

1. `schema_versions` has a row for every step that was taken; a step is taken once, in one transaction, under a lock.
2. A database whose version is newer than this auditmw's is left alone.
3. `events` is partitioned by its id, whose first digits are the time (RFC 9562 §5.7): so an id is unique over all
   months, and each month is a table (partitions.py). `first_id` says where a time begins, for queries that are to look
   at some months only.
"""

from __future__ import annotations

from psycopg import Connection, sql
from psycopg.rows import TupleRow

from auditmw.ship.target import UnusableError
from auditmw.ship.targets.postgres.columns import COLUMNS, ROW

_LOCK = 0x6175646974  # "audit": whoever changes tables holds it
OLDEST_SERVER = 13

_VERSION_1 = (
    f"""
    CREATE TABLE {{schema}}.events (
        id text COLLATE "C" PRIMARY KEY,
        {", ".join(f'"{column.name}" {column.type}' for column in COLUMNS)},
        writer text NOT NULL,
        seq bigint NOT NULL,
        collides_with text,
        stored timestamptz NOT NULL DEFAULT now(),
        body text NOT NULL,
        repaired text
    ) PARTITION BY RANGE (id)
    """,
    "CREATE TABLE {schema}.events_other PARTITION OF {schema}.events DEFAULT",
    "CREATE INDEX ON {schema}.events (time)",
    "CREATE INDEX ON {schema}.events (user_id, time) WHERE user_id IS NOT NULL",
    "CREATE INDEX ON {schema}.events (session_id) WHERE session_id IS NOT NULL",
    "CREATE INDEX ON {schema}.events (trace_id) WHERE trace_id IS NOT NULL",
    "CREATE INDEX ON {schema}.events (collides_with) WHERE collides_with IS NOT NULL",
    """
    CREATE TABLE {schema}.cursors (
        name text PRIMARY KEY,
        epoch bigint NOT NULL,
        data bytea,
        updated timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE FUNCTION {schema}.first_id(at timestamptz) RETURNS text
        LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
        AS $$
            SELECT overlay(lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') PLACING '-' FROM 9 FOR 0)
        $$
    """,
    """
    CREATE FUNCTION {schema}.fields(event {schema}.events) RETURNS jsonb
        LANGUAGE sql IMMUTABLE PARALLEL SAFE
        AS $$ SELECT coalesce(event.repaired, event.body)::jsonb $$
    """,
    """
    COMMENT ON TABLE {schema}.events IS
        'Audit events, one row each. body: the event''s JSON as it was written; fields(events): the same as jsonb. '
        'repaired: JSON that jsonb takes, where body is not that. '
        'collides_with: the id of another event that came first with the same id'
    """,
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_VERSION_1,)
"""The statements that lead from one version to the next; the version is how many of these were taken."""


def prepare(connection: Connection[TupleRow], schema: str) -> None:
    """Make the tables, or bring them up to date. Raises UnusableError for a newer version, psycopg.Error."""
    _check_server(connection)
    if _version(connection, schema) == len(MIGRATIONS):
        return
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        for version in range(_version(connection, schema), len(MIGRATIONS)):
            _take_step(connection, schema, version + 1)


def check_types(connection: Connection[TupleRow], schema: str) -> None:
    """Raise UnusableError when a column has not the type that it was made with; psycopg.Error."""
    row = connection.execute(_CHANGED, (list(ROW), list(ROW.values()), schema)).fetchone()
    if row is not None:
        name, found, wanted = row
        raise UnusableError(f"somebody has changed a column's type: expected {wanted} for {name}, not {found}")


_CHANGED = """
    SELECT wanted.name, format_type(atttypid, atttypmod), wanted.type
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace JOIN pg_attribute ON attrelid = c.oid
    JOIN unnest(%s::text[], %s::text[]) AS wanted (name, type) ON wanted.name = attname
    WHERE nspname = %s AND relname = 'events' AND atttypid <> wanted.type::regtype
    ORDER BY attnum LIMIT 1
"""


def lock_tables(connection: Connection[TupleRow]) -> None:
    """Be the only one who changes tables until the transaction ends."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))


def has_table(connection: Connection[TupleRow], schema: str, name: str) -> bool:
    """Whether there is a table; what `to_regclass` says may be older than a lock that was waited for."""
    found = connection.execute(
        "SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = %s AND relname = %s",
        (schema, name),
    )
    return found.rowcount > 0


def _check_server(connection: Connection[TupleRow]) -> None:
    if connection.info.server_version < OLDEST_SERVER * 10_000:
        found = connection.info.server_version // 10_000
        raise UnusableError(f"expected PostgreSQL {OLDEST_SERVER} or newer, not {found}")
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise UnusableError(f"expected a database with encoding UTF8, not {encoding}: create one with ENCODING 'UTF8'")


def _version(connection: Connection[TupleRow], schema: str) -> int:
    """Return the version of the tables, 0 when there are none."""
    if not has_table(connection, schema, "schema_versions"):
        return 0
    place = sql.Identifier(schema, "schema_versions")
    row = connection.execute(sql.SQL("SELECT max(version) FROM {}").format(place)).fetchone()
    version = int(row[0]) if row is not None and row[0] is not None else 0
    if version > len(MIGRATIONS):
        raise UnusableError(
            f"expected tables of version {len(MIGRATIONS)} or older in the schema {schema!r}, not {version}: a later "
            "auditmw made them. Upgrade this one; nothing is lost meanwhile, the journal keeps what is not shipped"
        )
    return version


def _take_step(connection: Connection[TupleRow], schema: str, version: int) -> None:
    if version == 1:
        _make_schema(connection, schema)
    for statement in MIGRATIONS[version - 1]:
        connection.execute(sql.SQL(statement).format(schema=sql.Identifier(schema)))
    row = sql.SQL("INSERT INTO {} (version) VALUES (%s)").format(sql.Identifier(schema, "schema_versions"))
    connection.execute(row, (version,))


def _make_schema(connection: Connection[TupleRow], schema: str) -> None:
    found = connection.execute("SELECT FROM pg_namespace WHERE nspname = %s", (schema,))
    if not found.rowcount:  # CREATE SCHEMA IF NOT EXISTS needs its privilege also where there is one
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    connection.execute(
        sql.SQL("CREATE TABLE {} (version integer PRIMARY KEY, taken timestamptz NOT NULL DEFAULT now())").format(
            sql.Identifier(schema, "schema_versions")
        )
    )
