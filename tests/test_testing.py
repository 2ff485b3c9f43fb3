"""The helpers for tests of applications."""

from __future__ import annotations

import builtins
import re
import threading
from typing import Any

import pytest

import auditmw
from auditmw import testing
from auditmw.testing import Recorder, assert_valid


@pytest.fixture
def recorder() -> Recorder:
    recorder = Recorder()
    audit = auditmw.Audit(recorder, service="test")
    auditmw.record("file_uploaded", audit=audit, file_size_bytes=5)
    auditmw.record("file_deleted", audit=audit, target={"type": "file", "name": "a.txt"})
    auditmw.record("file_deleted", audit=audit, target={"type": "file", "name": "b.txt"})
    return recorder


def test_events_are_kept_in_their_order(recorder):
    assert [event["event"] for event in recorder.events] == ["file_uploaded", "file_deleted", "file_deleted"]


def test_one_finds_the_only_event_that_matches(recorder):
    assert recorder.one(event="file_uploaded")["data"] == {"file_size_bytes": 5}
    assert recorder.one(event="file_deleted", target__name="b.txt") is recorder.events[2]
    assert recorder.one(target=None) is recorder.events[0]


@pytest.mark.parametrize(
    ("match", "message"),
    [
        ({"event": "file_lost"}, "expected one event event='file_lost', found 0; recorded:\n  event='file_uploaded'"),
        ({"event": "file_deleted"}, "found 2"),
        ({"target__name": "c.txt"}, "expected one event target__name='c.txt', found 0; .* target__name='a.txt'"),
        ({}, "expected one event at all, found 3"),
    ],
)
def test_one_says_what_there_is_instead(recorder, match, message):
    with pytest.raises(AssertionError, match=re.compile(message, re.DOTALL)):
        recorder.one(**match)


def test_all_finds_every_event_that_matches(recorder):
    assert recorder.all(event="file_deleted") == recorder.events[1:]


def test_clear_forgets(recorder):
    recorder.clear()
    with pytest.raises(AssertionError, match="found 0; recorded: none"):
        recorder.one()


def test_events_of_several_threads_are_all_kept():
    recorder = Recorder()
    audit = auditmw.Audit(recorder, service="test")
    threads = [
        threading.Thread(target=lambda: [auditmw.record("counted", audit=audit) for _ in range(50)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(recorder.events) == 400


def test_a_valid_event_passes_and_another_is_told_where_it_is_wrong(recorder):
    assert_valid(recorder.events[0])
    with pytest.raises(AssertionError, match=r"\$\.level: 'loud' is not one of"):
        assert_valid({**recorder.events[0], "level": "loud"})


def test_without_jsonschema_the_error_says_what_to_install(recorder, monkeypatch):
    real = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name == "jsonschema":
            raise ImportError(name)
        return real(name, *arguments)

    testing._validator.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match="pip install jsonschema"):
        assert_valid(recorder.events[0])
