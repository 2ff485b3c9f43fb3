"""What the newest requests say about the proxies in front: who is trusted, who should be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from auditmw.cli.checks.finding import Finding, ok, warn
from auditmw.cli.lines import text_at, value_at

SHOWN_PEERS = 3

Event = Mapping[str, Any]


def check_proxies(requests: Sequence[Event]) -> Iterator[Finding]:
    """Yield findings about the newest requests, each an event of the middleware."""
    if not requests:
        return
    doubled = [event for event in requests if _applied_before(event)]
    if doubled:
        yield _doubled(doubled, requests)
    unheeded = [event for event in requests if _unheeded(event) and not _applied_before(event)]
    if unheeded:
        yield from _not_believed(unheeded, requests)
    elif not doubled:
        yield _as_it_should_be(requests)


def _applied_before(event: Event) -> bool:
    """Whether the server has put the forwarded address in place of the peer's: it is in the claimed chain itself.

    uvicorn's ProxyHeadersMiddleware, on by default, does that for peers in FORWARDED_ALLOW_IPS, with port 0.
    """
    peer = text_at(event, "client", "peer_address")
    return _unheeded(event) and value_at(event, "client", "peer_port") == 0 and peer in _chain(event)


def _unheeded(event: Event) -> bool:
    """Whether a forwarded chain came that was not believed, because of who sent it."""
    return text_at(event, "client", "origin") == "peer" and bool(_chain(event))


def _chain(event: Event) -> list[str]:
    chain = value_at(event, "client", "forwarded")
    return [hop for hop in chain if isinstance(hop, str)] if isinstance(chain, list) else []


def _doubled(doubled: Sequence[Event], requests: Sequence[Event]) -> Finding:
    named = sum(1 for event in doubled if text_at(event, "actor", "id"))
    return warn(
        "proxy.server",
        f"in {len(doubled)} of the last {len(requests)} requests the server had put the client in place of the proxy "
        f"before auditmw saw it; {named} of them had a user, whom the proxy was not told",
        "start uvicorn with --no-proxy-headers, so that auditmw sees the proxy, trusts it and tells it the user; "
        "auditmw.Proxies(..., server_already_resolved=True) records the client rightly, but the proxy gets no X-Userid",
    )


def _not_believed(unheeded: Sequence[Event], requests: Sequence[Event]) -> Iterator[Finding]:
    peers = Counter(text_at(event, "client", "peer_address") or "-" for event in unheeded)
    everyone = Counter(text_at(event, "client", "peer_address") or "-" for event in requests)
    named = sum(1 for event in unheeded if text_at(event, "actor", "id") or text_at(event, "session", "id"))
    peer, count = peers.most_common(1)[0]
    seen = f"{len(unheeded)} of the last {len(requests)} requests carried a forwarded address that was not believed"
    # A proxy's every request carries one; a client that sends one by itself is one of many.
    if len(peers) <= SHOWN_PEERS and all(everyone[one] == number for one, number in peers.items()):
        listed = ", ".join(f'"{_network(one)}"' for one in sorted(peers))
        yield warn(
            "proxy.trust",
            f"{seen}: all that came from {', '.join(sorted(peers))}, which looks like your proxy",
            f"if it is: Audit(..., trusted_proxies=({listed}, ...)); until then every client has its address",
        )
        if named:
            yield warn(
                "proxy.identity",
                f"{named} of them had a user or session, and the proxy was not told: X-Userid is for trusted peers",
                "the same setting mends it",
            )
    else:
        yield ok("proxy.trust", f"{seen}: {len(peers)} clients sent it themselves, {count} of them from {peer}")


def _as_it_should_be(requests: Sequence[Event]) -> Finding:
    origins = Counter(text_at(event, "client", "origin") or "-" for event in requests)
    believed = sum(number for origin, number in origins.items() if origin not in ("peer", "-"))
    if believed:
        peers = sorted({text_at(event, "client", "peer_address") or "-" for event in requests})
        shown = ", ".join(peers[:SHOWN_PEERS])
        return ok("proxy.trust", f"{believed} of the last {len(requests)} requests came over a trusted proxy ({shown})")
    return ok("proxy.trust", f"none of the last {len(requests)} requests carried a forwarded address")


def _network(address: str) -> str:
    try:
        return f"{address}/{ip_address(address).max_prefixlen}"
    except ValueError:
        return "unix" if address == "unix:" else address
