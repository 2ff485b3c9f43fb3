"""What header fields mean to an audit event: which ones matter, and what their values say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import quote

from auditmw.caching import OWN_FIELDS

HTTP_VERSIONS = frozenset({"0.9", "1.0", "1.1", "2", "2.0", "3", "3.0"})
OTHER, USER, SESSION, REQUEST_ID, CONTENT_TYPE, CONTENT_LENGTH, CACHING, CAPTURED = range(8)

_MEMO_SIZE = 4_096
_REASONS = {str(status.value): status.phrase for status in HTTPStatus}
_PATH_SAFE = " /:@!$&'()*+,;=~-._%?#[]|^`{}<>\"\\"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}\Z")
_PORT = re.compile(r":([0-9]{1,5})\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseHeaders:
    """The headers that auditmw adds to responses.

    `user`, `session`, `request_id`: their names. `identify_to`: who gets the first two: ``trusted`` peers, ``always``
    everybody, or ``never`` anybody. `server_timing`: tell the client its trace (W3C Trace Context level 2).

    Raises ValueError for what is no header name (RFC 9110 §5.1) and for an unknown `identify_to`.
    """

    user: str = "X-Userid"
    session: str = "X-Sessionid"
    request_id: str = "X-Request-ID"
    identify_to: Literal["trusted", "always", "never"] = "trusted"
    server_timing: bool = False

    def __post_init__(self) -> None:
        for name in (self.user, self.session, self.request_id):
            header_name(name)
        if self.identify_to not in ("trusted", "always", "never"):
            raise ValueError(f"expected identify_to to be 'trusted', 'always' or 'never', not {self.identify_to!r}")


class HeaderKinds(dict[str | bytes, int]):
    """Response header name, as the application spells it, to what it is; names are learnt once and looked up after.

    ``_`` and ``-`` are the same in the identity headers, because several servers and proxies take one for the other.
    """

    def __init__(self, headers: ResponseHeaders, captured: Iterable[str]) -> None:
        super().__init__()
        self._known = (
            {name.lower(): CAPTURED for name in captured}
            | dict.fromkeys(OWN_FIELDS, CACHING)
            | {
                "content-type": CONTENT_TYPE,
                "content-length": CONTENT_LENGTH,
                "cache-control": CACHING,
                headers.request_id.lower(): REQUEST_ID,
                headers.user.lower().replace("_", "-"): USER,
                headers.session.lower().replace("_", "-"): SESSION,
            }
        )

    def __missing__(self, name: str | bytes) -> int:
        text = (name.decode("latin-1") if isinstance(name, bytes) else str(name)).strip().lower()
        kind = self._known.get(text, OTHER)
        if kind == OTHER and self._known.get(text.replace("_", "-")) in (USER, SESSION):
            kind = self._known[text.replace("_", "-")]
        if len(self) < _MEMO_SIZE:
            self[name] = kind
        return kind

    def without_identity(self, headers: Any) -> Any:
        """The headers as they came, but for those that would tell everybody who is calling."""
        try:
            return [header for header in headers if self[header[0]] not in (USER, SESSION)]
        except Exception:
            return headers  # not even a list of pairs: the server refuses it


def header_name(name: str) -> str:
    """The name in lower case; ValueError when it is none (RFC 9110 §5.1)."""
    if not isinstance(name, str) or not _NAME.match(name):
        raise ValueError(f"expected the name of a header, not {name!r}; see RFC 9110 section 5.1")
    return name.lower()


def cgi_name(name: str) -> str:
    """A request header's name among CGI's variables (RFC 3875 §4.1), as WSGI has it."""
    variable = name.upper().replace("-", "_")
    return variable if variable in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{variable}"


def port_number(value: object) -> int | None:
    """A port out of whatever a server gives: an integer, or text."""
    if type(value) is not int:
        text = str(value)
        if len(text) > 5 or not text.isdecimal():
            return None
        value = int(text)
    return value if 0 <= value < 65_536 else None


@lru_cache(maxsize=_MEMO_SIZE)
def split_host(value: str) -> tuple[str, int | None]:
    """A Host header's name and port (RFC 9110 §7.2); brackets of an IPv6 address are taken off."""
    port = _PORT.search(value)
    name = value[: port.start()] if port else value
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    elif ":" in name:  # an IPv6 address without brackets has no port
        return value.lower()[:255], None
    number = int(port[1]) if port else None
    return name.lower()[:255], number if number is None or number <= 65_535 else None


@lru_cache(maxsize=1_024)
def split_status(line: str) -> tuple[int, str | None]:
    """Code and reason of a WSGI status line (PEP 3333); the reason only where it is not the registered one."""
    code, _, reason = str(line).partition(" ")
    if not (code.isascii() and code.isdigit() and len(code) <= 3):
        return 0, str(line)[:128]
    return int(code), reason[:128] if reason and reason != _REASONS.get(code) else None


def safe_path(path: str) -> str:
    """A path as printable ASCII: whatever else is in it is percent-encoded (RFC 3986 §2.1), so that no log is forged.

    `path` is decoded text; bytes that are not UTF-8 come as surrogates, or as latin-1 text re-encoded by the shell.
    """
    if path.isascii() and path.isprintable():
        return path
    return quote(
        path.encode("utf-8", "surrogateescape" if _only_escapes(path) else "backslashreplace"), safe=_PATH_SAFE
    )


def _only_escapes(path: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" and not "\udc80" <= c <= "\udcff" for c in path)
