"""Whatever happens in whatever order, a query sees what a list of all events says."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from archive_crashes import cut_off, raise_error
from archive_events import DAY, archived, body, pending
from auditmw.archive.error import ArchiveError
from auditmw.archive.snapshot import Snapshot
from auditmw.journal import Journal


class Model(RuleBasedStateMachine):
    """Writers that begin, write and end, archive steps that fail or not, a manifest that is lost."""

    writers = Bundle("writers")
    running = Bundle("running")

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.snapshot = Snapshot(self.directory, archive_bytes=None, threads=1)
        self.count = 0
        self.clock = DAY
        self.final: dict[str, str] = {}  # id -> writer
        self.unanswered: dict[str, Journal] = {}

    def teardown(self) -> None:
        self.snapshot.close()
        shutil.rmtree(self.directory)

    def next_number(self) -> int:
        self.count += 1
        return self.count

    @rule(target=writers, rotate=st.sampled_from([1, 400, 10**6]))
    def begin(self, rotate):
        return Journal(self.directory, rotate_bytes=rotate)

    @rule(journal=writers, events=st.integers(1, 5), day=st.integers(0, 2))
    def write(self, journal, events, day):
        for _ in range(events):
            number = self.next_number()
            journal.append(body(number, at=DAY + timedelta(days=day, seconds=number)))
            self.final[f"id-{number}"] = journal.writer

    @rule(target=running, journal=writers)
    def begin_request(self, journal):
        number = self.next_number()
        journal.append(pending(number))
        self.unanswered[f"id-{number}"] = journal
        return number, journal

    @rule(request=consumes(running))
    def end_request(self, request):
        number, journal = request
        if f"id-{number}" in self.unanswered:
            journal.append(body(number))
            del self.unanswered[f"id-{number}"]
            self.final[f"id-{number}"] = journal.writer

    @rule(journal=consumes(writers))
    def end(self, journal):
        """As when its process dies; the requests that it answers will not end."""
        journal.close()
        for id_ in [id_ for id_, owner in self.unanswered.items() if owner is journal]:
            self.final[id_] = "unknown"
            del self.unanswered[id_]

    @rule(at=st.none() | st.integers(1, 60), later=st.sampled_from([0, 30, 90]), size=st.sampled_from([1, 10**6]))
    def archive(self, at, later, size):
        self.clock += timedelta(seconds=later)
        options = {"grace": timedelta(seconds=60), "now": lambda: self.clock, "target_bytes": size}
        with cut_off(at or 0, raise_error), contextlib.suppress(ArchiveError):
            archived(self.directory, batch_bytes=1_000, **options)

    @rule()
    def lose_manifest(self):
        with contextlib.suppress(FileNotFoundError):
            (self.directory / "archive" / "manifest.json").unlink()

    @rule()
    def forget(self):
        self.snapshot.close()
        self.snapshot = Snapshot(self.directory, archive_bytes=None, threads=1)

    @invariant()
    def every_event_is_seen_once(self):
        with self.snapshot.view() as view:
            assert view.missing == ()
            bodies = view.connection.execute(f"SELECT body FROM {view.relation()}").fetchall()
        events = [json.loads(body) for (body,) in bodies]
        assert sorted(event["id"] for event in events) == sorted(self.final)
        unknown = {event["id"] for event in events if event.get("outcome", {}).get("result") == "unknown"}
        assert unknown == {id_ for id_, writer in self.final.items() if writer == "unknown"}


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=12, stateful_step_count=20, deadline=None)
