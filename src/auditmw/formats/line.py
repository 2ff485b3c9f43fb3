"""What every format of log lines is: a line becomes an event, and an event that line again."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from auditmw.formats.record import RecordError

Event = dict[str, Any]
TimeBasis = Literal["start", "end", "unknown"]


class LineError(RecordError):
    """A line is not what its format says: the message tells what was expected and what came."""


class FormatError(ValueError):
    """A format is not known by its name, or cannot be made from its description: the message tells what to do."""


class LineFormat(Protocol):
    """One format of log lines. Instances can be pickled: chunks of a file are parsed in several processes."""

    name: str
    """What `source.format` says of the events: `nginx:combined`, `reblaze`, ..."""

    def parse(self, line: bytes) -> Event | None:
        """Return the event of one line (without its line feed), None for a line that holds none: a blank, a header.

        The event is complete but for what only the importer knows: `id`, `observed`, and of `source` the members
        `file`, `line`, `offset`, `raw` and `raw_sha256`. It is not yet redacted. `source` has `kind` "import",
        `format`, `time_basis`, and in `fields` (strings) what has no home in the event. A line that tells no time makes
        an event without `timestamp`, of `time_basis` "unknown": the importer sets it. Text that is not UTF-8 has the
        form that `meta.escaped` describes, and its JSON pointer stands there; text longer than the schema allows is
        cut, and its pointer stands in `meta.truncated`.
        Raises LineError when the line is not of this format.
        """
        ...

    def is_header(self, line: bytes) -> bool:
        """Return whether the line says how those after it are to be read (W3C's `#Fields:`), for `parse` to keep."""
        ...

    def render(self, event: Event) -> bytes:
        """Return the line that the event would be in this format, without a line feed; for an imported event that line.

        What the format cannot say is left out. Raises LineError for an event that this format has no line for.
        """
        ...
