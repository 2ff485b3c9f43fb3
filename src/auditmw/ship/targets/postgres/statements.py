"""The statements of a batch: into a temporary table, from there into `events`, and the cursor with it."""

from __future__ import annotations

from psycopg import sql

from auditmw.ship.targets.postgres.columns import COLUMNS

_NAMES = [column.name for column in COLUMNS]
_STAGED = {
    "id": "text",
    "writer": "text",
    "seq": "bigint",
    **{column.name: column.staged for column in COLUMNS},
    "body": "text",
    "repaired": "text",
}

STAGED_TYPES = list(_STAGED.values())
"""The types of a staged row, in order: id, writer, seq, COLUMNS, body, repaired."""

STAGE = (
    "CREATE TEMPORARY TABLE IF NOT EXISTS auditmw_staged ("
    + ", ".join(f'"{name}" {type_}' for name, type_ in _STAGED.items())
    + ") ON COMMIT DELETE ROWS"
)

COPY = "COPY auditmw_staged FROM STDIN (FORMAT BINARY)"

_COLUMNS = ", ".join(f'"{name}"' for name in _NAMES)
_VALUES = ", ".join(f's."{column.name}"::inet' if column.type == "inet" else f's."{column.name}"' for column in COLUMNS)


class Statements:
    """The statements for the tables of one schema."""

    def __init__(self, schema: str) -> None:
        names = {"events": sql.Identifier(schema, "events"), "cursors": sql.Identifier(schema, "cursors")}
        self.claim = sql.SQL(_CLAIM).format(**names)
        self.keep_cursor = sql.SQL(_KEEP_CURSOR).format(**names)
        self.insert = sql.SQL(_INSERT).format(**names)
        self.set_aside = sql.SQL(_SET_ASIDE).format(**names)


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

_INSERT = f"""
    INSERT INTO {{events}} (id, writer, seq, {_COLUMNS}, body, repaired)
    SELECT s.id, s.writer, s.seq, {_VALUES}, s.body, s.repaired FROM auditmw_staged s
    ON CONFLICT (id) DO NOTHING
"""

# Those that are not there with their own content: another event came first with their id.
_SET_ASIDE = f"""
    INSERT INTO {{events}} (id, collides_with, writer, seq, {_COLUMNS}, body, repaired)
    SELECT s.id || '~' || left(encode(sha256(convert_to(s.body, 'UTF8')), 'hex'), 16), s.id,
        s.writer, s.seq, {_VALUES}, s.body, s.repaired
    FROM auditmw_staged s
    WHERE NOT EXISTS (SELECT FROM {{events}} e WHERE e.id = s.id AND e.body = s.body)
    ON CONFLICT (id) DO NOTHING
"""
