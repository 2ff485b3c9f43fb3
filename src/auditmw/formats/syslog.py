r"""Syslog as RFC 5424 has it: a header, one element of structured data, and the whole event as its message.

The facility is 13, log audit (§6.2.1). MSG is the event as JSON in ASCII, so it needs no byte order mark (§6.4) and has
no control character that a receiver could escape. The structured data has what one searches for; a control character
in it is written as nginx does, `\x0A`. Nothing is cut: an event may have 64 KiB, and receivers take less by default.
"""

from __future__ import annotations

import json
import re

from auditmw.formats import json_record
from auditmw.formats.mapping import at, nanoseconds, text_at
from auditmw.formats.record import Event, RecordError

DOCUMENTATION_NUMBER = 32_473
"""The private enterprise number that RFC 5612 gives to examples."""
SEVERITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}

_FACILITIES = range(24)
_AUDIT = 13
_NOTICE = 5
_NIL = "-"
PARAMETERS = {
    "id": "id",
    "event": "event",
    "outcome.result": "outcome",
    "trace.trace_id": "trace",
    "trace.span_id": "span",
    "request_id": "request",
    "actor.id": "user",
    "session.id": "session",
    "client.address": "ip",
    "http.request.method": "method",
    "url.path": "path",
    "http.response.status_code": "status",
}
"""The parameters of the structured data and the fields that they are copies of."""
HEADER = {
    "level": "PRI",
    "timestamp": "TIMESTAMP",
    "service.host": "HOSTNAME",
    "service.name": "APP-NAME",
    "event": "MSGID",
}
"""What the header has."""

_UNPRINTABLE = re.compile(r"[^!-~]")  # PRINTUSASCII of §6
_ESCAPED = str.maketrans(
    {
        '"': '\\"',
        "\\": "\\\\",
        "]": "\\]",
        **{code: f"\\\\x{code:02X}" for code in (*range(0x20), *range(0x7F, 0xA0))},
    }
)
_TO_ESCAPE = re.compile(r'["\\\]\x00-\x1f\x7f-\x9f]')
_RECORD = re.compile(
    rb"<(?:[0-9]{1,2}|1[0-8][0-9]|19[01])>1(?: [!-~]+){5} "
    rb'(?:-|(?:\[[^ =\]"]+(?: [^ =\]"]+="(?:[^"\\\]]|\\.)*+")*+\])++) (\{.*\})',
    re.DOTALL,
)


class SyslogFormat:
    """RFC 5424.

    `enterprise_number`: your organisation's (https://www.iana.org/assignments/enterprise-numbers/), for the SD-ID;
    `facility`: 0 to 23, 13 is log audit. Raises ValueError for others.
    """

    name = "syslog"
    media_type = "text/plain"

    def __init__(self, enterprise_number: int = DOCUMENTATION_NUMBER, facility: int = _AUDIT) -> None:
        if type(enterprise_number) is not int or enterprise_number < 0:
            raise ValueError(f"expected a private enterprise number, such as 32473, not {enterprise_number!r}")
        if type(facility) is not int or facility not in _FACILITIES:
            raise ValueError(f"expected a facility from 0 to 23, not {facility!r}")
        self._sd_id = f"auditmw@{enterprise_number}"
        self._facility = facility

    def render(self, event: Event) -> bytes:
        """Return the message of an event; no transport's frame is around it.

        Raises RecordError for an event that is not plain JSON.
        """
        severity = SEVERITIES.get(text_at(event, "level") or "", _NOTICE)
        time = event["timestamp"] if nanoseconds(event.get("timestamp")) is not None else _NIL
        host, application = _header(event, "service.host", 255), _header(event, "service.name", 48)
        line = (
            f"<{self._facility * 8 + severity}>1 {time} {host} {application} - {_header(event, 'event', 32)} "
            f"[{self._sd_id}{_parameters(event)}] "
        )
        return line.encode() + _ascii_json(event)

    def parse(self, record: bytes) -> Event:
        """Return the event of a message; whose SD-ID it has does not matter."""
        match = _RECORD.fullmatch(record)
        if match is None:
            raise RecordError(f"expected an RFC 5424 message with an event as JSON, not {record[:80]!r}")
        return json_record.read(match[1], "an event as the message")


def _header(event: Event, path: str, most: int) -> str:
    """A field of the header: printable ASCII without spaces, and not longer than it may be."""
    text = text_at(event, path)
    return _UNPRINTABLE.sub("_", text)[:most] if text else _NIL


def _parameters(event: Event) -> str:
    found = []
    for path, name in PARAMETERS.items():
        value = at(event, path)
        if type(value) is str or type(value) is int:
            text = str(value)
            found.append(f' {name}="{text.translate(_ESCAPED) if _TO_ESCAPE.search(text) else text}"')
    return "".join(found)


def _ascii_json(event: Event) -> bytes:
    encoded = json_record.written(event)
    if encoded.isascii() and b"\x7f" not in encoded:
        return encoded
    text = json.dumps(event, separators=(",", ":"))
    return text.replace("\x7f", "\\u007f").encode()
