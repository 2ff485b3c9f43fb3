"""The whole history: hour by hour, in time order, each event with its writer."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from datetime import datetime
from itertools import chain
from typing import NamedTuple

from auditmw.cli.history.chance import stream
from auditmw.cli.history.hour import SLOTS, Hour, Item
from auditmw.cli.history.lines import HEAD
from auditmw.cli.history.people import APPS, BROWSERS, Population, address, traits, user_id
from auditmw.cli.history.rhythm import HOUR_NS, Hours
from auditmw.cli.history.robots import MEAN_CRAWL, MEAN_SCAN, crawl, run_job, scan, synchronise
from auditmw.cli.history.visits import Visit, Visitor

_SERVICE_SHARE, _CRAWLER_SHARE, _SCANNER_SHARE, _JOB_SHARE = 0.02, 0.09, 0.012, 0.002  # of all events
_ANONYMOUS = 0.45  # of the visits of people
_APP_USERS = 0.35
_LOGGED_IN = 0.45  # of the users' visits on the web: from the first page on
_IDS_PER_RANDOM_PART = 4_096  # as auditmw.event.new_id makes them


class Entry(NamedTuple):
    """One event: the writer whose journal it is in, and its JSON."""

    writer: str
    body: bytes


class History:
    """`events` events of the `days` days before `until` (which is cut to the full hour), in time order.

    The same arguments give the same bytes. An iteration takes some seconds per million events and holds an hour of
    them in memory. Raises ValueError for less than one event or day, or a time without its zone.
    """

    def __init__(self, events: int, days: int, *, until: datetime, seed: int = 1) -> None:
        if events < 1 or days < 1:
            raise ValueError(f"expected at least one event and one day, not {events!r} and {days!r}")
        if until.tzinfo is None:
            raise ValueError(f"expected a time with its zone, not {until!r}")
        self.days = days
        self._seed = seed
        self._hours = Hours(events, days, until, seed)
        self._people = Population(events, days, seed)

    def __iter__(self) -> Iterator[Entry]:
        return self.part(0, self.days)

    def part(self, first: int, stop: int) -> Iterator[Entry]:
        """Yield, in time order, the events of the days from `first` up to `stop`, counted from 0.

        A visit belongs to the day on which it began. Every day has its own writers, so that parts can be made side by
        side: together they are the same entries as the whole.
        """
        heads: dict[str, _Heads] = {}
        waiting: list[tuple[int, int, str, bytes]] = []
        for number, items in chain.from_iterable(map(self._day, range(first, stop))):
            writers = self._writers(number // 24)
            waiting += [(end_ns, slot, writers[slot], rest) for end_ns, slot, rest in items]
            waiting.sort()
            is_last = number + 1 == stop * 24
            ready = len(waiting) if is_last else bisect_left(waiting, (self._hours.begins_ns(number + 1),))
            for end_ns, _, writer, rest in waiting[:ready]:
                head = heads.get(writer) or heads.setdefault(writer, _Heads(writer))
                yield Entry(writer, head.next(end_ns) + rest)
            del waiting[:ready]

    def _writers(self, day: int) -> list[str]:
        """The names of a day's writers: processes that started with it."""
        rng = stream("writers", self._seed, day)
        milliseconds = self._hours.begins_ns(day * 24) // 1_000_000
        return [f"{milliseconds + 40 * slot:012x}{rng.getrandbits(32):08x}" for slot in range(SLOTS)]

    def _day(self, day: int) -> Iterator[tuple[int, list[Item]]]:
        """Yield the hours of a day, each with all that begins in it: together exactly the share of the day."""
        rest = self._hours.bound(day * 24 + 24) - self._hours.bound(day * 24)
        for number in range(day * 24, day * 24 + 24):
            wanted = rest - (self._hours.bound(day * 24 + 24) - self._hours.bound(number + 1))
            items = self._hour(number, wanted)[:rest]
            rest -= len(items)
            yield number, items

    def _hour(self, number: int, wanted: int) -> list[Item]:
        """At least as many as `wanted` of what begins in one hour: the last visit is a whole one."""
        hour = Hour(stream("hour", self._seed, number), self._hours.troubles(number), self._hours.end_ns)
        self._run_machines(hour, number)
        for user in self._signing_up(number):
            self._visit(hour, number, user)
        while len(hour.items) < wanted:
            self._visit(hour, number)
        return hour.items

    def _signing_up(self, number: int) -> range:
        """The newcomers of the day whose turn it is in this hour."""
        day, at = divmod(number, 24)
        newcomers = self._people.newcomers(day)
        return newcomers[len(newcomers) * at // 24 : len(newcomers) * (at + 1) // 24]

    def _run_machines(self, hour: Hour, number: int) -> None:
        """What does not depend on people, in proportion to all that happens in this hour."""
        rng, begin_ns = hour.rng, self._hours.begins_ns(number)
        synchronise(hour, begin_ns, self._hours.part(number, _SERVICE_SHARE))
        for _ in range(self._hours.part(number, _JOB_SHARE)):
            run_job(hour, begin_ns + rng.randrange(HOUR_NS - 1))
        for _ in range(self._hours.part(number, _CRAWLER_SHARE / MEAN_CRAWL)):
            crawl(hour, begin_ns + rng.randrange(HOUR_NS - 1))
        for _ in range(self._hours.part(number, _SCANNER_SHARE / MEAN_SCAN)):
            scan(hour, begin_ns + rng.randrange(HOUR_NS - 1))

    def _visit(self, hour: Hour, number: int, newcomer: int | None = None) -> None:
        """One person's visit: a newcomer's first one, a user's, or that of somebody who stays unknown."""
        rng, day = hour.rng, number // 24
        at_ns = self._hours.begins_ns(number) + rng.randrange(HOUR_NS - 1)
        if newcomer is None and rng.random() < _ANONYMOUS:
            bits = rng.getrandbits(64)
            visitor = Visitor(BROWSERS[bits % len(BROWSERS)], address(bits >> 8))
        elif newcomer is None:
            visitor = _user(self._people.someone(day, rng), is_known=rng.random() < _LOGGED_IN)
        else:
            visitor = _user(newcomer, is_new=True)
        Visit(hour, visitor).walk(at_ns)


def _user(number: int, *, is_known: bool = False, is_new: bool = False) -> Visitor:
    """A user with their device: a newcomer signs up on the web, others may have the app, which keeps them logged in."""
    bits = traits(number)
    has_app = not is_new and bits % 97 < _APP_USERS * 97
    agents = APPS if has_app else BROWSERS
    agent, home = agents[(bits >> 4) % len(agents)], address(bits >> 8)
    return Visitor(agent, home, user_id(number), has_app, is_known or has_app, is_new)


class _Heads:
    """The beginnings of one writer's events, with their ids: UUIDv7 as `auditmw.event.new_id` makes them."""

    def __init__(self, writer: str) -> None:
        self._rng = stream("ids", writer)
        self._count = _IDS_PER_RANDOM_PART
        self._random_part = b""

    def next(self, time_ns: int) -> bytes:
        """The beginning of an event that is written at this time."""
        if self._count >= _IDS_PER_RANDOM_PART:
            bits = self._rng.getrandbits(62)
            self._count, self._random_part = 0, b"%04x-%012x" % (0x8000 | bits >> 48, bits & 0xFFFFFFFFFFFF)
        milliseconds = time_ns // 1_000_000
        head = HEAD % (milliseconds >> 16, milliseconds & 0xFFFF, self._count, self._random_part)
        self._count += 1
        return head
