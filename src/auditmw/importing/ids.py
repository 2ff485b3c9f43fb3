"""The ids of imported events.

An id is a UUIDv8 (RFC 9562 §5.8): 48 bits of milliseconds since 1970 of the line's own time (zeros when it tells none),
then, around the version and the variant, 74 bits of SHA-256 over the line, a line feed, and in ASCII
`<format> <anchor> <offset>`. The anchor is the digest of the input's first line. So the same line of the same input has
the same id whenever and however it is imported, and equal lines at different places have different ones.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))  # the two bits 10 of RFC 9562 §4.1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def mark_of(name: str, anchor: str) -> bytes:
    """Return what is hashed after a line and before its offset, for a format and an input."""
    return f"\n{name} {anchor} ".encode()


def milliseconds_of(moment: str) -> int:
    """Return the milliseconds since 1970 of a timestamp."""
    return _minute(moment[:17]) + int(moment[17:19]) * 1000 + int(moment[20:23])


def beginning_at(milliseconds: int) -> str:
    """Return the first 15 characters of the id of a line of this time: the time, and the version."""
    return f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}-8"


def beginning_of(moment: str | None) -> str:
    """Return the first 15 characters of the id of a line with this timestamp, or with none."""
    return beginning_at(max(0, milliseconds_of(moment)) if moment else 0)


def id_of(beginning: str, digits: str) -> str:
    """Return the id that begins so, of a line whose SHA-256 has these hexadecimal digits."""
    return f"{beginning}{digits[:3]}-{_VARIANT[digits[3]]}{digits[4:7]}-{digits[7:19]}"


@lru_cache(maxsize=1024)
def _minute(moment: str) -> int:
    """Return the milliseconds since 1970 of a timestamp without its seconds."""
    return (datetime.fromisoformat(f"{moment}00+00:00") - _EPOCH) // _MILLISECOND
