"""Lines of an nginx whose `log_format` was copied from a web page, with its typographic quotes and dashes.

nginx takes such a text: to it those are no quotes, so it joins the words between the spaces and writes each value where
it stands (tried on nginx 1.22.1). What a page shows as lines of a log is read as well, spaces and all.
"""

from __future__ import annotations

import re
from typing import Any

from auditmw.formats.line import Event
from auditmw.formats.lines import times
from auditmw.formats.lines.nginx_descriptions import HEAD_VARIABLES
from auditmw.formats.lines.template import FLAGS
from auditmw.formats.nginx import NginxFormat

# The extended format as printed at https://techonometrics.com, and as nginx joins it.
VERBATIM = (
    "‘$remote_addr—$remote_user[$time_local]“$request”‘‘$status$body_bytes_sent“$http_referer”‘‘“$http_user_agent”‘‘"
    "userid=”$upstream_http_x_userid”sessionid=”$upstream_http_x_sessionid”’"
)
ADVICE = (
    "your log_format has typographic quotes: nginx took ‘ ’ “ ” for text, so a value may end in the wrong place; "
    "write the log_format with ' and \" (`auditmw nginx-config` prints one)"
)
_QUOTES, _DASHES = "“”‘’", "—–"
_VALUE = '["“”]([^"“”]*+)["“”]'
_BETWEEN = r"[‘’\s]*+"
# The status has always three digits, so what follows it without a space is the number of bytes.
_LINE = re.compile(
    rf"{_BETWEEN}([^\s—–]++)\s*+[—–-]\s*+([^\"“”\[\]]*)\[({times.CLF})\]\s*+{_VALUE}{_BETWEEN}"
    rf"(\d{{3}})\s*+(\d+|-){_BETWEEN}{_VALUE}{_BETWEEN}{_VALUE}(.*+)",
    FLAGS & ~re.ASCII,
)
_LABELLED = re.compile(rf"(\w+)={_VALUE}", re.ASCII)


def is_typographic(line: bytes) -> bool:
    """Return whether typographic quotes or dashes stand where a log has its own."""
    text = line.decode("utf-8", "replace")
    return any(char in text for char in _QUOTES + _DASHES) and _LINE.fullmatch(text) is not None


class TypographicFormat(NginxFormat):
    """The extended format as it comes out of typographic quotes; spaces around a value are not a part of it."""

    def __init__(self, decode_userid: bool = False) -> None:
        super().__init__(VERBATIM, "nginx:typographic", "default", decode_userid)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as what it was made of."""
        return type(self), (self.decode_userid,)

    def parse_other(self, text: str, length: int) -> Event:
        """Return the event of a line that is not exactly what nginx makes of the printed format. Raises LineError."""
        match = _LINE.fullmatch(text)
        if match is None:
            self.refuse(text)
        *values, tail = (value.strip() for value in match.groups())
        values = ["-" if value in ("—", "–") else value for value in values]
        labelled = [(label, value.strip()) for label, value in _LABELLED.findall(tail)]
        return self.labelled(zip(HEAD_VARIABLES, values, strict=True), labelled, length)
