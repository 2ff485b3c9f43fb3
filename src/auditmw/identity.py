"""Who is calling: `Identity`, what a resolver returns, and how it is made safe to write and to send.

1. `describe` never raises: what a resolver returned may be anything. A part that cannot be used is left out and named.
2. The live session id never leaves this module by default; its keyed hash does.
3. What goes into a header is printable ASCII that no proxy and no log can misread.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import ipaddress
import os
import re
import secrets
import stat
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, NamedTuple
from urllib.parse import quote, unquote_to_bytes

_TYPES = ("user", "service", "system", "anonymous", "unknown")
_LONGEST_TEXT = 1024  # characters: the schema's limit of a short string
_LONGEST_HEADER = 256  # bytes: nginx answers 502 where the header block outgrows its proxy_buffer_size of 4 or 8 kB
_MOST_ROLES = 128  # the schema's limit
_MOST_REMEMBERED = 4096  # pseudonyms of each kind, and identities

_SAFE = "-._~@:+=/"  # beside letters and digits: what e-mail addresses, tokens and base64 are made of
_AS_IT_IS = re.compile(r"[A-Za-z0-9._~@:+=/-]{2,256}").fullmatch
_KEY_ID = re.compile(r"[A-Za-z0-9_]{1,16}")
_SHORTEST_KEY = 32  # bytes: the output of SHA-256 (RFC 2104 §3)
_KEY_TEXT = re.compile(rb"(?:[0-9A-Fa-f]{2}){32,}")
_UNIT = "\x1f"
_TRUTHS, _PLAIN_TYPES = frozenset({type(None), bool}), frozenset({str, type(None), bool, tuple})


class Identity(NamedTuple):
    """Who makes a request. Only what is known needs to be given.

    ``id`` is what X-Userid carries; ``session`` the live session id, written and sent as a keyed hash. ``type`` is
    ``user`` (the default where there is an ``id``), ``service``, ``system``, ``anonymous`` or ``unknown``.
    ``previous_session`` is the session that this one follows, as after a login; ``on_behalf_of`` the user whose part a
    service or an administrator takes.
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


@dataclass(frozen=True, slots=True)
class Actor:
    """An identity made safe to write and to send."""

    actor: dict[str, Any]  # the event's `actor`
    session: dict[str, str] | None  # the event's `session`
    user_header: str | None  # None: not sent
    session_header: str | None
    pseudonymised: dict[str, str]  # JSON pointer to scheme and key id
    problems: tuple[str, ...]  # what was wrong with the resolver's value, without the value


class Pseudonyms:
    """Keyed hashes in place of values that identify: stable under one key, unlinkable without it.

    ``key`` is at least 32 bytes; or a mapping of key ids to keys, of which ``kid`` names the current one; or a function
    that gives the key, called when it is first needed. ``tenant`` keeps apart what must not be joined. ``user``,
    ``session`` and ``ip`` say what is replaced: with ``user``, names and e-mail addresses are left out as well;
    ``ip="prefix"`` keeps the network (/24, /48) of an address.

    A pseudonym is ``u1.<kid>.<26 of base32>``, the first 128 bits of HMAC-SHA256 (RFC 2104) over domain, tenant and
    value. A new key id makes new pseudonyms; destroying a key makes its pseudonyms anonymous. Raises ValueError for a
    key of less than 32 bytes, ValueError or TypeError for arguments that cannot be meant.
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
        if not isinstance(kid, str) or not _KEY_ID.fullmatch(kid):
            raise ValueError(f"expected kid to be a key id of 1 to 16 letters, digits and _, not {kid!r}")
        if not isinstance(tenant, str) or _UNIT in tenant:
            raise ValueError(f"expected tenant to be text without the unit separator, not {tenant!r}")
        if ip not in ("none", "prefix", "hmac"):
            raise ValueError(f"expected ip to be 'none', 'prefix' or 'hmac', not {ip!r}")
        if isinstance(key, Mapping):
            if kid not in key:
                raise ValueError(f"expected kid to be one of the key ids {', '.join(map(repr, key))}, not {kid!r}")
            key = {name: _checked(each) for name, each in key.items()}[kid]
        self._key = key if callable(key) else _checked(key)
        self._tenant = tenant
        self.kid = kid
        self.scheme = f"hmac-sha256:{kid}"  # for the event's `meta.pseudonymised`
        self.hash_user = user
        self.hash_session = session
        self.hash_ip = ip
        self._users: dict[str, str] = {}
        self._sessions: dict[str, str] = {}
        self._addresses: dict[str, str] = {}
        self.described: dict[Identity, Actor] = {}

    def user(self, value: str) -> str:
        """The pseudonym of a user id. Raises OSError or ValueError when the key cannot be had, as do the others."""
        return self._users.get(value) or self._remember(self._users, value, self._hash("user", value))

    def session(self, value: str) -> str:
        """The pseudonym of a session id."""
        return self._sessions.get(value) or self._remember(self._sessions, value, self._hash("session", value))

    def ip(self, address: str) -> str:
        """The address as ``ip`` says it is to be written; text that is not an address is kept, or hashed as it is."""
        if self.hash_ip == "none" or not address or address.startswith("unix:"):
            return address
        return self._addresses.get(address) or self._remember(self._addresses, address, self._address(address))

    def _address(self, text: str) -> str:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return text if self.hash_ip == "prefix" else self._hash("ip", text)
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        address = mapped or address
        if self.hash_ip == "hmac":
            return self._hash("ip", str(address))
        bits = 8 if address.version == 4 else 80
        return str(type(address)(int(address) >> bits << bits))

    def _hash(self, domain: str, value: str) -> str:
        if callable(self._key):
            self._key = _checked(self._key())
        text = _UNIT.join(("auditmw", domain, self._tenant, value)).encode("utf-8", "surrogatepass")
        half = hmac.digest(self._key, text, "sha256")[:16]
        return f"{domain[0]}1.{self.kid}.{base64.b32encode(half)[:26].decode().lower()}"

    @staticmethod
    def _remember(known: dict[str, str], value: str, pseudonym: str) -> str:
        if len(value) <= _LONGEST_TEXT:
            if len(known) >= _MOST_REMEMBERED:
                known.clear()
            known[value] = pseudonym
        return pseudonym


def encode_header(value: str) -> str:
    """Encode a value for a header: UTF-8, percent-encoded but for ``A-Za-z0-9-._~@:+=/``.

    A lone ``-`` is encoded as well, because that is what access logs have for "absent".
    """
    if _AS_IT_IS(value):
        return value
    return "%2D" if value == "-" else quote(value, safe=_SAFE, errors="surrogatepass")


def decode_header(value: str) -> str:
    r"""Decode what `encode_header` encoded; bytes that are not UTF-8 come out as ``\xHH``, nothing raises."""
    octets = unquote_to_bytes(value.encode("utf-8", "surrogatepass"))
    try:
        return octets.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return octets.decode("utf-8", "backslashreplace")


def describe(identity: object, pseudonyms: Pseudonyms) -> Actor:
    """Make what a resolver returned safe to write and to send; never raises.

    None is an anonymous caller, anything but an `Identity` an unknown one. An id of more than 256 bytes, encoded, is
    replaced by its pseudonym, in the event and in the header alike.
    """
    try:  # only plain ones are remembered; what equals one reads the same, but for a 1 that equals True
        if type(identity) is Identity and type(identity.authenticated) in _TRUTHS:
            return pseudonyms.described[identity]
    except Exception:
        pass  # a new one, or one that cannot be a key
    if identity is None:
        return Actor({"type": "anonymous", "authenticated": False}, None, None, None, {}, ())
    try:
        if isinstance(identity, Identity):
            return _remembered(identity, _Description(pseudonyms).of(identity), pseudonyms.described)
        problem = f"expected an Identity or None, not {type(identity).__name__}"
    except Exception as error:  # such as that of a lazy object that cannot be loaded
        problem = f"{type(error).__name__} when the identity was read"
    return Actor({"type": "unknown"}, None, None, None, {}, (problem,))


def _remembered(identity: Identity, actor: Actor, described: dict[Identity, Actor]) -> Actor:
    roles, size = identity.roles, sum(len(part) for part in identity if type(part) is str)
    plain = _PLAIN_TYPES.issuperset(map(type, identity)) and type(roles) is tuple and {str}.issuperset(map(type, roles))
    if plain and not actor.problems and size <= _LONGEST_TEXT:  # a key that could not be had may come back
        if len(described) >= _MOST_REMEMBERED:
            described.clear()
        described[identity] = actor
    return actor


class _Description:
    """One identity on its way into an event: what had to be replaced, and what was wrong."""

    __slots__ = ("problems", "pseudonymised", "pseudonyms")

    def __init__(self, pseudonyms: Pseudonyms) -> None:
        self.pseudonyms = pseudonyms
        self.pseudonymised: dict[str, str] = {}
        self.problems: list[str] = []

    def of(self, identity: Identity) -> Actor:
        actor: dict[str, Any] = {}
        known = self.pseudonyms
        user, user_header = self.identifier("id", identity.id, "/actor/id", known.hash_user, known.user)
        if user is not None:
            actor["id"] = user
        actor["type"] = kind = self.kind(identity.type, user)
        authenticated: object = identity.authenticated
        if isinstance(authenticated, bool) or (authenticated is None and kind == "anonymous"):
            actor["authenticated"] = bool(authenticated)
        elif authenticated is not None:
            self.problems.append(f"authenticated: expected a bool, not {type(authenticated).__name__}")
        self.add_texts(identity, actor)
        if roles := self.roles(identity.roles):
            actor["roles"] = roles
        hide, hashed, before = known.hash_session, known.session, identity.previous_session
        session, session_header = self.identifier("session", identity.session, "/session/id", hide, hashed)
        previous, _ = self.identifier("previous_session", before, "/session/previous_id", hide, hashed)
        sessions = {name: text for name, text in (("id", session), ("previous_id", previous)) if text is not None}
        problems = tuple(dict.fromkeys(self.problems))
        return Actor(actor, sessions or None, user_header, session_header, self.pseudonymised, problems)

    def identifier(
        self, name: str, value: object, pointer: str, hide: bool, pseudonym_of: Callable[[str], str]
    ) -> tuple[str | None, str | None]:
        """Give an id as it is written and as it is sent; None for both when there is none that may be shown."""
        if value is None or (text := self.text(name, value)) is None:
            return None, None
        if not hide and len(text) <= _LONGEST_HEADER and len(header := encode_header(text)) <= _LONGEST_HEADER:
            return text, header
        try:
            pseudonym = pseudonym_of(text)
        except Exception as error:  # the key is the operator's: a file, a function
            self.problems.append(f"{name}: no key to hash it with: {error}")
            return None, None
        self.pseudonymised[pointer] = self.pseudonyms.scheme
        return pseudonym, pseudonym

    def kind(self, given: object, user: str | None) -> str:
        if given is not None:
            if isinstance(given, str) and given in _TYPES:
                return str.__str__(given)
            self.problems.append(f"type: expected one of {', '.join(_TYPES)}")
        if user is not None:
            return "user"
        return "unknown" if self.problems else "anonymous"  # whose id could not be used was not nobody

    def add_texts(self, identity: Identity, actor: dict[str, Any]) -> None:
        for name in ("name", "email", "provider", "realm"):
            named_by_it = self.pseudonyms.hash_user and name in ("name", "email")
            text = None if named_by_it else self.short_text(name, getattr(identity, name))
            if text is not None:
                actor[name] = text
        other, hide = identity.on_behalf_of, self.pseudonyms.hash_user
        text, _ = self.identifier("on_behalf_of", other, "/actor/on_behalf_of", hide, self.pseudonyms.user)
        if text is not None:
            actor["on_behalf_of"] = text

    def roles(self, roles: object) -> list[str]:
        try:
            if isinstance(roles, str | bytes | bytearray) or not isinstance(roles, Sequence | Set):
                self.problems.append(f"roles: expected a list of str, not {type(roles).__name__}")
                return []
            if len(roles) > _MOST_ROLES:
                self.problems.append(f"roles: {_MOST_ROLES} of {len(roles)} are written")
            texts = [self.short_text("roles", role) for role in islice(roles, _MOST_ROLES)]
        except Exception as error:
            self.problems.append(f"roles: {type(error).__name__} when they were read")
            return []
        return [text for text in texts if text is not None]

    def short_text(self, name: str, value: object) -> str | None:
        text = None if value is None else self.text(name, value)
        if text is None or len(text) <= _LONGEST_TEXT:
            return text
        self.problems.append(f"{name}: {_LONGEST_TEXT} of {len(text)} characters are written")
        return text[:_LONGEST_TEXT]

    def text(self, name: str, value: object) -> str | None:
        """Make valid Unicode of what is meant as text; None when it is empty, or cannot be meant."""
        if type(value) is str and value.isascii():
            return value or None
        try:
            text = _text(value)
        except _NotTextError as error:
            self.problems.append(f"{name}: {error}")
            return None
        except Exception as error:
            self.problems.append(f"{name}: {type(error).__name__} when it was read")
            return None
        try:
            text.encode()
        except UnicodeEncodeError:
            self.problems.append(f"{name}: not valid Unicode, written with escapes")
            text = text.encode("utf-8", "backslashreplace").decode()
        return text or None


class _NotTextError(Exception):
    """A value that nobody can mean as text."""


def _text(value: object) -> str:
    if issubclass(type(value), str):
        return str.__str__(value)  # a str that is an Enum too would name itself
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise _NotTextError("bytes are not UTF-8") from None
    # An int is an id; so are a UUID, a lazy string and the id type of a library, which say how they are written.
    if isinstance(value, bool) or (not isinstance(value, int) and type(value).__str__ is object.__str__):
        raise _NotTextError(f"expected a str, not {type(value).__name__}")
    return str.__str__(str(value))


def _checked(key: object) -> bytes:
    if not isinstance(key, bytes):
        raise TypeError(f"expected a key of type bytes, not {type(key).__name__}")
    if len(key) < _SHORTEST_KEY:
        raise ValueError(f"expected a key of at least {_SHORTEST_KEY} bytes, not {len(key)}: secrets.token_bytes(32)")
    return key


def key_file(directory: str | os.PathLike[str]) -> Callable[[], bytes]:
    """Give a key for `Pseudonyms` that lives in ``DIR/pseudonym.key``: 32 random bytes in hex, mode 0600.

    Nothing is read or made before the first call. Of processes that start together one makes the key and all use it.
    The call raises OSError when the file can be neither read nor made, ValueError when what is there is no key, or one
    that others may read.
    """
    path = os.path.join(os.fspath(directory), "pseudonym.key")

    def load() -> bytes:
        with contextlib.suppress(FileNotFoundError):
            return _read_key(path)
        _make_key(path)
        return _read_key(path)

    return load


def _read_key(path: str) -> bytes:
    # Without O_NONBLOCK, opening a FIFO of that name would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise ValueError(f"expected a regular file at {path!r}, to read the pseudonym key from")
        if mode & 0o077:
            raise ValueError(f"expected {path!r} to be its owner's alone, not mode {mode & 0o777:04o}: chmod 600")
        text = file.read(1024).strip()
    if not _KEY_TEXT.fullmatch(text):
        raise ValueError(f"expected 32 bytes or more in hexadecimal in {path!r}; restore it, or move it aside")
    return bytes.fromhex(text.decode())


def _make_key(path: str) -> None:
    """Make the key file whole or not at all: who links it first decides for all processes."""
    directory = os.path.dirname(path) or "."
    os.makedirs(directory, mode=0o750, exist_ok=True)
    draft = f"{path}.{secrets.token_hex(8)}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(secrets.token_hex(_SHORTEST_KEY).encode() + b"\n")
            file.flush()
            os.fsync(descriptor)
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    except OSError as error:  # such as a file system without hard links
        raise OSError(error.errno, f"cannot make a key here ({error.strerror}); give Pseudonyms one", path) from error
    finally:
        os.unlink(draft)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)  # the name, too, survives a power cut: events that were hashed with the key will
    finally:
        os.close(descriptor)
