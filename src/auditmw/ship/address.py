"""A target's URL: `scheme://user:password@host:port,host:port/path?option=value`."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from typing import TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

_T = TypeVar("_T")

_UNSAFE = re.compile(r"[^A-Za-z0-9._]+")
_SECRET = re.compile(r"pass|secret|token|key$|credential|auth", re.IGNORECASE)
_ALIASES = {"postgres": "postgresql"}  # libpq takes both (PostgreSQL manual, "Connection URIs")
_HIDDEN = "***"
_OF_CLICKHOUSE = ("clickhouse", "clickhouses")
_TOKENS = {"token", "token_file"}
_WORDS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


class AddressError(ValueError):
    """A URL that does not say where to: the message says what was expected."""


class Address:
    """A target's URL in its parts.

    `scheme` (an alias is taken for what it stands for, so both name one target), `user`, `password` (of ClickHouse also
    from CLICKHOUSE_USER and CLICKHOUSE_PASSWORD; PGPASSWORD and ~/.pgpass are read by libpq itself), `hosts` (pairs
    of a name and a port, or None), `path` (without its first slash). Options are taken by name with `text`, `whole`,
    `seconds`, `flag`, `choice`; `done` refuses those that nobody took.
    `shown`: the URL without secrets. `name`: what the target's folder is called.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if not parts.scheme or not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", url):
            raise AddressError(f"expected a URL such as postgresql://host/database, not {_without_secrets(url)!r}")
        written = parts.scheme.lower()
        self.scheme = _ALIASES.get(written, written)
        self.url = url if self.scheme == written else self.scheme + url[len(written) :]
        credentials, _, places = parts.netloc.rpartition("@")
        user, _, password = credentials.partition(":")
        self.user, self.password = unquote(user) or None, unquote(password) or None
        self.hosts = [_host(place, self) for place in places.split(",") if place]
        self.path = unquote(parts.path.removeprefix("/"))
        pairs = parse_qsl(parts.query.replace("+", "%2B"), keep_blank_values=True)  # a plus is one: no form wrote this
        self.options = dict(pairs)
        if self.scheme in _OF_CLICKHOUSE and not _TOKENS & self.options.keys():
            self._complete_as_clickhouse_client()
        self._left = dict(pairs)
        self._known: list[str] = []

    @property
    def host(self) -> str:
        """The first host; "localhost" when there is none."""
        return self.hosts[0][0] if self.hosts else "localhost"

    @property
    def port(self) -> int | None:
        """The first host's port."""
        return self.hosts[0][1] if self.hosts else None

    @property
    def shown(self) -> str:
        """The URL as it may be shown: `***` in place of the password, and of options that are called like secrets."""
        return _without_secrets(self.url)

    @property
    def name(self) -> str:
        """A name for the target's folder: readable, and the same as long as the URL is, with a password or without."""
        places = "-".join(f"{host}-{port}" if port else host for host, port in self.hosts)
        readable = _UNSAFE.sub("-", f"{self.scheme}-{places}-{self.path}").strip("-.")[:60].rstrip("-.")
        without_password = self.shown.replace(f":{_HIDDEN}@", "@", 1)
        return f"{readable}-{hashlib.sha256(without_password.encode()).hexdigest()[:8]}"

    def _complete_as_clickhouse_client(self) -> None:
        """Take who we are from the environment, as far as the URL does not say so, and the user that is the default.

        As clickhouse-client has it (https://github.com/ClickHouse/ClickHouse/pull/48440).
        """
        self.user = self.user or os.environ.get("CLICKHOUSE_USER") or None
        self.password = self.password or os.environ.get("CLICKHOUSE_PASSWORD") or None
        if self.password and not self.user:
            self.user = "default"

    def text(self, option: str, default: str) -> str:
        """Take an option as it is."""
        return self._take(option, default, str, "a text")

    def whole(self, option: str, default: int) -> int:
        """Take an option that is a whole number above 0."""
        return self._take(option, default, _positive(int), "a whole number above 0")

    def seconds(self, option: str, default: float) -> float:
        """Take an option that is a number of seconds above 0."""
        return self._take(option, default, _positive(float), "a number of seconds above 0")

    def flag(self, option: str, default: bool) -> bool:
        """Take an option that is yes or no."""
        return self._take(option, default, lambda text: _WORDS[text.lower()], "yes or no")

    def choice(self, option: str, default: str, known: Sequence[str]) -> str:
        """Take an option that is one of the known."""
        return self._take(option, default, lambda text: known[known.index(text)], f"one of {', '.join(known)}")

    def done(self) -> None:
        """Raise AddressError for options that nobody took."""
        if self._left:
            known = ", ".join(sorted(set(self._known))) or "none"
            raise AddressError(f"{self.scheme}:// has no option {next(iter(self._left))!r}; it has: {known}")

    def _take(self, option: str, default: _T, convert: Callable[[str], _T], expected: str) -> _T:
        self._known.append(option)
        given = self._left.pop(option, None)
        if given is None:
            return default
        try:
            return convert(given)
        except (ValueError, KeyError):
            raise AddressError(f"expected {expected} for {option} in {self.shown}, not {given!r}") from None


def _positive(convert: Callable[[str], _T]) -> Callable[[str], _T]:
    def converted(text: str) -> _T:
        number = convert(text)
        if not 0 < float(str(number)) < float("inf"):
            raise ValueError(text)
        return number

    return converted


def _host(place: str, address: Address) -> tuple[str, int | None]:
    host, colon, port = place.rpartition(":")
    if not colon or place.endswith("]"):
        return place.strip("[]"), None
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise AddressError(f"expected a port from 1 to 65535 in {address.shown}, not {port!r}")
    return host.strip("[]"), int(port)


def _without_secrets(url: str) -> str:
    """Return a URL, or what was given for one, without what must not be shown."""
    url = re.sub(r"(//[^/?#@:]*):[^/?#]*@", rf"\1:{_HIDDEN}@", url)
    return re.sub(r"([?&])([^=&#]*)=([^&#]*)", _without_secret, url)


def _without_secret(match: re.Match[str]) -> str:
    return f"{match[1]}{match[2]}={_HIDDEN}" if _SECRET.search(match[2]) else match[0]
