"""Sets of numbers as ranges are sets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditmw.archive.ranges import Ranges
from auditmw.archive.seen import Seen

sets = st.sets(st.integers(1, 60))


def ranges(numbers):
    return Ranges((number, number) for number in numbers)


@given(sets, sets, st.integers(0, 61), st.integers(0, 20))
def test_ranges_are_sets(some, others, first, more):
    one, other = ranges(some), ranges(others)
    assert list(one) == sorted(some)
    assert len(one) == len(some)
    assert bool(one) == bool(some)
    assert list(one | other) == sorted(some | others)
    assert list(one - other) == sorted(some - others)
    assert (one == other) == (some == others)
    assert (first in one) == (first in some)
    assert one.overlaps(first, first + more) == any(number in some for number in range(first, first + more + 1))
    assert Ranges.parse(str(one)) == one
    assert all(last + 1 < first for (_, last), (first, _) in zip(one.pairs, one.pairs[1:], strict=False))


@given(sets, st.lists(st.integers(1, 60)))
def test_a_number_is_new_once(known, numbers):
    seen = Seen(ranges(known))
    expected = set()
    for number in numbers:
        assert seen.add(number) == (number not in known | expected)
        expected.add(number)
    assert set(seen.added) == expected - known


def test_ranges_are_written_shortly():
    assert str(Ranges([(1, 3), (4, 9), (12, 12)])) == "1-9,12"
    assert str(Ranges()) == ""
    with pytest.raises(ValueError, match="invalid literal"):
        Ranges.parse("1-x")
