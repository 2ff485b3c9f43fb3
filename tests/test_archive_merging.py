"""Small parts of a day become one, at a bounded cost."""

from __future__ import annotations

from datetime import datetime, timedelta

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive_events import DAY, archived, assert_once, body, numbered, parquet, seen, write_file
from auditmw.archive.manifest import Part
from auditmw.archive.merging import plan

TARGET = 64 * 2**20


def parts(*sizes):
    now = datetime(2026, 11, 20)
    return [Part(f"2026-11-20/{n:03d}.parquet", 1, size, "", now, now, now) for n, size in enumerate(sizes)]


def sizes(group):
    return [part.bytes for part in group]


@pytest.mark.parametrize(
    ("found", "over", "merged"),
    [
        pytest.param((), True, [], id="nothing"),
        pytest.param((5,), True, [], id="one"),
        pytest.param((5, 5), True, [5, 5], id="two of a day that is over"),
        pytest.param((5, 5, 5), False, [], id="three of today"),
        pytest.param((5, 5, 5, 5), False, [5, 5, 5, 5], id="four of today"),
        pytest.param(
            (9, 5, 20, 5, 5, 5), False, [5, 5, 5, 5, 9, 20], id="with larger ones that are no larger together"
        ),
        pytest.param((1, 1, 1, 100), True, [1, 1, 1], id="without one that is much larger"),
        pytest.param((1, 100, 100), True, [100, 100], id="without one that is much smaller"),
        pytest.param((40, 40), True, [], id="not beyond the target"),
    ],
)
def test_parts_of_a_kind_are_put_together(found, over, merged):
    assert sizes(plan(parts(*found), over=over, target_bytes=64 if 40 in found else 10**6)) == merged


@given(st.lists(st.integers(1, TARGET), max_size=40), st.booleans())
def test_a_plan_has_at_least_two_parts_and_not_more_than_the_target(found, over):
    group = plan(parts(*found), over=over)
    assert len(group) != 1
    assert sum(sizes(group)) <= TARGET
    assert len({part.file for part in group}) == len(group)


@given(st.lists(st.integers(1, 3 * 2**20), min_size=1, max_size=300), st.booleans())
def test_a_byte_is_rewritten_few_times_and_few_parts_remain(arrivals, over):
    present, rewritten, count = [], 0, 0
    for size in arrivals:
        count += 1
        present.append(parts(size)[0].__class__(**{**vars(parts(size)[0]), "file": f"d/{count}"}))
        while group := plan(present, over=over):
            count += 1
            total = sum(sizes(group))
            rewritten += total
            present = [part for part in present if part not in group]
            present.append(parts(total)[0].__class__(**{**vars(parts(total)[0]), "file": f"d/{count}"}))
    assert rewritten <= 8 * sum(arrivals)
    assert len(present) <= 40 + sum(arrivals) / (TARGET / 4)


def test_a_merged_part_has_all_rows_in_order(tmp_path):
    bodies = [body(n * 7 % 50) for n in range(50)]
    for file in range(5):
        write_file(tmp_path, f"w{file}", 1, bodies[file * 10 : file * 10 + 10])
        archived(tmp_path, target_bytes=1)
    assert len(parquet(tmp_path)) == 5
    report = archived(tmp_path)
    assert (report.merged, len(parquet(tmp_path))) == (5, 1)
    expected = [line for file in range(5) for line in numbered(f"w{file}", bodies[file * 10 : file * 10 + 10])]
    assert_once(seen(tmp_path), expected)
    times = duckdb.sql(
        'SELECT "time" FROM read_parquet($f)', params={"f": str(tmp_path / "archive" / parquet(tmp_path)[0])}
    ).fetchall()
    assert times == sorted(times)
    assert archived(tmp_path).merged == 0


def test_parts_of_today_wait_until_there_are_more(tmp_path):
    for file in range(4):
        write_file(tmp_path, f"w{file}", 1, [body(file)])
        assert archived(tmp_path, now=lambda: DAY + timedelta(hours=5)).merged == (4 if file == 3 else 0)
    assert len(parquet(tmp_path)) == 1
