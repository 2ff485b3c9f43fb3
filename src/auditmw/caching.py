"""Whether a cache for several users may keep a response: what it says of one user must then not be in its headers.

What counts is what shared caches do (RFC 9111 §3, nginx `proxy_cache`, CDNs), not only what they may do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

# Fields that speak to one kind of cache, and win over Cache-Control there.
_CDN_FIELDS = frozenset(
    {"surrogate-control", "cdn-cache-control", "cloudflare-cdn-cache-control", "vercel-cdn-cache-control"}
)
OWN_FIELDS = _CDN_FIELDS | {"x-accel-expires", "expires"}
_DIRECTIVE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:\s*=\s*(\"[^\"]*\"|[^,\s]*))?")
_NEVER = frozenset({"0", "-1", "off"})


def shared_cache_may_keep(fields: Sequence[tuple[str, str]]) -> bool:
    """Whether one may, by the response's cache fields: pairs of a lower-case name and a value."""
    if any(name in _CDN_FIELDS and _allows(_directives([value])) for name, value in fields):
        return True
    if any(name == "x-accel-expires" and value.strip() not in _NEVER for name, value in fields):
        return True
    control = _directives([value for name, value in fields if name == "cache-control"])
    if control:
        return _allows(control)
    return any(name == "expires" and value.strip() not in _NEVER for name, value in fields)


def _allows(control: Mapping[str, int]) -> bool:
    if control.keys() & {"public", "s-maxage"}:
        return "no-store" not in control
    if control.keys() & {"private", "no-store", "no-cache"}:
        return False
    return control.get("max-age", 0) > 0


def _directives(values: Iterable[str]) -> dict[str, int]:
    """The directives of all fields together, each with the largest number of seconds that it was given."""
    control: dict[str, int] = {}
    for name, argument in _DIRECTIVE.findall(",".join(values).lower()):
        # `private="set-cookie"` is about that field alone (RFC 9111 §5.2.2.7).
        if not (argument and name in ("private", "no-cache")):
            control[name] = max(control.get(name, 0), _seconds(argument))
    return control


def _seconds(text: str) -> int:
    digits = text.strip('"')
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 18 else 0
