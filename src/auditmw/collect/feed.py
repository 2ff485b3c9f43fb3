"""What a feed is: it hands over the messages of a stream, in order, from wherever one wants to begin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

Positions = Callable[[str], int]
"""Says up to which number the messages of a track are collected: 0 before the first."""


class Message(NamedTuple):
    """One message. `track` and `number`: where it stands; `missing`: how many before it are gone, never to be had."""

    track: str
    number: int
    body: bytes
    missing: int = 0


class Feed(Protocol):
    """A stream, or a topic: some tracks, each of which numbers its messages from 1 on.

    A track's name is 16 hexadecimal digits, and the same for ever; a stream that is deleted and made again has another.
    Whatever fails raises RetryableError or UnusableError (ship/target.py). Then, and after `close`, `connect` comes
    first again.
    """

    def connect(self) -> str:
        """Connect; return what is collected, as the name of a folder."""
        ...

    def begin(self, positions: Positions) -> None:
        """Begin behind what is collected."""
        ...

    def read(self, most: int, seconds: float) -> Sequence[Message]:
        """Return up to `most` messages, each track's in order; none when none came in so many seconds."""
        ...

    def is_at_end(self) -> bool:
        """Return whether everything was read that was there a moment ago."""
        ...

    def left(self) -> int:
        """Return about how many messages there are that were not read; it asks nobody."""
        ...

    def acknowledge(self, collected: Mapping[str, int]) -> None:
        """Tell that the messages of these tracks up to these numbers are durable here. It is for others to know."""
        ...

    def close(self) -> None:
        """Let go of connections; never raises, and may be called twice."""
        ...
