"""What was appended since the last look, over all files of an audit directory: `tail -f`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from auditmw.journal.events import Loads, parse, time_of
from auditmw.journal.intents import Event, Intents, cut_off
from auditmw.journal.layout import dead_writers, journal_files, writer_of
from auditmw.journal.numbers import Numbers
from auditmw.journal.reader import FileReader, OnDamage, damage_handler


class Follower:
    """Follows `directory` from its end, or `from_start`; the first `poll` then holds everything in memory at once.

    Files that appear are found, files that were removed forgotten. Raises FileNotFoundError when there is no directory.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        loads: Loads = json.loads,
        on_damage: OnDamage | None = None,
        from_start: bool = False,
    ) -> None:
        self._directory = directory
        self._loads = loads
        self._on_damage = damage_handler(directory, on_damage)
        self._intents = Intents()
        self._numbers: dict[str, Numbers] = {}
        self._readers: dict[Path, FileReader] = {}
        for file in journal_files(directory):
            self._readers[file] = FileReader(file, on_damage=self._on_damage)
            if not from_start:
                self._readers[file].skip_to_end()

    def poll(self) -> list[Event]:
        """Return the events that came since the last call, in time order; none when the directory is gone."""
        try:
            dead = dead_writers(self._directory) if self._intents.writers() else frozenset()
            files = journal_files(self._directory)
        except FileNotFoundError:
            return []
        self._forget(files)
        events = [event for file in files for event in self._news(file)]
        for writer in dead.intersection(self._intents.writers()):
            events += map(cut_off, self._intents.release(writer))
        return sorted(events, key=time_of)

    def _news(self, file: Path) -> Iterator[Event]:
        reader = self._readers.get(file) or FileReader(file, on_damage=self._on_damage)
        self._readers[file] = reader
        try:
            if os.stat(file).st_size == reader.offset:
                return
        except OSError:
            return
        writer = writer_of(file)
        numbers = self._numbers.get(writer) or self._numbers.setdefault(writer, Numbers(lambda gap: None))
        for line in reader.lines():
            event = parse(line, reader.offset - line.offset, self._loads, self._on_damage)
            new = numbers.add(line.seq, file, line.offset)  # not a copy that a failing disk called for
            if event is not None and new and self._intents.admit(writer, event, event):
                yield event

    def _forget(self, files: list[Path]) -> None:
        """Drop what is known about files, and writers, that are no more."""
        self._readers = {file: self._readers[file] for file in files if file in self._readers}
        writers = set(map(writer_of, files))
        self._numbers = {writer: numbers for writer, numbers in self._numbers.items() if writer in writers}
        for writer in set(self._intents.writers()) - writers:
            self._intents.release(writer)
