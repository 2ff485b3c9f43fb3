"""Journeys, counted the slow and obvious way: what the SQL of funnels, retention, conversion and paths must equal.

Every function takes a list of `Happening`s and conditions as functions of one, and tries everything there is.
"""

from datetime import datetime, timedelta
from statistics import median
from typing import NamedTuple


class Happening(NamedTuple):
    """An event (a dict, as it was written), and what it is in order by."""

    time: datetime
    writer: str
    seq: int
    event: dict


def journeys(happenings, unit):
    """The happenings of each unit, in their order."""
    found = {}
    for happening in sorted(happenings, key=lambda one: (one.time, one.writer, one.seq)):
        if unit(happening) is not None:
            found.setdefault(unit(happening), []).append(happening)
    return found


def attempt_from(journey, place, steps, *, strict, window):
    """The happenings that take the steps when the attempt begins with the one at this place."""
    taken = [journey[place]]
    for step in steps[1:]:
        later = journey[place + 1 :][: 1 if strict else None]
        following = next((one for one in later if step(one)), None)
        if following is None or (window is not None and following.time - taken[0].time > window):
            break
        place = journey.index(following)
        taken.append(following)
    return taken


def best_attempts(happenings, steps, unit, *, strict=False, window=None):
    """Of each unit that began: the times of the attempt with the most steps, of several the one that began first."""
    best = {}
    for name, journey in journeys(happenings, unit).items():
        starts = [place for place, one in enumerate(journey) if steps[0](one)]
        attempts = [attempt_from(journey, place, steps, strict=strict, window=window) for place in starts]
        if attempts:
            best[name] = [one.time for one in max(attempts, key=len)]  # the first of the longest
    return best


def funnel_numbers(attempts, count):
    """For each step: how many units came so far, how many of them no further, median seconds from the one before."""
    numbers = []
    for step in range(count):
        reached = [times for times in attempts.values() if len(times) > step]
        dropped = [times for times in reached if len(times) == step + 1 < count]
        seconds = [(times[step] - times[step - 1]).total_seconds() for times in reached] if step else []
        numbers.append((len(reached), len(dropped), median(seconds) if seconds else None))
    return numbers


def first_values(happenings, unit, value, can_have):
    """Of each unit: the value at its first happening that can have one."""
    return {
        name: next((value(one) for one in journey if can_have(one)), None)
        for name, journey in journeys(happenings, unit).items()
    }


def retention(happenings, unit, starts, returns, period, *, first_time):
    """How many units each cohort has, and how many of a cohort came back how many periods later.

    `period`: the number of the period of a time.
    """
    sizes, cells = {}, {}
    for journey in journeys(happenings, unit).values():
        begun = [one for one in journey if starts(one)]
        cohorts = {}
        for one in begun[:1] if first_time else begun:
            cohorts.setdefault(period(one.time), one.time)
        for cohort, since in cohorts.items():
            sizes[cohort] = sizes.get(cohort, 0) + 1
            for later in {period(one.time) for one in journey if returns(one) and one.time >= since}:
                cells[cohort, later - cohort] = cells.get((cohort, later - cohort), 0) + 1
    return sizes, cells


def conversion(happenings, unit, goal, base, period):
    """Per period, and under None over all: the units of the base, those of them with a goal, and how many goals."""
    numbers = {}
    for journey in journeys(happenings, unit).values():
        for number in {period(one.time) for one in journey} | {None}:
            part = [one for one in journey if number in (None, period(one.time))]
            goals, based = sum(map(goal, part)), any(map(base, part))
            before = numbers.get(number, (0, 0, 0))
            numbers[number] = (before[0] + based, before[1] + (based and goals > 0), before[2] + goals)
    return {number: counts for number, counts in numbers.items() if any(counts)}


def walks(happenings, unit, anchor, page, among, *, steps, backward, collapse):
    """Of each unit with an anchor: the pages after (before) its first one, and None where the walk is over sooner."""
    found = {}
    for name, journey in journeys(happenings, unit).items():
        place = next((place for place, one in enumerate(journey) if anchor(one)), None)
        if place is None:
            continue
        beyond = journey[:place][::-1] if backward else journey[place + 1 :]
        pages = [page(one) for one in beyond if page(one) is not None and among(one)]
        if collapse:
            before = [page(journey[place]), *pages]
            pages = [page for page, last in zip(pages, before, strict=False) if page != last]
        found[name] = [*pages[:steps], *[None] * (len(pages) < steps)]
    return found


DAY = timedelta(days=1)
