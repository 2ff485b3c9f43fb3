"""The targets, one file each; loaded when a URL asks for one."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

from auditmw.ship.address import Address, AddressError
from auditmw.ship.target import Target


class Kind(NamedTuple):
    """A target: its module here, the extra that its packages come with ("" for none), and one line that says what."""

    module: str
    extra: str
    description: str


class MissingExtraError(ImportError):
    """A target's packages are not installed: the message names the extra that brings them."""


KINDS = {
    "stdout": Kind("stdout", "", "one record a line to standard output"),
    "file": Kind("file", "", "one record a line at the end of a file"),
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
        open_target: Callable[[Address, str | None], Target] = import_module(
            f"auditmw.ship.targets.{kind.module}"
        ).open_target
        return open_target(address, format)
    except ModuleNotFoundError as error:
        if not kind.extra or (error.name or "").startswith("auditmw"):
            raise
        raise MissingExtraError(
            f"{address.scheme}: needs {error.name}, which is not installed: pip install 'auditmw[{kind.extra}]'",
            name=error.name,
        ) from error
