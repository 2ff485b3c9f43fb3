"""The combined log format, fast: what nearly every line of nearly every access log is.

Reads exactly the lines that need no second look, with the same result as the general way: the tests compare the two.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from auditmw.event import ACTIONS, SCHEMA, SEVERITY
from auditmw.formats.line import Event, TimeBasis
from auditmw.formats.lines.assembly import Variable, complete
from auditmw.formats.lines.escapes import Dialect
from auditmw.formats.lines.limits import LONG_LINE_BYTES, fitted
from auditmw.formats.lines.requests import judge, readable_path
from auditmw.formats.lines.template import FLAGS
from auditmw.formats.lines.times import clf_time

# Every value ends at a character that it cannot hold, so nothing is tried twice. All values are of printable ASCII, and
# hold neither a quote nor a backslash.
_COMBINED = (
    r"([!#-,.-\[\]-~][!#-\[\]-~]*+) - ([!#-\[\]-~]++) "
    r"\[(([0-3]\d/[A-Z][a-z]{{2}}/\d{{4}}:[0-2]\d:[0-5]\d:)([0-5]\d) ([+-]\d{{4}}))\] "
    r'"([A-Z]{{1,64}}) ((/[!#->@-\[\]-~]*+)(?:\?([!#-\[\]-~]*+))?+) HTTP/([1-9]\.[0-9])" (\d{{3}}) ({size}) '
    r'"([ !#-\[\]-~]*+)" "([ !#-\[\]-~]*+)"'
)
_GROUPS = 15
_VERDICTS = {f"{code:03d}": (code, *judge(code)) for code in range(1000)}


class Combined:
    """Reads plain lines of the combined format.

    `size` is a regular expression for the number of bytes, where `-` is 0; `time` is what the format calls its time.
    `tail` is the regular expression of what follows, with a group for each of the variables `extras`.
    """

    def __init__(
        self,
        name: str,
        basis: TimeBasis,
        dialect: Dialect,
        *,
        size: str,
        time: str,
        tail: str,
        extras: Sequence[Variable],
    ) -> None:
        self.is_all = not extras and not tail
        self._name, self._basis, self._dialect, self._time, self._extras = name, basis, dialect, time, tuple(extras)
        self._match = re.compile(_COMBINED.format(size=size) + tail, FLAGS).fullmatch

    def values(self, text: str) -> tuple[str, ...] | None:
        """Return what a line says, as it stands there; None for a line that needs a second look.

        Address, user, time; of the time up to the minute with its colon, the seconds, and the zone; method, target;
        of the target the path, and the query (None where it has no question mark); version, status, size, referrer,
        agent; and the extras. Each but those stands in JSON as it is.
        """
        match = self._match(text)
        return None if match is None else match.groups()

    def event(self, line: bytes) -> Event | None:
        """Return the event of a line, None when it needs a second look."""
        if b"\\" in line:
            return None
        try:
            values = self.values(line.decode("ascii"))
            if values is None:
                return None
            moment, is_utc = clf_time(values[2])
        except ValueError:
            return None
        address, user, time, _, _, _, method, target, path, query, version, status, size, referrer, agent = values[
            :_GROUPS
        ]
        code, level, outcome = _VERDICTS[status]
        request = {"method": method, "target": target}
        if agent != "-":
            request["user_agent"] = agent
        if referrer != "-":
            request["referrer"] = referrer
        if "%" in path:
            path = readable_path(path)
        source: dict[str, Any] = {"kind": "import", "format": self._name, "time_basis": self._basis}
        event: Event = {
            "schema": SCHEMA,
            "timestamp": moment,
            "event": "http_request",
            "level": level,
            "severity": SEVERITY[level],
            "category": "web",
            "action": ACTIONS.get(method, "unknown"),
            "outcome": outcome.copy(),
            "client": {"address": address, "origin": "log"},
            "http": {
                "version": version,
                "request": request,
                "response": {"status_code": code, "body_size": 0 if size == "-" else int(size)},
            },
            "url": {"path": path, "query": query} if query else {"path": path},
            "source": source,
        }
        if user != "-":
            event["actor"] = {"name": user}
        if not is_utc:
            source["fields"] = {self._time: time}
        if self._extras:
            tail = zip(self._extras, values[_GROUPS:], strict=True)
            return complete(event, tail, self._dialect, len(line))
        return fitted(event, len(line)) if len(line) >= LONG_LINE_BYTES else event
