"""Who visits: people with their devices and addresses, users who come and go, robots with their names.

All addresses are of ranges that belong to nobody: documentation (RFC 5737, RFC 3849), benchmarking (RFC 2544) and
shared address space (RFC 6598).
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate
from random import Random

from auditmw.cli.history.chance import stream

_EVENTS_PER_USER = 40
_NEW_USERS = 0.4  # of all users: those who sign up within the history
_NEVER_BACK = 0.35  # of those: the ones who come once
_NEW_USERS_STAY_DAYS, _OLD_USERS_STAY_DAYS = 18.0, 150.0
_ZIPF_EXPONENT = 0.75
_MASK = (1 << 64) - 1

BROWSERS = (
    b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    b"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
    b"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 "
    b"Mobile/15E148 Safari/604.1",
    b"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 "
    b"Mobile/15E148 Safari/604.1",
    b"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 "
    b"Safari/605.1.15",
    b"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 "
    b"Safari/537.36",
    b"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0",
    b"Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 "
    b"Edg/142.0.0.0",
)
APPS = (
    b"ShopApp/5.2.1 (iPhone; iOS 18.6)",
    b"ShopApp/5.2.0 (iPhone; iOS 18.5)",
    b"ShopApp/5.2.1 (Android 15; Pixel 9)",
    b"ShopApp/5.1.4 (Android 14; SM-S921B)",
)
CRAWLERS = (
    b"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    b"Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    b"Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
    b"Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
)
SCANNERS = (b"python-requests/2.32.5", b"Mozilla/5.0 zgrab/0.x", b"Go-http-client/1.1", b"curl/7.88.1")


def address(bits: int) -> bytes:
    """A client's address, one for each number: mostly IPv4, sometimes IPv6."""
    kind = bits & 7
    if kind < 2:
        return b"2001:db8:%x:%x::%x" % (bits >> 8 & 0xFFF, bits >> 20 & 0xFFFF, 0x1000 | bits >> 36 & 0xFFF)
    if kind == 2:
        return b"198.%d.%d.%d" % (18 + (bits >> 8 & 1), bits >> 9 & 255, bits >> 17 & 255)
    return b"100.%d.%d.%d" % (64 + (bits >> 8 & 63), bits >> 14 & 255, bits >> 22 & 255)


def user_id(number: int) -> bytes:
    """How the shop names its users: in the order in which they signed up."""
    return b"u-%06d" % (number + 1)


def traits(number: int) -> int:
    """64 bits that belong to a user, always the same: what decides about device and address."""
    bits = (number + 1) * 0x9E3779B97F4A7C15 & _MASK  # Knuth, The Art of Computer Programming 3, §6.4
    return (bits ^ bits >> 29) * 0xBF58476D1CE4E5B9 & _MASK


class Population:
    """The users: how often each comes, since when and until when; a user is a number."""

    def __init__(self, events: int, days: int, seed: int) -> None:
        rng = stream("people", seed)
        count = max(40, events // _EVENTS_PER_USER)
        self.old = count - round(count * _NEW_USERS)  # the first numbers are those who were there before
        ranks = list(range(count))
        rng.shuffle(ranks)
        self._weights = array("d", ((rank + 10) ** -_ZIPF_EXPONENT for rank in ranks))
        self._joined = array("i", [-1] * self.old + sorted(rng.randrange(days) for _ in range(count - self.old)))
        self._left = array("i", (self._last_day(number, rng) for number in range(count)))
        self._active = lru_cache(maxsize=2)(self._find_active)

    def newcomers(self, day: int) -> range:
        """Those who sign up on this day."""
        return range(bisect_right(self._joined, day - 1, self.old), bisect_right(self._joined, day, self.old))

    def someone(self, day: int, rng: Random) -> int:
        """A user who comes on this day."""
        users, bounds = self._active(day)
        return users[bisect_right(bounds, rng.random() * bounds[-1], 0, len(users) - 1)]

    def _last_day(self, number: int, rng: Random) -> int:
        if number < self.old:
            return int(-math.log(1.0 - rng.random()) * _OLD_USERS_STAY_DAYS)
        if rng.random() < _NEVER_BACK:
            return self._joined[number]
        return self._joined[number] + 1 + int(-math.log(1.0 - rng.random()) * _NEW_USERS_STAY_DAYS)

    def _find_active(self, day: int) -> tuple[array[int], array[float]]:
        both = enumerate(zip(self._joined, self._left, strict=True))
        users = array("l", (number for number, (joined, left) in both if joined < day <= left))
        users = users or array("l", range(self.old))
        return users, array("d", accumulate(self._weights[number] for number in users))
