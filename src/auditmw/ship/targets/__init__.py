"""The targets, one file each; loaded when a URL asks for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from auditmw.ship.address import Address, AddressError
from auditmw.ship.target import Target

Open = Callable[[Address, str | None], Target]
"""Makes a target from its URL and the name of a format; no I/O yet."""


class Kind(NamedTuple):
    """A target: loads its module, the extra that its packages come with ("" for none), and one line that says what."""

    load: Callable[[], Open]
    extra: str
    description: str


class MissingExtraError(ImportError):
    """A target's packages are not installed: the message names the extra that brings them."""


def _stdout() -> Open:
    from auditmw.ship.targets.stdout import open_target

    return open_target


def _file() -> Open:
    from auditmw.ship.targets.file import open_target

    return open_target


def _nats() -> Open:
    from auditmw.ship.targets.nats import open_target

    return open_target


def _kafka() -> Open:
    from auditmw.ship.targets.kafka import open_target

    return open_target


def _postgres() -> Open:
    from auditmw.ship.targets.postgres import open_target

    return open_target


KINDS = {
    "stdout": Kind(_stdout, "", "one record a line to standard output"),
    "file": Kind(_file, "", "one record a line at the end of a file"),
    "postgresql": Kind(_postgres, "postgres", "one row an event to PostgreSQL, exactly once"),
    "nats": Kind(_nats, "nats", "one event a message to a stream of NATS JetStream"),
    "kafka": Kind(_kafka, "kafka", "one event a message to a topic of Apache Kafka"),
}
"""The schemes that `--to` takes."""


def target_for(url: str, format: str | None = None) -> Target:
    """Return the target that a URL names; no I/O yet. `format`: a name that `record_format` takes.

    Raises AddressError for a URL that is none, with the known schemes for one that is not known; FormatError;
    MissingExtraError.
    """
    address = Address(url)
    kind = KINDS.get(address.scheme)
    if kind is None:
        known = ", ".join(f"{scheme}:" for scheme in KINDS)
        raise AddressError(f"expected one of {known} as the scheme of a target, not {address.scheme!r}")
    try:
        open_target = kind.load()
    except ModuleNotFoundError as error:
        if not kind.extra or (error.name or "").startswith("auditmw"):
            raise
        raise MissingExtraError(
            f"{address.scheme}: needs {error.name}, which is not installed: pip install 'auditmw[{kind.extra}]'",
            name=error.name,
        ) from error
    return open_target(address, format)
