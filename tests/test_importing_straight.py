"""Importing straight into the archive: every line once, as by way of the journal, and whatever goes wrong."""

import fcntl
from functools import partial

import pytest

from auditmw.archive import Snapshot, archive, prune
from auditmw.archive.depositing import deposit
from auditmw.archive.error import ArchiveError
from auditmw.archive.layout import Layout
from auditmw.archive.lock import leadership
from auditmw.archive.manifest import archived_writers, load
from auditmw.formats.registry import format_named
from auditmw.importing.importer import Importer
from auditmw.importing.inputs import open_input
from auditmw.importing.intake import Report
from auditmw.importing.locks import InputLocks
from auditmw.importing.workers import Setup
from auditmw.journal import journal_files, writer_of
from log_lines import combined, log


def recorded(directory):
    return {*map(writer_of, journal_files(directory)), *archived_writers(directory)}


def run(directory, *files, take=None, count=1, chunk_bytes=2048):
    """Import the files; what came of each."""
    reports = [Report(str(file)) for file in files]
    options = {"recorded": lambda: recorded(directory), "take": take or partial(deposit, directory)}
    with Importer(Setup(str(directory)), count=count, chunk_bytes=chunk_bytes, **options) as importer:
        for report in reports:
            with open_input(report.name) as source:
                importer.run(source, lambda name, lines: format_named("combined"), report)
    return reports


def counts(report):
    return report.imported, report.coming, report.known, report.rejected


def paths(directory):
    with Snapshot(directory).view() as view:
        rows = view.connection.execute(f"SELECT path FROM {view.relation()} ORDER BY time").fetchall()
    return [path for (path,) in rows]


ALL = [f"/page/{number}" for number in range(100)]


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "audit"


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "access.log"
    file.write_bytes(log(*range(100)))
    return file


@pytest.mark.parametrize("count", [1, 2])
def test_the_lines_are_in_the_archive_and_never_were_in_the_journal(directory, file, count):
    (report,) = run(directory, file, count=count)
    assert counts(report) == (100, 0, 0, 0)
    assert paths(directory) == ALL
    assert journal_files(directory) == []
    assert not (directory / "incoming").exists()


def test_the_second_time_nothing_is_new(directory, file):
    run(directory, file)
    (report,) = run(directory, file)
    assert counts(report) == (0, 0, 100, 0)
    file.write_bytes(file.read_bytes() + log(100, 101))
    (report,) = run(directory, file)
    assert counts(report) == (2, 0, 100, 0)
    assert paths(directory) == [*ALL, "/page/100", "/page/101"]


def test_a_copy_in_the_same_run_is_known_before_the_first_is_in_the_archive(directory, file):
    copy = file.with_name("access.log.1")
    copy.write_bytes(file.read_bytes())
    assert [counts(report) for report in run(directory, file, copy)] == [(100, 0, 0, 0), (0, 0, 100, 0)]
    assert paths(directory) == ALL


def test_what_was_pruned_is_not_imported_again(directory, file):
    run(directory, file)
    prune(directory, max_bytes=0)
    archive(directory)
    (report,) = run(directory, file)
    assert counts(report) == (0, 0, 100, 0)


def test_small_files_go_together(directory, tmp_path):
    files = [tmp_path / f"access.log.{number}" for number in range(5)]
    for number, file in enumerate(files):
        file.write_bytes(log(*range(20 * number, 20 * number + 20)))
    batches = []

    def take(deposits):
        batches.append(len(deposits))
        deposit(directory, deposits)

    assert sum(report.imported for report in run(directory, *files, take=take)) == 100
    assert batches == [5]
    assert paths(directory) == ALL


def test_of_what_cannot_be_taken_nothing_counts_and_the_next_run_goes_on(directory, file):
    def take(deposits):
        raise ArchiveError("no space")

    report = Report(str(file))
    with (
        pytest.raises(ArchiveError, match="no space"),
        Importer(Setup(str(directory)), recorded=lambda: recorded(directory), chunk_bytes=2048, take=take) as importer,
        open_input(report.name) as source,
    ):
        importer.run(source, lambda name, lines: format_named("combined"), report)
    assert counts(report) == (0, 100, 0, 0)
    assert not (directory / "incoming").exists()
    (report,) = run(directory, file)
    assert counts(report) == (100, 0, 0, 0)
    assert paths(directory) == ALL


def test_what_was_taken_before_an_error_stays(directory, file, monkeypatch):
    monkeypatch.setattr("auditmw.importing.depot._MOST_ROWS", 30)
    taken = []

    def take(deposits):
        if taken:
            raise ArchiveError("no space")
        taken.extend(deposits)
        deposit(directory, deposits)

    with pytest.raises(ArchiveError, match="no space"):
        run(directory, file, take=take)
    assert paths(directory) == ALL[: sum(each.rows for each in taken)]
    (report,) = run(directory, file)
    assert report.known == len(ALL) - report.imported == sum(each.rows for each in taken)
    assert paths(directory) == ALL


def test_a_pipe_that_brings_few_lines_at_a_time_fills_the_journal(directory, file):
    class Slow:
        """A pipe that has nothing for a while, after its first lines."""

        name, base_name, size_bytes, may_grow, position_bytes = "-", "stdin", None, False, 0

        def __init__(self):
            self.blocks = [log(*range(10)), None, None, log(*range(10, 100)), b""]

        def has_news(self, seconds):
            return self.blocks[0] is not None or self.blocks.pop(0)

        def read(self, count):
            return self.blocks.pop(0)

    report = Report("-")
    with Importer(
        Setup(str(directory)), recorded=lambda: recorded(directory), take=partial(deposit, directory)
    ) as importer:
        importer.run(Slow(), lambda name, lines: format_named("combined"), report)
    assert counts(report) == (100, 0, 0, 0)
    assert len(journal_files(directory)) == 1
    assert paths(directory) == ALL


def test_other_formats_go_by_way_of_the_journal(directory, file):
    report = Report(str(file))
    with (
        Importer(
            Setup(str(directory)), recorded=lambda: recorded(directory), take=partial(deposit, directory)
        ) as importer,
        open_input(report.name) as source,
    ):
        importer.run(source, lambda name, lines: format_named("nginx:extended"), report)
    assert counts(report) == (100, 0, 0, 0)
    assert len(journal_files(directory)) == 1


def test_while_another_process_archives_an_import_waits(directory, file, monkeypatch):
    directory.mkdir()
    monkeypatch.setattr("auditmw.archive.depositing._PATIENCE_SECONDS", 0.0)
    with leadership(Layout(directory)), pytest.raises(ArchiveError, match="another process has archived"):
        run(directory, file)
    run(directory, file)
    assert paths(directory) == ALL


def test_when_memory_does_not_suffice_more_is_taken(directory, file):
    run(directory, file, take=partial(deposit, directory, memory_bytes=4 * 1024 * 1024))
    assert paths(directory) == ALL


def test_the_parts_of_a_deposit_name_their_writers_once(directory, tmp_path):
    file = tmp_path / "access.log"
    lines = [combined(number).replace(b"20/Nov", b"%02d/Nov" % (1 + number % 3)) for number in range(30)]
    file.write_bytes(b"".join(line + b"\n" for line in lines))
    run(directory, file)
    manifest = load(Layout(directory))
    assert len(manifest.parts) == 3
    assert [bool(part.sources) for part in manifest.parts].count(True) == 1
    (directory / "archive" / "manifest.json").unlink()
    archive(directory)
    (report,) = run(directory, file)
    assert counts(report) == (0, 0, 30, 0)


def test_a_lock_is_held_until_it_was_let_go_of_as_often_as_it_was_taken(tmp_path, monkeypatch):
    let_go = []
    lockf = fcntl.lockf
    monkeypatch.setattr(fcntl, "lockf", lambda fd, how, *place: (let_go.append(how), lockf(fd, how, *place)))
    with InputLocks(tmp_path) as locks:
        for _ in range(2):
            assert locks.acquire("0123456789abcdef", wait=False)
        locks.release("0123456789abcdef")
        assert fcntl.LOCK_UN not in let_go
        locks.release("0123456789abcdef")
        assert let_go[-1] == fcntl.LOCK_UN
