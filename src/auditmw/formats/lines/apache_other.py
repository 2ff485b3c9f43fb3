"""Apache formats with directives that auditmw leaves to apachelogs, such as times of any layout: `%{%d.%m.%Y}t`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from auditmw.formats.apache import UnknownDirectiveError, slots_of
from auditmw.formats.line import Event, FormatError, LineError
from auditmw.formats.lines import escapes
from auditmw.formats.lines.assembly import Variable, complete, with_homes_once
from auditmw.formats.lines.requests import new_event
from auditmw.formats.lines.template import slots

_PLAIN = escapes.NONE  # apachelogs has taken the escapes off
_RENDERS_NOTHING = "a format that apachelogs reads cannot be written: name the directives that auditmw knows"


class OtherApacheFormat:
    """A `LogFormat` that apachelogs reads; `because` is what auditmw does not know in it.

    A time without an offset is taken for UTC. Raises FormatError when apachelogs is missing or does not know it either.
    """

    def __init__(self, log_format: str, name: str = "", decode_userid: bool = False, because: str = "") -> None:
        try:
            import apachelogs  # type: ignore[import-untyped]
        except ImportError:
            raise FormatError(
                f"{because}: pip install 'auditmw[import]' brings apachelogs, which may know it"
            ) from None
        self.name = name or "apache:custom"
        self.log_format, self.decode_userid = log_format, decode_userid
        try:
            self._parser = apachelogs.LogParser(log_format, encoding="utf-8", errors="surrogateescape")
        except (apachelogs.InvalidDirectiveError, apachelogs.UnknownDirectiveError) as error:
            raise FormatError(f"{because}, and apachelogs says: {error}") from None
        self._errors = (apachelogs.InvalidEntryError, ValueError)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as what it was made of."""
        return type(self), (self.log_format, self.name, self.decode_userid)

    def parse(self, line: bytes) -> Event | None:
        """Return the event of one line, None for a blank one. Raises LineError."""
        text = line.decode("utf-8", "surrogateescape").removesuffix("\r")
        if not text or text.isspace():
            return None
        try:
            entry = self._parser.parse(text)
        except self._errors:
            raise LineError(f"not a line of {self.name} ({self.log_format}): {text[:80]!r}") from None
        event = new_event(self.name, "start")
        moment = getattr(entry, "request_time", None)
        if isinstance(moment, datetime):
            moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
            event["timestamp"] = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ").zfill(27)
        is_timed = "timestamp" in event
        values = {
            self._variable(name): _text(value)
            for name, value in entry.directives.items()
            if not (is_timed and name.endswith("t"))
        }
        return complete(event, zip(with_homes_once(list(values)), values.values(), strict=True), _PLAIN, len(line))

    def is_header(self, line: bytes) -> bool:
        """Return False: every line is read alone."""
        return False

    def render(self, event: Event) -> bytes:
        """Raise LineError."""
        raise LineError(_RENDERS_NOTHING)

    def _variable(self, directive: str) -> Variable:
        try:
            return slots(slots_of(directive, decode_userid=self.decode_userid))[0].variable
        except UnknownDirectiveError:
            return Variable(directive)


def _text(value: object) -> str | None:
    if isinstance(value, datetime):
        return None  # it is the event's time
    return None if value is None else str(value)
