"""`clickhouse://` keeps each event as a row with columns and as the JSON that it was, on one server or a cluster."""

from __future__ import annotations

import re
from typing import NamedTuple

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
    options = Options.of(address)
    servers = each_server(address, options.secure)
    address.done()
    target = ClickHouseTarget(servers, options.place, options.pause_seconds)
    target.max_events = options.max_events
    return target


class Options(NamedTuple):
    """What the options of a URL say, beside those of HTTP."""

    place: Place
    secure: bool
    max_events: int
    pause_seconds: float

    @classmethod
    def of(cls, address: Address) -> Options:
        """Take them. Raises AddressError."""
        secure = address.flag("secure", address.scheme == "clickhouses")
        table, cluster = address.text("table", "auditmw_events"), address.text("cluster", "")
        if not _NAME.fullmatch(table):
            raise AddressError(f"expected the name of a table, of letters, digits and _, not {table!r}")
        if cluster and not _CLUSTER.fullmatch(cluster):
            raise AddressError(f"expected the name of a cluster, of letters, digits, _, . and -, not {cluster!r}")
        max_events, pause_seconds = address.whole("batch", MAX_EVENTS), address.seconds("pause", 1.0)
        return cls(Place(table, cluster), secure, max_events, pause_seconds)
