"""The event itself: one JSON object, as the journal has it but without the frame of its line."""

from __future__ import annotations

from auditmw.formats import json_record
from auditmw.formats.record import Event, RecordError

_SCHEMA = "auditmw.event/1."


class NativeFormat:
    """The event's own JSON (`event.schema.json`), UTF-8 and compact."""

    name = "native"
    media_type = "application/json"

    def render(self, event: Event) -> bytes:
        """Return the event's JSON. Raises RecordError for values that JSON cannot carry exactly."""
        return json_record.written(event)

    def parse(self, record: bytes) -> Event:
        """Return the event of its JSON. Raises RecordError for anything else."""
        event = json_record.read(record, "an event")
        if not str(event.get("schema")).startswith(_SCHEMA):
            raise RecordError(f"expected an event whose schema is {_SCHEMA}N, not {event.get('schema')!r:.80}")
        return event
