"""`clickhouse://` keeps each event as a row with columns and as the JSON that it was, on one server or a cluster."""

from __future__ import annotations

import re

from auditmw.ship.address import Address, AddressError
from auditmw.ship.target import Target
from auditmw.ship.targets.clickhouse.schema import Place
from auditmw.ship.targets.clickhouse.server import each_server
from auditmw.ship.targets.clickhouse.target import MAX_EVENTS, ClickHouseTarget

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_CLUSTER = re.compile(r"[A-Za-z0-9_.-]{1,100}")


def open_target(address: Address, format: str | None) -> Target:
    """`clickhouse://user:password@host:port,host:port/database?table=auditmw_events&cluster=NAME&secure=yes`."""
    if format is not None:
        raise AddressError(f"{address.scheme}: has tables of its own and takes no format, so not {format!r}")
    secure = address.flag("secure", address.scheme == "clickhouses")
    table, cluster = address.text("table", "auditmw_events"), address.text("cluster", "")
    max_events = address.whole("batch", MAX_EVENTS)
    pause_seconds = address.seconds("pause", 1.0)
    if not _NAME.fullmatch(table):
        raise AddressError(f"expected the name of a table, of letters, digits and _, not {table!r}")
    if cluster and not _CLUSTER.fullmatch(cluster):
        raise AddressError(f"expected the name of a cluster, of letters, digits, _, . and -, not {cluster!r}")
    servers = each_server(address, secure)
    address.done()
    target = ClickHouseTarget(servers, Place(table, cluster), pause_seconds)
    target.max_events = max_events
    return target
