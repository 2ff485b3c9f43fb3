"""The same events in an audit directory and in a table of ClickHouse, as `auditmw ship` fills it."""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path
from typing import Any

from auditmw.ship.batch import Batch
from auditmw.ship.shipper import Shipper
from auditmw.ship.targets import target_for
from auditmw.ship.targets.clickhouse.rows import row
from clickhouse_http import ClickHouseHTTP
from ship_batches import batch_of

_numbers = itertools.count(1)


def shipped(server: ClickHouseHTTP, directory: Path, **options: str) -> str:
    """Ship a directory into a table of its own; its URL."""
    url = new_url(server, **options)
    target = target_for(f"{url}&pause=0.001")
    try:
        assert Shipper(directory, target, name=url.rpartition("=")[2], shown="a table").run_once()
    finally:
        target.close()
    return url


def new_url(server: ClickHouseHTTP, **options: str) -> str:
    """The URL of a table that is not there yet."""
    return server.url(**options, table=f"asked_{next(_numbers)}")


def rows_of(*bodies: bytes, writer: str = "w", first: int = 1) -> Batch:
    """A batch of events that one writer numbered from `first`."""
    return batch_of(*bodies, writer=writer, first=first, record=partial(row, whole_seconds=False))


def send(url: str, batch: Batch) -> Any:
    """Ship one batch."""
    target = target_for(f"{url}&pause=0.001")
    try:
        return target.send(batch)
    finally:
        target.close()
