"""Importing whole inputs: every line once, whatever was imported before, and whatever goes wrong."""

import errno
import fcntl
import gzip
import multiprocessing
import os
import pickle
import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditmw.formats.line import FormatError
from auditmw.formats.registry import format_named
from auditmw.importing.chunks import Chunk, Cutter
from auditmw.importing.events import Origin
from auditmw.importing.importer import Importer
from auditmw.importing.inputs import open_input
from auditmw.importing.intake import Report, expect_format, sample_lines
from auditmw.importing.interrupt import Interrupt
from auditmw.importing.ledger import Ledger
from auditmw.importing.locks import InputLocks
from auditmw.importing.workers import Setup, Work, Workers
from auditmw.journal import journal_files, writer_of
from log_lines import Plain, combined, events, log, paths
from servers import poll


def numbers(*values):
    return b"".join(b"%d\n" % value for value in values)


def run(directory, *files, parser=Plain, chunk_bytes=64, count=1, recorded=None, **hooks):
    """Import the files; what came of each."""
    reports = []
    known = recorded or (lambda: set(map(writer_of, journal_files(directory))))
    with Importer(Setup(str(directory)), recorded=known, count=count, chunk_bytes=chunk_bytes, **hooks) as importer:
        for file in files:
            report = Report(str(file))
            reports.append(report)
            with open_input(str(file)) as source:
                importer.run(source, lambda name, lines: parser(), report)
    return reports


def counts(report):
    return report.imported, report.known, report.rejected, report.ignored


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "access.log"
    file.write_bytes(numbers(*range(1, 101)))
    return file


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "audit"


ALL = [f"/{n}" for n in range(1, 101)]


# --- once


def test_every_line_becomes_an_event(directory, file, check_event):
    (report,) = run(directory, file)
    assert counts(report) == (100, 0, 0, 0)
    assert (report.format, report.lines, report.problem) == ("plain", 100, None)
    assert paths(directory) == ALL
    assert len(journal_files(directory)) > 3
    for event in events(directory):
        check_event({**event, "http": {}})


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda file: file, id="the same file"),
        pytest.param(lambda file: file.rename(file.with_name("access.log.1")), id="its rotated copy"),
        pytest.param(lambda file: compressed(file), id="its compressed copy"),
    ],
)
def test_the_same_lines_are_not_imported_twice(directory, file, change):
    run(directory, file)
    (report,) = run(directory, change(file))
    assert counts(report) == (0, 100, 0, 0)
    assert paths(directory) == ALL


def compressed(file):
    packed = file.with_name("access.log.gz")
    packed.write_bytes(gzip.compress(file.read_bytes()))
    return packed


def test_what_was_appended_since_is_imported(directory, file):
    run(directory, file)
    with file.open("ab") as log_file:
        log_file.write(numbers(101, 102))
    (report,) = run(directory, file)
    assert counts(report) == (2, 100, 0, 0)
    assert paths(directory) == [*ALL, "/101", "/102"]


def test_after_copytruncate_the_copy_is_known_and_the_file_is_new(directory, file):
    run(directory, file)
    copy = file.with_name("access.log.1")
    copy.write_bytes(file.read_bytes())
    file.write_bytes(numbers(200, 201))
    assert [counts(report) for report in run(directory, copy, file)] == [(0, 100, 0, 0), (2, 0, 0, 0)]


def test_what_the_archive_took_is_known_too(directory, file):
    run(directory, file)
    archived = [writer_of(journal_file) for journal_file in journal_files(directory)]
    for journal_file in journal_files(directory):
        journal_file.unlink()
    (report,) = run(directory, file, recorded=lambda: archived)
    assert counts(report) == (0, 100, 0, 0)
    assert journal_files(directory) == []


def test_a_chunk_that_is_missing_is_imported_and_nothing_else(directory, file):
    run(directory, file)
    lost = journal_files(directory)[2]
    before = paths(directory)
    lost.unlink()
    gone = len(before) - len(paths(directory))
    (report,) = run(directory, file)
    assert counts(report) == (gone, 100 - gone, 0, 0)
    assert paths(directory) == ALL


def test_another_size_of_chunks_makes_no_difference(directory, file):
    run(directory, file, chunk_bytes=40)
    assert counts(run(directory, file, chunk_bytes=1000)[0]) == (0, 100, 0, 0)


def test_the_ids_are_those_of_the_line_however_it_is_cut(directory, file, tmp_path):
    run(directory, file, chunk_bytes=40)
    run(tmp_path / "other", compressed(file), chunk_bytes=1000)
    assert [event["id"] for event in events(directory)] == [event["id"] for event in events(tmp_path / "other")]
    assert len({event["id"] for event in events(directory)}) == 100


def test_several_processes_do_the_same_as_one(directory, file, tmp_path):
    (report,) = run(directory, file, count=2)
    assert counts(report) == (100, 0, 0, 0)
    run(tmp_path / "other", file)
    assert sorted(map(writer_of, journal_files(directory))) == sorted(map(writer_of, journal_files(tmp_path / "other")))
    assert [event["id"] for event in events(directory)] == [event["id"] for event in events(tmp_path / "other")]


def test_two_at_once_import_every_line_once(directory, file):
    context = multiprocessing.get_context("spawn")  # the locks are those of processes
    ours, theirs = context.Pipe()
    other = context.Process(target=import_and_tell, args=(theirs, str(directory), str(file)))

    def once_the_first_has_begun():
        other.start()
        assert ours.recv() == "waits"
        return set()

    (report,) = run(directory, file, recorded=once_the_first_has_begun)
    assert ours.recv() == (0, 100, 0, 0)
    other.join()
    assert counts(report) == (100, 0, 0, 0)
    assert paths(directory) == ALL


def import_and_tell(connection, directory, file):
    """In a process of its own: import, and tell when it waits and what came of it."""
    (report,) = run(directory, file, on_wait=lambda report: connection.send("waits"))
    connection.send(counts(report))


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(st.tuples(st.integers(0, 40), st.integers(20, 200), st.booleans()), min_size=1, max_size=5))
def test_a_file_that_grows_and_is_imported_again_and_again_has_every_line_once(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("growing")
    directory, file = folder / "audit", folder / "access.log"
    file.touch()
    written = 0
    for more, chunk_bytes, forget in steps:
        with file.open("ab") as log_file:
            log_file.write(numbers(*range(written + 1, written + more + 1)))
        written += more
        if forget and directory.exists():
            for journal_file in journal_files(directory)[:1]:
                journal_file.unlink()
        run(directory, file, chunk_bytes=chunk_bytes)
        assert paths(directory) == [f"/{n}" for n in range(1, written + 1)]


# --- the last line


def test_a_last_line_without_an_end_is_imported_when_it_is_complete(directory, file):
    file.write_bytes(b"1\n2")
    assert counts(run(directory, file)[0]) == (2, 0, 0, 0)
    assert counts(run(directory, file)[0]) == (0, 2, 0, 0)


def test_a_last_line_that_is_not_complete_is_left_for_the_next_run(directory, file):
    file.write_bytes(b"1\n2 and")
    (report,) = run(directory, file)
    assert (counts(report), report.incomplete_bytes) == ((1, 0, 0, 0), 5)
    file.write_bytes(b"1\n2 and more\n3\n")
    assert counts(run(directory, file)[0]) == (1, 1, 1, 0)


def test_a_last_line_that_goes_on_after_all_is_told(directory, file):
    file.write_bytes(b"1\n2")
    run(directory, file)
    file.write_bytes(b"1\n23\n4\n")
    (report,) = run(directory, file)
    assert counts(report) == (1, 2, 1, 0)
    assert report.first_rejects[0].reason.startswith("the rest of a line")
    assert paths(directory) == ["/1", "/2", "/4"]


def test_of_a_compressed_file_the_last_line_is_the_last(directory, file):
    file.write_bytes(b"1\n2 and")
    (report,) = run(directory, compressed(file))
    assert (counts(report), report.incomplete_bytes) == ((1, 0, 1, 0), 0)


# --- headers


def test_what_a_header_says_holds_for_the_chunks_that_follow(directory, file):
    file.write_bytes(b"#2\n" + numbers(*range(100)) + b"#3\n" + numbers(*range(100, 200)))
    (report,) = run(directory, file)
    expected = [f"/{n * 2}" for n in range(100)] + [f"/{n * 3}" for n in range(100, 200)]
    assert counts(report) == (200, 0, 0, 2)
    assert paths(directory) == expected
    with file.open("ab") as log_file:
        log_file.write(numbers(200))
    run(directory, file)
    assert paths(directory) == [*expected, "/600"]


def test_a_header_of_one_file_says_nothing_of_the_next(directory, tmp_path):
    first, second = tmp_path / "1.log", tmp_path / "2.log"
    first.write_bytes(b"#2\n" + numbers(1))
    second.write_bytes(numbers(1, 2))
    run(directory, first, second)
    assert paths(directory) == ["/2", "/1", "/2"]


# --- what is no line of the format


def test_rejected_lines_are_told_in_order_and_do_not_stop_the_others(directory, file):
    told = []
    file.write_bytes(numbers(*range(50)) + b"bad\n" + numbers(51) + b"worse\n\n")
    (report,) = run(directory, file, count=2, on_reject=lambda report, reject: told.append((reject.line, reject.raw)))
    assert counts(report) == (51, 0, 2, 1)
    assert told == [(51, b"bad"), (53, b"worse")]
    assert [reject.line for reject in report.first_rejects] == [51, 53]


def test_only_the_first_rejects_are_kept(directory, file):
    file.write_bytes(numbers(*range(120)) + b"bad\n" * 100)
    (report,) = run(directory, file)
    assert report.rejected == 100
    assert len(report.first_rejects) == 3


def test_an_input_of_another_format_is_not_imported_at_all(directory, file):
    file.write_bytes(b"bad\n" * 30 + numbers(*range(20)))
    with pytest.raises(
        FormatError, match=r"access\.log: 30 of the first 50 lines are not plain; line 1: expected a num"
    ):
        run(directory, file)
    assert journal_files(directory) == []


@pytest.mark.parametrize(
    ("lines", "fits"),
    [
        pytest.param([b"1", b"bad"], True, id="half"),
        pytest.param([b"1", b"bad", b"worse"], False, id="more than half"),
        pytest.param([b"#2", b"", b"bad"], False, id="headers and blank lines are none"),
        pytest.param([b"", b""], True, id="nothing"),
        pytest.param([], True, id="no line"),
        pytest.param([b"bug"], False, id="a mistake in the format"),
    ],
)
def test_a_format_fits_when_half_of_the_first_lines_are_of_it(lines, fits):
    if fits:
        expect_format("access.log", Plain(), lines)
    else:
        with pytest.raises(FormatError):
            expect_format("access.log", Plain(), lines)


def test_looking_at_the_first_lines_leaves_the_format_as_it_is():
    parser = Plain()
    expect_format("access.log", parser, [b"#7", b"1"])
    assert parser.factor == 1


@pytest.mark.parametrize(
    ("head", "at_end", "lines"),
    [
        pytest.param(b"a\nb\nc", False, [b"a", b"b"], id="more may come"),
        pytest.param(b"a\nb\nc", True, [b"a", b"b", b"c"], id="all there is"),
        pytest.param(b"a\nb\n", True, [b"a", b"b"], id="with an end"),
        pytest.param(b"a", False, [], id="not even one"),
        pytest.param(b"a\n" * 200, True, [b"a"] * 100, id="no more than needed"),
    ],
)
def test_the_first_lines_are_those_that_are_complete(head, at_end, lines):
    assert sample_lines(head, at_end=at_end) == lines


@pytest.mark.parametrize("content", [b"", b"\n\n", b"  \n"], ids=["empty", "blank lines", "a blank line"])
def test_an_input_without_lines_makes_no_events(directory, file, content):
    file.write_bytes(content)
    (report,) = run(directory, file)
    assert (report.imported, report.rejected, report.problem) == (0, 0, None)
    assert journal_files(directory) == []


def test_a_line_of_any_length_is_rejected_without_being_held(directory, file):
    with file.open("wb") as log_file:
        log_file.write(numbers(1))
        log_file.seek(300 << 20)  # a hole: the file takes no room
        log_file.write(b"\n" + numbers(2))
    (report,) = run(directory, file, chunk_bytes=1 << 20)
    assert counts(report) == (2, 0, 1, 0)
    reject = report.first_rejects[0]
    assert (reject.line, reject.offset, len(reject.raw)) == (2, 2, 1024)
    assert reject.reason == f"expected a line of at most 1048576 bytes, not {(300 << 20) - 2}"


def test_a_long_first_line_does_not_keep_the_others_out(directory, file):
    file.write_bytes(b"1" * (3 << 20) + b"\n" + numbers(2))
    (report,) = run(directory, file)
    assert counts(report) == (1, 0, 1, 0)
    assert events(directory)[0]["source"]["line"] == 2


# --- damage


@pytest.mark.parametrize("cut", [-1, -9, -40])
def test_of_a_truncated_file_what_is_there_is_imported_and_the_rest_told(directory, file, cut):
    file.write_bytes(numbers(*range(1, 3000)))
    packed = compressed(file)
    packed.write_bytes(packed.read_bytes()[:cut])
    (report,) = run(directory, packed)
    assert "damaged gzip data" in report.problem
    assert report.imported > 1000
    assert paths(directory) == [f"/{n}" for n in range(1, report.imported + 1)]
    assert counts(run(directory, file)[0]) == (2999 - report.imported, report.imported, 0, 0)


def test_what_a_killed_import_left_behind_is_removed(directory, file):
    (directory / "journal").mkdir(parents=True)
    (directory / "journal" / ".123.abc.unfinished").write_bytes(b"half of a chunk")
    run(directory, file)
    assert not [name for name in os.listdir(directory / "journal") if name.startswith(".")]


def test_a_directory_that_cannot_be_made_is_an_error_before_anything_is_read(tmp_path, file):
    (tmp_path / "audit").write_text("a file")
    with pytest.raises(NotADirectoryError):
        run(tmp_path / "audit", file)


class FullDisk:
    """Takes the place of os.write: what is written after the first `room` bytes fails."""

    def __init__(self, room):
        self.room = room
        self.write = os.write

    def __call__(self, fd, data):
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.write(fd, data)


def test_when_the_disk_is_full_what_was_written_stays_and_the_next_run_goes_on(directory, file, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", FullDisk(40_000))
        with pytest.raises(OSError, match="No space left"):
            run(directory, file)
    done = paths(directory)
    assert 0 < len(done) < 100
    assert done == ALL[: len(done)]
    assert [name for name in os.listdir(directory / "journal") if name.startswith(".")] == []
    assert counts(run(directory, file)[0]) == (100 - len(done), len(done), 0, 0)
    assert paths(directory) == ALL


@pytest.mark.parametrize("failing", [0, 2, 4, 5])
def test_whatever_chunk_cannot_be_written_the_report_tells_of_all_others(directory, file, failing):
    """A chunk of every process may fail, and be the last one to end."""
    os.makedirs(directory / "journal")
    names = [work.chunk.span.writer for work in works(file, directory)]
    (directory / "journal" / f"{names[failing]}.000001.jsonl").mkdir()  # a rename to a directory fails
    report = Report(str(file))
    with (
        Importer(Setup(str(directory)), recorded=set, count=2, chunk_bytes=48) as importer,
        open_input(str(file)) as source,
        pytest.raises(IsADirectoryError),
    ):
        importer.run(source, lambda name, lines: Plain(), report)
    assert report.imported == len(paths(directory))


# --- processes


def works(file, directory, count=6):
    """The chunks of a file, as an importer gives them."""
    cutter = Cutter(Ledger(), chunk_bytes=48)
    chunks = [*cutter.feed(file.read_bytes()), *cutter.flush()]
    assert all(isinstance(chunk, Chunk) for chunk in chunks)
    assert len(chunks) >= count
    return [Work(chunk, pickle.dumps(Plain()), Origin("access.log", "0" * 16)) for chunk in chunks[:count]]


def submit_all(workers, given, tell):
    for work in given:
        workers.submit(work, tell)
    workers.drain()


def interrupted(times):
    """What Ctrl-C does, so often, to a process that does something."""
    for _ in range(times):
        os.kill(os.getpid(), signal.SIGINT)
    poll(lambda: False, "the signal")


def test_a_process_that_is_killed_costs_its_chunk_and_is_told(directory, file):
    workers, told = Workers(Setup(str(directory)), 2), []
    try:
        first, second, *others = works(file, directory)
        workers.submit(first, told.append)
        workers.submit(second, told.append)
        for process in workers._processes:
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        with pytest.raises(ChildProcessError, match="its chunk was not written"):
            submit_all(workers, others, told.append)
        workers.give_up()
    finally:
        workers.close()
    assert len(told) <= 2


def test_results_are_told_in_the_order_of_the_chunks(directory, file):
    workers, told = Workers(Setup(str(directory)), 3), []
    try:
        given = works(file, directory)
        submit_all(workers, given, told.append)
    finally:
        workers.close()
    assert [done.span for done in told] == [work.chunk.span for work in given]
    assert len(journal_files(directory)) == len(given)


def test_one_chunk_starts_no_process(directory, file):
    workers, told = Workers(Setup(str(directory)), 3), []
    workers.submit(works(file, directory)[0], told.append)
    assert (told, workers._processes) == ([], [])
    workers.drain()
    assert (len(told), workers._processes) == (1, [])
    workers.close()


def test_processes_end_when_their_parent_lets_go_of_them(directory, file):
    workers = Workers(Setup(str(directory)), 2)
    for work in works(file, directory):
        workers.submit(work, lambda done: None)
    processes = workers._processes
    workers.close()
    assert not any(process.is_alive() for process in processes)


# --- Ctrl-C


def test_ctrl_c_is_kept_until_it_tears_nothing():
    with Interrupt() as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        poll(lambda: interrupt.asked, "the signal")
        with pytest.raises(KeyboardInterrupt), interrupt.waiting():
            pytest.fail("nothing more was to be begun")
    assert signal.getsignal(signal.SIGINT) is not interrupt._heed


def test_ctrl_c_ends_a_wait_at_once():
    with Interrupt() as interrupt, pytest.raises(KeyboardInterrupt), interrupt.waiting():
        interrupted(1)


def test_a_second_ctrl_c_is_not_kept():
    with Interrupt(), pytest.raises(KeyboardInterrupt):
        interrupted(2)


def test_after_ctrl_c_what_was_in_work_is_written_and_the_next_run_goes_on(directory, file):
    def interrupt(report, position):
        os.kill(os.getpid(), signal.SIGINT)

    file.write_bytes(numbers(*(10**4000 + n for n in range(900))))
    with pytest.raises(KeyboardInterrupt):
        run(directory, file, chunk_bytes=200_000, on_progress=interrupt)
    done = len(paths(directory))
    assert 0 < done < 900
    assert counts(run(directory, file, chunk_bytes=200_000)[0]) == (900 - done, done, 0, 0)


# --- locks


def test_two_inputs_do_not_keep_each_other_out(tmp_path):
    with InputLocks(tmp_path) as locks:
        assert locks.acquire("0" * 16, wait=False)
        assert locks.acquire("f" * 16, wait=False)
        locks.release("f" * 16)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.apply(try_locks, (str(tmp_path),)) == {"0": False, "8": True, "f": True}


def try_locks(directory):
    """In a process of its own: which locks can be had."""
    with InputLocks(directory) as locks:
        return {digit: locks.acquire(digit * 16, wait=False) for digit in "08f"}


def test_without_locks_on_the_file_system_the_import_goes_on(tmp_path, monkeypatch):
    def no_locks(*arguments):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "lockf", no_locks)
    with InputLocks(tmp_path) as locks:
        assert locks.acquire("0" * 16, wait=False)
        locks.release("0" * 16)


# --- a real format


def test_real_lines_are_valid_events(directory, tmp_path, check_event):
    file = tmp_path / "access.log"
    file.write_bytes(log(*range(20)) + combined(20, target="/a?token=s3cret") + b"\n")
    (report,) = run(directory, file, parser=lambda: format_named("combined"), chunk_bytes=500)
    assert counts(report) == (21, 0, 0, 0)
    for event in events(directory):
        check_event(event)
