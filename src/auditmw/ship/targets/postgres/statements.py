"""The statements of a batch: straight into `events` when it is new, else through a temporary table; and the cursor."""

from __future__ import annotations

from psycopg import sql

from auditmw.ship.targets.postgres.columns import ROW

STAGE = (
    "CREATE TEMPORARY TABLE IF NOT EXISTS auditmw_staged ("
    + ", ".join(f'"{name}" {type_}' for name, type_ in ROW.items())
    + ") ON COMMIT DELETE ROWS"
)

COPY_STAGED = sql.SQL("COPY auditmw_staged FROM STDIN")

_NAMES = ", ".join(f'"{name}"' for name in ROW)
_WITHOUT_ID = ", ".join(f's."{name}"' for name in ROW if name != "id")


class Statements:
    """The statements for the tables of one schema."""

    def __init__(self, schema: str) -> None:
        names = {"events": sql.Identifier(schema, "events"), "cursors": sql.Identifier(schema, "cursors")}
        self.claim = sql.SQL(_CLAIM).format(**names)
        self.keep_cursor = sql.SQL(_KEEP_CURSOR).format(**names)
        self.copy = sql.SQL(_COPY).format(**names)
        self.insert = sql.SQL(_INSERT).format(**names)
        self.set_aside = sql.SQL(_SET_ASIDE).format(**names)
        self.absent = sql.SQL(_ABSENT).format(**names)
        self.counts = sql.SQL(_COUNTS).format(**names)


_CLAIM = """
    INSERT INTO {cursors} AS kept (name, epoch) VALUES (%s, 1)
    ON CONFLICT (name) DO UPDATE SET epoch = kept.epoch + 1, updated = now()
    RETURNING epoch, data
"""

_KEEP_CURSOR = """
    INSERT INTO {cursors} AS kept (name, epoch, data) VALUES (%s, %s, %s)
    ON CONFLICT (name) DO UPDATE SET epoch = excluded.epoch, data = excluded.data, updated = now()
    WHERE kept.epoch <= excluded.epoch
"""

_COPY = f"COPY {{events}} ({_NAMES}) FROM STDIN"

_INSERT = f"""
    INSERT INTO {{events}} ({_NAMES}) SELECT {_NAMES} FROM auditmw_staged
    ON CONFLICT (id) DO NOTHING
"""

# Those that are not there with their own content: another event came first with their id.
_SET_ASIDE = f"""
    INSERT INTO {{events}} (collides_with, {_NAMES})
    SELECT s.id, s.id || '~' || left(encode(sha256(convert_to(s.body, 'UTF8')), 'hex'), 16), {_WITHOUT_ID}
    FROM auditmw_staged s
    WHERE NOT EXISTS (SELECT FROM {{events}} e WHERE e.id = s.id AND e.body = s.body)
    ON CONFLICT (id) DO NOTHING
"""

_ABSENT = """
    SELECT asked.id FROM unnest(%s::text[]) AS asked (id)
    WHERE NOT EXISTS (SELECT FROM {events} e WHERE e.id = asked.id)
"""

_COUNTS = "SELECT writer, count(*) FROM {events} WHERE writer = ANY (%s) GROUP BY writer"
