"""Who is at the other end: the socket's peer, and the client behind proxies that are trusted.

A forwarded header is a claim: each proxy adds at the right what it saw, and whatever stood there before came from
someone else. So the chain is walked from right to left, and believed only as far as trusted proxies wrote it. The
whole chain is kept beside the result, unverified.

Sources: RFC 7239 (Forwarded), RFC 9110 §5.6.1 (lists), RFC 4291 §2.5.5.2 (IPv4-mapped addresses), RFC 3986 §3.1
and §3.2.2 (scheme, host), werkzeug's ProxyFix (the meaning of `hops`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Literal, NamedTuple, TypeAlias, TypeVar

DEFAULT_TRUSTED: Final = ("127.0.0.0/8", "::1/128", "unix")

_UNIX: Final = "unix:"
_OWS: Final = " \t"
_MAX_ENTRIES: Final = 32
_MAX_HEADER_CHARS: Final = 8192
_MAX_TEXT_CHARS: Final = 1024
_MAX_NODE_CHARS: Final = 128  # an IPv6 address in brackets with zone and port has less
_MAX_MEMO_ENTRIES: Final = 4096
_MAX_MEMO_KEY_CHARS: Final = 128

_unsafe_sub = re.compile(r"[^ -~]").sub
_escape_sub = re.compile(r"\\(.)").sub
_node_match = re.compile(
    r"(?:\[([^\[\]]*)\]|([^\[\]:]*))(?::([0-9]{1,5}|_[A-Za-z0-9._-]+))?|([^\[\]]*)"
).fullmatch  # [v6], v4, each with or without a port (RFC 7239 §6 lets it be "_hidden"); or v6
_token_match = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
# Possessive (`*+`), so that no header can make this slow. Groups: name, quoted value, other value, separators.
_pair_match = re.compile(
    r"""[ \t]*+(?:([!#$%&'*+.^_`|~0-9A-Za-z-]++)=(?:"((?:[^"\\]|\\.)*+)"|([^",;]*+)))?+[ \t]*+(?:([,;][,; \t]*+)|\Z)"""
).match
_scheme_match = re.compile(r"[a-z][a-z0-9+.-]{0,31}").fullmatch
_host_match = re.compile(r"(?:[A-Za-z0-9._~-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?").fullmatch


class Client(NamedTuple):
    """The client of one request, decided.

    `address` is canonical IP text or `unix:`; `port` is its port where one is known. `origin` says where that was
    found: `peer`, `x-forwarded-for`, `forwarded`, `x-real-ip` or `proxy-protocol`. `forwarded` is the chain that the
    header claims, left to right, unverified: at most 32 entries (the right-most) of at most 1024 printable ASCII
    characters. `scheme` and `host` (with its port, where it has one) come from the element of `Forwarded` that
    was believed.
    """

    address: str
    port: int | None
    origin: str
    forwarded: tuple[str, ...]
    scheme: str | None
    host: str | None


# Half the time of Client(...), and on the way of every request.
_client: Callable[[tuple[object, ...]], Client] = partial(tuple.__new__, Client)

# One element of a chain: the text claimed, the same text where it may be read as a node (else ""), scheme, host.
_Element: TypeAlias = tuple[str, str, str | None, str | None]
_Node: TypeAlias = tuple[str, int | None]
_Found: TypeAlias = tuple[_Node, _Element]
_Network: TypeAlias = IPv4Network | IPv6Network
_V = TypeVar("_V")


class _Memo(dict[str, _V]):
    """Remembers what `function` returned for each short text; emptied when it has 4096 entries."""

    def __init__(self, function: Callable[[str], _V]) -> None:
        self._function = function

    def __missing__(self, key: str) -> _V:
        value = self._function(key)
        if len(key) <= _MAX_MEMO_KEY_CHARS:
            if len(self) >= _MAX_MEMO_ENTRIES:
                self.clear()
            self[key] = value
        return value


class Proxies:
    """Knows which peers are trusted, and finds the client behind them.

    Args:
        trusted: networks such as `10.0.0.0/8`, addresses, and `unix` for every unix socket.
        header: the one header that the trusted proxies write, or None; two could contradict each other, and a
            client could send the other one.
        hops: the number of proxies that write it. None: walk over all that are in `trusted`. A number: take the
            value that far from the right; when there are fewer, the peer.
        server_already_resolved: the server has put the client in place of the peer (uvicorn `--proxy-headers`):
            the header is kept as the claimed chain and not applied again.

    Raises:
        ValueError: a network, header or number of hops that makes no sense.
    """

    def __init__(
        self,
        trusted: Sequence[str] = DEFAULT_TRUSTED,
        *,
        header: Literal["x-forwarded-for", "forwarded", "x-real-ip"] | None = "x-forwarded-for",
        hops: int | None = None,
        server_already_resolved: bool = False,
    ) -> None:
        if isinstance(header, str):
            header = header.lower()  # type: ignore[assignment]  # names of headers have no case (RFC 9110 §5.1)
        if header is not None and header not in _READERS:
            raise ValueError(f"expected header to be one of {', '.join(_READERS)}, or None, not {header!r}")
        if hops is not None:
            _check_hops(hops, header)
        entries = _entries(trusted)
        self._networks = tuple(_network(entry) for entry in entries if entry != "unix")
        self._trusts_unix = "unix" in entries
        self._trusted = _Memo(self._is_trusted)
        self._peers = _Memo(self._peer)
        self._claims = _Memo(self._claim)
        self._hops = hops
        self._applies = not server_already_resolved
        self.header: str | None = header

    def trusts(self, peer: str) -> bool:
        """Return whether `peer`, as `peer_address` gives it, is trusted; never raises."""
        return self._trusted[peer]

    def peer(self, raw: object) -> tuple[str, bool]:
        """Return the peer as `peer_address` gives it, and whether it is trusted; never raises."""
        return self._peers[raw] if type(raw) is str else self._peer(raw)

    def client(self, peer: str, port: int | None, value: str | None) -> Client:
        """Return the client of a request from `peer` that came with `value` in the header; never raises.

        `peer` is what `peer_address` gave, `value` the header's fields joined with `,`, or None.
        """
        if value is None or self.header is None:
            return _client((peer, port, "peer", (), None, None))
        client, chain = self._claims[value]
        if client is not None and self._applies and self._trusted[peer]:
            return client
        return _client((peer, port, "peer", chain, None, None))

    def _peer(self, raw: object) -> tuple[str, bool]:
        peer = peer_address(raw)
        return peer, self._trusted[peer]

    def _is_trusted(self, peer: str) -> bool:
        if peer == _UNIX:
            return self._trusts_unix
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._networks)

    def _claim(self, value: str) -> tuple[Client | None, tuple[str, ...]]:
        """Return whom a trusted peer means by `value`, if anyone, and the chain that it claims."""
        header = self.header or ""
        elements = _READERS[header](value)[-_MAX_ENTRIES:]
        chain = tuple(_safe(text) for text, *_ in elements)
        found = _nth_from_right(elements, self._hops) if self._hops else self._walk(elements)
        if found is None:
            return None, chain
        (address, port), (_, _, scheme, host) = found
        return Client(address, port, header, chain, scheme, host), chain

    def _walk(self, elements: list[_Element]) -> _Found | None:
        found = None
        for element in reversed(elements):
            node = _node(element[1])
            if node is None:
                break
            found = node, element
            if not self._trusted[node[0]]:
                break
        return found


def peer_address(raw: object) -> str:
    """Return the socket's peer as `unix:`, as canonical IP text, or as printable ASCII when it is neither.

    Servers say unix socket as None (uvicorn, hypercorn, daphne), `''` (gunicorn), `localhost` (waitress) or `unix:`
    (nginx). A zone is taken off, an IPv4-mapped address becomes IPv4.
    """
    if raw is None:
        return _UNIX
    if isinstance(raw, str):
        return _addresses[raw]
    try:
        return _addresses[str(raw)]
    except Exception:  # an object whose own __str__ raises
        return type(raw).__name__


def _peer_address(raw: str) -> str:
    if raw in {"", "localhost"} or raw.startswith(_UNIX):
        return _UNIX
    return _ip(raw) or _safe(raw)


_addresses: Final = _Memo(_peer_address)


def _safe(text: str) -> str:
    return _unsafe_sub("?", text[:_MAX_TEXT_CHARS])


def _ip(text: str) -> str | None:
    host = text.partition("%")[0] if ":" in text else text
    try:
        address = ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def _nth_from_right(elements: list[_Element], n: int) -> _Found | None:
    if len(elements) < n:
        return None
    element = elements[-n]
    node = _node(element[1])
    return None if node is None else (node, element)


def _node(text: str) -> _Node | None:
    if text == _UNIX:  # what nginx writes when its own client came over a unix socket
        return _UNIX, None
    match = _node_match(text) if len(text) <= _MAX_NODE_CHARS else None
    if match is None:
        return None
    bracketed, plain, port, bare = match.groups()
    host = bracketed or plain or bare or ""
    address = _ip(host)
    if address is None or (":" in host) != (plain is None):
        return None
    number = None if port is None or port.startswith("_") else int(port)
    return None if number is not None and number > 65535 else (address, number)


def _read_list(value: str) -> list[_Element]:
    parts = value[-_MAX_HEADER_CHARS:].rsplit(",", _MAX_ENTRIES)
    if len(value) > _MAX_HEADER_CHARS or len(parts) > _MAX_ENTRIES:
        del parts[0]  # cut through, or many in one
    return [(text, text, None, None) for part in parts if (text := part.strip(_OWS))]


def _read_single(value: str) -> list[_Element]:
    text = value.strip(_OWS)
    return [(text, text, None, None)] if text else []


def _read_forwarded(value: str) -> list[_Element]:
    elements = _pairs(value) if len(value) <= _MAX_HEADER_CHARS else None
    if elements is None:  # kept as it is, but nothing in it is believed
        return [(text, "", None, None) for text, *_ in _read_list(value)]
    return [_forwarded_element(pairs) for pairs in elements if pairs]


def _forwarded_element(pairs: Mapping[str, tuple[str, str]]) -> _Element:
    text, node = pairs.get("for", ("", ""))
    scheme, host = (pairs.get(name, ("", ""))[1] for name in ("proto", "host"))
    scheme = scheme.lower()
    return text, node, scheme if _scheme_match(scheme) else None, host if _host_match(host) else None


def _pairs(value: str) -> list[dict[str, tuple[str, str]]] | None:
    """Return each element's parameters, name -> (text, text where it is a token or was quoted, else "").

    None: an unbalanced quote, a parameter twice in one element, or text that is no parameter (RFC 7239 §4).
    """
    elements: list[dict[str, tuple[str, str]]] = [{}]
    match = _pair_match(value)
    while match is not None:
        name, quoted, bare, separators = match.groups()
        if name is not None:
            name = name.lower()
            if name in elements[-1]:
                return None
            text = bare.rstrip(_OWS) if quoted is None else _escape_sub(r"\1", quoted)
            elements[-1][name] = text, text if quoted is not None or _token_match(text) else ""
        if separators is None:
            return elements
        if "," in separators:
            elements.append({})
        match = _pair_match(value, match.end())
    return None


_READERS: Final[Mapping[str, Callable[[str], list[_Element]]]] = {
    "x-forwarded-for": _read_list,
    "forwarded": _read_forwarded,
    "x-real-ip": _read_single,
}


def _check_hops(hops: int, header: str | None) -> None:
    if type(hops) is not int or hops < 1:
        raise ValueError(
            f"expected hops to be the number of proxies, 1 or more, not {hops!r}; leave it out to walk over `trusted`"
        )
    if header not in {"x-forwarded-for", "forwarded"}:
        raise ValueError(f"expected hops with a header that is a list, not with {header!r}; leave hops out")


def _entries(trusted: Iterable[str]) -> tuple[str, ...]:
    if isinstance(trusted, str):
        raise ValueError(  # noqa: TRY004
            f"expected a sequence of trusted proxies, not the text {trusted!r}; write ({trusted!r},)"
        )
    return tuple(str(entry) for entry in trusted)


def _network(entry: str) -> _Network:
    if entry == "*":
        raise ValueError(
            "expected networks of trusted proxies, not '*': when every peer is trusted, the client is the left-most "
            "address, which the client itself can write; name the proxies' networks, such as '10.0.0.0/8'"
        )
    try:
        network = ip_network(entry)
    except ValueError as error:
        raise ValueError(
            "expected each trusted proxy to be a network such as '10.0.0.0/8', an address or 'unix', "
            f"not {entry!r}: {error}"
        ) from None
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    return network if mapped is None else IPv4Network((mapped, network.prefixlen - 96))  # as peers are compared
