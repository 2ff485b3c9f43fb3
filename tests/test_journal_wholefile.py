"""A journal file written all at once: whole or not at all, whatever happens meanwhile."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from auditmw.journal import (
    dead_writers,
    is_live,
    journal_files,
    read_lines,
    remove_unfinished,
    write_file,
    writer_of,
)
from servers import poll

BODIES = [b'{"id":"%d","text":"%s"}' % (n, b"x" * (n % 300)) for n in range(3000)]


def hidden_files(directory):
    return [name for name in os.listdir(directory / "journal") if name.startswith(".")]


def test_all_lines_are_there_in_order_numbered_from_one(tmp_path):
    path = write_file(tmp_path / "audit", "import-a", iter(BODIES))
    assert path == tmp_path / "audit" / "journal" / "import-a.000001.jsonl"
    lines = list(read_lines(tmp_path / "audit"))
    assert [line.body for line in lines] == BODIES
    assert [line.seq for line in lines] == list(range(1, len(BODIES) + 1))


def test_the_file_is_that_of_a_writer_that_is_gone(tmp_path):
    path = write_file(tmp_path, "import-a", BODIES)
    assert journal_files(tmp_path) == [path]
    assert not is_live(path)
    assert dead_writers(tmp_path) == {"import-a"} == {writer_of(path)}


def test_file_and_directories_have_the_modes_of_the_journal(tmp_path):
    before = os.umask(0)
    try:
        path = write_file(tmp_path / "audit", "import-a", BODIES)
    finally:
        os.umask(before)
    assert os.stat(path).st_mode & 0o777 == 0o640
    assert os.stat(path.parent).st_mode & 0o777 == 0o750


def test_without_events_there_is_no_file(tmp_path):
    assert write_file(tmp_path, "import-a", []) is None
    assert os.listdir(tmp_path / "journal") == []


def test_a_file_of_the_same_name_is_replaced(tmp_path):
    write_file(tmp_path, "import-a", BODIES)
    write_file(tmp_path, "import-a", BODIES[:2])
    assert [line.body for line in read_lines(tmp_path)] == BODIES[:2]


def raising_in_the_middle(error):
    yield from BODIES
    raise error


@pytest.mark.parametrize(
    "bodies",
    [
        pytest.param(lambda: raising_in_the_middle(KeyboardInterrupt()), id="interrupted"),
        pytest.param(lambda: raising_in_the_middle(RuntimeError("parser")), id="failed"),
        pytest.param(lambda: [*BODIES, b'{"a":\n1}'], id="no line"),
    ],
)
def test_when_it_raises_nothing_is_left(tmp_path, bodies):
    write_file(tmp_path, "import-a", BODIES[:1])
    with pytest.raises((KeyboardInterrupt, RuntimeError, ValueError)):
        write_file(tmp_path, "import-a", bodies())
    assert os.listdir(tmp_path / "journal") == ["import-a.000001.jsonl"]
    assert [line.body for line in read_lines(tmp_path)] == BODIES[:1]


def test_readers_see_nothing_before_it_is_whole(tmp_path):
    def seen_meanwhile():
        for body in BODIES:
            assert journal_files(tmp_path) == []
            yield body

    assert write_file(tmp_path, "import-a", seen_meanwhile()) is not None


def test_what_a_process_that_died_left_behind_is_removed_and_nothing_else(tmp_path):
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / ".1.abc.unfinished").write_bytes(b"half a line")
    (tmp_path / "journal" / ".1.abc.other").write_bytes(b"not ours")

    def while_another_is_at_work():
        assert remove_unfinished(tmp_path) == 1
        yield from BODIES

    assert write_file(tmp_path, "import-a", while_another_is_at_work()) is not None
    assert sorted(os.listdir(tmp_path / "journal")) == [".1.abc.other", "import-a.000001.jsonl"]
    assert remove_unfinished(tmp_path) == 0
    assert remove_unfinished(tmp_path / "nowhere") == 0


def test_a_file_that_was_taken_for_abandoned_before_it_was_locked_is_made_anew(tmp_path, monkeypatch):
    import auditmw.journal.wholefile as wholefile

    locked = []

    def first_somebody_removes_it(fd, operation):
        if not locked:
            (hidden,) = hidden_files(tmp_path)
            os.unlink(tmp_path / "journal" / hidden)
        locked.append(fd)

    monkeypatch.setattr(wholefile.fcntl, "flock", first_somebody_removes_it)
    assert write_file(tmp_path, "import-a", BODIES) is not None
    assert [line.body for line in read_lines(tmp_path)] == BODIES
    assert len(locked) == 2


def test_a_journal_folder_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "journal").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        write_file(tmp_path / "audit", "import-a", BODIES)
    assert os.listdir(tmp_path / "elsewhere") == []


LIMITED = """
import resource, sys
from auditmw.journal import write_file
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_file(sys.argv[1], "import-a", [b'{"a":"%s"}' % (b"x" * 900)] * 1000)
except OSError as error:
    print(error.errno)
"""


def test_a_full_disk_leaves_nothing_behind(tmp_path):
    done = subprocess.run([sys.executable, "-c", LIMITED, tmp_path], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == [str(errno.EFBIG)], done.stderr
    assert os.listdir(tmp_path / "journal") == []


KILLED = """
import sys, time
from auditmw.journal import write_file
def bodies():
    for n in range(5000):
        yield b'{"a":"%s"}' % (b"x" * 900)
    print("written", flush=True)
    time.sleep(60)
write_file(sys.argv[1], "import-a", bodies())
"""


def test_kill_9_in_the_middle_leaves_no_file_that_a_reader_sees(tmp_path):
    with subprocess.Popen([sys.executable, "-c", KILLED, tmp_path], stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"written\n"
        assert remove_unfinished(tmp_path) == 0
        child.send_signal(signal.SIGKILL)
    assert journal_files(tmp_path) == []
    assert len(hidden_files(tmp_path)) == 1
    poll(lambda: remove_unfinished(tmp_path) == 1, "the lock of a process that was killed is gone")
    assert os.listdir(tmp_path / "journal") == []
