"""Reading journals that are whole, torn, flipped, hostile, live, or on a failing disk."""

import contextlib
import errno
import os
import re
import stat
import subprocess
import tracemalloc
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditmw.journal import (
    Damage,
    FileReader,
    Journal,
    Line,
    dead_writers,
    is_live,
    journal_files,
    read_lines,
    seal,
    writer_of,
)
from journal_tools import body, needs_root, numbers, sound_lines, tmpfs

WRITER = "0190f3a2b4c51a2b3c4d"


def place(directory, content, name=f"{WRITER}.000001.jsonl"):
    """Put a file of a writer that is gone into an audit directory."""
    path = directory / "journal" / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(content)
    return path


def sealed(*seqs, size=0):
    return b"".join(seal(body(seq, size), seq) for seq in seqs)


def read(directory, **options):
    """What there is, and what is damaged."""
    damages = []
    lines = list(read_lines(directory, on_damage=damages.append, **options))
    return [line.seq for line in lines], damages


def shape(damages):
    return [(damage.offset, damage.length, damage.reason) for damage in damages]


# --- which files


def test_files_come_by_writer_and_number_and_only_regular_ones(tmp_path):
    names = ["a.000002.jsonl", "a.999999.jsonl", "a.1000000.jsonl", "b.000001.jsonl", "restored-a.1.jsonl"]
    for name in reversed(names):
        place(tmp_path, sealed(1), name)
    folder = tmp_path / "journal"
    for name in ["a.000003.jsonl.gz", "a.jsonl", ".a.000001.jsonl", "a.x.jsonl", "a.٣.jsonl", "notes.txt"]:
        place(tmp_path, sealed(1), name)
    (folder / "c.000001.jsonl").mkdir()
    (folder / "d.000001.jsonl").symlink_to(folder / "b.000001.jsonl")
    os.mkfifo(folder / "e.000001.jsonl")
    if os.geteuid() == 0:
        os.mknod(folder / "f.000001.jsonl", stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero
    assert [path.name for path in journal_files(tmp_path)] == names
    assert [writer_of(path) for path in journal_files(tmp_path)] == ["a", "a", "a", "b", "restored-a"]
    assert len(sound_lines(tmp_path)) == 5


def test_a_directory_without_a_journal_has_no_files_and_a_missing_one_is_an_error(tmp_path):
    assert journal_files(tmp_path) == []
    assert list(read_lines(str(tmp_path))) == []
    with pytest.raises(FileNotFoundError, match="nowhere"):
        journal_files(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        list(read_lines(tmp_path / "nowhere"))


def test_a_file_name_that_is_none_has_no_writer(tmp_path):
    with pytest.raises(ValueError, match="expected a journal file name"):
        writer_of(tmp_path / "notes.txt")


@pytest.mark.parametrize("kind", ["fifo", "link", "directory", "missing"])
def test_what_is_no_regular_file_is_not_live_and_has_no_lines(tmp_path, kind):
    path = tmp_path / f"{WRITER}.000001.jsonl"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(place(tmp_path, sealed(1)))
    elif kind == "directory":
        path.mkdir()
    assert not is_live(path)
    damages = []
    assert list(FileReader(path, on_damage=damages.append).lines()) == []
    assert [damage.reason.split(":")[0] for damage in damages] == ([] if kind == "missing" else ["unreadable"])


# --- whole lines


def test_a_line_says_where_it_stands_and_holds_the_event_as_it_was_emitted(tmp_path):
    journal = Journal(tmp_path)
    bodies = [b'{"a":1}', '{"b":"é☃"}'.encode(), b'{ "c" : [1, 2.50 , {"seq":7,"crc":"00000000"}] }']
    for each in bodies:
        journal.append(each)
    journal.close()
    lines = sound_lines(tmp_path)
    assert [(line.seq, line.body) for line in lines] == [(1, bodies[0]), (2, bodies[1]), (3, bodies[2])]
    content = lines[0].file.read_bytes()
    assert [content[line.offset :].startswith(line.body[:-1]) for line in lines] == [True] * 3
    assert lines[0] == Line(journal_files(tmp_path)[0], 0, 1, bodies[0])


def test_lines_longer_than_a_chunk_are_read_whole(tmp_path):
    place(tmp_path, sealed(1, 2, 3, size=900_000))
    assert read(tmp_path) == ([1, 2, 3], [])


def test_reading_can_be_stopped_and_resumed_at_any_line(tmp_path):
    path = place(tmp_path, sealed(*range(1, 21)))
    reader = FileReader(path)
    seen = []
    for stop in [1, 3, 0, 5, 11]:
        for line in reader.lines():
            seen.append(line.seq)
            if len(seen) >= stop:
                break
    assert sorted(set(seen)) == seen
    seen += [line.seq for line in reader.lines()]
    assert seen == list(range(1, 21))
    assert reader.offset == path.stat().st_size
    place(tmp_path, path.read_bytes() + sealed(21, 22))
    assert [line.seq for line in reader.lines()] == [21, 22]


# --- damage


@settings(max_examples=60, deadline=None)
@given(data=st.data(), sizes=st.lists(st.integers(0, 300), min_size=1, max_size=8))
def test_any_truncation_gives_exactly_the_complete_lines_before_it(tmp_path_factory, data, sizes):
    directory = tmp_path_factory.mktemp("cut")
    content = b"".join(seal(body(n, size), n) for n, size in enumerate(sizes, 1))
    cut = data.draw(st.integers(0, len(content)))
    path = place(directory, content[:cut])
    complete = content[:cut].count(b"\n")
    torn = cut - (content.rfind(b"\n", 0, cut) + 1)
    found, damages = read(directory)
    assert found == list(range(1, complete + 1))
    assert shape(damages) == ([(cut - torn, torn, "torn tail")] if torn else [])
    for damage in damages:
        assert damage.file == path
        assert damage.quarantined.read_bytes() == content[cut - torn : cut]
    assert path.read_bytes() == content[:cut]


def test_every_flip_of_one_byte_loses_at_most_the_lines_it_touches_and_is_reported(tmp_path):
    content = sealed(1, 2, 3, 4)
    ends = [match.end() for match in re.finditer(b"\n", content)]
    path = place(tmp_path, content)
    for position in range(len(content)):
        line = sum(end <= position for end in ends)
        touched = {line + 1, line + 2} if position + 1 in ends else {line + 1}
        for flip in (1, 0x80, 0xFF, content[position] ^ 0x0A):  # the last makes it a line feed
            if not flip:
                continue
            path.write_bytes(content[:position] + bytes([content[position] ^ flip]) + content[position + 1 :])
            found, damages = read(tmp_path, quarantine=False)
            assert set(found) == {1, 2, 3, 4} - touched
            bytes_lost = [damage for damage in damages if damage.length]
            start = ends[line - 1] if line else 0
            assert [damage.offset for damage in bytes_lost] == [start]
            assert bytes_lost[0].file == path
            assert start <= position < start + bytes_lost[0].length
            missing = sum(damage.missing for damage in damages)
            assert missing == len([seq for seq in touched if 1 < seq < 4 and max(found) > seq > min(found)])


def test_damage_in_the_middle_is_reported_with_its_bytes_and_its_missing_numbers(tmp_path):
    lines = [seal(body(n), n) for n in range(1, 7)]
    bad = lines[2].replace(b'"n":3', b'"n":9') + lines[3][:-5] + b"\n"
    path = place(tmp_path, b"".join([*lines[:2], bad, *lines[4:]]))
    offset = len(lines[0] + lines[1])
    found, damages = read(tmp_path)
    assert found == [1, 2, 5, 6]
    quarantined = tmp_path / "quarantine" / f"{path.name}.{offset}.bad"
    assert damages == [
        Damage(path, offset, len(bad), "bad checksum", quarantined),
        Damage(path, offset + len(bad), 0, "gap in sequence", None, missing=2),
    ]
    assert quarantined.read_bytes() == bad
    assert path.read_bytes() == b"".join([*lines[:2], bad, *lines[4:]])


@pytest.mark.parametrize(
    ("junk", "reason"),
    [
        pytest.param(b"\n", "not a journal line", id="empty line"),
        pytest.param(b"\0" * 5000 + b"\n", "not a journal line", id="zeros"),
        pytest.param(b'{"event":"x"}\n', "not a journal line", id="JSON without seal"),
        pytest.param(b'{"a":1,"seq":9,"crc":"00000000"}\n', "bad checksum", id="wrong checksum"),
        pytest.param(b"<html>\r\n\xff\xfe\n" * 1000, "not a journal line", id="another file"),
        pytest.param(b"[" * 200_000 + b"\n", "not a journal line", id="deep JSON"),
        pytest.param(b"x" * 3_000_000 + b"\n", "line too long", id="3 MB line"),
        pytest.param(b"A1 ffffffff" + b"\0" * 2_000_000 + b"\n", "line too long", id="length field"),
    ],
)
@pytest.mark.parametrize("where", ["start", "middle", "end"])
def test_junk_is_one_stretch_of_damage_and_costs_no_line(tmp_path, junk, reason, where):
    before, after = {"start": ((), (1, 2)), "middle": ((1,), (2,)), "end": ((1, 2), ())}[where]
    place(tmp_path, sealed(*before) + junk + sealed(*after))
    found, damages = read(tmp_path)
    assert found == [1, 2]
    assert shape(damages) == [(len(sealed(*before)), len(junk), reason)]
    assert damages[0].quarantined.read_bytes() == junk


def test_a_tail_of_zeros_is_torn(tmp_path):
    """What ext4 and XFS may leave after a power failure: the length of the file, but not its data."""
    content = sealed(1, 2)
    place(tmp_path, content + bytes(70_000))
    assert [shape(damages) for damages in [read(tmp_path)[1]]] == [[(len(content), 70_000, "torn tail")]]


def test_lines_inside_of_a_damaged_one_are_not_believed(tmp_path):
    """What a client sent stands in an event as JSON, and could be a whole line but for its line feed."""
    forged = seal(b'{"user":"admin"}', 7)
    place(tmp_path, b'{"data":' + forged[:-1] + b',"seq":1,"crc":"00000000"}\n' + sealed(2))
    assert read(tmp_path)[0] == [2]


def test_a_sparse_file_of_a_tebibyte_is_read_at_once_and_costs_no_memory(tmp_path):
    path = place(tmp_path, sealed(1))
    with path.open("r+b") as file:
        file.truncate(2**40)
        file.seek(2**40)
        file.write(b"\n" + sealed(2))
    tracemalloc.start()
    found, damages = read(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == [1, 2]
    assert shape(damages) == [(len(sealed(1)), 2**40 - len(sealed(1)) + 1, "line too long")]
    assert damages[0].quarantined.stat().st_size == 32 * 2**20  # the copy of a hole is cut
    assert peak < 5_000_000


def test_a_sparse_tail_of_a_tebibyte_is_torn(tmp_path):
    path = place(tmp_path, sealed(1))
    with path.open("r+b") as file:
        file.truncate(2**40)
    assert shape(read(tmp_path, quarantine=False)[1]) == [(len(sealed(1)), 2**40 - len(sealed(1)), "torn tail")]


@pytest.mark.parametrize("limit", [100, 1000])
def test_a_smaller_limit_for_lines_holds(tmp_path, limit):
    path = place(tmp_path, sealed(1) + sealed(2, size=limit) + sealed(3))
    damages = []
    found = [line.seq for line in FileReader(path, on_damage=damages.append, max_line_bytes=limit).lines()]
    assert found == [1, 3]
    assert [damage.reason for damage in damages] == ["line too long"]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=200),
            st.just(b"\n"),
            st.integers(1, 50).map(lambda n: seal(body(n), n)),
            st.integers(1, 50).map(lambda n: seal(body(n), n)[:-9]),
        ),
        max_size=12,
    )
)
def test_every_byte_of_any_file_is_a_line_or_damage_and_never_both(tmp_path_factory, pieces):
    directory = tmp_path_factory.mktemp("any")
    content = b"".join(pieces)
    path = place(directory, content)
    damages = []
    covered = Counter()
    reader = FileReader(path, on_damage=damages.append, max_line_bytes=150)
    for line in reader.lines():
        covered.update(range(line.offset, reader.offset))
        assert content[line.offset : reader.offset] == seal(line.body, line.seq)
    for damage in damages:
        assert damage.length > 0
        covered.update(range(damage.offset, damage.offset + damage.length))
    assert covered == Counter(range(len(content)))


# --- gaps


def test_missing_numbers_are_told_and_a_first_file_that_is_gone_is_no_gap(tmp_path):
    place(tmp_path, sealed(11, 12, 15), f"{WRITER}.000002.jsonl")
    path = place(tmp_path, sealed(16, 20), f"{WRITER}.000004.jsonl")
    other = place(tmp_path, sealed(1, 3), "b.000001.jsonl")
    found, damages = read(tmp_path)
    assert found == [11, 12, 15, 16, 20, 1, 3]
    assert [(damage.file, damage.missing, damage.reason) for damage in damages] == [
        (path.with_name(f"{WRITER}.000002.jsonl"), 2, "gap in sequence"),
        (path, 3, "gap in sequence"),
        (other, 1, "gap in sequence"),
    ]
    assert [damage.offset for damage in damages] == [len(sealed(11, 12)), len(sealed(16)), len(sealed(1))]


def test_a_number_that_turns_up_in_the_next_file_is_not_missing(tmp_path):
    """After a failed sync a writer writes lines again, and the old file may have lost any of them."""
    lines = [seal(body(n), n) for n in range(1, 6)]
    place(tmp_path, lines[0] + bytes(len(lines[1])) + b"\n" + lines[2] + lines[3], f"{WRITER}.000001.jsonl")
    place(tmp_path, sealed(2, 3, 4, 5), f"{WRITER}.000002.jsonl")
    found, damages = read(tmp_path)
    assert found == [1, 3, 4, 2, 3, 4, 5]
    assert [damage.reason for damage in damages] == ["not a journal line"]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=60))
def test_what_is_missing_is_what_was_never_seen(seqs):
    from auditmw.journal.numbers import Numbers

    told = []
    seen_numbers = Numbers(told.append)
    first, seen = seqs[0], set()
    for seq in seqs:
        seq = max(seq, first)
        assert seen_numbers.add(seq, "file", 0) == (seq not in seen)
        seen.add(seq)
    seen_numbers.close()
    missing = [number for gap in told for number in range(gap.first, gap.last + 1)]
    assert sorted(missing) == sorted(set(range(first, max(seen) + 1)) - seen)


def test_a_forged_file_with_gaps_everywhere_does_not_fill_the_memory(tmp_path):
    place(tmp_path, sealed(*range(1, 10_000, 2)))
    damages = []
    lines = read_lines(tmp_path, on_damage=damages.append)
    held = [2 * index - 2 * len(damages) for index, _ in enumerate(lines)]
    assert len(held) == 5000
    assert max(held) <= 2002  # two numbers to a gap, and a thousand gaps at most
    assert len(damages) == 4999
    assert sum(damage.missing for damage in damages) == 4999


# --- live files


def test_an_incomplete_line_of_a_live_file_is_not_there_yet_and_of_a_dead_one_is_torn(tmp_path):
    journal = Journal(tmp_path)
    journal.append(body(1))
    path = journal.path
    line = seal(body(2), 2)
    with path.open("ab") as file:
        file.write(line[:10])
    damages = []
    reader = FileReader(path, on_damage=damages.append)
    assert [each.seq for each in reader.lines()] == [1]
    assert [each.seq for each in reader.lines()] == []
    with path.open("ab") as file:
        file.write(line[10:] + line[:5])
    assert [each.seq for each in reader.lines()] == [2]
    assert damages == []
    journal.close()
    assert [each.seq for each in reader.lines()] == []
    assert shape(damages) == [(len(sealed(1, 2)), 5, "torn tail")]
    assert [each.seq for each in reader.lines()] == []
    assert len(damages) == 1


def test_a_line_that_is_completed_just_before_its_writer_dies_is_not_torn(tmp_path, monkeypatch):
    path = place(tmp_path, sealed(1)[:10])
    calls = []

    def dies_now(file):
        calls.append(file)
        path.write_bytes(sealed(1))
        return False

    monkeypatch.setattr("auditmw.journal.reader.is_live", dies_now)
    assert read(tmp_path) == ([1], [])
    assert calls == [path]


def test_a_file_that_is_removed_while_it_is_read_is_read_to_its_end(tmp_path):
    path = place(tmp_path, sealed(*range(1, 1001), size=1000))
    lines = FileReader(path).lines()
    next(lines)
    path.unlink()
    assert len(list(lines)) == 999


def test_a_file_that_is_removed_between_listing_and_reading_is_nothing(tmp_path):
    path = place(tmp_path, sealed(1))
    place(tmp_path, sealed(1), "b.000001.jsonl")
    lines = read_lines(tmp_path)
    assert next(lines).file == path
    (tmp_path / "journal" / "b.000001.jsonl").unlink()
    assert list(lines) == []


def test_a_reader_that_is_not_read_to_the_end_leaves_no_descriptor(tmp_path):
    place(tmp_path, sealed(*range(1, 11)))
    before = os.listdir("/proc/self/fd")
    lines = read_lines(tmp_path)
    next(lines)
    lines.close()
    assert os.listdir("/proc/self/fd") == before


def test_only_writers_that_are_gone_are_dead(tmp_path):
    live, gone = Journal(tmp_path, rotate_bytes=1), Journal(tmp_path)
    for journal in (live, gone):
        journal.append(body(1))
        journal.append(body(2))
    assert dead_writers(tmp_path) == frozenset()
    gone.close()
    assert dead_writers(tmp_path) == {gone.writer}
    live.close()
    assert dead_writers(tmp_path) == {gone.writer, live.writer}


def test_a_writer_that_locks_its_file_while_one_looks_is_not_dead(tmp_path, monkeypatch):
    """It had created the file at the first look, but not locked it yet."""
    place(tmp_path, sealed(1))
    answers = iter([False, True])
    monkeypatch.setattr("auditmw.journal.layout.is_live", lambda file: next(answers))
    assert dead_writers(tmp_path) == frozenset()


def test_a_writer_that_goes_on_to_its_next_file_while_one_looks_is_not_dead(tmp_path, monkeypatch):
    place(tmp_path, sealed(1))
    monkeypatch.setattr(
        "auditmw.journal.layout.is_live",
        lambda file: place(tmp_path, sealed(2), f"{WRITER}.000002.jsonl") is None,
    )
    assert dead_writers(tmp_path) == frozenset()


def test_a_writer_whose_only_file_is_empty_is_about_to_begin(tmp_path):
    place(tmp_path, b"")
    assert dead_writers(tmp_path) == frozenset()


# --- disks and permissions


def test_a_page_that_cannot_be_read_costs_its_lines_only(tmp_path, monkeypatch):
    path = place(tmp_path, sealed(*range(1, 301), size=100))
    pread, bad = os.pread, range(8192, 12288)

    def failing(fd, count, offset):
        if offset in bad:
            raise OSError(errno.EIO, "Input/output error")
        stop = bad.start if offset < bad.start < offset + count else offset + count
        return pread(fd, stop - offset, offset)

    monkeypatch.setattr(os, "pread", failing)
    found, damages = read(tmp_path)
    (damage, gap) = damages
    end = damage.offset + damage.length
    assert damage.offset <= 8192 < 12288 <= end
    assert damage.length < 4096 + 300  # the page, and the lines that reach into it
    assert gap.missing == 300 - len(found)
    monkeypatch.undo()
    content = path.read_bytes()
    assert damage.quarantined.read_bytes() == (content[damage.offset : 8192] + bytes(4096) + content[12288:end])


@pytest.mark.parametrize("size", [10, 2_000_000], ids=["in a line", "in a line too long"])
def test_a_failure_in_the_middle_of_a_file_is_told_and_what_follows_is_not_called_torn(tmp_path, monkeypatch, size):
    place(tmp_path, sealed(1) + b"x" * size + b"\n" + sealed(2))
    pread, failing = os.pread, [True]

    def fail(fd, count, offset):
        if failing and offset >= len(sealed(1)) + 5:
            raise OSError(errno.ESTALE, "Stale file handle")
        return pread(fd, min(count, max(len(sealed(1)) + 5 - offset, 1)) if failing else count, offset)

    monkeypatch.setattr(os, "pread", fail)
    damages = []
    reader = FileReader(journal_files(tmp_path)[0], on_damage=damages.append)
    assert [line.seq for line in reader.lines()] == [1]
    assert [damage.reason for damage in damages] == ["unreadable: Stale file handle"]
    failing.clear()
    assert [line.seq for line in reader.lines()] == [2]
    assert len(damages) == 2


def test_a_file_that_fails_in_another_way_is_unreadable_and_the_next_is_read(tmp_path, monkeypatch):
    first = place(tmp_path, sealed(1))
    place(tmp_path, sealed(1), "b.000001.jsonl")
    pread = os.pread

    def failing(fd, count, offset):
        if os.readlink(f"/proc/self/fd/{fd}") == str(first):
            raise OSError(errno.ESTALE, "Stale file handle")
        return pread(fd, count, offset)

    monkeypatch.setattr(os, "pread", failing)
    found, damages = read(tmp_path)
    assert found == [1]
    assert damages == [Damage(first, 0, 0, "unreadable: Stale file handle")]


@pytest.mark.skipif(os.geteuid() != 0, reason="drops rights, which needs root")
def test_a_file_without_permission_is_unreadable_told_once_and_taken_for_live(tmp_path):
    pid = os.fork()
    if not pid:
        status = 1
        try:
            path = place(tmp_path, sealed(1))
            path.chmod(0)
            for parent in tmp_path.parents:
                if str(parent).startswith("/tmp/"):
                    parent.chmod(0o755)
            tmp_path.chmod(0o755)
            os.setuid(65534)
            damages = []
            reader = FileReader(path, on_damage=damages.append)
            assert list(reader.lines()) + list(reader.lines()) == []
            assert [damage.reason for damage in damages] == ["unreadable: Permission denied"]
            assert is_live(path)
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


def test_damage_is_copied_aside_once_and_stays(tmp_path):
    place(tmp_path, sealed(1) + b"junk\n" + sealed(2) + b"torn")
    for _ in range(3):
        _, damages = read(tmp_path)
        assert [damage.quarantined.read_bytes() for damage in damages] == [b"junk\n", b"torn"]
        copies = sorted((tmp_path / "quarantine").iterdir())
        assert len(copies) == 2
        assert {stat.S_IMODE(path.stat().st_mode) for path in copies} == {0o640}
        stamps = [path.stat().st_mtime_ns for path in copies]
    read(tmp_path)
    assert [path.stat().st_mtime_ns for path in copies] == stamps


def test_without_quarantine_nothing_is_written(tmp_path):
    place(tmp_path, b"junk\n")
    _, damages = read(tmp_path, quarantine=False)
    assert damages[0].quarantined is None
    assert [path.name for path in tmp_path.iterdir()] == ["journal"]


@needs_root
def test_on_a_read_only_disk_damage_is_told_all_the_same(tmp_path):
    with tmpfs(tmp_path / "disk", "size=1m") as disk:
        place(disk, sealed(1) + b"junk\n")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        found, damages = read(disk)
        assert found == [1]
        assert [damage.quarantined for damage in damages] == [None]


def test_a_quarantine_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "quarantine").symlink_to("elsewhere")
    place(tmp_path, b"junk\n")
    assert [damage.quarantined for damage in read(tmp_path)[1]] == [None]
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_copy_that_cannot_be_finished_leaves_nothing(tmp_path, monkeypatch):
    place(tmp_path, b"junk\n")
    monkeypatch.setattr(os, "rename", lambda *args, **kwargs: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    assert [damage.quarantined for damage in read(tmp_path)[1]] == [None]
    assert list((tmp_path / "quarantine").iterdir()) == []


def test_an_error_of_the_one_who_is_told_about_damage_is_his(tmp_path):
    place(tmp_path, b"junk\n" + sealed(1))

    def fail(damage):
        raise OSError("mine")

    with pytest.raises(OSError, match="mine"):
        list(read_lines(tmp_path, on_damage=fail))


def test_numbers_of_the_tools_are_those_of_the_files(tmp_path):
    place(tmp_path, sealed(1, 2))
    assert numbers(tmp_path) == [1, 2]


def test_a_listing_that_saw_a_later_file_and_not_an_earlier_one_is_made_again(tmp_path, monkeypatch):
    """As readdir(3) may, while a writer makes files."""
    names = [f"01a1fe95d352acdfd682.{number:06d}.jsonl" for number in (1, 2, 3, 4)]
    (tmp_path / "journal").mkdir()
    for name in names:
        (tmp_path / "journal" / name).write_bytes(b"")
    listings = [[names[0], names[2]], names]
    listed = os.scandir

    @contextlib.contextmanager
    def scandir(folder):
        seen = listings.pop(0)
        with listed(folder) as entries:
            yield [entry for entry in entries if entry.name in seen]

    monkeypatch.setattr(os, "scandir", scandir)
    assert [file.name for file in journal_files(tmp_path)] == names[:3]
