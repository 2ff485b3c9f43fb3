"""Who is calling: `Identity`, what a resolver returns, and how it is made safe to write and to send.

Rules:

1. `describe` never raises: what a resolver returned may be anything.
2. The live session id never leaves this module; its keyed hash does.
3. What goes into a header is printable ASCII that no log and no proxy can misread.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import ipaddress
import os
import re
import secrets
import urllib.parse
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

TYPES = frozenset({"user", "service", "system", "anonymous", "unknown"})
MIN_KEY_BYTES = 32

_MAX_TEXT = 1_024  # the schema's limit of a short string
_MAX_HEADER_BYTES = 256  # nginx answers 502 when the header block outgrows proxy_buffer_size (4 kB)
_MAX_ROLES = 128
_MEMO_SIZE = 4_096
_SAFE = "-._~@:+=/"  # besides letters and digits, RFC 3986's unreserved and what e-mail addresses and tokens have
_PLAIN = re.compile(r"[A-Za-z0-9._~@:+=/-]{2,256}\Z")
_KEY_ID = re.compile(r"[A-Za-z0-9_]{1,16}\Z")
_TEXTS = ("name", "email", "provider", "realm", "on_behalf_of")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who makes a request. Only what is known needs to be given.

    `id`: what X-Userid carries. `session`: the live session id; written and sent as a keyed hash. `type`: ``user`` (the
    default where there is an `id`), ``service``, ``system``, ``anonymous`` or ``unknown``. `previous_session`: the
    session that this one follows, as after a login.
    """

    id: str | None = None
    session: str | None = None
    name: str | None = None
    email: str | None = None
    type: str | None = None
    authenticated: bool | None = None
    provider: str | None = None
    realm: str | None = None
    roles: Sequence[str] = ()
    on_behalf_of: str | None = None
    previous_session: str | None = None


class Actor(NamedTuple):
    """An identity made safe to write and to send."""

    actor: dict[str, Any]
    session: dict[str, str] | None
    user_header: str | None
    session_header: str | None
    pseudonymised: dict[str, str]  # JSON pointer to scheme and key id
    problems: tuple[str, ...]  # what was wrong with the resolver's value, without the value


class Pseudonyms:
    """Keyed hashes in place of values that identify: stable for a key, unlinkable without it.

    `key`: at least 32 bytes; or a mapping of key ids to keys of which `kid` names the current; or a callable that gives
    the key when it is first needed. `tenant` keeps apart what must not be joined. `user`, `session` and `ip` say what is
    hashed; ``ip="prefix"`` keeps the network (/24, /48) instead. Raises ValueError for a short key or a bad key id.
    """

    def __init__(
        self,
        key: bytes | Mapping[str, bytes] | Callable[[], bytes],
        *,
        kid: str = "k1",
        tenant: str = "",
        user: bool = False,
        session: bool = True,
        ip: Literal["none", "prefix", "hmac"] = "none",
    ) -> None:
        if not _KEY_ID.match(kid):
            raise ValueError(f"expected a key id of letters, digits and _ (at most 16), not {kid!r}")
        if ip not in ("none", "prefix", "hmac"):
            raise ValueError(f"expected ip to be 'none', 'prefix' or 'hmac', not {ip!r}")
        if isinstance(key, Mapping):
            if kid not in key:
                raise ValueError(f"expected one of the key ids {', '.join(map(repr, key))} as kid, not {kid!r}")
            key = key[kid]
        self._key = None if callable(key) else _checked(key)
        self._load = key if callable(key) else None
        self._kid = kid
        self._tenant = tenant
        self.hash_user = user
        self.hash_session = session
        self.hash_ip = ip
        self.scheme = f"hmac-sha256:{kid}"
        self._memo: dict[tuple[str, str], str] = {}

    def user(self, value: str) -> str:
        """The pseudonym of a user id."""
        return self._pseudonym("user", "u1", value)

    def session(self, value: str) -> str:
        """The pseudonym of a session id."""
        return self._pseudonym("session", "s1", value)

    def ip(self, address: str) -> str:
        """The address as `ip` says it is to be written."""
        if self.hash_ip == "hmac":
            return self._pseudonym("ip", "i1", address)
        if self.hash_ip == "prefix":
            with contextlib.suppress(ValueError):
                number = ipaddress.ip_address(address)
                return str(
                    ipaddress.ip_network((number, 24 if number.version == 4 else 48), strict=False).network_address
                )
        return address

    def _pseudonym(self, domain: str, prefix: str, value: str) -> str:
        known = self._memo.get((domain, value))
        if known is not None:
            return known
        if self._key is None:
            assert self._load is not None  # noqa: S101  # one of the two is given
            self._key = _checked(self._load())
        text = "\x1f".join(("auditmw", domain, self._tenant, value)).encode("utf-8", "surrogatepass")
        digest = hmac.digest(self._key, text, hashlib.sha256)[:16]
        pseudonym = f"{prefix}.{self._kid}.{base64.b32encode(digest).decode().rstrip('=').lower()}"
        if len(self._memo) >= _MEMO_SIZE:
            self._memo.clear()
        self._memo[domain, value] = pseudonym
        return pseudonym


def describe(identity: object, pseudonyms: Pseudonyms) -> Actor:
    """The identity as the event's ``actor`` and ``session``, and as header values; never raises."""
    if identity is None:
        return Actor({"type": "anonymous", "authenticated": False}, None, None, None, {}, ())
    if not isinstance(identity, Identity):
        return _unknown(f"expected an Identity or None, not {type(identity).__name__}")
    try:
        return _describe(identity, pseudonyms)
    except Exception as error:
        return _unknown(f"{type(error).__name__} while it was read")


def encode_header(value: str) -> str:
    """The value as a header may carry it: UTF-8, percent-encoded but for ``A-Za-z0-9-._~@:+=/``.

    A lone ``-`` is encoded too, because nginx writes it for "absent".
    """
    if _PLAIN.match(value):
        return value
    return "%2D" if value == "-" else urllib.parse.quote(value, safe=_SAFE, errors="surrogatepass")


def decode_header(value: str) -> str:
    """The value that `encode_header` encoded."""
    return urllib.parse.unquote(value, errors="surrogatepass")


def key_file(directory: str | os.PathLike[str]) -> Callable[[], bytes]:
    """A key for `Pseudonyms` that lives in ``DIR/pseudonym.key``, made at first use: 32 random bytes in hex, mode 0600.

    The callable raises OSError when the file can be neither read nor made, ValueError when it holds no key.
    """
    path = os.path.join(os.fspath(directory), "pseudonym.key")

    def load() -> bytes:
        try:
            return _read_key(path)
        except FileNotFoundError:
            _make_key(path)
            return _read_key(path)

    return load


def _describe(identity: Identity, pseudonyms: Pseudonyms) -> Actor:
    problems: list[str] = []
    hashed: dict[str, str] = {}
    actor: dict[str, Any] = {}
    user = _text(identity.id, "id", problems)
    user_header = None
    if user is not None:
        user_header = encode_header(user)
        if pseudonyms.hash_user or len(user_header) > _MAX_HEADER_BYTES:
            user = user_header = pseudonyms.user(user)
            hashed["/actor/id"] = pseudonyms.scheme
        actor["id"] = user
    kind = identity.type
    if kind is not None and kind not in TYPES:
        problems.append(f"type: expected one of {', '.join(sorted(TYPES))}")
        kind = None
    actor["type"] = kind or ("user" if user is not None else "anonymous")
    for name in _TEXTS:
        value = getattr(identity, name)
        if value is not None:
            text = _text(value, name, problems)
            if text is not None:
                actor[name] = text[:_MAX_TEXT]
    if isinstance(identity.authenticated, bool):
        actor["authenticated"] = identity.authenticated
    elif user is None and kind is None:
        actor["authenticated"] = False
    if identity.roles:
        actor["roles"] = _roles(identity.roles, problems)
    session, session_header = _session(identity, pseudonyms, hashed, problems)
    return Actor(actor, session, user_header, session_header, hashed, tuple(problems))


def _session(
    identity: Identity, pseudonyms: Pseudonyms, hashed: dict[str, str], problems: list[str]
) -> tuple[dict[str, str] | None, str | None]:
    described: dict[str, str] = {}
    for name, value in (("id", identity.session), ("previous_id", identity.previous_session)):
        text = None if value is None else _text(value, f"session {name}", problems)
        if text is not None:
            if pseudonyms.hash_session or len(encode_header(text)) > _MAX_HEADER_BYTES:
                text = pseudonyms.session(text)
                hashed[f"/session/{name}"] = pseudonyms.scheme
            described[name] = text
    header = described.get("id")
    return described or None, None if header is None else encode_header(header)


def _text(value: object, name: str, problems: list[str]) -> str | None:
    """Printable text out of an id; None when there is none."""
    if type(value) is not str:
        if value is None:
            return None
        if isinstance(value, bytes):
            try:
                value = value.decode("ascii")
            except UnicodeDecodeError:
                problems.append(f"{name}: expected text, not bytes that are not ASCII")
                return None
        elif isinstance(value, (str, int, uuid.UUID)) and not isinstance(value, bool):
            value = str(value)
        elif type(value).__str__ is object.__str__ or isinstance(
            value, (bool, float, Mapping, list, tuple, set, frozenset)
        ):
            problems.append(f"{name}: expected text, not {type(value).__name__}")
            return None
        else:
            value = str(value)  # a lazy string or an id type of a library's own
    if not value:
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        problems.append(f"{name}: not valid Unicode")
        value = value.encode("utf-8", "backslashreplace").decode()
    return value


def _roles(roles: object, problems: list[str]) -> list[str]:
    if isinstance(roles, str) or not isinstance(roles, (Sequence, set, frozenset)):
        problems.append(f"roles: expected a list of text, not {type(roles).__name__}")
        return []
    if len(roles) > _MAX_ROLES:
        problems.append(f"roles: only {_MAX_ROLES} of {len(roles)} are written")
    texts = (_text(role, "role", problems) for role in list(roles)[:_MAX_ROLES])
    return [text[:_MAX_TEXT] for text in texts if text is not None]


def _unknown(problem: str) -> Actor:
    return Actor({"type": "unknown"}, None, None, None, {}, (problem,))


def _checked(key: bytes) -> bytes:
    if not isinstance(key, bytes) or len(key) < MIN_KEY_BYTES:
        length = f"{len(key)} of them" if isinstance(key, bytes) else type(key).__name__
        raise ValueError(
            f"expected a key of at least {MIN_KEY_BYTES} bytes, not {length}; secrets.token_bytes(32) makes one"
        )
    return key


def _read_key(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        text = file.read(1_024).strip()
    try:
        return _checked(bytes.fromhex(text.decode("ascii")))
    except ValueError as error:
        raise ValueError(f"expected at least {MIN_KEY_BYTES} bytes in hex in {path!r}: {error}") from error


def _make_key(path: str) -> None:
    """Make the key file as a whole or not at all: whoever links it first decides for all processes."""
    os.makedirs(os.path.dirname(path) or ".", mode=0o750, exist_ok=True)
    draft = f"{path}.{os.getpid()}.{secrets.token_hex(4)}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(secrets.token_bytes(MIN_KEY_BYTES).hex().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)
