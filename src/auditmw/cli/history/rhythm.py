"""When things happen: the hours of a history and their share of its events, and what goes wrong in which of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import accumulate
from random import Random
from typing import NamedTuple

from auditmw.cli.history.chance import stream

HOUR_NS = 3_600_000_000_000
_MINUTE_NS = 60_000_000_000

# Relative traffic of a shop by hour of the day, UTC: quiet at night, a hump at noon, most in the evening.
_BY_HOUR = (9, 6, 4, 3, 3, 5, 10, 20, 32, 40, 44, 47, 50, 46, 43, 42, 44, 49, 56, 62, 60, 47, 30, 17)
_BY_WEEKDAY = (1.0, 0.96, 0.95, 0.97, 1.02, 1.16, 1.22)  # Monday first
_HOURS_BETWEEN_TROUBLES = 7 * 24


class Trouble(NamedTuple):
    """A time in which a part of the system fails: `payments`, the `database`, or all of it, for a `deploy`."""

    start_ns: int
    end_ns: int
    kind: str


class Hours:
    """The hours of `days` days that end at `until`, cut to the full hour, and the share of `events` that each has."""

    def __init__(self, events: int, days: int, until: datetime, seed: int) -> None:
        end = until.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        start = end - timedelta(days=days)
        self.count = days * 24
        self.start_ns = int(start.timestamp()) * 1_000_000_000
        self.end_ns = self.start_ns + self.count * HOUR_NS
        rng = stream("rhythm", seed)
        times = [start + timedelta(hours=hour) for hour in range(self.count)]
        weights = [_BY_HOUR[at.hour] * _BY_WEEKDAY[at.weekday()] * rng.uniform(0.9, 1.1) for at in times]
        sums = list(accumulate(weights))
        self._bounds = [0, *(round(events * part / sums[-1]) for part in sums)]
        self._troubles = self._make_troubles(weights, rng)

    def bound(self, hour: int) -> int:
        """How many events begin before this hour."""
        return self._bounds[hour]

    def part(self, hour: int, share: float) -> int:
        """How often something happens in this hour that happens `share` times per event."""
        return int(self._bounds[hour + 1] * share) - int(self._bounds[hour] * share)

    def begins_ns(self, hour: int) -> int:
        """When this hour begins, in nanoseconds since the epoch."""
        return self.start_ns + hour * HOUR_NS

    def troubles(self, hour: int) -> list[Trouble]:
        """What goes wrong in this hour."""
        begin = self.begins_ns(hour)
        return [trouble for trouble in self._troubles if trouble.start_ns < begin + HOUR_NS and begin < trouble.end_ns]

    def _make_troubles(self, weights: list[float], rng: Random) -> list[Trouble]:
        """At least one of each kind, mostly when there is much to do."""
        troubles = []
        for kind, minutes in (("payments", 50), ("database", 25), ("deploy", 4)):
            for hour in rng.choices(range(self.count), weights, k=max(1, self.count // _HOURS_BETWEEN_TROUBLES)):
                start_ns = self.begins_ns(hour) + rng.randrange(60) * _MINUTE_NS
                length_ns = int(minutes * rng.uniform(0.6, 1.4)) * _MINUTE_NS
                troubles.append(Trouble(start_ns, start_ns + length_ns, kind))
        return troubles
