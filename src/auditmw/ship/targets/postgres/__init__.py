"""`postgresql://` keeps each event exactly once, as a row with columns and as the JSON that it was."""

from __future__ import annotations

from auditmw.ship.address import Address, AddressError
from auditmw.ship.target import Target
from auditmw.ship.targets.postgres.connection import settings
from auditmw.ship.targets.postgres.target import PostgresTarget


def open_target(address: Address, format: str | None) -> Target:
    """`postgresql://user:password@host:port/database?schema=auditmw&sslmode=verify-full`."""
    if format is not None:
        raise AddressError(f"{address.scheme}: has tables of its own and takes no format, so not {format!r}")
    return PostgresTarget(settings(address))
