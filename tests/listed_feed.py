"""A feed that does as it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from auditmw.collect.feed import Message, Positions
from ship_conformance import body

TRACK, OTHER = "0123456789abcdef", "fedcba9876543210"


class Listed:
    """A feed of lists: the messages of each track, the first of which are gone already."""

    def __init__(self, tracks: Mapping[str, Sequence[bytes]], *, gone: int = 0, at_once: int = 100) -> None:
        self.tracks = {track: list(bodies) for track, bodies in tracks.items()}
        self.gone, self.at_once = gone, at_once
        self.acknowledged: dict[str, int] = {}
        self.failures: list[Exception] = []
        self.connections = 0
        self._left: list[Message] = []

    def connect(self) -> str:
        self.connections += 1
        return "listed"

    def begin(self, positions: Positions) -> None:
        self._left = []
        for track, bodies in self.tracks.items():
            position = positions(track)
            start = max(position, self.gone)
            for at in range(start, len(bodies)):
                self._left.append(Message(track, at + 1, bodies[at], start - position if at == start else 0))

    def come(self, track: str, more: Sequence[bytes]) -> None:
        """Have more messages come, also for whoever is connected."""
        for each in more:
            self.tracks[track].append(each)
            self._left.append(Message(track, len(self.tracks[track]), each))

    def read(self, most: int, seconds: float) -> Sequence[Message]:
        if self.failures:
            raise self.failures.pop()
        size = min(most, self.at_once)
        some, self._left = self._left[:size], self._left[size:]
        return some

    def is_at_end(self) -> bool:
        return not self._left

    def left(self) -> int:
        return len(self._left)

    def acknowledge(self, collected: Mapping[str, int]) -> None:
        self.acknowledged |= collected

    def close(self) -> None:
        pass


def bodies(first: int, last: int) -> list[bytes]:
    return [body(number) for number in range(first, last + 1)]
