"""The feeds by the schemes of their URLs; loaded when a URL asks for one."""

from __future__ import annotations

from collections.abc import Callable

from auditmw.collect.feed import Feed
from auditmw.ship.address import Address, AddressError
from auditmw.ship.targets import MissingExtraError


def _nats(address: Address) -> Feed:
    from auditmw.collect.nats import open_feed

    return open_feed(address)


def _kafka(address: Address) -> Feed:
    from auditmw.collect.kafka import open_feed

    return open_feed(address)


FEEDS: dict[str, Callable[[Address], Feed]] = {"nats": _nats, "kafka": _kafka}
"""The schemes that can be collected from; each is the name of the extra that it needs, too."""


def feed_for(url: str) -> Feed:
    """Return the feed that a URL names; no I/O yet.

    Raises AddressError for a URL that is none, with the known schemes for one that is not known; MissingExtraError.
    """
    address = Address(url)
    open_feed = FEEDS.get(address.scheme)
    if open_feed is None:
        known = ", ".join(f"{scheme}:" for scheme in FEEDS)
        raise AddressError(f"expected one of {known} to collect from, not {address.scheme!r}")
    try:
        return open_feed(address)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("auditmw"):
            raise
        raise MissingExtraError(
            f"{address.scheme}: needs {error.name}, which is not installed: pip install 'auditmw[{address.scheme}]'",
            name=error.name,
        ) from error
