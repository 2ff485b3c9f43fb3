"""Events on a stream: whole lines, or an error that says why not."""

import errno
import io
import json
import os
import sys
import threading

import pytest

from auditmw.journal import JournalError, StreamJournal
from journal_tools import body, run_script, wait_until


@pytest.fixture
def pipe():
    """The reading end, and an unbuffered stream of the writing end."""
    reading, writing = os.pipe()
    stream = os.fdopen(writing, "wb", buffering=0)
    yield reading, stream
    os.close(reading)
    stream.close()


class Dribble(io.RawIOBase):
    """A raw stream that takes a few bytes at a time, and sometimes none."""

    def __init__(self):
        self.taken = b""
        self.calls = 0
        self.reading, self.writing = os.pipe()

    def writable(self):
        return True

    def fileno(self):
        return self.writing

    def write(self, data):
        self.calls += 1
        if self.calls % 3 == 0:
            return None
        self.taken += bytes(data[:7])
        return len(data[:7])

    def close(self):
        if not self.closed:
            os.close(self.reading)
            os.close(self.writing)
        super().close()


def test_an_event_is_one_line_without_number_or_checksum_and_flushed():
    raw = io.BytesIO()
    journal = StreamJournal(io.BufferedWriter(raw))
    journal.append(body(1))
    journal.append(body(2))
    assert raw.getvalue() == b'{"n":1}\n{"n":2}\n'
    stats = journal.stats()
    assert (stats["seq"], stats["bytes"], stats["last_error"], stats["last_error_at"]) == (2, 16, None, None)
    assert stats["writer"] == journal.writer
    assert journal.path is None


def test_sync_and_close_leave_the_stream_to_its_owner():
    stream = io.BytesIO()
    journal = StreamJournal(stream)
    journal.append(body(1))
    journal.sync()
    journal.close()
    journal.append(body(2))
    assert stream.getvalue() == b'{"n":1}\n{"n":2}\n'


def test_standard_output_takes_events():
    out = run_script(
        """
import sys
from auditmw.journal import StreamJournal
journal = StreamJournal(sys.stdout.buffer)
for number in range(3):
    journal.append(b'{"n":%d}' % number)
assert journal.stats()["file"] == "<stdout>"
"""
    )
    assert [json.loads(line)["n"] for line in out.splitlines()] == [0, 1, 2]


@pytest.mark.parametrize(
    "stream", [io.StringIO(), sys.__stdout__, None, 5, "audit"], ids=["StringIO", "stdout", "None", "int", "str"]
)
def test_what_is_no_binary_stream_is_told_at_construction(stream):
    with pytest.raises(TypeError, match=r"expected a binary stream, such as sys\.stdout\.buffer, not"):
        StreamJournal(stream)


def test_constructing_writes_nothing(pipe):
    reading, stream = pipe
    StreamJournal(stream)
    os.set_blocking(reading, False)
    with pytest.raises(BlockingIOError):
        os.read(reading, 1)


def test_a_stream_that_takes_a_few_bytes_at_a_time_gets_every_line_whole():
    with Dribble() as stream:
        journal = StreamJournal(stream)
        for number in range(10):
            journal.append(body(number, 30))
        assert stream.taken == b"".join(body(number, 30) + b"\n" for number in range(10))


def test_an_event_is_flushed_when_append_returns_even_if_the_stream_needs_time_for_it():
    class Slow(Dribble):
        flushes = 0

        def flush(self):
            self.flushes += 1
            if self.flushes in (1, 2):
                raise BlockingIOError(errno.EAGAIN, "not now", 0)

    with Slow() as stream:
        StreamJournal(stream).append(body(1))
        assert stream.flushes == 3


@pytest.mark.parametrize("buffered", [False, True], ids=["raw", "buffered"])
def test_a_pipe_that_is_full_for_a_moment_gets_every_line_whole(buffered):
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    received = []

    def drain():
        while data := os.read(reading, 1000):
            received.append(data)

    with os.fdopen(writing, "wb", buffering=-1 if buffered else 0) as stream:
        journal = StreamJournal(stream)
        thread = threading.Thread(target=drain)
        thread.start()
        for number in range(60):
            journal.append(body(number, 20_000))
        total = sum(len(body(number, 20_000)) + 1 for number in range(60))
        wait_until(lambda: sum(map(len, received)) == total)  # all was flushed, nothing waits for the stream to close
    thread.join(30)
    os.close(reading)
    assert b"".join(received) == b"".join(body(number, 20_000) + b"\n" for number in range(60))


def test_a_pipe_that_stays_full_is_an_error_in_time_and_breaks_one_line_only(pipe, monkeypatch):
    monkeypatch.setattr("auditmw.journal.stream._PATIENCE_SECONDS", 0.05)
    reading, stream = pipe
    os.set_blocking(stream.fileno(), False)
    journal = StreamJournal(stream)
    written, failure = 0, None
    while failure is None:
        try:
            journal.append(body(written, 5000))
            written += 1
        except JournalError as error:
            failure = error
    assert (failure.errno, failure.reason) == (errno.ETIMEDOUT, "took no whole line within 0.05 seconds")
    assert journal.stats()["last_error"] == str(failure)
    assert 0 < written < 20
    received = os.read(reading, 1 << 20)
    journal.append(body(1000))
    received += os.read(reading, 1 << 20)
    *whole, torn, last, rest = received.split(b"\n")
    assert [json.loads(line)["n"] for line in whole] == list(range(written))
    assert body(written, 5000).startswith(torn)
    assert (last, rest) == (body(1000), b"")


def test_a_broken_pipe_is_an_error_every_time():
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb", buffering=0) as stream:
        journal = StreamJournal(stream)
        journal.append(body(1))
        os.close(reading)
        for _ in range(2):
            with pytest.raises(JournalError, match="Broken pipe") as caught:
                journal.append(body(2))
            assert caught.value.errno == errno.EPIPE
            assert caught.value.path == str(writing)
        assert journal.stats()["seq"] == 1


def test_a_closed_stream_is_an_error():
    stream = io.BytesIO()
    journal = StreamJournal(stream)
    stream.close()
    with pytest.raises(JournalError, match="closed file") as caught:
        journal.append(body(1))
    assert (caught.value.errno, caught.value.path) == (errno.EBADF, None)


def test_threads_do_not_mix_their_lines():
    stream = io.BytesIO()
    journal = StreamJournal(stream)

    def run(thread):
        for number in range(200):
            journal.append(body(1000 * thread + number, 50))

    threads = [threading.Thread(target=run, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = [json.loads(line)["n"] for line in stream.getvalue().splitlines()]
    assert sorted(events) == [1000 * thread + number for thread in range(8) for number in range(200)]
    assert journal.stats()["seq"] == 1600


def test_a_forked_child_does_not_wait_for_a_lock_that_a_thread_of_the_parent_held():
    out = run_script(
        """
import os, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from auditmw.journal import StreamJournal
journal = StreamJournal(sys.stdout.buffer)
writer = journal.writer
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
    assert journal.writer != writer
    journal.append(b'{"n":1}')
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
done.set()
thread.join()
""",
        seconds=20,
    )
    assert out == '{"n":1}\n'


def test_waiting_for_a_pipe_ends_as_soon_as_it_takes_more(pipe):
    reading, stream = pipe
    os.set_blocking(stream.fileno(), False)
    journal = StreamJournal(stream)
    thread = threading.Thread(target=journal.append, args=(body(1, 100_000),))
    thread.start()
    received = 0

    def drain():
        nonlocal received
        received += len(os.read(reading, 65536))
        return received == len(body(1, 100_000)) + 1

    wait_until(drain)
    thread.join(30)
    assert journal.stats()["seq"] == 1
