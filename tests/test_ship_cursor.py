"""Which lines of a writer are new to a reader, whatever the order in which files hold them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditmw.journal import seal
from auditmw.journal.cursor import Cursor, CursorError, Position
from auditmw.ship.source import Source
from ship_conformance import body


@given(st.lists(st.integers(1, 40), min_size=1, max_size=120))
def test_each_number_is_new_once_behind_the_first_one(numbers):
    at, seen = Position(), set()
    for offset, number in enumerate(numbers):
        at, new = at.after("w.000001.jsonl", offset, number)
        expected = number not in seen and (not seen or number > numbers[0])
        assert new == expected
        seen.add(number) if new else None
        missing = {n for first, last in at.missing for n in range(first, last + 1)}
        assert missing == set(range(numbers[0], at.seq + 1)) - seen
        assert at.seq == max(seen)


def test_too_many_gaps_are_joined_so_that_no_line_is_taken_for_an_old_one():
    at = Position()
    for number in range(1, 1001, 2):
        at, new = at.after("w.000001.jsonl", number, number)
        assert new
    assert len(at.missing) == 100
    for number in range(2, 1000, 2):
        at, new = at.after("w.000002.jsonl", number, number)
        assert new


@given(st.binary(max_size=300))
def test_no_bytes_whatever_are_taken_for_a_cursor(data):
    with pytest.raises(CursorError, match="here"):
        Cursor.decode(data, source="here")


def test_a_sealed_line_that_is_no_json_is_damage(tmp_path):
    (tmp_path / "journal").mkdir()
    lines = [seal(body(1), 1), seal(b'{"a":nope}', 2), seal(b"[1,2]}"[:-1] + b"}", 3), seal(body(4), 4)]
    (tmp_path / "journal" / "w.000001.jsonl").write_bytes(b"".join(lines))
    told = []
    portion = Source(tmp_path, max_events=10, max_bytes=10_000, on_damage=told.append).next(Cursor("j"))
    assert [entry.seq for entry in portion.batch] == [1, 4]
    assert [damage.reason for damage in told] == ["not JSON", "not JSON"]
    assert portion.after.counts == {"damaged": 2}
