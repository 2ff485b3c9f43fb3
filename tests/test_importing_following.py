"""Files that grow: what is appended is imported once, through every kind of rotation."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive_events import archived, seen
from auditmw.archive import archived_writers
from auditmw.formats.line import FormatError
from auditmw.importing.following import LINGER_SECONDS, SETTLE_SECONDS, FollowedFile
from auditmw.importing.importer import Importer
from auditmw.importing.inputs import open_input
from auditmw.importing.intake import Report
from auditmw.importing.workers import Setup
from auditmw.journal import journal_files, writer_of
from log_lines import Plain, paths


def numbers(*values):
    return b"".join(b"%d\n" % value for value in values)


class Following:
    """A followed file, with a clock that goes when it is told to."""

    def __init__(self, folder, choose=lambda name, lines: Plain()):
        self.directory, self.path = folder / "audit", folder / "access.log"
        self.importer = Importer(Setup(str(self.directory)), recorded=self.recorded)
        self.report = Report(str(self.path))
        self.file = FollowedFile(self.importer.desk, choose, self.report)
        self.now = 0.0

    def recorded(self):
        return {*map(writer_of, journal_files(self.directory)), *archived_writers(self.directory)}

    def append(self, *values, end=b""):
        with self.path.open("ab") as log_file:
            log_file.write(numbers(*values) + end)

    def poll(self, seconds=0.25):
        self.now += seconds
        return self.file.poll(self.now)

    def settled(self):
        """What is imported once everything that was written has had its time."""
        self.poll()
        self.poll(SETTLE_SECONDS)
        return [int(path[1:]) for path in paths(self.directory)]

    def close(self):
        self.file.settle()
        self.file.close()
        self.importer.__exit__()

    def __enter__(self):
        self.importer.__enter__()
        return self

    def __exit__(self, *exception):
        self.close()


@pytest.fixture
def following(tmp_path):
    with Following(tmp_path) as followed:
        yield followed


def test_what_is_there_and_what_is_appended_is_imported(following):
    following.append(1, 2)
    assert following.settled() == [1, 2]
    following.append(3)
    assert following.settled() == [1, 2, 3]
    assert following.report.imported == 3
    assert following.report.format == "plain"


def test_lines_are_written_together_and_not_one_by_one(following):
    for number in range(8):
        following.append(number)
        following.poll()
    assert following.settled() == list(range(8))
    assert len(journal_files(following.directory)) == 1


def test_nothing_is_held_back_longer_than_the_time_to_settle(following):
    following.append(1)
    assert following.poll()
    following.poll(SETTLE_SECONDS)
    assert paths(following.directory) == ["/1"]


def test_a_line_that_is_not_complete_waits_for_its_end(following):
    following.append(1, end=b"2")
    assert following.settled() == [1]
    following.append(3)
    assert following.settled() == [1, 23]
    assert following.report.rejected == 0


def test_a_file_may_appear_later(following):
    assert not following.poll()
    assert "No such file" in following.report.problem
    following.append(1)
    assert following.settled() == [1]
    assert following.report.problem is None


def test_an_empty_file_waits_for_its_first_line(following):
    following.path.touch()
    assert following.settled() == []
    following.append(end=b"1")
    assert following.settled() == []
    following.append(2)
    assert following.settled() == [12]


def test_after_a_rename_both_files_are_followed_until_the_old_one_is_still(following):
    following.append(1, 2)
    following.settled()
    old = following.path.rename(following.path.with_name("access.log.1"))
    with old.open("ab") as log_file:  # nginx, before it is told to open the new one
        log_file.write(numbers(3))
    assert following.settled() == [1, 2, 3]
    following.append(10)
    following.poll()
    with old.open("ab") as log_file:
        log_file.write(numbers(4))
    assert sorted(following.settled()) == [1, 2, 3, 4, 10]
    following.poll(LINGER_SECONDS + 1)
    assert len(following.file._files) == 1
    with old.open("ab") as log_file:
        log_file.write(numbers(5))
    assert sorted(following.settled()) == [1, 2, 3, 4, 10]


def test_the_last_line_of_a_file_that_lost_its_name_needs_no_end(following):
    following.append(1, end=b"2")
    following.settled()
    following.path.rename(following.path.with_name("access.log.1"))
    following.append(10)
    following.settled()
    following.poll(LINGER_SECONDS + 1)
    assert sorted(following.settled()) == [1, 2, 10]


def test_two_rotations_between_two_looks_at_the_log_lose_nothing_that_had_the_name(following):
    following.append(1)
    following.settled()
    following.path.rename(following.path.with_name("access.log.1"))
    following.append(2)
    following.settled()
    following.path.rename(following.path.with_name("access.log.2"))
    following.append(3)
    assert sorted(following.settled()) == [1, 2, 3]


def test_copytruncate_begins_a_new_file_under_the_same_inode(following):
    following.append(1, 2, 3)
    following.settled()
    os.truncate(following.path, 0)
    following.append(7)
    assert sorted(following.settled()) == [1, 2, 3, 7]


def test_copytruncate_is_seen_even_when_the_file_is_longer_again(following):
    following.append(1, 2, 3)
    following.settled()
    os.truncate(following.path, 0)
    following.append(*range(100, 130))
    assert sorted(following.settled()) == [1, 2, 3, *range(100, 130)]


def test_the_copy_of_copytruncate_is_known(following, tmp_path):
    following.append(1, 2, 3)
    following.settled()
    copy = tmp_path / "access.log.1"
    copy.write_bytes(following.path.read_bytes())
    os.truncate(following.path, 0)
    report = Report(str(copy))
    with open_input(str(copy)) as source:
        following.importer.run(source, lambda name, lines: Plain(), report)
    assert (report.imported, report.known) == (0, 3)


def test_what_another_import_took_meanwhile_is_passed_over(following):
    following.append(1, 2)
    following.settled()
    following.append(3, 4)
    report = Report(str(following.path))
    with open_input(str(following.path)) as source:
        following.importer.run(source, lambda name, lines: Plain(), report)
    assert (report.imported, report.known) == (2, 2)
    following.append(5)
    assert following.settled() == [1, 2, 3, 4, 5]
    assert (following.report.imported, following.report.known) == (3, 2)


def test_what_is_archived_under_one_name_is_passed_over(tmp_path):
    with Following(tmp_path) as following:
        for number in range(4):
            following.append(number)
            following.settled()
            archived(following.directory)
        following.append(4, 5)
        report = Report(str(following.path))
        with open_input(str(following.path)) as source:
            following.importer.run(source, lambda name, lines: Plain(), report)
        assert (report.imported, report.known) == (2, 4)
        archived(following.directory)
        assert len(archived_writers(following.directory)) == 1
        following.append(6)  # after two that somebody else took, and of which the name begins before them
        following.settled()
        assert (following.report.imported, following.report.known) == (5, 2)
    archived(following.directory)
    assert len(archived_writers(following.directory)) == 1
    with Following(tmp_path) as again:
        again.settled()
        assert (again.report.imported, again.report.known) == (0, 7)
    assert len(seen(tmp_path / "audit")) == 7


def test_a_recorded_chunk_is_not_cut_by_the_time_to_settle(tmp_path, monkeypatch):
    with Following(tmp_path) as following:
        following.append(*range(100))
        following.settled()
    monkeypatch.setattr("auditmw.importing.following._BLOCK_BYTES", 100)
    with Following(tmp_path) as again:
        again.poll()
        again.poll(SETTLE_SECONDS)  # a slow disk: more than one block is left
        while again.poll(SETTLE_SECONDS):
            pass
        again.settled()
        assert (again.report.imported, again.report.known) == (0, 100)


def test_the_end_does_not_cut_a_recorded_chunk_either(tmp_path, monkeypatch):
    with Following(tmp_path) as following:
        following.append(*range(100))
        following.settled()
    monkeypatch.setattr("auditmw.importing.following._BLOCK_BYTES", 100)
    with Following(tmp_path) as again:
        again.poll()
    assert again.report.imported == 0


def test_while_another_process_imports_the_file_it_waits(following, monkeypatch):
    following.append(1)
    following.settled()
    following.append(2)
    with monkeypatch.context() as patched:
        patched.setattr(following.importer.desk.locks, "acquire", lambda anchor, *, wait: False)
        assert following.settled() == [1]
    assert following.settled() == [1, 2]


def test_following_again_goes_on_where_it_stopped(tmp_path):
    for number in range(3):
        with Following(tmp_path) as followed:
            followed.append(number)
            assert followed.settled() == list(range(number + 1))


def test_what_was_read_is_written_when_it_ends(tmp_path):
    with Following(tmp_path) as followed:
        followed.append(1, 2)
        followed.poll()
    assert paths(followed.directory) == ["/1", "/2"]


def test_the_first_file_says_which_format_it_is_and_the_next_ones_have_the_same(tmp_path):
    asked = []

    def choose(name, lines):
        asked.append(lines)
        return Plain()

    with Following(tmp_path, choose) as followed:
        followed.append(1, 2)
        followed.settled()
        followed.path.rename(tmp_path / "access.log.1")
        followed.append(3)
        assert sorted(followed.settled()) == [1, 2, 3]
    assert asked == [[b"1", b"2"]]


def test_a_header_of_one_file_says_nothing_of_the_next(following):
    with following.path.open("wb") as log_file:
        log_file.write(b"#2\n" + numbers(1))
    following.settled()
    following.path.rename(following.path.with_name("access.log.1"))
    following.append(1)
    assert sorted(following.settled()) == [1, 2]


def test_a_file_of_another_format_is_refused(following):
    following.path.write_bytes(b"bad\n")
    with pytest.raises(FormatError, match="1 of the first 1 lines are not plain"):
        following.poll()


def test_what_is_no_file_is_told(following):
    following.path.mkdir()
    following.poll()
    assert "expected a file that grows, not a directory" in following.report.problem


steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 30)),
        st.sampled_from([("rename",), ("truncate",), ("settle",), ("poll",), ("again",)]),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(steps=steps)
def test_through_any_rotation_every_line_that_was_seen_is_imported_once(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("following")
    followed, written = Following(folder), 0
    followed.importer.__enter__()
    try:
        for number, (step, *more) in enumerate(steps):
            if step == "append":
                followed.append(*range(written, written + more[0]))
                written += more[0]
            elif step == "rename" and followed.path.exists():
                followed.settled()
                followed.path.rename(folder / f"old.{number}")
            elif step == "truncate" and followed.path.exists():
                followed.settled()  # what was not read before a truncation is in the copy alone
                os.truncate(followed.path, 0)
                followed.poll()
            elif step == "again":
                followed.settled()
                followed.close()
                followed = Following(folder)
                followed.importer.__enter__()
            elif step == "settle":
                followed.settled()
            else:
                followed.poll()
        assert sorted(followed.settled()) == list(range(written))
    finally:
        followed.close()
