"""Forks, many processes on one directory, and processes that are killed in the middle of a write."""

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import journal_files
from auditmw.journal import Journal, dead_writers, is_live, read_lines, writer_of
from auditmw.journal import journal_files as list_files
from journal_tools import body, numbers, run_script, sound_lines, wait_until

DURABILITIES = pytest.mark.parametrize("durability", ["os", "disk"])


# --- forks


@DURABILITIES
def test_a_forked_child_is_a_writer_of_its_own_and_the_parent_notices_nothing(tmp_path, durability):
    run_script(
        """
import os, sys
from auditmw.journal import Journal, is_live
journal = Journal(sys.argv[1], durability=sys.argv[2])
for number in range(5):
    journal.append(b'{"n":%d}' % number)
writer, path = journal.writer, journal.path
child = os.fork()
if not child:
    assert journal.writer != writer
    assert journal.path is None
    assert journal.stats()["seq"] == 0
    assert str(path) not in [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
    assert is_live(path)  # the parent's lock is still there
    for number in range(100, 105):
        journal.append(b'{"n":%d}' % number)
    journal.sync()
    assert is_live(path)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert is_live(path)
assert (journal.writer, journal.path) == (writer, path)
for number in range(5, 10):
    journal.append(b'{"n":%d}' % number)
journal.close()
assert not is_live(path)
""",
        tmp_path,
        durability,
    )
    assert len(list_files(tmp_path)) == 2
    assert sorted(event["n"] for event in journal_files.events(tmp_path)) == [*range(10), *range(100, 105)]


def test_the_parents_file_is_free_when_the_parent_dies_though_its_child_lives_on(tmp_path):
    """A flock belongs to the open file, which a child shares until it closes its descriptor."""
    child = int(
        run_script(
            """
import os, signal, sys
from auditmw.journal import Journal
journal = Journal(sys.argv[1])
journal.append(b'{"n":1}')
child = os.fork()
if not child:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    signal.pause()
    os._exit(0)
print(child)
""",
            tmp_path,
        )
    )
    try:
        os.kill(child, 0)
        wait_until(lambda: not is_live(list_files(tmp_path)[0]))
    finally:
        os.kill(child, signal.SIGKILL)


@DURABILITIES
def test_a_child_of_a_fork_does_not_wait_for_a_lock_that_a_thread_of_the_parent_held(tmp_path, durability):
    run_script(
        """
import os, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on, a fork beside threads warns
from auditmw.journal import Journal
journal = Journal(sys.argv[1], durability=sys.argv[2])
journal.append(b'{"n":1}')
held, done = threading.Event(), threading.Event()
def hold():
    with journal._lock:
        held.set()
        done.wait(30)
thread = threading.Thread(target=hold)
thread.start()
held.wait(30)
child = os.fork()
if not child:
    journal.append(b'{"n":2}')
    journal.sync()
    journal.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
done.set()
thread.join()
journal.append(b'{"n":3}')
""",
        tmp_path,
        durability,
        seconds=20,
    )
    assert sorted(numbers(tmp_path)) == [1, 2, 3]


@DURABILITIES
def test_forks_in_the_middle_of_other_threads_appends_lose_and_double_nothing(tmp_path, durability):
    run_script(
        """
import os, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from auditmw.journal import Journal
sys.setswitchinterval(1e-5)
journal = Journal(sys.argv[1], durability=sys.argv[2], rotate_bytes=3_000)
stop = threading.Event()
counts = [0] * 4
def run(thread):
    while not stop.is_set():
        journal.append(b'{"n":%d}' % (1000000 * thread + counts[thread]))
        journal.sync()
        counts[thread] += 1
threads = [threading.Thread(target=run, args=(thread,)) for thread in range(4)]
for thread in threads: thread.start()
for number in range(30):
    child = os.fork()
    if not child:
        journal.append(b'{"n":%d}' % (9000000 + number))
        journal.sync()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for thread in threads: thread.join()
journal.append(b'{"counts":[%s],"n":-1}' % b",".join(b"%d" % count for count in counts))
""",
        tmp_path,
        durability,
    )
    events = journal_files.events(tmp_path)
    (counts,) = [event["counts"] for event in events if "counts" in event]
    expected = [1000000 * thread + number for thread in range(4) for number in range(counts[thread])]
    assert sorted(event["n"] for event in events) == [-1, *expected, *range(9000000, 9000030)]
    assert len({writer_of(path) for path in list_files(tmp_path)}) == 31


def test_a_child_of_a_fork_lets_go_of_a_file_that_a_thread_of_the_parent_syncs(tmp_path):
    """The thread is not in the child, but its frames are, and what they refer to is never freed."""
    run_script(
        """
import os, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from auditmw.journal import Journal
journal = Journal(sys.argv[1], durability="disk")
fdatasync, entered, done = os.fdatasync, threading.Event(), threading.Event()
def slow(fd):
    entered.set()
    done.wait(30)
    fdatasync(fd)
os.fdatasync = slow
journal.append(b'{"n":1}')
thread = threading.Thread(target=journal.sync)
thread.start()
entered.wait(30)
path = str(journal.path)
child = os.fork()
if not child:
    os.fdatasync = fdatasync
    assert path not in [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
    journal.append(b'{"n":2}')
    journal.sync()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
done.set()
thread.join()
""",
        tmp_path,
        seconds=20,
    )
    assert sorted(numbers(tmp_path)) == [1, 2]


@pytest.mark.parametrize("call", ["write", "fdatasync"])
def test_a_child_that_was_forked_in_the_middle_of_a_call_comes_out_of_it(tmp_path, call):
    """As by a signal handler of a server that restarts itself."""
    run_script(
        """
import os, sys
from auditmw.journal import Journal
journal = Journal(sys.argv[1], durability="disk")
for number in range(5):
    journal.append(b'{"n":%d}' % number)
    journal.sync()
real, child = getattr(os, sys.argv[2]), None
def forking(*args):
    global child
    result = real(*args)
    if child is None:
        child = os.fork()
    return result
setattr(os, sys.argv[2], forking)
journal.append(b'{"n":5}')
journal.sync()
journal.append(b'{"n":%d}' % (7 if child else 6))
journal.sync()
if not child:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
""",
        tmp_path,
        call,
        seconds=20,
    )
    assert set(numbers(tmp_path)) == set(range(8))


def test_a_journal_that_was_not_used_before_the_fork_is_a_different_writer_in_every_child(tmp_path):
    """gunicorn --preload: the application, and the journal with it, is made in the master."""
    out = run_script(
        """
import os, sys
from auditmw.journal import Journal
journal = Journal(sys.argv[1])
for _ in range(3):
    if not os.fork():
        journal.append(b'{"n":1}')
        os.write(1, journal.writer.encode() + b"\\n")
        os._exit(0)
for _ in range(3):
    assert os.wait()[1] == 0
print(journal.writer)
""",
        tmp_path,
    )
    assert len(set(out.split())) == 4
    assert len(list_files(tmp_path)) == 3


def test_a_journal_that_is_gone_is_no_business_of_a_forked_child(tmp_path):
    run_script(
        """
import gc, os, sys
from auditmw.journal import Journal, forks
for _ in range(10):
    journal = Journal(sys.argv[1])
    journal.append(b'{"n":1}')
del journal
gc.collect()
assert len(forks._things) == 0
child = os.fork()
if not child:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
""",
        tmp_path,
    )


def test_a_program_that_is_started_does_not_inherit_the_file(tmp_path):
    journal = Journal(tmp_path)
    journal.append(body(1))
    out = run_script(
        "import os; print([os.path.realpath(f'/proc/self/fd/{fd}') for fd in os.listdir('/proc/self/fd')])"
    )
    assert journal.path.name not in out
    child = subprocess.run(["ls", "-l", "/proc/self/fd"], capture_output=True, text=True, close_fds=False, check=True)
    assert journal.path.name not in child.stdout
    journal.close()


# --- many processes


def test_eight_processes_write_500_events_each_into_one_directory(tmp_path):
    script = """
import sys
from auditmw.journal import Journal
journal = Journal(sys.argv[1], rotate_bytes=10_000)
for number in range(500):
    journal.append(b'{"n":%d}' % (int(sys.argv[2]) * 1000 + number))
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", script, tmp_path / "new" / "audit", str(number)]) for number in range(8)
    ]
    assert [process.wait(60) for process in processes] == [0] * 8
    events = [event["n"] for event in journal_files.events(tmp_path / "new" / "audit")]
    assert sorted(events) == [1000 * process + number for process in range(8) for number in range(500)]
    assert numbers(tmp_path / "new" / "audit") == events
    assert len({writer_of(path) for path in list_files(tmp_path / "new" / "audit")}) == 8


# --- kill -9

KILLED = """
import os, sys
from auditmw.journal import Journal
journal = Journal(sys.argv[1], durability=sys.argv[2], rotate_bytes=20_000)
number = 0
while True:
    journal.append(b'{"n":%d,"pad":"%s"}' % (number, b"x" * (number % 5000)))
    journal.sync()
    os.write(1, b"%d\\n" % number)
    number += 1
"""


@DURABILITIES
@pytest.mark.parametrize("seed", range(4))
def test_every_event_that_was_acknowledged_is_there_after_kill_9(tmp_path, durability, seed):
    process = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path, durability], stdout=subprocess.PIPE)
    wanted = random.Random(seed).randrange(1, 400)
    with process.stdout:
        acknowledged = [int(process.stdout.readline()) for _ in range(wanted)]
        process.kill()
        acknowledged += [int(line) for line in process.stdout.read().splitlines()]
    assert process.wait(30) == -signal.SIGKILL
    assert acknowledged == list(range(len(acknowledged)))
    damages = []
    found = [json.loads(line.body)["n"] for line in read_lines(tmp_path, on_damage=damages.append)]
    assert found == list(range(len(found)))
    assert len(found) - len(acknowledged) in (0, 1)
    assert [damage.reason for damage in damages] in ([], ["torn tail"])  # the kill may come between two pages
    (writer,) = {writer_of(path) for path in list_files(tmp_path)}
    assert dead_writers(tmp_path) == {writer}


def test_a_writer_that_is_killed_is_live_until_then(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path, "os"], stdout=subprocess.PIPE)
    with process.stdout:
        process.stdout.readline()
        assert dead_writers(tmp_path) == frozenset()
        process.kill()
        process.wait(30)
    assert dead_writers(tmp_path) == {writer_of(list_files(tmp_path)[0])}


def test_a_reader_beside_busy_writers_never_sees_damage_or_a_dead_writer(tmp_path):
    """Rotations, half-written lines and new files, looked at all the time."""
    script = """
import sys, time
from auditmw.journal import Journal
journal = Journal(sys.argv[1], rotate_bytes=2_000)
end = time.monotonic() + 2
number = 0
while time.monotonic() < end:
    journal.append(b'{"n":%d,"pad":"%s"}' % (number, b"x" * (number % 3000)))
    number += 1
print(number, flush=True)
sys.stdin.read()
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", script, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    wait_until(lambda: Path(tmp_path, "journal").exists() and len(list_files(tmp_path)) > 2)
    damages, rounds = [], 0
    while len(list_files(tmp_path)) < 300 and rounds < 300:
        assert dead_writers(tmp_path) == frozenset()
        for _ in read_lines(tmp_path, on_damage=damages.append):
            pass
        rounds += 1
    assert damages == []
    written = [int(process.communicate()[0]) for process in processes]
    found = Counter(writer_of(line.file) for line in sound_lines(tmp_path))
    assert sorted(found.values()) == sorted(written)
