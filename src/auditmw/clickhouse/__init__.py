"""ClickHouse as a store of events that is asked as an audit directory is.

engine = auditmw.query.Engine(ClickHouse("clickhouse://reader@ch.example/audit"))
"""

from auditmw.clickhouse.connection import DatabaseError
from auditmw.clickhouse.store import ClickHouse

__all__ = ["ClickHouse", "DatabaseError"]
