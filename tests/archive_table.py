"""Events as rows of the archive, in a table of DuckDB: what a query's SQL is asked of in tests."""

import orjson

from auditmw.archive.projection import rows


def make_table(connection, events):
    """Fill the table `events`, anew, with the archive's row of each event; `seq` is its place in the list."""
    bodies = [orjson.dumps(event).decode() for event in events]
    lines = "(SELECT 'writer' AS writer, generate_subscripts(?, 1) - 1 AS seq, unnest(?) AS body)"
    connection.execute(f"CREATE OR REPLACE TABLE events AS {rows(lines, packed=False)}", [bodies, bodies])
