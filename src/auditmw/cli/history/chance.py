"""Chance that is the same every time: streams of random numbers by name, and ways to choose with them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import accumulate
from random import Random
from statistics import NormalDist
from typing import TypeVar

Choice = TypeVar("Choice", str, bytes)
_BITS = 12


def stream(*name: object) -> Random:
    """The random numbers that go by this name."""
    return Random(" ".join(map(str, name)))


def steps(shares: Mapping[Choice, float]) -> tuple[tuple[float, Choice], ...]:
    """What `pick` chooses from: each thing with its share of 1."""
    return tuple(zip(accumulate(shares.values()), shares, strict=True))


def pick(choices: tuple[tuple[float, Choice], ...], chance: float) -> Choice | None:
    """The thing that a number from 0 to 1 means; None where the shares add up to less."""
    for bound, thing in choices:
        if chance < bound:
            return thing
    return None


def popular(chance: float, count: int) -> int:
    """The index that a number from 0 to 1 means when few of `count` things are wanted by many."""
    return int(count * chance * chance * chance)


_QUANTILES = [NormalDist().inv_cdf((n + 0.5) / (1 << _BITS)) for n in range(1 << _BITS)]
_SPREAD = tuple(math.exp(0.55 * z) + (0.02 * math.exp(2.2 * z) if z > 1.6 else 0.0) for z in _QUANTILES)
_PAUSES = tuple(math.exp(1.05 * z) for z in _QUANTILES)


def spread(bits: int) -> float:
    """A factor on a median, by 12 of the bits: log-normal, and one in a few hundred is many times the median."""
    return _SPREAD[bits & 4095]


def pause(bits: int) -> float:
    """The same for the time that people take to read a page, which varies more, but is seldom very long."""
    return _PAUSES[bits & 4095]
