"""How long to wait before the next attempt: twice as long each time, up to a minute, by chance shorter.

The chance keeps many shippers from coming back to a target that was down all in the same moment.
"""

from __future__ import annotations

import random
from collections.abc import Callable

FIRST_SECONDS, MOST_SECONDS = 0.5, 60.0


class Backoff:
    """Counts failures in a row. `chance`: a number from 0 to 1."""

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self.failures = 0

    def seconds(self, *, at_least: float | None = None, most: bool = False) -> float:
        """Return how long to wait after one more failure.

        `at_least`: what the target asked for. `most`: as after many failures, because waiting mends nothing.
        """
        self.failures += 1
        longest = MOST_SECONDS if most else min(MOST_SECONDS, FIRST_SECONDS * 2 ** min(self.failures - 1, 16))
        return max(longest * (1 + self._chance()) / 2, at_least or 0.0)

    def reset(self) -> None:
        """Begin anew after a success."""
        self.failures = 0
