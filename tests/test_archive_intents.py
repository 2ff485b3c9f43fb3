"""Intents: a request is one event, wherever its pending and its final line stand, and when its process died too."""

from __future__ import annotations

import json
from datetime import timedelta

import duckdb
import pytest

from archive_events import archived, body, column, journal, parquet, pending, seen, write_file
from auditmw.archive.snapshot import Snapshot
from auditmw.journal import Journal
from auditmw.parsing import DEEPER

UNKNOWN = {"result": "unknown", "reason": "process_died"}


def ids(directory):
    return sorted(json.loads(event)["id"] for _, _, event in seen(directory))


def outcomes(directory):
    return {json.loads(event)["id"]: json.loads(event).get("outcome") for _, _, event in seen(directory)}


def states(directory):
    """The states of all rows of the Parquet files, by writer and number."""
    files = [str(directory / "archive" / name) for name in parquet(directory)]
    return duckdb.sql("SELECT state FROM read_parquet($files) ORDER BY writer, seq", params={"files": files}).fetchall()


def test_a_pending_event_and_its_final_one_are_one_event_in_one_batch(tmp_path):
    write_file(tmp_path, "a", 1, [pending(1), body(1), pending(2)])
    write_file(tmp_path, "a", 2, [body(2)], seq=4)
    assert ids(tmp_path) == ["id-1", "id-2"]
    archived(tmp_path)
    assert ids(tmp_path) == ["id-1", "id-2"]
    assert states(tmp_path) == [("closed",), ("final",), ("closed",), ("final",)]


def test_a_request_whose_process_died_is_told_as_that(tmp_path):
    write_file(tmp_path, "a", 1, [pending(1, message="é"), body(2)])
    live = column(tmp_path, "level"), column(tmp_path, "result"), column(tmp_path, "reason"), outcomes(tmp_path)
    assert live == (["warning", "info"], ["unknown", None], ["process_died", None], {"id-1": UNKNOWN, "id-2": None})
    archived(tmp_path)
    assert (
        column(tmp_path, "level"),
        column(tmp_path, "result"),
        column(tmp_path, "reason"),
        outcomes(tmp_path),
    ) == live
    assert json.loads(seen(tmp_path)[0][2])["message"] == "é"


def test_a_request_that_is_still_running_is_no_event_yet_though_its_intent_is_archived(tmp_path):
    audit_log = Journal(tmp_path, rotate_bytes=1)
    audit_log.append(pending(1))
    audit_log.append(body(2))  # in a new file, so that the first one is closed
    assert ids(tmp_path) == ["id-2"]
    archived(tmp_path)
    assert len(parquet(tmp_path)) == 1
    assert ids(tmp_path) == ["id-2"]
    audit_log.append(body(1))
    assert ids(tmp_path) == ["id-1", "id-2"]
    audit_log.close()
    assert ids(tmp_path) == ["id-1", "id-2"]
    archived(tmp_path, target_bytes=1)
    assert ids(tmp_path) == ["id-1", "id-2"]
    assert sorted(states(tmp_path)) == [("final",), ("late",), ("open",)]
    archived(tmp_path)
    assert sorted(states(tmp_path)) == [("closed",), ("final",), ("final",)]
    assert outcomes(tmp_path) == {"id-1": None, "id-2": None}


def test_a_request_whose_process_died_after_its_intent_was_archived_is_told_as_that(tmp_path):
    audit_log = Journal(tmp_path, rotate_bytes=1)
    audit_log.append(pending(1))
    audit_log.append(body(2))
    archived(tmp_path)
    audit_log.close()
    assert outcomes(tmp_path) == {"id-1": UNKNOWN, "id-2": None}
    archived(tmp_path)
    assert journal(tmp_path) == []
    assert outcomes(tmp_path) == {"id-1": UNKNOWN, "id-2": None}


def test_a_snapshot_that_is_kept_sees_what_becomes_of_a_request(tmp_path):
    audit_log, other = Journal(tmp_path, rotate_bytes=1), Journal(tmp_path)
    with Snapshot(tmp_path, archive_bytes=None, threads=1) as snapshot:

        def results():
            with snapshot.view() as view:
                return sorted(view.connection.execute(f"SELECT id, result FROM {view.relation()}").fetchall())

        audit_log.append(pending(1))
        other.append(pending(2))
        assert results() == []
        audit_log.append(pending(3))
        archived(tmp_path)
        assert results() == []
        audit_log.append(body(1, outcome={"result": "success"}))
        assert results() == [("id-1", "success")]
        archived(tmp_path)
        assert results() == [("id-1", "success")]
        other.close()
        assert results() == [("id-1", "success"), ("id-2", "unknown")]
        audit_log.close()
        assert results() == [("id-1", "success"), ("id-2", "unknown"), ("id-3", "unknown")]
        archived(tmp_path)
        assert results() == [("id-1", "success"), ("id-2", "unknown"), ("id-3", "unknown")]


def test_the_same_id_of_another_writer_is_another_request(tmp_path):
    write_file(tmp_path, "a", 1, [pending(1)])
    write_file(tmp_path, "b", 1, [body(1)])
    assert len(seen(tmp_path)) == 2
    archived(tmp_path)
    assert len(seen(tmp_path)) == 2


@pytest.mark.parametrize(
    "intent",
    [
        pytest.param(b'{"outcome":{"result":"pending"}}', id="without an id"),
        pytest.param(b'{"id":5,"outcome":{"result":"pending"}}', id="with an id that is no text"),
        pytest.param(b'{"id":"a","outcome":["pending"]}', id="with another outcome"),
        pytest.param(b'{"id":"a","message":"pending"}', id="with the word alone"),
    ],
)
def test_what_only_looks_like_an_intent_is_an_event(tmp_path, intent):
    write_file(tmp_path, "a", 1, [intent, b'{"id":"a"}'])
    assert len(seen(tmp_path)) == 2
    archived(tmp_path)
    assert len(seen(tmp_path)) == 2


def test_a_final_event_that_was_archived_first_settles_its_intent(tmp_path):
    first = write_file(tmp_path, "a", 1, [pending(1), body(2)])
    content = first.read_bytes()
    first.unlink()
    write_file(tmp_path, "a", 2, [body(1)], seq=3)
    write_file(tmp_path, "a", 3, [body(4)], seq=4)
    archived(tmp_path, grace=timedelta(days=9))
    first.write_bytes(content)  # as when it could not be read before
    assert outcomes(tmp_path) == {"id-1": None, "id-2": None, "id-4": None}
    archived(tmp_path)
    assert outcomes(tmp_path) == {"id-1": None, "id-2": None, "id-4": None}


def test_a_request_that_died_is_shown_also_when_it_is_nested_deeper_than_parsers_go(tmp_path):
    deep = pending(1)[:-1] + b',"data":' + b"[" * 3000 + b"]" * 3000 + b"}"
    write_file(tmp_path, "w", 1, [deep])
    [(_, _, shown)] = seen(tmp_path)
    assert b'"process_died"' in shown
    assert DEEPER.encode() in shown
