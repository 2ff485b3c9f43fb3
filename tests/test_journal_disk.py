"""durability="disk": what sync promises, also when the disk breaks its word."""

import errno
import json
import os
import threading

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from auditmw.journal import Journal, JournalError, read_lines
from auditmw.journal import journal_files as list_files
from journal_tools import Clock, Failing, body, numbers, sound_lines, wait_until

EVENTS = 6


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def journal(tmp_path, clock):
    journal = Journal(tmp_path, durability="disk", clock=clock)
    yield journal
    journal.close()


def append_and_sync(journal, numbers):
    """Append and sync each; return those that are said to be on disk, and the errors of the others."""
    durable, errors = [], []
    for number in numbers:
        try:
            journal.append(body(number))
            journal.sync()
        except JournalError as error:
            errors.append(error)
        else:
            durable.append(number)
    return durable, errors


def distinct(directory):
    """The events that are in a directory, copies once."""
    return sorted({json.loads(line.body)["n"] for line in sound_lines(directory)})


def test_with_durability_os_sync_does_nothing(tmp_path, monkeypatch):
    journal = Journal(tmp_path)
    monkeypatch.setattr(os, "fdatasync", failing := Failing(os.fdatasync, [1]))
    journal.append(body(1))
    journal.sync()
    assert failing.calls == 0
    journal.close()


def test_sync_without_an_event_opens_nothing(journal, tmp_path):
    journal.sync()
    assert list(tmp_path.iterdir()) == []


def test_sync_asks_the_disk_once_for_what_was_appended_and_not_again(journal, monkeypatch):
    monkeypatch.setattr(os, "fdatasync", asked := Failing(os.fdatasync, ()))
    for number in range(3):
        journal.append(body(number))
    assert asked.calls == 0
    journal.sync()
    journal.sync()
    assert asked.calls == 1
    journal.append(body(3))
    journal.sync()
    assert asked.calls == 2


def test_a_new_file_and_new_directories_are_on_disk_before_the_first_line_is_acknowledged(tmp_path, monkeypatch):
    order = []

    def record(name, function):
        def call(fd, *args):
            if fd >= 0:
                order.append((name, os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))))
            return function(fd, *args)

        return call

    for name in ("fsync", "write", "fdatasync"):
        monkeypatch.setattr(os, name, record(name, getattr(os, name)))
    journal = Journal(tmp_path / "audit", durability="disk", rotate_bytes=1)
    append_and_sync(journal, range(2))
    first, second = (path.name for path in list_files(tmp_path / "audit"))
    assert order == [
        ("fsync", tmp_path.name),
        ("fsync", "audit"),
        ("fsync", "journal"),
        ("write", first),
        ("fdatasync", first),
        ("fsync", "journal"),
        ("write", second),
        ("fdatasync", second),
    ]
    journal.close()


def test_a_file_whose_directory_cannot_be_synced_is_not_used(journal, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", Failing(os.fsync, [2]))  # the first is that of the directory's parent
        with pytest.raises(JournalError, match="Input/output error"):
            journal.append(body(1))
        assert list_files(tmp_path) == []
    assert append_and_sync(journal, [2]) == ([2], [])
    assert numbers(tmp_path) == [2]


# --- fsyncgate


@pytest.mark.parametrize("k", range(1, EVENTS + 1))
def test_after_one_failed_sync_the_lines_are_in_a_new_file_before_sync_returns(journal, tmp_path, monkeypatch, k):
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", Failing(os.fdatasync, [k]))
        assert append_and_sync(journal, range(EVENTS)) == (list(range(EVENTS)), [])
    old, new = list_files(tmp_path)
    assert [json.loads(line)["n"] for line in old.read_bytes().splitlines()] == list(range(k))
    assert [json.loads(line)["n"] for line in new.read_bytes().splitlines()] == list(range(k - 1, EVENTS))
    assert [line.seq for line in sound_lines(tmp_path)] == [*range(1, k + 1), *range(k, EVENTS + 1)]
    stats = journal.stats()
    assert (stats["files_abandoned"], stats["files_opened"], stats["seq"]) == (1, 2, EVENTS)
    assert stats["bytes"] == old.stat().st_size + new.stat().st_size
    assert "Input/output error" in stats["last_error"]


def test_the_file_of_a_failed_sync_is_never_synced_or_written_again(journal, monkeypatch):
    seen = []

    def record(name, function):
        return lambda fd, *args: (fd >= 0 and seen.append((name, os.fstat(fd).st_ino)), function(fd, *args))[1]

    append_and_sync(journal, [0])
    bad = os.stat(journal.path).st_ino
    monkeypatch.setattr(os, "write", record("write", os.write))
    monkeypatch.setattr(os, "fdatasync", record("sync", Failing(os.fdatasync, [1])))
    append_and_sync(journal, range(1, 5))
    assert [name for name, file in seen if file == bad] == ["write", "sync"]
    assert len({file for _, file in seen}) == 2


def test_all_lines_since_the_last_good_sync_go_to_the_new_file(journal, tmp_path, monkeypatch):
    append_and_sync(journal, [0])
    for number in range(1, 5):
        journal.append(body(number))
    monkeypatch.setattr(os, "fdatasync", Failing(os.fdatasync, [1]))
    journal.sync()
    assert [json.loads(line)["n"] for line in list_files(tmp_path)[1].read_bytes().splitlines()] == [1, 2, 3, 4]


@pytest.mark.parametrize("k", range(1, EVENTS + 1))
def test_when_the_new_file_cannot_be_synced_either_sync_says_so_and_keeps_the_lines(
    journal, tmp_path, monkeypatch, clock, k
):
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", Failing(os.fdatasync, [k, k + 1]))
        durable, errors = append_and_sync(journal, range(EVENTS))
    assert durable == list(range(k - 1))  # for a second the broken disk is not asked again
    assert [(error.errno, error.reason) for error in errors] == [(errno.EIO, "Input/output error")] * (EVENTS - k + 1)
    assert distinct(tmp_path) == list(range(EVENTS))  # in the hands of the kernel all the same
    clock.now += 1.0
    journal.sync()
    last = [json.loads(line)["n"] for line in list_files(tmp_path)[-1].read_bytes().splitlines()]
    assert last == list(range(k - 1, EVENTS))


def test_a_disk_that_stays_broken_costs_two_files_a_second_and_no_request_more_than_one_try(
    journal, tmp_path, monkeypatch, clock
):
    monkeypatch.setattr(os, "fdatasync", failing := Failing(os.fdatasync, range(10**6)))
    for _ in range(5):
        durable, errors = append_and_sync(journal, range(100))
        assert (durable, len(errors)) == ([], 100)
        clock.now += 1.0
    assert failing.calls == 10
    assert len(list_files(tmp_path)) <= 11
    monkeypatch.undo()
    journal.sync()
    assert len(list_files(tmp_path)[-1].read_bytes().splitlines()) == 500


def test_a_failed_write_takes_the_unsynced_lines_along(journal, tmp_path, monkeypatch):
    append_and_sync(journal, [0])
    journal.append(body(1))
    journal.append(body(2))
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", Failing(os.write, [1]))
        journal.append(body(3))
    journal.sync()
    assert [json.loads(line)["n"] for line in list_files(tmp_path)[1].read_bytes().splitlines()] == [1, 2, 3]


def test_a_file_that_vanished_is_replaced_with_its_unsynced_lines(journal, tmp_path, clock):
    append_and_sync(journal, [0])
    journal.append(body(1))
    journal.path.unlink()
    clock.now += 1.0
    journal.append(body(2))
    journal.sync()
    assert numbers(tmp_path) == [1, 2]


def test_a_journal_that_cannot_sync_holds_a_bounded_number_of_lines_and_then_refuses(tmp_path, monkeypatch, clock):
    monkeypatch.setattr("auditmw.journal.writer._MAX_UNSYNCED_BYTES", 1000)
    journal = Journal(tmp_path, durability="disk", clock=clock)
    written, refused = [], []
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", Failing(os.fdatasync, range(10**6)))
        for number in range(100):
            try:
                journal.append(body(number))
            except JournalError as error:
                refused.append(str(error))
            else:
                written.append(number)
    assert len(refused) > 50
    assert all("Input/output error" in reason for reason in refused)
    assert sum(map(len, journal._unsynced)) < 1200
    clock.now += 1.0
    journal.append(body(2000))
    journal.sync()
    assert distinct(tmp_path) == [*written, 2000]
    assert journal._unsynced == []
    journal.close()


def test_appending_without_sync_holds_a_bounded_number_of_lines(tmp_path, monkeypatch):
    monkeypatch.setattr("auditmw.journal.writer._MAX_UNSYNCED_BYTES", 1000)
    journal = Journal(tmp_path, durability="disk")
    for number in range(1000):
        journal.append(body(number))
        assert sum(map(len, journal._unsynced)) == journal._unsynced_bytes < 1100
    assert numbers(tmp_path) == list(range(1000))
    journal.close()


def test_a_sync_whose_file_was_left_meanwhile_waits_for_the_new_one(journal, tmp_path, clock, monkeypatch):
    fdatasync, entered, go_on, synced = os.fdatasync, threading.Event(), threading.Event(), []

    def slow(fd):
        entered.set()
        assert go_on.wait(30)
        fdatasync(fd)
        synced.append(os.fstat(fd).st_ino)

    monkeypatch.setattr(os, "fdatasync", slow)
    thread = threading.Thread(target=append_and_sync, args=(journal, [0]))
    thread.start()
    assert entered.wait(30)
    journal.path.unlink()
    clock.now += 1.0
    journal.append(body(1))
    go_on.set()
    thread.join(30)
    assert synced[-1] == journal.path.stat().st_ino
    assert numbers(tmp_path) == [0, 1]
    assert journal.stats()["files_abandoned"] == 0


def test_an_append_that_waits_for_memory_waits_for_the_sync_under_way_and_no_longer(tmp_path, monkeypatch):
    monkeypatch.setattr("auditmw.journal.writer._MAX_UNSYNCED_BYTES", 1000)
    journal = Journal(tmp_path, durability="disk")
    fdatasync, entered, go_on = os.fdatasync, threading.Event(), threading.Event()

    def slow(fd):
        entered.set()
        assert go_on.wait(30)
        fdatasync(fd)

    monkeypatch.setattr(os, "fdatasync", slow)
    first = threading.Thread(target=append_and_sync, args=(journal, [0]))
    first.start()
    assert entered.wait(30)
    second = threading.Thread(target=lambda: [journal.append(body(number)) for number in range(1, 100)])
    second.start()
    wait_until(lambda: journal._unsynced_bytes >= 1000)
    go_on.set()
    first.join(30)
    second.join(30)
    third = threading.Thread(target=append_and_sync, args=(journal, [100]), daemon=True)
    third.start()
    third.join(10)
    assert not third.is_alive()
    assert numbers(tmp_path) == list(range(101))
    journal.close()


def test_a_file_that_is_old_is_closed_after_a_sync_though_there_always_is_something_to_sync(tmp_path, clock):
    journal = Journal(tmp_path, durability="disk", rotate_seconds=60, clock=clock)
    journal.append(body(1))
    clock.now += 61
    journal.append(body(2))  # with the first one not synced, it would have to be copied to the new file
    assert len(list_files(tmp_path)) == 1
    journal.sync()
    journal.append(body(3))
    assert [path.read_bytes().count(b"\n") for path in list_files(tmp_path)] == [2, 1]
    journal.close()


def test_closing_while_another_thread_syncs_loses_nothing(journal, tmp_path, monkeypatch):
    fdatasync, entered, go_on = os.fdatasync, threading.Event(), threading.Event()

    def slow(fd):
        entered.set()
        assert go_on.wait(30)
        fdatasync(fd)

    monkeypatch.setattr(os, "fdatasync", slow)
    thread = threading.Thread(target=append_and_sync, args=(journal, [0]))
    thread.start()
    assert entered.wait(30)
    with journal._lock:
        journal._close_file()
    go_on.set()
    thread.join(30)
    assert not thread.is_alive()
    journal.close()
    assert distinct(tmp_path) == [0]
    assert journal._unsynced == []


def test_close_syncs(journal, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fdatasync", asked := Failing(os.fdatasync, ()))
    journal.append(body(1))
    journal.close()
    assert asked.calls == 1
    assert journal.path is None


def test_close_lets_go_of_the_file_even_if_the_disk_is_broken(journal, clock, monkeypatch):
    journal.append(body(1))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", Failing(os.fdatasync, range(100)))
        with pytest.raises(JournalError, match="Input/output error"):
            journal.close()
    assert journal.path is None
    clock.now += 1.0


# --- many threads


def test_threads_that_wait_share_one_sync(tmp_path, monkeypatch):
    journal = Journal(tmp_path, durability="disk")
    fdatasync, entered, go_on, calls = os.fdatasync, threading.Event(), threading.Event(), []

    def slow(fd):
        calls.append(fd)
        entered.set()
        assert go_on.wait(30)
        fdatasync(fd)

    monkeypatch.setattr(os, "fdatasync", slow)
    threads = [threading.Thread(target=append_and_sync, args=(journal, [0]))]
    threads[0].start()
    assert entered.wait(30)
    appended = threading.Barrier(33)

    def run(number):
        journal.append(body(number))  # does not wait for the sync under way
        appended.wait(30)
        journal.sync()

    threads += [threading.Thread(target=run, args=(number,)) for number in range(1, 33)]
    for thread in threads[1:]:
        thread.start()
    appended.wait(30)
    assert len(calls) == 1
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert len(calls) == 2  # the first for one event, the second for 32
    assert sorted(numbers(tmp_path)) == list(range(33))
    journal.close()


@pytest.mark.parametrize("broken", [(), range(3, 1000, 7), range(3, 1000, 2)], ids=["sound", "now and then", "often"])
def test_what_sync_confirmed_to_any_of_16_threads_is_on_the_disk_that_fails_now_and_then(tmp_path, monkeypatch, broken):
    """A file is only worth what a sync of it, that did not fail, came after."""
    fdatasync, mutex, calls, safe = os.fdatasync, threading.Lock(), [0], set()

    def watch(fd):
        written = os.pread(os.open(f"/proc/self/fd/{fd}", os.O_RDONLY), 10**7, 0)
        with mutex:
            calls[0] += 1
            failing = calls[0] in broken
        if failing:
            raise OSError(errno.EIO, "Input/output error")
        fdatasync(fd)
        with mutex:
            safe.update(json.loads(line)["n"] for line in written.splitlines())

    monkeypatch.setattr(os, "fdatasync", watch)
    journal = Journal(tmp_path, durability="disk", rotate_bytes=1500)
    unsafe = []

    def run(thread):
        for number in range(1000 * thread, 1000 * thread + 20):
            journal.append(body(number))
            try:
                journal.sync()
            except JournalError:
                continue
            with mutex:
                if number not in safe:
                    unsafe.append(number)

    threads = [threading.Thread(target=run, args=(thread,)) for thread in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert unsafe == []
    assert distinct(tmp_path) == sorted(1000 * thread + number for thread in range(16) for number in range(20))
    assert len(list_files(tmp_path)) > 2
    journal.close()


# --- a model: any sequence of events, crashes and failures


class CrashMachine(RuleBasedStateMachine):
    """Appends, syncs, failing calls, power failures that take any part of what was not synced; reading after each."""

    @initialize()
    def begin(self):
        self.directory = self.make_directory()
        self.clock = Clock()
        self.durable, self.count, self.kept = [], 0, {}
        self.failing = {"write": set(), "fdatasync": set(), "ftruncate": set()}
        self.real = {name: getattr(os, name) for name in self.failing}
        self.calls = dict.fromkeys(self.failing, 0)
        for name in self.failing:
            setattr(os, name, self.watched(name))
        self.start()

    def start(self):
        self.journal = Journal(self.directory, durability="disk", rotate_bytes=400, clock=self.clock)
        self.appended = []

    def watched(self, name):
        def call(fd, *args):
            if fd >= 0:
                self.calls[name] += 1
            fault = self.calls[name] in self.failing[name] and fd >= 0
            if fault and name == "write" and self.calls[name] % 2:
                return self.real[name](fd, args[0][: len(args[0]) // 2])
            if fault:
                raise OSError(errno.EIO, "Input/output error")
            result = self.real[name](fd, *args)
            if name == "fdatasync":
                self.kept[os.fstat(fd).st_ino] = os.fstat(fd).st_size
            return result

        return call

    @rule(name=st.sampled_from(["write", "fdatasync", "ftruncate"]), ahead=st.sets(st.integers(1, 4), max_size=3))
    def something_will_fail(self, name, ahead):
        self.failing[name] |= {self.calls[name] + step for step in ahead}

    @rule(size=st.integers(0, 200))
    def append(self, size):
        self.count += 1
        try:
            self.journal.append(body(self.count, size))
        except JournalError:
            return
        self.appended.append(self.count)

    @rule()
    def sync(self):
        try:
            self.journal.sync()
        except JournalError:
            return
        self.durable += self.appended
        self.appended = []

    @rule(seconds=st.sampled_from([0.5, 1.0, 4000.0]))
    def time_passes(self, seconds):
        self.clock.now += seconds

    @rule()
    def the_process_dies(self):
        """All that append returned for is there: kill -9 takes nothing."""
        self.forget_journal()
        self.durable += self.appended
        self.check()
        for path in list_files(self.directory):
            self.kept[path.stat().st_ino] = path.stat().st_size
        self.start()

    @rule(data=st.data())
    def the_power_fails(self, data):
        """Of every file, any part of what was not synced is gone."""
        self.forget_journal()
        for path in list_files(self.directory):
            sure, size = self.kept.get(path.stat().st_ino, 0), path.stat().st_size
            # A share, not a count: which file comes first differs from run to run, and what is drawn may not.
            share = data.draw(st.integers(0, 1000))
            keep = size - max(0, size - sure) * (1000 - share) // 1000
            how = data.draw(st.sampled_from(["cut", "zeros"]))
            with path.open("r+b") as file:
                file.truncate(keep)
                if how == "zeros":
                    file.truncate(size)
        self.check()
        self.start()

    def forget_journal(self):
        """Let the descriptor and the lock go as the kernel does, without a word to the journal."""
        if self.journal._file is not None:
            self.journal._file.close()

    def check(self):
        found = {json.loads(line.body)["n"] for line in read_lines(self.directory)}
        assert set(self.durable) <= found, "a confirmed event is lost"
        assert found <= set(range(1, self.count + 1))

    @invariant()
    def everything_appended_can_be_read_now(self):
        if hasattr(self, "journal"):
            found = {json.loads(line.body)["n"] for line in read_lines(self.directory)}
            assert set(self.durable) | set(self.appended) <= found

    def teardown(self):
        if hasattr(self, "journal"):
            for name, function in self.real.items():
                setattr(os, name, function)
            self.forget_journal()


def test_no_sequence_of_failures_and_crashes_loses_a_confirmed_event(tmp_path):
    made = iter(range(10**6))

    class Machine(CrashMachine):
        def make_directory(self):
            directory = tmp_path / str(next(made))
            directory.mkdir()
            return directory

    Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
    Machine.TestCase("runTest").runTest()
