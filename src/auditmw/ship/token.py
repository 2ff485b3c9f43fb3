"""A token that says who we are, from a URL or from a file."""

from __future__ import annotations

from auditmw.ship.address import Address, AddressError
from auditmw.ship.target import UnusableError


class Token:
    """Takes the options `token` and `token_file` of a URL. Raises AddressError for both, or with a user."""

    def __init__(self, address: Address) -> None:
        self._text, self._file = address.text("token", ""), address.text("token_file", "")
        if sum(map(bool, (self._text, self._file, address.user))) > 1:
            raise AddressError(f"expected one of user:password@, token and token_file in {address.shown}, not several")

    def read(self) -> str:
        """Return the token, "" for none; a file is read anew each time. Raises UnusableError."""
        token = self._text
        if self._file:
            try:
                with open(self._file, encoding="ascii") as file:
                    token = file.read().strip()
            except (OSError, UnicodeDecodeError) as error:
                raise UnusableError(f"cannot read the token in {self._file}: {error}") from error
        if not token.isascii() or not token.isprintable():
            raise UnusableError("expected a token of printable ASCII characters")
        return token
